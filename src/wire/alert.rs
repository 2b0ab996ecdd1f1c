//! An alert as a producer writes it (`docs/architecture.md`, "The alert").
//!
//! Elsewhere: an alert as a client is shown it, in [`super::content`].

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

pub use super::content::{ContentV1, ShownAlert, content_of, encode_alert};
use super::{
    action::{ActionV1, WrittenActions},
    number::whole_or_null,
    objects::Objects,
    schema::{self, about, anything, grouped, with},
    time::time_of,
};
use crate::domain::{
    Action, Alert, AlertId, Audience, GroupId, InvalidName, Severity, Status, Tenant, UserId,
    action::{InvalidAction, bounds::ACTIONS_MAX},
    alert::bounds,
    names::is_path_step,
    text::{is_invisible, is_line},
    web_address::is_link,
};

/// Why an alert or an event was refused: which field, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidAlert {
    /// The path of the field, as the producer wrote it: `to.users[3]`.
    pub field: String,
    /// What is wrong with it and what is accepted.
    pub problem: String,
}

impl InvalidAlert {
    /// A refusal of one field.
    pub fn new(field: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }
}

/// What a producer writes. An unknown field is refused: a misspelt one would otherwise be lost in silence.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AlertV1 {
    #[schema(value_type = schema::AlertKind, required = false)]
    kind: Option<String>,
    /// The idempotency key within the tenant; made for you when absent. What begins with `~` is Watchbell's own.
    #[schema(value_type = schema::NewAlertId, required = false)]
    id: Option<String>,
    /// A higher version of the same id updates the alert in place.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(value_type = schema::Version, default = 1)]
    version: Option<u32>,
    /// Follows from the API key: leave it out, or give the key's own.
    #[schema(value_type = schema::OwnTenant, required = false)]
    tenant: Option<String>,
    #[schema(value_type = WrittenAudience)]
    to: AudienceV1,
    /// The system that noticed.
    #[schema(value_type = schema::Line, required = false)]
    source: Option<String>,
    /// The kind of alert, for preferences and templates.
    #[schema(value_type = schema::Line, required = false)]
    category: Option<String>,
    #[schema(value_type = schema::SeverityOrNull, required = false, default = "warning")]
    severity: Option<String>,
    /// `suppressed` and `resolved` withdraw pushes; all but `firing` end the escalation.
    #[schema(value_type = schema::StatusOrNull, required = false, default = "firing")]
    status: Option<String>,
    /// One line that makes sense alone, without control characters.
    #[schema(value_type = schema::Title)]
    title: String,
    /// May have newlines and tabs.
    #[schema(value_type = schema::BodyText, required = false)]
    body: Option<String>,
    /// How the body is written: `text`, or `markdown` for a safe part of it: `**bold**`, `*emphasis*`, `` `code` ``,
    /// `[text](https://…)` and line breaks.
    #[schema(value_type = schema::BodyFormatOrNull, required = false, default = "text")]
    body_format: Option<String>,
    #[schema(value_type = schema::WebAddress, required = false)]
    url: Option<String>,
    /// A picture or an avatar beside the alert.
    #[schema(value_type = schema::ImageAddress, required = false)]
    image: Option<String>,
    /// Its buttons.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(value_type = WrittenActions)]
    actions: Vec<ActionV1>,
    #[serde(default, deserialize_with = "labels_without_null")]
    #[schema(value_type = schema::Labels)]
    labels: BTreeMap<String, String>,
    /// Anything the team's own client understands.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(value_type = schema::Data)]
    data: Map<String, Value>,
    /// The escalation policy: one of those that are configured.
    #[schema(value_type = schema::PolicyName, required = false)]
    policy: Option<String>,
    /// Pushes with the same key replace each other on a phone; the id when absent.
    #[schema(value_type = Option<schema::Id>)]
    collapse_key: Option<String>,
    /// Alerts of one key are shown as one group in the person's list.
    #[schema(value_type = schema::GroupKey, required = false)]
    group_key: Option<String>,
    /// When it happened; now when absent.
    #[schema(value_type = schema::Time, required = false)]
    occurred_at: Option<String>,
    /// After this nobody is told any more. An alert that comes later than that is in the inbox as read, and nobody is told.
    #[schema(value_type = schema::Time, required = false)]
    expires_at: Option<String>,
    /// With the status `suppressed`: when the alert fires again by itself, as its next version.
    #[schema(value_type = schema::Time, required = false)]
    dismissed_until: Option<String>,
    /// Who has the alert, as it is shown: what stands here is passed over, so that an alert can be sent as it was read. A receipt says it.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read to be passed over")]
    #[schema(value_type = Option<Object>, read_only)]
    acknowledgement: IgnoredAny,
}

