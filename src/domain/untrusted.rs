//! Text that somebody outside wrote, where an operator reads it: in a log, a reason, a terminal.
//!
//! What holds here:
//! - Nothing in it can begin a line, colour or move a terminal, or change the direction of the text around it: such
//!   characters are written out, as `\n` or `\u{202e}`.
//! - It is at most [`SHOWN_CHARS_MAX`] characters of the original long, so that nobody fills a log with one message.
//! - It is not a secret. Secrets have a type of their own ([`super::Secret`]).

use std::fmt::{self, Write as _};

/// How much of one text is shown, in characters.
pub const SHOWN_CHARS_MAX: usize = 256;

/// Outside text, as an operator may read it. `Debug` is the same as `Display`: whichever of the two a log line uses, it
/// is escaped.
#[derive(Clone, Copy)]
pub struct Untrusted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_causes = f.alternate(); // `{:#}` gives an error with its causes.
        let mut shown = Escaping { out: f, left: SHOWN_CHARS_MAX };
        let written = match with_causes {
            true => write!(shown, "{:#}", self.0),
            false => write!(shown, "{}", self.0),
        };
        match written {
            Err(fmt::Error) if shown.left == 0 => f.write_str("…"),
            written => written,
        }
    }
}

impl<T: fmt::Display> fmt::Debug for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a character may do more than be read: control characters (ESC begins colours, a line break another line),
/// line and paragraph separators, and marks that change the direction of text (Unicode UAX #9, section 2).
pub fn steers(c: char) -> bool {
    match c {
        '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => true,
        c => c.is_control(),
    }
}

/// Writes a text whose characters that [`steers`] names are written out.
///
/// # Errors
/// Those of `out`.
pub fn write_escaped(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match steers(c) {
        true => write!(out, "{}", c.escape_default()),
        false => out.write_char(c),
    })
}

/// Escapes what goes through it, and ends with an error when there is no room left.
struct Escaping<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.char_indices().nth(self.left).map_or(text.len(), |(at, _)| at);
        let shown = &text[..end];
        write_escaped(self.out, shown)?;
        self.left -= shown.chars().count();
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[test]
fn outside_text_is_only_ever_read() {
    for (why, text, expected) in [
        ("words of any script stay", "Dysk pełny, 日本, 🔔, مرحبا", "Dysk pełny, 日本, 🔔, مرحبا"),
        ("a forged line", "a\n2026-11-30 INFO all is well", r"a\n2026-11-30 INFO all is well"),
        ("a carriage return", "a\rb", r"a\rb"),
        ("a colour", "\u{1b}[31mred", r"\u{1b}[31mred"),
        ("one of the C1 controls, and DEL", "\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
        ("a line separator", "a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
        ("the other direction", "a\u{202e}b\u{2066}", r"a\u{202e}b\u{2066}"),
        ("nothing", "", ""),
    ] {
        assert_eq!(Untrusted(text).to_string(), expected, "{why}");
        assert_eq!(format!("{:?}", Untrusted(text)), expected, "{why}, by Debug");
    }
}

#[test]
fn outside_text_is_bounded_between_characters() {
    for (why, len, is_cut) in [
        ("fits", SHOWN_CHARS_MAX, false),
        ("one more", SHOWN_CHARS_MAX + 1, true),
        ("far more", 100_000, true),
    ] {
        let shown = Untrusted("ż".repeat(len)).to_string();
        let expected = "ż".repeat(len.min(SHOWN_CHARS_MAX));
        assert_eq!(shown, if is_cut { format!("{expected}…") } else { expected }, "{why}");
    }
    // In pieces, as a formatted text comes.
    let pieces = Untrusted(format_args!("{}{}{}", "a".repeat(200), "b".repeat(56), "c")).to_string();
    assert_eq!(pieces, format!("{}{}…", "a".repeat(200), "b".repeat(56)));
}
