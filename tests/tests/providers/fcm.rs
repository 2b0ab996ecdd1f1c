//! Google, over HTTP/2 and TLS.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use watchbell::domain::Secret;
use watchbell_fallback::channel::{Disposition, FcmStyle, PushSender as _, SendError, ThrottleScope};

use crate::fixture::{ProviderFixture, TOKEN, now, push, push_to, told, withdrawal};

/// Every row of the reaction table (`docs/providers.md`, "FCM"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_google_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.fcm(false);
    let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
    let (drop, config) = (Disposition::DropMessage, Disposition::ConfigFault);
    let forget = Disposition::ForgetToken { unless_registered_after: None };
    for (why, fault, code, reason, expected) in [
        (
            "the token is gone",
            json!({"status": 404, "reason": "UNREGISTERED"}),
            "unregistered",
            "UNREGISTERED",
            forget,
        ),
        (
            "the path is wrong",
            json!({"status": 404, "reason": "NOT_FOUND"}),
            "config_fault",
            "NOT_FOUND",
            config,
        ),
        (
            "the payload is wrong (R8)",
            json!({"status": 400, "reason": "INVALID_ARGUMENT", "field": "message.android.ttl"}),
            "rejected",
            "INVALID_ARGUMENT",
            drop,
        ),
        (
            "the token is named",
            json!({"status": 400, "reason": "INVALID_ARGUMENT", "field": "message.token"}),
            "bad_token",
            "INVALID_ARGUMENT",
            forget,
        ),
        (
            "nothing is named",
            json!({"status": 400, "reason": "INVALID_ARGUMENT"}),
            "rejected",
            "INVALID_ARGUMENT",
            drop,
        ),
        (
            "another sender's",
            json!({"status": 403, "reason": "SENDER_ID_MISMATCH"}),
            "bad_token",
            "SENDER_ID",
            forget,
        ),
        (
            "our rights",
            json!({"status": 403, "reason": "PERMISSION_DENIED"}),
            "config_fault",
            "PERMISSION",
            config,
        ),
        (
            "a quota",
            json!({"status": 429, "reason": "QUOTA_EXCEEDED"}),
            "throttled",
            "QUOTA_EXCEEDED",
            retry(60),
        ),
        (
            "a quota with a time",
            json!({"status": 429, "reason": "QUOTA_EXCEEDED", "retry_after": 33}),
            "throttled",
            "QUOTA_EXCEEDED",
            retry(33),
        ),
        (
            "overload",
            json!({"status": 503, "reason": "UNAVAILABLE"}),
            "unavailable",
            "UNAVAILABLE",
            retry(10),
        ),
        (
            "overload with a time",
            json!({"status": 503, "reason": "UNAVAILABLE", "retry_after": 21}),
            "unavailable",
            "UNAVAILABLE",
            retry(21),
        ),
        ("theirs", json!({"status": 500, "reason": "INTERNAL"}), "unavailable", "INTERNAL", retry(10)),
        (
            "their keys",
            json!({"status": 401, "reason": "THIRD_PARTY_AUTH_ERROR"}),
            "config_fault",
            "THIRD_PARTY",
            config,
        ),
        (
            "unspecified",
            json!({"status": 500, "reason": "UNSPECIFIED_ERROR"}),
            "unavailable",
            "UNSPECIFIED",
            retry(10),
        ),
        ("a front end's page", json!({"html": true}), "unavailable", "HTTP 502", retry(10)),
        ("never heard of", json!({"status": 418, "reason": "TEAPOT"}), "rejected", "TEAPOT", drop),
    ] {
        let mut fault = fault;
        fault["count"] = json!(1);
        fixture.faults(json!({"fcm": [fault]})).await;
        let error = told(why, sender.send(&push("x"), now()).await, code, reason);
        assert_eq!(error.disposition(), expected, "{why}");
    }
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_refused_access_token_is_replaced_once_for_everybody() {
    let fixture = ProviderFixture::start().await;
    let sender = Arc::new(fixture.fcm(false));
    // Only the first request for a token is answered: fifty pushes that each asked for one would fail.
    fixture.faults(json!({"oauth": [{"delay_ms": 20, "count": 1}, {"status": 503, "reason": "busy"}]})).await;
    let jobs: Vec<_> = (0..50).map(|n| push(&format!("a-{n}"))).collect();
    let sent = join_all(jobs.iter().map(|job| sender.send(job, now()))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    fixture
        .faults(json!({"oauth": [], "fcm": [{"status": 401, "reason": "UNAUTHENTICATED", "count": 1}]}))
        .await;
    sender.send(&push("again"), now()).await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn a_dry_run_is_judged_and_shown_to_nobody() {
    let fixture = ProviderFixture::start().await;
    fixture.fcm(true).send(&push("x"), now()).await.unwrap();
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn the_phone_shows_the_alert_once_and_gives_it_back() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.fcm(false);
    let job = push("x");
    for _ in 0..2 {
        sender.send(&job, now()).await.unwrap();
    }
    sender.send(&push_to(Secret::from(TOKEN), withdrawal(&["x"])), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    for (field, expected) in [
        ("/ids/tag", json!("x")),
        ("/copies", json!(2)),
        ("/withdrawn", json!(true)),
        ("/payload/message/android/priority", json!("HIGH")),
        ("/payload/message/android/notification/notification_count", json!(3)),
        ("/payload/message/data/alert", json!("x")),
    ] {
        assert_eq!(arrivals[0].pointer(field), Some(&expected), "{field}: {}", arrivals[0]);
    }
    let ttl = arrivals[0].pointer("/payload/message/android/ttl").unwrap().as_str().unwrap();
    assert!(["3599s", "3600s"].contains(&ttl), "{ttl}");
    fixture.stop().await;
}

/// Whose quota it is stands in the details of the answer.
#[tokio::test]
async fn a_quota_of_a_device_holds_nobody_else_back() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.fcm(false);
    for (subject, expected) in [
        (json!("device:fGh-1"), ThrottleScope::Device),
        (json!("project:watchbell-simulator"), ThrottleScope::Provider),
        (json!(null), ThrottleScope::Unnamed),
    ] {
        let fault = json!({"status": 429, "reason": "QUOTA_EXCEEDED", "subject": subject, "count": 1});
        fixture.faults(json!({"fcm": [fault]})).await;
        match sender.send(&push("x"), now()).await.unwrap_err() {
            SendError::Throttled { scope, .. } => assert_eq!(scope, expected, "{subject}"),
            other => panic!("{subject}: {other:?}"),
        }
    }
    fixture.stop().await;
}

/// An app that shows its alerts itself has all of them in `data`; a later version replaces by the tag in it.
#[tokio::test]
async fn a_data_only_message_is_shown_and_withdrawn_like_any_other() {
    let fixture = ProviderFixture::start().await;
    let style = FcmStyle { data_only: true, channel_id: Some("alerts".into()), ..FcmStyle::default() };
    let sender = fixture.fcm_as(style);
    for _ in 0..2 {
        sender.send(&push("x"), now()).await.unwrap();
    }
    sender.send(&push_to(Secret::from(TOKEN), withdrawal(&["x"])), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    for (field, expected) in [
        ("/title", json!("Disk is full")),
        ("/ids/tag", json!("x")),
        ("/copies", json!(2)),
        ("/withdrawn", json!(true)),
        ("/payload/message/notification", json!(null)),
        ("/payload/message/data/channel_id", json!("alerts")),
        ("/payload/message/apns/payload/aps/alert/title", json!("Disk is full")),
    ] {
        assert_eq!(arrivals[0].pointer(field).unwrap_or(&json!(null)), &expected, "{field}: {}", arrivals[0]);
    }
    fixture.stop().await;
}
