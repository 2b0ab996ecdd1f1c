//! CloudEvents 1.0 as alerts and events of ours (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).
//!
//! An alert's `data` is the alert as everybody writes it. An event's is the event's own data, unless it says
//! `"kind": "event"` itself and then is the event as everybody writes it. Attributes fill what is left out there; the
//! README of this folder has the table. What comes out is the plain form, read by the same parsers as all else.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use uuid::Uuid;

use super::{
    alert::{self, InvalidAlert},
    event::MessageKind,
    schema,
};
use crate::domain::alert::bounds::ALERT_BYTES_MAX;

/// The type of an event with its attributes around its data.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The same, several in an array; over HTTP only.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// What attributes among AMQP headers begin with
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md>, section 3.1.3).
const PREFIXES: [&str; 2] = ["cloudEvents_", "cloudEvents:"];
/// Attributes may take this much beside the data, in bytes.
const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;
/// What ids are made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b1f_70a4_93e6_4c5d_8d0e_5a71_c9f2_6b38);

/// Attributes, and the fields they fill. The first four are the standard's own, the others extensions of ours.
const OF_ALERTS: [(&str, &str); 7] = [
    ("source", "source"),
    ("type", "category"),
    ("time", "occurred_at"),
    ("tenant", "tenant"),
    ("severity", "severity"),
    ("policy", "policy"),
    ("version", "version"),
];
const OF_EVENTS: [(&str, &str); 7] = [
    ("source", "source"),
    ("type", "type"),
    ("time", "occurred_at"),
    ("tenant", "tenant"),
    ("severity", "severity"),
    ("topic", "topic"),
    ("keep", "keep"),
];

/// What is the same of both kinds: an event with its attributes around it.
fn attributes(about: &str) -> ObjectBuilder {
    let word = || schema::text().min_length(Some(1)).format(Some(schema::format("watchbell-word")));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(about))
        .property("specversion", schema::one_of(&["1.0"]))
        .required("specversion")
        .property("id", schema::text().min_length(Some(1)))
        .required("id")
        .property("source", word())
        .required("source")
        .property("type", word())
        .required("type")
        .property("time", schema::time().examples(["2026-11-21T12:00:00Z"]))
        .property("severity", schema::of::<schema::SeverityOrNull>())
        .property("datacontenttype", schema::one_of(&["application/json"]))
}

crate::schemas! {
    /// An alert as a CloudEvent.
    CloudEventOfAlert = attributes(
        "A CloudEvent 1.0. `data` is the alert; `id`, `source`, `type` (as `category`), `time`, `severity`, `policy` and \
         `version` fill what it leaves out.",
    )
    .property("policy", schema::PolicyName::schema())
    .property("version", schema::Version::schema())
    .property("data", schema::of::<alert::WrittenAlert>())
    .required("data"), with schema::SeverityOrNull, with alert::WrittenAlert;
    /// An event as a CloudEvent.
    CloudEventOfEvent = attributes(
        "A CloudEvent 1.0. `data` is the event's own; `id`, `source`, `type`, `time`, `severity` and `keep` are the rest.",
    )
    .property("keep", schema::Keep::schema())
    .property(
        "data",
        schema::or_null(Type::Object).description(Some(
            "With `\"kind\": \"event\"` it is the whole event as it is written without attributes.",
        )),
    ), with schema::SeverityOrNull;
}

/// A message of AMQP in the plain form: as it came, or unwrapped when it is a CloudEvent.
///
/// # Errors
/// [`InvalidAlert`] names the attribute at fault, or `content_type`.
pub fn plain_of<'a>(
    content_type: &str,
    headers: &BTreeMap<String, String>,
    body: &'a [u8],
) -> Result<Cow<'a, [u8]>, InvalidAlert> {
    let essence = essence_of(content_type);
    if essence == STRUCTURED {
        return plain_of_structured(body, MessageKind::Alert).map(Cow::Owned);
    }
    if !may_be_json(&essence) {
        let problem = format!("must be application/json, {STRUCTURED} or left out");
        return Err(InvalidAlert::new("content_type", problem));
    }
    let attributes: Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((attribute_of(name)?, Value::from(value.as_str()))))
        .collect();
    match attributes.contains_key("specversion") {
        true => plain(&attributes, alert::read("data", body)?, MessageKind::Alert).map(Cow::Owned),
        false => Ok(Cow::Borrowed(body)),
    }
}

