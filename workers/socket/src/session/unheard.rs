//! What a client said and nobody has handled yet, and what it costs. Pure.
//!
//! A session handles what its client says line by line, as its allowance permits and only while nothing waits to be written
//! to it. What was read meanwhile waits here. It is bounded by what is read at a time, because nothing more is read before
//! it is empty.
//!
//! | what | costs, in messages of `socket.messages_per_second` |
//! |---|---|
//! | a line, whatever it is | 1 |
//! | `refresh` | 1 for each topic whose kept events are read, at least 1 |
//! | `receipt` | 1 for each 50 alerts that it names or a part of them, also over HTTP |
//! | a message without a line, a ping, a pong, a fragment, be they empty | 1 |
//! | each whole 4 KiB of a message or fragment | 1 more |

use std::collections::VecDeque;

use crate::session::decoder::{ClientMessage, is_plain_ping};

/// Lines of one message that may be refused. A client with more of them does not speak this protocol, and every answer
/// costs more than its line.
const REFUSED_MAX: u8 = 10;
/// So many bytes cost as much as a line.
const BYTES_OF_A_LINE: usize = 4 * 1024;

/// Messages that wait to be handled.
pub(crate) struct Unheard {
    messages: VecDeque<ClientMessage>,
    /// What was handled of the first message, in bytes.
    at: usize,
    /// What the first message costs for its length, until it was charged.
    of_bytes: usize,
    /// Lines of the first message that were refused.
    refused: u8,
}

/// What a client said, with what it costs. A line costs more where it asks for more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Line {
        line: String,
        cost: usize,
    },
    /// The text `ping`, alone.
    PlainPing {
        cost: usize,
    },
    Ping {
        payload: Vec<u8>,
        cost: usize,
    },
    /// Nothing that is answered.
    Nothing {
        cost: usize,
    },
    Close,
}

impl Unheard {
    pub(crate) fn of(messages: Vec<ClientMessage>) -> Self {
        Self { messages: messages.into(), at: 0, of_bytes: 0, refused: 0 }
    }

    /// The next line, or whatever else it is.
    pub(crate) fn next(&mut self) -> Option<Said> {
        let said = match self.messages.front()? {
            ClientMessage::Text(_) => return self.next_of_text(),
            ClientMessage::Ping(payload) => Said::Ping { payload: payload.clone(), cost: 1 },
            ClientMessage::Pong => Said::Nothing { cost: 1 },
            ClientMessage::Part(bytes) => Said::Nothing { cost: 1 + bytes / BYTES_OF_A_LINE },
            ClientMessage::Close => Said::Close,
        };
        self.messages.pop_front();
        Some(said)
    }

    fn next_of_text(&mut self) -> Option<Said> {
        let Some(ClientMessage::Text(text)) = self.messages.front() else { return None };
        let begins = self.at == 0;
        if begins {
            self.of_bytes = text.len() / BYTES_OF_A_LINE;
            self.refused = 0;
        }
        let is_ping = begins && is_plain_ping(text);
        let mut line = "";
        while line.is_empty() && self.at < text.len() && !is_ping {
            let rest = &text[self.at..];
            let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
            line = rest[..end].trim();
            self.at += end;
        }
        let line = line.to_owned();
        if is_ping || self.at >= text.len() {
            self.messages.pop_front();
            self.at = 0;
        }
        let cost = 1 + std::mem::take(&mut self.of_bytes);
        match (is_ping, line.is_empty()) {
            (true, _) => Some(Said::PlainPing { cost }),
            (false, false) => Some(Said::Line { line, cost }),
            (false, true) if begins => Some(Said::Nothing { cost }),
            // Only blank lines were left behind the last one that said something.
            (false, true) => self.next(),
        }
    }

    /// A line of the message was refused. Whether that is too many.
    pub(crate) fn refuse(&mut self) -> bool {
        self.refused = self.refused.saturating_add(1);
        self.refused >= REFUSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(messages: Vec<ClientMessage>) -> Vec<Said> {
        let mut unheard = Unheard::of(messages);
        std::iter::from_fn(|| unheard.next()).collect()
    }

    fn text(text: &str) -> ClientMessage {
        ClientMessage::Text(text.to_owned())
    }

    fn line(line: &str, cost: usize) -> Said {
        Said::Line { line: line.to_owned(), cost }
    }

    #[test]
    fn everything_costs_something() {
        let long = "x".repeat(9_000);
        for (why, messages, expected) in [
            ("one line", vec![text("a")], vec![line("a", 1)]),
            ("each line", vec![text("a\r\n\n  b \n")], vec![line("a", 1), line("b", 1)]),
            ("a long message, once", vec![text(&format!("{long}\nb"))], vec![line(&long, 3), line("b", 1)]),
            ("a plain ping", vec![text(" ping\n")], vec![Said::PlainPing { cost: 1 }]),
            ("a ping among lines is a line", vec![text("a\nping")], vec![line("a", 1), line("ping", 1)]),
            ("an empty message", vec![text("")], vec![Said::Nothing { cost: 1 }]),
            ("blank lines", vec![text(&"\n".repeat(8_192))], vec![Said::Nothing { cost: 3 }]),
            ("an empty fragment", vec![ClientMessage::Part(0)], vec![Said::Nothing { cost: 1 }]),
            ("a long one", vec![ClientMessage::Part(4_096)], vec![Said::Nothing { cost: 2 }]),
            (
                "control frames",
                vec![ClientMessage::Ping(vec![7]), ClientMessage::Pong, ClientMessage::Close],
                vec![Said::Ping { payload: vec![7], cost: 1 }, Said::Nothing { cost: 1 }, Said::Close],
            ),
            ("in order", vec![text("a\nb\n"), text("c")], vec![line("a", 1), line("b", 1), line("c", 1)]),
        ] {
            assert_eq!(all(messages), expected, "{why}");
        }
    }

    #[test]
    fn too_many_refusals_are_of_one_message() {
        let lines = "x\n".repeat(REFUSED_MAX.into());
        let mut unheard = Unheard::of(vec![text("x\n"), text(&lines)]);
        assert!(unheard.next().is_some() && !unheard.refuse());
        for number in 1..=REFUSED_MAX {
            assert!(unheard.next().is_some());
            assert_eq!(unheard.refuse(), number == REFUSED_MAX, "the {number}th");
        }
    }
}
