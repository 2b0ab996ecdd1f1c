//! Pods share their sessions evenly again, after one was killed, added or taken away.
//!
//! Balancers decide where a session begins, and it stays there for as long as its client does. So a pod that comes back
//! is empty while the others hold its sessions. Each pod tells the store with its lease how many it holds; one that holds
//! more than the mean, while somebody is clearly beyond it, asks some of its sessions to move.
//!
//! What holds here:
//! - "Clearly" is the larger of a share of what a pod should hold, a number of sessions, and four standard deviations of
//!   what a balancer that dials at random would leave. So neither chance nor a small fleet makes sessions move. Once they
//!   do, it goes on until the fleet is well within that.
//! - A pod never gives more than it holds beyond the mean, and all together no more than the others have room for: the
//!   last of them lands where the fleet is level, so nothing swings back.
//! - Nobody moves while a pod leaves, has just started, says nothing (it may have been killed a moment ago), or is of a
//!   version that does not say what it holds.
//! - Where moving does not help (a pod that no balancer sends anybody), it is tried less and less often.
//!
//! [`to_move`] decides; [`Rebalancer`] looks and carries it out.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{
    domain::Timestamp,
    store::{PodLoad, Store},
    wire::CloseCode,
};

use crate::{
    config::SocketConfig,
    pod::{
        mailbox::{Item, Leave},
        status::PodStatus,
    },
};

/// The part of the interval in which sessions are asked to move, and that in which they are closed if they did not.
/// Together less than all of it: when a pod looks again, what it did is done and told.
const ASKED_IN: f64 = 0.5;
const CLOSED_IN: f64 = 0.3;
/// Rounds that are left out after moving did not help, at the most: half an hour at the default interval.
const ROUNDS_LEFT_OUT_MAX: u32 = 63;
/// How often between two comparisons a pod tells what it holds, at least.
const LOADS_PER_ROUND: u32 = 5;
/// A pod that has told nothing for so long, three renewals, may be dead, though its lease of 15 s still holds.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// How many standard deviations of chance are no sign of anything.
const SIGMAS: f64 = 4.0;
/// The same while sessions move already; and what part of the other bounds holds then.
const SIGMAS_GOING_ON: f64 = 2.5;
const BAND_GOING_ON: f64 = 0.5;
/// Of what chance alone would have brought to the pods with room, the part that shows that moving helps.
const HELPS: f64 = 0.25;

/// When sessions move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How often a pod looks.
    every: Duration,
    /// How far from what it should hold a pod may be: as a part of that, and in sessions.
    band: f64,
    band_sessions_min: f64,
    /// Sessions that one pod asks at the most.
    per_minute_max: f64,
}

impl Rules {
    pub(crate) fn of(config: &SocketConfig) -> Self {
        Self {
            every: config.rebalance_every,
            band: f64::from(config.rebalance_band_percent) / 100.0,
            band_sessions_min: f64::from(config.rebalance_sessions_min),
            per_minute_max: f64::from(config.rebalance_per_minute_max),
        }
    }

    /// A pod that has told nothing for so long may be dead.
    fn silence_max(&self) -> Duration {
        SILENCE_MAX.min(self.every * 3 / LOADS_PER_ROUND)
    }

    /// How far a pod may be from the `sessions` it should hold; nearer when it `goes_on` after sessions moved already, so
    /// that it does not end at the edge, where chance begins it anew.
    fn band(&self, sessions: f64, goes_on: bool) -> f64 {
        let (part, sigmas) = if goes_on { (BAND_GOING_ON, SIGMAS_GOING_ON) } else { (1.0, SIGMAS) };
        let bound = (self.band * sessions).max(self.band_sessions_min);
        (part * bound).max(sigmas * sessions.sqrt())
    }
}

/// How often a pod tells what it holds, when pods compare that every `rebalance_every`, and its lease is renewed every
/// `renew_every` at least.
pub(crate) fn told_every(rebalance_every: Duration, renew_every: Duration) -> Duration {
    match rebalance_every {
        Duration::ZERO => renew_every,
        every => renew_every.min(every / LOADS_PER_ROUND),
    }
}

/// What a pod gives away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moves {
    /// How many sessions.
    pub(crate) sessions: usize,
    /// Over how long they are asked.
    pub(crate) within: Duration,
    /// How many sessions the other pods lack.
    room: f64,
    /// By how much that has to shrink for moving to help.
    helps_by: f64,
}

