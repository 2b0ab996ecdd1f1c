//! Tests of `apns` against a server that answers from a list and remembers what it was asked.

#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Bytes, extract::State, http::Uri, response::IntoResponse, routing::post};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};

use super::*;
use crate::channel::{AlertContent, PushTarget, Severity};

const TOKEN: &str = "c4nary5ecret740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7e";

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, &'static str)>,
    asked: Vec<(String, HeaderMap, Value)>,
}

type Shared = Arc<Mutex<Script>>;

async fn answer(
    State(script): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let mut script = script.lock().unwrap();
    let id = headers["apns-id"].clone();
    script.asked.push((uri.path().to_owned(), headers, serde_json::from_slice(&body).unwrap()));
    let (status, reason) = script.answers.pop_front().unwrap_or((200, ""));
    let body = if reason.is_empty() { String::new() } else { json!({"reason": reason}).to_string() };
    (axum::http::StatusCode::from_u16(status).unwrap(), [("apns-id", id)], body)
}

async fn apple(answers: &[(u16, &'static str)]) -> (ApnsSender, Shared) {
    let script = Shared::default();
    script.lock().unwrap().answers.extend(answers);
    let app = axum::Router::new().route("/3/device/{token}", post(answer)).with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (sender(endpoint, None), script)
}

/// The same behind TLS that offers nothing but HTTP/2, as Apple does; and how many connections were made.
async fn apple_over_tls() -> (ApnsSender, Arc<AtomicUsize>) {
    let (acceptor, root) = crate::channel::tests::localhost_tls(&[b"h2"]);
    let app = axum::Router::new().route("/3/device/{token}", post(answer)).with_state(Shared::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                let socket = TokioIo::new(acceptor.accept(socket).await.unwrap());
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(socket, TowerToHyperService::new(app)).await
            });
        }
    });
    (sender(endpoint, Some(root)), connections)
}

fn sender(endpoint: String, trust_root_pem: Option<String>) -> ApnsSender {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let config = ApnsConfig {
        endpoint_production: endpoint.clone(),
        endpoint_sandbox: endpoint,
        auth: ApnsAuth::Token(vec![ApnsKey {
            team_id: "TEAM".into(),
            key_id: "KEY".into(),
            key_pem: Secret::from(key.serialize_pem()),
            environment: None,
            topics: Vec::new(),
        }]),
        broadcast: None,
        topic: "org.example.app".into(),
        trust_root_pem,
        request_timeout: Duration::from_secs(5),
    };
    ApnsSender::new(&config).unwrap()
}

fn job(content: PushContent) -> PushJob {
    let target =
        PushTarget { token: Secret::from(TOKEN), environment: PushEnvironment::Production, bound_to: None };
    PushJob {
        attempt: "0198F3C2-0000-7000-8000-00000000000A".parse().unwrap(),
        target,
        content,
        receipt: None,
    }
}

fn alert() -> PushContent {
    PushContent::Alert(AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        url: None,
        severity: Severity::Warning,
        status: crate::channel::Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: "disk-7".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: at(60),
        occurred_at: at(0),
        unread: 3,
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_alert_is_sent_as_apple_wants_it() {
    let (sender, script) = apple(&[]).await;
    let accepted = sender.send(&job(alert()), at(0)).await.unwrap();
    let id = "0198f3c2-0000-7000-8000-00000000000a";
    assert_eq!(accepted.provider_id.as_deref(), Some(id));
    let script = script.lock().unwrap();
    let (path, headers, body) = &script.asked[0];
    assert_eq!(*path, format!("/3/device/{TOKEN}"));
    for (name, value) in [
        ("apns-id", id),
        ("apns-topic", "org.example.app"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", "1800000060"),
        ("apns-collapse-id", "disk-7"),
    ] {
        assert_eq!(header(headers, name), Some(value), "{name}");
    }
    assert!(header(headers, "authorization").unwrap().starts_with("bearer ey"));
    assert_eq!(body["aps"]["alert"]["body"], "2 % left");
}

#[tokio::test]
async fn a_withdrawal_is_a_background_push_that_is_not_stored() {
    let (sender, script) = apple(&[]).await;
    let content = PushContent::Withdrawal { user: "ana".into(), alerts: vec!["a-1".into()], unread: 2 };
    sender.send(&job(content), at(0)).await.unwrap();
    let script = script.lock().unwrap();
    for (name, value) in [
        ("apns-push-type", Some("background")),
        ("apns-priority", Some("5")),
        ("apns-expiration", Some("0")),
        ("apns-collapse-id", None),
    ] {
        assert_eq!(header(&script.asked[0].1, name), value, "{name}");
    }
}

#[tokio::test]
async fn an_expired_provider_token_is_replaced_once() {
    let expired = (403, "ExpiredProviderToken");
    let (sender, script) = apple(&[expired, (200, ""), expired, expired]).await;
    sender.send(&job(alert()), at(0)).await.unwrap();
    {
        let script = script.lock().unwrap();
        let sent = |n: usize| header(&script.asked[n].1, "authorization").unwrap().to_owned();
        assert_ne!(sent(0), sent(1), "a new token");
        assert_eq!(header(&script.asked[0].1, "apns-id"), header(&script.asked[1].1, "apns-id"));
    }
    let error = sender.send(&job(alert()), at(1)).await.unwrap_err();
    assert_eq!(error.code(), "config_fault", "a second one so soon would anger Apple");
    assert_eq!(script.lock().unwrap().asked.len(), 3);
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_tried_bare_once() {
    let too_large = (413, "PayloadTooLarge");
    let (sender, script) = apple(&[too_large, (200, ""), too_large, too_large]).await;
    sender.send(&job(alert()), at(0)).await.unwrap();
    assert_eq!(script.lock().unwrap().asked[1].2["aps"]["alert"], json!({"title": "Disk is full"}));
    assert_eq!(sender.send(&job(alert()), at(0)).await.unwrap_err().code(), "rejected");
    assert_eq!(script.lock().unwrap().asked.len(), 4);
}

#[tokio::test]
async fn a_connection_that_ends_is_left_and_the_push_reported() {
    let (sender, script) = apple(&[(503, "Shutdown"), (400, "IdleTimeout")]).await;
    for _ in 0..2 {
        assert_eq!(sender.send(&job(alert()), at(0)).await.unwrap_err().code(), "unavailable");
    }
    sender.send(&job(alert()), at(0)).await.unwrap();
    assert_eq!(script.lock().unwrap().asked.len(), 3, "retries are the caller's, with its back-off");
}

#[tokio::test]
async fn fifty_pushes_at_once_share_one_tls_connection() {
    let (sender, connections) = apple_over_tls().await;
    let job = job(alert());
    let sent = futures_util::future::join_all((0..50).map(|_| sender.send(&job, at(0)))).await;
    assert!(sent.iter().all(Result::is_ok), "{:?}", sent.first());
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// Apple opens a connection with room for one push, and gives more once it believes in the sender.
#[tokio::test]
async fn no_more_pushes_are_under_way_than_apple_allows() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let app = {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        axum::Router::new().route(
            "/3/device/{token}",
            post(async move || {
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Long enough for whoever may to come in as well.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                under_way.fetch_sub(1, Ordering::SeqCst);
            }),
        )
    };
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let app = app.clone();
            tokio::spawn(async move {
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(3);
                server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(app)).await
            });
        }
    });
    let (sender, job) = (sender(endpoint, None), job(alert()));
    sender.send(&job, at(0)).await.unwrap();
    let sent = futures_util::future::join_all((0..30).map(|_| sender.send(&job, at(0)))).await;
    assert!(sent.iter().all(Result::is_ok), "{:?}", sent.first());
    assert_eq!(most.load(Ordering::SeqCst), 3, "all the room is used, and no more");
}

