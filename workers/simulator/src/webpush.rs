//! Browsers and their push service: `POST /webpush/{browser}`, with the checks of the standards, decrypted as the
//! browser would.
//!
//! What holds here:
//! - A browser is a name. Its keys are made of the name and one kept key, so that a subscription outlives a restart
//!   and nothing is stored: `GET /webpush/{browser}` on the simulator's own address gives it.
//! - As in `apns`, a mistake of the sender is answered before a `status` fault is.
//!
//! - A push service is known by the host that a request names, so that one simulator is several.
//!
//! - What a browser subscribed with is part of its endpoint: the key of a sender, and whether it shows pushes by itself.
//!
//! Rules: RFC 8030 (requests), RFC 8188 and 8291 (encryption), RFC 8292 (VAPID), and the declarative messages of the Push API. A browser
//! that subscribed without a key takes every sender's.
//!
//! Elsewhere: what a browser shows, in `arrivals`; the kept key, in `tls`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Shared;
use crate::arrivals::{Declared, Ids, Incoming, Kind};
use crate::browser_services::Service;
use crate::faults::{Fault, Provider};
use crate::http::{html_page, read_body, with_retry_after};
use crate::serve::Connection;
use crate::tls::Keys;

/// What push services take at least, and most of them at most.
const MESSAGE_MAX: usize = 4096;
const TOPIC_MAX: usize = 32;
const TOKEN_LIFE_S_MAX: i64 = 24 * 60 * 60;
const URGENCIES: [&str; 4] = ["very-low", "low", "normal", "high"];
const SALT_BYTES: usize = 16;
const POINT_BYTES: usize = 65;
/// Salt, record size, length of the key, key.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + POINT_BYTES;
const TAG_BYTES: usize = 16;

/// Every browser there could be.
pub(crate) struct Browsers {
    key: hmac::Key,
    origin: String,
}

/// Which of its own hosts a browser's push service is to be at; the certificate covers each of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    host: Option<String>,
    /// The sender's key that it subscribes with: `applicationServerKey`.
    key: Option<String>,
    /// Whether it shows declarative pushes by itself, as Safari does.
    #[serde(default)]
    declarative: bool,
}

/// What an endpoint says of how its browser subscribed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subscribed {
    key: Option<String>,
    declarative: bool,
}

impl At {
    /// As it stands in the endpoint.
    fn query(&self) -> String {
        let key = self.key.as_ref().map(|key| format!("key={key}"));
        let parts: Vec<String> =
            key.into_iter().chain(self.declarative.then(|| "declarative=true".to_owned())).collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

impl Browsers {
    pub(crate) fn new(keys: &Keys) -> anyhow::Result<Self> {
        let key = BASE64_URL_SAFE_NO_PAD.decode(&keys.push_service_key).context("webpush.key")?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), origin: keys.origin.clone() })
    }

    fn browser(&self, name: &str) -> Option<Browser> {
        let made = |what: &str| hmac::sign(&self.key, format!("{what} {name}").as_bytes());
        let private = PrivateKey::from_private_key(&ECDH_P256, made("key").as_ref()).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
        let auth = made("auth").as_ref()[..16].try_into().ok()?;
        Some(Browser { private, public, auth })
    }
}

struct Browser {
    private: PrivateKey,
    public: [u8; POINT_BYTES],
    auth: [u8; 16],
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/webpush/{browser}", post(push)).with_state(shared)
}

/// Where a page gets its subscription, beside the JSON interface.
pub(crate) fn subscriptions(shared: Arc<Shared>) -> Router {
    Router::new().route("/webpush/{browser}", get(subscription)).with_state(shared)
}

/// `PushSubscription.toJSON()` of the browser of that name.
async fn subscription(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(at): Query<At>,
) -> Response {
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let plain = is_plain(&name) && at.key.as_deref().is_none_or(is_plain);
    let Some(browser) = shared.browsers.browser(&name).filter(|_| plain) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let own = &shared.browsers.origin;
    let origin = match (&at.host, own.rsplit_once(':')) {
        (Some(host), Some((_, port))) => format!("https://{host}:{port}"),
        _ => own.clone(),
    };
    Json(json!({
        "endpoint": format!("{origin}/webpush/{name}{}", at.query()),
        "expirationTime": null,
        "keys": {
            "p256dh": BASE64_URL_SAFE_NO_PAD.encode(browser.public),
            "auth": BASE64_URL_SAFE_NO_PAD.encode(browser.auth),
        },
    }))
    .into_response()
}

