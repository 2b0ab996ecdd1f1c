//! Slack: `POST /api/auth.test`, `POST /api/chat.postMessage`, `POST /api/chat.update` and incoming webhooks, with Slack's checks and answers.
//!
//! What holds here:
//! - Every id is a conversation that the bot is in. A member's messages stand in a conversation of their own, whose id is the
//!   member's with a `D` in front.
//! - A message is known by its conversation and its time, and is replaced only by that: posting again adds, as at Slack.
//! - What became of an alert is said in its message's place: nothing at Slack is taken away.
//! - As in `apns`, a mistake of the sender is answered before a fault is.
//!
//! Rules: <https://docs.slack.dev/reference/methods/chat.postMessage/>,
//! <https://docs.slack.dev/reference/methods/chat.update/>, <https://docs.slack.dev/messaging/formatting-message-text/>.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Fault, Provider};
use crate::http::{html_page, read_body, with_retry_after};
use crate::serve::Connection;

/// Characters of a section's text, and of what a notification says.
const SECTION_CHARS_MAX: usize = 3_000;
const TEXT_CHARS_MAX: usize = 40_000;
const BLOCKS_MAX: usize = 50;
const URL_CHARS_MAX: usize = 3_000;

/// The time of the last message, as a count: Slack's are unique within a conversation.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    fn next(&self) -> String {
        format!("1700000000.{:06}", self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/{method}", post(method))
        .route("/services/{team}/{hook}/{secret}", post(hook))
        .with_state(shared)
}

#[derive(Debug, Deserialize)]
struct Message {
    channel: Option<String>,
    ts: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    blocks: Vec<Value>,
    #[serde(default)]
    metadata: Value,
}

async fn method(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let body = read_body(body).await.unwrap_or_default();
    if method == "auth.test" {
        let fault = shared.faults.take(Provider::Slack, |fault| fault.is_for(""));
        connection.before(&fault).await;
        let response = match signed_in(&shared.slack_token, &head.headers) {
            Err(word) => refusal(word),
            Ok(()) => failure(&fault, refusal).unwrap_or_else(|| {
                Json(json!({"ok": true, "team": "Simulator", "user": "watchbell"})).into_response()
            }),
        };
        connection.after(&fault).await;
        return response;
    }
    let checked = check(&shared.slack_token, &method, &head.headers, &body);
    let to = checked.as_ref().map_or("", |(to, _)| to);
    let fault = shared.faults.take(Provider::Slack, |fault| fault.is_for(to));
    connection.before(&fault).await;
    let response = match checked {
        Err(word) => refusal(word),
        Ok((to, message)) => {
            match failure(&fault, |word| Json(json!({"ok": false, "error": word})).into_response()) {
                Some(answer) => answer,
                None => {
                    let ts = message.ts.clone().unwrap_or_else(|| shared.slack_clock.next());
                    let channel = conversation(&to);
                    let answer = Json(json!({"ok": true, "channel": channel, "ts": ts}));
                    let id = Some(format!("{channel}:{ts}"));
                    shared.record(incoming(channel, id, &message, &body, connection.number));
                    answer.into_response()
                }
            }
        }
    };
    connection.after(&fault).await;
    response
}

async fn hook(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path((team, hook, _)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let to = format!("{team}/{hook}");
    let body = read_body(request.into_body()).await.unwrap_or_default();
    let fault = shared.faults.take(Provider::Slack, |fault| fault.is_for(&to));
    connection.before(&fault).await;
    let read: Result<Message, _> = serde_json::from_slice(&body);
    let response =
        match read.map_err(|_| "invalid_payload").and_then(|message| fits(&message).map(|()| message)) {
            Err(word) => (StatusCode::BAD_REQUEST, word).into_response(),
            Ok(message) => match failure(&fault, |word| (StatusCode::OK, word.to_owned()).into_response()) {
                Some(answer) => answer,
                None => {
                    shared.record(incoming(to, None, &message, &body, connection.number));
                    (StatusCode::OK, "ok").into_response()
                }
            },
        };
    connection.after(&fault).await;
    response
}

/// `reason` is Slack's word. Below 400 there is a word alone, as the methods answer.
fn failure(fault: &Fault, with_word: impl Fn(&str) -> Response) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let status = StatusCode::from_u16(fault.status?).ok()?;
    let mut answer = with_word(fault.reason.as_deref().unwrap_or("internal_error"));
    *answer.status_mut() = status;
    Some(with_retry_after(fault, answer))
}

