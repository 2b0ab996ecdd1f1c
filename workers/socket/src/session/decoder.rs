//! What a client sends over a WebSocket, from bytes to messages (RFC 6455). Pure; keeps memory only for what has begun.
//!
//! Why not the reader of `tungstenite`: see [`super::connection`]. The heads of frames are read by it.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// The longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// One complete message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientMessage {
    Text(String),
    /// A fragment of so many bytes, of a message that goes on; or bytes of a client that has nothing to say.
    Part(usize),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// The client does not speak the protocol: binary, not masked, too long, not UTF-8, and so on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotTheProtocol;

/// Reads one connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// A frame that has begun and not ended.
    rest: Vec<u8>,
    /// Fragments of a message that has begun and not ended.
    fragments: Option<Vec<u8>>,
}

impl Decoder {
    /// Whether something has begun that has not ended.
    pub(crate) fn has_begun(&self) -> bool {
        !self.rest.is_empty() || self.fragments.is_some()
    }

    /// Takes what was read, and adds what is complete to `messages`. A message has `max` bytes at the most.
    pub(crate) fn take(
        &mut self,
        read: &[u8],
        max: usize,
        messages: &mut Vec<ClientMessage>,
    ) -> Result<(), NotTheProtocol> {
        let mut rest = std::mem::take(&mut self.rest);
        // Mostly a whole frame arrives at once, and nothing is copied.
        let bytes = if rest.is_empty() {
            read
        } else {
            rest.extend_from_slice(read);
            &rest
        };
        let mut at = 0;
        while let Some(len) = self.frame(&bytes[at..], max, messages)? {
            at += len;
        }
        self.rest = bytes[at..].to_vec();
        Ok(())
    }

    /// Bytes that wait for the rest of a frame or message.
    pub(crate) fn kept(&self) -> usize {
        self.rest.len() + self.fragments.as_ref().map_or(0, Vec::len)
    }

    /// Reads one frame; gives its length, or `None` when it is not complete.
    fn frame(
        &mut self,
        bytes: &[u8],
        max: usize,
        messages: &mut Vec<ClientMessage>,
    ) -> Result<Option<usize>, NotTheProtocol> {
        let mut cursor = Cursor::new(bytes);
        let Some((header, len)) = FrameHeader::parse(&mut cursor).map_err(|_| NotTheProtocol)? else {
            return Ok(None);
        };
        let Some(mask) = header.mask else { return Err(NotTheProtocol) };
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let too_long = len > max as u64 || is_control && len > CONTROL_BYTES_MAX;
        if header.rsv1 || header.rsv2 || header.rsv3 || too_long || is_control && !header.is_final {
            return Err(NotTheProtocol);
        }
        let begin = cursor.position() as usize;
        let Some(payload) = bytes.get(begin..begin + len as usize) else { return Ok(None) };
        let payload: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        self.understand(&header, payload, max, messages)?;
        Ok(Some(begin + len as usize))
    }

    fn understand(
        &mut self,
        header: &FrameHeader,
        payload: Vec<u8>,
        max: usize,
        messages: &mut Vec<ClientMessage>,
    ) -> Result<(), NotTheProtocol> {
        let len = payload.len();
        let whole = match (header.opcode, self.fragments.take()) {
            (OpCode::Control(control), fragments) => {
                self.fragments = fragments; // Control frames may come between fragments.
                messages.push(match control {
                    Control::Ping => ClientMessage::Ping(payload),
                    Control::Pong => ClientMessage::Pong,
                    Control::Close => ClientMessage::Close,
                    Control::Reserved(_) => return Err(NotTheProtocol),
                });
                return Ok(());
            }
            (OpCode::Data(Data::Text), None) => payload,
            (OpCode::Data(Data::Continue), Some(mut fragments)) => {
                fragments.extend_from_slice(&payload);
                fragments
            }
            _ => return Err(NotTheProtocol),
        };
        if whole.len() > max {
            return Err(NotTheProtocol);
        }
        if header.is_final {
            messages.push(ClientMessage::Text(String::from_utf8(whole).map_err(|_| NotTheProtocol)?));
        } else {
            messages.push(ClientMessage::Part(len));
            self.fragments = Some(whole);
        }
        Ok(())
    }
}

