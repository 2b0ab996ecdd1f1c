//! Datadog's Webhooks integration (<https://docs.datadoghq.com/integrations/webhooks/>), whose payload people write
//! themselves. Its default payload is read, and every variable under the name it has there, in small letters.
//!
//! What holds here:
//! - An alert is known by its cycle, else by what Datadog aggregates by, else by the monitor and its scope, else by its
//!   title without `[Triggered]` and the like. The `id` of an event is another one each time, so it does not count.
//! - An end needs nothing but one of these.
//! - A variable that Datadog did not fill in (`$LINK`) is absent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    About, fit,
    lenient::{self, first_time},
    object,
    report::{Key, Post, Report},
};

const REALM: &str = "datadog";
/// What an alert is called that is known and says nothing.
const NAMELESS: &str = "An alert of Datadog";

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "datadog",
    summary: "Datadog's Webhooks integration",
    description: "Its default payload, or variables under their own names in small letters: `alert_cycle_key`, `alert_id`, `alert_scope`, \
                  `alert_transition`, `alert_type`, `alert_priority`, `title`, `body`, `link`, `tags`, `date`, `hostname`.",
    payload: || object("`title`, `body` and whatever else of these the payload of the webhook has."),
};

/// What Datadog posts.
///
/// # Errors
/// 422 for a payload with nothing to tell.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let first = |paths: &[&str]| paths.iter().find_map(|path| filled(payload, path));
    let key = key_of(payload);
    let text = first(&["title", "event_title", "alert_title", "event_msg", "body", "text_only_msg"]);
    let title = match (&text, &key) {
        (Some(title), _) => title.clone(),
        (None, Some(_)) => first(&["alert_status", "alert_query"]).unwrap_or_else(|| NAMELESS.to_owned()),
        (None, None) => {
            return Err(Problem::invalid(
                "title",
                "is missing: let the payload of the webhook have \"title\": \"$EVENT_TITLE\"",
            ));
        }
    };
    let Tagged { state, scope, bare } = tagged(&title);
    let kind = first(&["alert_type", "type"]);
    let said =
        first(&["alert_transition", "transition"]).map(|word| state_of(&word).unwrap_or(State::Unclear));
    let state = said.or(state).or((kind.as_deref() == Some("success")).then_some(State::Over));
    let status = match state {
        Some(State::Over) => Status::Resolved,
        Some(State::InHand) => Status::Acknowledged,
        Some(State::Alert | State::Warning | State::Unclear) | None => Status::Firing,
    };
    let org = first(&["org.id", "org_id", "org.name", "org_name"]).unwrap_or_default();
    let key = key.unwrap_or_else(|| Key::of(REALM, ["title", org.as_str(), scope, bare]));
    let mut report = Report::new(key, status, severity_of(payload, state, kind.as_deref()), title.clone());
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
    report.is_change = status != Status::Firing;
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

/// By the names that Datadog gives, which are of no two organizations.
fn key_of(payload: &Value) -> Option<Key> {
    let named = |name: &str| filled(payload, name);
    if let Some(cycle) = named("alert_cycle_key").or_else(|| named("aggreg_key")) {
        return Some(Key::of(REALM, ["cycle", cycle.as_str()]));
    }
    let monitor = named("alert_id")?;
    let scope = named("alert_scope").unwrap_or_default();
    Some(Key::of(REALM, ["monitor", monitor.as_str(), scope.as_str()]))
}

/// Where a monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Alert,
    Warning,
    /// Somebody is at it.
    InHand,
    Over,
    /// It goes on, and nothing says how bad it is: a reminder, or a word that nobody knows.
    Unclear,
}

/// What a transition leads to: `Triggered`, `Warn`, `No Data`, `Renotify` and `Recovered`, with `Re-` before and whatever
/// it recovers from behind; of `Alert to Warn` the latter. Other products' words are read, too.
fn state_of(word: &str) -> Option<State> {
    let lower = word.to_lowercase().replace("->", " to ").replace('→', " to ");
    let last = lower.rsplit(" to ").next().unwrap_or_default();
    let word: String = last.chars().filter(|c| c.is_alphabetic()).collect();
    let word = word.strip_prefix("re").filter(|rest| known(rest).is_some()).unwrap_or(&word);
    known(word)
}

fn known(word: &str) -> Option<State> {
    match word {
        word if word.contains("recover") => Some(State::Over),
        "triggered" | "trigger" | "alert" | "alerting" | "firing" => Some(State::Alert),
        "warn" | "warning" | "nodata" | "missingdata" => Some(State::Warning),
        "renotify" | "renotified" | "notify" => Some(State::Unclear),
        word => match lenient::status(word) {
            Status::Resolved => Some(State::Over),
            Status::Acknowledged => Some(State::InHand),
            Status::Firing | Status::Suppressed => None,
        },
    }
}

/// A title taken apart: `[P1] [Triggered on {host:a}] CPU is high`.
struct Tagged<'a> {
    state: Option<State>,
    /// Which of the groups of a monitor it is about.
    scope: &'a str,
    bare: &'a str,
}

fn tagged(title: &str) -> Tagged<'_> {
    let mut found = Tagged { state: None, scope: "", bare: title.trim() };
    while let Some((tag, after)) = found.bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (word, scope) = tag.split_once(" on ").unwrap_or((tag, ""));
        // `[FIRING:2]` is how others count.
        let state = word.split(':').next().and_then(state_of);
        if let Some(state) = state {
            found.state = Some(state);
            found.scope = scope;
        }
        // A title may be nothing but tags.
        if after.trim().is_empty() || (state.is_none() && lenient::known_severity(word).is_none()) {
            break;
        }
        found.bare = after.trim();
    }
    // `[Monitor Alert] Triggered: CPU is high`, as older mails have it.
    if let (None, Some((word, after))) = (found.state, found.bare.split_once(": "))
        && let Some(state @ (State::Over | State::Alert)) = state_of(word)
    {
        found.state = Some(state);
        found.bare = after.trim();
    }
    found
}

fn severity_of(payload: &Value, state: Option<State>, kind: Option<&str>) -> Severity {
    if let Some(priority) = filled(payload, "alert_priority").or_else(|| filled(payload, "severity")) {
        return match priority.trim() {
            // Of its priorities, P1 to P5, people write the number alone.
            number @ ("1" | "2" | "3" | "4" | "5") => lenient::severity(&format!("P{number}")),
            word => lenient::severity(word),
        };
    }
    match (state, kind) {
        (Some(State::Alert), None) => Severity::Critical,
        (Some(State::Warning), _) | (_, None) => Severity::Warning,
        (_, Some(kind)) => lenient::severity(kind),
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

#[cfg(test)]
#[path = "datadog_tests.rs"]
mod tests;
