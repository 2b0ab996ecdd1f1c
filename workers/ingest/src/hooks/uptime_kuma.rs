//! Uptime Kuma's notification of the type "Webhook", as JSON (its `server/notification-providers/webhook.js` posts
//! `{heartbeat, monitor, msg}`).
//!
//! A monitor is one alert: down fires it, up ends it, down again fires it anew.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    fit,
    lenient::{self, at, first_text, first_time, number, text},
    report::{Key, Post, Report},
};

const REALM: &str = "uptime-kuma";
/// What its heartbeats say: <https://github.com/louislam/uptime-kuma/blob/master/src/util.ts>.
const UP: i64 = 1;
const PENDING: i64 = 2;
const MAINTENANCE: i64 = 3;

/// What Uptime Kuma posts.
///
/// # Errors
/// 422 for a payload with nothing to read.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let msg = text(payload, "msg");
    let Some(monitor) = at(payload, "monitor") else {
        // A test, or a certificate that is about to expire: news by itself, of a monitor that is not named.
        let msg = msg.ok_or_else(|| {
            Problem::invalid("msg", "is missing, and so is `monitor`: there is nothing to tell")
        })?;
        let mut report = Report::new(Key::Fresh, Status::Firing, Severity::Warning, msg);
        report.source = Some("uptime-kuma".into());
        return Ok(Post::one(report));
    };
    let name =
        first_text(monitor, &["pathName", "name", "url", "hostname"]).unwrap_or_else(|| "A monitor".into());
    let id = [text(monitor, "id"), first_text(monitor, &["name", "url", "hostname"])]
        .map(Option::unwrap_or_default);
    let key = Key::of(REALM, id.iter().map(String::as_str));
    let (status, says) = match number(payload, "heartbeat.status") {
        Some(UP) => (Status::Resolved, "is up"),
        Some(MAINTENANCE) => (Status::Suppressed, "is under maintenance"),
        Some(PENDING) => (Status::Firing, "does not answer yet"),
        Some(_) => (Status::Firing, "is down"),
        // No heartbeat: about the monitor, but not whether it is up.
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
        ("monitor_id", at(monitor, "id").cloned().unwrap_or_default()),
        ("description", json!(text(monitor, "description"))),
    ];
    report.is_change = matches!(status, Status::Resolved | Status::Suppressed);
    report.needs_stored = status == Status::Suppressed;
    Ok(Post::one(report))
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
