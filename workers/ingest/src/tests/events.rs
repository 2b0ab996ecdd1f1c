//! `POST /v1/topics/{topic}/events`.

use serde_json::{Value, json};
use watchbell::{
    domain::{Event, Timestamp},
    wire::{MessageKind, event::EventDefaults, kind_of, parse_event},
};

use super::fixture::{Dispatch, Fixture, NOW};
use crate::limits::ALERTS_MAX;

const URI: &str = "/v1/topics/monitor:7/events";
const FIRST_ID: &str = "00000000-0000-0000-0000-000000000000";

/// What was published, as dispatch reads it.
fn published(fixture: &Fixture) -> Vec<Event> {
    let nothing = EventDefaults { tenant: None, topic: None, id: None, now: Timestamp::UNIX_EPOCH };
    let read = |body: &[u8]| {
        assert_eq!(kind_of(body), MessageKind::Event);
        parse_event(body, &nothing).unwrap()
    };
    fixture.messages().iter().map(|message| read(&message.body)).collect()
}

#[tokio::test]
async fn an_event_is_on_the_broker_under_the_topic_of_the_address() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let body = json!({"type": "status_change", "data": {"up": false}, "keep": 1, "severity": "critical"});
    let answer = fixture.post(URI, body).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"id": FIRST_ID, "status": "accepted"})));
    let event = published(&fixture).remove(0);
    assert_eq!((event.key.tenant.as_str(), event.key.topic.as_str()), ("acme", "monitor:7"));
    assert_eq!(
        (event.kind.as_str(), event.keep, event.data["up"].clone()),
        ("status_change", 1, json!(false))
    );
    assert_eq!(event.occurred_at.to_string(), NOW);
    assert_eq!(fixture.messages()[0].message_id, format!("acme/monitor:7/{FIRST_ID}"));
}

#[tokio::test]
async fn several_come_as_an_array_or_by_line_and_keep_their_order() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let several = json!([{"type": "t", "id": "a"}, {"type": "t"}]).to_string();
    let answer = fixture.send("POST", URI, &[("idempotency-key", "tick")], several).await;
    assert_eq!(answer.json(), json!({"accepted": 2, "events": [{"id": "a"}, {"id": "tick.1"}]}));
    let lines = "{\"type\":\"t\",\"id\":\"b\"}\n{\"type\":\"t\",\"id\":\"c\"}\n";
    let answer = fixture.send("POST", URI, &[("content-type", "application/x-ndjson")], lines).await;
    assert_eq!((answer.status, answer.json()["accepted"].clone()), (202, json!(2)));
    let ids: Vec<String> = published(&fixture).iter().map(|event| event.id.to_string()).collect();
    assert_eq!(ids, ["a", "tick.1", "b", "c"]);
}

#[tokio::test]
async fn what_is_refused_names_its_place_and_nothing_is_published() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let many: Vec<Value> = (0..=ALERTS_MAX).map(|_| json!({"type": "t"})).collect();
    let long = json!({"type": "t", "data": {"x": "x".repeat(65_536)}});
    for (why, uri, body, expected) in [
        (
            "a pattern is not a topic",
            "/v1/topics/monitor:*/events",
            json!({"type": "t"}),
            (422, "topic: must not contain '*': use letters, digits and . _ - : @ + ~ ="),
        ),
        ("no type", URI, json!({}), (422, "type: is missing, and must be given")),
        (
            "one of several",
            URI,
            json!([{"type": "t"}, {"type": "t", "keep": 1001}]),
            (422, "[1] keep: must be from 0 to 1000"),
        ),
        (
            "another wall",
            URI,
            json!({"type": "t", "tenant": "globex"}),
            (422, "tenant: is not the tenant of this API key: leave it out"),
        ),
        (
            "another topic",
            URI,
            json!({"type": "t", "topic": "monitor:8"}),
            (422, "topic: is not the topic of the address: leave it out"),
        ),
        ("an alert", URI, json!({"kind": "alert", "type": "t"}), (422, "kind: must be `event`")),
        ("too many", URI, json!(many), (413, "A request has at most 1000 events: send several.")),
        (
            "too long",
            URI,
            long,
            (413, "event: The event has 65564 bytes of JSON, at most 65536 are carried: shorten `data`."),
        ),
    ] {
        let answer = fixture.post(uri, body).await.problem();
        assert_eq!(answer, (expected.0, expected.1.to_owned()), "{why}");
    }
    assert!(fixture.messages().is_empty());
}

#[tokio::test]
async fn an_event_that_nobody_confirms_is_not_accepted() {
    let limits = crate::limits::Limits {
        publish_deadline: std::time::Duration::from_millis(50),
        ..Default::default()
    };
    let fixture = Fixture::within(Dispatch::Absent, limits).await;
    let (status, detail) = fixture.post(URI, json!({"type": "t"})).await.problem();
    assert_eq!(status, 503);
    assert!(detail.starts_with("The store did not confirm the event in time"), "{detail}");
}

#[tokio::test]
async fn a_cloudevents_data_is_the_events() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let event = json!({
        "specversion": "1.0", "id": "0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2", "source": "/probes/7",
        "type": "status_change", "time": "2026-11-21T11:00:00Z", "keep": 1, "data": {"up": false},
    });
    let answer = fixture
        .send("POST", URI, &[("content-type", "application/cloudevents+json")], event.to_string())
        .await;
    assert_eq!((answer.status, answer.json()["id"].clone()), (202, event["id"].clone()));
    let event = published(&fixture).remove(0);
    assert_eq!(
        (event.kind.as_str(), event.source.as_deref(), event.keep),
        ("status_change", Some("/probes/7"), 1)
    );
    assert_eq!((event.key.topic.as_str(), event.data["up"].clone()), ("monitor:7", json!(false)));
    assert_eq!(event.occurred_at.to_string(), "2026-11-21T11:00:00Z");
}
