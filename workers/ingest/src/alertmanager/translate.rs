//! One alert of Alertmanager as one of ours. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, json};
use uuid::Uuid;
use watchbell::{
    domain::{Alert, AlertId, Audience, Severity, Status, Tenant, alert::bounds},
    wire::Problem,
};

use super::{Hook, HookAlert};
use crate::hook::{self, clip, escaped_len, one_line};

/// What every id is made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_6f9e_41d2_4c1e_9b0a_7c1f_3d2e_8a46);
/// The body and the labels, in bytes of JSON each: with the rest they fit an alert, however they are escaped.
const BODY_BYTES_MAX: usize = 20 * 1024;
const LABELS_BYTES_MAX: usize = 20 * 1024;

/// What the alerts of one post share.
pub struct Context<'a> {
    pub hook: &'a Hook,
    pub tenant: &'a Tenant,
    pub policy: Option<&'a str>,
    pub now: Timestamp,
}

/// What the store has of an alert already.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    pub version: u32,
    /// It is resolved.
    pub over: bool,
}

/// The version to publish: 1 firing, 2 resolved. A repetition takes the stored number, and so is a duplicate.
///
/// An alert may fire again under its old start: Prometheus was cut off, Alertmanager resolved the alert by itself,
/// Prometheus came back. That has to be told, so it takes the next number, and so does its end.
pub fn next_version(status: Status, stored: Option<Stored>) -> u32 {
    let over = status == Status::Resolved;
    match stored {
        None => 1 + u32::from(over),
        Some(stored) if stored.over == over => stored.version,
        Some(stored) => stored.version.saturating_add(1),
    }
}

/// The alert, as version 1.
///
/// # Errors
/// 422 for a time that is none.
pub fn alert_of(context: &Context<'_>, one: &HookAlert, to: Audience) -> Result<Alert, Problem> {
    let Context { hook, tenant, policy, now } = *context;
    let starts_at: Timestamp = one
        .starts_at
        .parse()
        .map_err(|_| Problem::invalid("startsAt", "must be an RFC 3339 time such as 2026-11-21T12:00:00Z"))?;
    let (labels, left_out) = labels_of(&one.labels);
    let name = one.labels.get("alertname").map(String::as_str);
    let first = |names: &[&str]| {
        names.iter().find_map(|name| one.annotations.get(*name).filter(|text| !text.trim().is_empty()))
    };
    let title = first(&["summary", "title"]).map(String::as_str).or(name).unwrap_or_default();
    let title = one_line(title);
    let mut data = Map::from_iter([
        ("receiver".to_owned(), json!(clip(&hook.receiver, bounds::TITLE_CHARS_MAX, usize::MAX))),
        ("externalURL".to_owned(), json!(clip(&hook.external_url, usize::MAX, bounds::URL_BYTES_MAX))),
    ]);
    if left_out > 0 {
        data.insert("left_out".into(), json!({ "labels": left_out }));
    }
    Ok(Alert {
        id: id_of(hook, one, starts_at)?,
        version: 1,
        tenant: tenant.clone(),
        to,
        source: Some("alertmanager".into()),
        category: name.map(one_line),
        severity: severity_of(one.labels.get("severity").map(String::as_str)),
        status: status_of(one, now),
        title: if title.is_empty() { "An alert of Alertmanager".into() } else { title },
        body: first(&["description", "message"])
            .map(|text| clip(text, bounds::BODY_CHARS_MAX, BODY_BYTES_MAX)),
        url: url_of(one),
        labels,
        data,
        policy: policy.map(str::to_owned),
        collapse_key: None,
        occurred_at: starts_at,
        expires_at: None,
        dismissed_until: None,
    })
}

/// The same for both of an HA pair and for every repetition; another when the alert starts anew.
fn id_of(hook: &Hook, one: &HookAlert, starts_at: Timestamp) -> Result<AlertId, Problem> {
    // As a JSON array, in which no two lists of texts look the same.
    let name = json!([hook.receiver, hook.group_key, one.fingerprint, starts_at.to_string()]).to_string();
    let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    AlertId::parse(id.to_string()).map_err(|error| Problem::invalid("id", error.to_string()))
}