/// Whom an alert is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AudienceV1 {
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(value_type = schema::Names)]
    users: Vec<String>,
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(value_type = schema::Names)]
    groups: Vec<String>,
    /// Everybody who was registered (by `PUT /v1/users`, in a group, with a device) or has ever signed in.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(value_type = Option<bool>, default = false)]
    everyone: bool,
}

crate::schemas! {
    /// An alert as a producer writes it.
    WrittenAlert called "Alert" = with(
        about(
            AlertV1::schema(),
            format!(
                "At most {} KiB. A version above 1 reaches everybody who holds the alert, so it need not name anybody.",
                bounds::ALERT_BYTES_MAX / 1024
            ),
        ),
        &json!({"anyOf": [
            {"properties": {"to": Somebody::schema()}},
            {"required": ["version"], "properties": {"version": {"type": "integer", "minimum": 2}}},
        ]}),
    ), as AlertV1;
    /// An audience that is not empty.
    Somebody = with(
        about(anything().into(), "An audience that is not empty."),
        &json!({"anyOf": [
            {"required": ["users"], "properties": {"users": {"type": "array", "minItems": 1}}},
            {"required": ["groups"], "properties": {"groups": {"type": "array", "minItems": 1}}},
            {"required": ["everyone"], "properties": {"everyone": {"const": true}}},
        ]}),
    );
    /// Whom an alert is for.
    WrittenAudience called "Audience" = about(
        AudienceV1::schema(),
        format!("Users and groups are {} together at the most.", grouped(bounds::RECIPIENTS_MAX)),
    ), as AudienceV1;
}

/// Many languages write `null` for a field that has no value.
pub(super) fn null_is_absent<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// The same, for each label, too.
pub(super) fn labels_without_null<'de, D>(from: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let labels: BTreeMap<String, Option<String>> = null_is_absent(from)?;
    Ok(labels.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// What the edge knows that the alert may leave out.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// From the API key. `None`: the alert has to state it (AMQP).
    pub tenant: Option<Tenant>,
    /// The id when the alert has none: made by the caller, because identity is a parameter. `None`: it has to have one.
    pub id: Option<AlertId>,
    /// When it reached us.
    pub now: Timestamp,
}

/// Reads one alert.
///
/// # Errors
/// [`InvalidAlert`] names the first field at fault.
pub fn parse_alert(json: &[u8], defaults: &Defaults) -> Result<Alert, InvalidAlert> {
    if json.len() > bounds::ALERT_BYTES_MAX {
        let problem =
            format!("is {} bytes of JSON, at most {} are accepted", json.len(), bounds::ALERT_BYTES_MAX);
        return Err(InvalidAlert::new("alert", problem));
    }
    checked(read("alert", json)?, defaults)
}

