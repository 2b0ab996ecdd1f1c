//! Broadcast channels: carries out what `domain::broadcast_channel` decides about each.
//!
//! What holds here:
//! - What is due is looked for in the store, as Live Activities are. What its alert says is read in the commit that takes it.
//! - What Apple calls a channel is kept before any activity is started with it. One that Apple made and that could not be kept is deleted
//!   again at once; only a process that dies in between leaves one behind.
//! - Only the latest version is told. A call goes past the guard of Apple's, and is repeated with its id (I6).

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use tracing::{info, warn};
use uuid::Uuid;
use watchbell::{
    domain::{
        AttemptId, StopReason, UserId, UserKey,
        broadcast_channel::{ChannelMove, next_channel_move},
        live_activity::Ending,
        next_step::retry_wait,
    },
    runtime::Clock,
    store::{KeptChannel, Store, TakenChannel},
};

use super::{content::content_for, message_sender::MessageSender, not_sent::NotSent};
use crate::{
    channel::{Accepted, ActivityEvent, ActivityMessage, Broadcast, BroadcastAct, Disposition},
    guard::PutOff,
    randomness::Jitter,
};

/// Channels that are taken at once. Each is one call at most.
pub(super) const TAKEN_MAX: usize = 20;
/// How long one waits when Apple refuses our configuration, or makes no more channels: an operator has to act.
const CONFIG_FAULT_WAIT: Duration = Duration::from_secs(60);
/// From this try on activities do without the channel, until it is made.
const TRIES_WAITED_FOR: u32 = 2;
/// After so many tries, ten minutes apart, an end or a deletion is given up: about a day.
const TRIES_MAX: u32 = 150;

/// Makes, tells, ends and deletes channels.
pub(super) struct ChannelRunner {
    store: Store,
    sender: Arc<MessageSender>,
    clock: Clock,
    jitter: Jitter,
    lease: Duration,
}

impl ChannelRunner {
    pub(super) fn new(
        store: Store,
        sender: Arc<MessageSender>,
        clock: Clock,
        jitter: Jitter,
        lease: Duration,
    ) -> Self {
        Self { store, sender, clock, jitter, lease }
    }

    /// Carries out what is due now, and says of how many channels.
    pub(super) async fn step(&self) -> usize {
        match self.store.take_channels(self.clock.now(), self.lease, TAKEN_MAX).await {
            Ok(taken) => {
                join_all(taken.iter().map(|taken| self.carry_out(taken))).await;
                taken.len()
            }
            // Readiness tells of a store that is away.
            Err(error) if error.is_unavailable() => 0,
            Err(error) => {
                warn!(%error, "Broadcast channels could not be looked for; this is tried again");
                0
            }
        }
    }

    async fn carry_out(&self, taken: &TakenChannel) {
        let now = self.clock.now();
        let next = next_channel_move(&taken.state, taken.now.as_ref(), now);
        let Some(act) = act_of(taken, next, now) else {
            self.keep(taken, &nothing_sent(next, now)).await;
            return;
        };
        let call = call_id(taken, next);
        let broadcast = Broadcast { call, app: taken.app.clone(), environment: taken.environment, act };
        let result = self.sender.send_broadcast(&taken.tenant, broadcast, taken.tries > 1, now).await;
        let outcome = outcome_of(taken, next, &result, self.clock.now(), (self.jitter)());
        let (tenant, alert, app, note) = (&taken.tenant, &taken.alert, &taken.app, &outcome.note);
        if outcome.is_fault {
            warn!(%tenant, alert.id = %alert, app, "{note}");
        } else {
            info!(%tenant, alert.id = %alert, app, "{note}");
        }
        if !self.keep(taken, &outcome.kept).await
            && let KeptChannel::Made { channel, .. } = outcome.kept
        {
            self.give_back(taken, channel).await;
        }
    }

    /// Whether it was kept.
    async fn keep(&self, taken: &TakenChannel, kept: &KeptChannel) -> bool {
        match self.store.keep_channel(taken, kept, self.clock.now()).await {
            Ok(is_kept) => is_kept,
            Err(error) => {
                warn!(%error, "What came of a broadcast channel could not be kept; it is looked at again when its lease ends");
                false
            }
        }
    }

