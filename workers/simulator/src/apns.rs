//! Apple: `POST /3/device/{token}` over HTTP/2, with the checks and answers of APNs.
//!
//! What holds here:
//! - A request that Apple would refuse is refused, with Apple's status and reason, before any
//!   `status` fault is looked at: a fault cannot hide a mistake of the sender.
//! - [`check`] decides and does nothing; `push` carries out what it and the fault say.
//!
//! Rules: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.
//! A missing push type is refused (Apple demands it of some devices only), and a body that is not a
//! JSON object counts as empty. Too frequent provider tokens are not policed: ask for it with a fault.
//!
//! Elsewhere: what a phone shows, in `arrivals`; the keys, in `tls`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Shared;
use crate::activities::{Activities, Activity, Event, NotTaken, bundle_id};
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Environment, Fault, Provider};
use crate::http::{html_page, read_body, with_retry_after};
use crate::serve::Connection;
use crate::tls::{ApnsCredentials, Keys};

/// The push type of Live Activities.
const LIVE_ACTIVITY: &str = "liveactivity";
const PAYLOAD_MAX: usize = 4096;
const PAYLOAD_VOIP_MAX: usize = 5120;
const COLLAPSE_ID_MAX: usize = 64;
/// Hex digits. Real ones have 64 today.
/// The token of no phone.
const NOBODYS_TOKEN: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const DEVICE_TOKEN_LEN_MAX: usize = 200;
const TOKEN_AGE_S_MAX: i64 = 3600;
/// How far the sender's clock may be ahead.
const CLOCK_SKEW_S_MAX: i64 = 60;
const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
    "pushtotalk",
    "widgets",
    "controls",
];

/// Apple's side of the credentials.
pub(crate) struct Apple {
    /// Good for both environments and every app.
    key: DecodingKey,
    expected: ApnsCredentials,
    /// Good for the sandbox and for the app of its topic.
    scoped_key: DecodingKey,
    scoped: ApnsCredentials,
}

impl Apple {
    pub(crate) fn new(keys: &Keys) -> anyhow::Result<Self> {
        let key = DecodingKey::from_ec_pem(keys.apns_public_pem.as_bytes())?;
        let scoped_key = DecodingKey::from_ec_pem(keys.apns_scoped_public_pem.as_bytes())?;
        let (expected, scoped) = (keys.credentials.apns.clone(), keys.credentials.apns_scoped.clone());
        Ok(Self { key, expected, scoped_key, scoped })
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let missing = || async { Refusal::bad("MissingDeviceToken").answer(None) };
    let method = || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed").answer(None) };
    Router::new()
        .route("/3/device", post(missing).fallback(method))
        .route("/3/device/", post(missing).fallback(method))
        .route("/3/device/{token}", post(push).fallback(method))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "BadPath").answer(None) })
        .with_state(shared)
}

async fn push(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Extension(environment): Extension<Environment>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    if request.version() != Version::HTTP_2 {
        return StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response();
    }
    let hits = |fault: &Fault| fault.is_for(&token) && fault.is_for_environment(environment);
    let fault = shared.faults.take(Provider::Apns, hits);
    connection.before(&fault).await;

    let (head, body) = request.into_parts();
    let apns_id = head.headers.get("apns-id").cloned();
    let checked = match read_body(body).await {
        Some(body) => {
            let sender = if connection.is_certified { None } else { Some(&shared.apple) };
            check(&shared.apple, sender, environment, &shared.activities, &head.headers, &token, &body)
        }
        None => Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge")),
    };
    let response = match checked {
        Err(refusal) => refusal.answer(apns_id),
        Ok(push) => match failure(&fault, apns_id) {
            Some(answer) => answer,
            None => {
                let incoming = Incoming { connection: connection.number, ..push };
                let id = incoming.ids.apns_id.clone().unwrap_or_default();
                if let Some(activity) = &incoming.activity {
                    shared.activities.take(activity.clone(), Timestamp::now());
                }
                let is_withdrawal = incoming.activity.is_none() && !incoming.withdraws.is_empty();
                if let (Some(user), true) = (&incoming.user, is_withdrawal) {
                    for ended in shared.activities.end_withdrawn(user, &incoming.withdraws, Timestamp::now())
                    {
                        shared.record(of_activity(ended, incoming.clone()));
                    }
                }
                shared.record(incoming);
                ([("apns-id", id)], StatusCode::OK).into_response()
            }
        },
    };
    connection.after(&fault).await;
    response
}

