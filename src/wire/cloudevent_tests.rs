//! What a CloudEvent becomes, and the exact answer to one that is none.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // `json!` is handed over.

use serde_json::json;

use super::*;
use crate::domain::AlertId;
use crate::wire::{
    alert::{Defaults, parse_alert},
    event::{EventDefaults, kind_of, parse_event},
};

const ID: &str = "0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2";

fn attributes() -> Value {
    json!({"specversion": "1.0", "id": ID, "source": "/disks", "type": "com.example.full",
        "time": "2026-11-21T12:00:00Z", "tenant": "acme"})
}

fn with(mut whole: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}

fn alert() -> Value {
    json!({"to": {"users": ["ana"]}, "title": "Disk full"})
}

/// The same event in both modes: attributes around the data, and attributes as headers.
fn both_modes(attributes: &Value, data: &Value, prefix: &str) -> [Result<Value, InvalidAlert>; 2] {
    let structured = with(attributes.clone(), json!({"data": data})).to_string();
    let headers = attributes.as_object().unwrap().iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("{prefix}{name}"), text)
    });
    let headers = headers.collect();
    let read = |plain: Cow<'_, [u8]>| serde_json::from_slice(&plain).unwrap();
    [
        plain_of("application/cloudevents+json; charset=utf-8", &BTreeMap::new(), structured.as_bytes())
            .map(read),
        plain_of("application/json", &headers, data.to_string().as_bytes()).map(read),
    ]
}

#[test]
fn attributes_fill_what_the_data_leaves_out() {
    let of = |fields: Value| {
        with(
            json!({"id": ID, "source": "/disks", "occurred_at": "2026-11-21T12:00:00Z",
        "tenant": "acme"}),
            fields,
        )
    };
    let whole_event = json!({"kind": "event", "topic": "disks", "type": "full", "data": {"used": 91}});
    for (why, extra, data, expected) in [
        ("an alert", json!({}), alert(), of(with(alert(), json!({"category": "com.example.full"})))),
        (
            "the data wins",
            json!({}),
            with(alert(), json!({"id": "disk-7", "category": "disks", "source": null})),
            of(with(alert(), json!({"id": "disk-7", "category": "disks"}))),
        ),
        (
            "extensions of ours",
            json!({"severity": "critical", "policy": "critical", "version": 2}),
            alert(),
            of(with(
                alert(),
                json!({"category": "com.example.full", "severity": "critical",
                "policy": "critical", "version": 2}),
            )),
        ),
        (
            "extensions of others are nothing to us",
            json!({"partitionkey": "7", "dataschema": "https://example.com/schema"}),
            alert(),
            of(with(alert(), json!({"category": "com.example.full"}))),
        ),
        (
            "an event: the data is its own",
            json!({"kind": "event", "topic": "disks", "keep": 10}),
            json!({"used": 91}),
            of(json!({"kind": "event", "topic": "disks", "type": "com.example.full", "keep": 10,
                "data": {"used": 91}})),
        ),
        ("an event as everybody writes it", json!({}), whole_event.clone(), of(whole_event)),
    ] {
        for prefix in PREFIXES {
            for plain in both_modes(&with(attributes(), extra.clone()), &data, prefix) {
                assert_eq!(plain.unwrap(), expected, "{why}");
            }
        }
    }
}

#[test]
fn what_comes_out_is_read_like_all_else() {
    let now = "2026-11-21T13:00:00Z".parse().unwrap();
    for plain in both_modes(&attributes(), &alert(), PREFIXES[0]) {
        let json = plain.unwrap().to_string();
        assert_eq!(kind_of(json.as_bytes()), MessageKind::Alert);
        let alert = parse_alert(json.as_bytes(), &Defaults { tenant: None, id: None, now }).unwrap();
        assert_eq!((alert.id.as_str(), alert.source.as_deref()), (ID, Some("/disks")));
        assert_eq!(alert.occurred_at.to_string(), "2026-11-21T12:00:00Z");
    }
    let extra = json!({"kind": "event", "topic": "disks", "keep": 10});
    for plain in both_modes(&with(attributes(), extra), &json!({"used": 91}), PREFIXES[1]) {
        let json = plain.unwrap().to_string();
        assert_eq!(kind_of(json.as_bytes()), MessageKind::Event);
        let defaults = EventDefaults { tenant: None, topic: None, id: None, now };
        let event = parse_event(json.as_bytes(), &defaults).unwrap();
        assert_eq!(
            (event.key.topic.as_str(), event.kind.as_str(), event.keep),
            ("disks", "com.example.full", 10)
        );
    }
}

