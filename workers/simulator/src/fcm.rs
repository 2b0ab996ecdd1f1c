//! Google: the OAuth token endpoint and FCM's `messages:send`, with their checks and error bodies.
//!
//! What holds here:
//! - As in `apns`, a mistake of the sender is answered before a `status` fault is.
//! - [`check`] decides and does nothing; `send` carries out what it and the fault say.
//!
//! Rules: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>. The payload is
//! measured as the JSON of `data` and `notification` together. Topics and conditions are not served.
//!
//! Elsewhere: access tokens, in `oauth`; what a phone shows, in `arrivals`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Fault, Provider};
use crate::http::{html_page, read_body, with_retry_after};
use crate::serve::Connection;

const PAYLOAD_MAX: usize = 4096;
const REGISTRATION_TOKEN_LEN_MAX: usize = 4096;
/// 28 days.
const TTL_S_MAX: f64 = 2_419_200.0;
const REQUEST_KEYS: [&str; 2] = ["message", "validate_only"];
const MESSAGE_KEYS: [&str; 10] = [
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "token",
    "topic",
    "condition",
];
const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let nothing_here = || async { Refusal::not_found("The requested URL was not found.").answer() };
    Router::new()
        .route("/v1/projects/{project}/messages:send", post(send).fallback(nothing_here))
        .route("/v1/{*path}", axum::routing::any(nothing_here))
        .with_state(shared)
}

async fn send(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(project): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let body = read_body(body).await.unwrap_or_default();
    let token = token_of(&body);
    let fault = shared.faults.take(Provider::Fcm, |fault| fault.is_for(&token));
    connection.before(&fault).await;

    let checked = authenticate(&shared, &head.headers)
        .and_then(
            |()| if project == shared.fcm_project { Ok(()) } else { Err(Refusal::wrong_project(&project)) },
        )
        .and_then(|()| check(&body));
    let response = match checked {
        Err(refusal) => refusal.answer(),
        Ok((message, validate_only)) => match failure(&fault) {
            Some(answer) => answer,
            None => {
                let name = format!("projects/{project}/messages/{}", Uuid::now_v7().simple());
                if !validate_only {
                    let ids = Ids { message_id: Some(name.clone()), ..message.ids };
                    shared.record(Incoming { ids, connection: connection.number, ..message });
                }
                Json(json!({ "name": name })).into_response()
            }
        },
    };
    connection.after(&fault).await;
    response
}

/// The registration token, for finding the fault; empty when the request has none.
fn token_of(body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    request["message"]["token"].as_str().unwrap_or_default().to_owned()
}

fn authenticate(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|given| given.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && shared.oauth.accepts(token) => {
            Ok(())
        }
        _ => Err(Refusal {
            code: 401,
            message: "The request has no valid access token.".into(),
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                "domain": "googleapis.com",
            })],
        }),
    }
}

/// What of a message the simulator reads, once its shape is known to be right.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    token: String,
    data: BTreeMap<String, String>,
    notification: Option<Notification>,
    android: Android,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Android {
    collapse_key: Option<String>,
    notification: Notification,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Notification {
    title: Option<String>,
    body: Option<String>,
    tag: Option<String>,
}

/// What Google makes of an authenticated request: the message and whether it is a dry run. No I/O.
fn check(body: &[u8]) -> Result<(Incoming, bool), Refusal> {
    let not_json = |_| Refusal::argument("message", "Invalid JSON payload received.");
    let request: Map<String, Value> = serde_json::from_slice(body).map_err(not_json)?;
    refuse_unknown(&request, &REQUEST_KEYS, "")?;
    let Some(Value::Object(fields)) = request.get("message") else {
        return Err(Refusal::argument("message", "The message is missing."));
    };
    refuse_unknown(fields, &MESSAGE_KEYS, "message")?;
    match fields.get("token") {
        Some(Value::String(token)) if (1..=REGISTRATION_TOKEN_LEN_MAX).contains(&token.len()) => {}
        _ => {
            return Err(Refusal::argument(
                "message.token",
                "The registration token is not a valid FCM registration token",
            ));
        }
    }
    check_data(fields.get("data"))?;
    check_android(fields.get("android"))?;
    check_apns(fields.get("apns"))?;
    let size = |name| fields.get(name).map_or(0, |part| part.to_string().len());
    if size("data") + size("notification") > PAYLOAD_MAX {
        return Err(Refusal::argument("message", "The message payload is larger than 4096 bytes."));
    }
    let wrong_type =
        |error: serde_json::Error| Refusal::argument("message", &format!("Invalid value: {error}"));
    let message = Message::deserialize(&request["message"]).map_err(wrong_type)?;

    let data_only = message.notification.is_none()
        && fields.get("android").is_none_or(|a| a.get("notification").is_none());
    let withdraws = message.data.get("withdraw").filter(|_| data_only);
    let withdraws = withdraws.map(|ids| serde_json::from_str::<Vec<String>>(ids)).transpose();
    let shown = message.notification.unwrap_or_default();
    let ours = message.android.notification;
    let datum = |name: &str| message.data.get(name).cloned();
    let incoming = Incoming {
        kind: Kind::Fcm,
        user: datum("user"),
        to: message.token,
        alert: datum("alert"),
        title: ours.title.or(shown.title).or_else(|| datum("title")).unwrap_or_default(),
        body: ours.body.or(shown.body).or_else(|| datum("body")).unwrap_or_default(),
        ids: Ids {
            collapse_id: message.android.collapse_key,
            tag: ours.tag.or_else(|| datum("tag")),
            ..Ids::default()
        },
        headers: BTreeMap::new(),
        payload: serde_json::from_slice::<Box<RawValue>>(body).ok(),
        // Not a list of ids: Google would deliver it all the same, and no phone would take anything back.
        withdraws: withdraws.unwrap_or_default().unwrap_or_default(),
        declared: None,
        activity: None,
        mail: None,
        connection: 0,
    };
    Ok((incoming, request.get("validate_only") == Some(&Value::Bool(true))))
}

fn refuse_unknown(fields: &Map<String, Value>, known: &[&str], at: &str) -> Result<(), Refusal> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field."
            );
            Err(Refusal::argument(at, &message))
        }
    }
}

