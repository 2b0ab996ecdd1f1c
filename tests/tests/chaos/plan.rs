//! What will happen in one run, from its seed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use watchbell_tests::fleet::Engine;

use crate::chance::Chance;

/// Members of each group.
const GROUP_SIZE: usize = 6;

/// How much happens.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub users: usize,
    pub alerts: usize,
    /// How often each worker is killed.
    pub rounds: usize,
}

impl Size {
    /// The whole proof with `WATCHBELL_CHAOS=full`, a short one without.
    pub fn of_this_run() -> Self {
        match std::env::var("WATCHBELL_CHAOS").as_deref() {
            Ok("full") => Self { users: 200, alerts: 2_000, rounds: 2 },
            _ => Self { users: 60, alerts: 400, rounds: 1 },
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
    /// Who is killed, in order.
    pub kills: Vec<&'static str>,
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
            Engine::Embedded => &["up", "up"],
            Engine::Services => &["ingest", "dispatch", "socket-1", "socket-2", "fallback"],
        };
        let mut kills = Vec::new();
        for _ in 0..size.rounds {
            let mut turn = names.to_vec();
            while !turn.is_empty() {
                kills.push(turn.swap_remove(chance.below(turn.len())));
            }
        }
        Self { seed, users, groups, alerts, kills }
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
