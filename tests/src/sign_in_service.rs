//! A sign-in service (OpenID Connect) for operators: discovery, a page that signs everybody in at once, tokens for codes, keys. What its
//! ID tokens say, and how they are signed, can be made wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

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

/// A running service. Dropped, it is gone.
pub struct SignInService {
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
    issuer: String,
}

struct State {
    issuer: String,
    key: EcdsaKeyPair,
    foreign: EcdsaKeyPair,
    signed: Signed,
    /// Laid over what an ID token says.
    claims: Value,
    codes: BTreeMap<String, Asked>,
    count: usize,
    has_left: bool,
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
            claims: json!({}),
            codes: BTreeMap::new(),
            count: 0,
            has_left: false,
        }));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // It ends with its connection.
                tokio::spawn(async move {
                    let _ = serve(stream, &state).await;
                });
            }
        });
        Ok(Self { state, serving, issuer })
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
}

impl Drop for SignInService {
    fn drop(&mut self) {
        lock(&self.state).has_left = true;
        self.serving.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut head).await? > 0, "the client has gone");
        }
        let lines = || head.lines().filter_map(|line| line.split_once(": "));
        let length = lines().find(|(key, _)| key.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map_or(Ok(0), |(_, value)| value.parse())?;
        ensure!(length <= BODY_BYTES_MAX, "{length} bytes");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        ensure!(!lock(state).has_left, "the service is gone");
        let (method, rest) = head.split_once(' ').context("a request")?;
        let target = rest.split(' ').next().unwrap_or_default();
        let url = Url::parse("http://127.0.0.1")?.join(target)?;
        let answer = answer(&mut lock(state), method, &url, &String::from_utf8(body)?)?;
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn answer(state: &mut State, method: &str, url: &Url, body: &str) -> anyhow::Result<String> {
    let issuer = state.issuer.clone();
    Ok(match (method, url.path()) {
        ("GET", "/realms/test/.well-known/openid-configuration") => json_answer(
            200,
            &json!({
                "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize?theme=dark"),
                "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
            }),
        ),
        ("GET", "/realms/test/keys") => json_answer(200, &json!({"keys": [jwk(&state.key)]})),
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
            let form = pairs(body);
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
