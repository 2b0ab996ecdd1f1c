//! Whether this process lives and whether it should get traffic: what `/readyz` shows (I14).
//!
//! What holds here:
//! - Parts are looked at once a [`LOOK_EVERY`], side by side and within [`LOOK_MAX`], whoever asks and however often: a
//!   probe reads the last look, so a storm of probes costs nothing and a hung service delays no answer.
//! - The log has one line when a part goes, one when it is back, with how many calls failed meanwhile, and none in between,
//!   unless the cause is another one. So whoever waits for the store or the broker has nothing to say of its own.
//! - What a role needs is decided in [`standing`], and nowhere else.

mod fault;
mod standing;

pub use fault::Fault;
pub(crate) use fault::chain;
pub use standing::{Part, Role, Standing, Status, standing};

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Clock;

/// How often the parts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a look at one part may take.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A part that goes on failing for another reason is told of again, but not more often than this.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long a process may take to see a part for the first time before the log says why it does not.
const TELL_FIRST: Duration = Duration::from_secs(2);

/// What was seen of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is as it should be.
    Ok,
    /// It works, and this is wrong with it.
    Degraded(Fault),
    /// It does not work, because of this.
    Failing(Fault),
    /// It cannot be seen at the moment, and counts as it was seen last.
    Hidden,
}

/// What one look tells: each part once.
pub type Looked = Vec<(Part, Seen)>;

/// A look at some parts.
#[derive(Clone)]
pub struct Check {
    /// Which parts it tells of.
    pub parts: &'static [Part],
    /// Looks.
    pub look: Arc<dyn Fn() -> BoxFuture<'static, Looked> + Send + Sync>,
    /// How many calls have failed since the process began, for want of these parts.
    pub failed_calls: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The readiness of a process. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    clock: Clock,
    leaving: AtomicBool,
    /// Set while the process is put together.
    roles: Mutex<Vec<Role>>,
    checks: Mutex<Vec<Check>>,
    parts: watch::Sender<BTreeMap<Part, PartState>>,
}

/// A part as it is, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartState {
    /// How it is.
    pub status: Status,
    /// Since when it is so.
    #[serde(serialize_with = "as_text")]
    pub since: Timestamp,
    /// Why, when it is not well.
    #[serde(flatten)]
    pub fault: Option<Fault>,
    /// What the log said last about it, and when.
    #[serde(skip)]
    told: Option<Fault>,
    #[serde(skip)]
    told_at: Timestamp,
    /// How many calls had failed when it was last seen to work.
    #[serde(skip)]
    failed_before: u64,
    /// Since when it does not work, as far as it was looked at.
    #[serde(skip)]
    went_at: Option<Timestamp>,
    /// The outage that ended with the last look.
    #[serde(skip)]
    over: Option<Outage>,
}

/// A time in which a part did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outage {
    lasted: SignedDuration,
    failed_calls: u64,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of the process: the worst of its roles.
    pub status: Standing,
    /// Of each role, with the parts it lacks.
    pub roles: BTreeMap<Role, RoleReport>,
    /// Every part that one of them stands on.
    pub parts: BTreeMap<Part, PartState>,
}

/// How one role is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleReport {
    /// How it is.
    pub status: Standing,
    /// The parts because of which it is not ready, or degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Part>,
}

impl Health {
    /// The health of a process that has nothing yet.
    pub fn new(clock: Clock) -> Self {
        let parts = watch::Sender::new(BTreeMap::new());
        Self(Arc::new(Inner {
            clock,
            leaving: AtomicBool::new(false),
            roles: Mutex::default(),
            checks: Mutex::default(),
            parts,
        }))
    }

    /// The process has these roles as well.
    pub fn add_roles(&self, roles: impl IntoIterator<Item = Role>) {
        lock(&self.0.roles).extend(roles);
    }

    /// Looks at these parts as well. They are failing until they have been seen.
    pub fn add_check(&self, check: Check) {
        let now = self.0.clock.now();
        self.0.parts.send_modify(|parts| {
            for part in check.parts {
                parts.insert(*part, PartState::unseen(now));
            }
        });
        lock(&self.0.checks).push(check);
    }

    /// From now on not ready: the first thing SIGTERM does (I10).
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::SeqCst);
    }

    /// Looks at every part until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Waits until this part has been seen to work, if only just; `false` when the process leaves before.
    pub async fn works(&self, part: Part, leaving: &CancellationToken) -> bool {
        let mut parts = self.0.parts.subscribe();
        let works =
            parts.wait_for(|parts| parts.get(&part).is_none_or(|state| state.status != Status::Failing));
        tokio::select! {
            () = leaving.cancelled() => false,
            // The sender lives in `self`.
            works = works => works.is_ok(),
        }
    }

    /// How the process is, by the last look.
    pub fn report(&self) -> Report {
        let mut parts = self.0.parts.borrow().clone();
        if self.0.leaving.load(Ordering::SeqCst) {
            let now = self.0.clock.now();
            let fault = Fault::passing("the process was asked to leave");
            parts.insert(Part::Leaving, PartState::failing(fault, now));
        }
        report_of(&lock(&self.0.roles), parts)
    }

    /// Looks once at everything.
    async fn look(&self) {
        let checks = lock(&self.0.checks).clone();
        let looks = checks.iter().map(|check| async {
            let seen = timeout(LOOK_MAX, (check.look)()).await;
            let seen: Looked = seen.unwrap_or_else(|_| {
                let silent = || Seen::Failing(Fault::passing(format!("no answer within {LOOK_MAX:?}")));
                check.parts.iter().map(|part| (*part, silent())).collect()
            });
            let failed_calls = (check.failed_calls)();
            seen.into_iter().map(move |(part, seen)| (part, seen, failed_calls))
        });
        let seen: Vec<(Part, Seen, u64)> = join_all(looks).await.into_iter().flatten().collect();
        let now = self.0.clock.now();
        self.0.parts.send_modify(|parts| {
            for (part, seen, failed_calls) in seen {
                let state = parts.entry(part).or_insert_with(|| PartState::unseen(now));
                let tell = state.see(seen, failed_calls, now);
                if tell {
                    tell_of(part, state);
                }
            }
        });
        measure(&self.report());
    }
}

