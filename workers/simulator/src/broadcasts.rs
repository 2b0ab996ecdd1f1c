//! Apple's broadcast channels: `/1/apps/{app}/channels`, and `/4/broadcasts/apps/{app}`, which all phones that listen are given.
//!
//! What holds here:
//! - A request that Apple would refuse is refused, with Apple's status and reason, before any `status` fault is looked at.
//! - A broadcast changes each Live Activity that was started with the channel and has not ended, and starts none.
//! - At most [`CHANNELS_MAX`] of an app in an environment, as at Apple.
//!
//! Both hosts of Apple's are the one listener here, as their paths differ. A fault's `to` is the channel, or for a new one the app.
//!
//! Rules: <https://developer.apple.com/documentation/usernotifications/sending-channel-management-requests-to-apns> and
//! <https://developer.apple.com/documentation/usernotifications/sending-broadcast-push-notification-requests-to-apns>.
//!
//! Elsewhere: the channels that there are, in `channels`; what phones show, in `activities` and `arrivals`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Shared;
use crate::activities::Activity;
use crate::apns::{Refusal, checked_scope, failure, of_activity};
use crate::arrivals::{Ids, Incoming, Kind};
use crate::channels::Channel;
use crate::faults::{Environment, Fault, Provider};
use crate::http::read_body;
use crate::serve::Connection;

/// Of one app in one environment.
const CHANNELS_MAX: usize = 10_000;
const PAYLOAD_MAX: usize = 5_120;
const CHANNEL_LEN_MAX: usize = 512;

/// What a new channel is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wanted {
    message_storage_policy: u8,
    push_type: String,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let method = || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed").answer(None) };
    Router::new()
        .route("/1/apps/{app}/channels", post(managed).get(managed).delete(managed).fallback(method))
        .route("/1/apps/{app}/all-channels", get(managed).fallback(method))
        .route("/4/broadcasts/apps/{app}", post(broadcast).fallback(method))
        .with_state(shared)
}

/// `GET /channels` of the simulator's own interface.
pub(crate) fn list_router(shared: Arc<Shared>) -> Router {
    Router::new().route("/channels", get(list)).with_state(shared)
}

async fn list(State(shared): State<Arc<Shared>>) -> Json<BTreeMap<String, Channel>> {
    Json(shared.activities.channels.known().clone())
}

/// What a request about a channel does.
#[derive(Debug)]
enum Managed {
    Make(Channel),
    Read(Channel),
    Delete(String),
    All(Vec<String>),
}

async fn managed(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Extension(environment): Extension<Environment>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    if request.version() != Version::HTTP_2 {
        return StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response();
    }
    let (head, body) = request.into_parts();
    let name = text(&head.headers, "apns-channel-id").unwrap_or(&app).to_owned();
    let fault = fault_of(&shared, environment, &name);
    connection.before(&fault).await;
    let body = read_body(body).await.unwrap_or_default();
    let of = App { shared: &shared, is_certified: connection.is_certified, environment, app: &app };
    let is_all = head.uri.path().ends_with("/all-channels");
    let checked = of.managed(head.method.as_str(), is_all, &head.headers, &body);
    let response = match checked {
        Err(refusal) => refusal.answer(None),
        Ok(asked) => failure(&fault, None).unwrap_or_else(|| done(&shared, asked)),
    };
    connection.after(&fault).await;
    response
}

fn done(shared: &Shared, asked: Managed) -> Response {
    let mut known = shared.activities.channels.known();
    match asked {
        Managed::Make(channel) => {
            let name = STANDARD.encode(Uuid::new_v4().as_bytes());
            known.insert(name.clone(), channel);
            (StatusCode::CREATED, [("apns-channel-id", name)]).into_response()
        }
        Managed::Read(channel) => {
            let Channel { storage_policy, push_type, .. } = channel;
            Json(json!({"message-storage-policy": storage_policy, "push-type": push_type})).into_response()
        }
        Managed::Delete(name) => {
            known.remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        Managed::All(channels) => Json(json!({"channels": channels})).into_response(),
    }
}

async fn broadcast(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Extension(environment): Extension<Environment>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    if request.version() != Version::HTTP_2 {
        return StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response();
    }
    let (head, body) = request.into_parts();
    let name = text(&head.headers, "apns-channel-id").unwrap_or_default().to_owned();
    let fault = fault_of(&shared, environment, &name);
    connection.before(&fault).await;
    let of = App { shared: &shared, is_certified: connection.is_certified, environment, app: &app };
    let checked = match read_body(body).await {
        Some(body) => of.told(&head.headers, &body).map(|told| (told, body)),
        None => Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge")),
    };
    let response = match checked {
        Err(refusal) => refusal.answer(None),
        Ok((told, body)) => failure(&fault, None).unwrap_or_else(|| {
            for activity in told {
                shared.activities.take(activity.clone(), Timestamp::now());
                shared.record(shown(&connection, &head.headers, &body, activity));
            }
            StatusCode::OK.into_response()
        }),
    };
    connection.after(&fault).await;
    response
}

/// One phone's Live Activity, as the broadcast left it.
fn shown(connection: &Connection, headers: &HeaderMap, body: &[u8], activity: Activity) -> Incoming {
    let ours = headers.iter().filter(|(name, _)| name.as_str().starts_with("apns-"));
    let lossy = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let push = Incoming {
        kind: Kind::Apns,
        user: None,
        to: activity.token.clone(),
        alert: None,
        title: String::new(),
        body: String::new(),
        ids: Ids::default(),
        headers: ours.map(|(name, value)| (name.to_string(), lossy(value.as_bytes()))).collect(),
        payload: serde_json::from_slice::<Box<RawValue>>(body).ok(),
        withdraws: Vec::new(),
        declared: None,
        activity: None,
        mail: None,
        connection: connection.number,
    };
    of_activity(activity, push)
}

fn fault_of(shared: &Shared, environment: Environment, to: &str) -> Fault {
    shared
        .faults
        .take(Provider::Apns, |fault: &Fault| fault.is_for(to) && fault.is_for_environment(environment))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("not ASCII"))
}

