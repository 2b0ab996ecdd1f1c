//! A mail between `DATA` and the final dot, from the bytes as they come. Pure.
//!
//! What holds here:
//! - Only `<CRLF>.<CRLF>` ends a mail (RFC 5321, sections 2.3.8 and 4.1.1.4), however the bytes come in pieces and however long a line
//!   is. A line break of another kind is data: who takes it for an end runs the rest of a mail as commands, which its writer chose
//!   and whoever hands it over did not (SMTP smuggling).
//! - What is kept is bounded; what is beyond is read and forgotten, and the mail says that it was cut off.

/// How much of a mail is looked at, in bytes: a report stands before the mail that came back, and of a reply the head is enough.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A mail without the dots that SMTP adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct IncomingMessage {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl IncomingMessage {
    /// Its beginning, of at most [`MESSAGE_BYTES_MAX`] bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its head was cut off, so that nobody knows what else stands in it.
    pub(super) fn is_head_cut(&self) -> bool {
        let has_end = |end: &[u8]| self.bytes.windows(end.len()).any(|bytes| bytes == end);
        self.is_cut && !has_end(b"\n\r\n") && !has_end(b"\n\n")
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.len() < MESSAGE_BYTES_MAX {
            true => self.bytes.push(byte),
            false => self.is_cut = true,
        }
    }
}

#[cfg(test)]
impl From<&[u8]> for IncomingMessage {
    fn from(whole: &[u8]) -> Self {
        let mut message = Self::default();
        whole.iter().for_each(|byte| message.push(*byte));
        message
    }
}

/// Reads one mail.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    at: Place,
    message: IncomingMessage,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Behind a CRLF, or the first of all: what follows `DATA` begins a line.
    #[default]
    LineStart,
    /// Behind a dot that begins a line, which is not part of the mail.
    Dot,
    /// Behind such a dot and a CR.
    DotCr,
    /// Within a line.
    Within,
    /// Behind a CR within a line.
    Cr,
    /// Behind the end.
    Ended,
}

impl MessageReader {
    /// Takes bytes up to the end of the mail, and says how many those are.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        for (taken, byte) in bytes.iter().enumerate() {
            if self.has_ended() {
                return taken;
            }
            self.at = self.step(*byte);
        }
        bytes.len()
    }

    /// Whether the final dot was taken.
    pub(super) fn has_ended(&self) -> bool {
        self.at == Place::Ended
    }

    /// The mail.
    pub(super) fn message(self) -> IncomingMessage {
        self.message
    }

    fn step(&mut self, byte: u8) -> Place {
        match (self.at, byte) {
            (Place::LineStart, b'.') => return Place::Dot,
            (Place::Dot, b'\r') => return Place::DotCr,
            (Place::DotCr, b'\n') | (Place::Ended, _) => return Place::Ended,
            // It was no end, so this belongs to the mail.
            (Place::DotCr, _) => self.message.push(b'\r'),
            _ => {}
        }
        self.message.push(byte);
        match (self.at, byte) {
            (_, b'\r') => Place::Cr,
            (Place::Cr, b'\n') => Place::LineStart,
            _ => Place::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dot_on_a_line_of_its_own_ends_a_mail() {
        let long = "a".repeat(1_000);
        let long_end = format!("{long}.\r\nMAIL\r\n");
        for (why, sent, mail, rest) in [
            ("one line", "hello\r\n.\r\nQUIT\r\n", "hello\r\n", "QUIT\r\n"),
            ("nothing", ".\r\nQUIT\r\n", "", "QUIT\r\n"),
            ("a dot that was added", "..\r\n...\r\n.x\r\n.\r\n", ".\r\n..\r\nx\r\n", ""),
            ("a dot within a line", "a.\r\n.\r\n", "a.\r\n", ""),
            ("LF . LF", "hello\n.\nMAIL\r\n.\r\n", "hello\n.\nMAIL\r\n", ""),
            ("LF . CRLF", "hello\n.\r\nMAIL\r\n.\r\n", "hello\n.\r\nMAIL\r\n", ""),
            ("CRLF . LF", "hello\r\n.\nMAIL\r\n.\r\n", "hello\r\n\nMAIL\r\n", ""),
            ("CR . CR", "hello\r.\rMAIL\r\n.\r\n", "hello\r.\rMAIL\r\n", ""),
            ("CR . CRLF", "hello\r.\r\nMAIL\r\n.\r\n", "hello\r.\r\nMAIL\r\n", ""),
            ("CRLF . CR", "hello\r\n.\rMAIL\r\n.\r\n", "hello\r\n\rMAIL\r\n", ""),
            ("CRLF . CR CRLF", "hello\r\n.\r\r\nMAIL\r\n.\r\n", "hello\r\n\r\r\nMAIL\r\n", ""),
            ("CRLF NUL . CRLF", "hello\r\n\0.\r\nMAIL\r\n.\r\n", "hello\r\n\0.\r\nMAIL\r\n", ""),
            ("CR CRLF before the dot", "hello\r\r\n.\r\nQUIT\r\n", "hello\r\r\n", "QUIT\r\n"),
            ("behind a line of 1,000 bytes", &format!("{long_end}.\r\nQUIT\r\n"), &long_end, "QUIT\r\n"),
        ] {
            for piece in [1, 2, 3, 1_000, usize::MAX] {
                let (mut reader, mut taken) = (MessageReader::default(), 0);
                for bytes in sent.as_bytes().chunks(piece) {
                    taken += reader.take(bytes);
                    if reader.has_ended() {
                        break;
                    }
                }
                assert!(reader.has_ended(), "{why}");
                assert_eq!(&sent[taken..], rest, "{why}, {piece} at once");
                assert_eq!(String::from_utf8_lossy(reader.message().bytes()), mail, "{why}, {piece} at once");
            }
        }
        for open in ["hello\r\n", "hello\r\n.", "hello\r\n.\r", "hello\n.\n", "\n.\r\n"] {
            let mut reader = MessageReader::default();
            assert_eq!((reader.take(open.as_bytes()), reader.has_ended()), (open.len(), false), "{open:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_says_so() {
        let head = "X-Pad: a\r\n".repeat(MESSAGE_BYTES_MAX / 8);
        for (why, sent, is_head_cut) in [
            ("short", "A: b\r\n\r\nhello".to_owned(), false),
            ("no end of the head, and whole", "A: b\r\n".to_owned(), false),
            ("a long body", format!("A: b\r\n\r\n{head}"), false),
            ("a long body of bare line feeds", format!("A: b\n\n{head}"), false),
            ("a long head", format!("{head}\r\nhello"), true),
        ] {
            let message = IncomingMessage::from(sent.as_bytes());
            assert!(message.bytes().len() <= MESSAGE_BYTES_MAX, "{why}");
            assert_eq!(message.is_head_cut(), is_head_cut, "{why}");
        }
    }
}