async fn push(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(name): Path<String>,
    Query(subscribed): Query<Subscribed>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let authority = authority_of(&head.uri, &head.headers);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let hits = |fault: &Fault| fault.is_for(&name) && fault.is_for_origin(host);
    let fault = shared.faults.take(Provider::Webpush, hits);
    connection.before(&fault).await;
    let sent_to = format!("https://{authority}");
    let checked = match read_body(body).await {
        Some(body) => {
            let service = Service::at(host);
            let to = To { name: &name, subscribed: &subscribed, origin: &sent_to, service };
            check(&shared.browsers, &to, &head.headers, &body, Timestamp::now())
        }
        None => Err((StatusCode::PAYLOAD_TOO_LARGE, "too large")),
    };
    let response = match checked {
        Err((status, why)) => (status, Json(json!({"error": why}))).into_response(),
        Ok(push) => match failure(&fault) {
            Some(answer) => answer,
            None => {
                if fault.fate.is_none() {
                    shared.record(Incoming { connection: connection.number, ..push });
                }
                let receipt = format!("/webpush/{name}/{}", Uuid::now_v7());
                let fate = fault.fate.iter().map(|fate| ("x-wns-notificationstatus", fate.clone()));
                let headers = AppendHeaders(fate.chain([("location", receipt)]));
                (StatusCode::CREATED, headers).into_response()
            }
        },
    };
    connection.after(&fault).await;
    response
}

/// Host and port as the sender names them: HTTP/2 in the address, HTTP/1.1 in a header.
fn authority_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let in_header = || headers.get(header::HOST)?.to_str().ok();
    uri.authority().map(Authority::as_str).or_else(in_header).unwrap_or_default()
}

fn failure(fault: &Fault) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let status = StatusCode::from_u16(fault.status?).ok()?;
    let body = Json(json!({"reason": fault.reason.as_deref().unwrap_or("Simulated")}));
    Some(with_retry_after(fault, (status, body).into_response()))
}

type Refusal = (StatusCode, &'static str);

/// What the service worker is given.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    alert: Option<String>,
    user: Option<String>,
    title: Option<String>,
    body: Option<String>,
    tag: Option<String>,
    withdraw: Vec<String>,
}

/// What a declarative browser shows by itself.
#[derive(Debug, Deserialize)]
struct DeclarativeMessage {
    web_push: u64,
    notification: DeclaredNotification,
    #[serde(default)]
    app_badge: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct DeclaredNotification {
    title: String,
    navigate: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    tag: Option<String>,
}

/// The number that tells a declarative message from other JSON.
const DECLARATIVE: u64 = 8030;

impl DeclarativeMessage {
    /// None: it is not one, and goes to the service worker.
    fn parse(json: &[u8]) -> Option<Self> {
        let message: Self = serde_json::from_slice(json).ok()?;
        let leads = message.notification.navigate.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some());
        (message.web_push == DECLARATIVE && leads && !message.notification.title.is_empty())
            .then_some(message)
    }
}

/// Whom a push is for, and where it was sent to.
struct To<'a> {
    name: &'a str,
    subscribed: &'a Subscribed,
    origin: &'a str,
    service: Service,
}

