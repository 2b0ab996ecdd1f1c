//! Apple, over HTTP/2 and TLS.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use watchbell::domain::Secret;
use watchbell_fallback::channel::{
    ApnsAuth, ApnsKey, Disposition, PushContent, PushEnvironment, PushJob, PushSender as _, PushTarget,
    SendError,
};
use watchbell_simulator::ApnsCredentials;

use crate::fixture::{ProviderFixture, TOKEN, alert, now, once, push, push_to, told, withdrawal};

/// Every row of the reaction table (`docs/providers.md`, "APNs"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_apple_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (retry, drop) = (Disposition::Retry { wait_min: Duration::ZERO }, Disposition::DropMessage);
    let forget = Disposition::ForgetToken { unless_registered_after: None };
    let config = Disposition::ConfigFault;
    for (status, reason, code, expected) in [
        (400, "BadDeviceToken", "bad_token", forget),
        (400, "DeviceTokenNotForTopic", "bad_token", forget),
        (400, "BadCollapseId", "rejected", drop),
        (400, "BadExpirationDate", "rejected", drop),
        (400, "BadMessageId", "rejected", drop),
        (400, "BadPriority", "rejected", drop),
        (400, "DuplicateHeaders", "rejected", drop),
        (400, "InvalidPushType", "rejected", drop),
        (400, "PayloadEmpty", "rejected", drop),
        (400, "MissingDeviceToken", "rejected", drop),
        (400, "BadTopic", "config_fault", config),
        (400, "MissingTopic", "config_fault", config),
        (400, "TopicDisallowed", "config_fault", config),
        (400, "IdleTimeout", "unavailable", retry),
        (403, "InvalidProviderToken", "config_fault", config),
        (403, "MissingProviderToken", "config_fault", config),
        (403, "BadCertificate", "config_fault", config),
        (403, "BadCertificateEnvironment", "config_fault", config),
        (403, "Forbidden", "config_fault", config),
        (403, "UnrelatedKeyIdInToken", "config_fault", config),
        (403, "BadEnvironmentKeyIdInToken", "config_fault", config),
        (403, "BadEnvironmentKeyInToken", "config_fault", config),
        (404, "BadPath", "rejected", drop),
        (405, "MethodNotAllowed", "rejected", drop),
        (429, "TooManyRequests", "throttled", retry),
        (429, "TooManyProviderTokenUpdates", "throttled", retry),
        (500, "InternalServerError", "unavailable", retry),
        (503, "ServiceUnavailable", "unavailable", retry),
        (503, "Shutdown", "unavailable", retry),
        (418, "NeverHeardOf", "rejected", drop),
        (599, "NeverHeardOf", "unavailable", retry),
    ] {
        // A sender of its own for each: what one row did to tokens and connections is not the next one's matter.
        let sender = fixture.apns();
        fixture.faults(json!({"apns": once(status, reason)})).await;
        let error = told(reason, sender.send(&push("x"), now()).await, code, reason);
        assert_eq!(error.disposition(), expected, "{status} {reason}");
    }
    assert!(fixture.arrivals().await.is_empty(), "nothing of that was taken in");
    fixture.stop().await;
}

