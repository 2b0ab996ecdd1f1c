//! What is accepted, and the exact answer to what is not.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::{
    domain::Acknowledgement,
    wire::{content::with_acknowledgement, frame::Auth},
};

fn defaults() -> Defaults {
    Defaults {
        tenant: Some(Tenant::parse("acme").unwrap()),
        id: Some(AlertId::parse("made-here").unwrap()),
        now: Timestamp::UNIX_EPOCH,
    }
}

fn refusal(value: &Value) -> String {
    parse_alert(value.to_string().as_bytes(), &defaults()).unwrap_err().to_string()
}

#[test]
fn only_to_and_title_are_required() {
    let alert = parse_alert(br#"{"to":{"users":["ana","ana"]},"title":"Disk full"}"#, &defaults()).unwrap();
    assert_eq!(alert.id.as_str(), "made-here");
    assert_eq!((alert.version, alert.severity, alert.status), (1, Severity::Warning, Status::Firing));
    assert_eq!(alert.to.users.len(), 1, "each person once");
    assert_eq!(alert.tenant.as_str(), "acme");
}

#[test]
fn a_body_may_have_lines_and_a_title_any_script() {
    let body = "first\r\n\tsecond\n";
    let value = json!({"to": {"users": ["ana"]}, "title": "Dysk pełny 🔔 مرحبا\u{200f}", "body": body});
    let alert = parse_alert(value.to_string().as_bytes(), &defaults()).unwrap();
    assert_eq!(alert.body.as_deref(), Some(body));
}

#[test]
fn the_last_second_that_can_be_written_is_the_last_there_is() {
    let last = "9999-12-30T22:00:00Z";
    for (written, expected) in [
        ("9999-12-31T23:59:59Z", last),
        ("9999-12-31T23:59:59.999-08:00", last),
        (last, last),
        ("9999-12-30T21:00:00Z", "9999-12-30T21:00:00Z"),
    ] {
        let value = json!({"to": {"users": ["ana"]}, "title": "t", "expires_at": written});
        let alert = parse_alert(value.to_string().as_bytes(), &defaults()).unwrap();
        assert_eq!(alert.expires_at.unwrap().to_string(), expected, "{written}");
        let again = parse_alert(&encode_alert(&alert), &defaults()).unwrap();
        assert_eq!(again.expires_at, alert.expires_at);
    }
    for wrong in ["9999-12-31", "9999-12-31T23:59:59", "10000-01-01T00:00:00Z", "9999-13-31T00:00:00Z"] {
        refusal(&json!({"to": {"users": ["ana"]}, "title": "t", "expires_at": wrong}));
    }
}

#[test]
fn who_has_an_alert_is_passed_over_so_that_it_can_be_sent_as_it_was_read() {
    let written = json!({"to": {"users": ["ana"]}, "title": "Disk full", "id": "disk-7"});
    let alert = parse_alert(written.to_string().as_bytes(), &defaults()).unwrap();
    let taken = Acknowledgement::Taken { by: UserId::parse("ana").unwrap(), at: Timestamp::UNIX_EPOCH };
    for acknowledgement in [Acknowledgement::Open, taken] {
        let content = content_of(&alert);
        let shown = with_acknowledgement(&content, Some(&acknowledgement));
        let mut read: Value = serde_json::from_str(&shown).unwrap();
        assert!(read["acknowledgement"].is_object(), "{read}");
        read["to"] = written["to"].clone();
        let again = parse_alert(read.to_string().as_bytes(), &defaults()).unwrap();
        assert_eq!(content_of(&again), content, "it says what it said, and nothing of who has it");
    }
}

#[test]
fn a_later_version_need_not_name_anybody() {
    let alert = parse_alert(br#"{"version":2,"to":{},"title":"Disk full"}"#, &defaults()).unwrap();
    assert!(alert.to.is_empty(), "it goes to whoever holds the alert");
    let first = json!({"version": 1, "to": {"users": [], "groups": [], "everyone": false}, "title": "t"});
    assert_eq!(refusal(&first), "to: names nobody: give users, groups or everyone");
}

#[test]
fn a_version_may_be_written_with_a_point() {
    for version in ["2", "2.0"] {
        let json = format!(r#"{{"version": {version}, "to": {{}}, "title": "Disk full"}}"#);
        assert_eq!(parse_alert(json.as_bytes(), &defaults()).unwrap().version, 2, "{version}");
    }
}

#[test]
fn a_refusal_names_the_field_and_the_remedy() {
    let with = |field: &str, value: Value| {
        let mut alert = json!({"to": {"users": ["ana"]}, "title": "t"});
        alert[field] = value;
        alert
    };
    let labels: Map<String, Value> = (0..65).map(|n| (n.to_string(), "x".into())).collect();
    for (value, expected) in [
        (json!({"to": {"users": ["ana"]}}), "title: is missing, and must be given"),
        (json!({"title": "t"}), "to: is missing, and must be given"),
        (json!({"to": {}, "title": "t"}), "to: names nobody: give users, groups or everyone"),
        (with("title", json!("  ")), "title: must not be empty"),
        (
            with("title", json!("\u{200b}\u{2060} \u{3164}\u{fe0f}")),
            "title: must not be empty: it has no character that can be seen",
        ),
        (
            with("title", json!("\u{301}\u{202e}")),
            "title: must not be empty: it has no character that can be seen",
        ),
        (with("title", json!(7)), "title: has the wrong type: expected a string"),
        (with("title", json!("x".repeat(257))), "title: has more than 256 characters"),
        (with("title", json!("a\0b")), "title: must not contain control characters"),
        (
            with("labels", json!({"a": "b\0"})),
            "labels: values must not contain control characters other than newlines and tabs",
        ),
        (
            with("labels", json!({"a": "b\u{1b}[31m"})),
            "labels: values must not contain control characters other than newlines and tabs",
        ),
        (
            with("labels", json!({"a\0": "b"})),
            "labels: names must not contain control characters, and must have something that can be seen",
        ),
        (
            with("labels", json!({"a\nb": "b"})),
            "labels: names must not contain control characters, and must have something that can be seen",
        ),
        (
            with("labels", json!({" ": "b"})),
            "labels: names must not contain control characters, and must have something that can be seen",
        ),
        (
            with("labels", json!({"\u{200b}": "b"})),
            "labels: names must not contain control characters, and must have something that can be seen",
        ),
        (
            with("group_key", json!("\u{200b} ")),
            "group_key: must have 1 to 256 bytes without control characters, and something that can be seen",
        ),
        (with("title", json!("a\nb")), "title: must not contain control characters"),
        (with("title", json!("a\u{9b}2Jb")), "title: must not contain control characters"),
        (with("source", json!("\u{1b}[31m")), "source: must not contain control characters"),
        (
            with("body", json!("a\0b")),
            "body: must not contain control characters other than newlines and tabs",
        ),
        (with("severity", json!("urgent")), "severity: must be one of info, warning, critical"),
        (with("version", json!(0)), "version: counts from 1"),
        (
            with("version", json!(1_u64 << 32)),
            "version: has the wrong type: expected a whole one of 32 bits, 0 or more",
        ),
        (with("id", json!("~push")), "id: must not begin with ~: such ids are Watchbell's own"),
        (
            with("to", json!({"users": ["ok", "a\nb"]})),
            r"to.users[1]: must not contain the control character '\n'",
        ),
        (with("to", json!({"users": [1]})), "to.users[0]: has the wrong type: expected a string"),
        (with("to", json!([["ana"]])), "to: has the wrong type: expected an object"),
        (with("to", json!([])), "to: has the wrong type: expected an object"),
        (with("to", json!("ana")), "to: has the wrong type: expected an object"),
        (with("to", json!({"users": "ana"})), "to.users: has the wrong type: expected a list"),
        (with("to", json!({"groups": {"ops": true}})), "to.groups: has the wrong type: expected a list"),
        (with("data", json!([["a", 1]])), "data: has the wrong type: expected an object"),
        (json!([null, "a", 1, null, {"users": ["ana"]}]), "alert: has the wrong type: expected an object"),
        (
            with("url", json!("javascript:alert(1)")),
            "url: must begin with https:// or http:// and have at most 2048 bytes",
        ),
        (
            with("expires_at", json!("tomorrow")),
            "expires_at: must be an RFC 3339 time such as 2026-11-21T12:00:00Z",
        ),
        (with("tenant", json!("globex")), "tenant: is not the tenant of this API key: leave it out"),
        (with("labels", Value::Object(labels)), "labels: has more than 64 entries"),
        (with("kind", json!("event")), "kind: must be `alert` or left out"),
    ] {
        assert_eq!(refusal(&value), expected, "{value}");
    }
    let misspelt = refusal(&with("titel", json!("t")));
    assert!(misspelt.starts_with("titel: is not known here: accepted are kind, "), "{misspelt}");
    for unspeakable in [String::new(), "\u{1b}[2J".to_owned(), "x".repeat(5_000)] {
        let refused = refusal(&with(&unspeakable, json!("t")));
        let expected = "alert: has a field of a name that is not known: accepted are kind, ";
        assert!(refused.starts_with(expected) && refused.len() < 400, "{refused}");
    }
}

#[test]
fn a_refusal_does_not_repeat_values() {
    let canary = "canary-4711";
    for value in [
        json!({"to": {"users": ["ana"]}, "title": "t", "severity": canary}),
        json!({"to": {"users": ["ana"]}, "title": "t", "labels": {"a": [canary]}}),
        json!({"to": canary, "title": "t"}),
        json!({"to": {"users": ["ana"]}, "title": "t", "version": canary}),
    ] {
        assert!(!refusal(&value).contains(canary), "{}", refusal(&value));
    }
    let refused = read::<Auth>("frame", json!({"visibility": canary}).to_string().as_bytes()).err().unwrap();
    assert_eq!(refused.to_string(), "visibility: is not known, expected `visible` or `hidden`");
}

#[test]
fn an_oversized_alert_is_refused_before_it_is_read() {
    let value = json!({"to": {"users": ["ana"]}, "title": "t", "body": "x".repeat(70_000)});
    assert!(refusal(&value).contains("at most 65536 are accepted"));
}

#[test]
fn what_is_encoded_reads_back_as_the_same_alert() {
    let full = json!({
        "id": "a-1", "version": 3, "to": {"users": ["ana"], "groups": ["ops"], "everyone": true}, "source": "s",
        "category": "c", "severity": "critical", "status": "resolved", "title": "t", "body": "b",
        "url": "https://example.com", "labels": {"env": "prod"}, "data": {"n": 1}, "policy": "p", "collapse_key": "k",
        "occurred_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
        "dismissed_until": "2026-01-03T00:00:00Z",
    });
    let alert = parse_alert(full.to_string().as_bytes(), &defaults()).unwrap();
    let nobody = Defaults { tenant: None, ..defaults() };
    assert_eq!(parse_alert(&encode_alert(&alert), &nobody).unwrap(), alert);
    let content = content_of(&alert);
    assert!(!content.contains("acme") && !content.contains("users"), "the audience stays inside: {content}");
}

#[test]
fn null_is_absent_and_a_byte_order_mark_is_passed_over() {
    let defaults = Defaults {
        tenant: Tenant::parse("acme").ok(),
        id: AlertId::parse("a").ok(),
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
    };
    let plain = parse_alert(br#"{"to": {"users": ["ana"]}, "title": "t"}"#, &defaults).unwrap();
    let every = [
        "id",
        "version",
        "tenant",
        "source",
        "category",
        "severity",
        "status",
        "body",
        "url",
        "labels",
        "data",
        "policy",
        "collapse_key",
        "occurred_at",
        "expires_at",
        "dismissed_until",
        "kind",
    ];
    for field in every {
        let json = format!(
            r#"{{"to": {{"users": ["ana"], "groups": null, "everyone": null}}, "title": "t", "{field}": null}}"#
        );
        assert_eq!(parse_alert(json.as_bytes(), &defaults).as_ref(), Ok(&plain), "{field}");
    }
    let labels = br#"{"to": {"users": ["ana"]}, "title": "t", "labels": {"a": null}}"#;
    assert_eq!(parse_alert(labels, &defaults).as_ref(), Ok(&plain));
    let marked = b"\xef\xbb\xbf{\"to\": {\"users\": [\"ana\"]}, \"title\": \"t\"}";
    assert_eq!(parse_alert(marked, &defaults), Ok(plain));
    let event = b"\xef\xbb\xbf{\"kind\": \"event\"}";
    assert_eq!(crate::wire::kind_of(event), crate::wire::MessageKind::Event);
}

/// An alert that is published again is compared with what was recorded of it, which was read twice.
#[test]
fn a_number_of_many_digits_is_read_as_the_same_again() {
    for number in ["639951750910582344e135", "4530617711680218047e-151", "944378829071178401e-134", "0.1"] {
        let json = format!(r#"{{"to": {{"users": ["ana"]}}, "title": "t", "data": {{"n": {number}}}}}"#);
        let alert = parse_alert(json.as_bytes(), &defaults()).unwrap();
        let again = parse_alert(&encode_alert(&alert), &defaults()).unwrap();
        assert_eq!(again.data, alert.data, "{number}");
    }
}

#[test]
fn buttons_a_picture_and_a_group_are_taken_within_their_bounds() {
    let with = |field: &str, value: Value| {
        let mut alert = json!({"to": {"users": ["ana"]}, "title": "t"});
        alert[field] = value;
        alert
    };
    let approve = json!({"id": "approve", "title": "Approve", "answer": "yes"});
    let address = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
    for (why, field, value) in [
        ("none", "actions", json!([])),
        ("null", "actions", json!(null)),
        ("one", "actions", json!([approve])),
        (
            "a null beside it",
            "actions",
            json!([{"id": "a", "title": "t", "url": "https://a.example", "answer": null}]),
        ),
        ("the longest picture", "image", json!(address(2_048))),
        ("the longest key", "group_key", json!("é".repeat(128))),
        ("plain", "body_format", json!("text")),
        ("Markdown", "body_format", json!("markdown")),
    ] {
        let alert = with(field, value);
        let parsed =
            parse_alert(alert.to_string().as_bytes(), &defaults()).map_err(|error| format!("{why}: {error}"));
        let parsed = parsed.unwrap();
        let queued = parse_alert(&encode_alert(&parsed), &defaults()).unwrap();
        assert_eq!(queued, Alert { is_dated: true, ..parsed }, "{why}");
    }
    for (field, value, at) in [
        ("actions", json!([approve, {"id": "b", "title": "t"}]), "actions[1].answer: is missing"),
        ("actions", json!([{"id": "b", "title": "t", "url": "ftp://a"}]), "actions[0].url: must begin with"),
        (
            "actions",
            json!([approve, {"id": "b", "title": "t", "url": "https://a", "answer": "c4nary"}]),
            "actions[1].answer: stands beside",
        ),
        ("actions", json!([{"id": "c4 nary", "title": "t", "answer": "y"}]), "actions[0].id: must be"),
        ("actions", json!([approve, approve]), "actions[1].id: is the id of an earlier"),
        ("actions", json!([{"id": "a", "answer": "y"}]), "actions[0].title: is missing"),
        (
            "actions",
            json!([{"id": "a", "title": "t", "answr": "c4nary"}]),
            "actions[0].answr: is not known here",
        ),
        (
            "actions",
            json!({"id": "a", "title": "t", "answer": "y"}),
            "actions: has the wrong type: expected a list",
        ),
        ("actions", json!([["a", "t", null, "y"]]), "actions[0]: has the wrong type: expected an object"),
        (
            "actions",
            json!([1, 2, 3, 4].map(|n| json!({"id": format!("a{n}"), "title": "t", "answer": "y"}))),
            "actions: has more than 3",
        ),
        ("image", json!("http://a.example/c4nary.png"), "image: must begin with https://"),
        ("image", json!("data:image/png;base64,c4nary"), "image: must begin with https://"),
        ("image", json!(address(2_049)), "image: must begin with https://"),
        ("group_key", json!(""), "group_key: must have 1 to 256 bytes"),
        ("group_key", json!("a\nb"), "group_key: must have 1 to 256 bytes"),
        ("group_key", json!("é".repeat(129)), "group_key: must have 1 to 256 bytes"),
        ("body_format", json!("c4nary"), "body_format: must be one of text, markdown"),
    ] {
        let told = refusal(&with(field, value));
        assert!(told.starts_with(at) && !told.contains("c4nary"), "{at}: {told}");
    }
}

#[test]
fn what_nobody_can_see_says_nothing() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let defaults = Defaults {
        tenant: Some(Tenant::parse("acme").unwrap()),
        id: Some(AlertId::parse("a").unwrap()),
        now,
    };
    let json = json!({
        "to": {"users": ["ana"]}, "title": "t", "category": "\u{200b}", "source": " ",
        "labels": {"unseen": "\u{2060} ", "empty": "", "lines": "a\nb", "turned": "a\u{202e}b"},
    });
    let alert = parse_alert(json.to_string().as_bytes(), &defaults).unwrap();
    assert_eq!((alert.category, alert.source), (None, None));
    let labels: Vec<&str> = alert.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["empty", "lines", "turned"]);
}