impl PartState {
    /// Connecting takes a moment, so the log has nothing to say of it at first.
    fn unseen(now: Timestamp) -> Self {
        Self::failing(Fault::passing("it has not been seen since this process began"), now)
    }

    fn failing(fault: Fault, now: Timestamp) -> Self {
        Self {
            status: Status::Failing,
            since: now,
            fault: Some(fault),
            told: None,
            told_at: now,
            failed_before: 0,
            went_at: None,
            over: None,
        }
    }

    /// Takes in what was seen, and how many calls have failed by now; whether that is worth a line in the log.
    fn see(&mut self, seen: Seen, failed_calls: u64, now: Timestamp) -> bool {
        let (status, fault) = match seen {
            Seen::Ok => (Status::Ok, None),
            Seen::Degraded(fault) => (Status::Degraded, Some(fault)),
            Seen::Failing(fault) => (Status::Failing, Some(fault)),
            Seen::Hidden => return false,
        };
        self.over = None;
        match status {
            Status::Failing => self.went_at = self.went_at.or(Some(now)),
            Status::Ok | Status::Degraded => {
                self.over = self.went_at.take().map(|went_at| Outage {
                    lasted: now.duration_since(went_at),
                    failed_calls: failed_calls.saturating_sub(self.failed_before),
                });
                self.failed_before = failed_calls;
            }
        }
        let changed = status != self.status;
        let quiet = if self.told.is_none() { TELL_FIRST } else { TELL_EVERY };
        let may_tell = now.duration_since(self.told_at) >= quiet.try_into().unwrap_or_default();
        let is_worth_it = changed || (fault.is_some() && fault != self.told && may_tell);
        if changed {
            self.since = now;
        }
        if is_worth_it {
            (self.told, self.told_at) = (fault.clone(), now);
        }
        (self.status, self.fault) = (status, fault);
        is_worth_it
    }
}

fn report_of(roles: &[Role], parts: BTreeMap<Part, PartState>) -> Report {
    let of = |role: Role| {
        let mut report = RoleReport { status: Standing::Ready, lacks: Vec::new() };
        for (part, state) in &parts {
            let with = standing(role, *part, state.status);
            if with != Standing::Ready {
                report.lacks.push(*part);
            }
            report.status = report.status.max(with);
        }
        report
    };
    let roles: BTreeMap<Role, RoleReport> = roles.iter().map(|role| (*role, of(*role))).collect();
    // A process without any of these roles (the simulator) is ready unless it leaves.
    let leaves = if parts.contains_key(&Part::Leaving) { Standing::NotReady } else { Standing::Ready };
    let status = roles.values().map(|role| role.status).max().unwrap_or(leaves);
    Report { status, roles, parts }
}

fn tell_of(part: Part, state: &PartState) {
    let name = part.name();
    let (cause, remedy) = match &state.fault {
        Some(fault) => (fault.cause.as_ref(), fault.remedy.unwrap_or_default()),
        None => ("", ""),
    };
    match state.status {
        Status::Ok => match &state.over {
            None => info!(part = name, "Readiness: {name} is well"),
            Some(Outage { lasted, failed_calls }) => {
                let seconds = lasted.as_secs();
                info!(
                    part = name,
                    seconds,
                    failed_calls,
                    "Readiness: {name} is well again, after {seconds} s in which {failed_calls} calls failed"
                );
            }
        },
        Status::Degraded | Status::Failing if remedy.is_empty() => {
            warn!(part = name, status = ?state.status, "Readiness: {name}: {cause}");
        }
        Status::Degraded | Status::Failing => {
            warn!(part = name, status = ?state.status, "Readiness: {name}: {cause}; remedy: {remedy}");
        }
    }
}

/// 1 is well, 0.5 degraded, 0 not.
fn measure(report: &Report) {
    for (part, state) in &report.parts {
        let value = match state.status {
            Status::Ok => 1.0,
            Status::Degraded => 0.5,
            Status::Failing => 0.0,
        };
        metrics::gauge!("watchbell_ready", "part" => part.name()).set(value);
    }
    for (role, state) in &report.roles {
        let value = match state.status {
            Standing::Ready => 1.0,
            Standing::Degraded => 0.5,
            Standing::NotReady => 0.0,
        };
        metrics::gauge!("watchbell_role_ready", "role" => role.name()).set(value);
    }
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