    /// Nobody knows of a channel that was made and not kept, so that nobody else would delete it.
    async fn give_back(&self, taken: &TakenChannel, channel: String) {
        let call = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("give back {channel}").as_bytes());
        let act = BroadcastAct::Delete { channel };
        let broadcast = Broadcast { call, app: taken.app.clone(), environment: taken.environment, act };
        let result = self.sender.send_broadcast(&taken.tenant, broadcast, true, self.clock.now()).await;
        if result.is_err() {
            warn!(app = taken.app, "A broadcast channel that could not be kept is left at Apple");
        }
    }
}

/// What Apple is asked for; none when there is nothing to ask.
fn act_of(taken: &TakenChannel, next: ChannelMove, now: Timestamp) -> Option<BroadcastAct> {
    let event = match next {
        ChannelMove::Make => return Some(BroadcastAct::Make),
        ChannelMove::Delete => return Some(BroadcastAct::Delete { channel: taken.channel.clone()? }),
        ChannelMove::Update { is_urgent } => ActivityEvent::Update { is_urgent },
        ChannelMove::End(ending) => {
            ActivityEvent::End { stays: ending == Ending::Over(StopReason::Resolved) }
        }
        ChannelMove::Wait(_) | ChannelMove::Forget => return None,
    };
    let channel = taken.channel.clone()?;
    // What is broadcast names no person: only a start does.
    let nobody = UserKey::new(taken.tenant.clone(), UserId::parse("everyone").ok()?);
    let content = taken.now.and_then(|alert| {
        content_for(taken.alert.to_string(), &nobody, &taken.content, (alert.expires_at, 0))
    });
    let version = taken.now.map_or(0, |alert| alert.version);
    let message = ActivityMessage { event, content, version, decided_at: now, channel: None };
    Some(BroadcastAct::Tell { channel, message: Box::new(message) })
}