/// The longest path of a field that is repeated to whoever wrote it, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// Reads a JSON object of a known shape; a refusal of the whole names it `whole`.
///
/// # Errors
/// [`InvalidAlert`] names the first field at fault, and repeats no value (I12).
pub fn read<'de, T: Deserialize<'de>>(whole: &str, json: &'de [u8]) -> Result<T, InvalidAlert> {
    let json = super::without_bom(json);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let raw = serde_path_to_error::deserialize(Objects(&mut reader)).map_err(|error| {
        let path = error.path().to_string();
        if let Some(field) = missing(error.inner()) {
            let field = if path == "." { field } else { format!("{path}.{field}") };
            return InvalidAlert::new(field, "is missing, and must be given");
        }
        // Text that is no JSON is wrong as a whole, wherever reading it ended; and a name may be of no use as one.
        let is_whole = path == "." || !error.inner().is_data() || !is_printable(&path);
        InvalidAlert::new(if is_whole { whole.to_owned() } else { path }, describe(error.inner()))
    })?;
    reader.end().map_err(|error| InvalidAlert::new(whole, describe(&error)))?;
    Ok(raw)
}

/// Whether the path of a field, which may be of the sender's making, can stand in an answer and in a log.
fn is_printable(path: &str) -> bool {
    (1..=PATH_BYTES_MAX).contains(&path.len()) && !path.chars().any(char::is_control)
}

/// The field that serde's message says is not there.
fn missing(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (field, _) = text.strip_prefix("missing field `")?.split_once('`')?;
    Some(field.to_owned())
}

/// The names in serde's "expected one of `a`, `b`" or "expected `a` or `b`".
fn accepted_of(expected: &str) -> String {
    let names = expected.split('`').skip(1).step_by(2);
    names.collect::<Vec<_>>().join(", ")
}

/// serde's message, without the values it likes to quote.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        return text; // Not JSON: the line and column are the help.
    }
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some((name, expected)) =
        text.strip_prefix("unknown field `").and_then(|text| text.split_once("`, "))
    {
        let accepted = accepted_of(expected);
        return match is_printable(name) {
            true => format!("is not known here: accepted are {accepted}"),
            false => format!("has a field of a name that is not known: accepted are {accepted}"),
        };
    }
    // A word of a known few: which are they, and not what stood there.
    if let Some((_, expected)) =
        text.strip_prefix("unknown variant `").and_then(|text| text.split_once("`, expected "))
    {
        return format!("is not known, expected {expected}");
    }
    match text.starts_with("invalid ") {
        true => {
            let expected = match text.split("expected ").nth(1).unwrap_or("another") {
                "a sequence" => "a list",
                "a map" => "an object",
                expected => expected,
            };
            format!("has the wrong type: expected {expected}")
        }
        false => text.to_owned(),
    }
}

fn checked(raw: AlertV1, defaults: &Defaults) -> Result<Alert, InvalidAlert> {
    if raw.kind.as_deref().is_some_and(|kind| kind != "alert") {
        return Err(InvalidAlert::new("kind", "must be `alert` or left out"));
    }
    let tenant = tenant_of(raw.tenant, defaults.tenant.as_ref())?;
    let id = match raw.id {
        Some(id) => AlertId::parse(id).map_err(|error| InvalidAlert::new("id", error))?,
        None => defaults.id.clone().ok_or_else(|| {
            let problem = "is missing: give the alert an id or the message a message_id, or a redelivery looks like a second alert";
            InvalidAlert::new("id", problem)
        })?,
    };
    if is_path_step(id.as_str()) {
        return Err(InvalidAlert::new("id", InvalidName::PathStep));
    }
    if id.as_str().starts_with(AlertId::OWN_PREFIX) {
        let problem = format!("must not begin with {}: such ids are Watchbell's own", AlertId::OWN_PREFIX);
        return Err(InvalidAlert::new("id", problem));
    }
    let version = raw.version.unwrap_or(1);
    if version == 0 {
        return Err(InvalidAlert::new("version", "counts from 1"));
    }
    let title = text("title", Some(raw.title), bounds::TITLE_CHARS_MAX)?.unwrap_or_default();
    if is_invisible(&title) {
        let but = if title.trim().is_empty() { "" } else { ": it has no character that can be seen" };
        return Err(InvalidAlert::new("title", format!("must not be empty{but}")));
    }
    link("url", raw.url.as_deref(), "https:// or http://", |_| true)?;
    link("image", raw.image.as_deref(), "https://", |image| image.starts_with("https://"))?;
    if let Some(key) = &raw.collapse_key {
        AlertId::parse(key).map_err(|error| InvalidAlert::new("collapse_key", error))?;
    }
    let occurred_at = time("occurred_at", raw.occurred_at)?;
    Ok(Alert {
        id,
        version,
        tenant,
        to: audience_of(raw.to, version)?,
        // One of these that nobody can see is none: people could not tell it from others, nor say what they want of it.
        source: text("source", raw.source, bounds::TITLE_CHARS_MAX)?.filter(|source| !is_invisible(source)),
        category: text("category", raw.category, bounds::TITLE_CHARS_MAX)?
            .filter(|category| !is_invisible(category)),
        severity: word("severity", raw.severity)?.unwrap_or(Severity::Warning),
        status: word("status", raw.status)?.unwrap_or(Status::Firing),
        title,
        body: text("body", raw.body, bounds::BODY_CHARS_MAX)?,
        body_format: word("body_format", raw.body_format)?.unwrap_or_default(),
        url: raw.url,
        image: raw.image,
        actions: actions_of(raw.actions)?,
        labels: labels_of(raw.labels)?,
        data: raw.data,
        policy: text("policy", raw.policy, bounds::TITLE_CHARS_MAX)?,
        collapse_key: raw.collapse_key,
        group_key: group_key_of(raw.group_key)?,
        occurred_at: occurred_at.unwrap_or(defaults.now),
        is_dated: occurred_at.is_some(),
        expires_at: time("expires_at", raw.expires_at)?,
        dismissed_until: time("dismissed_until", raw.dismissed_until)?,
    })
}

