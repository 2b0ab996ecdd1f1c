//! One event of PagerDuty's Events API as an alert of ours. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchbell::{
    domain::{Alert, AlertId, Severity, Status, Tenant, alert::bounds},
    wire::Problem,
};

use crate::hook::{self, Query, clip, one_line};

/// What ids are made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d35_1c0a_6b92_4f4e_a1c8_03de_5f96_b274);
/// The longest `dedup_key`, in characters, as PagerDuty has it.
const DEDUP_KEY_CHARS_MAX: usize = 255;
/// The body and `custom_details`, in bytes of JSON each: with the rest they fit an alert.
const BODY_BYTES_MAX: usize = 20 * 1024;
const DETAILS_BYTES_MAX: usize = 20 * 1024;

/// The event, without its key. What it has beyond this is passed over.
#[derive(Deserialize)]
pub struct Event {
    #[serde(rename = "event_action")]
    pub action: Action,
    pub dedup_key: Option<String>,
    payload: Option<Payload>,
    client: Option<String>,
    client_url: Option<String>,
    #[serde(default)]
    links: Vec<Link>,
}

/// What happens to the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Default, Deserialize)]
struct Payload {
    summary: Option<String>,
    source: Option<String>,
    severity: Option<String>,
    timestamp: Option<String>,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    #[serde(default)]
    custom_details: Value,
}

#[derive(Deserialize)]
struct Link {
    href: Option<String>,
}

impl Action {
    pub fn status(self) -> Status {
        match self {
            Self::Trigger => Status::Firing,
            Self::Acknowledge => Status::Acknowledged,
            Self::Resolve => Status::Resolved,
        }
    }
}

/// What is known besides the event.
pub struct Context<'a> {
    pub tenant: &'a Tenant,
    pub query: &'a Query,
    pub dedup_key: &'a str,
    pub now: Timestamp,
}

/// The id of the alert: the key itself where it is a name of ours.
///
/// # Errors
/// 422 when it is longer than PagerDuty takes.
pub fn id_of(dedup_key: &str) -> Result<AlertId, Problem> {
    let invalid = |problem: String| Problem::invalid("dedup_key", problem);
    if dedup_key.chars().count() > DEDUP_KEY_CHARS_MAX {
        return Err(invalid(format!("has more than {DEDUP_KEY_CHARS_MAX} characters")));
    }
    let made = || AlertId::parse(Uuid::new_v5(&NAMESPACE, dedup_key.as_bytes()).to_string());
    AlertId::parse(dedup_key).or_else(|_| made()).map_err(|error| invalid(error.to_string()))
}

/// The version to publish, after the stored one; none when the event changes nothing.
pub fn next_version(action: Action, stored: Option<(u32, Status)>) -> Option<u32> {
    let Some((version, status)) = stored else {
        // The trigger, should it be on its way, is older.
        return Some(if action == Action::Trigger { 1 } else { 2 });
    };
    let changes = match action {
        Action::Trigger => status == Status::Resolved,
        Action::Acknowledge => status == Status::Firing,
        Action::Resolve => status != Status::Resolved,
    };
    changes.then_some(version).and_then(|version| version.checked_add(1))
}

/// The alert as the event tells it, as version 1.
///
/// # Errors
/// 422 for a trigger that PagerDuty would refuse, too.
pub fn alert_of(context: &Context<'_>, event: &Event, id: AlertId) -> Result<Alert, Problem> {
    let none = Payload::default();
    let payload = event.payload.as_ref().unwrap_or(&none);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (summary, source) = (given(&payload.summary), given(&payload.source));
    if event.action == Action::Trigger {
        for (field, value) in [("payload.summary", &summary), ("payload.source", &source)] {
            if value.is_none() {
                return Err(Problem::invalid(field, "is missing: a trigger has it"));
            }
        }
    }
    let occurred_at = match given(&payload.timestamp) {
        Some(text) => time_of(&text)?,
        None => context.now,
    };
    let title = summary.unwrap_or_else(|| context.dedup_key.to_owned());
    let (data, details) = data_of(event, payload);
    let is_cut = title.chars().count() > bounds::TITLE_CHARS_MAX;
    let body = details.or_else(|| is_cut.then(|| title.clone()));
    Ok(Alert {
        id,
        version: 1,
        tenant: context.tenant.clone(),
        to: context.query.audience.clone(),
        source: given(&event.client).or_else(|| source.clone()).map(|text| one_line(&text)),
        category: given(&payload.class).map(|text| one_line(&text)),
        severity: severity_of(event.action, payload.severity.as_deref())?,
        status: event.action.status(),
        title: one_line(&title),
        body: body.map(|text| clip(&text, bounds::BODY_CHARS_MAX, BODY_BYTES_MAX)),
        url: url_of(event),
        labels: labels_of([
            ("source", source),
            ("component", given(&payload.component)),
            ("group", given(&payload.group)),
            ("class", given(&payload.class)),
        ]),
        data,
        policy: context.query.policy.clone(),
        collapse_key: None,
        occurred_at,
        expires_at: None,
        dismissed_until: None,
    })
}

/// PagerDuty wakes people for `critical` and `error`, and not for the others, unless told otherwise.
fn severity_of(action: Action, given: Option<&str>) -> Result<Severity, Problem> {
    match given.unwrap_or_default() {
        "critical" | "error" => Ok(Severity::Critical),
        "warning" => Ok(Severity::Warning),
        "info" => Ok(Severity::Info),
        "" if action != Action::Trigger => Ok(Severity::Warning),
        _ => Err(Problem::invalid("payload.severity", "must be critical, error, warning or info")),
    }
}

/// With an offset, or without one as many write it; that is taken for UTC.
fn time_of(text: &str) -> Result<Timestamp, Problem> {
    let utc = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = text.parse().ok().or_else(|| utc().map(|zoned| zoned.timestamp()));
    let detail = "must be an ISO 8601 time such as 2026-11-21T12:00:00Z";
    time.ok_or_else(|| Problem::invalid("payload.timestamp", detail))
}

/// Where to read on.
fn url_of(event: &Event) -> Option<String> {
    let links = event.links.iter().filter_map(|link| link.href.as_deref());
    links.chain(event.client_url.as_deref()).find(|url| hook::is_usable_url(url)).map(str::to_owned)
}

fn labels_of<const N: usize>(given: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.map(|(name, value)| (name.to_owned(), clip(&value, usize::MAX, bounds::LABEL_BYTES_MAX))).collect()
}

/// What is kept as it is; details that are a text are for people to read, and come second.
fn data_of(event: &Event, payload: &Payload) -> (Map<String, Value>, Option<String>) {
    let mut data = Map::new();
    if let Some(url) = event.client_url.as_deref().filter(|url| hook::is_usable_url(url)) {
        data.insert("client_url".into(), url.into());
    }
    match &payload.custom_details {
        Value::Null => {}
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) => return (data, Some(text.clone())),
        details => match details.to_string().len() {
            // The whole would be refused for its length, and people would not be told.
            bytes if bytes > DETAILS_BYTES_MAX => {
                data.insert("left_out".into(), json!({"custom_details_bytes": bytes}));
            }
            _ => drop(data.insert("custom_details".into(), details.clone())),
        },
    }
    (data, None)
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
