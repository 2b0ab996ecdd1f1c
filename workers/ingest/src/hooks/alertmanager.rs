//! Alertmanager's webhook, version 4 (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>), and
//! what Grafana posts, which has the same shape.
//!
//! What holds here:
//! - One alert of Alertmanager is one of ours. It is known by its labels, all of them: what it *is*. Neither how it was
//!   posted (`groupKey`, `receiver`, which of an HA pair) counts, nor its start and fingerprint, which relays and merges
//!   change: so its end always ends it, and firing anew it is the next version.
//! - Of a post with more alerts than are read, the worst are, wherever they stand.
//! - One that cannot be used is refused by itself, and the others are told.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use watchbell::{
    domain::{Severity, Status, text::is_invisible},
    wire::{
        Problem,
        schema::{anything, grouped, list},
    },
};

use crate::limits::{HOOK_ALERTS_READ_MAX, HOOK_ALERTS_TOLD_MAX};

use super::{
    About, fit, lenient, object,
    report::{Heard, Key, Post, Report},
};

/// Alertmanager and Grafana in front of the same rules speak of the same alerts.
const REALM: &str = "alertmanager";
/// What an alert is called that says nothing.
const NAMELESS: &str = "An alert of Alertmanager";
/// Where rules say how bad it is.
const SEVERITY_LABELS: [&str; 3] = ["severity", "priority", "level"];

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "alertmanager",
    summary: "Alertmanager's webhook, version 4",
    description: "Each alert of the post becomes one alert, known by its labels, however it is grouped and whoever of a pair \
                  posts it. Whom it is for: the labels `watchbell_users` and `watchbell_groups` \
                  (separated by commas) of the alert, else the routes, else the parameters.",
    payload,
};

/// What a post looks like.
pub(super) fn payload() -> ObjectBuilder {
    let field = |about: &str| anything().description(Some(about));
    let alert = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("status", field("firing or resolved"))
        .property(
            "labels",
            field("Texts by their names: `alertname`, `severity`, `watchbell_users`, `watchbell_groups`, …"),
        )
        .property("annotations", field("Texts: `summary`, `description`, `runbook_url`, `dashboard_url`."))
        .property("startsAt", field("When the alert began."))
        .property("endsAt", anything())
        .property("generatorURL", anything())
        .property("fingerprint", anything());
    let one_or_several = list(alert)
        .schema_type(SchemaType::Array(vec![Type::Array, Type::Object]))
        .description(Some(format!(
            "One alert each. Beyond {} they become one that says how many they are.",
            grouped(HOOK_ALERTS_TOLD_MAX)
        )));
    object("`null` is absent, and what is not known is passed over.")
        .property("alerts", one_or_several)
        .required("alerts")
        .property("truncatedAlerts", field("How many alerts the sender left out."))
        .property("groupKey", anything())
        .property("receiver", anything())
        .property("externalURL", anything())
}

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
    let (read, left_out) = worst_of(alerts, now);
    let heard = read.into_iter().map(|place| (place, heard(source, payload, &alerts[place], now))).collect();
    let truncated =
        lenient::number(payload, "truncatedAlerts").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let group = lenient::text(payload, "groupKey").unwrap_or_default();
    let receiver = lenient::text(payload, "receiver").unwrap_or_default();
    Ok(Post {
        heard,
        left_out: left_out.len() as u64 + truncated,
        // How bad those are that the sender left out is not known.
        left_out_worst: left_out.into_iter().chain((truncated > 0).then_some(Severity::Warning)).max(),
        // It tells of a post, so it is known by what the post is called.
        more: Some(Key::of(REALM, ["more", group.as_str(), receiver.as_str()])),
    })
}

/// The places of those that are read, in their order, and how bad each firing one is that is not.
fn worst_of(alerts: &[Value], now: Timestamp) -> (Vec<usize>, Vec<Severity>) {
    if alerts.len() <= HOOK_ALERTS_READ_MAX {
        return ((0..alerts.len()).collect(), Vec::new());
    }
    // Nothing firing is nothing to be told of: it comes last.
    let urgency: Vec<Option<Severity>> = alerts
        .iter()
        .map(|one| (one.is_object() && status_of(one, now) == Status::Firing).then(|| severity_of(one)))
        .collect();
    let mut places: Vec<usize> = (0..alerts.len()).collect();
    places.sort_by_key(|place| Reverse(urgency[*place]));
    let rest = places.split_off(HOOK_ALERTS_READ_MAX);
    places.sort_unstable();
    (places, rest.into_iter().filter_map(|place| urgency[place]).collect())
}

/// How bad it is, by the first of these labels in which something can be seen.
fn severity_of(one: &Value) -> Severity {
    let labels = lenient::at(one, "labels");
    let word = SEVERITY_LABELS.iter().find_map(|name| lenient::text_of(labels?.get(name)?));
    word.map_or(Severity::Warning, |word| lenient::severity(&word))
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
    let key = match labels.is_empty() {
        false => Key::of(REALM, ["labels", json!(labels).to_string().as_str()]),
        true => {
            // What it says, and whatever else there is: relays fill the fingerprint with one value, or with none.
            let fingerprint = lenient::text(one, "fingerprint").unwrap_or_default();
            let start = starts_at.map(|at| at.to_string()).unwrap_or_default();
            Key::of(REALM, [fingerprint.trim(), json!(annotations).to_string().as_str(), start.as_str()])
        }
    };
    let title = annotation(&["summary", "title", "message", "description"]).or_else(|| name.clone());
    let link = |name: &str| fit::url(lenient::text(one, name));
    let noted = |name: &str| fit::url(annotation(&[name]));
    let generator = link("generatorURL");
    let runbook = noted("runbook_url").or_else(|| noted("runbook"));
    let dashboard = link("dashboardURL").or_else(|| noted("dashboard_url"));
    let url = [link("panelURL"), link("dashboardURL"), generator.clone(), runbook.clone(), dashboard.clone()];
    let mut report =
        Report::new(key, status_of(one, now), severity_of(one), title.unwrap_or_else(|| NAMELESS.to_owned()));
    report.body = annotation(&["description", "message"]).filter(|body| *body != report.title);
    report.url = url.into_iter().flatten().next();
    report.image = link("imageURL").filter(|image| image.starts_with("https://"));
    report.links = [("Runbook", &runbook), ("Dashboard", &dashboard)]
        .into_iter()
        .filter_map(|(title, link)| Some((title.to_owned(), link.clone()?)))
        .collect();
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
