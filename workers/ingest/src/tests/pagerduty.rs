//! `POST /v1/hooks/pagerduty`.

use std::{
    future::{Future as _, poll_fn},
    task::Poll,
    time::Duration,
};

use serde_json::{Value, json};
use watchbell::domain::{Severity, Status};

use super::fixture::{Answer, Dispatch, Fixture};
use crate::limits::{HOOK_BODIES_SHARE, HOOK_BODY_BYTES_MAX, NAMELESS_BODY_TIMEOUT};

const TO_ANA: &str = "/v1/hooks/pagerduty?users=ana";

fn trigger(dedup_key: &str) -> Value {
    json!({
        "routing_key": "0123456789abcdef0123456789abcdef", "event_action": "trigger", "dedup_key": dedup_key,
        "payload": {"summary": "Disk full", "source": "db-1", "severity": "error"},
    })
}

fn event(action: &str, dedup_key: &str) -> Value {
    json!({"routing_key": "x", "event_action": action, "dedup_key": dedup_key})
}

fn processed(dedup_key: &str) -> Value {
    json!({"status": "success", "message": "Event processed", "dedup_key": dedup_key})
}

/// As PagerDuty's clients post it: no header says who they are.
async fn post_without_header(fixture: &Fixture, body: &Value) -> Answer {
    fixture.send("POST", TO_ANA, &[("authorization", "")], body.to_string()).await
}

#[tokio::test]
async fn a_trigger_becomes_an_alert_and_is_answered_as_pagerduty_does() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let answer = fixture.post("/v1/hooks/pagerduty?groups=ops&policy=critical", trigger("disk-7")).await;
    assert_eq!((answer.status, answer.json()), (202, processed("disk-7")));
    let alert = fixture.alerts().remove(0);
    assert_eq!((alert.id.as_str(), alert.version, alert.severity), ("disk-7", 1, Severity::Critical));
    assert_eq!((alert.to.groups[0].as_str(), alert.policy.as_deref()), ("ops", Some("critical")));

    let mut nameless = trigger("");
    nameless.as_object_mut().unwrap().remove("dedup_key");
    let answer = fixture.post(TO_ANA, nameless).await;
    let key = answer.json()["dedup_key"].as_str().unwrap().to_owned();
    assert_eq!(fixture.alerts().pop().unwrap().id.as_str(), key, "it gets a key, and hears it");
}

#[tokio::test]
async fn an_alert_is_acknowledged_resolved_and_triggered_anew() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (why, body, expected) in [
        ("the first", trigger("disk-7"), (1, Status::Firing)),
        ("somebody is at it", event("acknowledge", "disk-7"), (2, Status::Acknowledged)),
        ("its end", event("resolve", "disk-7"), (3, Status::Resolved)),
        ("anew", trigger("disk-7"), (4, Status::Firing)),
    ] {
        for _ in 0..2 {
            let answer = fixture.post(TO_ANA, &body).await;
            assert_eq!((answer.status, answer.json()), (202, processed("disk-7")), "{why}");
        }
        let alerts = fixture.alerts();
        let alert = alerts.last().unwrap();
        assert_eq!(
            (alert.version, alert.status, alert.title.as_str()),
            (expected.0, expected.1, "Disk full"),
            "{why}: said twice it is the same version"
        );
    }
    let answer = fixture.post(TO_ANA, event("resolve", "overtook its trigger")).await;
    assert_eq!(answer.status, 202);
    let alert = fixture.alerts().pop().unwrap();
    assert_eq!((alert.version, alert.status), (2, Status::Resolved), "so that the trigger is the older one");
}

