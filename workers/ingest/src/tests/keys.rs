//! Who may in (I8), and that a key never comes out (I12).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::fixture::{Dispatch, Fixture};
use crate::{key, limits::KEY_TTL, routes};

#[tokio::test]
async fn a_key_is_taken_wherever_clients_put_it() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let key = fixture.key.clone();
    let basic = format!("Basic {}", STANDARD.encode(format!("alertmanager:{key}")));
    let bearer = format!("bearer {key}");
    for (why, headers) in [
        ("bearer", vec![("authorization", bearer.as_str())]),
        ("basic", vec![("authorization", basic.as_str())]),
        ("its own header", vec![("authorization", ""), ("x-api-key", key.as_str())]),
    ] {
        let answer = fixture.send("GET", "/v1/groups/ops/members", &headers, "").await;
        assert_eq!(answer.status, 200, "{why}");
    }
}

#[tokio::test]
async fn without_a_working_key_every_route_is_closed() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let stranger = key::generate(&mut rand::rng());
    let stranger = format!("Bearer {}", stranger.expose());
    for route in routes() {
        let uri = route.path.replace(['{', '}'], "");
        for (why, given) in [
            ("none", ""),
            ("one that is not known", stranger.as_str()),
            ("not a key", "Bearer hunter2"),
            ("a scheme of another kind", "Digest x"),
        ] {
            let answer = fixture.send(route.method.as_str(), &uri, &[("authorization", given)], "{}").await;
            assert_eq!(answer.problem().0, 401, "{why}: {} {uri}", route.method);
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(given.is_empty() || !answer.text.contains(given.split_once(' ').unwrap().1));
        }
    }
    assert_eq!(fixture.messages().len(), 0);
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_its_ttl() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let uri = "/v1/groups/ops/members";
    assert_eq!(fixture.get(uri).await.status, 200);
    let revoked = fixture.store.revoke_api_key(&key::hash(&fixture.key), fixture.clock.now()).await.unwrap();
    assert_eq!(revoked, 1);
    assert_eq!(fixture.get(uri).await.status, 200, "it is remembered");
    fixture.clock.advance(KEY_TTL);
    let (status, detail) = fixture.get(uri).await.problem();
    assert_eq!(status, 401);
    assert_eq!(detail, "The API key is not known, or was revoked: make one with `watchbell key`.");
}

/// Each answer of every other test is searched for keys by the fixture; here are the places people put them by mistake.
#[tokio::test]
async fn a_key_in_the_wrong_place_is_not_repeated() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let key = fixture.key.clone();
    let value = format!(r#"{{"to":{{"users":["ana"]}},"title":"t","severity":"{key}"}}"#);
    for (method, uri, body) in [
        ("GET", format!("/v1/alerts/a/timeline?{key}"), String::new()),
        ("GET", format!("/v1/alerts/a/timeline?limit={key}"), String::new()),
        ("GET", format!("/v1/alerts/{key}"), String::new()),
        ("POST", "/v1/alerts".into(), value),
        ("POST", "/v1/hooks/alertmanager".into(), format!(r#"{{"version":"{key}","alerts":"{key}"}}"#)),
        ("PUT", "/v1/users/ana".into(), format!(r#"{{"email":"{key}"}}"#)),
    ] {
        let answer = fixture.send(method, &uri, &[], body).await; // Searches the answer.
        assert!((400..500).contains(&answer.status), "{method} {uri}: {}", answer.status);
    }
}
