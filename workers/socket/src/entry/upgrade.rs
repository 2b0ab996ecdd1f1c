//! The door: what a request must have to become a session, for WebSocket and SSE alike.
//!
//! A WebSocket is never refused for its token at the handshake: a browser cannot see that status and would retry for
//! ever, so the session is accepted and then closed with a code. SSE is refused with a status: `EventSource` stops at
//! any that is not 200. Only a foreign origin (403) and overload (503) are refused for both.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watchbell::{
    domain::Secret,
    runtime::http::{ClientAddress, Taken, take_over},
    store::Head,
    wire::{
        Problem,
        frame::{Auth, Filter},
    },
};

use crate::{
    Identity, Socket,
    entry::extract::Query,
    frames::frame::Form,
    pod::{leaving::Admission, limits::AddressPlace},
    session::{mount::Mount, run},
    token::TokenError,
};

/// The name of the cookie a team's page may keep the token in.
const COOKIE: &str = "watchbell_token";
/// The subprotocol, for clients that name one.
const SUBPROTOCOL: &str = "watchbell.v1";
/// Seconds after which a refused client may come back.
pub(crate) const RETRY_AFTER_S: u32 = 5;
/// The same, where only this pod refuses.
const LEAVING_RETRY_AFTER_S: u32 = 1;
/// How long an `EventSource` waits before it comes back by itself, in milliseconds.
const SSE_RETRY_MS: u32 = 3_000;

/// What may stand in the query. Not printed: it may hold a token.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct StreamQuery {
    token: Option<String>,
    pub(crate) cursor: Option<String>,
    /// Separated by commas, as all lists here.
    topics: Option<String>,
    types: Option<String>,
    sources: Option<String>,
    /// `name:value,name:value`
    labels: Option<String>,
    min_severity: Option<String>,
    /// Seconds a poll waits for something to tell.
    pub(crate) wait: Option<u64>,
}

impl StreamQuery {
    /// What the query asks for, in the words of an `auth` frame.
    pub(crate) fn auth(self) -> Auth {
        let list = |text: Option<String>| -> Vec<String> {
            text.iter()
                .flat_map(|text| text.split(','))
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()
        };
        // One without a name is refused where the filter is read.
        let label = |pair: String| {
            pair.split_once(':')
                .map_or_else(Default::default, |(name, value)| (name.to_owned(), value.to_owned()))
        };
        let filter = Filter {
            types: list(self.types),
            sources: list(self.sources),
            labels: list(self.labels).into_iter().map(label).collect(),
            min_severity: self.min_severity,
        };
        Auth {
            token: self.token,
            cursor: self.cursor,
            visibility: None,
            topics: list(self.topics),
            filter: (filter != Filter::default()).then_some(filter),
            batch: None,
        }
    }
}

/// Somebody who came through the door.
pub(crate) struct Visitor {
    pub(crate) form: Form,
    /// What the request said already; the token of a WebSocket may still come as its first frame.
    pub(crate) auth: Auth,
    /// Who it is, where that had to be known at the door.
    pub(crate) identity: Option<Identity>,
    /// `None`: too many from there. A WebSocket is told by its close code.
    pub(crate) address: Option<AddressPlace>,
    pub(crate) mount: Option<Arc<Mount>>,
    /// The response's head, to be written first.
    pub(crate) head: String,
}

/// `GET /v1/ws`
pub(crate) async fn ws(
    State(socket): State<Socket>,
    client: Extension<ClientAddress>,
    query: Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    enter(&socket, *client, query.0.auth(), &headers, Form::Ws, None).await
}

/// `GET /v1/sse`
pub(crate) async fn sse(
    State(socket): State<Socket>,
    client: Extension<ClientAddress>,
    query: Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    enter(&socket, *client, query.0.auth(), &headers, Form::Sse, None).await
}

/// A stream under a team's own address: WebSocket when that is asked for, SSE otherwise.
pub(crate) async fn mounted(
    socket: &Socket,
    client: ClientAddress,
    query: StreamQuery,
    headers: &HeaderMap,
    mount: Arc<Mount>,
) -> Result<Response, Problem> {
    let wants_websocket = has_token(headers, header::UPGRADE, "websocket");
    let form = match (wants_websocket, mount.is_bare()) {
        (true, false) => Form::Ws,
        (true, true) => Form::BareWs,
        (false, false) => Form::Sse,
        (false, true) => Form::BareSse,
    };
    enter(socket, client, query.auth(), headers, form, Some(mount)).await
}

async fn enter(
    socket: &Socket,
    client: ClientAddress,
    mut auth: Auth,
    headers: &HeaderMap,
    form: Form,
    mount: Option<Arc<Mount>>,
) -> Result<Response, Problem> {
    check_room(socket, headers)?;
    // Counted before it is asked whether the pod takes anybody: a pod that leaves waits for whoever it took.
    let counted = socket.0.sessions.token();
    check_stays(socket)?;
    auth.token = token_of(headers).map(|token| token.expose().to_owned()).or(auth.token);
    let max = socket.0.config.sessions_per_address_max;
    let address = socket.0.addresses.enter(client.0, max);
    let (head, identity) = if form.is_websocket() {
        (websocket_head(headers)?, None)
    } else {
        if address.is_none() {
            return Err(Problem::too_many("this address has enough sessions", RETRY_AFTER_S));
        }
        let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        // What the browser saw last is newer than what the page once put into the address.
        auth.cursor = last_id.or(auth.cursor);
        let identity = identity_of(socket, auth.token.as_deref()).await?;
        if mount.as_ref().is_some_and(|mount| mount.is_bare() && !mount.may_be_read_by(&identity)) {
            return Err(Problem::forbidden("your token does not allow this topic"));
        }
        (server_sent_head(socket, headers), Some(identity))
    };
    let visitor = Visitor { form, auth, identity, address, mount, head };
    let socket = socket.clone();
    Ok(take_over(move |taken: Taken| {
        let sessions = socket.0.sessions.clone();
        sessions.spawn(run::run(socket, taken, Box::new(visitor)));
        drop(counted);
    }))
}