fn refusal(word: &str) -> Response {
    Json(json!({"ok": false, "error": word})).into_response()
}

/// Whom a method's message is for, and the message; or Slack's word for what is wrong with it.
fn check(
    token: &str,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(String, Message), &'static str> {
    signed_in(token, headers)?;
    let message: Message = serde_json::from_slice(body).map_err(|_| "invalid_json")?;
    let needs_ts = match method {
        "chat.postMessage" => false,
        "chat.update" => true,
        _ => return Err("unknown_method"),
    };
    if needs_ts != message.ts.is_some() {
        return Err("invalid_arguments");
    }
    fits(&message)?;
    let to = message.channel.clone().filter(|to| to.starts_with(['C', 'D', 'G', 'U', 'W']));
    Ok((to.ok_or("channel_not_found")?, message))
}

/// Whether the token is the bot's.
fn signed_in(token: &str, headers: &HeaderMap) -> Result<(), &'static str> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.map(|given| given.strip_prefix("Bearer ")) {
        None => Err("not_authed"),
        Some(given) if given != Some(token) => Err("invalid_auth"),
        Some(_) => Ok(()),
    }
}

/// Whether a message is within Slack's limits, and mentions nobody by mistake.
fn fits(message: &Message) -> Result<(), &'static str> {
    let texts = message.blocks.iter().flat_map(texts_of);
    let is_too_long = |text: &str| text.is_empty() || text.chars().count() > SECTION_CHARS_MAX;
    let urls = message.blocks.iter().filter_map(|block| block.pointer("/elements/0/url")?.as_str());
    for (wrong, word) in [
        (message.text.is_empty() && message.blocks.is_empty(), "no_text"),
        (message.text.chars().count() > TEXT_CHARS_MAX, "msg_too_long"),
        (message.blocks.len() > BLOCKS_MAX, "invalid_blocks"),
        (texts.clone().any(is_too_long), "invalid_blocks"),
        (urls.clone().any(|url| url.chars().count() > URL_CHARS_MAX), "invalid_blocks"),
    ] {
        if wrong {
            return Err(word);
        }
    }
    Ok(())
}

/// The texts of a section or of a context.
fn texts_of(block: &Value) -> impl Iterator<Item = &str> + Clone {
    let own = block.pointer("/text/text").and_then(Value::as_str);
    let first = block.pointer("/elements/0/text").and_then(Value::as_str);
    own.into_iter().chain(first)
}

fn conversation(to: &str) -> String {
    match to.strip_prefix(['U', 'W']) {
        Some(_) => format!("D{to}"),
        None => to.to_owned(),
    }
}

fn incoming(to: String, id: Option<String>, message: &Message, body: &[u8], connection: u64) -> Incoming {
    let about = |field: &str| {
        let value = message.metadata.pointer(&format!("/event_payload/{field}"));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    Incoming {
        kind: Kind::Slack,
        user: about("user"),
        to,
        alert: about("alert"),
        title: message.text.clone(),
        body: message.blocks.iter().flat_map(texts_of).collect::<Vec<_>>().join("\n"),
        ids: Ids { message_id: id, ..Ids::default() },
        headers: BTreeMap::new(),
        payload: serde_json::from_slice::<Box<RawValue>>(body).ok(),
        withdraws: Vec::new(),
        declared: None,
        activity: None,
        mail: None,
        connection,
    }
}
