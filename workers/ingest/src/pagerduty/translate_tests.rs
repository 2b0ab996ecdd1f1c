//! What an event of PagerDuty becomes, in tables.

#![allow(clippy::unwrap_used)]

use watchbell::domain::Audience;

use super::*;

const NOW: &str = "2026-11-21T12:00:00Z";

fn translated(event: Value) -> Result<Alert, (Option<String>, String)> {
    let event: Event = serde_json::from_value(event).unwrap();
    let tenant = Tenant::parse("acme").unwrap();
    let audience = Audience { everyone: true, ..Audience::default() };
    let query = Query { audience, policy: Some("critical".into()) };
    let context = Context { tenant: &tenant, query: &query, dedup_key: "disk-7", now: NOW.parse().unwrap() };
    let alert = alert_of(&context, &event, id_of("disk-7").unwrap());
    alert.map_err(|problem| (problem.field, problem.detail.unwrap_or_default()))
}

fn trigger() -> Value {
    json!({"event_action": "trigger", "payload": {"summary": "Disk full", "source": "db-1", "severity": "critical"}})
}

fn with(mut event: Value, path: &str, value: Value) -> Value {
    match path.split_once('.') {
        Some((outer, inner)) => event[outer][inner] = value,
        None => event[path] = value,
    }
    event
}

#[test]
fn an_event_changes_what_is_stored_or_nothing() {
    use Action::{Acknowledge, Resolve, Trigger};
    use Status::{Acknowledged, Firing, Resolved, Suppressed};
    for (why, action, stored, expected) in [
        ("the first", Trigger, None, Some(1)),
        ("again while it fires", Trigger, Some((1, Firing)), None),
        ("again while somebody is at it", Trigger, Some((2, Acknowledged)), None),
        ("again while it is suppressed", Trigger, Some((2, Suppressed)), None),
        ("anew", Trigger, Some((2, Resolved)), Some(3)),
        ("somebody is at it", Acknowledge, Some((1, Firing)), Some(2)),
        ("said twice", Acknowledge, Some((2, Acknowledged)), None),
        ("too late", Acknowledge, Some((2, Resolved)), None),
        ("before the trigger was recorded", Acknowledge, None, Some(2)),
        ("its end", Resolve, Some((1, Firing)), Some(2)),
        ("its end, acknowledged", Resolve, Some((2, Acknowledged)), Some(3)),
        ("its end, suppressed", Resolve, Some((2, Suppressed)), Some(3)),
        ("ended already", Resolve, Some((2, Resolved)), None),
        ("its end before the trigger was recorded", Resolve, None, Some(2)),
        ("no number is left", Resolve, Some((u32::MAX, Firing)), None),
    ] {
        assert_eq!(next_version(action, stored), expected, "{why}");
    }
}

#[test]
fn a_severity_wakes_whom_pagerduty_would_wake() {
    for (given, expected) in [
        (json!("critical"), Some(Severity::Critical)),
        (json!("error"), Some(Severity::Critical)),
        (json!("warning"), Some(Severity::Warning)),
        (json!("info"), Some(Severity::Info)),
        (json!("fatal"), None),
        (Value::Null, None),
    ] {
        let alert = translated(with(trigger(), "payload.severity", given.clone()));
        assert_eq!(alert.ok().map(|alert| alert.severity), expected, "{given}");
    }
    let resolve = translated(json!({"event_action": "resolve"})).unwrap();
    assert_eq!((resolve.severity, resolve.title.as_str()), (Severity::Warning, "disk-7"), "it says nothing");
}

