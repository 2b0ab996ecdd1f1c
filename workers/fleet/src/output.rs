//! What a person reads in the terminal. Logs go to standard error by `tracing`; this is the answer to a command.
//!
//! Nothing that somebody else wrote may steer the terminal: whatever would move its cursor, ring it or turn text around
//! is printed as `\u001b`, which is also how JSON writes it, so a frame stays the same frame.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write as _},
    process,
};

/// One line of the answer, or several of our own. A reader that has left (`| head -1`) ends the command quietly.
pub(crate) fn line(text: impl Display) {
    let text = text.to_string();
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", escaped(&text, steers)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            note(format!("watchbell: standard output: {error}"));
            process::exit(1)
        }
    }
}

/// Something worth knowing that is not part of the answer.
pub(crate) fn note(text: impl Display) {
    let text = text.to_string();
    // Whom should it be told that standard error is closed?
    let _ = writeln!(io::stderr().lock(), "{}", escaped(&text, steers));
}

/// Why the command failed, with its causes.
pub(crate) fn problem(error: &anyhow::Error) {
    note(format!("watchbell: {error:#}"));
}

/// A text of somebody else's, for the middle of a line: it cannot begin another one.
pub(crate) fn inline(text: &str) -> Cow<'_, str> {
    escaped(text, |c| steers(c) || matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unsafe(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that change the direction of text (Unicode UAX #9, section 2) or end a line.
fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        for (why, text, whole, inlined) in [
            ("words stay", "Dysk pełny, 日本, 🔔, مرحبا", None, None),
            ("a line of their own", "a\n\tb", Some("a\n\tb"), Some("a\\u000a\\u0009b")),
            ("a carriage return", "a\rb", Some("a\\u000db"), Some("a\\u000db")),
            (
                "colours and the bell",
                "\u{1b}[31m\u{7}",
                Some("\\u001b[31m\\u0007"),
                Some("\\u001b[31m\\u0007"),
            ),
            ("C1 and DEL", "\u{9b}2J\u{7f}", Some("\\u009b2J\\u007f"), Some("\\u009b2J\\u007f")),
            ("the other direction", "a\u{202e}b\u{2066}", Some("a\\u202eb\\u2066"), Some("a\\u202eb\\u2066")),
        ] {
            assert_eq!(escaped(text, steers), whole.unwrap_or(text), "{why}");
            assert_eq!(inline(text), inlined.unwrap_or(text), "{why}");
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"title": "a\u{202e}b\u{7f}c\nd"});
        let printed = escaped(&value.to_string(), steers).into_owned();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }
}