/// What Apple knows the call by: the same whenever it is repeated.
fn call_id(taken: &TakenChannel, next: ChannelMove) -> AttemptId {
    let what = match next {
        ChannelMove::Make => "make",
        ChannelMove::Update { .. } => "update",
        ChannelMove::End(_) => "end",
        ChannelMove::Delete | ChannelMove::Wait(_) | ChannelMove::Forget => "delete",
    };
    let version = taken.now.map(|alert| alert.version).filter(|_| what == "update");
    let TakenChannel { tenant, alert, environment, app, begun_at, .. } = taken;
    let begun_ms = begun_at.as_millisecond();
    let name =
        format!("{what} channel {version:?} {tenant} {alert} {} {app} {begun_ms}", environment.as_str());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn nothing_sent(next: ChannelMove, now: Timestamp) -> KeptChannel {
    match next {
        ChannelMove::Wait(due_at) => KeptChannel::Goes { told: None, due_at, is_to_repeat: false },
        ChannelMove::Make | ChannelMove::Update { .. } | ChannelMove::End(_) | ChannelMove::Delete => {
            KeptChannel::Goes { told: None, due_at: now, is_to_repeat: false }
        }
        ChannelMove::Forget => KeptChannel::Gone,
    }
}

/// What to keep of a call, and what the log says of it.
#[derive(Debug, PartialEq, Eq)]
struct ChannelOutcome {
    kept: KeptChannel,
    note: String,
    /// Whether somebody should look.
    is_fault: bool,
}

/// Pure: time and chance are arguments.
fn outcome_of(
    taken: &TakenChannel,
    next: ChannelMove,
    result: &Result<Accepted, NotSent>,
    now: Timestamp,
    chance: f64,
) -> ChannelOutcome {
    let told = taken.now.map(|alert| (alert.version, alert.severity));
    let version = taken.now.map_or(0, |alert| alert.version);
    let (what, done) = match next {
        ChannelMove::Make => ("make", "made".to_owned()),
        ChannelMove::Update { .. } => ("update", format!("told version {version}")),
        ChannelMove::End(ending) => ("end", format!("ended: {ending}")),
        ChannelMove::Delete => ("delete", "deleted".to_owned()),
        ChannelMove::Wait(_) | ChannelMove::Forget => ("wait", "waits".to_owned()),
    };
    let place = format!("broadcast channel of {}", taken.alert);
    let outcome =
        |kept, is_fault, why: &str| ChannelOutcome { kept, note: format!("{place}: {why}"), is_fault };
    let again = |wait: Duration, is_fault, why: &str| {
        let due_at = now + wait;
        let why = format!("{what} did not get through: {why}");
        match next {
            ChannelMove::Make if is_fault || taken.tries >= TRIES_WAITED_FOR => {
                let why = format!("{why}; Live Activities do without until it is made");
                outcome(KeptChannel::NotMade { due_at }, is_fault, &why)
            }
            ChannelMove::End(_) | ChannelMove::Delete if taken.tries >= TRIES_MAX => {
                outcome(KeptChannel::Gone, true, &format!("{why}; given up, it is left at Apple"))
            }
            _ => {
                let kept = KeptChannel::Goes { told: None, due_at, is_to_repeat: true };
                outcome(kept, is_fault, &format!("{why}; tried again"))
            }
        }
    };
    match result {
        Ok(accepted) => {
            let kept = match (next, &accepted.provider_id) {
                (ChannelMove::Make, Some(channel)) => KeptChannel::Made { channel: channel.clone(), told },
                (ChannelMove::Make, None) => KeptChannel::NotMade { due_at: now + CONFIG_FAULT_WAIT },
                (ChannelMove::End(_), _) => KeptChannel::Ended,
                (ChannelMove::Delete, _) => KeptChannel::Gone,
                // It is looked at once more, which finds out until when it waits.
                _ => KeptChannel::Goes { told, due_at: now, is_to_repeat: false },
            };
            outcome(kept, false, &format!("{done}, accepted by the provider"))
        }
        Err(NotSent::Nowhere(why)) => match next {
            ChannelMove::Make => again(CONFIG_FAULT_WAIT, true, why),
            _ => outcome(KeptChannel::Gone, true, &format!("{what} failed: {why}; it is left at Apple")),
        },
        Err(NotSent::PutOff(PutOff { wait, why, .. })) => again(*wait, false, why),
        Err(NotSent::Refused(refusal)) => {
            let why = format!("{}: {}", refusal.code(), refusal.reason());
            match (refusal.disposition(), next) {
                (Disposition::Retry { wait_min }, _) => {
                    again(retry_wait(taken.tries, wait_min, chance), false, &why)
                }
                // Of a channel that is made: the bound on channels, or a fault of ours.
                (Disposition::ConfigFault, _) | (_, ChannelMove::Make) => {
                    again(retry_wait(taken.tries, CONFIG_FAULT_WAIT, chance), true, &why)
                }
                (Disposition::ForgetToken { .. }, ChannelMove::Delete) => {
                    outcome(KeptChannel::Gone, false, "deleted: Apple has none any more")
                }
                (Disposition::ForgetToken { .. }, _) => {
                    let why = format!(
                        "{what} failed: {why}; Apple has none any more, so nobody who listens is told anything"
                    );
                    outcome(KeptChannel::Gone, true, &why)
                }
                // A version that Apple does not take is not tried again.
                (Disposition::DropMessage | Disposition::SuppressAddress, ChannelMove::Update { .. }) => {
                    let kept = KeptChannel::Goes { told, due_at: now, is_to_repeat: false };
                    outcome(kept, true, &format!("{what} failed: {why}"))
                }
                (Disposition::DropMessage | Disposition::SuppressAddress, ChannelMove::End(_)) => {
                    outcome(KeptChannel::Ended, true, &format!("{what} failed: {why}"))
                }
                (Disposition::DropMessage | Disposition::SuppressAddress, _) => {
                    outcome(KeptChannel::Gone, true, &format!("{what} failed: {why}; it is left at Apple"))
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "channel_runner_tests.rs"]
mod tests;
