//! Frames as they leave: encoded once for everybody who gets them, whatever their transport.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};
use watchbell::{
    domain::{Seq, Severity},
    wire::{frame::ServerFrame, live::LivePublished},
};

use crate::frames::{epoch::Epoch, sent::FrameMark, traced::FrameTrace};

/// The longest head of a WebSocket frame without a mask, in bytes (RFC 6455, section 5.2).
const HEAD_BYTES_MAX: usize = 10;

/// The answer to a client that closes (RFC 6455, section 7.4.1).
pub(crate) const CLOSED: (u16, &str) = (1000, "");

/// How a session's bytes look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A WebSocket text message a frame.
    Ws,
    /// A server-sent event a frame.
    Sse,
    /// Events of topics as they were published, without our envelope, over WebSocket: for a team's existing clients.
    BareWs,
    /// The same as server-sent events.
    BareSse,
}

impl Form {
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::BareWs)
    }

    /// For metrics.
    pub(crate) fn transport(self) -> &'static str {
        if self.is_websocket() { "ws" } else { "sse" }
    }

    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::BareWs | Self::BareSse)
    }
}

/// One frame. Shared by reference: its bytes are made once for each form that somebody needs.
pub(crate) struct Frame {
    kind: &'static str,
    /// The change number it brings, for frames that bring one.
    pub(crate) seq: Option<Seq>,
    /// For a live alert, as far as it is known.
    published: Option<LivePublished>,
    /// For a live alert that is traced.
    trace: Option<Arc<FrameTrace>>,
    /// For a numbered one that came live: the epoch its number is of.
    epoch: Option<Arc<Epoch>>,
    /// A WebSocket frame: head and JSON.
    ws: Bytes,
    /// Where the JSON begins in `ws`.
    json_at: u8,
    /// How long the alert or event is that ends the JSON, before the last brace.
    inner_len: u32,
    sse: OnceLock<Bytes>,
    bare_ws: OnceLock<Bytes>,
    bare_sse: OnceLock<Bytes>,
    facets: OnceLock<Facets>,
}

impl Frame {
    /// Encodes a frame. `seq` is where a client stands after it, if that changes.
    pub(crate) fn new(frame: &ServerFrame<'_>, seq: Option<Seq>) -> Self {
        let mut bytes = vec![0; HEAD_BYTES_MAX];
        // Text, numbers and JSON that was read as JSON always serialize.
        let _ = serde_json::to_writer(&mut bytes, frame);
        let head = head(OpCode::Data(Data::Text), bytes.len() - HEAD_BYTES_MAX);
        let begin = HEAD_BYTES_MAX - head.len();
        bytes[begin..HEAD_BYTES_MAX].copy_from_slice(&head);
        Self {
            kind: frame.name(),
            seq,
            published: None,
            trace: None,
            epoch: None,
            ws: Bytes::from(bytes).slice(begin..),
            json_at: head.len() as u8,
            inner_len: frame.inner_len() as u32,
            sse: OnceLock::new(),
            bare_ws: OnceLock::new(),
            bare_sse: OnceLock::new(),
            facets: OnceLock::new(),
        }
    }

    /// The same for a live frame with a number, which only sessions of this epoch take.
    pub(crate) fn live(frame: &ServerFrame<'_>, seq: Seq, epoch: &Arc<Epoch>) -> Self {
        Self { epoch: Some(epoch.clone()), ..Self::new(frame, Some(seq)) }
    }

    /// Of an alert that was published then.
    pub(crate) fn published(self, published: Option<LivePublished>) -> Self {
        Self { published, ..self }
    }

    /// As part of a trace.
    pub(crate) fn traced(self, trace: Option<Arc<FrameTrace>>) -> Self {
        Self { trace, ..self }
    }