/// How many sessions the pod that holds `own` asks to move, and within what time; `None`: the fleet is level, or not in a
/// state to be compared. `others` are all other living pods; one of an earlier version is `None`. It `goes_on` when some
/// moved in the round before. `chance` (0 to 1) decides about the fraction of a session.
pub(crate) fn to_move(
    own: PodLoad,
    others: &[Option<PodLoad>],
    rules: Rules,
    now: Timestamp,
    goes_on: bool,
    chance: f64,
) -> Option<Moves> {
    let others: Vec<PodLoad> = others.iter().copied().collect::<Option<_>>()?;
    let pods = || others.iter().chain([&own]);
    let is_steady = |pod: &PodLoad| {
        !pod.leaving && pod.started_at + rules.every <= now && now < pod.told_at + rules.silence_max()
    };
    if others.is_empty() || !pods().all(is_steady) {
        return None;
    }
    let count = pods().count() as f64;
    let total: f64 = pods().map(|pod| pod.sessions as f64).sum();
    let room_in_all: f64 = pods().map(|pod| pod.sessions_max as f64).sum();
    let mean = total / count;
    let by_size = |pod: &PodLoad| total * pod.sessions_max as f64 / room_in_all.max(1.0);
    // Whether a balancer knows the sizes of pods is not known here: what either would do is right.
    let beyond = |pod: &PodLoad| pod.sessions as f64 - by_size(pod).max(mean);
    let lack = |pod: &PodLoad| by_size(pod).min(mean).min(pod.sessions_max as f64) - pod.sessions as f64;

    let is_high = beyond(&own) > rules.band(by_size(&own).max(mean), goes_on);
    let is_low = |pod: &PodLoad| lack(pod) > rules.band(by_size(pod).min(mean), goes_on);
    if !is_high && !others.iter().any(is_low) {
        return None;
    }
    let room: f64 = others.iter().map(|pod| lack(pod).max(0.0)).sum();
    let all_beyond: f64 = pods().map(|pod| beyond(pod).max(0.0)).sum();
    let part = (room / all_beyond.max(1.0)).min(1.0);
    let most = rules.per_minute_max * rules.every.as_secs_f64() / 60.0;
    let sessions = ((beyond(&own) * part).min(most) + chance).floor();
    (sessions >= 1.0).then(|| Moves {
        sessions: sessions as usize,
        within: rules.every.mul_f64(ASKED_IN),
        room,
        helps_by: HELPS * sessions / count,
    })
}

/// Which rounds are left out, because moving did not help.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// What the round before was to change.
    last: Option<Moves>,
    /// Rounds that were left out when moving did not help the last time.
    left_out: u32,
    /// Rounds that are still to be left out.
    leave_out: u32,
}

impl Patience {
    /// Whether sessions moved in the round before.
    fn goes_on(&self) -> bool {
        self.last.is_some()
    }

    /// Whether these are carried out, as many as a round decided.
    pub(crate) fn allows(&mut self, moves: Option<Moves>) -> Option<Moves> {
        let Some(moves) = moves else {
            *self = Self::default();
            return None;
        };
        if self.leave_out > 0 {
            self.leave_out -= 1;
            return None;
        }
        if let Some(last) = self.last.take() {
            if last.room - moves.room < last.helps_by {
                self.left_out = (self.left_out * 2 + 1).min(ROUNDS_LEFT_OUT_MAX);
                self.leave_out = self.left_out - 1; // With this one.
                return None;
            }
            self.left_out = 0;
        }
        self.last = Some(moves);
        Some(moves)
    }
}

/// Compares what pods hold, and asks sessions of this one to move.
pub(crate) struct Rebalancer {
    pub(crate) store: Store,
    pub(crate) status: PodStatus,
    /// The name of this pod in the store.
    pub(crate) pod: String,
    pub(crate) rules: Rules,
}

impl Rebalancer {
    /// Compares, and gives away what is too much, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { store, status, pod, rules } = &self;
        if rules.every.is_zero() {
            return;
        }
        let mut patience = Patience::default();
        loop {
            // Pods do not look in step: what one does is seen by the next.
            let wait = rules.every.mul_f64(rand::random_range(1.0..1.2));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            let now = status.clock.now();
            let others = match store.other_pods(pod, now).await {
                Ok(others) => others,
                // Readiness tells of a store that is away.
                Err(error) if error.is_unavailable() => continue,
                Err(error) => {
                    warn!(%error, "What the other pods hold cannot be read: no session is moved");
                    continue;
                }
            };
            let moves = to_move(status.load(), &others, *rules, now, patience.goes_on(), rand::random());
            let allowed = patience.allows(moves);
            let outcome = match (moves, allowed) {
                (None, _) => "level",
                (Some(_), None) => "left_out",
                (Some(_), Some(_)) => "moved",
            };
            metrics::counter!("watchbell_socket_rebalance_rounds_total", "outcome" => outcome).increment(1);
            if let Some(moves) = allowed {
                self.ask_some(moves);
            }
        }
    }

    fn ask_some(&self, Moves { sessions, within, .. }: Moves) {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let slice = within.mul_f64(0.5);
        let asked = self.status.hub.give_some(sessions, |number| {
            let part = number as f64 / sessions as f64;
            Item::Leave(Leave {
                after_ms: millis(slice.mul_f64(part)),
                within_ms: millis(slice),
                grace_ms: millis(self.rules.every.mul_f64(CLOSED_IN)),
                code: CloseCode::Rebalance,
            })
        });
        info!(asked, "This pod holds more than its share: {asked} sessions are asked to move");
        metrics::counter!("watchbell_socket_rebalanced_total").increment(asked as u64);
    }
}

#[cfg(test)]
#[path = "rebalance_tests.rs"]
mod tests;
