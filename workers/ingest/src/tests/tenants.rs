//! What one tenant at its worst leaves to the others.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::fixture::{Answer, Dispatch, Fixture};
use crate::limits::{ALERTS_MAX, BODY_BYTES_MAX, Limits, RECIPIENTS_AHEAD_MAX};

/// Longer than a request without any obstacle takes, and shorter than a body may take.
const MOMENT: Duration = Duration::from_secs(10);

fn alert_for(users: usize) -> Value {
    let users: Vec<String> = (0..users).map(|n| format!("u{n}")).collect();
    json!({"to": {"users": users}, "title": "t"})
}

/// A body that begins with so many bytes and never ends.
fn unending(bytes: usize) -> Body {
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; bytes]))]);
    Body::from_stream(begun.chain(stream::pending()))
}

/// A request of the other tenant.
async fn bystander(fixture: &Fixture) -> Answer {
    let other = format!("Bearer {}", fixture.other_key);
    let headers = [("authorization", other.as_str())];
    let sent = fixture.send("POST", "/v1/alerts", &headers, alert_for(1).to_string());
    timeout(MOMENT, sent).await.unwrap()
}

fn seconds_to_wait(answer: &Answer) -> u32 {
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn bodies_that_are_only_announced_take_no_room() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let length = BODY_BYTES_MAX.to_string();
    let headers = [("content-length", length.as_str())];
    // More than all the room there is, by what they announce.
    let announced = stream::iter(0..64)
        .map(|_| fixture.send("POST", "/v1/alerts", &headers, unending(0)))
        .buffer_unordered(64);
    let mut announced = Box::pin(announced.collect::<Vec<_>>());
    tokio::select! {
        biased;
        answers = &mut announced => panic!("{} ended", answers.len()),
        answer = bystander(&fixture) => assert_eq!(answer.status, 202, "{}", answer.text),
    }
    let own = fixture.post("/v1/alerts", alert_for(1));
    tokio::select! {
        biased;
        answers = &mut announced => panic!("{} ended", answers.len()),
        answer = own => assert_eq!(answer.status, 202, "its own neither: {}", answer.text),
    }
}

#[tokio::test]
async fn bodies_whose_last_byte_is_withheld_take_the_half_of_one_tenant() {
    let limits = Limits { body_bytes_in_flight_max: 100_000, ..Limits::default() };
    let fixture = Fixture::within(Dispatch::Acks, limits).await;
    let withheld = stream::iter(0..31)
        .map(|_| fixture.send("POST", "/v1/alerts", &[], unending(20_000)))
        .buffer_unordered(31);
    let mut withheld = Box::pin(withheld);
    // Two of 20,000 fit into the half of 100,000, and all others are answered.
    for n in 0..29 {
        let answer = timeout(MOMENT, withheld.next()).await.unwrap().unwrap();
        let (status, detail) = answer.problem();
        assert_eq!(status, 503, "{n}");
        assert!(detail.starts_with("Your tenant has its share of the requests"), "{n}: {detail}");
        assert_eq!(answer.headers["retry-after"], "5", "{n}");
    }
    tokio::select! {
        biased;
        answer = withheld.next() => panic!("{:?} ended", answer.map(|answer| answer.text)),
        answer = bystander(&fixture) => assert_eq!(answer.status, 202, "{}", answer.text),
    }
    drop(withheld);
    let answer =
        fixture.send("POST", "/v1/alerts", &[], " ".repeat(50_000) + &alert_for(1).to_string()).await;
    assert_eq!(answer.status, 503, "more than half");
    let answer =
        fixture.send("POST", "/v1/alerts", &[], " ".repeat(49_000) + &alert_for(1).to_string()).await;
    assert_eq!(answer.status, 202, "what was held is free again: {}", answer.text);
}

#[tokio::test]
async fn recipients_are_charged_and_what_is_beyond_the_rate_hears_when_to_come_again() {
    let fixture = Fixture::reaching(Dispatch::Acks, 10).await;
    let ahead = usize::try_from(RECIPIENTS_AHEAD_MAX.as_secs()).unwrap() * 10;
    let several = |users: usize| json!([alert_for(users / 2), alert_for(users - users / 2)]);
    for (why, body, status) in [
        ("a request is taken whole, however many it reaches", several(ahead + 500), 202),
        ("and charged", alert_for(1), 429),
        ("events reach whoever listens, and are not charged", Value::Null, 202),
    ] {
        let uri = if body.is_null() { "/v1/topics/t/events" } else { "/v1/alerts" };
        let body = if body.is_null() { json!({"type": "t"}) } else { body };
        let answer = fixture.post(uri, &body).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text);
        if status == 429 {
            assert!(seconds_to_wait(&answer) > 10, "{why}: {}", answer.text);
            assert!(answer.problem().1.contains("ingest.recipients_per_tenant"), "{why}");
        }
    }
    // Before its body is read, so that it costs next to nothing.
    let unread = fixture.send("POST", "/v1/alerts", &[], unending(0));
    let answer = timeout(MOMENT, unread).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(bystander(&fixture).await.status, 202);
    let hook = json!({"alerts": [{"status": "firing", "labels": {"alertname": "a"}, "fingerprint": "f"}]});
    let answer = fixture.post("/v1/hooks/alertmanager?users=ana", hook).await;
    assert_eq!(answer.status, 503, "hooks repeat nothing that is answered 429: {}", answer.text);
    assert!(seconds_to_wait(&answer) > 10, "{}", answer.text);
}

#[tokio::test]
async fn beside_another_tenant_a_flood_is_taken_in_turn() {
    let fixture = Fixture::reaching(Dispatch::Acks, 100).await;
    let storm = Value::Array((0..ALERTS_MAX).map(|_| alert_for(1)).collect());
    for why in ["alone", "still alone"] {
        assert_eq!(fixture.post("/v1/alerts", &storm).await.status, 202, "{why}");
    }
    assert_eq!(bystander(&fixture).await.status, 202);
    assert_eq!(fixture.post("/v1/alerts", &storm).await.status, 202, "a request is taken whole");
    assert_eq!(bystander(&fixture).await.status, 202, "whoever sends little goes on");
    let answer = fixture.post("/v1/alerts", alert_for(1)).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.problem().1.contains("Other tenants"), "{}", answer.text);
    assert!(seconds_to_wait(&answer) > 0);
    assert_eq!(bystander(&fixture).await.status, 202);
}