    /// For a numbered one that came live: which epoch its number is of; 0 for any other.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.as_ref().map_or(0, |epoch| epoch.number)
    }

    /// What is counted once it is written.
    pub(crate) fn mark(&self) -> FrameMark {
        FrameMark { kind: self.kind, published: self.published, trace: self.trace.clone() }
    }

    /// The frame as JSON.
    pub(crate) fn json(&self) -> &str {
        // It was written by serde_json.
        std::str::from_utf8(&self.ws[self.json_at.into()..]).unwrap_or_default()
    }

    /// The alert or event in it; empty for other frames.
    fn inner(&self) -> &str {
        let json = self.json();
        let end = json.len().saturating_sub(1);
        json.get(end.saturating_sub(self.inner_len as usize)..end).unwrap_or_default()
    }

    /// Its length, for bounds.
    pub(crate) fn len(&self) -> usize {
        self.ws.len()
    }

    /// What is written for it, if a session of this form is told of it at all. `epoch` is the store's, for cursors.
    pub(crate) fn bytes(&self, form: Form, epoch: &str) -> Option<Bytes> {
        self.encoded_in(form, epoch).cloned()
    }

    /// The same of a frame that came live, whose epoch is known if it has a cursor.
    pub(crate) fn live_bytes(&self, form: Form) -> Option<&Bytes> {
        self.encoded_in(form, self.epoch.as_ref().map_or("", |epoch| epoch.name()))
    }

    fn encoded_in(&self, form: Form, epoch: &str) -> Option<&Bytes> {
        Some(match form {
            Form::Ws => &self.ws,
            Form::Sse => self.sse.get_or_init(|| server_sent(self.kind, self.seq, epoch, self.json())),
            Form::BareWs | Form::BareSse if self.kind != "event" => return None,
            Form::BareWs => self.bare_ws.get_or_init(|| text(self.inner())),
            Form::BareSse => self.bare_sse.get_or_init(|| {
                server_sent(self.facets().kind.as_deref().unwrap_or("event"), None, epoch, self.inner())
            }),
        })
    }

    /// Whether a filter may leave it out.
    pub(crate) fn can_be_filtered(&self) -> bool {
        self.inner_len > 0
    }

    /// What filters look at.
    pub(crate) fn facets(&self) -> &Facets {
        self.facets.get_or_init(|| serde_json::from_str(self.inner()).unwrap_or_default())
    }
}

fn server_sent(kind: &str, seq: Option<Seq>, epoch: &str, json: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(json.len() + kind.len() + 64);
    // Writing into memory does not fail. JSON as serde_json writes it has no line break.
    let _ = writeln!(bytes, "event: {kind}");
    if let Some(seq) = seq {
        let _ = writeln!(bytes, "id: {epoch}.{seq}");
    }
    let _ = write!(bytes, "data: {json}\n\n");
    bytes.into()
}

/// What an alert or event says that filters look at.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Facets {
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// An event's topic.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// An event's type.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// An alert's category.
    #[serde(default)]
    pub(crate) category: Option<String>,
    #[serde(default)]
    pub(crate) source: Option<String>,
    #[serde(default)]
    pub(crate) severity: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

impl Facets {
    pub(crate) fn severity(&self) -> Option<Severity> {
        self.severity.as_deref()?.parse().ok()
    }
}

/// A text message.
pub(crate) fn text(text: &str) -> Bytes {
    message(OpCode::Data(Data::Text), text.as_bytes())
}

/// A ping of the WebSocket layer: a browser answers it by itself, whatever its page does.
pub(crate) fn ping() -> Bytes {
    message(OpCode::Control(Control::Ping), b"")
}

pub(crate) fn pong(payload: &[u8]) -> Bytes {
    message(OpCode::Control(Control::Pong), payload)
}

pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    message(OpCode::Control(Control::Close), &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn message(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut bytes = head(opcode, payload.len());
    bytes.extend_from_slice(payload);
    bytes.into()
}

fn head(opcode: OpCode, len: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Writing into memory does not fail.
    let _ = header.format(len as u64, &mut head);
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::value::RawValue;
    use watchbell::wire::frame::{AlertFrame, EventFrame};

    use super::*;

    #[test]
    fn a_frame_looks_right_in_every_form() {
        let alert = RawValue::from_string(r#"{"id":"a","severity":"critical"}"#.into()).unwrap();
        let alert = ServerFrame::Alert(AlertFrame {
            seq: 7,
            cursor: "e.7",
            unread: 1,
            state: "new",
            until: None,
            answer: None,
            alert: &alert,
        });
        let alert = Frame::new(&alert, Some(7));
        let json = r#"{"type":"alert","seq":7,"cursor":"e.7","unread":1,"state":"new","alert":{"id":"a","severity":"critical"}}"#;
        assert_eq!(alert.json(), json);
        assert_eq!(alert.bytes(Form::Ws, "e").unwrap()[..2], [0x81, json.len() as u8]);
        assert_eq!(alert.bytes(Form::Sse, "e").unwrap(), format!("event: alert\nid: e.7\ndata: {json}\n\n"));
        assert_eq!(alert.bytes(Form::BareWs, "e"), None, "bare clients know events only");
        assert_eq!(alert.facets().severity(), Some(Severity::Critical));

        let event = RawValue::from_string(r#"{"type":"status_change","data":{"up":false}}"#.into()).unwrap();
        let event = Frame::new(&ServerFrame::Event(EventFrame { topic: "monitor:7", event: &event }), None);
        assert_eq!(
            event.bytes(Form::BareWs, "e").unwrap()[2..],
            *br#"{"type":"status_change","data":{"up":false}}"#
        );
        assert_eq!(
            event.bytes(Form::BareSse, "e").unwrap(),
            "event: status_change\ndata: {\"type\":\"status_change\",\"data\":{\"up\":false}}\n\n"
        );
    }

    #[test]
    fn long_messages_have_long_heads() {
        for (len, head_len) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(text(&"x".repeat(len)).len(), head_len + len);
        }
    }
}
