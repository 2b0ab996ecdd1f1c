//! A program that takes webhooks: `POST /hooks/{name}`, with the checks of a receiver of Standard Webhooks.
//!
//! What holds here:
//! - A receiver is a name; all share one secret, which is made of a kept key and so outlives a restart.
//! - A message with an id that came before is a copy of it, as the scheme has it.
//! - As in `apns`, a mistake of the sender is answered before a `status` fault is.
//!
//! Rules: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Fault, Provider};
use crate::http::{html_page, read_body, with_retry_after};
use crate::serve::Connection;
use crate::tls::Keys;

/// How far the time of a message may be from now, in seconds.
const TOLERANCE_S: i64 = 5 * 60;
const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Every receiver there could be.
pub(crate) struct Receivers(hmac::Key);

impl Receivers {
    pub(crate) fn new(keys: &Keys) -> anyhow::Result<Self> {
        let secret = keys.credentials.webhook_secret.trim_start_matches("whsec_");
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(secret)?)))
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/hooks/{name}", post(take)).with_state(shared)
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let fault = shared.faults.take(Provider::Webhook, |fault| fault.is_for(&name));
    connection.before(&fault).await;
    let checked = match read_body(body).await {
        Some(body) => check(&shared.receivers.0, &head.headers, &name, &body, Timestamp::now()),
        None => Err((StatusCode::PAYLOAD_TOO_LARGE, "too large")),
    };
    let response = match checked {
        Err(refusal) => refusal.into_response(),
        Ok(message) => match failure(&fault) {
            Some(answer) => answer,
            None => {
                shared.record(Incoming { connection: connection.number, ..message });
                StatusCode::NO_CONTENT.into_response()
            }
        },
    };
    connection.after(&fault).await;
    response
}

/// `reason` is the body of the answer, or the place where a redirect leads.
fn failure(fault: &Fault) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let status = StatusCode::from_u16(fault.status?).ok()?;
    let reason = fault.reason.clone().unwrap_or_else(|| "Simulated".to_owned());
    let answer = match status.is_redirection() {
        true => (status, [(header::LOCATION, reason)]).into_response(),
        false => (status, reason).into_response(),
    };
    Some(with_retry_after(fault, answer))
}

#[derive(Debug, Deserialize)]
struct Body {
    r#type: String,
    user: Option<String>,
    alert: Option<String>,
    title: Option<String>,
    body: Option<String>,
    because: Option<String>,
}

type Refusal = (StatusCode, &'static str);

/// What a receiver makes of a request: the message, or why it is not taken.
fn check(
    key: &hmac::Key,
    headers: &HeaderMap,
    name: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Incoming, Refusal> {
    let bad = |why| (StatusCode::BAD_REQUEST, why);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let [Some(id), Some(at), Some(signatures)] = HEADERS.map(text) else {
        return Err(bad("a header of Standard Webhooks is missing"));
    };
    let is_now = at.parse().is_ok_and(|at: i64| (now.as_second() - at).abs() <= TOLERANCE_S);
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    let is_ours = |signature: &str| {
        let signature = signature.strip_prefix("v1,").and_then(|base64| BASE64_STANDARD.decode(base64).ok());
        signature.is_some_and(|signature| hmac::verify(key, &signed, &signature).is_ok())
    };
    if !is_now || !signatures.split(' ').any(is_ours) {
        return Err((StatusCode::UNAUTHORIZED, "the signature is not of this secret, id, time and body"));
    }
    if text("content-type") != Some("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "not application/json"));
    }
    let read: Body = serde_json::from_slice(body).map_err(|_| bad("not a message"))?;
    let is_withdrawal = read.r#type == "withdrawal";
    Ok(Incoming {
        kind: Kind::Webhook,
        user: read.user,
        to: name.to_owned(),
        withdraws: read.alert.clone().filter(|_| is_withdrawal).into_iter().collect(),
        declared: None,
        activity: None,
        mail: None,
        alert: read.alert.filter(|_| !is_withdrawal),
        title: read.title.or(read.because).unwrap_or_default(),
        body: read.body.unwrap_or_default(),
        ids: Ids { message_id: Some(id.to_owned()), ..Ids::default() },
        headers: HEADERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(name)?.to_owned())))
            .collect::<BTreeMap<_, _>>(),
        payload: serde_json::from_slice::<Box<RawValue>>(body).ok(),
        connection: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BODY: &[u8] = br#"{"type": "alert", "user": "ana", "alert": "a-1", "title": "Disk is full"}"#;

    fn signed(key: &hmac::Key, at: i64, body: &[u8]) -> HeaderMap {
        let signature = hmac::sign(key, &[format!("m-1.{at}.").as_bytes(), body].concat());
        let signature = format!("v1,AAAA v1,{}", BASE64_STANDARD.encode(signature));
        [("webhook-id", "m-1"), ("webhook-timestamp", &at.to_string()), ("webhook-signature", &signature)]
            .into_iter()
            .chain([("content-type", "application/json")])
            .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_what_the_secret_signed_lately_is_taken() {
        let (key, other) = (hmac::Key::new(hmac::HMAC_SHA256, b"k"), hmac::Key::new(hmac::HMAC_SHA256, b"o"));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let status =
            |headers: &HeaderMap, body: &[u8]| check(&key, headers, "ana", body, now).err().map(|e| e.0);
        assert_eq!(status(&signed(&key, 1_000_000, BODY), BODY), None, "one of two signatures is enough");
        for (why, headers, body) in [
            ("another secret", signed(&other, 1_000_000, BODY), BODY),
            ("another body", signed(&key, 1_000_000, BODY), b"{}"),
            ("long ago", signed(&key, 1_000_000 - TOLERANCE_S - 1, BODY), BODY),
            ("not yet", signed(&key, 1_000_000 + TOLERANCE_S + 1, BODY), BODY),
        ] {
            assert_eq!(status(&headers, body), Some(StatusCode::UNAUTHORIZED), "{why}");
        }
        assert_eq!(status(&HeaderMap::new(), BODY), Some(StatusCode::BAD_REQUEST), "not signed at all");
    }
}
