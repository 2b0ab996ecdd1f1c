//! Apple's rules, one row each.

use reqwest::RequestBuilder;
use serde_json::json;

use crate::{Running, alert, now, status_and_json};

const TOKEN: &str = "a1b2c3";

#[tokio::test]
async fn every_rule_of_apple_is_kept() {
    let running = Running::start().await;
    let other = Running::start().await;
    let base = || running.apns(TOKEN, &alert("x"));
    let with = |name: &'static str, value: &str| set(base(), name, value);
    let bearer = |token: &str| with("authorization", &format!("bearer {token}"));
    let good = running.provider_token(now());
    let large = json!({"aps": {"alert": "x".repeat(4096)}});
    let voip = set(running.apns(TOKEN, &large), "apns-push-type", "voip");
    let background = set(base(), "apns-push-type", "background");
    let path = |method: reqwest::Method, path: &str| running.http.request(method, running.push(path));
    let claims = json!({"iss": running.credentials.apns.team_id, "iat": now()});
    let hs256 =
        jsonwebtoken::encode(&Default::default(), &claims, &jsonwebtoken::EncodingKey::from_secret(b"x"))
            .unwrap();
    for (why, request, status, reason) in [
        ("as it should be", base(), 200, ""),
        ("no authorization", path("POST".parse().unwrap(), "/3/device/a1"), 403, "MissingProviderToken"),
        ("another scheme", with("authorization", &format!("basic {good}")), 403, "MissingProviderToken"),
        ("no token at all", bearer("x"), 403, "InvalidProviderToken"),
        ("base64 with padding", bearer(&format!("{good}==")), 403, "InvalidProviderToken"),
        ("somebody else's key", bearer(&other.provider_token(now())), 403, "InvalidProviderToken"),
        ("not ES256", bearer(&hs256), 403, "InvalidProviderToken"),
        ("from the future", bearer(&running.provider_token(now() + 600)), 403, "InvalidProviderToken"),
        ("59 minutes old", bearer(&running.provider_token(now() - 59 * 60)), 200, ""),
        ("61 minutes old", bearer(&running.provider_token(now() - 61 * 60)), 403, "ExpiredProviderToken"),
        ("no topic", with("apns-topic", ""), 400, "MissingTopic"),
        ("another topic", with("apns-topic", "com.example"), 400, "TopicDisallowed"),
        ("no push type", with("apns-push-type", ""), 400, "InvalidPushType"),
        ("an unknown push type", with("apns-push-type", "toast"), 400, "InvalidPushType"),
        (
            "background without priority is 10",
            set(base(), "apns-push-type", "background"),
            400,
            "BadPriority",
        ),
        (
            "background at 10",
            set(set(base(), "apns-push-type", "background"), "apns-priority", "10"),
            400,
            "BadPriority",
        ),
        ("background at 5", set(background, "apns-priority", "5"), 200, ""),
        ("an unknown priority", with("apns-priority", "7"), 400, "BadPriority"),
        ("expiry in words", with("apns-expiration", "soon"), 400, "BadExpirationDate"),
        ("expiry at once", with("apns-expiration", "0"), 200, ""),
        ("an id that is no UUID", with("apns-id", "1"), 400, "BadMessageId"),
        ("an upper-case id", with("apns-id", "0198F3C2-0000-7000-8000-000000000000"), 400, "BadMessageId"),
        ("the longest collapse id", with("apns-collapse-id", &"c".repeat(64)), 200, ""),
        ("one byte more", with("apns-collapse-id", &"c".repeat(65)), 400, "BadCollapseId"),
        (
            "a header twice",
            base().header("apns-priority", "5").header("apns-priority", "5"),
            400,
            "DuplicateHeaders",
        ),
        ("over 4096 bytes", running.apns(TOKEN, &large), 413, "PayloadTooLarge"),
        ("which a call may have", voip, 200, ""),
        ("far over", running.apns(TOKEN, &json!("x".repeat(100_000))), 413, "PayloadTooLarge"),
        ("no payload", base().body(""), 400, "PayloadEmpty"),
        ("no JSON", base().body("hello"), 400, "PayloadEmpty"),
        ("a token that is not hex", running.apns("xyz1", &alert("x")), 400, "BadDeviceToken"),
        ("half a byte", running.apns("a1b", &alert("x")), 400, "BadDeviceToken"),
        ("no device token", running.apns("", &alert("x")), 400, "MissingDeviceToken"),
        ("another path", path("POST".parse().unwrap(), "/2/device/a1"), 404, "BadPath"),
        ("another method", path("GET".parse().unwrap(), "/3/device/a1"), 405, "MethodNotAllowed"),
    ] {
        let (answered, body) = status_and_json(request).await;
        assert_eq!((answered, body["reason"].as_str().unwrap_or_default()), (status, reason), "{why}");
    }
    running.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_push_is_shown_replaced_and_withdrawn() {
    let running = Running::start().await;
    let id = "0198f3c2-0000-7000-8000-000000000000";
    let push = || running.apns(TOKEN, &alert("x")).header("apns-collapse-id", "x").header("apns-id", id);
    for _ in 0..2 {
        let answer = push().send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["apns-id"].to_str().unwrap()), (200, id));
    }
    let made = running.apns("ff", &alert("y")).send().await.unwrap();
    assert_eq!(made.headers()["apns-id"].len(), 36, "an id is made when there is none");

    let shown = running.arrivals("?user=ana").await;
    assert_eq!(shown.len(), 2);
    for (field, expected) in [
        ("/kind", json!("apns")),
        ("/to", json!(TOKEN)),
        ("/alert", json!("x")),
        ("/title", json!("Title of x")),
        ("/body", json!("Body")),
        ("/copies", json!(2)),
        ("/withdrawn", json!(false)),
        ("/ids", json!({"apns_id": id, "collapse_id": "x"})),
        ("/headers/apns-push-type", json!("alert")),
        ("/payload/watchbell/user", json!("ana")),
    ] {
        assert_eq!(shown[0].pointer(field), Some(&expected), "{field}");
    }

    let withdrawal =
        json!({"aps": {"content-available": 1}, "watchbell": {"user": "ana", "withdraw": ["x", "z"]}});
    let silent = |request| set(set(request, "apns-push-type", "background"), "apns-priority", "5");
    let noisy = running.apns(TOKEN, &json!({"aps": {}, "watchbell": {"user": "ana", "withdraw": ["x"]}}));
    assert_eq!(noisy.send().await.unwrap().status(), 200);
    assert_eq!(
        running.arrivals("?alert=x").await[0]["withdrawn"],
        false,
        "only a background push takes back"
    );
    assert_eq!(silent(running.apns(TOKEN, &withdrawal)).send().await.unwrap().status(), 200);
    assert_eq!(running.arrivals("?alert=x").await[0]["withdrawn"], true);
    assert_eq!(running.arrivals("?alert=y").await[0]["withdrawn"], false);
    let all = running.arrivals("?alert=z&all=1").await;
    assert_eq!(
        (all.len(), &all[0]["withdrawal"], &all[0]["withdraws"]),
        (1, &json!(true), &json!(["x", "z"]))
    );

    push().send().await.unwrap();
    let late = &running.arrivals("?alert=x").await[1];
    assert_eq!((&late["after_withdrawal"], &late["withdrawn"]), (&json!(true), &json!(false)));

    let since = late["at"].as_str().unwrap();
    assert_eq!(running.arrivals(&format!("?since={since}")).await.last().unwrap()["at"], since);
    assert_eq!(running.arrivals("?limit=1").await[0]["at"], since, "the newest");
    running.clear().await;
    assert!(running.arrivals("?all=1").await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn apple_speaks_http_2_only() {
    let running = Running::start().await;
    let old = Running::client(&running.credentials).http1_only().build().unwrap();
    let answer = old.post(running.push("/3/device/a1")).send().await.unwrap();
    assert_eq!(answer.status(), 505);
    running.stop().await;
}

/// Replaces a header, or takes it away if `value` is empty.
fn set(request: RequestBuilder, name: &'static str, value: &str) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.headers_mut().remove(name);
    if !value.is_empty() {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    RequestBuilder::from_parts(client, request)
}
