//! The spans that the program makes, and the attributes that they have. `docs/traces.md` is made from this table.
//!
//! What holds here:
//! - Names and attributes are those of OpenTelemetry's semantic conventions where there are any (general, HTTP, messaging and
//!   RabbitMQ, as of 1.45), and begin with `watchbell.` otherwise.
//! - No attribute has what an alert says, an address, a token or a path. Whose it is stands in one alone ([`USER`]), which is left
//!   out unless `tracing.user_ids` asks for it.
//! - A span's name has few values.

use opentelemetry::trace::SpanKind;

/// An attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its public name.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
}

/// A span, as its part of the program makes it.
#[derive(Debug)]
pub struct SpanDef {
    /// Its public name; `{…}` stands for something with few values.
    pub name: &'static str,
    /// What OpenTelemetry calls its kind.
    pub kind: SpanKind,
    /// The worker that makes it.
    pub role: &'static str,
    /// The span that it is below.
    pub parent: &'static str,
    /// From when to when, and what its links are.
    pub help: &'static str,
    /// What a span of messaging has from its beginning.
    pub messaging: Option<Messaging>,
    /// The others that it may have.
    pub attributes: &'static [Attribute],
}

/// What is known of each message of a span.
#[derive(Debug)]
pub struct Messaging {
    /// `send` or `process`.
    pub operation: &'static str,
    /// The exchange, and for who takes from a queue, the queue after a colon. `{…}` stands for a number.
    pub destination: &'static str,
}

const fn attribute(name: &'static str, help: &'static str) -> Attribute {
    Attribute { name, help }
}

/// Of every span of messaging.
pub const MESSAGING_SYSTEM: Attribute =
    attribute("messaging.system", "`rabbitmq`, or `watchbell` for the embedded broker.");
/// See [`Messaging::operation`].
pub const OPERATION_TYPE: Attribute = attribute("messaging.operation.type", "`send` or `process`.");
/// The same: we have no words of our own for it.
pub const OPERATION_NAME: Attribute = attribute("messaging.operation.name", "The same.");
/// See [`Messaging::destination`].
pub const DESTINATION: Attribute = attribute(
    "messaging.destination.name",
    "The exchange or queue; of who takes, the exchange and the queue with a colon between.",
);
/// What every span of messaging has.
pub const OF_MESSAGING: [&Attribute; 4] = [&MESSAGING_SYSTEM, &OPERATION_TYPE, &OPERATION_NAME, &DESTINATION];

/// The message's own id.
pub const MESSAGE_ID: Attribute = attribute("messaging.message.id", "The message's id.");
/// How many.
pub const BATCH_COUNT: Attribute =
    attribute("messaging.batch.message_count", "How many alerts the batch had, sampled or not.");
/// Of HTTP.
pub const METHOD: Attribute = attribute("http.request.method", "`GET`, `POST` and the like.");
/// Of HTTP.
pub const ROUTE: Attribute =
    attribute("http.route", "The route's pattern; never the path, which may hold a key.");
/// Of HTTP.
pub const STATUS: Attribute = attribute("http.response.status_code", "What was answered.");
/// What went wrong.
pub const ERROR_TYPE: Attribute = attribute(
    "error.type",
    "Why it failed: a status from 500 on, `refused`, `unavailable`, or what the provider's refusal is called in metrics.",
);
/// The tenant.
pub const TENANT: Attribute = attribute("watchbell.tenant", "The tenant.");
/// The alert.
pub const ALERT: Attribute = attribute("watchbell.alert.id", "The alert's id.");
/// The alert's version.
pub const VERSION: Attribute = attribute("watchbell.alert.version", "The alert's version.");
/// The person, if that is wanted.
pub const USER: Attribute = attribute(
    "watchbell.user",
    "The person's id, only with `tracing.user_ids = true`. An id that is an address is `redacted`.",
);
/// How many people.
pub const RECIPIENTS: Attribute = attribute("watchbell.recipients", "How many people it was for here.");
/// The field at fault.
pub const FIELD: Attribute = attribute("watchbell.refused.field", "The field that was refused.");
/// How late a timer was.
pub const LATENESS: Attribute =
    attribute("watchbell.timer.lateness_ms", "How long after it was due the escalation was claimed.");
/// The channel of an attempt.
pub const CHANNEL: Attribute = attribute("watchbell.channel", "`push`, `email` and so on.");
/// The provider of an attempt.
pub const PROVIDER: Attribute = attribute("watchbell.provider", "The push service, or the channel.");
/// The attempt's id.
pub const ATTEMPT: Attribute = attribute("watchbell.attempt.id", "The attempt's id, as in `explain`.");
/// What an attempt was for.
pub const ATTEMPT_KIND: Attribute = attribute("watchbell.attempt.kind", "`alert` or `withdrawal`.");
/// Which try it was.
pub const TRY: Attribute = attribute("watchbell.attempt.try", "1 for the first.");
/// How an attempt ended.
pub const OUTCOME: Attribute =
    attribute("watchbell.attempt.outcome", "How it ended, as in `watchbell_fallback_attempts_total`.");