/// What of a payload the simulator reads.
#[derive(Debug, Default, Deserialize)]
struct Payload {
    #[serde(default)]
    aps: Aps,
    #[serde(default)]
    watchbell: Ours,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    alert: Option<Shown>,
    content_available: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Shown {
    Text(String),
    Parts { title: Option<String>, body: Option<String> },
}

/// The key our senders add.
#[derive(Debug, Default, Deserialize)]
struct Ours {
    alert: Option<String>,
    user: Option<String>,
    #[serde(default)]
    withdraw: Vec<String>,
}

/// What Apple makes of a request: the push it takes in, or why it does not. `prove_to` is none for a sender that its
/// connection's certificate has proved already.
fn check(
    apple: &Apple,
    prove_to: Option<&Apple>,
    environment: Environment,
    activities: &Activities,
    headers: &HeaderMap,
    token: &str,
    body: &[u8],
) -> Result<Incoming, Refusal> {
    if headers
        .keys()
        .any(|name| name.as_str().starts_with("apns-") && headers.get_all(name).iter().count() > 1)
    {
        return Err(Refusal::bad("DuplicateHeaders"));
    }
    let is_scoped = match prove_to {
        Some(apple) => check_provider_token(apple, headers, Timestamp::now())? == Scope::SandboxAndOneApp,
        None => false,
    };
    if is_scoped && environment == Environment::Production {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "BadEnvironmentKeyIdInToken"));
    }
    let is_hex = token.len().is_multiple_of(2) && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || token.len() > DEVICE_TOKEN_LEN_MAX {
        return Err(Refusal::bad("BadDeviceToken"));
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("not ASCII"));
    let push_type = text("apns-push-type").unwrap_or_default();
    let (topic, is_of_activities) = text("apns-topic").map(bundle_id).unzip();
    match topic {
        None | Some("") => return Err(Refusal::bad("MissingTopic")),
        Some(topic) if topic != apple.expected.topic && topic != apple.scoped.topic => {
            return Err(Refusal::bad("TopicDisallowed"));
        }
        Some(topic) if is_scoped && topic != apple.scoped.topic => {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "UnrelatedKeyIdInToken"));
        }
        Some(_) if is_of_activities != Some(push_type == LIVE_ACTIVITY) => {
            return Err(Refusal::bad("TopicDisallowed"));
        }
        Some(_) => {}
    }
    if !PUSH_TYPES.contains(&push_type) {
        return Err(Refusal::bad("InvalidPushType"));
    }
    let priority = text("apns-priority").unwrap_or("10"); // Apple's default.
    if !["1", "5", "10"].contains(&priority) || (push_type == "background" && priority == "10") {
        return Err(Refusal::bad("BadPriority"));
    }
    if text("apns-expiration").is_some_and(|seconds| seconds.parse::<u64>().is_err()) {
        return Err(Refusal::bad("BadExpirationDate"));
    }
    if text("apns-id").is_some_and(|id| !is_lowercase_uuid(id)) {
        return Err(Refusal::bad("BadMessageId"));
    }
    if text("apns-collapse-id").is_some_and(|id| id.is_empty() || id.len() > COLLAPSE_ID_MAX) {
        return Err(Refusal::bad("BadCollapseId"));
    }
    if body.len() > if push_type == "voip" { PAYLOAD_VOIP_MAX } else { PAYLOAD_MAX } {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|_| Refusal::bad("PayloadEmpty"))?;
    if push_type == LIVE_ACTIVITY && prove_to.is_none() {
        // Apple takes these by a provider token alone.
        return Err(Refusal::new(StatusCode::FORBIDDEN, "MissingProviderToken"));
    }

    // Whoever asks whether we know them names a phone that there is not.
    if token == NOBODYS_TOKEN {
        return Err(Refusal::bad("BadDeviceToken"));
    }
    let activity = match push_type {
        LIVE_ACTIVITY => Some(activities.judge(token, body).map_err(Refusal::of_activity)?),
        _ => None,
    };
    let is_withdrawal = (push_type, priority, payload.aps.content_available) == ("background", "5", Some(1));
    let (title, text_shown) = match payload.aps.alert {
        None => (None, None),
        Some(Shown::Text(text)) => (Some(text), None),
        Some(Shown::Parts { title, body }) => (title, body),
    };
    let ours = headers.iter().filter(|(name, _)| name.as_str().starts_with("apns-"));
    let lossy = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let push = Incoming {
        kind: Kind::Apns,
        user: payload.watchbell.user,
        to: token.to_owned(),
        alert: payload.watchbell.alert,
        title: title.unwrap_or_default(),
        body: text_shown.unwrap_or_default(),
        ids: Ids {
            apns_id: Some(text("apns-id").map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)),
            collapse_id: text("apns-collapse-id").map(str::to_owned),
            ..Ids::default()
        },
        headers: ours.map(|(name, value)| (name.to_string(), lossy(value))).collect::<BTreeMap<_, _>>(),
        payload: serde_json::from_slice::<Box<RawValue>>(body).ok(),
        withdraws: if is_withdrawal { payload.watchbell.withdraw } else { Vec::new() },
        declared: None,
        activity: None,
        mail: None,
        connection: 0,
    };
    Ok(match activity {
        Some(activity) => of_activity(activity, push),
        None => push,
    })
}