fn check_data(data: Option<&Value>) -> Result<(), Refusal> {
    let data = match data {
        None => return Ok(()),
        Some(Value::Object(data)) => data,
        Some(_) => {
            return Err(Refusal::argument("message.data", "Invalid value at 'message.data': not a map."));
        }
    };
    for (name, value) in data {
        if !value.is_string() {
            let message = format!("Invalid value at 'message.data[{name}].value' (TYPE_STRING), {value}");
            return Err(Refusal::argument(&format!("message.data[{name}].value"), &message));
        }
        let reserved = ["from", "message_type", "collapse_key"].contains(&name.as_str());
        if reserved || name.starts_with("google.") || name.starts_with("gcm.") {
            return Err(Refusal::argument("message.data", &format!("Invalid data payload key: {name}")));
        }
    }
    Ok(())
}

fn check_android(android: Option<&Value>) -> Result<(), Refusal> {
    let Some(android) = android else { return Ok(()) };
    let seconds = |ttl: &str| ttl.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    let ttl = android.get("ttl");
    let ttl_is_good =
        |ttl: &Value| ttl.as_str().and_then(seconds).is_some_and(|s| (0.0..=TTL_S_MAX).contains(&s));
    if ttl.is_some_and(|ttl| !ttl_is_good(ttl)) {
        return Err(Refusal::argument("message.android.ttl", "Invalid ttl: must be 0s to 2419200s."));
    }
    let known = |priority: &Value| matches!(priority.as_str(), Some("NORMAL" | "HIGH" | "normal" | "high"));
    if android.get("priority").is_some_and(|priority| !known(priority)) {
        return Err(Refusal::argument(
            "message.android.priority",
            "Invalid value at 'message.android.priority'.",
        ));
    }
    Ok(())
}

/// What Apple would refuse of the block for iOS apps: Google hands it on as it is.
fn check_apns(apns: Option<&Value>) -> Result<(), Refusal> {
    let Some(apns) = apns else { return Ok(()) };
    let headers = apns["headers"].as_object().cloned().unwrap_or_default();
    if let Some((name, _)) = headers.iter().find(|(_, value)| !value.is_string()) {
        let at = format!("message.apns.headers[{name}]");
        return Err(Refusal::argument(&at, &format!("Invalid value at '{at}' (TYPE_STRING)")));
    }
    let header = |name: &str| headers.get(name).and_then(Value::as_str);
    if (header("apns-push-type"), header("apns-priority")) == (Some("background"), Some("10")) {
        return Err(Refusal::argument("message.apns.headers", "A background push has no priority 10."));
    }
    match apns["payload"]["aps"].is_object() {
        true => Ok(()),
        false => Err(Refusal::argument("message.apns.payload", "The payload has no aps dictionary.")),
    }
}

/// The answer that a fault gives in place of 200, if it gives one.
fn failure(fault: &Fault) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let code = fault.status?;
    let mut details = Vec::new();
    if let Some(reason) = &fault.reason {
        details.push(json!({"@type": FCM_ERROR, "errorCode": reason}));
    }
    if let Some(field) = &fault.field {
        details.push(violation(field, "Asked for by a fault"));
    }
    if let Some(subject) = &fault.subject {
        let violations = json!([{"subject": subject, "description": "Asked for by a fault"}]);
        details.push(json!({"@type": QUOTA_FAILURE, "violations": violations}));
    }
    let message = fault.reason.clone().unwrap_or_else(|| "Asked for by a fault".into());
    Some(with_retry_after(fault, Refusal { code, message, details }.answer()))
}

/// Why Google does not take a message: its error body.
#[derive(Debug)]
struct Refusal {
    code: u16,
    message: String,
    details: Vec<Value>,
}

impl Refusal {
    fn argument(field: &str, message: &str) -> Self {
        let error_code = json!({"@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT"});
        Self { code: 400, message: message.to_owned(), details: vec![error_code, violation(field, message)] }
    }

    /// No `UNREGISTERED` in it: the path is wrong, not the token.
    fn not_found(message: &str) -> Self {
        Self { code: 404, message: message.to_owned(), details: Vec::new() }
    }

    fn wrong_project(project: &str) -> Self {
        Self::not_found(&format!("The project {project} was not found."))
    }

    fn answer(&self) -> Response {
        let status = match self.code {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            500 => "INTERNAL",
            503 => "UNAVAILABLE",
            _ => "UNKNOWN",
        };
        let mut error = json!({"code": self.code, "message": self.message, "status": status});
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, Json(json!({ "error": error }))).into_response()
    }
}

fn violation(field: &str, description: &str) -> Value {
    json!({"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": description}]})
}
