//! Alertmanager's webhook, version 4 (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>), and
//! what Grafana posts, which has the same shape.
//!
//! What holds here:
//! - One alert of Alertmanager is one of ours. It is known by its labels, its fingerprint and its start: what it *is*.
//!   How it was posted (`groupKey`, `receiver`, which of an HA pair) does not count, so regrouping makes no second one.
//! - One that cannot be used is refused by itself, and the others are told.

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status, text::is_invisible},
    wire::Problem,
};

use crate::limits::HOOK_ALERTS_READ_MAX;

use super::{
    fit, lenient,
    report::{Heard, Key, Post, Report},
};

/// Alertmanager and Grafana in front of the same rules speak of the same alerts.
const REALM: &str = "alertmanager";
/// What an alert is called that says nothing.
const NAMELESS: &str = "An alert of Alertmanager";

/// What Alertmanager posts.
///
/// # Errors
/// 422 for a post that has no alerts to read.
pub fn read(payload: &Value, now: Timestamp) -> Result<Post, Problem> {
    read_as("alertmanager", payload, now)
}

/// What one of the products that speak so posts.
pub(super) fn read_as(source: &str, payload: &Value, now: Timestamp) -> Result<Post, Problem> {
    if lenient::at(payload, "alerts").is_none() && lenient::at(payload, "truncatedAlerts").is_none() {
        return Err(Problem::invalid(
            "alerts",
            "is missing: a webhook of Alertmanager, version 4, has a list there",
        ));
    }
    let alerts = lenient::list(payload, "alerts");
    let (read, rest) = alerts.split_at(alerts.len().min(HOOK_ALERTS_READ_MAX));
    let heard = read.iter().map(|one| heard(source, payload, one, now)).enumerate().collect();
    let group = lenient::text(payload, "groupKey").unwrap_or_default();
    let receiver = lenient::text(payload, "receiver").unwrap_or_default();
    Ok(Post {
        heard,
        left_out: rest.len() as u64
            + lenient::number(payload, "truncatedAlerts").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        // It tells of a post, so it is known by what the post is called.
        more: Some(Key::of(REALM, ["more", group.as_str(), receiver.as_str()])),
    })
}

fn heard(source: &str, payload: &Value, one: &Value, now: Timestamp) -> Heard {
    if !one.is_object() {
        return Heard::Refused(Problem::invalid(
            "alerts",
            "has something that is not an alert: expected an object",
        ));
    }
    let (labels, labels_left_out) = lenient::texts(lenient::at(one, "labels"));
    let (annotations, _) = lenient::texts(lenient::at(one, "annotations"));
    let starts_at = lenient::first_time(one, &["startsAt"]);
    let annotation = |names: &[&str]| {
        names.iter().find_map(|name| annotations.get(*name).filter(|text| !is_invisible(text)).cloned())
    };
    let label = |names: &[&str]| {
        names.iter().find_map(|name| labels.get(*name).filter(|text| !is_invisible(text)).cloned())
    };
    let name = label(&["rulename", "alertname"]);
    let fingerprint = lenient::text(one, "fingerprint").unwrap_or_default();
    let start = starts_at.map(|at| at.to_string()).unwrap_or_default();
    // The sender's fingerprint alone is not enough: relays fill it with one value, or with none. An alert without labels is
    // known by what it says.
    let told = if labels.is_empty() { &annotations } else { &labels };
    let key = Key::of(REALM, [fingerprint.trim(), json!(told).to_string().as_str(), start.as_str()]);
    let severity = label(&["severity", "priority", "level"]);
    let title = annotation(&["summary", "title", "message", "description"]).or_else(|| name.clone());
    let link = |name: &str| fit::url(lenient::text(one, name));
    let noted = |name: &str| fit::url(annotation(&[name]));
    let generator = link("generatorURL");
    let runbook = noted("runbook_url").or_else(|| noted("runbook"));
    let dashboard = link("dashboardURL").or_else(|| noted("dashboard_url"));
    let url = [link("panelURL"), link("dashboardURL"), generator.clone(), runbook.clone(), dashboard.clone()];
    let mut report = Report::new(
        key,
        status_of(one, now),
        severity.map_or(Severity::Warning, |word| lenient::severity(&word)),
        title.unwrap_or_else(|| NAMELESS.to_owned()),
    );
    report.body = annotation(&["description", "message"]).filter(|body| *body != report.title);
    report.url = url.into_iter().flatten().next();
    report.source = Some(source.to_owned());
    report.category = name;
    report.occurred_at = starts_at;
    report.data = vec![
        ("receiver", text_value(payload, "receiver")),
        ("externalURL", json!(fit::url(lenient::text(payload, "externalURL")))),
        ("generatorURL", json!(generator)),
        ("runbook_url", json!(runbook)),
        ("dashboard_url", json!(dashboard)),
        ("silenceURL", json!(link("silenceURL"))),
        ("valueString", text_value(one, "valueString")),
    ];
    if labels_left_out > 0 {
        report.notes.push(format!("{labels_left_out} labels could not be read as texts and were left out"));
    }
    report.labels = labels;
    report.into()
}

fn text_value(value: &Value, path: &str) -> Value {
    json!(lenient::text(value, path).map(|text| fit::one_line(&text)))
}

fn status_of(one: &Value, now: Timestamp) -> Status {
    match lenient::text(one, "status") {
        Some(word) => lenient::status(&word),
        // A relay that drops the word leaves the time, which is year 1 while the alert fires.
        None => match lenient::first_time(one, &["endsAt"]) {
            Some(ended) if ended <= now => Status::Resolved,
            Some(_) | None => Status::Firing,
        },
    }
}

#[cfg(test)]
#[path = "alertmanager_tests.rs"]
mod tests;
