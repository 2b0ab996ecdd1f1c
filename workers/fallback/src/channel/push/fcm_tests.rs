//! Tests of `fcm` against a server that gives out tokens, answers from a list and remembers what it was asked.

#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex},
};

use axum::{Json, extract::State, http::HeaderMap, http::StatusCode, routing::post};

use super::*;
use crate::channel::{AlertContent, PushContent, PushEnvironment, PushTarget, Severity};

const TOKEN: &str = "c4nary5ecret:APA91bE";

/// Made once: an RSA key takes a while.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let size = rcgen::RsaKeySize::_2048;
    rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap().serialize_pem()
});

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, Value)>,
    token_answers: VecDeque<u16>,
    tokens: usize,
    asked: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Script>>;

async fn give_token(State(script): State<Shared>, form: String) -> (StatusCode, Json<Value>) {
    assert!(
        form.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey")
    );
    let mut script = script.lock().unwrap();
    script.tokens += 1;
    let status = script.token_answers.pop_front().unwrap_or(200);
    let token = format!("t{}", script.tokens);
    (StatusCode::from_u16(status).unwrap(), Json(json!({"access_token": token, "expires_in": 3600})))
}

async fn take_message(
    State(script): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut script = script.lock().unwrap();
    script.asked.push((headers["authorization"].to_str().unwrap().to_owned(), body));
    let good = (200, json!({"name": "projects/p-1/messages/1"}));
    let (status, answer) = script.answers.pop_front().unwrap_or(good);
    (StatusCode::from_u16(status).unwrap(), Json(answer))
}

async fn google(http1: bool) -> (FcmSender, Shared) {
    let script = Shared::default();
    let app = axum::Router::new()
        .route("/token", post(give_token))
        .route("/v1/projects/p-1/messages:send", post(take_message))
        .with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let account = json!({
        "type": "service_account",
        "project_id": "p-1",
        "private_key_id": "k-1",
        "private_key": *KEY,
        "client_email": "watchbell@p-1.iam.gserviceaccount.com",
        "token_uri": format!("{endpoint}/token"),
    });
    let config = FcmConfig {
        service_account_json: Secret::from(account.to_string()),
        endpoint,
        trust_root_pem: None,
        request_timeout: FcmConfig::REQUEST_TIMEOUT,
        http1,
        style: FcmStyle::default(),
        validate_only: false,
    };
    (FcmSender::new(&config).unwrap(), script)
}

fn job() -> PushJob {
    PushJob {
        attempt: uuid::Uuid::nil(),
        target: PushTarget {
            token: Secret::from(TOKEN),
            environment: PushEnvironment::Production,
            bound_to: None,
        },
        content: PushContent::Alert(AlertContent {
            alert: "a-1".into(),
            user: "ana".into(),
            tenant: "acme".into(),
            title: "Disk is full".into(),
            body: None,
            url: None,
            severity: Severity::Info,
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
        }),
        receipt: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

#[tokio::test]
async fn twenty_pushes_at_once_fetch_one_access_token() {
    for http1 in [true, false] {
        let (sender, script) = google(http1).await;
        let job = job();
        let sent = futures_util::future::join_all((0..20).map(|_| sender.send(&job, at(0)))).await;
        for accepted in sent {
            assert_eq!(accepted.unwrap().provider_id.as_deref(), Some("projects/p-1/messages/1"));
        }
        assert_eq!(script.lock().unwrap().tokens, 1);
        sender.send(&job, at(54 * 60)).await.unwrap();
        assert_eq!(script.lock().unwrap().tokens, 1, "still fresh");
        sender.send(&job, at(55 * 60)).await.unwrap();
        let script = script.lock().unwrap();
        assert_eq!(script.tokens, 2, "replaced before it ends");
        assert_eq!(script.asked[0].0, "Bearer t1");
        assert_eq!(script.asked[0].1["message"]["token"], TOKEN);
    }
}

#[tokio::test]
async fn pushes_that_waited_for_a_token_share_its_failure() {
    let (sender, script) = google(true).await;
    script.lock().unwrap().token_answers.push_back(503);
    let job = job();
    let sent = futures_util::future::join_all((0..20).map(|_| sender.send(&job, at(0)))).await;
    assert!(sent.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.code() == "unavailable")));
    assert_eq!(script.lock().unwrap().tokens, 1, "one request, one failure");
    sender.send(&job, at(0)).await.unwrap();
}

#[tokio::test]
async fn a_refused_access_token_is_replaced_once() {
    let (sender, script) = google(true).await;
    let refused = || (401, json!({"error": {"status": "UNAUTHENTICATED"}}));
    script.lock().unwrap().answers.push_back(refused());
    sender.send(&job(), at(0)).await.unwrap();
    assert_eq!(script.lock().unwrap().asked[1].0, "Bearer t2");
    script.lock().unwrap().answers.extend([refused(), refused()]);
    let error = sender.send(&job(), at(0)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), ("config_fault", "UNAUTHENTICATED"));
    assert_eq!(script.lock().unwrap().asked.len(), 4);
}

#[tokio::test]
async fn apples_keys_at_google_are_not_our_access_token() {
    let (sender, script) = google(true).await;
    let details = json!([{"errorCode": "THIRD_PARTY_AUTH_ERROR"}]);
    let refused = json!({"error": {"status": "UNAUTHENTICATED", "details": details}});
    script.lock().unwrap().answers.push_back((401, refused));
    assert_eq!(sender.send(&job(), at(0)).await.unwrap_err().code(), "config_fault");
    let script = script.lock().unwrap();
    assert_eq!((script.asked.len(), script.tokens), (1, 1));
}

#[tokio::test]
async fn no_error_names_the_token() {
    let (sender, script) = google(true).await;
    let said = json!({"error": {"status": TOKEN, "message": TOKEN, "details": [{"errorCode": TOKEN}]}});
    script.lock().unwrap().answers.extend([400, 403, 404, 429, 500].map(|status| (status, said.clone())));
    let mut errors = Vec::new();
    for _ in 0..5 {
        errors.push(sender.send(&job(), at(0)).await.unwrap_err());
    }
    let nowhere = FcmSender { url: "http://127.0.0.1:1".parse().unwrap(), ..sender };
    errors.push(nowhere.send(&job(), at(0)).await.unwrap_err());
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("c4nary"), "{error:?}");
    }
}
