//! An event on a topic as a producer writes it (`docs/architecture.md`, "The alert"), and as a subscriber is shown it.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    alert::{self, InvalidAlert},
    number::whole_or_null,
    schema,
};
use crate::domain::{
    Event, EventId, Tenant, Topic, TopicKey,
    alert::bounds::TITLE_CHARS_MAX,
    names::{InvalidName, is_path_step},
    text::is_invisible,
    topic::bounds::{EVENT_BYTES_MAX, KEEP_MAX, TYPE_CHARS_MAX},
};

/// What a message on `watchbell.alerts` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Said, or nothing said.
    Alert,
    /// `"kind": "event"`.
    Event,
}

/// Which of the two a message says it is. Whatever cannot be read is taken for an alert, whose parser says why.
pub fn kind_of(json: &[u8]) -> MessageKind {
    #[derive(Deserialize)]
    struct KindField<'a> {
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
    }
    match serde_json::from_slice::<KindField<'_>>(super::without_bom(json)) {
        Ok(KindField { kind: Some(kind) }) if kind == "event" => MessageKind::Event,
        Ok(_) | Err(_) => MessageKind::Alert,
    }
}

/// What a producer writes. An unknown field is refused, as for an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct EventV1 {
    /// Over HTTP it may be left out.
    #[schema(value_type = schema::EventKind, required = false)]
    kind: Option<String>,
    /// Tells it from its repetitions; made for you when absent.
    #[schema(value_type = Option<schema::Id>)]
    id: Option<String>,
    /// Follows from the API key: leave it out, or give the key's own.
    #[schema(value_type = schema::OwnTenant, required = false)]
    tenant: Option<String>,
    /// Follows from the address: leave it out, or give that.
    #[schema(value_type = schema::OwnTopic, required = false)]
    topic: Option<String>,
    /// Such as `status_change`.
    #[schema(value_type = schema::EventType)]
    r#type: String,
    /// The system that noticed.
    #[schema(value_type = schema::Line, required = false)]
    source: Option<String>,
    #[schema(value_type = schema::SeverityOrNull, required = false)]
    severity: Option<String>,
    #[serde(default, deserialize_with = "alert::labels_without_null")]
    #[schema(value_type = schema::Labels)]
    labels: BTreeMap<String, String>,
    /// The fact itself; never looked into.
    #[serde(default, deserialize_with = "alert::null_is_absent")]
    #[schema(value_type = schema::Data)]
    data: Map<String, Value>,
    /// How many of the topic's last events are kept for new subscribers; 0: this one is not.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(value_type = schema::Keep, default = 0)]
    keep: Option<u64>,
    /// Kept events stand in this order; now when absent.
    #[schema(value_type = schema::Time, required = false)]
    occurred_at: Option<String>,
}

crate::schemas! {
    /// An event as a producer writes it.
    WrittenEvent called "Event" = schema::about(
        EventV1::schema(),
        format!("A short-lived fact for whoever subscribed. At most {} KiB.", EVENT_BYTES_MAX / 1024),
    ), as EventV1;
}

/// What the edge knows that the event may leave out.
#[derive(Debug, Clone)]
pub struct EventDefaults {
    /// From the API key. `None`: the event has to state it (AMQP).
    pub tenant: Option<Tenant>,
    /// From the address. `None`: the event has to state it (AMQP).
    pub topic: Option<Topic>,
    /// The id when the event has none. `None`: it has to have one.
    pub id: Option<EventId>,
    /// When it reached us. An event that does not say when it happened happened now; delivered again, again now.
    pub now: Timestamp,
}

/// Reads one event.
///
/// # Errors
/// [`InvalidAlert`] names the first field at fault.
pub fn parse_event(json: &[u8], defaults: &EventDefaults) -> Result<Event, InvalidAlert> {
    if json.len() > EVENT_BYTES_MAX {
        let problem = format!("is {} bytes of JSON, at most {EVENT_BYTES_MAX} are accepted", json.len());
        return Err(InvalidAlert::new("event", problem));
    }
    checked(alert::read("event", json)?, defaults)
}

