//! The spans of fallback: an escalation that is due, its run, and each call of a provider. They go on from the trace that the
//! store has of an alert, which only a sampled one has.

use watchbell::{
    broker::Message,
    domain::Timestamp,
    runtime::traces::{
        self, Span, Told,
        span_table::{
            ALERT, ATTEMPT, ATTEMPT_KIND, ATTEMPT_SPAN, CHANNEL, DUE, ESCALATE, LATENESS, MESSAGE_ID,
            OUTCOME, PROVIDER, TENANT, TRY,
        },
    },
    store::{Claim, EscalationKey, NewAttempt, StoreError},
    wire::TraceContext,
};

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptEnd {
    /// In a word, as metrics have it.
    pub(crate) outcome: &'static str,
    /// Whether its provider refused it.
    pub(crate) is_refused: bool,
}

/// An escalation that was claimed, of an alert with this trace.
pub(crate) fn due(claim: &Claim, stored: Option<&String>, now: Timestamp) -> Span {
    let trace = stored.and_then(|stored| TraceContext::read_stored(stored));
    let mut span = traces::below(&DUE, trace.as_ref());
    span.tell(|told| {
        let late_ms = now.as_millisecond().saturating_sub(claim.due_at.as_millisecond()).max(0);
        of(told, &claim.key).say(&LATENESS, late_ms);
    });
    span
}

/// The message that a sender takes goes on from here.
pub(crate) fn publishing(span: &mut Span, message: &mut Message) {
    span.carry_in(&mut message.headers);
    span.tell(|told| {
        told.say(&MESSAGE_ID, message.message_id.clone());
    });
}

/// An escalation that a sender took from the queue.
pub(crate) fn taken(key: &EscalationKey, message: &Message) -> Span {
    let mut span = traces::below(&ESCALATE, traces::context_of(&message.headers).as_ref());
    span.tell(|told| {
        of(told, key).say(&MESSAGE_ID, message.message_id.clone());
    });
    span
}

/// An escalation that the escalator runs by itself, because the broker is away.
pub(crate) fn run_here(key: &EscalationKey, due: &Span) -> Span {
    let mut span = traces::below(&ESCALATE, due.context());
    span.tell(|told| {
        of(told, key);
    });
    span
}

/// How a run ended.
pub(crate) fn ran(span: &mut Span, ran: &Result<(), StoreError>) {
    match ran {
        Ok(()) => {}
        Err(StoreError::Unavailable { .. }) => span.fail("unavailable"),
        Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) => span.fail("refused"),
    }
}

/// A call of a provider.
pub(crate) fn attempt(
    key: &EscalationKey,
    attempt: &NewAttempt,
    provider: &'static str,
    trace: Option<&TraceContext>,
) -> Span {
    let name = || format!("attempt {}", attempt.channel).into();
    let mut span = traces::named_below(&ATTEMPT_SPAN, name, trace);
    span.tell(|told| {
        of(told, key)
            .say(&CHANNEL, attempt.channel.as_str())
            .say(&PROVIDER, provider)
            .say(&ATTEMPT, attempt.id.to_string())
            .say(&ATTEMPT_KIND, attempt.kind.as_str())
            .say(&TRY, i64::from(attempt.tries));
    });
    span
}

/// How it ended. What was put off, or has nobody to go to any more, is no error.
pub(crate) fn ended(span: &mut Span, end: AttemptEnd) {
    span.tell(|told| {
        told.say(&OUTCOME, end.outcome);
    });
    if end.is_refused {
        span.fail(end.outcome);
    }
}

/// Which escalation it is.
fn of<'a, 'b>(told: &'a mut Told<'b>, key: &EscalationKey) -> &'a mut Told<'b> {
    let EscalationKey { user, alert } = key;
    told.say(&TENANT, user.tenant.to_string()).say(&ALERT, alert.to_string()).user(&user.user)
}