/// Refuses what is no address that begins so.
fn link(
    field: &str,
    value: Option<&str>,
    begins: &str,
    is_good: impl Fn(&str) -> bool,
) -> Result<(), InvalidAlert> {
    match value {
        Some(value) if !is_link(value) || !is_good(value) => {
            let problem =
                format!("must begin with {begins} and have at most {} bytes", bounds::URL_BYTES_MAX);
            Err(InvalidAlert::new(field, problem))
        }
        _ => Ok(()),
    }
}

fn group_key_of(key: Option<String>) -> Result<Option<String>, InvalidAlert> {
    let is_good = |key: &String| key.len() <= bounds::GROUP_KEY_BYTES_MAX && is_line(key);
    match key {
        Some(key) if !is_good(&key) => {
            let max = bounds::GROUP_KEY_BYTES_MAX;
            let problem = format!(
                "must have 1 to {max} bytes without control characters, and something that can be seen"
            );
            Err(InvalidAlert::new("group_key", problem))
        }
        key => Ok(key),
    }
}

fn actions_of(raw: Vec<ActionV1>) -> Result<Vec<Action>, InvalidAlert> {
    if raw.len() > ACTIONS_MAX {
        return Err(InvalidAlert::new("actions", format!("has more than {ACTIONS_MAX} entries")));
    }
    let mut actions: Vec<Action> = Vec::with_capacity(raw.len());
    for (at, action) in raw.into_iter().enumerate() {
        let wrong =
            |InvalidAction { field, problem }| InvalidAlert::new(format!("actions[{at}].{field}"), problem);
        let action = action.checked().map_err(wrong)?;
        if actions.iter().any(|earlier| earlier.id == action.id) {
            let problem = "is the id of an earlier action: give each its own";
            return Err(InvalidAlert::new(format!("actions[{at}].id"), problem));
        }
        actions.push(action);
    }
    Ok(actions)
}

pub(super) fn tenant_of(stated: Option<String>, own: Option<&Tenant>) -> Result<Tenant, InvalidAlert> {
    let stated = stated.map(Tenant::parse).transpose().map_err(|error| InvalidAlert::new("tenant", error))?;
    match (stated, own) {
        (Some(stated), Some(own)) if stated != *own => {
            Err(InvalidAlert::new("tenant", "is not the tenant of this API key: leave it out"))
        }
        (_, Some(own)) => Ok(own.clone()),
        (Some(stated), None) => Ok(stated),
        (None, None) => Err(InvalidAlert::new("tenant", "must be stated by a producer on AMQP")),
    }
}

