//! Live Activities: carries out what `domain::live_activity` decides about each.
//!
//! What holds here:
//! - What is due is looked for in the store, so it needs no queue: whoever finds an activity has it for a lease. What its alert says
//!   and what its person did is read in the commit that takes it (I5).
//! - A call has an id that follows from what it is about, so that its repetition has the same one (I6). Only the latest version is
//!   told: what came in between is left out.
//! - A call goes past the guard of Apple's, as every push does.
//! - An end is a withdrawal: nothing holds it back but Apple.
//! - Each start, change, end and refusal is a line in the timeline of its alert.
//! - Channels come first, so that an activity which is to listen to one finds it there.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use watchbell::{
    domain::{
        AttemptId, Device, PushService, StopReason,
        live_activity::{ACTIVITY_LIFETIME, Ending, Move, next_move},
        next_step::retry_wait,
    },
    runtime::Clock,
    store::{KeptActivity, Store, TakenActivity},
};

use super::{
    channel_runner::{self, ChannelRunner},
    content::content_for,
    message_sender::MessageSender,
    not_sent::NotSent,
};
use crate::{
    channel::{Accepted, ActivityEvent, ActivityMessage, Disposition},
    guard::PutOff,
    randomness::Jitter,
};

/// How often they are looked for, so how often a device is told of an alert that changes without a pause.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Activities that are taken at once. Each is one call at most.
const TAKEN_MAX: usize = 100;
/// How long one waits when Apple refuses our configuration: an operator has to act.
const CONFIG_FAULT_WAIT: Duration = Duration::from_secs(60);

/// Starts, changes and ends Live Activities.
pub struct ActivityRunner {
    store: Store,
    sender: Arc<MessageSender>,
    clock: Clock,
    jitter: Jitter,
    lease: Duration,
    channels: ChannelRunner,
}

impl ActivityRunner {
    pub(crate) fn new(
        store: Store,
        sender: Arc<MessageSender>,
        clock: Clock,
        jitter: Jitter,
        lease: Duration,
    ) -> Self {
        let channels =
            ChannelRunner::new(store.clone(), sender.clone(), clock.clone(), jitter.clone(), lease);
        Self { store, sender, clock, jitter, lease, channels }
    }

    /// Looks after them until `shutdown`, and ends the calls that have begun.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (channels, activities) = self.step_of_both().await;
            // A full hand means that more is due.
            if channels < channel_runner::TAKEN_MAX && activities < TAKEN_MAX {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = sleep(LOOK_EVERY) => {}
                }
            }
        }
    }

    /// Carries out what is due now, and says of how many activities and channels.
    pub async fn step(&self) -> usize {
        let (channels, activities) = self.step_of_both().await;
        channels + activities
    }

    async fn step_of_both(&self) -> (usize, usize) {
        (self.channels.step().await, self.step_of_activities().await)
    }

    async fn step_of_activities(&self) -> usize {
        match self.store.take_activities(self.clock.now(), self.lease, TAKEN_MAX).await {
            Ok(taken) => {
                join_all(taken.iter().map(|taken| self.carry_out(taken))).await;
                taken.len()
            }
            // Readiness tells of a store that is away.
            Err(error) if error.is_unavailable() => 0,
            Err(error) => {
                warn!(%error, "Live Activities could not be looked for; this is tried again");
                0
            }
        }
    }

    async fn carry_out(&self, taken: &TakenActivity) {
        let now = self.clock.now();
        let next = next_move(&taken.activity, taken.alert.as_ref(), now);
        let (kept, note) = match message_of(taken, next, now) {
            Some(message) => {
                let result = self.send(taken, next, message, now).await;
                let now = self.clock.now();
                let outcome = outcome_of(taken, next, &result, now, (self.jitter)());
                (outcome.kept, Some(outcome.note))
            }
            None => (nothing_sent(next, now), None),
        };
        if let Some(note) = &note {
            info!(
                tenant = %taken.key.user.tenant,
                // An address in place of an id does not print.
                user = ?taken.key.user.user,
                alert.id = %taken.key.alert,
                device = %taken.device,
                "{note}"
            );
        }
        if let Err(error) = self.store.keep_activity(taken, &kept, note.as_deref(), self.clock.now()).await {
            warn!(%error, "What came of a Live Activity could not be kept; it is looked at again when its lease ends");
        }
    }

    async fn send(
        &self,
        taken: &TakenActivity,
        next: Move,
        message: ActivityMessage,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let token = if is_start(next) { &taken.start_token } else { &taken.token };
        let Some(token) = token.clone() else {
            return Err(NotSent::Nowhere("its token is gone".to_owned()));
        };
        let device = Device {
            id: taken.device.clone(),
            service: PushService::Apns,
            token,
            environment: taken.environment,
            bound_to: taken.bound_to.clone(),
            start_token: None,
            registered_at: taken.token_at.or(taken.registered_at).unwrap_or(now),
            issued_at: None,
        };
        let attempt = attempt_id(taken, next);
        self.sender.send_activity(&taken.key.user, &device, attempt, message, taken, now).await
    }
}

/// What a device is told; none when there is nothing to send.
fn message_of(taken: &TakenActivity, next: Move, now: Timestamp) -> Option<ActivityMessage> {
    let event = match next {
        Move::Start { .. } => ActivityEvent::Start,
        Move::Update { is_urgent } => ActivityEvent::Update { is_urgent },
        Move::End(ending) => ActivityEvent::End { stays: ending == Ending::Over(StopReason::Resolved) },
        Move::Wait(_) | Move::Forget => return None,
    };
    let content = taken.alert.and_then(|alert| {
        content_for(
            taken.key.alert.to_string(),
            &taken.key.user,
            &taken.content,
            (alert.expires_at, taken.unread),
        )
    });
    let version = taken.alert.map_or(0, |alert| alert.version);
    Some(ActivityMessage { event, content, version, decided_at: now, channel: channel_of(taken, next) })
}