#[tokio::test]
async fn the_key_may_stand_in_the_body() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let with_key = |key: Value| {
        let mut body = trigger("disk-7");
        body["routing_key"] = key;
        body
    };
    let unknown = "The API key is not known, or was revoked: make one with `watchbell key`.";
    for (why, key, expected) in [
        ("ours", json!(fixture.key), Ok("acme")),
        ("another tenant's", json!(fixture.other_key), Ok("globex")),
        ("one of PagerDuty's", json!("0123456789abcdef0123456789abcdef"), Err(unknown)),
    ] {
        let answer = post_without_header(&fixture, &with_key(key)).await;
        match expected {
            Ok(tenant) => {
                assert_eq!(answer.status, 202, "{why}");
                assert_eq!(fixture.alerts().pop().unwrap().tenant.as_str(), tenant, "{why}");
            }
            Err(detail) => assert_eq!(answer.problem(), (401, detail.into()), "{why}"),
        }
    }
    assert_eq!(post_without_header(&fixture, &with_key(Value::Null)).await.problem().0, 401, "none");
    let answer = fixture.post(TO_ANA, with_key(json!(fixture.other_key))).await;
    assert_eq!(answer.status, 202);
    assert_eq!(fixture.alerts().pop().unwrap().tenant.as_str(), "acme", "the header wins");
}

#[tokio::test]
async fn what_is_refused_is_named() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let nobody = "to: Nobody is named. Add ?users=ana,ben, ?groups=ops or ?everyone=true to the address of the hook, the label \
                  watchbell_users or watchbell_groups to the alert, or a [[route]] that matches it.";
    for (why, uri, body, expected) in [
        (
            "not JSON",
            TO_ANA,
            "{".to_owned(),
            (400, "The body is not JSON: EOF while parsing an object at line 1 column 1"),
        ),
        ("a list", TO_ANA, "[]".to_owned(), (400, "The body must be an event: a JSON object.")),
        (
            "nothing",
            TO_ANA,
            json!({}).to_string(),
            (422, "event_action: must be trigger, acknowledge or resolve"),
        ),
        (
            "which one",
            TO_ANA,
            event("resolve", "").to_string(),
            (422, "dedup_key: is missing: it says which trigger is meant"),
        ),
        (
            "no payload",
            TO_ANA,
            event("trigger", "a").to_string(),
            (422, "payload.summary: is missing: a trigger has it"),
        ),
        ("nobody", "/v1/hooks/pagerduty", trigger("a").to_string(), (422, nobody)),
        (
            "too long",
            TO_ANA,
            "x".repeat(HOOK_BODY_BYTES_MAX + 1),
            (413, "A body has at most 524288 bytes: send several requests."),
        ),
    ] {
        let answer = fixture.send("POST", uri, &[], body).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{why}");
    }
    assert!(fixture.alerts().is_empty());
}

#[tokio::test]
async fn a_resolve_needs_only_the_key() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (row, payload) in [
        Value::Null,
        json!({}),
        json!("text"),
        json!({"severity": "banana", "timestamp": "yesterday", "summary": null, "source": 7}),
        json!({"severity": {"a": 1}, "custom_details": [1, null], "component": false}),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("k{row}");
        fixture.post(TO_ANA, trigger(&key)).await;
        let mut resolve = event("resolve", &key);
        resolve["payload"] = payload.clone();
        resolve["links"] = json!("none");
        // Not even whom it is for: whoever holds it does.
        let answer = fixture.post("/v1/hooks/pagerduty", resolve).await;
        assert_eq!((answer.status, answer.json()), (202, processed(&key)), "{payload}");
        let alert = fixture.alerts().pop().unwrap();
        assert_eq!(
            (alert.version, alert.status, alert.title.as_str()),
            (2, Status::Resolved, "Disk full"),
            "{payload}"
        );
    }
}

#[tokio::test]
async fn a_key_may_be_any_text() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let long = "x".repeat(5_000);
    for key in ["disk-7", "disk full / db-1", " ", "~digest", "żółw 🐢", "a\u{0}b", long.as_str()] {
        let mut resolve = event("resolve", key);
        resolve["dedup_key"] = json!(key);
        for (body, version) in [(trigger(key), 1), (resolve, 2)] {
            let answer = fixture.post(TO_ANA, body).await;
            assert_eq!((answer.status, answer.json()), (202, processed(key)), "{key}");
            assert_eq!(fixture.alerts().pop().unwrap().version, version, "{key}");
        }
    }
    let ids: std::collections::BTreeSet<_> = fixture.alerts().iter().map(|alert| alert.id.clone()).collect();
    assert_eq!(ids.len(), 7);
}

