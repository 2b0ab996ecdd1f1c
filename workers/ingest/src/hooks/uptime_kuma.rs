//! Uptime Kuma's notification of the type "Webhook", as JSON (its `server/notification-providers/webhook.js` posts
//! `{heartbeat, monitor, msg}`).
//!
//! A monitor is one alert: down fires it, up ends it, down again fires it anew. It is known by its number, so that it may
//! be renamed, and the number stands in the heartbeat, too: an end needs no `monitor`. Only where there is no number the name
//! counts. Two installations count alike: `?from=` behind the address tells them apart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    About, fit,
    lenient::{self, at, first_text, first_time, number, text},
    object,
    report::{Key, Post, Report},
};

const REALM: &str = "uptime-kuma";
/// What its heartbeats say: <https://github.com/louislam/uptime-kuma/blob/master/src/util.ts>.
const UP: i64 = 1;
const PENDING: i64 = 2;
const MAINTENANCE: i64 = 3;

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "uptimeKuma",
    summary: "Uptime Kuma's notification \"Webhook\"",
    description: "A monitor is one alert: down fires it, up ends it.",
    payload: || object("`monitor`, `heartbeat` and `msg`, as JSON."),
};

/// What Uptime Kuma posts.
///
/// # Errors
/// 422 for a payload with nothing to read.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let msg = text(payload, "msg");
    let monitor = at(payload, "monitor").unwrap_or(&Value::Null);
    let id =
        text(monitor, "id").or_else(|| first_text(payload, &["heartbeat.monitorID", "heartbeat.monitor_id"]));
    let name =
        first_text(monitor, &["name", "url", "hostname"]).or_else(|| msg.as_deref().and_then(named_in));
    let heartbeat = number(payload, "heartbeat.status");
    if msg.is_none() && (heartbeat.is_none() || id.is_none()) && monitor.is_null() {
        return Err(Problem::invalid("msg", "is missing, and so is `monitor`: there is nothing to tell"));
    }
    let key = match (&id, &name) {
        (Some(id), _) => Key::of(REALM, ["monitor", id.as_str()]),
        (None, Some(name)) => Key::of(REALM, ["name", name.as_str()]),
        (None, None) => Key::Fresh,
    };
    let name = text(monitor, "pathName").or(name).unwrap_or_else(|| "A monitor".into());
    let (status, says) = match heartbeat {
        Some(UP) => (Status::Resolved, "is up"),
        Some(MAINTENANCE) => (Status::Suppressed, "is under maintenance"),
        Some(PENDING) => (Status::Firing, "does not answer yet"),
        Some(_) => (Status::Firing, "is down"),
        // No heartbeat: a test, a certificate that is about to expire. News by itself.
        None => (Status::Firing, ""),
    };
    let key = if says.is_empty() { Key::Fresh } else { key };
    let severity = match status {
        Status::Firing if says == "is down" => Severity::Critical,
        _ => Severity::Warning,
    };
    let title = match says {
        "" => msg.clone().unwrap_or_else(|| name.clone()),
        says => format!("{name} {says}"),
    };
    let mut report = Report::new(key, status, severity, title);
    report.body = text(payload, "heartbeat.msg").or(msg).filter(|body| *body != report.title);
    report.source = Some("uptime-kuma".into());
    report.category = text(monitor, "type");
    // A monitor of a port has the address "https://", which leads nowhere.
    report.url = fit::url(text(monitor, "url")).filter(|url| url.len() > "https://".len());
    report.occurred_at = first_time(payload, &["heartbeat.time"]);
    report.labels = labels_of(monitor);
    report.data = vec![
        (
            "monitor_id",
            json!(id.as_deref().map(|id| id.parse::<i64>().map_or_else(|_| json!(id), |id| json!(id)))),
        ),
        ("description", json!(text(monitor, "description"))),
    ];
    report.is_change = matches!(status, Status::Resolved | Status::Suppressed);
    report.needs_stored = status == Status::Suppressed;
    Ok(Post::one(report))
}

/// The name of the monitor in `[Shop] [✅ Up] 200 - OK`.
fn named_in(msg: &str) -> Option<String> {
    let (name, _) = msg.strip_prefix('[')?.split_once("] [")?;
    Some(name.to_owned()).filter(|name| !name.trim().is_empty())
}

/// Its tags, and what it watches.
fn labels_of(monitor: &Value) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for tag in lenient::list(monitor, "tags") {
        if let Some(name) = text(tag, "name") {
            labels.insert(name, text(tag, "value").unwrap_or_default());
        }
    }
    for (label, path) in [("monitor", "name"), ("type", "type"), ("hostname", "hostname"), ("port", "port")] {
        if let Some(value) = text(monitor, path) {
            labels.entry(label.into()).or_insert(value);
        }
    }
    labels
}