#[tokio::test]
async fn no_error_names_the_token() {
    let (sender, _) = apple(&[(400, TOKEN), (410, "Unregistered"), (500, TOKEN)]).await;
    let unreachable = ApnsSender { production: "http://127.0.0.1:1".parse().unwrap(), ..apple(&[]).await.0 };
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(sender.send(&job(alert()), at(0)).await.unwrap_err());
    }
    errors.push(unreachable.send(&job(alert()), at(0)).await.unwrap_err());
    let mut garbled = job(alert());
    garbled.target.token = Secret::from("../c4nary5ecret");
    errors.push(sender.send(&garbled, at(0)).await.unwrap_err());
    let codes: Vec<_> = errors.iter().map(SendError::code).collect();
    assert_eq!(codes, ["rejected", "unregistered", "unavailable", "unreachable", "unusable"]);
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("c4nary"), "{error:?}");
    }
}

#[test]
fn a_device_is_signed_for_with_the_first_key_that_it_is_in_the_scope_of() {
    use PushEnvironment::{Production, Sandbox};
    let pem = || {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Secret::from(key.serialize_pem())
    };
    let key = |environment: Option<PushEnvironment>, topics: &[&str]| ApnsKey {
        team_id: "TEAM".into(),
        key_id: "KEY".into(),
        key_pem: pem(),
        environment,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    };
    let sandbox = [key(Some(Sandbox), &["one", "two"]), key(Some(Production), &["one"])];
    let with_rest = [sandbox[0].clone(), sandbox[1].clone(), key(None, &[])];
    for (why, keys, environment, topic, expected) in [
        ("the sandbox's", &sandbox[..], Sandbox, "two", Some(0)),
        ("production's", &sandbox[..], Production, "one", Some(1)),
        ("no key is for this app there", &sandbox[..], Production, "two", None),
        ("nor for another app", &sandbox[..], Sandbox, "three", None),
        ("the one for everything, last", &with_rest[..], Production, "two", Some(2)),
        ("a narrower one goes before it", &with_rest[..], Sandbox, "one", Some(0)),
    ] {
        let config = ApnsConfig {
            endpoint_production: "https://localhost".into(),
            endpoint_sandbox: "https://localhost".into(),
            auth: ApnsAuth::Token(keys.to_vec()),
            broadcast: None,
            topic: "one".into(),
            trust_root_pem: None,
            request_timeout: Duration::from_secs(5),
        };
        let sender = ApnsSender::new(&config).unwrap();
        let mints = sender.keys.as_ref().unwrap();
        let found = sender.mint_for(environment, topic).map(Option::unwrap);
        let at = found
            .as_ref()
            .ok()
            .and_then(|found| mints.iter().position(|key| std::ptr::eq(&key.mint, *found)));
        assert_eq!(at, expected, "{why}");
        if let Err(error) = found {
            assert_eq!(error.code(), "unusable", "{why}");
        }
    }
}
