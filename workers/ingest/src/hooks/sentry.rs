//! Sentry: issue alerts, issues and metric alerts of an internal integration
//! (<https://docs.sentry.io/organization/integrations/integration-platform/webhooks/>), and the older plugin "WebHooks".
//!
//! Everything about one issue is one alert: it fires when an alert rule is triggered for it, and ends when it is resolved.

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    About, fit,
    lenient::{self, at, first_text, first_time, text},
    object,
    report::{Heard, Key, Post, Report},
};

const REALM: &str = "sentry";

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "sentry",
    summary: "Sentry's issue alerts, issues and metric alerts",
    description: "Everything about one issue is one alert.",
    payload: || {
        object(
            "What an internal integration posts (`data.event`, `data.issue` or `data.metric_alert`), or the plugin \"WebHooks\" (`event`).",
        )
    },
};

/// What Sentry posts.
///
/// # Errors
/// 422 for a payload that is none of these.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let heard: Heard = if let Some(event) = at(payload, "data.event") {
        event_alert(payload, event).into()
    } else if let Some(issue) = at(payload, "data.issue") {
        issue_change(payload, issue)
    } else if let Some(metric) = at(payload, "data.metric_alert") {
        metric_alert(payload, metric).into()
    } else if let Some(event) = at(payload, "event") {
        plugin(payload, event).into()
    } else if at(payload, "installation").is_some() || at(payload, "action").is_some() {
        Heard::Passed("it is about neither an issue nor an alert")
    } else {
        return Err(Problem::invalid(
            "data",
            "has neither `event`, `issue` nor `metric_alert`, as Sentry has there",
        ));
    };
    Ok(Post::one(heard))
}

/// An alert rule was triggered by an event of an issue.
fn event_alert(payload: &Value, event: &Value) -> Report {
    let issue = first_text(event, &["issue_id", "groupID", "issue_url", "event_id", "title"]);
    let mut report = of_event(event, of_issue(issue));
    report.category = text(payload, "data.triggered_rule");
    report.url = fit::url(first_text(event, &["web_url", "url"]));
    report
}

/// The plugin "WebHooks", which older and self-hosted Sentrys have.
fn plugin(payload: &Value, event: &Value) -> Report {
    let issue = first_text(payload, &["id"]).or_else(|| first_text(event, &["groupID", "event_id", "title"]));
    let mut report = of_event(event, of_issue(issue));
    if let Some(level) = text(payload, "level") {
        report.severity = severity_of(Some(&level));
    }
    if text(event, "title").is_none() {
        report.title = first_text(payload, &["message", "culprit"]).unwrap_or(report.title);
    }
    report.category = lenient::list(payload, "triggering_rules").first().and_then(lenient::text_of);
    report.url = fit::url(text(payload, "url"));
    if let Some(project) = first_text(payload, &["project_slug", "project_name", "project"]) {
        report.labels.insert("project".into(), project);
    }
    report
}

/// The alert of an issue. What names no issue is one of its own each time.
fn of_issue(issue: Option<String>) -> Key {
    issue.map_or(Key::Fresh, |issue| Key::of(REALM, ["issue", issue.as_str()]))
}

fn of_event(event: &Value, key: Key) -> Report {
    let level = text(event, "level");
    let title = first_text(event, &["title", "metadata.title", "message", "culprit"]);
    let title = title.unwrap_or_else(|| "An error in Sentry".into());
    let mut report = Report::new(key, Status::Firing, severity_of(level.as_deref()), title);
    report.body =
        first_text(event, &["message", "metadata.value", "culprit"]).filter(|body| *body != report.title);
    report.source = Some("sentry".into());
    report.occurred_at = first_time(event, &["datetime", "timestamp", "received"]);
    // `[["browser", "Chrome 75.0"], …]`
    for tag in lenient::list(event, "tags") {
        let part = |at: usize| tag.get(at).and_then(lenient::text_of);
        if let (Some(name), Some(value)) = (part(0), part(1)) {
            report.labels.insert(name, value);
        }
    }
    for name in ["environment", "platform", "release", "project"] {
        if let Some(value) = text(event, name) {
            report.labels.entry(name.into()).or_insert(value);
        }
    }
    report.data =
        vec![("event_id", json!(text(event, "event_id"))), ("culprit", json!(text(event, "culprit")))];
    report
}

/// Somebody, or Sentry itself, did something with an issue.
fn issue_change(payload: &Value, issue: &Value) -> Heard {
    let status = match text(payload, "action").unwrap_or_default().as_str() {
        "created" | "unresolved" => Status::Firing,
        "resolved" => Status::Resolved,
        "assigned" => Status::Acknowledged,
        "archived" | "ignored" => Status::Suppressed,
        _ => return Heard::Passed("nothing happened to the issue that people are told"),
    };
    let key = of_issue(first_text(issue, &["id", "shortId", "title"]));
    let title = first_text(issue, &["title", "metadata.title", "culprit"])
        .unwrap_or_else(|| "An issue in Sentry".into());
    let level = text(issue, "level");
    let mut report = Report::new(key, status, severity_of(level.as_deref()), title);
    report.body = first_text(issue, &["metadata.value", "culprit"]).filter(|body| *body != report.title);
    report.source = Some("sentry".into());
    report.url = fit::url(first_text(issue, &["web_url", "permalink"]));
    report.occurred_at = first_time(issue, &["lastSeen", "firstSeen"]);
    for (label, path) in [("project", "project.slug"), ("platform", "platform"), ("issue", "shortId")] {
        if let Some(value) = text(issue, path) {
            report.labels.insert(label.into(), value);
        }
    }
    // Most issues are nobody's business until an alert rule says so.
    report.is_change = status != Status::Firing;
    report.needs_stored = status != Status::Firing;
    report.into()
}

fn metric_alert(payload: &Value, metric: &Value) -> Report {
    let action = text(payload, "action").unwrap_or_default();
    let key = match (text(metric, "id"), first_text(metric, &["identifier", "title"])) {
        (Some(id), _) => Key::of(REALM, ["metric", id.as_str()]),
        // Only a number is of one organization alone.
        (None, Some(named)) => {
            let organization = text(metric, "organization_id").unwrap_or_default();
            Key::of(REALM, ["metric", organization.as_str(), named.as_str()])
        }
        (None, None) => Key::Fresh,
    };
    let title = first_text(payload, &["data.description_title"])
        .or_else(|| first_text(metric, &["title", "alert_rule.name"]));
    let mut report = Report::new(
        key,
        lenient::status(&action),
        lenient::severity(&action),
        title.unwrap_or_else(|| "A metric alert of Sentry".into()),
    );
    report.body = text(payload, "data.description_text");
    report.source = Some("sentry".into());
    report.category = first_text(metric, &["alert_rule.name", "title"]);
    report.url = fit::url(text(payload, "data.web_url"));
    report.occurred_at = first_time(metric, &["date_started", "date_detected", "date_created"]);
    for (label, path) in [("environment", "alert_rule.environment"), ("dataset", "alert_rule.dataset")] {
        if let Some(value) = text(metric, path) {
            report.labels.insert(label.into(), value);
        }
    }
    report.is_change = report.status == Status::Resolved;
    report
}

/// `error` is what every exception has, so it wakes nobody; `fatal` does.
fn severity_of(level: Option<&str>) -> Severity {
    match level.unwrap_or("error") {
        "error" => Severity::Warning,
        level => lenient::severity(level),
    }
}
