//! What is recorded of an attempt after its provider was called, or was not. Pure: time and chance are arguments.

use std::time::Duration;

use jiff::Timestamp;
use watchbell::{
    domain::{
        AttemptKind, AttemptState,
        attempt::PUT_OFF,
        next_step::{is_too_old, retry_wait},
    },
    store::{Escalation, NewAttempt, ProviderAnswer},
};

use super::not_sent::NotSent;
use crate::{
    channel::{Accepted, Disposition, SendError},
    guard::PutOff,
};

/// How long an attempt waits when a provider refuses our configuration: an operator has to act.
const CONFIG_FAULT_WAIT: Duration = Duration::from_secs(60);

/// What to record of a result. `chance` in 0..1 spreads the next try.
pub(super) fn record_of(
    escalation: &Escalation,
    attempt: &NewAttempt,
    result: Result<Accepted, NotSent>,
    now: Timestamp,
    chance: f64,
) -> ProviderAnswer {
    let earlier = escalation.progress.attempts.iter().find(|earlier| earlier.id == attempt.id);
    // An earlier try without an answer may have arrived, whatever is answered now.
    let maybe_before = earlier.is_some_and(|earlier| earlier.maybe_shown);
    let shows = attempt.kind == AttemptKind::Alert && attempt.channel.can_remove();
    let was_called = !matches!(result, Err(NotSent::PutOff(_)));
    let message_id = result.as_ref().ok().and_then(|accepted| accepted.provider_id.clone());
    let record = |state, next_try_at, maybe_shown: bool, reason| ProviderAnswer {
        id: attempt.id,
        state,
        next_try_at,
        maybe_shown: shows && (maybe_shown || maybe_before),
        reason,
        message_id: message_id.clone(),
        was_called,
    };
    let created_at = earlier.map_or(now, |earlier| earlier.created_at);
    let refusal = match result {
        Ok(_) => return record(AttemptState::Accepted, None, true, None),
        Err(NotSent::Nowhere(why)) => return record(AttemptState::Failed, None, false, Some(why)),
        Err(NotSent::PutOff(PutOff { why, .. })) if is_too_old(attempt.channel, created_at, now) => {
            return record(AttemptState::Failed, None, false, Some(format!("given up after waiting: {why}")));
        }
        Err(NotSent::PutOff(PutOff { wait, why, is_trouble })) => {
            let mark = if is_trouble { PUT_OFF } else { "waits: " };
            return record(AttemptState::Retrying, Some(now + wait), false, Some(format!("{mark}{why}")));
        }
        Err(NotSent::Refused(refusal)) => refusal,
    };
    let disposition = refusal.disposition();
    let mark = if disposition == Disposition::ConfigFault { PUT_OFF } else { "" };
    let reason = format!("{mark}{}: {}", refusal.code(), refusal.reason());
    let is_ambiguous = matches!(refusal, SendError::Unreachable { .. });
    let wait = match disposition {
        Disposition::Retry { wait_min } => retry_wait(attempt.tries, wait_min, chance),
        Disposition::ConfigFault => retry_wait(attempt.tries, CONFIG_FAULT_WAIT, chance),
        Disposition::ForgetToken { .. } | Disposition::DropMessage | Disposition::SuppressAddress => {
            return record(AttemptState::Failed, None, false, Some(reason));
        }
    };
    match is_too_old(attempt.channel, created_at, now) {
        true => record(AttemptState::Failed, None, is_ambiguous, Some(format!("given up after {reason}"))),
        false => record(AttemptState::Retrying, Some(now + wait), is_ambiguous, Some(reason)),
    }
}

#[cfg(test)]
#[path = "attempt_record_tests.rs"]
mod tests;
