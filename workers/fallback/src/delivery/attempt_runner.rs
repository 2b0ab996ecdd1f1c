//! One call to a provider: what it is given, and what its answer means for the attempt.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{error, info, warn};
use watchbell::{
    domain::{
        AttemptKind, AttemptState, Channel, Device, DeviceId, StopReason,
        attempt::PUT_OFF,
        channel::{Addressing, Removal},
        next_step::{is_too_old, retry_wait},
    },
    store::{Answer, EscalationKey, NewAttempt, Walk},
};

use crate::{
    Fallback,
    channel::{
        Accepted, AlertContent, Blame, ChannelSender, Disposition, Job, Message, NotConfigured, Recipient,
        SendError, ThrottleScope, Withdrawal,
    },
    delivery::withdrawals::Gathered,
    escalation::timeline,
    guard::{Later, Pass, Said},
};

/// How long an attempt waits when a provider refuses our configuration: an operator has to act.
const CONFIG_FAULT_WAIT: Duration = Duration::from_secs(60);

impl Fallback {
    /// Calls the provider for one attempt and says what to record. Never fails: what went wrong is the answer.
    pub(crate) async fn call(&self, key: &EscalationKey, walk: &Walk, attempt: &NewAttempt) -> Answer {
        let now = self.clock.now();
        let begun = std::time::Instant::now();
        let result = self.send_one(key, walk, attempt, now).await;
        let outcome = match &result {
            Ok(_) => "accepted",
            Err(NotSent::Refused(error)) => error.code(),
            Err(NotSent::Nowhere(_)) => "nowhere",
            Err(NotSent::Later(_)) => "put_off",
        };
        let labels =
            [("channel", attempt.channel.as_str()), ("kind", attempt.kind.as_str()), ("outcome", outcome)];
        metrics::counter!("watchbell_fallback_attempts_total", &labels).increment(1);
        metrics::histogram!("watchbell_fallback_call_seconds", "channel" => attempt.channel.as_str())
            .record(begun.elapsed().as_secs_f64());
        let after = self.clock.now();
        if let Err(NotSent::Refused(error)) = &result {
            self.act_on(key, walk, attempt, error, after).await;
        }
        info!(alert.id = %key.alert, attempt = %attempt.id, channel = %attempt.channel, kind = %attempt.kind, outcome, "Attempt {}: {outcome}", attempt.id);
        answer_of(walk, attempt, result, after, (self.chance.jitter)())
    }

    async fn send_one(
        &self,
        key: &EscalationKey,
        walk: &Walk,
        attempt: &NewAttempt,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let channel = attempt.channel;
        let sender = self.channels.get(channel).ok_or(NotConfigured(channel.as_str()))?;
        let to = recipient_of(sender, key, walk, attempt)?;
        if let (AttemptKind::Withdrawal, Some(why)) = (attempt.kind, sender.why_kept(&to)) {
            return Err(NotSent::Nowhere(format!("not withdrawn: {why}")));
        }
        let shown = shown_to(walk, attempt);
        let locale = walk.locale.as_deref();
        let job = |message| Job { attempt: attempt.id, user: &key.user, to, message, shown, locale };
        let (alert, unread) = (key.alert.to_string(), walk.unread);
        let because = walk.progress.stopped.unwrap_or(StopReason::Expired);
        match (attempt.kind, channel.facts().removal) {
            (AttemptKind::Alert, _) => {
                let content = content_of(key, walk, channel)?;
                self.pass(sender, attempt, &job(Message::Alert(content)), now).await
            }
            (AttemptKind::Withdrawal, Removal::ByMessage) => {
                let alerts = vec![alert];
                let said = timeline::content_of(alerts[0].clone(), key, &walk.content, walk);
                let content = said.map(Box::new);
                let message = Message::Withdrawal(Withdrawal { alerts, unread, because, content });
                self.pass(sender, attempt, &job(message), now).await
            }
            (AttemptKind::Withdrawal, Removal::ByDevice) => {
                let device = attempt.device.clone().ok_or_else(|| nothing_shown(channel))?;
                let send = async |Gathered { alerts, unread }| {
                    let message = Message::Withdrawal(Withdrawal { alerts, unread, because, content: None });
                    self.pass(sender, attempt, &job(message), now).await
                };
                self.withdrawals.send((key.user.clone(), device), alert, unread, send).await
            }
            (AttemptKind::Withdrawal, Removal::Never) => Err(nothing_shown(channel)),
        }
    }

    /// One message, past the gates of its provider.
    async fn pass(
        &self,
        sender: &dyn ChannelSender,
        attempt: &NewAttempt,
        job: &Job<'_>,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let provider = sender.provider(job)?;
        let label = provider.label;
        let chance = (self.chance.jitter)();
        let call = self.guard.call(provider, job.user, job.to.secret());
        let pass = self.guard.enter(call.clone(), attempt.tries > 1, chance).await?;
        let mut sent = sender.send(job, now).await;
        if let Recipient::Device(_) = job.to {
            let is_dead = sent
                .as_ref()
                .is_err_and(|error| matches!(error.disposition(), Disposition::ForgetToken { .. }));
            let may_drop = self.guard.may_drop(label, &call, is_dead);
            sent = sent.map_err(|error| if may_drop { error } else { spared(error) });
        }
        end(pass, &sent);
        Ok(sent?)
    }

