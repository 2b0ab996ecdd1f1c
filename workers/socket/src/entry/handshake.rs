//! The head of the response that begins a session: of a WebSocket, or of a stream of server-sent events.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watchbell::wire::Problem;

/// The subprotocol, for clients that name one.
const SUBPROTOCOL: &str = "watchbell.v1";
/// How long an `EventSource` waits before it comes back by itself, in milliseconds.
const SSE_RETRY_MS: u32 = 3_000;

/// Whether a request asks for a WebSocket.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket")
}

/// The answer to an opening handshake (RFC 6455, section 4.2.2).
pub(crate) fn websocket_head(version: Version, headers: &HeaderMap) -> Result<String, Problem> {
    // A client of HTTP/1.0, and what stands in between, take what follows for the body of an answer.
    if version < Version::HTTP_11 {
        return Err(Problem::malformed("a WebSocket is opened with HTTP/1.1"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_16_bytes(key.as_bytes()));
    let is_version_13 = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let (Some(key), true, true) = (key, is_version_13, asks_for_websocket(headers)) else {
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

/// The head of a stream of server-sent events.
pub(crate) fn server_sent_head(allowed_origins: &[String], headers: &HeaderMap) -> String {
    // Other pages than our own may read it when they are named; nobody else was let in.
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.filter(|origin| allowed_origins.iter().any(|allowed| allowed == origin));
    let cors = origin.map_or(String::new(), |origin| {
        format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")
    });
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         X-Accel-Buffering: no\r\nConnection: close\r\n{cors}\r\nretry: {SSE_RETRY_MS}\n\n"
    )
}

/// Whether a header that is a list has an item.
fn has_token(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name);
    let mut items =
        values.iter().filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|line| line.split(','));
    items.any(|found| found.trim().eq_ignore_ascii_case(item))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