#[test]
fn two_sources_that_count_make_two_alerts() {
    let one = id_of("/disks", "1");
    assert!(AlertId::parse(&one).is_ok());
    assert_eq!(one, id_of("/disks", "1"), "the same again is the same");
    assert_ne!(one, id_of("/fans", "1"));
    assert_ne!(one, id_of("/disks", "2"));
    assert_eq!(id_of("/disks", ID), ID, "a UUID is kept");
}

#[test]
fn a_refusal_names_the_attribute() {
    let without = |name: &str| {
        let mut whole = with(attributes(), json!({"data": alert()}));
        whole.as_object_mut().unwrap().remove(name);
        whole.to_string()
    };
    let changed = |fields: Value| with(with(attributes(), json!({"data": alert()})), fields).to_string();
    for (why, body, expected) in [
        ("no version", without("specversion"), "specversion: is missing: a CloudEvent has it, as text"),
        ("no id", without("id"), "id: is missing: a CloudEvent has it, as text"),
        ("no source", without("source"), "source: is missing: a CloudEvent has it, as text"),
        ("no type", without("type"), "type: is missing: a CloudEvent has it, as text"),
        ("an old version", changed(json!({"specversion": "0.3"})), "specversion: must be 1.0"),
        ("an id that is a number", changed(json!({"id": 7})), "id: is missing: a CloudEvent has it, as text"),
        ("bytes", changed(json!({"data_base64": "AAA="})), "data_base64: is not read: put JSON into data"),
        ("text", changed(json!({"data": "hello"})), "data: has the wrong type: expected an object"),
        (
            "XML",
            changed(json!({"datacontenttype": "text/xml"})),
            "datacontenttype: must be application/json or left out",
        ),
        ("a list", json!([attributes()]).to_string(), "cloudevent: has the wrong type: expected an object"),
        (
            "too long",
            format!("\"{}\"", "x".repeat(ALERT_BYTES_MAX + ATTRIBUTES_BYTES_MAX)),
            "cloudevent: is 81922 bytes of JSON, at most 81920 are accepted",
        ),
    ] {
        let refusal = plain_of(STRUCTURED, &BTreeMap::new(), body.as_bytes()).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{why}");
    }
}

#[test]
fn what_is_no_cloudevent_stays_as_it_is() {
    for content_type in ["", "application/json", "Application/JSON", "application/json; charset=utf-8"] {
        let other = BTreeMap::from([("traceparent".to_owned(), "x".to_owned())]);
        assert_eq!(plain_of(content_type, &other, b"not even JSON").unwrap(), b"not even JSON".as_slice());
    }
    for refused in ["text/plain", BATCH, "application/jsonl", "json"] {
        let refusal = plain_of(refused, &BTreeMap::new(), b"{}").unwrap_err();
        assert_eq!(refusal.field, "content_type", "{refused}");
    }
}

#[test]
fn binary_mode_over_http_is_the_same_event() {
    let attributes: BTreeMap<String, String> = [
        ("specversion", "1.0"),
        ("id", ID),
        ("source", "/disks"),
        ("type", "full"),
        ("time", "2026-11-21T12:00:00Z"),
        ("severity", "critical"),
        ("version", "3"),
        ("other", "x"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let plain = plain_of_binary(&attributes, alert().to_string().as_bytes(), MessageKind::Alert).unwrap();
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    let expected = with(
        alert(),
        json!({"id": ID, "source": "/disks", "category": "full", "occurred_at": "2026-11-21T12:00:00Z",
            "severity": "critical", "version": 3}),
    );
    assert_eq!(plain, expected);
    let event = plain_of_binary(&attributes, b"", MessageKind::Event).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(
        (&event["kind"], &event["data"], &event["type"]),
        (&json!("event"), &json!({}), &json!("full"))
    );
    let without = |name: &str| {
        let mut attributes = attributes.clone();
        attributes.remove(name);
        plain_of_binary(&attributes, b"{}", MessageKind::Alert).unwrap_err().field
    };
    assert_eq!(
        (without("id").as_str(), without("source").as_str(), without("type").as_str()),
        ("id", "source", "type")
    );
    assert_eq!(plain_of_binary(&attributes, b"[1]", MessageKind::Alert).unwrap_err().field, "data");
}
