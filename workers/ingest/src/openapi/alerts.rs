//! What the document says of alerts and events.

use serde_json::json;
use utoipa::openapi::{
    Schema,
    schema::{AdditionalProperties, ObjectBuilder, Type},
};
use watchbell::{
    domain::{AlertId, Severity, Status},
    runtime::http::{
        PAGE_ANSWER_BYTES_MAX,
        operation::{Described, Operation},
    },
    wire::{
        action::WrittenActions,
        alert::WrittenAlert,
        cloudevent::{self, CloudEventOfAlert, CloudEventOfEvent},
        event::WrittenEvent,
        schema::{
            self, BodyFormatOrNull, BodyText, GroupKey, Id, ImageAddress, Name, SeverityOrNull, Time,
            TitleOrNull, WebAddress, text, whole,
        },
    },
};

use super::{NOT_ITS_OWN, NOT_RECORDED, OTHER_TYPE, TOO_LONG, TOO_MANY_RECIPIENTS, keyed};
use crate::{
    alert_list::ALERTS_PER_PAGE,
    alerts::TIMELINE_RECIPIENTS,
    answers::{Accepted, AcceptedEvent, AcceptedEvents, AcceptedSeveral, Alerts, Recorded, Timeline},
    batch,
    limits::{
        ALERT_ANSWER_BYTES_MAX, ALERT_PAGE_ANSWER_BYTES_MAX, ALERTS_ANSWER_BYTES_MAX, ALERTS_LOOKED_AT_MAX,
        ALERTS_MAX, ALERTS_PER_PAGE_MAX, BODY_BYTES_MAX, EVENTS_ANSWER_BYTES_MAX, PAGE_BYTES_MAX,
        TIMELINE_RECIPIENTS_MAX,
    },
};

const ALERTS: &str = "Alerts";

watchbell::schemas! {
    /// What a request as a whole is called.
    IdempotencyKey = text()
        .min_length(Some(1))
        .pattern(Some("^[A-Za-z0-9._:@+=-][A-Za-z0-9._:@+~=-]*$"))
        .format(Some(schema::format("watchbell-key")))
        .description(Some(format!("As an id: at most {} bytes with the `.n`, and not `~` first.", AlertId::LEN_MAX)));
    /// What is to be changed in an alert.
    Change = {
        let time = |about: &str| {
            let mut time = schema::of::<Time>();
            time.description = about.to_owned();
            time
        };
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            .property(
                "status",
                schema::one_of_or_null(Status::WORDS).description(Some(
                    "`suppressed` and `resolved` withdraw pushes; all but `firing` end the escalation.",
                )),
            )
            .property("severity", schema::of::<SeverityOrNull>())
            .property("title", TitleOrNull::schema())
            .property("body", BodyText::schema())
            .property("body_format", schema::of::<BodyFormatOrNull>())
            .property("url", schema::of::<WebAddress>())
            .property("image", schema::of::<ImageAddress>())
            .property("actions", schema::of::<WrittenActions>())
            .property("group_key", schema::of::<GroupKey>())
            .property(
                "expires_at",
                time(
                    "After this nobody is told any more. An alert that comes later than that is in the inbox as read, and \
                     nobody is told.",
                ),
            )
            .property(
                "dismissed_until",
                time("With the status `suppressed`: when the alert fires again by itself, as its next version."),
            )
            .property(
                "version",
                schema::whole_or_null(1, u32::MAX.into()).description(Some("The stored version plus 1 when absent.")),
            )
    }, with SeverityOrNull, with WebAddress, with Time, with BodyFormatOrNull, with ImageAddress, with WrittenActions, with GroupKey;
}

