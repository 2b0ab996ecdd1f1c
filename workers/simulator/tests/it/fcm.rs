//! Google's token endpoint and messages, one row for each rule.

use serde_json::{Value, json};

use crate::{Running, now, status_and_json};

pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test]
async fn an_access_token_is_given_for_a_good_assertion_only() {
    let running = Running::start().await;
    let other = Running::start().await;
    let good = running.assertion(|_| {});
    for (why, grant_type, assertion, error) in [
        ("another grant", "password", good.clone(), "unsupported_grant_type"),
        ("no JWT", GRANT_TYPE, "x".into(), "invalid_grant"),
        ("somebody else's key", GRANT_TYPE, other.assertion(|_| {}), "invalid_grant"),
        ("another account", GRANT_TYPE, running.assertion(|c| c["iss"] = json!("x@y")), "invalid_grant"),
        (
            "for another endpoint",
            GRANT_TYPE,
            running.assertion(|c| c["aud"] = json!("https://x/token")),
            "invalid_grant",
        ),
        ("expired", GRANT_TYPE, running.assertion(|c| c["exp"] = json!(now() - 600)), "invalid_grant"),
        (
            "too long-lived",
            GRANT_TYPE,
            running.assertion(|c| c["exp"] = json!(now() + 7200)),
            "invalid_grant",
        ),
        ("another scope", GRANT_TYPE, running.assertion(|c| c["scope"] = json!("mail")), "invalid_scope"),
    ] {
        let form = [("grant_type", grant_type), ("assertion", &assertion)];
        let (status, body) = status_and_json(running.http.post(running.push("/token")).form(&form)).await;
        assert_eq!((status, body["error"].as_str().unwrap()), (400, error), "{why}");
    }
    let (status, body) = status_and_json(running.http.post(running.push("/token")).json(&json!({}))).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")), "not a form");
    let form = [("grant_type", GRANT_TYPE), ("assertion", &good)];
    let (status, body) = status_and_json(running.http.post(running.push("/token")).form(&form)).await;
    assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(3600), &json!("Bearer")));
    running.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn every_rule_of_google_is_kept() {
    let running = Running::start().await;
    let access = running.access_token().await;
    let message = |fields: Value| {
        let mut message = json!({"token": "phone-1", "notification": {"title": "t"}});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "message": message })
    };
    for (why, body, field) in [
        ("as it should be", message(json!({})), None),
        ("no message", json!({}), Some("message")),
        ("an unknown key", message(json!({"alert": "x"})), Some("message")),
        ("an unknown key outside", json!({"message": {"token": "t"}, "to": "x"}), Some("")),
        ("no token", message(json!({"token": null})), Some("message.token")),
        ("an empty token", message(json!({"token": ""})), Some("message.token")),
        ("data that is not text", message(json!({"data": {"n": 1}})), Some("message.data[n].value")),
        ("a reserved key", message(json!({"data": {"google.x": "1"}})), Some("message.data")),
        ("payload over 4096", message(json!({"data": {"x": "y".repeat(4096)}})), Some("message")),
        ("the longest ttl", message(json!({"android": {"ttl": "2419200s"}})), None),
        ("a longer one", message(json!({"android": {"ttl": "2419201s"}})), Some("message.android.ttl")),
        ("ttl as a number", message(json!({"android": {"ttl": 5}})), Some("message.android.ttl")),
        (
            "an unknown priority",
            message(json!({"android": {"priority": "10"}})),
            Some("message.android.priority"),
        ),
    ] {
        let (status, answer) = status_and_json(running.fcm(&access, &body)).await;
        let Some(field) = field else {
            assert!(
                answer["name"].as_str().unwrap().starts_with("projects/watchbell-simulator/messages/"),
                "{why}"
            );
            continue;
        };
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["status"]),
            (400, &json!(400), &json!("INVALID_ARGUMENT")),
            "{why}"
        );
        assert_eq!(error["details"][0]["errorCode"], "INVALID_ARGUMENT", "{why}");
        assert_eq!(error["details"][1]["fieldViolations"][0]["field"], field, "{why}");
    }

    let (status, answer) = status_and_json(running.fcm("ya29.other", &message(json!({})))).await;
    assert_eq!((status, &answer["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let elsewhere = running.push("/v1/projects/other/messages:send");
    let request = running.http.post(elsewhere).bearer_auth(&access).json(&message(json!({})));
    let (status, answer) = status_and_json(request).await;
    assert_eq!((status, &answer["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert!(!answer.to_string().contains("UNREGISTERED"), "the project is wrong, not the token");
    let arrived = running.arrivals("").await.len();
    let dry = json!({"message": {"token": "phone-1"}, "validate_only": true});
    assert_eq!(status_and_json(running.fcm(&access, &dry)).await.0, 200);
    assert_eq!(running.arrivals("").await.len(), arrived, "a dry run shows nothing");
    running.stop().await;
}

#[tokio::test]
async fn a_message_is_shown_replaced_and_withdrawn() {
    let running = Running::start().await;
    let access = running.access_token().await;
    let message = json!({"message": {
        "token": "phone-1",
        "notification": {"title": "Disk full", "body": "db-1"},
        "data": {"alert": "x", "user": "ana"},
        "android": {"priority": "HIGH", "notification": {"tag": "x"}},
    }});
    for _ in 0..2 {
        assert_eq!(status_and_json(running.fcm(&access, &message)).await.0, 200);
    }
    let shown = running.arrivals("?alert=x&user=ana").await;
    assert_eq!(shown.len(), 1, "the tag replaces");
    for (field, expected) in [
        ("/kind", json!("fcm")),
        ("/to", json!("phone-1")),
        ("/title", json!("Disk full")),
        ("/body", json!("db-1")),
        ("/copies", json!(2)),
        ("/ids/tag", json!("x")),
        ("/withdrawn", json!(false)),
    ] {
        assert_eq!(shown[0].pointer(field), Some(&expected), "{field}");
    }
    let withdrawal = json!({"message": {"token": "phone-1", "data": {"user": "ana", "withdraw": "[\"x\"]"}}});
    assert_eq!(status_and_json(running.fcm(&access, &withdrawal)).await.0, 200);
    let shown = running.arrivals("").await;
    assert_eq!((shown.len(), &shown[0]["withdrawn"]), (1, &json!(true)));
    assert_eq!(running.arrivals("?all=1").await[1]["withdrawal"], true);
    running.stop().await;
}
