//! Keys from an address: a sign-in service of our own that rotates them, fails, and shows what is no key.

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse as _, routing::get};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{
    Authenticator, TokenError,
    token::{
        Refusal,
        authenticator::tests::{ana, at, key_pairs},
    },
};

/// A sign-in service: what its address answers, and how often it was asked.
#[derive(Clone, Default)]
struct SignIn(Arc<Mutex<Published>>);

#[derive(Default)]
struct Published {
    status: u16,
    body: String,
    asked: usize,
}

impl SignIn {
    fn show(&self, keys: &[Value]) {
        self.answer(200, json!({"keys": keys}).to_string());
    }

    fn answer(&self, status: u16, body: String) {
        let mut shown = self.0.lock().unwrap();
        (shown.status, shown.body) = (status, body);
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }
}

/// The service, an authenticator that knows its address, and the three kinds of keys.
struct Scene {
    sign_in: SignIn,
    authenticator: Arc<Authenticator>,
    pairs: Vec<(&'static str, Algorithm, EncodingKey)>,
    stop: CancellationToken,
}

impl Scene {
    async fn new() -> Self {
        let sign_in = SignIn::default();
        sign_in.answer(503, String::new());
        let answer = |State(sign_in): State<SignIn>| async move {
            let mut shown = sign_in.0.lock().unwrap();
            shown.asked += 1;
            (StatusCode::from_u16(shown.status).unwrap(), shown.body.clone()).into_response()
        };
        let routes = Router::new().route("/keys", get(answer)).with_state(sign_in.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks_url = Some(format!("http://{}/keys", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let config = AuthConfig { jwks_url, issuer: Some("sign-in".into()), ..AuthConfig::default() };
        let pairs = key_pairs(tempfile::tempdir().unwrap().path());
        let authenticator = Arc::new(Authenticator::new(&config).unwrap());
        Self { sign_in, authenticator, pairs, stop: CancellationToken::new() }
    }

    /// As the worker does; the first reading is over when this returns.
    async fn keep(&self) {
        let (authenticator, stop) = (self.authenticator.clone(), self.stop.clone());
        tokio::spawn(async move { authenticator.keep_keys(&stop).await });
        let mut readings = self.jwks().known.subscribe();
        readings.wait_for(|known| known.ended == 1).await.unwrap();
    }

    fn jwks(&self) -> &Jwks {
        self.authenticator.jwks.as_ref().unwrap()
    }

    fn shown(&self, kind: &str, kid: Option<&str>) -> Value {
        let (_, algorithm, pair) = self.pair(kind);
        let mut jwk = Jwk::from_encoding_key(pair, *algorithm).unwrap();
        jwk.common.key_id = kid.map(str::to_owned);
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self, kind: &str, kid: Option<&str>) -> String {
        let (_, algorithm, pair) = self.pair(kind);
        let claims = json!({"sub": "ana", "tenant": "acme", "iss": "sign-in", "exp": 1_000});
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(*algorithm) };
        jsonwebtoken::encode(&header, &claims, pair).unwrap()
    }

    fn pair(&self, kind: &str) -> &(&'static str, Algorithm, EncodingKey) {
        self.pairs.iter().find(|(name, ..)| *name == kind).unwrap()
    }

    async fn identify(&self, token: &str) -> Result<(), TokenError> {
        self.authenticator.identify(token, at(0)).await.map(|identity| assert_eq!(identity.user, ana()))
    }

    /// The clock alone; requests are made in real time.
    async fn pass(by: Duration) {
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn keys_of_each_kind_are_believed_and_others_are_not() {
    let scene = Scene::new().await;
    let [rsa, ec, ed] = ["rsa", "ec", "ed"].map(|kind| scene.shown(kind, Some(kind)));
    let with = |key: &Value, field: &str, value: Value| {
        let mut key = key.clone();
        key[field] = value;
        key
    };
    let secret = json!({"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "ec"});
    for (why, keys, kind, kid, expected) in [
        ("RSA", vec![&rsa, &ec, &ed], "rsa", Some("rsa"), Ok(())),
        ("P-256", vec![&rsa, &ec, &ed], "ec", Some("ec"), Ok(())),
        ("Ed25519", vec![&rsa, &ec, &ed], "ed", Some("ed"), Ok(())),
        ("a token that names no key may be of any", vec![&rsa, &ec, &ed], "ed", None, Ok(())),
        ("a key without a name", vec![&with(&ec, "kid", Value::Null)], "ec", None, Ok(())),
        (
            "a key that does not say its algorithm",
            vec![&with(&ec, "alg", Value::Null)],
            "ec",
            Some("ec"),
            Ok(()),
        ),
        ("beside keys of a kind nobody knows", vec![&json!({"kty": "new"}), &ec], "ec", Some("ec"), Ok(())),
        (
            "signed by another than it names",
            vec![&rsa, &ec],
            "ec",
            Some("rsa"),
            Err(TokenError::Invalid(Refusal::Signature)),
        ),
        (
            "a key for encrypting",
            vec![&with(&ec, "use", json!("enc")), &rsa],
            "ec",
            Some("ec"),
            Err(TokenError::UnknownKey),
        ),
        (
            "a key of another algorithm",
            vec![&with(&rsa, "alg", json!("PS256")), &ec],
            "rsa",
            Some("rsa"),
            Err(TokenError::UnknownKey),
        ),
        ("a secret is no key", vec![&secret, &rsa], "ec", Some("ec"), Err(TokenError::UnknownKey)),
    ] {
        let keys: Vec<Value> = keys.into_iter().cloned().collect();
        scene.sign_in.show(&keys);
        scene.jwks().read().await;
        let verified = scene.authenticator.verify(&scene.token(kind, kid), at(0)).map(|_| ());
        assert_eq!(verified, expected, "{why}");
    }
}

#[tokio::test]
async fn rotated_keys_are_read_when_a_token_names_them_and_no_more_often() {
    let scene = Scene::new().await;
    scene.sign_in.show(&[scene.shown("rsa", Some("old"))]);
    scene.keep().await;
    assert_eq!(scene.identify(&scene.token("rsa", Some("old"))).await, Ok(()));
    assert_eq!(scene.sign_in.asked(), 1, "a known key costs no request");

    scene.sign_in.show(&[scene.shown("ec", Some("new"))]);
    let (old, new) = (scene.token("rsa", Some("old")), scene.token("ec", Some("new")));
    assert_eq!(scene.identify(&new).await, Err(TokenError::UnknownKey), "it was just read: come back");
    assert_eq!(scene.sign_in.asked(), 1);

    Scene::pass(READ_EVERY_MIN).await;
    let all = futures_util::future::join_all((0..50).map(|_| scene.identify(&new))).await;
    assert_eq!(all, vec![Ok(()); 50], "many at once");
    assert_eq!(scene.sign_in.asked(), 2, "cost one request");

    Scene::pass(READ_EVERY_MIN).await;
    assert_eq!(scene.identify(&old).await, Err(TokenError::Invalid(Refusal::Signature)), "it was taken back");
    assert_eq!(scene.sign_in.asked(), 3);
    Scene::pass(READ_EVERY_MIN).await;
    let forged = format!("{}.{}", "eyJhbGciOiJIUzI1NiIsImtpZCI6Im5ld2VyIn0", new.split_once('.').unwrap().1);
    assert_eq!(
        scene.identify(&forged).await,
        Err(TokenError::Invalid(Refusal::Signature)),
        "an algorithm of no public key"
    );
    assert_eq!(scene.sign_in.asked(), 3, "costs no request either");
}

#[tokio::test]
async fn an_address_that_fails_leaves_the_keys_that_were_read() {
    let scene = Scene::new().await;
    scene.keep().await;
    let token = scene.token("ed", Some("ed"));
    assert_eq!(scene.identify(&token).await, Err(TokenError::UnknownKey), "down from the start: come back");

    scene.sign_in.show(&[scene.shown("ed", Some("ed"))]);
    Scene::pass(READ_EVERY_MIN).await;
    assert_eq!(scene.identify(&token).await, Ok(()), "it is there");
    for (why, status, body) in [
        ("an error", 500, String::new()),
        ("no JSON", 200, "<html>".to_owned()),
        ("no keys", 200, r#"{"keys": []}"#.to_owned()),
        ("longer than is read", 200, format!(r#"{{"keys": [], "x": "{}"}}"#, "x".repeat(SET_BYTES_MAX))),
        ("a redirect", 302, String::new()),
    ] {
        scene.sign_in.answer(status, body);
        scene.jwks().read().await;
        assert_eq!(scene.identify(&token).await, Ok(()), "{why}");
        Scene::pass(READ_EVERY_MIN).await;
        let unknown = scene.identify(&scene.token("rsa", Some("rsa"))).await;
        assert_eq!(unknown, Err(TokenError::UnknownKey), "{why}: nobody knows");
    }
    Scene::pass(KEYS_AGE_MAX).await;
    assert!(scene.jwks().keys().is_empty(), "not for ever");
}

#[test]
fn keys_are_taken_from_safe_addresses_only() {
    for (url, expected) in [
        ("https://sign-in.example.com/keys", true),
        ("http://localhost:8080/keys", true),
        ("http://127.0.0.1/keys", true),
        ("http://[::1]:8080/keys", true),
        ("http://sign-in.example.com/keys", false),
        ("http://127.0.0.1.example.com/keys", false),
        ("http://10.0.0.1/keys", false),
        ("file:///etc/keys", false),
        ("keys", false),
    ] {
        let config = AuthConfig { jwks_url: Some(url.to_owned()), ..AuthConfig::default() };
        assert_eq!(Authenticator::new(&config).is_ok(), expected, "{url}");
    }
}

#[test]
fn a_set_gives_at_most_so_many_keys() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let set = json!({"keys": vec![key; KEYS_MAX + 1]}).to_string();
    assert_eq!(keys_of(set.as_bytes(), &AuthConfig::default()).unwrap().len(), KEYS_MAX);
}