/// Several at once, in every form that they may be written in.
fn batch(operation: Operation, what: &str, lines: &str) -> Operation {
    let lines = text().format(Some(schema::format(lines))).description(Some(format!("One {what} a line.")));
    operation
        .header(
            "Idempotency-Key",
            Described::of::<IdempotencyKey>(),
            &format!(
                "Becomes the id of an {what} that has none; of several the n-th gets `key.n`, from 0 (NDJSON: the line)."
            ),
        )
        .body_as(batch::NDJSON[0], lines)
        .refuses(400, "Not JSON.")
        .refuses(413, &format!("The body or one {what} is too long, or there are too many {what}s."))
        .refuses(415, OTHER_TYPE)
        .refuses(422, &format!("A field is not acceptable: nothing was published. `index` says which {what}."))
}

fn at_most(what: &str) -> String {
    let mib = BODY_BYTES_MAX / (1024 * 1024);
    format!(
        "At most {} {what}s and {mib} MiB. All are validated before any is published.",
        schema::grouped(ALERTS_MAX)
    )
}

/// `POST /v1/alerts`
pub fn publish() -> Operation {
    let operation = Operation::new(ALERTS, "publishAlerts", "Publish one alert, an array or NDJSON")
        .answers_at_most(ALERTS_ANSWER_BYTES_MAX)
        .about(format!(
            "{} With a header `ce-specversion` the body is the data of a CloudEvent in binary mode, whose attributes are the \
             headers `ce-…`.",
            at_most("alert")
        ))
        .header("traceparent", text(), "The producer's trace, by W3C's Trace Context: the alert is traced as part of it, and it is carried through to dispatch. What is none is ignored.")
        .header("tracestate", text(), "What belongs to `traceparent`; carried beside it, up to 512 bytes.")
        .body(Described::one_or_several::<WrittenAlert>(ALERTS_MAX))
        .example(json!({
            "id": "disk-full-db1",
            "to": {"users": ["ana"]},
            "title": "Disk full on db1",
            "body": "97 % of /var is used.",
            "severity": "critical",
            "url": "https://example.com/runbooks/disk",
        }))
        .body_as(cloudevent::STRUCTURED, Described::of::<CloudEventOfAlert>())
        .body_as(cloudevent::BATCH, Described::list_of::<CloudEventOfAlert>(ALERTS_MAX))
        .answers(
            202,
            "Confirmed by the broker. Of several, those that contradict what is recorded are `refused`, each with its problem; \
             all others were accepted.",
            Described::either(Described::of::<Accepted>(), Described::of::<AcceptedSeveral>()),
        )
        .refuses(403, NOT_ITS_OWN)
        .refuses(
            409,
            "The alert's version is recorded and says something else, or is too far above the recorded one. Of several, all were refused; `index` names the first.",
        )
        .refuses(429, TOO_MANY_RECIPIENTS);
    keyed(batch(operation, "alert", "watchbell-alert-lines"))
}

/// `GET /v1/alerts`
pub fn list() -> Operation {
    let limit = whole(1, ALERTS_PER_PAGE_MAX as u64).default(Some(ALERTS_PER_PAGE.into()));
    let line = || text().min_length(Some(1));
    keyed(Operation::new(ALERTS, "listAlerts", "A page of alerts, newest first"))
        .about(format!(
            "All filters have to hold. With `user` the order is that of the last change in their inbox. A page ends after {} alerts \
             were looked at, or with the one that reaches {} KiB: it may be short, or empty, and yet have a `next`.",
            schema::grouped(ALERTS_LOOKED_AT_MAX),
            PAGE_BYTES_MAX / 1024
        ))
        .query_or_empty("user", Described::of::<Name>(), "Only those in this user's inbox.")
        .query_or_empty("status", schema::one_of(Status::WORDS), "Only those that are so now.")
        .query_or_empty("severity", schema::one_of(Severity::WORDS), "Only those that are so now.")
        .query_or_empty("source", line(), "Only those of this source.")
        .query_or_empty("label", line().pattern(Some("^[^=]+=.*$")), "Only those with this label: `env=prod`.")
        .query_or_empty("since", schema::time(), "Only those that were recorded then or later.")
        .query_or_empty("until", schema::time(), "Only those that were recorded then or earlier. Not before `since`.")
        .query_or_empty(
            "after",
            text().pattern(Some(r"^[0-9]{1,18}\.[A-Za-z0-9]{1,60}$")),
            "The `next` of the page before; a text to be taken as it is.",
        )
        .query_or_empty("limit", limit, "Alerts on the page.")
        .answers_at_most(ALERT_PAGE_ANSWER_BYTES_MAX)
        .answers(200, "The page.", Described::of::<Alerts>())
        .refuses(422, "A parameter is not acceptable.")
}

