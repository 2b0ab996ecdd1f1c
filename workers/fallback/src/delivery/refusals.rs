//! What a refusal means beyond its attempt: a dead token or address is dropped (I7), and an operator hears of a fault of the
//! configuration.

use jiff::Timestamp;
use tracing::{error, warn};
use watchbell::{
    domain::DeviceId,
    store::{Escalation, EscalationKey, NewAttempt, Store},
};

use super::message_sender::device_of;
use crate::channel::{Blame, Disposition, SendError};

/// Does what a refusal asks for, except to its attempt.
pub(super) async fn act_on(
    store: &Store,
    key: &EscalationKey,
    escalation: &Escalation,
    attempt: &NewAttempt,
    refusal: &SendError,
    now: Timestamp,
) {
    let done = match refusal.disposition() {
        Disposition::ForgetToken { unless_registered_after } => match device_of(escalation, attempt) {
            Some(device) => store.forget_token(key, device, unless_registered_after, now).await.map(drop),
            None => Ok(()),
        },
        Disposition::SuppressAddress => match &escalation.addresses[attempt.channel] {
            Some(address) => {
                let because = refusal.reason();
                store.suppress_address(&key.user, attempt.channel, address, because, now).await.map(drop)
            }
            None => Ok(()),
        },
        Disposition::ConfigFault => {
            report_config_fault(attempt, refusal);
            Ok(())
        }
        Disposition::Retry { .. } | Disposition::DropMessage => Ok(()),
    };
    if let Err(error) = done {
        // The next alert is refused in the same way, and the token is dropped then.
        warn!(%error, "A dead token or address could not be dropped yet");
    }
}

/// Reported also where there is only one device, so that no other device could confirm the fault.
fn report_config_fault(attempt: &NewAttempt, refusal: &SendError) {
    let is_everybodys = matches!(refusal, SendError::ConfigFault { blame: Blame::Everybody, .. });
    let blame = if is_everybodys { "everybody" } else { "device" };
    let labels = [("channel", attempt.channel.as_str()), ("blame", blame)];
    metrics::counter!("watchbell_fallback_config_faults_total", &labels).increment(1);
    let (channel, reason) = (attempt.channel, refusal.reason());
    match is_everybodys {
        true => {
            error!(%channel, reason, "A provider refuses our configuration. Nothing is sent by it until an operator corrects the configuration");
        }
        false => {
            error!(%channel, reason, device = attempt.device.as_ref().map(DeviceId::as_str), "A provider refuses our configuration for one device, which is not called for a while. Check the key, the topic and the environment. Other devices are called until several are refused");
        }
    }
}
