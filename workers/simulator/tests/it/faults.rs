//! Faults as a sender meets them.

use serde_json::{Value, json};

use crate::smtp::{Client, MESSAGE};
use crate::{Running, alert, status_and_json};

#[tokio::test]
async fn a_fault_answers_in_the_providers_words_and_counts_down() {
    let running = Running::start().await;
    let access = running.access_token().await;
    let fcm = json!({"message": {"token": "a1", "data": {"alert": "x"}}});
    for (why, provider, fault, status, retry_after, pointer, expected) in [
        ("gone since", "apns", json!({"status": 410, "timestamp": 7}), 410, "", "/timestamp", json!(7)),
        ("gone", "apns", json!({"status": 410}), 410, "", "/reason", json!("Unregistered")),
        (
            "slower",
            "apns",
            json!({"status": 429, "retry_after": 9}),
            429,
            "9",
            "/reason",
            json!("TooManyRequests"),
        ),
        ("a new reason", "apns", json!({"status": 400, "reason": "New"}), 400, "", "/reason", json!("New")),
        (
            "only after a while",
            "apns",
            json!({"status": 503, "delay_ms": 1}),
            503,
            "",
            "/reason",
            json!("ServiceUnavailable"),
        ),
        ("a web page", "fcm", json!({"html": true, "retry_after": 2}), 502, "2", "", Value::Null),
        (
            "gone",
            "fcm",
            json!({"status": 404, "reason": "UNREGISTERED"}),
            404,
            "",
            "/error/details/0/errorCode",
            json!("UNREGISTERED"),
        ),
        (
            "no code",
            "fcm",
            json!({"status": 403}),
            403,
            "",
            "/error",
            json!({"code": 403, "status": "PERMISSION_DENIED", "message": "Asked for by a fault"}),
        ),
        (
            "the token is bad",
            "fcm",
            json!({"status": 400, "reason": "INVALID_ARGUMENT", "field": "message.token"}),
            400,
            "",
            "/error/details/1/fieldViolations/0/field",
            json!("message.token"),
        ),
    ] {
        let mut fault = fault;
        (fault["count"], fault["to"]) = (json!(1), json!("a1"));
        assert_eq!(running.faults(json!({ provider: [fault] })).await.0, 200, "{why}");
        let request =
            || if provider == "apns" { running.apns("a1", &alert("x")) } else { running.fcm(&access, &fcm) };
        let answer = request().send().await.unwrap();
        let waits =
            answer.headers().get("retry-after").map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!((answer.status().as_u16(), waits.as_str()), (status, retry_after), "{why}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        assert_eq!(body.pointer(pointer), Some(&expected), "{why}: {body}");
        assert!(running.arrivals("").await.is_empty(), "{why}: what was refused is not shown");

        assert_eq!(request().send().await.unwrap().status(), 200, "{why}: it counted down");
        running.clear().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_fault_is_for_whom_it_says_and_hides_no_mistake() {
    let running = Running::start().await;
    running.faults(json!({"apns": [{"status": 410, "to": "b2"}]})).await;
    assert_eq!(status_and_json(running.apns("a1", &alert("x"))).await.0, 200);
    assert_eq!(status_and_json(running.apns("b2", &alert("x"))).await.0, 410);
    let mistaken = running.apns("b2", &alert("x")).header("apns-priority", "7");
    assert_eq!(status_and_json(mistaken).await.1["reason"], "BadPriority");

    let (status, refusal) = running.faults(json!({"apns": [{"stauts": 410}]})).await;
    assert!(status == 400 && refusal["detail"].as_str().unwrap().contains("stauts"), "{refusal}");
    let (_, left) = running.faults(json!({"fcm": []})).await;
    assert_eq!(left["apns"], json!([{"status": 410, "to": "b2"}]), "a refused list replaces nothing");
    running.stop().await;
}

#[tokio::test]
async fn a_dropped_push_has_no_answer_and_was_shown_or_not() {
    let running = Running::start().await;
    for (why, drop, shown) in [("before", json!(true), 0), ("after", json!("after"), 1)] {
        running.faults(json!({"apns": [{"drop": drop, "count": 1}]})).await;
        assert!(running.apns("a1", &alert("x")).send().await.is_err(), "{why}");
        assert_eq!(running.arrivals("").await.len(), shown, "{why}");
    }
    assert_eq!(status_and_json(running.apns("a1", &alert("x"))).await.0, 200, "a new connection is served");
    running.stop().await;
}

#[tokio::test]
async fn goaway_answers_what_is_in_flight_and_moves_the_rest() {
    let running = Running::start().await;
    let by = async |alert_id: &str| {
        let (status, _) = status_and_json(running.apns("a1", &alert(alert_id))).await;
        (status, running.arrivals(&format!("?alert={alert_id}")).await[0]["connection"].as_u64().unwrap())
    };
    assert_eq!([by("x").await, by("y").await], [(200, 1), (200, 1)], "one connection serves them all");
    running.faults(json!({"apns": [{"goaway": true, "count": 1}]})).await;
    assert_eq!(by("last").await, (200, 1), "it is answered on the old one");
    assert_eq!(by("z").await, (200, 2), "the next goes by a new one");
    running.stop().await;
}

#[tokio::test]
async fn a_failing_token_endpoint_is_its_own_fault() {
    let running = Running::start().await;
    running.faults(json!({"oauth": [{"status": 503, "count": 1}]})).await;
    let form = [("grant_type", crate::fcm::GRANT_TYPE), ("assertion", &running.assertion(|_| {}))];
    let request = || running.http.post(running.push("/token")).form(&form);
    assert_eq!(status_and_json(request()).await.0, 503);
    assert_eq!(status_and_json(request()).await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn the_relay_refuses_where_a_real_one_would() {
    let running = Running::start().await;
    for (why, fault, reply, next, arrived) in [
        (
            "no such user",
            json!({"status": 550, "reason": "5.1.1 no such user", "to": "ANA@x.org"}),
            "550 5.1.1 no such user",
            "250",
            0,
        ),
        ("greylisted", json!({"status": 451}), "451 4.3.0", "250", 0),
        ("full", json!({"status": 552}), "552 5.2.2", "250", 0),
        ("spam", json!({"status": 554}), "554 5.7.1", "250", 0),
        ("down", json!({"status": 421}), "421 4.3.2", "", 0),
        ("not for her", json!({"status": 550, "to": "bo@x.org"}), "250", "250", 1),
        ("hangs up first", json!({"drop": "before"}), "", "", 0),
        ("hangs up last", json!({"drop": "after"}), "", "", 1),
        ("slow", json!({"delay_ms": 1}), "250", "250", 1),
    ] {
        assert_eq!(running.faults(json!({"email": [fault]})).await.0, 200, "{why}");
        let mut client = Client::connect(&running).await;
        let replied = client.deliver("ana@x.org", MESSAGE).await;
        assert!(replied.starts_with(reply) && replied.is_empty() == reply.is_empty(), "{why}: {replied}");
        if next.is_empty() {
            assert_eq!(client.read().await, "", "{why}: it hung up");
        } else {
            assert!(client.say(&["NOOP"]).await.starts_with(next), "{why}");
        }
        assert_eq!(running.arrivals("").await.len(), arrived, "{why}");
        running.clear().await;
    }
    running.faults(json!({"email": [{"status": 535}]})).await;
    let mut client = Client::connect(&running).await;
    assert!(client.say(&["EHLO me", "AUTH PLAIN AGFuYQB4"]).await.starts_with("535 5.7.8"));
    assert!(client.say(&["MAIL FROM:<a@b>"]).await.starts_with("535 5.7.8"), "nor without AUTH");
    running.stop().await;
}