#[tokio::test]
async fn a_trigger_that_is_worse_is_the_next_version() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let of = |severity: &str, summary: &str| {
        let mut body = trigger("disk-7");
        body["payload"]["severity"] = json!(severity);
        body["payload"]["summary"] = json!(summary);
        body
    };
    for (why, body, expected) in [
        ("the first", of("warning", "80 %"), (1, Severity::Warning)),
        ("worse", of("critical", "80 %"), (2, Severity::Critical)),
        ("something else", of("critical", "99 %"), (3, Severity::Critical)),
        ("less", of("warning", "99 %"), (4, Severity::Warning)),
    ] {
        fixture.post(TO_ANA, body).await;
        let alert = fixture.alerts().pop().unwrap();
        assert_eq!((alert.version, alert.severity), expected, "{why}");
    }
    fixture.post(TO_ANA, event("acknowledge", "disk-7")).await;
    fixture.post(TO_ANA, of("critical", "99 %")).await;
    let alert = fixture.alerts().pop().unwrap();
    assert_eq!((alert.version, alert.status), (6, Status::Firing), "worse than what somebody took on");
}

#[tokio::test]
async fn clients_that_know_only_a_base_address_find_it() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let mut body = trigger("disk-7");
    body["routing_key"] = json!(fixture.key);
    for (why, uri, content_type) in [
        ("the path", "/v1/hooks/pagerduty/v2/enqueue?users=ana".to_owned(), ""),
        ("put behind the parameters", "/v1/hooks/pagerduty?users=ana/v2/enqueue".to_owned(), ""),
        ("text", TO_ANA.to_owned(), "text/plain"),
        ("a form, as curl says", TO_ANA.to_owned(), "application/x-www-form-urlencoded"),
    ] {
        let headers = [("authorization", ""), ("content-type", content_type)];
        let answer = fixture.send("POST", &uri, &headers, body.to_string()).await;
        assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        assert_eq!(fixture.alerts().pop().unwrap().to.users[0].as_str(), "ana", "{why}");
    }
    let answer = fixture.send("POST", TO_ANA, &[("content-type", "application/xml")], "<a/>").await;
    assert_eq!(answer.problem().0, 415);
}

/// Once, 64 bodies that did not come refused everybody for 30 s, also those with a key in the headers.
#[tokio::test]
async fn a_body_of_nobody_known_gives_way_to_others() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let nameless = [("authorization", "")];
    let mut waiting = Vec::new();
    for _ in 0..HOOK_BODIES_SHARE.private_max {
        let endless =
            axum::body::Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let mut request = Box::pin(fixture.send("POST", TO_ANA, &nameless, endless));
        let is_pending = poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending())).await;
        assert!(is_pending);
        waiting.push(request);
    }
    assert_eq!(fixture.post(TO_ANA, trigger("a")).await.status, 202, "a key in the headers has its own room");
    let mut body = trigger("b");
    body["routing_key"] = json!(fixture.key);
    let answer = fixture.send("POST", TO_ANA, &nameless, body.to_string()).await;
    assert_eq!(answer.status, 202, "a key in the body has that of a stranger: {}", answer.text);
    assert_eq!(waiting.remove(0).await.problem().0, 503, "who was there first");
}

#[tokio::test]
async fn a_body_of_nobody_known_has_little_time() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    // Only now: the store works on threads of its own, for which a paused clock does not wait.
    tokio::time::pause();
    let endless =
        axum::body::Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let begin = tokio::time::Instant::now();
    let answer = fixture.send("POST", TO_ANA, &[("authorization", "")], endless).await;
    assert_eq!(answer.problem().0, 408);
    // The paused clock moves in whole milliseconds.
    let exact = NAMELESS_BODY_TIMEOUT..NAMELESS_BODY_TIMEOUT + Duration::from_millis(2);
    assert!(exact.contains(&begin.elapsed()));
}
