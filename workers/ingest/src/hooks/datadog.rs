//! Datadog's Webhooks integration (<https://docs.datadoghq.com/integrations/webhooks/>), whose payload people write
//! themselves. Its default payload is read, and every variable under the name it has there, in small letters.
//!
//! What holds here:
//! - An alert is known by its cycle, else by what Datadog aggregates by, else by the monitor and its scope, else by its
//!   title without `[Triggered]` and the like. The `id` of an event is another one each time, so it does not count.
//! - A variable that Datadog did not fill in (`$LINK`) is absent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    fit,
    lenient::{self, first_time},
    report::{Key, Post, Report},
};

const REALM: &str = "datadog";

/// What Datadog posts.
///
/// # Errors
/// 422 for a payload with nothing to tell.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let first = |paths: &[&str]| paths.iter().find_map(|path| filled(payload, path));
    let Some(title) = first(&["title", "event_title", "alert_title", "event_msg", "body", "text_only_msg"])
    else {
        return Err(Problem::invalid(
            "title",
            "is missing: let the payload of the webhook have \"title\": \"$EVENT_TITLE\"",
        ));
    };
    let Tagged { transition, scope, bare } = tagged(&title);
    let transition = first(&["alert_transition", "transition"]).or(transition);
    let kind = first(&["alert_type", "type"]);
    let org = first(&["org.id", "org_id", "org.name", "org_name"]).unwrap_or_default();
    let status = match (&transition, &kind) {
        (Some(transition), _) => lenient::status(transition),
        (None, Some(kind)) if kind == "success" => Status::Resolved,
        (None, _) => Status::Firing,
    };
    let mut report = Report::new(
        key_of(payload, &org, scope, bare),
        status,
        severity_of(payload, transition.as_deref(), kind.as_deref()),
        title.clone(),
    );
    report.body = first(&["text_only_msg", "body", "event_msg", "message", "text"])
        .map(|text| shown(&text))
        .filter(|body| *body != title);
    report.source = Some("datadog".into());
    report.category = first(&["alert_title", "event_type"]);
    report.url = fit::url(first(&["link", "url", "event_link", "alert_url"]));
    report.occurred_at = first_time(payload, &["date", "last_updated", "alert_updated", "timestamp"]);
    report.labels = labels_of(payload);
    report.data = vec![
        ("alert_id", json!(first(&["alert_id"]))),
        ("alert_metric", json!(first(&["alert_metric"]))),
        ("alert_query", json!(first(&["alert_query"]))),
        ("alert_status", json!(first(&["alert_status"]))),
        ("snapshot", json!(fit::url(first(&["snapshot"])))),
    ];
    report.is_change = status == Status::Resolved;
    Ok(Post::one(report))
}

/// A text that Datadog put there: not the name of a variable that it does not know.
fn filled(payload: &Value, path: &str) -> Option<String> {
    lenient::text(payload, path).filter(|text| {
        let is_variable = text.strip_prefix('$').is_some_and(|name| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_[]".contains(&b))
        });
        !is_variable && text.trim() != "null"
    })
}

fn key_of(payload: &Value, org: &str, scope: &str, bare: &str) -> Key {
    let named = |name: &str| filled(payload, name);
    if let Some(cycle) = named("alert_cycle_key").or_else(|| named("aggreg_key")) {
        return Key::of(REALM, ["cycle", org, cycle.as_str()]);
    }
    match named("alert_id") {
        Some(monitor) => {
            let scope = named("alert_scope").unwrap_or_default();
            Key::of(REALM, ["monitor", org, monitor.as_str(), scope.as_str()])
        }
        None => Key::of(REALM, ["title", org, scope, bare]),
    }
}

/// A title taken apart: `[P1] [Triggered on {host:a}] CPU is high`.
struct Tagged<'a> {
    transition: Option<String>,
    /// Which of the groups of a monitor it is about.
    scope: &'a str,
    bare: &'a str,
}

fn tagged(title: &str) -> Tagged<'_> {
    const TRANSITIONS: [&str; 5] = ["Triggered", "Recovered", "Warn", "No Data", "Renotify"];
    let mut found = Tagged { transition: None, scope: "", bare: title.trim() };
    while let Some((tag, after)) = found.bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (word, scope) = tag.split_once(" on ").unwrap_or((tag, ""));
        let is_transition = TRANSITIONS.contains(&word.trim().trim_start_matches("Re-"));
        if is_transition {
            found.transition = Some(word.trim().to_owned());
            found.scope = scope;
        }
        // A title may be nothing but tags.
        if after.trim().is_empty() || !(is_transition || lenient::known_severity(word).is_some()) {
            break;
        }
        found.bare = after.trim();
    }
    found
}

fn severity_of(payload: &Value, transition: Option<&str>, kind: Option<&str>) -> Severity {
    if let Some(priority) = filled(payload, "alert_priority").or_else(|| filled(payload, "severity")) {
        return lenient::severity(&priority);
    }
    match (transition.map(|word| word.trim_start_matches("Re-")), kind) {
        (Some("Warn" | "No Data"), _) => Severity::Warning,
        (_, Some(kind)) => lenient::severity(kind),
        (Some("Triggered"), None) => Severity::Critical,
        _ => Severity::Warning,
    }
}

/// Datadog fences its own markup with `%%%`.
fn shown(text: &str) -> String {
    text.replace("%%%", "").trim().to_owned()
}

/// `$TAGS` is `env:prod,host:a,standalone`.
fn labels_of(payload: &Value) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let tags = match lenient::at(payload, "tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(lenient::text_of).collect::<Vec<_>>().join(","),
        _ => filled(payload, "tags").unwrap_or_default(),
    };
    for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        labels.insert(name.to_owned(), value.to_owned());
    }
    for (label, paths) in
        [("host", &["hostname", "host"][..]), ("scope", &["alert_scope"]), ("org", &["org.name", "org_name"])]
    {
        if let Some(value) = paths.iter().find_map(|path| filled(payload, path)) {
            labels.entry(label.into()).or_insert(value);
        }
    }
    labels
}