#[tokio::test]
async fn a_dead_token_comes_with_apples_time() {
    let fixture = ProviderFixture::start().await;
    let since = Timestamp::from_second(1_700_000_000).unwrap();
    for reason in ["Unregistered", "ExpiredToken"] {
        let fault =
            json!([{"status": 410, "reason": reason, "timestamp": since.as_millisecond(), "count": 1}]);
        fixture.faults(json!({"apns": fault})).await;
        let error = told(reason, fixture.apns().send(&push("x"), now()).await, "unregistered", reason);
        let expected = Disposition::ForgetToken { unless_registered_after: Some(since) };
        assert_eq!(error.disposition(), expected);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn what_the_sender_mends_itself_is_mended_once() {
    let fixture = ProviderFixture::start().await;
    for (status, reason) in [(403, "ExpiredProviderToken"), (413, "PayloadTooLarge")] {
        fixture.faults(json!({"apns": once(status, reason)})).await;
        fixture.apns().send(&push(reason), now()).await.unwrap();
        let twice = json!([{"status": status, "reason": reason, "count": 2}]);
        fixture.faults(json!({"apns": twice})).await;
        assert!(fixture.apns().send(&push("never"), now()).await.is_err(), "{reason} twice");
    }
    let arrived: Vec<_> = fixture.arrivals().await.iter().map(|a| a["alert"].clone()).collect();
    assert_eq!(arrived, [json!("ExpiredProviderToken"), json!("PayloadTooLarge")]);
    fixture.stop().await;
}

#[tokio::test]
async fn a_wait_that_apple_names_counts() {
    let fixture = ProviderFixture::start().await;
    let fault = json!([{"status": 429, "reason": "TooManyRequests", "retry_after": 17, "count": 1}]);
    fixture.faults(json!({"apns": fault})).await;
    let error = fixture.apns().send(&push("x"), now()).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry { wait_min: Duration::from_secs(17) });
    fixture.stop().await;
}

#[tokio::test]
async fn a_certificate_opens_the_door_without_a_token() {
    let fixture = ProviderFixture::start().await;
    let pem = Secret::from(fixture.credentials.apns.certificate_pem.clone());
    let sender = fixture.apns_as(ApnsAuth::Certificate { pem });
    sender.send(&push("x"), now()).await.unwrap();
    assert_eq!(fixture.arrivals().await.len(), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn the_phone_shows_the_alert_the_badge_and_its_urgency_and_gives_it_back() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.apns();
    let job = push("x");
    for _ in 0..2 {
        sender.send(&job, now()).await.unwrap();
    }
    sender.send(&push_to(Secret::from(TOKEN), withdrawal(&["x", "y"])), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    let shown = &arrivals[0];
    for (field, expected) in [
        ("/ids/apns_id", json!(job.attempt.to_string())),
        ("/ids/collapse_id", json!("x")),
        ("/copies", json!(2)),
        ("/withdrawn", json!(true)),
        ("/payload/aps/badge", json!(3)),
        ("/payload/aps/interruption-level", json!("time-sensitive")),
        ("/headers/apns-push-type", json!("alert")),
        ("/headers/apns-priority", json!("10")),
    ] {
        assert_eq!(shown.pointer(field), Some(&expected), "{field}");
    }
    assert_eq!(arrivals[1].pointer("/payload/watchbell/unread"), Some(&json!(2)));
    assert_eq!(arrivals[1].pointer("/headers/apns-expiration"), Some(&json!("0")));
    fixture.stop().await;
}

/// Case 10 (`docs/providers.md`, "Races and cases"): the connection ends while a hundred pushes are on it.
#[tokio::test]
async fn goaway_in_flight_loses_none() {
    let fixture = ProviderFixture::start().await;
    let sender = Arc::new(fixture.apns());
    sender.send(&push("first"), now()).await.unwrap();
    let faults = json!([{"goaway": true, "delay_ms": 50, "count": 1}, {"delay_ms": 50, "count": 99}]);
    fixture.faults(json!({"apns": faults})).await;
    let ids: Vec<String> = (0..100).map(|n| format!("a-{n}")).collect();
    let sent = join_all(ids.iter().map(|id| {
        let sender = Arc::clone(&sender);
        async move { sender.send(&push(id), now()).await }
    }))
    .await;
    for outcome in sent {
        // One that met the end of the connection is not lost: it is to be repeated, with the same ids.
        if let Err(error) = outcome {
            assert!(matches!(error.disposition(), Disposition::Retry { .. }), "{error}");
        }
    }
    sender.send(&push("last"), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    let connections: Vec<_> = arrivals.iter().filter_map(|a| a["connection"].as_u64()).collect();
    assert!(connections.last() > connections.first(), "a new connection: {connections:?}");
    assert!(arrivals.iter().all(|a| a["copies"] == 1), "and nothing twice");
    fixture.stop().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_ambiguous_and_has_a_deadline() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.apns();
    fixture.faults(json!({"apns": [{"drop": "after", "count": 1}]})).await;
    let job = push("x");
    let error = sender.send(&job, now()).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
    sender.send(&job, now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    assert_eq!((arrivals.len(), &arrivals[0]["copies"]), (1, &json!(2)), "the repetition replaced it");

    fixture.faults(json!({"apns": [{"delay_ms": 60_000, "count": 1}]})).await;
    let error = sender.send(&push("y"), now()).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
    fixture.stop().await;
}

#[tokio::test]
async fn the_longest_texts_fit() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.apns();
    for (id, unit) in
        [("ascii", "x"), ("umlauts", "ü"), ("emoji", "👩\u{200d}👩\u{200d}👧"), ("quotes", "\"\\\n")]
    {
        let content = PushContent::Alert(watchbell_fallback::channel::AlertContent {
            title: unit.repeat(2_000),
            body: Some(unit.repeat(10_000)),
            ..alert(id)
        });
        sender.send(&push_to(Secret::from(TOKEN), content), now()).await.unwrap();
    }
    assert_eq!(fixture.arrivals().await.len(), 4);
    fixture.stop().await;
}

/// A key that Apple made good for one environment and one app, beside one for everything.
#[tokio::test]
async fn a_key_with_a_scope_is_used_in_it_and_nowhere_else() {
    let fixture = ProviderFixture::start().await;
    let (all, scoped) = (&fixture.credentials.apns, &fixture.credentials.apns_scoped);
    let key = |of: &ApnsCredentials, environment, topics: &[&str]| ApnsKey {
        team_id: of.team_id.clone(),
        key_id: of.key_id.clone(),
        key_pem: Secret::from(of.key_pem.clone()),
        environment,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    };
    let in_scope = key(scoped, Some(PushEnvironment::Sandbox), &[&scoped.topic]);
    let both = fixture.apns_as(ApnsAuth::Token(vec![in_scope.clone(), key(all, None, &[])]));
    let one = fixture.apns_as(ApnsAuth::Token(vec![in_scope]));
    let anywhere = fixture.apns_as(ApnsAuth::Token(vec![key(scoped, None, &[])]));
    let (sandbox, production) = (PushEnvironment::Sandbox, PushEnvironment::Production);
    for (why, sender, environment, topic, expected) in [
        ("in its scope", &both, sandbox, &scoped.topic, Ok(())),
        ("another environment has the other key", &both, production, &scoped.topic, Ok(())),
        ("another app has the other key", &both, sandbox, &all.topic, Ok(())),
        ("nothing is for production", &one, production, &scoped.topic, Err(("unusable", "no key"))),
        ("nothing is for the other app", &one, sandbox, &all.topic, Err(("unusable", "no key"))),
        (
            "Apple, of the environment",
            &anywhere,
            production,
            &scoped.topic,
            Err(("config_fault", "BadEnvironmentKeyIdInToken")),
        ),
        ("Apple, of the app", &anywhere, sandbox, &all.topic, Err(("config_fault", "UnrelatedKeyIdInToken"))),
    ] {
        let job = push(why.split(' ').next().unwrap());
        let target = PushTarget { environment, bound_to: Some(topic.clone()), ..job.target };
        let sent = sender.send(&PushJob { target, ..job }, now()).await;
        match (sent, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err((code, reason))) => {
                assert_eq!(error.code(), code, "{why}");
                assert!(error.reason().contains(reason), "{why}: {error}");
            }
            (sent, _) => panic!("{why}: {sent:?}"),
        }
    }
    fixture.stop().await;
}