/// An event in binary mode over HTTP in the plain form: its attributes apart, by their names, and its data as `body`. An
/// empty body is an event without data.
///
/// # Errors
/// As for [`plain_of`].
pub fn plain_of_binary(
    attributes: &BTreeMap<String, String>,
    body: &[u8],
    kind: MessageKind,
) -> Result<Vec<u8>, InvalidAlert> {
    if body.len() > ALERT_BYTES_MAX {
        let problem = format!("is {} bytes of JSON, at most {ALERT_BYTES_MAX} are accepted", body.len());
        return Err(InvalidAlert::new("data", problem));
    }
    let data = match body.trim_ascii().is_empty() {
        true => Map::new(),
        false => alert::read("data", body)?,
    };
    let attributes =
        attributes.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    plain(&attributes, data, kind)
}

/// An event with its attributes around it in the plain form. `kind` is what it is when it does not say.
///
/// # Errors
/// As for [`plain_of`].
pub fn plain_of_structured(json: &[u8], kind: MessageKind) -> Result<Vec<u8>, InvalidAlert> {
    let bytes_max = ALERT_BYTES_MAX + ATTRIBUTES_BYTES_MAX;
    if json.len() > bytes_max {
        let problem = format!("is {} bytes of JSON, at most {bytes_max} are accepted", json.len());
        return Err(InvalidAlert::new("cloudevent", problem));
    }
    let mut attributes: Map<String, Value> = alert::read("cloudevent", json)?;
    if attributes.contains_key("data_base64") {
        return Err(InvalidAlert::new("data_base64", "is not read: put JSON into data"));
    }
    let stated = attributes.get("datacontenttype").and_then(Value::as_str).unwrap_or_default();
    if !may_be_json(&essence_of(stated)) {
        return Err(InvalidAlert::new("datacontenttype", "must be application/json or left out"));
    }
    let data = match attributes.remove("data") {
        Some(Value::Object(data)) => data,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(InvalidAlert::new("data", "has the wrong type: expected an object")),
    };
    plain(&attributes, data, kind)
}

fn plain(
    attributes: &Map<String, Value>,
    data: Map<String, Value>,
    kind: MessageKind,
) -> Result<Vec<u8>, InvalidAlert> {
    let stated = |name: &str| attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let required = |name: &str| {
        stated(name).ok_or_else(|| InvalidAlert::new(name, "is missing: a CloudEvent has it, as text"))
    };
    if required("specversion")? != "1.0" {
        return Err(InvalidAlert::new("specversion", "must be 1.0"));
    }
    let (id, source, _) = (required("id")?, required("source")?, required("type")?);
    let is_whole_event = data.get("kind").is_some_and(|kind| kind == "event");
    let is_event =
        is_whole_event || stated("kind").map_or(kind == MessageKind::Event, |kind| kind == "event");
    let mut whole = match is_event && !is_whole_event {
        true => Map::from_iter([("kind".to_owned(), "event".into()), ("data".to_owned(), data.into())]),
        false => data,
    };
    fill(&mut whole, "id", id_of(source, id).into());
    for (attribute, field) in if is_event { OF_EVENTS } else { OF_ALERTS } {
        if let Some(value) = attributes.get(attribute) {
            fill(&mut whole, field, as_number_where_it_is_one(field, value));
        }
    }
    Ok(Value::Object(whole).to_string().into_bytes())
}

fn fill(whole: &mut Map<String, Value>, field: &str, value: Value) {
    let slot = whole.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

/// CloudEvents are told apart by source and id together, ours by their id: two sources that count would overwrite each
/// other. A UUID is nobody else's already.
fn id_of(source: &str, id: &str) -> String {
    match Uuid::try_parse(id) {
        Ok(_) => id.to_owned(),
        // As a JSON array, in which no two pairs of texts look the same.
        Err(_) => Uuid::new_v5(&NAMESPACE, Value::from(vec![source, id]).to_string().as_bytes()).to_string(),
    }
}

/// Headers are text, whatever they mean.
fn as_number_where_it_is_one(field: &str, value: &Value) -> Value {
    let number = value.as_str().and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(number) if matches!(field, "version" | "keep") => number.into(),
        Some(_) | None => value.clone(),
    }
}

fn attribute_of(header: &str) -> Option<String> {
    let name = PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix))?;
    Some(name.to_ascii_lowercase())
}

fn essence_of(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a body of this type is read at all. Many producers state no type; none states another by accident.
fn may_be_json(essence: &str) -> bool {
    essence.is_empty() || essence == "application/json"
}

#[cfg(test)]
#[path = "cloudevent_tests.rs"]
mod tests;