fn checked(raw: EventV1, defaults: &EventDefaults) -> Result<Event, InvalidAlert> {
    if raw.kind.as_deref().is_some_and(|kind| kind != "event") {
        return Err(InvalidAlert::new("kind", "must be `event`"));
    }
    let tenant = alert::tenant_of(raw.tenant, defaults.tenant.as_ref())?;
    let topic = topic_of(raw.topic, defaults.topic.as_ref())?;
    let id = match raw.id {
        Some(id) => EventId::parse(id).map_err(|error| InvalidAlert::new("id", error))?,
        None => defaults.id.clone().ok_or_else(|| {
            let problem = "is missing: give the event an id or the message a message_id, or a redelivery looks like a second event";
            InvalidAlert::new("id", problem)
        })?,
    };
    let kind = alert::text("type", Some(raw.r#type), TYPE_CHARS_MAX)?.unwrap_or_default();
    if is_invisible(&kind) {
        return Err(InvalidAlert::new("type", "must not be empty"));
    }
    let keep = u16::try_from(raw.keep.unwrap_or(0)).ok().filter(|keep| *keep <= KEEP_MAX);
    Ok(Event {
        key: TopicKey::new(tenant, topic),
        id,
        kind,
        source: alert::text("source", raw.source, TITLE_CHARS_MAX)?.filter(|source| !is_invisible(source)),
        severity: alert::word("severity", raw.severity)?,
        labels: alert::labels_of(raw.labels)?,
        data: raw.data,
        keep: keep.ok_or_else(|| InvalidAlert::new("keep", format!("must be from 0 to {KEEP_MAX}")))?,
        occurred_at: alert::time("occurred_at", raw.occurred_at)?.unwrap_or(defaults.now),
    })
}

fn topic_of(stated: Option<String>, own: Option<&Topic>) -> Result<Topic, InvalidAlert> {
    let stated = stated.map(Topic::parse).transpose().map_err(|error| InvalidAlert::new("topic", error))?;
    if stated.as_ref().or(own).is_some_and(|topic| is_path_step(topic.as_str())) {
        return Err(InvalidAlert::new("topic", InvalidName::PathStep));
    }
    match (stated, own) {
        (Some(stated), Some(own)) if stated != *own => {
            Err(InvalidAlert::new("topic", "is not the topic of the address: leave it out"))
        }
        (_, Some(own)) => Ok(own.clone()),
        (Some(stated), None) => Ok(stated),
        (None, None) => Err(InvalidAlert::new("topic", "must be stated by a producer on AMQP")),
    }
}

/// The event as subscribers see it. Its topic is on the frame around it; the tenant stays inside (I8).
#[derive(Serialize, ToSchema)]
#[schema(as = TopicEvent)]
pub struct EventContentV1<'a> {
    id: &'a str,
    r#type: &'a str,
    /// The system that noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::SeverityWord, required = false)]
    severity: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    /// The fact itself.
    #[schema(value_type = Object)]
    data: &'a Map<String, Value>,
    #[schema(format = DateTime)]
    occurred_at: String,
}

/// Encodes an event once, for the store and every session it goes to.
pub fn event_content_of(event: &Event) -> String {
    let content = EventContentV1 {
        id: event.id.as_str(),
        r#type: &event.kind,
        source: event.source.as_deref(),
        severity: event.severity.map(|severity| severity.as_str()),
        labels: &event.labels,
        data: &event.data,
        occurred_at: event.occurred_at.to_string(),
    };
    // Text and numbers under text keys always serialize.
    serde_json::to_string(&content).unwrap_or_default()
}

/// The event as a message to `watchbell.alerts`, the form every producer publishes.
pub fn encode_event(event: &Event) -> Vec<u8> {
    // `event_content_of` writes an object, so this reads back as one.
    let mut value: Map<String, Value> = serde_json::from_str(&event_content_of(event)).unwrap_or_default();
    value.insert("kind".into(), "event".into());
    value.insert("tenant".into(), event.key.tenant.as_str().into());
    value.insert("topic".into(), event.key.topic.as_str().into());
    value.insert("keep".into(), event.keep.into());
    Value::Object(value).to_string().into_bytes()
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