    /// What a refusal means beyond its attempt: dead tokens and addresses, and faults that an operator has to see.
    async fn act_on(
        &self,
        key: &EscalationKey,
        walk: &Walk,
        attempt: &NewAttempt,
        refused: &SendError,
        now: Timestamp,
    ) {
        let done = match refused.disposition() {
            Disposition::ForgetToken { unless_registered_after } => match device_of(walk, attempt) {
                Some(device) => {
                    self.store.forget_token(key, device, unless_registered_after, now).await.map(drop)
                }
                None => Ok(()),
            },
            Disposition::SuppressAddress => match &walk.addresses[attempt.channel] {
                Some(address) => {
                    let channel = attempt.channel;
                    self.store.suppress_address(&key.user, channel, address, now).await.map(drop)
                }
                None => Ok(()),
            },
            Disposition::ConfigFault => {
                report_config_fault(attempt, refused);
                Ok(())
            }
            Disposition::Retry { .. } | Disposition::DropMessage => Ok(()),
        };
        if let Err(error) = done {
            // It will be refused, and dropped, with the next alert.
            warn!(%error, "A dead token or address could not be dropped yet");
        }
    }
}

/// An operator has to see it, also where there is but one device and nobody who could agree.
fn report_config_fault(attempt: &NewAttempt, refused: &SendError) {
    let is_everybodys = matches!(refused, SendError::ConfigFault { blame: Blame::Everybody, .. });
    let blame = if is_everybodys { "everybody" } else { "device" };
    let labels = [("channel", attempt.channel.as_str()), ("blame", blame)];
    metrics::counter!("watchbell_fallback_config_faults_total", &labels).increment(1);
    let (channel, reason) = (attempt.channel, refused.reason());
    match is_everybodys {
        true => {
            error!(%channel, reason, "A provider refuses our configuration: nothing passes until an operator mends it");
        }
        false => {
            error!(%channel, reason, device = attempt.device.as_ref().map(DeviceId::as_str), "A provider refuses our configuration for one device, which rests: is this the right key, topic and environment? Others are sent to until several are refused");
        }
    }
}

/// What a refused token is while so many are refused that ours is the fault: it is kept. One that was never good here
/// waits for an operator; for one that is gone, the next channel is not held up.
fn spared(error: SendError) -> SendError {
    let kept = |reason: &str| format!("{reason}; so many tokens are refused that none is dropped");
    match error {
        SendError::BadToken { reason } => {
            SendError::ConfigFault { blame: Blame::Device, reason: kept(&reason) }
        }
        SendError::Unregistered { reason, .. } => SendError::Rejected { reason: kept(&reason) },
        other => other,
    }
}

/// A call is over. One that was never made says nothing of the provider.
fn end(pass: Pass<'_>, sent: &Result<Accepted, SendError>) {
    match said_of(sent) {
        Some(said) => pass.end(said),
        None => drop(pass),
    }
}

/// What an answer says of the provider, rather than of the message.
fn said_of(sent: &Result<Accepted, SendError>) -> Option<Said> {
    let said = match sent {
        Err(SendError::Unusable { .. }) => return None,
        Ok(_) => Said::Served,
        Err(SendError::Unavailable { .. } | SendError::Unreachable { .. }) => Said::Trouble,
        Err(SendError::Throttled { scope, retry_after, .. }) => {
            match (scope, retry_after.unwrap_or_default()) {
                (ThrottleScope::Provider, wait) => Said::Brake(wait),
                (ThrottleScope::Unnamed, wait) => Said::Throttled(wait),
                (ThrottleScope::Device, _) => Said::Answered,
            }
        }
        Err(SendError::ConfigFault { blame: Blame::Everybody, .. }) => Said::Broken,
        Err(SendError::ConfigFault { blame: Blame::Device, .. }) => Said::Refused,
        Err(
            SendError::Unregistered { .. }
            | SendError::BadToken { .. }
            | SendError::Rejected { .. }
            | SendError::AddressRefused { .. },
        ) => Said::Answered,
    };
    Some(said)
}

/// Why nothing was accepted.
#[derive(Debug, Clone)]
pub(crate) enum NotSent {
    /// A provider said so, or did not answer.
    Refused(SendError),
    /// There is nobody to ask.
    Nowhere(String),
    /// Nobody was asked: the provider is in trouble, or busy.
    Later(Later),
}

impl From<Later> for NotSent {
    fn from(later: Later) -> Self {
        Self::Later(later)
    }
}

impl From<NotConfigured> for NotSent {
    fn from(error: NotConfigured) -> Self {
        Self::Nowhere(error.to_string())
    }
}

