#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use watchbell::domain::{BodyFormat, Severity, Status};

use super::*;

fn alert(title: &str, body: Option<&str>) -> AlertContent {
    AlertContent {
        alert: "disk-7".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: title.into(),
        body: body.map(Into::into),
        url: Some("https://example.org/7".into()),
        severity: Severity::Critical,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: "disk-7".into(),
        group_key: None,
        body_format: BodyFormat::Text,
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: Timestamp::from_second(4_000).unwrap(),
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 3,
    }
}

fn message(event: ActivityEvent, content: Option<AlertContent>) -> ActivityMessage {
    ActivityMessage {
        event,
        content,
        version: 2,
        decided_at: Timestamp::from_second(1_000).unwrap(),
        channel: None,
    }
}

#[test]
fn each_event_has_what_apple_asks_of_it() {
    let disk = || Some(alert("Disk is full", Some("2 % left")));
    let state = json!({"version": 2, "title": "Disk is full", "body": "2 % left", "url": "https://example.org/7",
        "severity": "critical", "status": "firing"});
    let update = json!({"timestamp": 1_000, "event": "update", "content-state": state, "stale-date": 4_000, "relevance-score": 100.0});
    let mut start = update.clone();
    start["event"] = json!("start");
    start["attributes-type"] = json!("WatchbellAlert");
    start["attributes"] = json!({"alert": "disk-7", "user": "ana"});
    start["alert"] = json!({"title": "Disk is full", "body": "2 % left"});
    start["input-push-token"] = json!(1);
    let end = |dismissal: i64| json!({"timestamp": 1_000, "event": "end", "dismissal-date": dismissal, "content-state": state});
    let gone = json!({"timestamp": 1_000, "event": "end", "dismissal-date": 1_000});
    let (calm, urgent) =
        (ActivityEvent::Update { is_urgent: false }, ActivityEvent::Update { is_urgent: true });
    let (at_once, later) = (ActivityEvent::End { stays: false }, ActivityEvent::End { stays: true });
    let day = 24 * 60 * 60;
    for (why, event, content, expected, sent_with, until) in [
        ("it appears", ActivityEvent::Start, disk(), start, Priority::High, 4_000),
        ("it changes", calm, disk(), update.clone(), Priority::Normal, 4_000),
        ("it gets worse", urgent, disk(), update, Priority::High, 4_000),
        ("seen", at_once, disk(), end(1_000), Priority::High, 1_000 + day),
        ("resolved", later, disk(), end(1_300), Priority::High, 1_000 + day),
        ("its alert is gone", at_once, None, gone, Priority::High, 1_000 + day),
    ] {
        let message = message(event, content);
        let sent: Value = serde_json::from_str(&payload(&message).unwrap()).unwrap();
        assert_eq!(sent, json!({"aps": expected}), "{why}");
        assert_eq!(priority(event).to_string(), sent_with.to_string(), "{why}");
        assert_eq!(expiration_s(&message), until, "{why}");
    }
    assert!(payload(&message(ActivityEvent::Start, None)).is_err(), "nothing is not shown");
    let listens =
        ActivityMessage { channel: Some("dGVzdA==".into()), ..message(ActivityEvent::Start, disk()) };
    let sent: Value = serde_json::from_str(&payload(&listens).unwrap()).unwrap();
    assert_eq!(sent["aps"]["input-push-channel"], "dGVzdA==");
    assert_eq!(sent["aps"].get("input-push-token"), None, "one of the two");
}

#[test]
fn a_long_alert_is_shortened_until_it_fits() {
    for body in ["x".repeat(9_000), "\u{1F6A8}".repeat(3_000), "\"\\\n".repeat(3_000)] {
        let message = message(ActivityEvent::Start, Some(alert("Disk is full", Some(&body))));
        let sent = payload(&message).unwrap();
        assert!(sent.len() <= PAYLOAD_BYTES_MAX, "{} bytes", sent.len());
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["aps"]["content-state"]["title"], "Disk is full");
        assert_eq!(sent["aps"]["attributes"]["alert"], "disk-7");
    }
}
