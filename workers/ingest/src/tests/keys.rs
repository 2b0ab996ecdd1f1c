//! Who may in (I8), and that a key never comes out (I12).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use watchbell::{
    domain::{AlertId, Scope, Scopes, Tenant},
    store::KeyRights,
};

use super::fixture::{Dispatch, Fixture};
use crate::{
    key,
    limits::{KEY_BELIEVED_MAX, KEY_TTL},
    routes,
};

fn acme() -> KeyRights {
    KeyRights::of(Tenant::parse("acme").unwrap())
}

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

/// Some other status shows that the handler was reached: nothing that is asked for here is there.
#[tokio::test]
async fn a_route_is_reached_with_its_scope_and_with_no_other() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    for route in routes() {
        let uri = route.path.replace(['{', '}'], "");
        let with = |scopes| fixture.key_with(acme().with(scopes));
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != route.scope).collect();
        let (key, others) = (with(Scopes::of(&[route.scope])).await, with(Scopes::of(&others)).await);
        let ask = async |key: &str| {
            fixture.send(route.method.as_str(), &uri, &[("authorization", key)], "{}").await
        };
        let reached = ask(&key).await.status;
        assert!(![401, 403].contains(&reached), "{} {uri}: {reached}", route.method);
        let (status, detail) = ask(&others).await.problem();
        assert_eq!(status, 403, "{} {uri}", route.method);
        let command = format!("`watchbell key create --scope {}`", route.scope);
        assert!(detail.contains(&command), "{} {uri}: {detail}", route.method);
    }
}

#[tokio::test]
async fn a_key_that_ends_is_refused_from_then_on_and_hears_why() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let minute = Duration::from_secs(60);
    let end = fixture.clock.now() + minute;
    let rights = KeyRights { expires_at: Some(end), ..acme().with(Scopes::ALL) };
    let key = fixture.key_with(rights).await;
    let ask =
        async || fixture.send("GET", "/v1/groups/ops/members", &[("authorization", key.as_str())], "").await;
    assert_eq!(ask().await.status, 200);
    fixture.clock.advance(minute - Duration::from_millis(1));
    assert_eq!(ask().await.status, 200);
    fixture.clock.advance(Duration::from_millis(1));
    let expected = format!("The API key expired at {end}: make another one with `watchbell key create`.");
    assert_eq!(ask().await.problem(), (401, expected), "though it was remembered a moment ago");
    fixture.store.close().await;
    assert_eq!(ask().await.status, 401, "the store need not be asked");
}

#[tokio::test]
async fn a_rotated_key_works_with_both_secrets_until_the_overlap_ends() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let made = key::generate(&mut rand::rng());
    let (hash, minute) = (key::hash(made.expose()), Duration::from_secs(60));
    let id = key::hash(&fixture.key);
    let rotated = fixture.store.rotate_api_key(&id, &hash, minute, None, fixture.clock.now()).await.unwrap();
    assert_eq!(rotated.unwrap().key, id[..32]);
    let new = format!("Bearer {}", made.expose());
    let uri = "/v1/groups/ops/members";
    let with_new = async || fixture.send("GET", uri, &[("authorization", new.as_str())], "").await.status;
    assert_eq!((fixture.get(uri).await.status, with_new().await), (200, 200));
    fixture.clock.advance(minute);
    assert_eq!(with_new().await, 200);
    let (status, detail) = fixture.get(uri).await.problem();
    assert_eq!(status, 401);
    assert!(detail.starts_with("The API key was rotated, and its old secret ended at "), "{detail}");
}

