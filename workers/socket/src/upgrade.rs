//! The handshake. Authentication never fails here: a browser cannot see the status and would retry for ever, so the
//! session is accepted and then closed with a code. Only a foreign origin (403) and overload (503) are refused.

use axum::{
    extract::{Query, State, ws::WebSocketUpgrade},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use watchbell::{
    domain::Secret,
    wire::{Problem, frame::CLIENT_FRAME_BYTES_MAX},
};

use crate::{Socket, session};

/// Read at a time. The default of 128 KiB would be most of what an idle session costs.
const READ_BUFFER_BYTES: usize = 1_024;
/// Frames are gathered up to here before they are written.
const WRITE_BUFFER_BYTES: usize = 4_096;
/// What may wait inside the WebSocket layer at the most.
const WRITE_BUFFER_BYTES_MAX: usize = 512 * 1_024;
/// The name of the cookie a team's page may keep the token in.
const COOKIE: &str = "watchbell_token";
/// The subprotocol, for clients that name one.
const SUBPROTOCOL: &str = "watchbell.v1";
/// Seconds after which a refused client may come back.
const RETRY_AFTER_S: u32 = 5;

/// What may stand in the query. Not printed: it may hold a token.
#[derive(Deserialize)]
pub(crate) struct WsQuery {
    token: Option<String>,
    cursor: Option<String>,
}

/// What the request said already.
pub(crate) struct Greeting {
    pub(crate) token: Option<Secret>,
    pub(crate) cursor: Option<String>,
}

pub(crate) async fn ws(
    State(socket): State<Socket>,
    Query(query): Query<WsQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !origin_is_allowed(&headers, &socket.0.config.allowed_origins) {
        metrics::counter!("watchbell_socket_refused_total", "reason" => "origin").increment(1);
        let remedy = "this page's origin is not in socket.allowed_origins";
        return Problem::forbidden(remedy).into_response();
    }
    if socket.0.leaving.is_cancelled() || socket.0.hub.sessions() >= socket.0.config.sessions_max {
        metrics::counter!("watchbell_socket_refused_total", "reason" => "overload").increment(1);
        return Problem::unavailable("this pod takes no more sessions", RETRY_AFTER_S).into_response();
    }
    let token = token_of(&headers).or(query.token.map(Secret::from));
    let greeting = Greeting { token, cursor: query.cursor };
    let tracker = socket.0.sessions.clone();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(CLIENT_FRAME_BYTES_MAX)
        .max_frame_size(CLIENT_FRAME_BYTES_MAX)
        .on_upgrade(move |ws| tracker.track_future(session::run(socket, ws, greeting)))
}

/// The token of a request: as bearer, or as a cookie.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<Secret> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    bearer.or_else(|| cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)).map(Secret::from)
}

/// A page may connect when it is ours or named. No origin at all is not a page.
fn origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, host)| host);
    (own.is_some() && own == host) || allowed.iter().any(|allowed| allowed == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_foreign_page_may_not_connect() {
        let named = ["https://app.example.com".to_owned()];
        for (why, origin, allowed, expected) in [
            ("not a page", None, &[][..], true),
            ("our own page", Some("http://alerts.example.com:7700"), &[], true),
            ("a page that is named", Some("https://app.example.com"), &named[..], true),
            ("the same host, not encrypted", Some("http://app.example.com"), &named[..], false),
            ("another page", Some("https://evil.example"), &named[..], false),
            ("a file", Some("null"), &named[..], false),
        ] {
            let mut request = headers(&[(header::HOST, "alerts.example.com:7700")]);
            if let Some(origin) = origin {
                request.insert(header::ORIGIN, header::HeaderValue::from_static(origin));
            }
            assert_eq!(origin_is_allowed(&request, allowed), expected, "{why}");
        }
    }

    #[test]
    fn a_token_may_be_a_bearer_or_a_cookie() {
        for (why, request, expected) in [
            ("bearer", headers(&[(header::AUTHORIZATION, "Bearer abc")]), Some("abc")),
            ("cookie among others", headers(&[(header::COOKIE, "a=b; watchbell_token=abc")]), Some("abc")),
            ("neither", headers(&[(header::COOKIE, "a=b")]), None),
            ("basic is not a token", headers(&[(header::AUTHORIZATION, "Basic abc")]), None),
        ] {
            assert_eq!(token_of(&request), expected.map(Secret::from), "{why}");
        }
    }
}
