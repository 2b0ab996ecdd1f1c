//! Ways in for [fuzz](../../../fuzz), which sees only what is public: what a stranger's bytes reach before anybody is
//! believed. They panic where something does not hold.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use watchbell::{
    runtime::http::{ClientScheme, Query},
    wire::frame::{CLIENT_FRAME_BYTES_MAX, ClientFrame},
};

use crate::{
    entry::{credentials::token_of, handshake::websocket_head, origin::AllowedOrigins, query::StreamQuery},
    session::decoder::{ClientMessage, Decoder},
};

/// What a client sends after the handshake, in reads of `chunk` bytes.
pub fn client_bytes(bytes: &[u8], chunk: usize) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for read in bytes.chunks(chunk.max(1)) {
        if decoder.take(read, CLIENT_FRAME_BYTES_MAX, &mut messages).is_err() {
            break;
        }
        assert!(
            decoder.kept() <= 2 * CLIENT_FRAME_BYTES_MAX + chunk,
            "more is kept than one message may have"
        );
    }
    for message in messages {
        if let ClientMessage::Text(text) = message {
            assert!(text.len() <= CLIENT_FRAME_BYTES_MAX, "a message longer than it may be");
            for line in text.lines() {
                // Understood or refused.
                let _ = ClientFrame::read(line);
            }
        }
    }
}

/// A request for a session: lines of `name: value`, and before them its query.
pub fn handshake(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        // What these do not take does not come through the parser of HTTP either.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    token_of(&headers);
    AllowedOrigins::new(&["https://app.example.com".to_owned()], Some("https://alerts.example.com"))
        .allow(&headers, ClientScheme::Http);
    if let Ok(head) = websocket_head(Version::HTTP_11, &headers) {
        let lines = head.strip_suffix("\r\n\r\n").map(|head| head.split("\r\n").count());
        assert!(matches!(lines, Some(4 | 5)), "something of the request came into the answer: {head}");
    }
    if let Ok(uri) = Uri::try_from(format!("/v1/ws?{query}"))
        && let Ok(Query(query)) = Query::<StreamQuery>::of(&uri)
    {
        query.auth();
    }
}
