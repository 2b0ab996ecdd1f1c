//! What is accepted, and the exact answer to what is not.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

/// As over HTTP: the key says the tenant, the address the topic.
fn defaults() -> EventDefaults {
    EventDefaults {
        tenant: Tenant::parse("acme").ok(),
        topic: Topic::parse("monitor:7").ok(),
        id: EventId::parse("made-here").ok(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// As over AMQP without a message_id: nothing is known.
fn nothing() -> EventDefaults {
    EventDefaults { tenant: None, topic: None, id: None, ..defaults() }
}

#[test]
fn only_the_type_is_required_where_the_rest_is_known() {
    let event = parse_event(br#"{"type":"status_change"}"#, &defaults()).unwrap();
    assert_eq!((event.id.as_str(), event.kind.as_str(), event.keep), ("made-here", "status_change", 0));
    assert_eq!((event.key.tenant.as_str(), event.key.topic.as_str()), ("acme", "monitor:7"));
    assert_eq!((event.severity, event.occurred_at), (None, Timestamp::UNIX_EPOCH));
}

#[test]
fn a_refusal_names_the_field_and_the_remedy() {
    let with = |field: &str, value: Value| {
        let mut event = json!({"type": "t"});
        event[field] = value;
        event
    };
    for (value, expected) in [
        (json!({}), "type: is missing, and must be given"),
        (json!("t"), "event: has the wrong type: expected an object"),
        (with("type", json!(" ")), "type: must not be empty"),
        (with("type", json!("x".repeat(129))), "type: has more than 128 characters"),
        (with("kind", json!("alert")), "kind: must be `event`"),
        (with("topic", json!("monitor:8")), "topic: is not the topic of the address: leave it out"),
        (
            with("topic", json!("monitor:*")),
            "topic: must not contain '*': use letters, digits and . _ - : @ + ~ =",
        ),
        (with("tenant", json!("globex")), "tenant: is not the tenant of this API key: leave it out"),
        (with("keep", json!(1001)), "keep: must be from 0 to 1000"),
        (with("keep", json!(70_000)), "keep: must be from 0 to 1000"),
        (with("keep", json!(1.5)), "keep: has the wrong type: expected a whole one of 64 bits, 0 or more"),
        (with("keep", json!("1")), "keep: has the wrong type: expected a JSON number"),
        (with("keep", json!(-1)), "keep: has the wrong type: expected a whole one of 64 bits, 0 or more"),
        (with("severity", json!("urgent")), "severity: must be one of info, warning, critical"),
        (with("data", json!(7)), "data: has the wrong type: expected an object"),
        (with("source", json!("a\0b")), "source: must not contain control characters"),
        (
            with("occurred_at", json!("now")),
            "occurred_at: must be an RFC 3339 time such as 2026-11-21T12:00:00Z",
        ),
    ] {
        let refusal = parse_event(value.to_string().as_bytes(), &defaults()).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{value}");
    }
    for (value, expected) in [
        (json!({"type": "t"}), "tenant: must be stated by a producer on AMQP"),
        (json!({"type": "t", "tenant": "acme"}), "topic: must be stated by a producer on AMQP"),
        (
            json!({"type": "t", "tenant": "acme", "topic": "monitor:7"}),
            "id: is missing: give the event an id or the message a message_id, or a redelivery looks like a second event",
        ),
    ] {
        let refusal = parse_event(value.to_string().as_bytes(), &nothing()).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{value}");
    }
    let long = json!({"type": "t", "data": {"x": "x".repeat(70_000)}});
    let refusal = parse_event(long.to_string().as_bytes(), &defaults()).unwrap_err().to_string();
    assert!(refusal.ends_with("bytes of JSON, at most 65536 are accepted"), "{refusal}");
}

#[test]
fn what_is_encoded_reads_back_as_the_same_event() {
    let full = json!({
        "kind": "event", "id": "e-1", "topic": "monitor:7", "type": "status_change", "source": "probe",
        "severity": "critical", "labels": {"env": "prod"}, "data": {"up": false}, "keep": 3,
        "occurred_at": "2026-01-01T00:00:00Z",
    });
    let event = parse_event(full.to_string().as_bytes(), &defaults()).unwrap();
    let encoded = encode_event(&event);
    assert_eq!(kind_of(&encoded), MessageKind::Event);
    assert_eq!(parse_event(&encoded, &nothing()).unwrap(), event);
    let content = event_content_of(&event);
    assert!(!content.contains("acme") && !content.contains("keep"), "the inside stays inside: {content}");
}

#[test]
fn a_message_is_an_event_only_when_it_says_so() {
    for (why, json, expected) in [
        ("it says so", r#"{"topic":"t","kind":"event"}"#, MessageKind::Event),
        ("written another way", r#"{"kind":"\u0065vent"}"#, MessageKind::Event),
        ("an alert that says so", r#"{"kind":"alert"}"#, MessageKind::Alert),
        ("nothing said", r#"{"title":"t"}"#, MessageKind::Alert),
        ("somewhere inside", r#"{"data":{"kind":"event"}}"#, MessageKind::Alert),
        ("not text", r#"{"kind":7}"#, MessageKind::Alert),
        ("not JSON", "event", MessageKind::Alert),
    ] {
        assert_eq!(kind_of(json.as_bytes()), expected, "{why}");
    }
}