/// Versions over a hook, `PATCH` and reading: what another key made is out of reach, and stays so after a rotation.
#[tokio::test]
async fn a_key_for_its_own_alerts_touches_no_others() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let own = fixture.key_with(KeyRights { own_alerts: true, ..acme().with(Scopes::ALL) }).await;
    let as_own = [("authorization", own.as_str())];
    let alert = r#"{"id":"theirs","to":{"users":["ana"]},"title":"t"}"#;
    assert_eq!(fixture.post("/v1/alerts", alert).await.status, 202);
    let mine = alert.replace("theirs", "mine");
    assert_eq!(fixture.send("POST", "/v1/alerts", &as_own, mine).await.status, 202);
    let pagerduty = |id: &str| format!(r#"{{"event_action":"resolve","dedup_key":"{id}"}}"#);
    let attempts = |id: &str| {
        [
            (
                "POST",
                "/v1/alerts".to_owned(),
                format!(r#"{{"id":"{id}","version":7,"to":{{"users":["ana"]}},"title":"x"}}"#),
            ),
            ("PATCH", format!("/v1/alerts/{id}"), r#"{"status":"resolved"}"#.to_owned()),
            ("GET", format!("/v1/alerts/{id}"), String::new()),
            ("GET", format!("/v1/alerts/{id}/timeline"), String::new()),
            ("POST", "/v1/hooks/pagerduty".to_owned(), pagerduty(id)),
        ]
    };
    let recorded = async |id: &str| {
        let id = AlertId::parse(id).unwrap();
        fixture.store.latest(&acme().tenant, &id).await.unwrap()
    };
    for (method, uri, body) in attempts("theirs") {
        let answer = fixture.send(method, &uri, &as_own, body).await;
        assert_eq!(answer.problem().0, 403, "{method} {uri}");
    }
    assert_eq!(recorded("theirs").await.unwrap().version, 1);
    for uri in ["/v1/alerts", "/v1/alerts?user=ana"] {
        let listed = fixture.send("GET", uri, &as_own, "").await.json();
        let ids: Vec<_> =
            listed["alerts"].as_array().unwrap().iter().map(|of| of["alert"]["id"].clone()).collect();
        assert_eq!(ids, ["mine"], "{uri}");
    }
    assert_eq!(fixture.send("GET", "/v1/users/ana/export", &as_own, "").await.problem().0, 403);
    for (method, uri, body) in attempts("mine") {
        let answer = fixture.send(method, &uri, &as_own, body).await;
        assert!([200, 202].contains(&answer.status), "{method} {uri}: {} {}", answer.status, answer.text);
    }
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

/// I14: what needs only the broker goes on while the store is away.
#[tokio::test]
async fn a_key_that_worked_is_believed_while_the_store_is_away() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let alert = r#"{"to":{"users":["ana"]},"title":"t"}"#;
    let publish = async || fixture.send("POST", "/v1/alerts", &[], alert).await.status;
    assert_eq!(publish().await, 202);
    let other = format!("Bearer {}", fixture.other_key);
    let headers = [("authorization", other.as_str())];
    assert_eq!(fixture.send("POST", "/v1/alerts", &headers, alert).await.status, 202);
    fixture.store.revoke_api_key(&key::hash(&fixture.other_key), fixture.clock.now()).await.unwrap();
    fixture.clock.advance(KEY_TTL);
    assert_eq!(
        fixture.send("POST", "/v1/alerts", &headers, alert).await.status,
        401,
        "it is known to be revoked"
    );

    fixture.store.close().await;
    assert_eq!(publish().await, 202, "it worked a moment ago");
    assert_eq!(
        fixture.send("POST", "/v1/alerts", &headers, alert).await.status,
        503,
        "nobody knows what it is now"
    );
    let stranger = format!("Bearer {}", key::generate(&mut rand::rng()).expose());
    let headers = [("authorization", stranger.as_str())];
    assert_eq!(
        fixture.send("POST", "/v1/alerts", &headers, alert).await.status,
        503,
        "not 401: it may be good"
    );
    for (why, method, uri, body) in [
        ("people are the store's", "PUT", "/v1/users/ana", r#"{"email":"a@b.test"}"#),
        ("groups", "GET", "/v1/groups/ops/members", ""),
        ("what is stored", "GET", "/v1/alerts/a/timeline", ""),
        ("a change is made of what is stored", "PATCH", "/v1/alerts/a", r#"{"status":"resolved"}"#),
    ] {
        assert_eq!(fixture.send(method, uri, &[], body).await.status, 503, "{why}");
    }
    fixture.clock.advance(KEY_BELIEVED_MAX - KEY_TTL);
    assert_eq!(publish().await, 503, "not longer than an hour");
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