/// A producer's request.
pub const REQUEST: SpanDef = SpanDef {
    name: "{method} {route}",
    kind: SpanKind::Server,
    role: "ingest",
    parent: "the producer's (`traceparent`), or none",
    help: "From when its API key is known to the answer. A request without one makes no span.",
    messaging: None,
    attributes: &[METHOD, ROUTE, STATUS, ERROR_TYPE],
};
/// One alert to the broker.
pub const PUBLISH: SpanDef = SpanDef {
    name: "send watchbell.alerts",
    kind: SpanKind::Producer,
    role: "ingest",
    parent: "the request",
    help: "From the publish of one alert or event to the broker's confirm.",
    messaging: Some(Messaging { operation: "send", destination: "watchbell.alerts" }),
    attributes: &[MESSAGE_ID, ERROR_TYPE],
};
/// One alert in dispatch.
pub const DISPATCH: SpanDef = SpanDef {
    name: "process watchbell.dispatch",
    kind: SpanKind::Consumer,
    role: "dispatch",
    parent: "the message's (`traceparent` of its headers), or none for what came over AMQP without one",
    help: "From taking an alert or event to settling it: recorded and told to the pods, or parked, which is an error. Linked to \
           the batches that recorded it.",
    messaging: Some(Messaging { operation: "process", destination: "watchbell.alerts:watchbell.dispatch" }),
    attributes: &[MESSAGE_ID, TENANT, ALERT, VERSION, FIELD, ERROR_TYPE],
};
/// One commit of many alerts.
pub const RECORD: SpanDef = SpanDef {
    name: "record alerts",
    kind: SpanKind::Internal,
    role: "dispatch",
    parent: "none: a trace of its own, because it belongs to many",
    help: "One commit of a batch that has a sampled alert. Linked to the span of each sampled alert in it, up to 128.",
    messaging: None,
    attributes: &[BATCH_COUNT, RECIPIENTS, ERROR_TYPE],
};
/// One live message at a pod.
pub const LIVE: SpanDef = SpanDef {
    name: "process watchbell.live",
    kind: SpanKind::Consumer,
    role: "socket",
    parent: "`process watchbell.dispatch`",
    help: "A live message of an alert, or of an event of a topic, from its arrival at a pod until it is in line for all of its \
           sessions there.",
    messaging: Some(Messaging { operation: "process", destination: "watchbell.live.{partition}" }),
    attributes: &[MESSAGE_ID, TENANT, RECIPIENTS],
};
/// One live frame to one session.
pub const WRITE: SpanDef = SpanDef {
    name: "write frame",
    kind: SpanKind::Internal,
    role: "socket",
    parent: "`process watchbell.live`",
    help: "From putting the frame of an alert or an event in line for a session to having written it to its connection. Of one live \
           message the first 16 writes have one; those of alerts are all in `watchbell_alert_written_seconds`.",
    messaging: None,
    attributes: &[],
};
/// An escalation that is due.
pub const DUE: SpanDef = SpanDef {
    name: "send watchbell.undelivered",
    kind: SpanKind::Producer,
    role: "fallback",
    parent: "`process watchbell.dispatch`",
    help: "From the claim of an escalation that is due to the broker's confirm. It begins when the timer does: seconds or days \
           after its parent ended.",
    messaging: Some(Messaging { operation: "send", destination: "watchbell.undelivered" }),
    attributes: &[MESSAGE_ID, TENANT, ALERT, USER, LATENESS, ERROR_TYPE],
};
/// An escalation that is run.
pub const ESCALATE: SpanDef = SpanDef {
    name: "process watchbell.undelivered",
    kind: SpanKind::Consumer,
    role: "fallback",
    parent: "`send watchbell.undelivered`",
    help: "From taking an escalation to settling it: the decisions, the attempts and what was recorded of them.",
    messaging: Some(Messaging { operation: "process", destination: "watchbell.undelivered" }),
    attributes: &[MESSAGE_ID, TENANT, ALERT, USER, ERROR_TYPE],
};
/// A call of a provider.
pub const ATTEMPT_SPAN: SpanDef = SpanDef {
    name: "attempt {channel}",
    kind: SpanKind::Client,
    role: "fallback",
    parent: "`process watchbell.undelivered`",
    help: "One attempt, with the wait for its provider's guard. It is an error when the provider refused.",
    messaging: None,
    attributes: &[TENANT, ALERT, USER, CHANNEL, PROVIDER, ATTEMPT, ATTEMPT_KIND, TRY, OUTCOME, ERROR_TYPE],
};

/// Every span, in the order of an alert's way.
pub const SPANS: [&SpanDef; 9] =
    [&REQUEST, &PUBLISH, &DISPATCH, &RECORD, &LIVE, &WRITE, &DUE, &ESCALATE, &ATTEMPT_SPAN];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_used_once_and_attributes_tell_one_thing() {
        let names: BTreeSet<&str> = SPANS.iter().map(|span| span.name).collect();
        assert_eq!(names.len(), SPANS.len());
        for span in SPANS {
            let attributes: BTreeSet<&str> = span.attributes.iter().map(|attribute| attribute.name).collect();
            assert_eq!(attributes.len(), span.attributes.len(), "{}", span.name);
            for name in attributes {
                let is_known =
                    ["http.", "messaging.", "error.", "watchbell."].iter().any(|part| name.starts_with(part));
                assert!(is_known, "{name}");
            }
            assert!(span.help.ends_with('.'), "{}", span.name);
        }
    }
}