/// The app of a request, and who asks.
struct App<'a> {
    shared: &'a Shared,
    is_certified: bool,
    environment: Environment,
    app: &'a str,
}

impl App<'_> {
    fn is_let_in(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_known =
            checked_scope(&self.shared.apple, self.is_certified, headers, self.environment, self.app)?;
        if is_known { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "TopicMismatch")) }
    }

    /// The channel that a request names, which has to be one of this app's.
    fn named(&self, headers: &HeaderMap) -> Result<(String, Channel), Refusal> {
        let name = text(headers, "apns-channel-id").ok_or(Refusal::bad("MissingChannelId"))?;
        if name.len() > CHANNEL_LEN_MAX || STANDARD.decode(name).is_err() {
            return Err(Refusal::bad("BadChannelId"));
        }
        let channel = self.shared.activities.channels.known().get(name).cloned();
        let channel =
            channel.filter(|channel| channel.app == self.app && channel.environment == self.environment);
        Ok((name.to_owned(), channel.ok_or(Refusal::bad("ChannelNotRegistered"))?))
    }

    fn managed(
        &self,
        method: &str,
        is_all: bool,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Managed, Refusal> {
        self.is_let_in(headers)?;
        let own = || -> Vec<String> {
            let known = self.shared.activities.channels.known();
            let own = known.iter().filter(|(_, it)| it.app == self.app && it.environment == self.environment);
            own.map(|(name, _)| name.clone()).collect()
        };
        match (method, is_all) {
            (_, true) => Ok(Managed::All(own())),
            ("POST", _) => {
                let json: Value =
                    serde_json::from_slice(body).map_err(|_| Refusal::bad("BadRequestPayload"))?;
                let wanted: Wanted =
                    serde_json::from_value(json).map_err(|_| Refusal::bad("BadRequestParams"))?;
                if wanted.push_type != "LiveActivity" {
                    return Err(Refusal::bad("InvalidPushType"));
                }
                if wanted.message_storage_policy > 1 {
                    return Err(Refusal::bad("BadRequestParams"));
                }
                if own().len() >= CHANNELS_MAX {
                    return Err(Refusal::bad("CannotCreateChannelConfig"));
                }
                Ok(Managed::Make(Channel {
                    app: self.app.to_owned(),
                    environment: self.environment,
                    storage_policy: wanted.message_storage_policy,
                    push_type: "LiveActivity",
                }))
            }
            ("DELETE", _) => Ok(Managed::Delete(self.named(headers)?.0)),
            _ => Ok(Managed::Read(self.named(headers)?.1)),
        }
    }

    /// The activities that a broadcast changes, as it leaves them.
    fn told(&self, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Activity>, Refusal> {
        self.is_let_in(headers)?;
        let (name, channel) = self.named(headers)?;
        match text(headers, "apns-push-type") {
            None => return Err(Refusal::bad("MissingPushType")),
            Some(kind) if !kind.eq_ignore_ascii_case("liveactivity") => {
                return Err(Refusal::bad("InvalidPushType"));
            }
            Some(_) => {}
        }
        if !text(headers, "apns-priority").is_some_and(|priority| ["1", "5", "10"].contains(&priority)) {
            return Err(Refusal::bad("BadPriority"));
        }
        let until = text(headers, "apns-expiration").and_then(|seconds| seconds.parse::<u64>().ok());
        // Without storage nothing can be kept.
        if until.is_none_or(|until| until > 0 && channel.storage_policy == 0) {
            return Err(Refusal::bad("BadExpirationDate"));
        }
        if body.len() > PAYLOAD_MAX {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
        }
        if body.is_empty() {
            return Err(Refusal::bad("PayloadEmpty"));
        }
        self.shared.activities.judge_broadcast(&name, body).map_err(Refusal::of_activity)
    }
}
