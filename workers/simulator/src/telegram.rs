//! Telegram: the Bot API's `getMe`, `sendMessage`, `editMessageText` and `deleteMessage`, with its checks and answers.
//!
//! What holds here:
//! - As in `apns`, a mistake of the sender is answered before a `status` fault is.
//! - A message is edited and deleted in the chat that shows it. What was deleted is not there any more.
//!
//! Rules: <https://core.telegram.org/bots/api>. Every chat has begun one with the bot, and every message is young enough
//! to be deleted: a fault says otherwise.
//!
//! Elsewhere: what a chat shows, in `arrivals`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Fault, Provider};
use crate::http::{html_page, read_body};
use crate::serve::Connection;
use crate::tls::Keys;

/// The longest text, in UTF-16 units.
const TEXT_UNITS_MAX: usize = 4096;

/// The one bot there is.
pub(crate) struct Bot {
    token: String,
    /// The next message's number. Numbers begin with the time, so that none comes back after a restart.
    next: AtomicI64,
}

impl Bot {
    pub(crate) fn new(keys: &Keys) -> Self {
        let token = keys.credentials.telegram_bot_token.clone();
        Self { token, next: AtomicI64::new(Timestamp::now().as_second()) }
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/bot{token}/{method}", post(call)).with_state(shared)
}

/// What a call is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Send,
    Edit,
    Delete,
}

/// What of a request is read.
#[derive(Debug, Deserialize)]
struct Parameters {
    chat_id: Value,
    #[serde(default)]
    message_id: Option<i64>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    entities: Vec<Entity>,
}

#[derive(Debug, Deserialize)]
struct Entity {
    offset: usize,
    length: usize,
}

async fn call(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path((token, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let body = read_body(request.into_body()).await.unwrap_or_default();
    let parameters: Option<Parameters> = serde_json::from_slice(&body).ok();
    let chat = parameters.as_ref().map(chat_of).unwrap_or_default();
    let fault = shared.faults.take(Provider::Telegram, |fault| fault.is_for(&chat));
    connection.before(&fault).await;
    // It names no chat.
    if method == "getMe" && token == shared.bot.token {
        let response = failure(&fault).unwrap_or_else(|| {
            let bot =
                json!({"id": 1, "is_bot": true, "first_name": "Watchbell", "username": "watchbell_bot"});
            Json(json!({"ok": true, "result": bot})).into_response()
        });
        connection.after(&fault).await;
        return response;
    }
    let response = match check(&shared.bot.token, &token, &method, parameters, &chat) {
        Err((status, why)) => refusal(status, why, json!({})),
        Ok((method, parameters)) => match failure(&fault) {
            Some(answer) => answer,
            None => {
                let payload = serde_json::from_slice(&body).ok();
                carry_out(&shared, method, &parameters, &chat, payload, connection.number)
            }
        },
    };
    connection.after(&fault).await;
    response
}

/// A chat's id, which is written as a number or as a text.
fn chat_of(parameters: &Parameters) -> String {
    match &parameters.chat_id {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

type Refusal = (u16, &'static str);

/// What Telegram makes of a request before it looks at the chat.
fn check(
    expected: &str,
    token: &str,
    method: &str,
    parameters: Option<Parameters>,
    chat: &str,
) -> Result<(Method, Parameters), Refusal> {
    let known = match method {
        "sendMessage" => Some(Method::Send),
        "editMessageText" => Some(Method::Edit),
        "deleteMessage" => Some(Method::Delete),
        _ => None,
    };
    if !token
        .split_once(':')
        .is_some_and(|(bot, _)| !bot.is_empty() && bot.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err((404, "Not Found"));
    }
    if token != expected {
        return Err((401, "Unauthorized"));
    }
    let method = known.ok_or((404, "Not Found: method not found"))?;
    let parameters = parameters.ok_or((400, "Bad Request: can't parse the request"))?;
    if chat.parse::<i64>().is_err() {
        return Err((400, "Bad Request: chat not found"));
    }
    if method != Method::Send && parameters.message_id.is_none() {
        return Err((400, "Bad Request: message identifier is not specified"));
    }
    let units = parameters.text.encode_utf16().count();
    if method != Method::Delete && parameters.text.trim().is_empty() {
        return Err((400, "Bad Request: message text is empty"));
    }
    if units > TEXT_UNITS_MAX {
        return Err((400, "Bad Request: message is too long"));
    }
    if parameters.entities.iter().any(|entity| entity.length == 0 || entity.offset + entity.length > units) {
        return Err((400, "Bad Request: can't parse entities"));
    }
    Ok((method, parameters))
}

fn carry_out(
    shared: &Shared,
    method: Method,
    parameters: &Parameters,
    chat: &str,
    payload: Option<Box<RawValue>>,
    connection: u64,
) -> Response {
    let message = match (method, parameters.message_id) {
        (Method::Edit | Method::Delete, Some(message)) => message,
        _ => shared.bot.next.fetch_add(1, Ordering::Relaxed),
    };
    let (title, body) = parameters.text.split_once("\n\n").unwrap_or((&parameters.text, ""));
    let incoming = Incoming {
        kind: Kind::Telegram,
        user: None,
        to: chat.to_owned(),
        alert: None,
        title: title.to_owned(),
        body: body.to_owned(),
        ids: Ids { message_id: Some(message.to_string()), ..Ids::default() },
        headers: BTreeMap::new(),
        payload,
        withdraws: if method == Method::Delete { vec![message.to_string()] } else { Vec::new() },
        declared: None,
        activity: None,
        mail: None,
        connection,
    };
    let shown = {
        let arrivals = shared.arrivals();
        let shown = arrivals.shown(Kind::Telegram, chat, &message.to_string());
        shown.map(|shown| shown.title == incoming.title && shown.body == incoming.body)
    };
    match (method, shown) {
        (Method::Edit, None) => refusal(400, "Bad Request: message to edit not found", json!({})),
        (Method::Delete, None) => refusal(400, "Bad Request: message to delete not found", json!({})),
        (Method::Edit, Some(true)) => refusal(
            400,
            "Bad Request: message is not modified: the new content is the current one",
            json!({}),
        ),
        (Method::Send | Method::Edit | Method::Delete, _) => {
            shared.record(incoming);
            let result = match method {
                Method::Delete => json!(true),
                Method::Send | Method::Edit => json!({"message_id": message, "chat": {"id": chat}}),
            };
            Json(json!({"ok": true, "result": result})).into_response()
        }
    }
}

/// The answer that a fault gives in place of 200, if it gives one. The wait stands in the body.
fn failure(fault: &Fault) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let mut parameters = json!({});
    if let Some(wait) = fault.retry_after {
        parameters["retry_after"] = json!(wait);
    }
    if let Some(chat) = fault.moved_to {
        parameters["migrate_to_chat_id"] = json!(chat);
    }
    Some(refusal(fault.status?, fault.reason.as_deref().unwrap_or("Asked for by a fault"), parameters))
}

fn refusal(code: u16, description: &str, parameters: Value) -> Response {
    let mut body = json!({"ok": false, "error_code": code, "description": description});
    if parameters.as_object().is_some_and(|parameters| !parameters.is_empty()) {
        body["parameters"] = parameters;
    }
    (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}
