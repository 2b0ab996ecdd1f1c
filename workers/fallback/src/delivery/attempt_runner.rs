//! Carries out one attempt: sends its message, acts on a refusal, and says what to record.

use std::{sync::Arc, time::Instant};

use tracing::{Instrument as _, info, warn};
use watchbell::{
    runtime::Clock,
    store::{Escalation, EscalationKey, NewAttempt, ProviderAnswer, Store, WantedActivity},
    wire::TraceContext,
};

use super::{
    attempt_record::record_of,
    message_sender::{MessageSender, device_of},
    not_sent::NotSent,
    refusals,
};
use crate::{
    channel::Accepted,
    randomness::Jitter,
    trace::{self, AttemptEnd},
};

/// Carries attempts out.
pub(crate) struct AttemptRunner {
    sender: Arc<MessageSender>,
    /// For what a refusal means beyond its attempt.
    store: Store,
    clock: Clock,
    jitter: Jitter,
}

impl AttemptRunner {
    pub(crate) fn new(sender: Arc<MessageSender>, store: Store, clock: Clock, jitter: Jitter) -> Self {
        Self { sender, store, clock, jitter }
    }

    /// Calls the provider for one attempt, and says what to record. It never fails: what went wrong is in the record.
    pub(crate) async fn run(
        &self,
        key: &EscalationKey,
        escalation: &Escalation,
        attempt: &NewAttempt,
        trace: Option<&TraceContext>,
    ) -> ProviderAnswer {
        let mut span = trace::attempt(key, attempt, provider_of(escalation, attempt), trace);
        let log = span.log();
        let (answer, ended) = self.call(key, escalation, attempt).instrument(log).await;
        trace::ended(&mut span, ended);
        answer
    }

    /// Where the alert is to be a Live Activity on the device besides, it is from its push on. That is a view of the alert beside the push,
    /// so a store that cannot take it holds up nothing.
    async fn want_activity(&self, key: &EscalationKey, escalation: &Escalation, attempt: &NewAttempt) {
        let Some(device) = self.sender.activity_wanted(key, escalation, attempt) else { return };
        let app = self.sender.channel_app(device);
        let wanted = WantedActivity { key, device, listens_in: app.as_deref() };
        if let Err(error) = self.store.want_activity(wanted, self.clock.now()).await {
            warn!(%error, alert.id = %key.alert, "A Live Activity could not be wanted; its alert is pushed without one");
        }
    }

    /// Calls the provider, and says what came of it in a word besides.
    async fn call(
        &self,
        key: &EscalationKey,
        escalation: &Escalation,
        attempt: &NewAttempt,
    ) -> (ProviderAnswer, AttemptEnd) {
        let begun = Instant::now();
        self.want_activity(key, escalation, attempt).await;
        let result = self.sender.send(key, escalation, attempt, self.clock.now()).await;
        let outcome = outcome_word(&result);
        let labels =
            [("channel", attempt.channel.as_str()), ("kind", attempt.kind.as_str()), ("outcome", outcome)];
        metrics::counter!("watchbell_fallback_attempts_total", &labels).increment(1);
        metrics::histogram!("watchbell_fallback_call_seconds", "channel" => attempt.channel.as_str())
            .record(begun.elapsed().as_secs_f64());
        let ended_at = self.clock.now();
        if let Err(NotSent::Refused(refusal)) = &result {
            refusals::act_on(&self.store, key, escalation, attempt, refusal, ended_at).await;
        }
        let provider = provider_of(escalation, attempt);
        info!(
            tenant = %key.user.tenant,
            // An address in place of an id does not print.
            user = ?key.user.user,
            alert.id = %key.alert,
            attempt = %attempt.id,
            channel = %attempt.channel,
            provider,
            kind = %attempt.kind,
            outcome,
            "Attempt {} ended: {outcome}",
            attempt.id
        );
        let ended = AttemptEnd { outcome, is_refused: matches!(result, Err(NotSent::Refused(_))) };
        (record_of(escalation, attempt, result, ended_at, (self.jitter)()), ended)
    }
}

/// Who was to be called: the push service of a device, or the one provider of a channel.
fn provider_of(escalation: &Escalation, attempt: &NewAttempt) -> &'static str {
    device_of(escalation, attempt).map_or(attempt.channel.as_str(), |device| device.service.as_str())
}

/// In logs and metrics.
fn outcome_word(result: &Result<Accepted, NotSent>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(NotSent::Refused(refusal)) => refusal.code(),
        Err(NotSent::Nowhere(_)) => "nowhere",
        Err(NotSent::PutOff(_)) => "put_off",
    }
}