fn audience_of(raw: AudienceV1, version: u32) -> Result<Audience, InvalidAlert> {
    if raw.users.len() + raw.groups.len() > bounds::RECIPIENTS_MAX {
        let problem =
            format!("names more than {} users and groups: use a group, or everyone", bounds::RECIPIENTS_MAX);
        return Err(InvalidAlert::new("to", problem));
    }
    let mut users = Vec::with_capacity(raw.users.len());
    let mut seen = HashSet::with_capacity(raw.users.len());
    for (at, user) in raw.users.into_iter().enumerate() {
        let user =
            UserId::parse_new(user).map_err(|error| InvalidAlert::new(format!("to.users[{at}]"), error))?;
        if seen.insert(user.clone()) {
            users.push(user);
        }
    }
    let mut groups = Vec::with_capacity(raw.groups.len());
    for (at, group) in raw.groups.into_iter().enumerate() {
        groups.push(
            GroupId::parse_new(group)
                .map_err(|error| InvalidAlert::new(format!("to.groups[{at}]"), error))?,
        );
    }
    // A later version reaches everybody who holds the alert, so it need not name them again.
    let audience = Audience { users, groups, everyone: raw.everyone };
    if audience.is_empty() && version == 1 {
        return Err(InvalidAlert::new("to", "names nobody: give users, groups or everyone"));
    }
    Ok(audience)
}

/// The labels. One whose value nobody can see is none, unless its value is empty: it says as much, and is kept as it was given.
pub(super) fn labels_of(
    mut labels: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, InvalidAlert> {
    if labels.len() > bounds::LABELS_MAX {
        return Err(InvalidAlert::new("labels", format!("has more than {} entries", bounds::LABELS_MAX)));
    }
    for (name, value) in &labels {
        if name.is_empty() || name.len() > bounds::LABEL_BYTES_MAX || value.len() > bounds::LABEL_BYTES_MAX {
            let max = bounds::LABEL_BYTES_MAX;
            let problem = format!("names have 1 to {max} bytes, and values at most {max}");
            return Err(InvalidAlert::new("labels", problem));
        }
        if !is_line(name) {
            let problem =
                "names must not contain control characters, and must have something that can be seen";
            return Err(InvalidAlert::new("labels", problem));
        }
        if value.chars().any(|c| c.is_control() && !is_of_layout(c)) {
            let problem = "values must not contain control characters other than newlines and tabs";
            return Err(InvalidAlert::new("labels", problem));
        }
    }
    labels.retain(|_, value| value.is_empty() || !is_invisible(value));
    Ok(labels)
}

pub(super) fn text(
    field: &str,
    value: Option<String>,
    chars_max: usize,
) -> Result<Option<String>, InvalidAlert> {
    match value {
        Some(value) if value.chars().count() > chars_max => {
            Err(InvalidAlert::new(field, format!("has more than {chars_max} characters")))
        }
        Some(value) if value.chars().any(|c| c.is_control() && !is_layout(field, c)) => {
            let but = if field == "body" { " other than newlines and tabs" } else { "" };
            Err(InvalidAlert::new(field, format!("must not contain control characters{but}")))
        }
        value => Ok(value),
    }
}

/// PostgreSQL cannot store NUL, screens cannot show the others, and terminals obey them. A body may have lines.
fn is_layout(field: &str, c: char) -> bool {
    field == "body" && is_of_layout(c)
}

fn is_of_layout(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t')
}

pub(super) fn word<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    value: Option<String>,
) -> Result<Option<T>, InvalidAlert> {
    value.map(|value| value.parse()).transpose().map_err(|error: T::Err| InvalidAlert::new(field, error))
}

pub(super) fn time(field: &str, value: Option<String>) -> Result<Option<Timestamp>, InvalidAlert> {
    value.map(|value| time_of(&value)).transpose().map_err(|error| InvalidAlert::new(field, error))
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
