//! A sign-in service (OpenID Connect) for operators: discovery, a page that signs everybody in at once, tokens for codes, keys. What its
//! ID tokens say, how they are signed, and what it shows of itself, can be made wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::ensure;
use aws_lc_rs::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http_by_hand::{Answer, Request, Served};

/// What it calls the console.
pub const CLIENT_ID: &str = "watchbell-console";
/// What the console shows.
pub const CLIENT_SECRET: &str = "canary-of-the-client";
/// What a request never is, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How ID tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// By the key that it shows.
    ByItsKey,
    /// By another one, under the same name.
    ByAForeignKey,
    /// Not at all: `alg` is `none`.
    ByNobody,
    /// By HS256 with the client's secret, which the console does not take.
    ByTheSecret,
}

/// What it shows of itself: its discovery document and its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it should.
    Right,
    /// The document names another issuer.
    AnotherIssuer,
    /// There is no document.
    NoDocument,
    /// The document says which ways of PKCE it knows, and S256 is not among them.
    NoS256,
    /// There are no keys at their address.
    NoKeys,
    /// The set of keys has none.
    EmptyKeys,
    /// The set has only a key whose tokens the console does not take.
    ForeignKeys,
}

/// A running service. Dropped, it is gone.
pub struct SignInService {
    state: Arc<Mutex<State>>,
    _served: Served,
    issuer: String,
}

struct State {
    issuer: String,
    key: EcdsaKeyPair,
    foreign: EcdsaKeyPair,
    signed: Signed,
    shown: Shown,
    /// Laid over what an ID token says.
    claims: Value,
    codes: BTreeMap<String, Asked>,
    count: usize,
}

/// What an authorization was asked with.
struct Asked {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

impl SignInService {
    /// Starts one.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let issuer = format!("http://127.0.0.1:{}/realms/test", listener.local_addr()?.port());
        let state = Arc::new(Mutex::new(State {
            issuer: issuer.clone(),
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            foreign: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            signed: Signed::ByItsKey,
            shown: Shown::Right,
            claims: json!({}),
            codes: BTreeMap::new(),
            count: 0,
        }));
        let shared = Arc::clone(&state);
        let served = Served::at(listener, BODY_BYTES_MAX, move |request| {
            answer(&mut lock(&shared), request).map(Answer::Says)
        });
        Ok(Self { state, _served: served, issuer })
    }

    /// The value of `console.oidc.issuer`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From now on, ID tokens are signed so, and say this over what they say.
    pub fn make(&self, signed: Signed, claims: Value) {
        let mut state = lock(&self.state);
        (state.signed, state.claims) = (signed, claims);
    }

    /// From now on, it shows this of itself.
    pub fn show(&self, shown: Shown) {
        lock(&self.state).shown = shown;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &mut State, request: &Request) -> anyhow::Result<String> {
    let issuer = state.issuer.clone();
    let url = Url::parse("http://127.0.0.1")?.join(&request.target)?;
    Ok(match (request.method.as_str(), url.path()) {
        ("GET", "/realms/test/.well-known/openid-configuration") if state.shown != Shown::NoDocument => {
            let names = match state.shown {
                Shown::AnotherIssuer => format!("{issuer}/"),
                _ => issuer.clone(),
            };
            let challenges = if state.shown == Shown::NoS256 { ["plain"] } else { ["S256"] };
            json_answer(
                200,
                &json!({
                    "issuer": names, "authorization_endpoint": format!("{issuer}/authorize?theme=dark"),
                    "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                    "code_challenge_methods_supported": challenges,
                }),
            )
        }
        ("GET", "/realms/test/keys") if state.shown != Shown::NoKeys => {
            let keys = match state.shown {
                Shown::EmptyKeys => json!([]),
                // RFC 7517, appendix A.3: a secret, which nobody may show.
                Shown::ForeignKeys => json!([{"kty": "oct", "alg": "HS256", "kid": "1", "k": "Y2FuYXJ5"}]),
                _ => json!([jwk(&state.key)]),
            };
            json_answer(200, &json!({"keys": keys}))
        }
        ("GET", "/realms/test/authorize") => {
            let query = pairs(url.query().unwrap_or_default());
            let of = |name: &str| query.get(name).cloned().unwrap_or_default();
            ensure!(of("client_id") == CLIENT_ID && of("response_type") == "code", "{query:?}");
            ensure!(of("code_challenge_method") == "S256" && of("theme") == "dark", "{query:?}");
            state.count += 1;
            let code = format!("code-{}", state.count);
            let (nonce, challenge, redirect_uri) = (of("nonce"), of("code_challenge"), of("redirect_uri"));
            let mut back = Url::parse(&redirect_uri)?;
            back.query_pairs_mut()
                .append_pair("code", &code)
                .append_pair("state", &of("state"))
                .append_pair("iss", &issuer);
            state.codes.insert(code, Asked { nonce, challenge, redirect_uri });
            format!("HTTP/1.1 302 Found\r\nlocation: {back}\r\ncontent-length: 0\r\n\r\n")
        }
        ("POST", "/realms/test/token") => {
            let form = pairs(std::str::from_utf8(&request.body)?);
            let of = |name: &str| form.get(name).cloned().unwrap_or_default();
            if (of("client_id"), of("client_secret")) != (CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned()) {
                return Ok(json_answer(401, &json!({"error": "invalid_client"})));
            }
            let challenge =
                URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, of("code_verifier").as_bytes()));
            let asked = state.codes.remove(&of("code"));
            let asked = asked.filter(|asked| {
                asked.challenge == challenge
                    && asked.redirect_uri == of("redirect_uri")
                    && of("grant_type") == "authorization_code"
            });
            match asked {
                Some(asked) => json_answer(
                    200,
                    &json!({"access_token": "-", "token_type": "Bearer", "id_token": token(state, &asked)?}),
                ),
                None => json_answer(400, &json!({"error": "invalid_grant"})),
            }
        }
        _ => json_answer(404, &json!({})),
    })
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://127.0.0.1/?{text}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

fn json_answer(status: u16, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    // A point that is not compressed: 4, and two numbers of 32 bytes.
    let point = key.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y})
}

fn token(state: &State, asked: &Asked) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let mut claims = json!({
        "iss": state.issuer, "aud": CLIENT_ID, "sub": "7f3a", "iat": now, "exp": now + 300, "nonce": asked.nonce,
        "email": "alice@example.com", "email_verified": true, "groups": ["staff", "ops"],
    });
    for (name, value) in state.claims.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    let algorithm = match state.signed {
        Signed::ByItsKey | Signed::ByAForeignKey => "ES256",
        Signed::ByNobody => "none",
        Signed::ByTheSecret => "HS256",
    };
    let header = json!({"alg": algorithm, "kid": "1", "typ": "JWT"});
    let said = [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = match state.signed {
        Signed::ByItsKey => state.key.sign(&SystemRandom::new(), said.as_bytes())?.as_ref().to_vec(),
        Signed::ByAForeignKey => state.foreign.sign(&SystemRandom::new(), said.as_bytes())?.as_ref().to_vec(),
        Signed::ByNobody => Vec::new(),
        Signed::ByTheSecret => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
            hmac::sign(&key, said.as_bytes()).as_ref().to_vec()
        }
    };
    Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
