//! What an event of PagerDuty says, in tables.

#![allow(clippy::unwrap_used)]

use super::*;

fn reported(event: &Value) -> Result<Report, (Option<String>, String)> {
    let report = read(event, key_of(event).as_deref(), || "made".to_owned()).map(|(_, report)| report);
    report.map_err(|problem| (problem.field, problem.detail.unwrap_or_default()))
}

fn trigger() -> Value {
    json!({"event_action": "trigger", "dedup_key": "disk-7",
        "payload": {"summary": "Disk full", "source": "db-1", "severity": "critical"}})
}

fn with(mut event: Value, field: &str, value: Value) -> Value {
    event["payload"][field] = value;
    event
}

#[test]
fn a_severity_wakes_whom_pagerduty_would_wake() {
    for (given, expected) in [
        (json!("critical"), Severity::Critical),
        (json!("Critical"), Severity::Critical),
        (json!("error"), Severity::Critical),
        (json!("fatal"), Severity::Critical),
        (json!("warning"), Severity::Warning),
        (json!("banana"), Severity::Warning),
        (json!("info"), Severity::Info),
        (Value::Null, Severity::Critical),
    ] {
        assert_eq!(
            reported(&with(trigger(), "severity", given.clone())).unwrap().severity,
            expected,
            "{given}"
        );
    }
}

#[test]
fn a_title_is_the_first_text_there_is() {
    for (why, event, expected) in [
        ("the summary", trigger(), "Disk full"),
        ("the class", with(with(trigger(), "summary", json!(" ")), "class", json!("disk")), "disk"),
        ("the source", with(trigger(), "summary", Value::Null), "db-1"),
        ("of version 1", json!({"event_type": "trigger", "description": "Old"}), "Old"),
        ("a number", with(trigger(), "summary", json!(7)), "7"),
        ("the key, of what is over", json!({"event_action": "resolve", "dedup_key": "disk-7"}), "disk-7"),
    ] {
        assert_eq!(reported(&event).unwrap().title, expected, "{why}");
    }
    let nothing = reported(&json!({"event_action": "trigger", "payload": {}})).unwrap_err();
    assert_eq!(nothing.0.as_deref(), Some("payload.summary"));
}

#[test]
fn an_action_is_the_nearest_that_pagerduty_has() {
    for (word, expected) in [
        (json!("trigger"), Status::Firing),
        (json!("Trigger"), Status::Firing),
        (json!("acknowledge"), Status::Acknowledged),
        (json!("resolve"), Status::Resolved),
        (json!("RESOLVED"), Status::Resolved),
        (Value::Null, Status::Firing),
    ] {
        let mut event = trigger();
        event["event_action"] = word.clone();
        assert_eq!(reported(&event).unwrap().status, expected, "{word}");
    }
}

#[test]
fn details_are_the_body_when_they_are_a_text_and_data_otherwise() {
    let text = reported(&with(trigger(), "custom_details", json!("91 % used"))).unwrap();
    assert_eq!((text.body.as_deref(), &text.data[1].1), (Some("91 % used"), &Value::Null));
    let object = reported(&with(trigger(), "custom_details", json!({"used": 91}))).unwrap();
    assert_eq!((object.body, &object.data[1].1), (None, &json!({"used": 91})));
}

#[test]
fn a_link_is_the_first_that_a_browser_opens() {
    let mut event = trigger();
    event["client_url"] = json!("https://monitor");
    assert_eq!(reported(&event).unwrap().url.as_deref(), Some("https://monitor"));
    event["links"] = json!([{"href": "ftp://x"}, null, {"href": "https://graph", "text": "Graph"}]);
    let report = reported(&event).unwrap();
    assert_eq!(report.url.as_deref(), Some("https://graph"));
    assert_eq!(
        report.links,
        [("Graph".to_owned(), "https://graph".to_owned())],
        "and a button, as it has a text"
    );
}

#[test]
fn a_picture_is_the_first_over_https() {
    let mut event = trigger();
    event["images"] =
        json!([{"src": "http://a/a.png"}, null, {"src": "https://a/b.png"}, {"src": "https://a/c.png"}]);
    assert_eq!(reported(&event).unwrap().image.as_deref(), Some("https://a/b.png"));
}