/// Refuses whoever could not move in time before this pod is gone.
fn check_stays(socket: &Socket) -> Result<(), Problem> {
    match socket.0.leaving.admit(Instant::now()) {
        Admission::Stay | Admission::Pass(_) => Ok(()),
        Admission::Refuse => {
            metrics::counter!("watchbell_socket_refused_total", "reason" => "leaving").increment(1);
            // Another pod takes it now.
            Err(Problem::unavailable("this pod is leaving: connect again, to another", LEAVING_RETRY_AFTER_S))
        }
    }
}

/// Refuses foreign pages, and everybody when the pod is full.
pub(crate) fn check_room(socket: &Socket, headers: &HeaderMap) -> Result<(), Problem> {
    check_origin(socket, headers)?;
    if socket.0.hub.sessions() >= socket.0.config.sessions_max {
        metrics::counter!("watchbell_socket_refused_total", "reason" => "overload").increment(1);
        return Err(Problem::unavailable("this pod takes no more sessions", RETRY_AFTER_S));
    }
    Ok(())
}

/// Fails closed: a browser sends the cookie with the requests of any page, some of which CORS does not ask about.
pub(crate) fn check_origin(socket: &Socket, headers: &HeaderMap) -> Result<(), Problem> {
    if origin_is_allowed(headers, &socket.0.config.allowed_origins) {
        return Ok(());
    }
    metrics::counter!("watchbell_socket_refused_total", "reason" => "origin").increment(1);
    Err(Problem::forbidden("this page's origin is not in socket.allowed_origins"))
}

/// Whose token it is; a problem for whoever has none that is good.
pub(crate) async fn identity_of(socket: &Socket, token: Option<&str>) -> Result<Identity, Problem> {
    let token = token.ok_or_else(|| Problem::unauthorized("send a token as `Authorization: Bearer …`"))?;
    let identified = socket.0.authenticator.identify(token, socket.0.clock.now()).await;
    identified.map_err(|error| match error {
        TokenError::Expired | TokenError::Invalid(_) => Problem::unauthorized(error.to_string()),
        TokenError::UnknownKey => Problem::unavailable(error.to_string(), RETRY_AFTER_S),
    })
}

/// A token that was issued before its user's sessions were revoked opens nothing any more.
pub(crate) fn check_revoked(identity: &Identity, head: &Head) -> Result<(), Problem> {
    match head.refuses(identity.issued_at) {
        true => Err(Problem::unauthorized("the sessions of this user were revoked: sign in again")),
        false => Ok(()),
    }
}

/// The answer to an opening handshake (RFC 6455, section 4.2.2).
pub(crate) fn websocket_head(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_16_bytes(key.as_bytes()));
    let is_version_13 = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let (Some(key), true, true) = (key, is_version_13, has_token(headers, header::UPGRADE, "websocket"))
    else {
        return Err(Problem::malformed(
            "this address speaks WebSocket, version 13: send an opening handshake",
        ));
    };
    let accept = derive_accept_key(key.as_bytes());
    let protocol = match has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        true => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        false => String::new(),
    };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    ))
}

/// Whether it is 16 bytes in base64 (RFC 6455, section 4.1): 22 characters, the last of which has four bits to spare,
/// and `==`. A client that leaves rubbish in those bits is let in.
fn is_16_bytes(key: &[u8]) -> bool {
    let digit = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    key.len() == 24 && key.strip_suffix(b"==").is_some_and(|digits| digits.iter().all(digit))
}

fn server_sent_head(socket: &Socket, headers: &HeaderMap) -> String {
    // Other pages than our own may read it when they are named; `check_room` let nobody else in.
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin =
        origin.filter(|origin| socket.0.config.allowed_origins.iter().any(|allowed| allowed == origin));
    let cors = origin.map_or(String::new(), |origin| {
        format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")
    });
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
         X-Accel-Buffering: no\r\nConnection: close\r\n{cors}\r\nretry: {SSE_RETRY_MS}\n\n"
    )
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

/// Whether a header that is a list has an item.
fn has_token(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name);
    let mut items =
        values.iter().filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|line| line.split(','));
    items.any(|found| found.trim().eq_ignore_ascii_case(item))
}

/// A page may connect when it is ours or named. No origin at all is not a page.
pub(crate) fn origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
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
    fn a_key_of_a_handshake_is_16_bytes() {
        for (why, key, expected) in [
            ("the one of RFC 6455", "dGhlIHNhbXBsZSBub25jZQ==", true),
            ("no base64", "!!!!!!!!!!!!!!!!!!!!!!!!", false),
            ("18 bytes", "dGhlIHNhbXBsZSBub25jZSEh", false),
            ("17 bytes", "dGhlIHNhbXBsZSBub25jZSE=", false),
            ("padded in the middle", "dGhlIHNhbXBs==Bub25jZQ==", false),
            ("the other alphabet", "dGhlIHNhbXBsZSBub25jZ_==", false),
            ("15 bytes", "dGhlIHNhbXBsZSBub25j", false),
        ] {
            assert_eq!(is_16_bytes(key.as_bytes()), expected, "{why}");
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