/// The text that clients send which cannot send WebSocket's own pings.
pub(crate) fn is_plain_ping(text: &str) -> bool {
    text.trim() == "ping"
}

#[cfg(test)]
mod tests {
    use watchbell::wire::frame::CLIENT_FRAME_BYTES_MAX;

    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(0x80 | len as u8),
            len => bytes.extend([&[0x80 | 126][..], &(len as u16).to_be_bytes()].concat()),
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What is understood of bytes that arrive `step` at a time.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<ClientMessage>, NotTheProtocol> {
        let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
        for chunk in bytes.chunks(step) {
            decoder.take(chunk, CLIENT_FRAME_BYTES_MAX, &mut messages)?;
        }
        assert!(decoder.rest.is_empty() && decoder.rest.capacity() == 0, "an idle connection keeps nothing");
        Ok(messages)
    }

    #[test]
    fn messages_are_read_however_they_arrive() {
        let text = |text: &str| ClientMessage::Text(text.to_owned());
        for (why, bytes, expected) in [
            ("one", frame(0x81, b"hello"), vec![text("hello")]),
            ("two at once", [frame(0x81, b"a"), frame(0x81, b"b")].concat(), vec![text("a"), text("b")]),
            ("empty", frame(0x81, b""), vec![text("")]),
            ("long", frame(0x81, &[b'x'; 1_000]), vec![text(&"x".repeat(1_000))]),
            (
                "fragments",
                [frame(0x01, b"he"), frame(0x00, b"ll"), frame(0x80, b"o")].concat(),
                vec![ClientMessage::Part(2), ClientMessage::Part(2), text("hello")],
            ),
            (
                "a ping between fragments",
                [frame(0x01, b"he"), frame(0x89, b"p"), frame(0x80, b"y")].concat(),
                vec![ClientMessage::Part(2), ClientMessage::Ping(b"p".to_vec()), text("hey")],
            ),
            (
                "a character cut by a fragment",
                [frame(0x01, &[0xc3]), frame(0x80, &[0xb6])].concat(),
                vec![ClientMessage::Part(1), text("ö")],
            ),
            (
                "empty fragments, each of which is counted",
                [frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat(),
                vec![ClientMessage::Part(0), ClientMessage::Part(0), text("")],
            ),
            (
                "pong and close",
                [frame(0x8a, b""), frame(0x88, b"\x03\xe8")].concat(),
                vec![ClientMessage::Pong, ClientMessage::Close],
            ),
        ] {
            for step in [1, 3, 7, bytes.len()] {
                assert_eq!(read(&bytes, step).as_ref(), Ok(&expected), "{why}, {step} bytes at a time");
            }
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        let long = frame(0x01, &[b'x'; CLIENT_FRAME_BYTES_MAX]);
        for (why, bytes) in [
            ("binary", frame(0x82, b"x")),
            ("not masked", vec![0x81, 1, b'x']),
            ("a reserved bit", frame(0xc1, b"x")),
            ("a reserved opcode", frame(0x83, b"x")),
            ("a reserved control opcode", frame(0x8b, b"x")),
            ("a continuation of nothing", frame(0x80, b"x")),
            ("a message inside a message", [frame(0x01, b"x"), frame(0x81, b"x")].concat()),
            ("a fragmented ping", frame(0x09, b"x")),
            ("a long ping", frame(0x89, &[b'x'; 126])),
            ("over 16 KiB", frame(0x81, &[b'x'; CLIENT_FRAME_BYTES_MAX + 1])),
            ("over 16 KiB in fragments", [long, frame(0x80, b"x")].concat()),
            (
                "a length that lies",
                vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            ),
            ("not UTF-8", frame(0x81, &[0xff])),
        ] {
            assert_eq!(read(&bytes, bytes.len()), Err(NotTheProtocol), "{why}");
        }
    }
}