/// Whether the app is one that this sender may speak for, as far as its credentials go.
pub(crate) fn checked_scope(
    apple: &Apple,
    is_certified: bool,
    headers: &HeaderMap,
    environment: Environment,
    app: &str,
) -> Result<bool, Refusal> {
    if is_certified {
        return Ok(app == apple.expected.topic);
    }
    let scope = check_provider_token(apple, headers, Timestamp::now())?;
    Ok(match scope {
        Scope::Everything => app == apple.expected.topic || app == apple.scoped.topic,
        Scope::SandboxAndOneApp => environment == Environment::Sandbox && app == apple.scoped.topic,
    })
}

/// A Live Activity on the phone: one line of its own token, which changes, and goes when it ends.
pub(crate) fn of_activity(activity: Activity, push: Incoming) -> Incoming {
    let shown = |key: &str| {
        let state = activity.state.as_ref().and_then(|state| state[key].as_str());
        state.unwrap_or_default().to_owned()
    };
    let ends = activity.event == Some(Event::End);
    Incoming {
        user: activity.user.clone(),
        to: activity.token.clone(),
        alert: activity.alert.clone(),
        title: shown("title"),
        body: shown("body"),
        withdraws: activity.alert.clone().filter(|_| ends).into_iter().collect(),
        activity: Some(activity),
        ..push
    }
}

/// What the key of a provider token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everything,
    SandboxAndOneApp,
}

fn check_provider_token(apple: &Apple, headers: &HeaderMap, now: Timestamp) -> Result<Scope, Refusal> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        iat: i64,
    }
    let invalid = Refusal::new(StatusCode::FORBIDDEN, "InvalidProviderToken");
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(("bearer", token)) = given.split_once(' ').map(|(scheme, rest)| (scheme, rest.trim())) else {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "MissingProviderToken"));
    };
    // Apple's tokens have no `exp` and no `aud`; their age is judged below.
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    let kid = jsonwebtoken::decode_header(token).map_err(|_| invalid)?.kid;
    let (scope, key, expected) = match kid {
        Some(kid) if kid == apple.expected.key_id => (Scope::Everything, &apple.key, &apple.expected),
        Some(kid) if kid == apple.scoped.key_id => {
            (Scope::SandboxAndOneApp, &apple.scoped_key, &apple.scoped)
        }
        _ => return Err(invalid),
    };
    let Claims { iss, iat } = jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| invalid)?.claims;
    let age_s = now.as_second().saturating_sub(iat);
    if iss != expected.team_id || age_s < -CLOCK_SKEW_S_MAX {
        return Err(invalid);
    }
    if age_s > TOKEN_AGE_S_MAX {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "ExpiredProviderToken"));
    }
    Ok(scope)
}

fn is_lowercase_uuid(id: &str) -> bool {
    id.len() == 36 && Uuid::try_parse(id).is_ok() && !id.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The answer that a fault gives in place of 200, if it gives one.
pub(crate) fn failure(fault: &Fault, apns_id: Option<HeaderValue>) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let status = StatusCode::from_u16(fault.status?).ok()?;
    let usual = match status.as_u16() {
        400 => "BadDeviceToken",
        403 => "InvalidProviderToken",
        404 => "BadPath",
        405 => "MethodNotAllowed",
        410 => "Unregistered",
        413 => "PayloadTooLarge",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalServerError",
    };
    let reason = fault.reason.as_deref().unwrap_or(usual);
    let since = || fault.timestamp.unwrap_or_else(|| Timestamp::now().as_millisecond());
    let timestamp = (status == StatusCode::GONE || fault.timestamp.is_some()).then(since);
    Some(with_retry_after(fault, answer(status, reason, timestamp, apns_id)))
}

/// Why Apple does not take a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    reason: &'static str,
    /// Since when the token is gone.
    since: Option<Timestamp>,
}

impl Refusal {
    pub(crate) fn of_activity(why: NotTaken) -> Self {
        match why {
            NotTaken::Invalid => Self::bad("InvalidLiveActivity"),
            NotTaken::BadToken => Self::bad("BadDeviceToken"),
            NotTaken::Ended(at) => Self { since: Some(at), ..Self::new(StatusCode::GONE, "ExpiredToken") },
        }
    }

    pub(crate) fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, since: None }
    }

    pub(crate) fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(crate) fn answer(self, apns_id: Option<HeaderValue>) -> Response {
        answer(self.status, self.reason, self.since.map(Timestamp::as_millisecond), apns_id)
    }
}

fn answer(
    status: StatusCode,
    reason: &str,
    timestamp: Option<i64>,
    apns_id: Option<HeaderValue>,
) -> Response {
    let body = match timestamp {
        Some(timestamp) => json!({"reason": reason, "timestamp": timestamp}),
        None => json!({"reason": reason}),
    };
    let mut response = (status, Json(body)).into_response();
    if let Some(apns_id) = apns_id {
        response.headers_mut().insert("apns-id", apns_id);
    }
    response
}