/// What a push service and the browser behind it make of a request: the push they take in, or why not.
fn check(
    browsers: &Browsers,
    to: &To<'_>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Incoming, Refusal> {
    let bad = |why| (StatusCode::BAD_REQUEST, why);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed_with = check_vapid(to, text("authorization").unwrap_or_default(), now)?;
    if to.subscribed.key.as_ref().is_some_and(|key| key != signed_with) {
        return Err(to.service.other_key());
    }
    if text("ttl").is_none_or(|ttl| ttl.parse::<u32>().is_err()) {
        return Err(bad("TTL is missing or not a number of seconds"));
    }
    let topic = text("topic").map(str::to_owned);
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if topic.as_ref().is_some_and(|topic| topic.len() > TOPIC_MAX || !topic.bytes().all(is_base64url)) {
        return Err(bad("Topic is not at most 32 characters of base64url"));
    }
    if text("urgency").is_some_and(|urgency| !URGENCIES.contains(&urgency)) {
        return Err(bad("Urgency is not one of four"));
    }
    if text("content-encoding") != Some("aes128gcm") {
        return Err(bad("Content-Encoding is not aes128gcm"));
    }
    if body.len() > MESSAGE_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "more than 4096 bytes"));
    }
    let browser = browsers.browser(to.name).ok_or((StatusCode::NOT_FOUND, "no such subscription"))?;
    let json = decrypt(&browser, body).ok_or(bad("the browser cannot decrypt it"))?;
    let payload: Payload =
        serde_json::from_slice(&json).map_err(|_| bad("the service worker cannot read it"))?;
    let declared = DeclarativeMessage::parse(&json).filter(|_| to.subscribed.declarative);
    let (title, body, tag, declared) = match declared {
        Some(DeclarativeMessage { notification, app_badge, .. }) => {
            let declared = Declared { navigate: notification.navigate, app_badge };
            (notification.title, notification.body, notification.tag, Some(declared))
        }
        None => (payload.title.unwrap_or_default(), payload.body.unwrap_or_default(), payload.tag, None),
    };
    let shown = ["ttl", "urgency", "topic", "content-encoding"];
    Ok(Incoming {
        kind: Kind::Webpush,
        user: payload.user,
        to: to.name.to_owned(),
        alert: payload.alert,
        title,
        body,
        ids: Ids { tag, topic, ..Ids::default() },
        headers: shown
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(*name)?.to_owned())))
            .collect::<BTreeMap<_, _>>(),
        payload: serde_json::from_slice::<Box<RawValue>>(&json).ok(),
        withdraws: payload.withdraw,
        declared,
        activity: None,
        mail: None,
        connection: 0,
    })
}

/// `vapid t=JWT, k=KEY`: signed by that key, for this origin, for a day at most, with somebody to write to. Gives the key.
fn check_vapid<'a>(to: &To<'_>, given: &'a str, now: Timestamp) -> Result<&'a str, Refusal> {
    #[derive(Deserialize)]
    struct Claims {
        aud: String,
        exp: i64,
        sub: String,
    }
    let missing = (StatusCode::UNAUTHORIZED, "MissingVapid");
    let bad = (StatusCode::FORBIDDEN, "BadJwtToken");
    let parameters = given.strip_prefix("vapid ").ok_or(missing)?;
    let parameters: BTreeMap<&str, &str> =
        parameters.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
    let (Some(token), Some(given_key)) = (parameters.get("t"), parameters.get("k")) else {
        return Err(missing);
    };
    let point = BASE64_URL_SAFE_NO_PAD.decode(given_key).map_err(|_| bad)?;
    if point.len() != POINT_BYTES {
        return Err(bad);
    }
    let (x, y) = point[1..].split_at(32);
    let part = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let key = DecodingKey::from_ec_components(&part(x), &part(y)).map_err(|_| bad)?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| bad)?.claims;
    let left_s = claims.exp - now.as_second();
    let has_contact = to.service.takes_contact(&claims.sub);
    match claims.aud == to.origin && (1..=TOKEN_LIFE_S_MAX).contains(&left_s) && has_contact {
        true => Ok(given_key),
        false => Err(bad),
    }
}

/// One record of `aes128gcm`, as RFC 8188 and 8291 have it.
fn decrypt(browser: &Browser, body: &[u8]) -> Option<Vec<u8>> {
    let (header, record) = body.split_at_checked(HEADER_BYTES)?;
    let (salt, sender) = (&header[..SALT_BYTES], &header[HEADER_BYTES - POINT_BYTES..]);
    if usize::from(header[SALT_BYTES + 4]) != POINT_BYTES || record.len() <= TAG_BYTES {
        return None;
    }
    let theirs = UnparsedPublicKey::new(&ECDH_P256, sender);
    let info = [b"WebPush: info\0", &browser.public[..], sender].concat();
    let ikm: [u8; 32] =
        agree(&browser.private, theirs, (), |shared| derive(&browser.auth, shared, &info).ok_or(())).ok()?;
    let key: [u8; 16] = derive(salt, &ikm, b"Content-Encoding: aes128gcm\0")?;
    let nonce: [u8; 12] = derive(salt, &ikm, b"Content-Encoding: nonce\0")?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let mut record = record.to_vec();
    let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).ok()?;
    // The last record ends in 2 and padding of zeros.
    let end = plain.iter().rposition(|byte| *byte != 0)?;
    (plain[end] == 2).then(|| plain[..end].to_vec())
}

fn derive<const N: usize>(salt: &[u8], ikm: &[u8], info: &[u8]) -> Option<[u8; N]> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(ikm).expand(&[info], Len(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}