fn of_one(id: &str, summary: &str) -> Operation {
    keyed(Operation::new(ALERTS, id, summary))
        .path("id", Described::of::<Id>(), "The alert's id.")
        .refuses(404, NOT_RECORDED)
}

/// `GET /v1/alerts/{id}`
pub fn show() -> Operation {
    of_one("getAlert", "The latest recorded version of an alert")
        .answers_at_most(ALERT_ANSWER_BYTES_MAX)
        .answers(200, "The alert.", Described::of::<Recorded>())
        .refuses(403, NOT_ITS_OWN)
        .refuses(422, "The id is not one.")
}

/// `PATCH /v1/alerts/{id}`
pub fn patch() -> Operation {
    of_one("patchAlert", "Publish a later version to everybody who holds the alert")
        .about("What is left out stays; `null` takes away `body`, `url`, `image`, `group_key`, `actions`, `expires_at` and \
                 `dismissed_until`.")
        .body(Described::of::<Change>())
        .example(json!({"status": "resolved"}))
        .body_as("application/merge-patch+json", Described::of::<Change>())
        .answers(202, "Confirmed by the broker.", Described::of::<Accepted>())
        .refuses(400, "Not a JSON object.")
        .refuses(403, NOT_ITS_OWN)
        .refuses(409, "The version is taken, or too far above the recorded one: read the alert and send what still applies.")
        .refuses(413, TOO_LONG)
        .refuses(415, OTHER_TYPE)
        .refuses(422, "A field is not acceptable.")
        .refuses(429, TOO_MANY_RECIPIENTS)
}

/// `GET /v1/alerts/{id}/timeline`
pub fn timeline() -> Operation {
    let limit = whole(1, TIMELINE_RECIPIENTS_MAX as u64).default(Some(TIMELINE_RECIPIENTS.into()));
    of_one("getTimeline", "Why did they (not) get this?")
        .answers_at_most(PAGE_ANSWER_BYTES_MAX)
        .query_or_empty("user", Described::of::<Name>(), "Only this recipient.")
        .query_or_empty("after", Described::of::<Name>(), "The `next` of the page before. Not with `user`.")
        .query_or_empty("limit", limit, "Recipients, in order of their ids, as far as they fit into 1 MiB.")
        .answers(200, "Each recipient with what happened, in order.", Described::of::<Timeline>())
        .refuses(403, NOT_ITS_OWN)
        .refuses(422, "A parameter is not acceptable.")
}

/// `POST /v1/topics/{topic}/events`
pub fn publish_events() -> Operation {
    let operation =
        Operation::new("Events", "publishEvents", "Publish one event on a topic, an array or NDJSON")
            .answers_at_most(EVENTS_ANSWER_BYTES_MAX)
            .about(at_most("event"))
            .path("topic", Described::of::<Id>(), "The topic, such as `monitor:7`.")
            .header("traceparent", text(), "As for alerts.")
            .header("tracestate", text(), "As for alerts.")
            .body(Described::one_or_several::<WrittenEvent>(ALERTS_MAX))
            .example(json!({"type": "status_change", "data": {"status": "down"}, "keep": 10}))
            .body_as(cloudevent::STRUCTURED, Described::of::<CloudEventOfEvent>())
            .body_as(cloudevent::BATCH, Described::list_of::<CloudEventOfEvent>(ALERTS_MAX))
            .answers(
                202,
                "Confirmed by the broker, all of it.",
                Described::either(Described::of::<AcceptedEvent>(), Described::of::<AcceptedEvents>()),
            );
    keyed(batch(operation, "event", "watchbell-event-lines"))
}