impl From<SendError> for NotSent {
    fn from(error: SendError) -> Self {
        Self::Refused(error)
    }
}

fn device_of<'a>(walk: &'a Walk, attempt: &NewAttempt) -> Option<&'a Device> {
    walk.devices.iter().find(|device| Some(&device.id) == attempt.device.as_ref())
}

/// Where a message goes.
fn recipient_of<'a>(
    sender: &dyn ChannelSender,
    key: &EscalationKey,
    walk: &'a Walk,
    attempt: &NewAttempt,
) -> Result<Recipient<'a>, NotSent> {
    let facts = attempt.channel.facts();
    let (recipient, gone) = match facts.addressing {
        Addressing::Devices => {
            let device = device_of(walk, attempt).map(Recipient::Device);
            (device, "the device was unregistered meanwhile".to_owned())
        }
        Addressing::Address(_) => {
            let address = sender.address(&key.user, walk).map(Recipient::Address);
            (address, format!("{} any more", facts.phrases.nobody))
        }
    };
    recipient.ok_or(NotSent::Nowhere(gone))
}

/// What the provider called the messages of this walk's alert that its recipient may still see.
fn shown_to(walk: &Walk, attempt: &NewAttempt) -> Vec<String> {
    let shown = walk.progress.shown_by(attempt.channel).into_iter();
    let to_them = shown.filter(|shown| shown.device == attempt.device);
    to_them.filter_map(|shown| shown.message_id.clone()).collect()
}

fn nothing_shown(channel: Channel) -> NotSent {
    NotSent::Nowhere(format!("nothing is taken away by {channel}"))
}

/// What a provider is to show: one alert, or several in one.
fn content_of(key: &EscalationKey, walk: &Walk, channel: Channel) -> Result<AlertContent, NotSent> {
    let content = match &walk.bundle {
        Some(bundle) => timeline::summary_of(key, bundle, channel, walk),
        None => timeline::content_of(key.alert.to_string(), key, &walk.content, walk),
    };
    content.ok_or_else(|| NotSent::Nowhere("the stored alert cannot be read by this version".to_owned()))
}

/// What to record of a result. Pure; `chance` in 0..1 jitters the next try.
fn answer_of(
    walk: &Walk,
    attempt: &NewAttempt,
    result: Result<Accepted, NotSent>,
    now: Timestamp,
    chance: f64,
) -> Answer {
    let earlier = walk.progress.attempts.iter().find(|earlier| earlier.id == attempt.id);
    // An earlier try that nobody answered may have arrived, whatever is said now.
    let maybe_before = earlier.is_some_and(|earlier| earlier.maybe_shown);
    let shows = attempt.kind == AttemptKind::Alert && attempt.channel.can_remove();
    let was_called = !matches!(result, Err(NotSent::Later(_)));
    let message_id = result.as_ref().ok().and_then(|accepted| accepted.provider_id.clone());
    let answer = |state, next_try_at, maybe_shown: bool, reason| Answer {
        id: attempt.id,
        state,
        next_try_at,
        maybe_shown: shows && (maybe_shown || maybe_before),
        reason,
        message_id: message_id.clone(),
        was_called,
    };
    let created_at = earlier.map_or(now, |earlier| earlier.created_at);
    let refused = match result {
        Ok(_) => return answer(AttemptState::Accepted, None, true, None),
        Err(NotSent::Nowhere(why)) => return answer(AttemptState::Failed, None, false, Some(why)),
        Err(NotSent::Later(Later { why, .. })) if is_too_old(attempt.channel, created_at, now) => {
            return answer(AttemptState::Failed, None, false, Some(format!("given up after waiting: {why}")));
        }
        Err(NotSent::Later(Later { wait, why, is_trouble })) => {
            let mark = if is_trouble { PUT_OFF } else { "waits: " };
            return answer(AttemptState::Retrying, Some(now + wait), false, Some(format!("{mark}{why}")));
        }
        Err(NotSent::Refused(refused)) => refused,
    };
    let disposition = refused.disposition();
    let mark = if disposition == Disposition::ConfigFault { PUT_OFF } else { "" };
    let reason = Some(format!("{mark}{}: {}", refused.code(), refused.reason()));
    let ambiguous = matches!(refused, SendError::Unreachable { .. });
    let wait = match disposition {
        Disposition::Retry { wait_min } => retry_wait(attempt.tries, wait_min, chance),
        Disposition::ConfigFault => retry_wait(attempt.tries, CONFIG_FAULT_WAIT, chance),
        Disposition::ForgetToken { .. } | Disposition::DropMessage | Disposition::SuppressAddress => {
            return answer(AttemptState::Failed, None, false, reason);
        }
    };
    match is_too_old(attempt.channel, created_at, now) {
        true => answer(
            AttemptState::Failed,
            None,
            ambiguous,
            reason.map(|reason| format!("given up after {reason}")),
        ),
        false => answer(AttemptState::Retrying, Some(now + wait), ambiguous, reason),
    }
}