fn severity_of(label: Option<&str>) -> Severity {
    match label.unwrap_or_default().to_ascii_lowercase().as_str() {
        "critical" | "page" => Severity::Critical,
        "info" | "none" => Severity::Info,
        // `warning`, `warn`, and whatever a team calls its own: never silently less than that.
        _ => Severity::Warning,
    }
}

fn status_of(one: &HookAlert, now: Timestamp) -> Status {
    match one.status.as_str() {
        "firing" => Status::Firing,
        "resolved" => Status::Resolved,
        // A relay that drops the word leaves the time, which is year 1 while the alert fires.
        _ => match one.ends_at.parse::<Timestamp>() {
            Ok(ended) if ended > Timestamp::UNIX_EPOCH && ended <= now => Status::Resolved,
            _ => Status::Firing,
        },
    }
}

/// Where to read on. An address that is too long is worth nothing when cut.
fn url_of(one: &HookAlert) -> Option<String> {
    let annotation = |name: &str| one.annotations.get(name).map(String::as_str);
    let candidates =
        [Some(one.generator_url.as_str()), annotation("runbook_url"), annotation("dashboard_url")];
    candidates.into_iter().flatten().find(|url| hook::is_usable_url(url)).map(str::to_owned)
}

/// The labels that fit, and how many do not. Where to send an alert is not what it is about, so those are not kept.
fn labels_of(labels: &BTreeMap<String, String>) -> (BTreeMap<String, String>, usize) {
    let mut kept = BTreeMap::new();
    let (mut bytes, mut left_out) = (0, 0);
    for (name, value) in labels.iter().filter(|(name, _)| !name.starts_with("watchbell_")) {
        let value = clip(value, usize::MAX, bounds::LABEL_BYTES_MAX);
        let cost = escaped_len(name) + escaped_len(&value);
        let named = !name.is_empty() && name.len() <= bounds::LABEL_BYTES_MAX;
        if !named || kept.len() == bounds::LABELS_MAX || bytes + cost > LABELS_BYTES_MAX {
            left_out += 1;
            continue;
        }
        bytes += cost;
        kept.insert(name.clone(), value);
    }
    (kept, left_out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> HookAlert {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        HookAlert {
            status: "firing".into(),
            labels: map(labels),
            annotations: map(annotations),
            starts_at: "2026-01-01T00:00:00Z".into(),
            ends_at: "0001-01-01T00:00:00Z".into(),
            generator_url: String::new(),
            fingerprint: "9f86d081884c7d65".into(),
        }
    }

    fn translated(one: &HookAlert) -> Alert {
        let hook = Hook {
            version: "4".into(),
            group_key: "{}:{}".into(),
            truncated_alerts: 0,
            receiver: "team-x".into(),
            external_url: "http://am:9093".into(),
            alerts: Vec::new(),
        };
        let tenant = Tenant::parse("acme").unwrap();
        let context = Context {
            hook: &hook,
            tenant: &tenant,
            policy: None,
            now: "2026-01-02T00:00:00Z".parse().unwrap(),
        };
        let to = Audience { everyone: true, ..Audience::default() };
        alert_of(&context, one, to).unwrap()
    }

    #[test]
    fn a_version_follows_what_is_stored() {
        let stored = |version, over| Some(Stored { version, over });
        for (why, status, stored, expected) in [
            ("the first", Status::Firing, None, 1),
            ("its end, before the first was recorded", Status::Resolved, None, 2),
            ("the first again: the other of the pair", Status::Firing, stored(1, false), 1),
            ("its end", Status::Resolved, stored(1, false), 2),
            ("its end again", Status::Resolved, stored(2, true), 2),
            ("it fires again under its old start", Status::Firing, stored(2, true), 3),
            ("and ends again", Status::Resolved, stored(3, false), 4),
            ("a person acknowledged it, it still fires", Status::Firing, stored(2, false), 2),
            ("a person acknowledged it, it ends", Status::Resolved, stored(2, false), 3),
        ] {
            assert_eq!(next_version(status, stored), expected, "{why}");
        }
    }

    #[test]
    fn a_severity_is_never_silently_less() {
        for (label, expected) in [
            (Some("critical"), Severity::Critical),
            (Some("page"), Severity::Critical),
            (Some("Critical"), Severity::Critical),
            (Some("warning"), Severity::Warning),
            (Some("warn"), Severity::Warning),
            (Some("info"), Severity::Info),
            (Some("none"), Severity::Info),
            (Some("P1"), Severity::Warning),
            (None, Severity::Warning),
        ] {
            assert_eq!(severity_of(label), expected, "{label:?}");
        }
    }

    #[test]
    fn a_title_is_the_first_text_there_is() {
        for (why, labels, annotations, expected) in [
            ("the summary", &[("alertname", "N")][..], &[("summary", "S"), ("title", "T")][..], "S"),
            ("the title", &[("alertname", "N")], &[("summary", " "), ("title", "T")], "T"),
            ("the name", &[("alertname", "N")], &[], "N"),
            ("nothing", &[], &[], "An alert of Alertmanager"),
        ] {
            assert_eq!(translated(&one(labels, annotations)).title, expected, "{why}");
        }
    }

    #[test]
    fn an_alert_is_over_when_it_says_so_or_when_its_end_has_come() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        for (why, status, ends_at, expected) in [
            ("fires", "firing", "0001-01-01T00:00:00Z", Status::Firing),
            ("is over", "resolved", "2026-01-01T01:00:00Z", Status::Resolved),
            ("no word, year 1", "", "0001-01-01T00:00:00Z", Status::Firing),
            ("no word, an end that has come", "", "2026-01-02T00:00:00Z", Status::Resolved),
            ("no word, an end to come", "", "2026-01-02T00:00:01Z", Status::Firing),
            ("no word, no time", "", "", Status::Firing),
        ] {
            let one = HookAlert { status: status.into(), ends_at: ends_at.into(), ..one(&[], &[]) };
            assert_eq!(status_of(&one, now), expected, "{why}");
        }
    }

    #[test]
    fn an_address_is_the_first_that_a_browser_opens() {
        let runbook = [("runbook_url", "https://runbook"), ("dashboard_url", "https://dashboard")];
        let long = format!("https://{}", "x".repeat(bounds::URL_BYTES_MAX));
        for (why, generator, expected) in [
            ("where it was made", "http://prometheus/graph", "http://prometheus/graph"),
            ("no address", "", "https://runbook"),
            ("another scheme", "javascript:alert(1)", "https://runbook"),
            ("too long", long.as_str(), "https://runbook"),
        ] {
            let one = HookAlert { generator_url: generator.into(), ..one(&[], &runbook) };
            assert_eq!(url_of(&one).as_deref(), Some(expected), "{why}");
        }
    }

    #[test]
    fn too_many_labels_are_left_out_and_counted() {
        let names: Vec<String> = (0..70).map(|n| format!("l{n:02}")).collect();
        let mut labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        labels.push(("watchbell_users", "ana"));
        let alert = translated(&one(&labels, &[]));
        assert_eq!(alert.labels.len(), bounds::LABELS_MAX);
        assert_eq!(alert.data["left_out"], json!({"labels": 6}), "the audience is not missed");
    }

    #[test]
    fn the_worst_alert_still_fits() {
        let control = "\u{1}".repeat(100_000);
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}{}", "\u{1}".repeat(1_000))).collect();
        let labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), control.as_str())).collect();
        let alert = translated(&one(&labels, &[("summary", &control), ("description", &control)]));
        assert!(crate::publish::ready(&alert, None).is_ok());
    }
}
