//! What will happen in one run, from its seed. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use watchbell_tests::fleet::Engine;

use crate::chance::Chance;

/// The first kill waits until pushes flow as well.
const CALM: Duration = Duration::from_secs(2);
/// The longest time between a worker's start and the next kill.
const BETWEEN_MAX: Duration = Duration::from_millis(1_200);
/// In every other round a killed worker stays dead for this long, and up to so much more. It is longer than from
/// push to email, so that whatever it had begun is overdue when it comes back.
const DEAD: Duration = Duration::from_millis(3_300);
const DEAD_MORE: Duration = Duration::from_secs(1);
/// Members of each group.
const GROUP_SIZE: usize = 6;

/// Whether the whole proof is asked for, not the short one.
pub fn is_full() -> bool {
    std::env::var("WATCHBELL_CHAOS").is_ok_and(|size| size == "full")
}

/// How much happens.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub users: usize,
    pub alerts: usize,
    /// How often each worker is killed.
    pub rounds: usize,
}

impl Size {
    /// The whole proof, or a short one.
    pub fn of_this_run() -> Self {
        match is_full() {
            true => Self { users: 200, alerts: 2_000, rounds: 4 },
            false => Self { users: 60, alerts: 500, rounds: 2 },
        }
    }
}

/// One run.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub users: Vec<String>,
    pub groups: BTreeMap<String, Vec<String>>,
    pub alerts: Vec<Planned>,
    /// In this order.
    pub kills: Vec<Kill>,
}

/// One kill -9.
#[derive(Debug)]
pub struct Kill {
    /// Whom.
    pub name: &'static str,
    /// How long after the last one was started again.
    pub after: Duration,
    /// How long it stays dead.
    pub dead: Duration,
}

/// One alert.
#[derive(Debug)]
pub struct Planned {
    pub id: String,
    /// As it is published.
    pub to: Value,
    /// Whom that is.
    pub recipients: BTreeSet<String>,
    /// Whether it is published a second time.
    pub twice: bool,
    pub then: Then,
}

/// What its producer says later, as version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// It reads differently now.
    Update,
    /// It is over.
    Resolve,
}

impl Plan {
    pub fn of(seed: u64, size: Size, engine: Engine) -> Self {
        let mut chance = Chance::of(seed);
        let users: Vec<String> = (0..size.users).map(|number| format!("user-{number}")).collect();
        let groups = (0..size.users / 20)
            .map(|number| (format!("group-{number}"), chance.pick(&users, GROUP_SIZE)))
            .collect();
        let alerts = (0..size.alerts).map(|number| planned(number, &users, &groups, &mut chance)).collect();
        let names: &[&'static str] = match engine {
            Engine::Embedded => &["up"; 3],
            Engine::Services => &["ingest", "dispatch", "socket-1", "socket-2", "fallback"],
        };
        let mut kills = Vec::new();
        for round in 0..size.rounds {
            let mut turn = names.to_vec();
            while !turn.is_empty() {
                let name = turn.swap_remove(chance.below(turn.len()));
                let calm = if kills.is_empty() { CALM } else { Duration::ZERO };
                let after = calm + chance.up_to(BETWEEN_MAX);
                let dead = if round % 2 == 1 { DEAD + chance.up_to(DEAD_MORE) } else { Duration::ZERO };
                kills.push(Kill { name, after, dead });
            }
        }
        Self { seed, users, groups, alerts, kills }
    }

    /// How long all of it takes, but for starting again.
    pub fn lasts(&self) -> Duration {
        self.kills.iter().map(|kill| kill.after + kill.dead).sum()
    }

    /// Whether this person looks at that alert.
    pub fn is_seen(&self, user: &str, alert: &str) -> bool {
        is_seen(self.seed, user, alert)
    }
}

/// A coin for each person and alert.
pub fn is_seen(seed: u64, user: &str, alert: &str) -> bool {
    let name = user.bytes().chain(*b"/").chain(alert.bytes());
    let mixed = name.fold(seed, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Chance::of(mixed).percent(50)
}

fn planned(
    number: usize,
    users: &[String],
    groups: &BTreeMap<String, Vec<String>>,
    chance: &mut Chance,
) -> Planned {
    let (to, recipients) = match chance.below(100) {
        0..10 => {
            let chosen = chance.pick(users, 3);
            (json!({"users": chosen}), chosen)
        }
        10..15 => {
            let (group, members) = groups.iter().nth(chance.below(groups.len())).unwrap();
            (json!({"groups": [group]}), members.clone())
        }
        _ => {
            let chosen = chance.pick(users, 1);
            (json!({"users": chosen}), chosen)
        }
    };
    let then = match chance.below(100) {
        0..10 => Then::Update,
        10..15 => Then::Resolve,
        _ => Then::Nothing,
    };
    Planned {
        id: format!("alert-{number}"),
        to,
        recipients: recipients.into_iter().collect(),
        twice: chance.percent(10),
        then,
    }
}

impl Planned {
    /// As it is published.
    pub fn body(&self, version: u32) -> Value {
        let status = match (version, self.then) {
            (2, Then::Resolve) => "resolved",
            _ => "firing",
        };
        json!({
            "id": self.id, "version": version, "to": self.to, "status": status,
            "title": format!("{} in version {version}", self.id),
        })
    }

    /// Its last version, which is how many changes it makes in each inbox before anybody looks.
    pub fn versions(&self) -> u32 {
        if self.then == Then::Nothing { 1 } else { 2 }
    }
}