fn is_start(next: Move) -> bool {
    matches!(next, Move::Start { .. })
}

/// The channel that it listens to from its start on.
fn channel_of(taken: &TakenActivity, next: Move) -> Option<String> {
    let listens = taken.listens.as_ref().filter(|_| next == Move::Start { listens: true });
    listens?.channel.clone()
}

/// What Apple knows the call by: the same whenever it is repeated.
fn attempt_id(taken: &TakenActivity, next: Move) -> AttemptId {
    let (what, version) = match next {
        Move::Start { .. } => ("start", None),
        Move::Update { .. } => ("update", taken.alert.map(|alert| alert.version)),
        Move::End(_) | Move::Wait(_) | Move::Forget => ("end", None),
    };
    let TakenActivity { key, device, activity, .. } = taken;
    let begun_ms = activity.begun_at.as_millisecond();
    let (tenant, user, alert) = (&key.user.tenant, key.user.user.as_str(), &key.alert);
    let name = format!("{what} {version:?} {tenant} {user} {alert} {device} {begun_ms}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn nothing_sent(next: Move, now: Timestamp) -> KeptActivity {
    match next {
        Move::Wait(due_at) => KeptActivity::Goes { told: None, due_at, is_to_repeat: false },
        Move::Forget => KeptActivity::Over,
        Move::Start { .. } | Move::Update { .. } | Move::End(_) => {
            KeptActivity::Goes { told: None, due_at: now, is_to_repeat: false }
        }
    }
}

/// What to keep of a call, and what the timeline says of it.
#[derive(Debug, PartialEq, Eq)]
struct ActivityOutcome {
    kept: KeptActivity,
    note: String,
}

/// Pure: time and chance are arguments.
fn outcome_of(
    taken: &TakenActivity,
    next: Move,
    result: &Result<Accepted, NotSent>,
    now: Timestamp,
    chance: f64,
) -> ActivityOutcome {
    let version = taken.alert.map_or(0, |alert| alert.version);
    let (what, done) = match next {
        Move::Start { listens: false } => ("start".to_owned(), format!("started with version {version}")),
        Move::Start { listens: true } => {
            let done = format!("started with version {version}, and listens to the channel of its alert");
            ("start".to_owned(), done)
        }
        Move::Update { .. } => ("update".to_owned(), format!("shows version {version}")),
        Move::End(ending) => ("end".to_owned(), format!("ended: {ending}")),
        Move::Wait(_) | Move::Forget => ("wait".to_owned(), "waits".to_owned()),
    };
    let place = format!("live activity on {}", taken.device);
    let failed = |why: &str| format!("{place}: {what} failed: {why}");
    let again = |wait: Duration, why: &str| ActivityOutcome {
        kept: KeptActivity::Goes { told: None, due_at: now + wait, is_to_repeat: true },
        note: format!("{place}: {what} did not get through: {why}; tried again"),
    };
    match result {
        Ok(_) => {
            let told = taken.alert.map(|alert| (alert.version, alert.severity));
            let kept = match (next, channel_of(taken, next).zip(told)) {
                (Move::End(_), _) => KeptActivity::Ended,
                (_, Some((channel, told))) => {
                    let due_at = taken.activity.begun_at + ACTIVITY_LIFETIME;
                    KeptActivity::Listens { channel, told, due_at }
                }
                // It is looked at once more, which finds out until when it waits.
                _ => KeptActivity::Goes { told, due_at: now, is_to_repeat: false },
            };
            ActivityOutcome { kept, note: format!("{place}: {done}, accepted by the provider") }
        }
        Err(NotSent::Nowhere(why)) => ActivityOutcome { kept: KeptActivity::Ended, note: failed(why) },
        Err(NotSent::PutOff(PutOff { wait, why, .. })) => again(*wait, why),
        Err(NotSent::Refused(refusal)) => {
            let why = format!("{}: {}", refusal.code(), refusal.reason());
            match refusal.disposition() {
                Disposition::Retry { wait_min } => again(retry_wait(taken.tries, wait_min, chance), &why),
                Disposition::ConfigFault => again(retry_wait(taken.tries, CONFIG_FAULT_WAIT, chance), &why),
                Disposition::ForgetToken { unless_registered_after } => ActivityOutcome {
                    kept: KeptActivity::TokenGone { unless_registered_after },
                    note: format!("{}; the provider says its token is gone, it was dropped", failed(&why)),
                },
                Disposition::DropMessage | Disposition::SuppressAddress => {
                    ActivityOutcome { kept: given_up(taken, next, now), note: failed(&why) }
                }
            }
        }
    }
}

/// A version that Apple does not take is not tried again, and what the device shows stays until the next one.
fn given_up(taken: &TakenActivity, next: Move, now: Timestamp) -> KeptActivity {
    let told = taken.alert.map(|alert| (alert.version, alert.severity));
    match next {
        Move::Update { .. } => KeptActivity::Goes { told, due_at: now, is_to_repeat: false },
        Move::Start { .. } | Move::End(_) | Move::Wait(_) | Move::Forget => KeptActivity::Ended,
    }
}

#[cfg(test)]
#[path = "activity_runner_tests.rs"]
mod tests;