#[test]
fn every_field_has_its_place() {
    let event = json!({
        "event_action": "trigger", "client": "Monitor", "client_url": "https://monitor",
        "links": [{"href": "ftp://x"}, {"href": "https://graph", "text": "Graph"}],
        "images": [{"src": "https://image"}],
        "payload": {"summary": "Disk full", "source": "db-1", "severity": "error", "component": "postgres",
            "group": "prod", "class": "disk", "timestamp": "2026-11-21T11:00:00.000+0000",
            "custom_details": {"used": 91}},
    });
    let event = with(event, "payload.timestamp", json!("2026-11-21T13:00:00+02:00"));
    let alert = translated(event).unwrap();
    assert_eq!((alert.id.as_str(), alert.version, alert.status), ("disk-7", 1, Status::Firing));
    assert_eq!((alert.title.as_str(), alert.body), ("Disk full", None));
    assert_eq!((alert.source.as_deref(), alert.category.as_deref()), (Some("Monitor"), Some("disk")));
    assert_eq!(alert.url.as_deref(), Some("https://graph"));
    assert_eq!(
        json!(alert.labels),
        json!({"source": "db-1", "component": "postgres", "group": "prod", "class": "disk"})
    );
    assert_eq!(
        Value::Object(alert.data),
        json!({"client_url": "https://monitor", "custom_details": {"used": 91}})
    );
    assert_eq!((alert.policy.as_deref(), alert.to.everyone), (Some("critical"), true));
    assert_eq!(alert.occurred_at.to_string(), "2026-11-21T11:00:00Z");
}

#[test]
fn what_is_not_said_has_a_default_and_what_is_too_long_is_cut() {
    let plain = translated(trigger()).unwrap();
    assert_eq!((plain.source.as_deref(), plain.occurred_at.to_string().as_str()), (Some("db-1"), NOW));
    let local = translated(with(trigger(), "payload.timestamp", json!("2026-11-21T11:00:00"))).unwrap();
    assert_eq!(local.occurred_at.to_string(), "2026-11-21T11:00:00Z", "no offset is UTC");
    let text = translated(with(trigger(), "payload.custom_details", json!("91 % used"))).unwrap();
    assert_eq!(text.body.as_deref(), Some("91 % used"));
    let long = "x".repeat(1_024);
    let long = translated(with(trigger(), "payload.summary", json!(long))).unwrap();
    assert_eq!((long.title.chars().count(), long.body.unwrap().len()), (bounds::TITLE_CHARS_MAX, 1_024));
    let details = json!({"log": "x".repeat(DETAILS_BYTES_MAX)});
    let cut = translated(with(trigger(), "payload.custom_details", details)).unwrap();
    assert_eq!(
        Value::Object(cut.data),
        json!({"left_out": {"custom_details_bytes": DETAILS_BYTES_MAX + 10}})
    );
}

#[test]
fn a_trigger_that_pagerduty_would_refuse_is_refused() {
    let missing = "is missing: a trigger has it";
    for (path, value, expected) in [
        ("payload.summary", json!(" "), missing),
        ("payload.source", Value::Null, missing),
        ("payload.severity", json!("Critical"), "must be critical, error, warning or info"),
        ("payload.timestamp", json!("yesterday"), "must be an ISO 8601 time such as 2026-11-21T12:00:00Z"),
    ] {
        let refusal = translated(with(trigger(), path, value)).unwrap_err();
        assert_eq!(refusal, (Some(path.to_owned()), expected.to_owned()));
    }
}

#[test]
fn a_key_is_the_id_where_it_can_be() {
    assert_eq!(id_of("disk-7").unwrap().as_str(), "disk-7");
    let made = id_of("disk full / db-1").unwrap();
    assert!(Uuid::parse_str(made.as_str()).is_ok());
    assert_eq!(made, id_of("disk full / db-1").unwrap());
    assert_ne!(made, id_of("disk full / db-2").unwrap());
    assert!(id_of(&"x".repeat(DEDUP_KEY_CHARS_MAX)).is_ok());
    let refusal = id_of(&"x".repeat(DEDUP_KEY_CHARS_MAX + 1)).unwrap_err();
    assert_eq!(refusal.detail.as_deref(), Some("has more than 255 characters"));
}
