//! Headers of an email that a mail program shows exactly as they were written (RFC 5322, section 2.2; RFC 2047).
//!
//! What holds here:
//! - What is written is ASCII, folded into lines of at most [`LINE_BYTES_MAX`] bytes, and no value adds a header.
//! - A text reads back as it was, except for this: a run of line breaks, tabs and other control characters is one blank, and
//!   blanks at the ends are left out. [`one_line`] is that rule; programs would apply parts of it in their own ways.
//! - A text that could be read otherwise than it was written, be it in the least, is encoded as a whole: one with a character
//!   outside ASCII, one that looks like an encoded word itself (`=?utf-8?Q?…?=`), one with two blanks in a row, one
//!   with a word that no line holds.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lettre::message::{
    Mailbox,
    header::{HeaderName, HeaderValue},
};

/// A line of the head, in bytes, without its line break: RFC 5322, section 2.1.1, and RFC 2047, section 2, for lines with
/// encoded words.
const LINE_BYTES_MAX: usize = 76;
/// An encoded word, in bytes (RFC 2047, section 2).
const WORD_BYTES_MAX: usize = 75;
const WORD_BEGIN: &str = "=?utf-8?B?";
const WORD_END: &str = "?=";
const FOLD: &str = "\r\n ";

/// The text as one line, by the rule at the head of this file.
pub(super) fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let parts = text.split(breaks).filter(|part| !part.trim_matches(' ').is_empty());
    let mut line = String::with_capacity(text.len());
    for part in parts {
        if !line.is_empty() && !line.ends_with(' ') && !part.starts_with(' ') {
            line.push(' ');
        }
        line.push_str(part);
    }
    line.trim().to_owned()
}

/// A header whose value is text for people.
pub(super) fn text(name: &'static str, value: &str) -> HeaderValue {
    let line = one_line(value);
    let begin = name.len() + ": ".len();
    let encoded = match reads_as_written(&line) {
        true => folded(&line, begin),
        false => encoded_words(&line, begin),
    };
    written(name, line, encoded)
}

/// A header whose value is a mailbox, with its name or without. lettre, which makes the envelope of it, is given the
/// address alone: it fails on names that it cannot write.
pub(super) fn mailbox(name: &'static str, mailbox: &Mailbox) -> HeaderValue {
    let address = &mailbox.email;
    let shown = mailbox.name.as_deref().map(one_line).unwrap_or_default();
    let begin = name.len() + ": ".len();
    let phrase = match shown.as_str() {
        "" => return written(name, address.to_string(), address.to_string()),
        shown if !reads_as_written(shown) => encoded_words(shown, begin),
        shown if shown.bytes().all(is_atom) => folded(shown, begin),
        shown => folded(&quoted(shown), begin),
    };
    let last_line = phrase.rsplit("\r\n").next().unwrap_or_default().len();
    let gap = match begin + last_line + address.to_string().len() + " <>".len() > LINE_BYTES_MAX {
        true => FOLD,
        false => " ",
    };
    written(name, address.to_string(), format!("{phrase}{gap}<{address}>"))
}

/// A header whose value is for programs and of our own making: ASCII without blanks to fold at.
pub(super) fn verbatim(name: &'static str, value: String) -> HeaderValue {
    debug_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name} is of our own making");
    written(name, value.clone(), value)
}

fn written(name: &'static str, raw: String, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), raw, encoded)
}

/// Whether every mail program shows these very characters when they are sent as they are.
fn reads_as_written(line: &str) -> bool {
    let is_ascii = line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let fits = |word: &str| word.len() < LINE_BYTES_MAX;
    is_ascii && !line.contains("=?") && !line.contains("  ") && line.split(' ').all(fits)
}

/// Lines broken in front of words. A line break in front of a blank is taken out again by whoever reads it.
fn folded(line: &str, begin: usize) -> String {
    let mut out = String::with_capacity(line.len() + line.len() / 30);
    let mut used = begin;
    for word in line.split(' ') {
        match out.is_empty() {
            true => {}
            false if used + 1 + word.len() > LINE_BYTES_MAX => {
                out.push_str(FOLD);
                used = 1;
            }
            false => {
                out.push(' ');
                used += 1;
            }
        }
        out.push_str(word);
        used += word.len();
    }
    out
}

/// The text in encoded words, each of whole characters. Blanks between two of them are not shown, so the text is whole.
fn encoded_words(line: &str, begin: usize) -> String {
    let mut out = String::new();
    let mut rest = line;
    let mut room = LINE_BYTES_MAX.saturating_sub(begin);
    while !rest.is_empty() {
        if !out.is_empty() {
            out.push_str(FOLD);
            room = LINE_BYTES_MAX - 1;
        }
        // Three bytes are four letters.
        let letters = room.min(WORD_BYTES_MAX).saturating_sub(WORD_BEGIN.len() + WORD_END.len());
        let longest = rest.floor_char_boundary(letters / 4 * 3);
        let end = if longest > 0 { longest } else { rest.ceil_char_boundary(1) };
        out.push_str(WORD_BEGIN);
        BASE64_STANDARD.encode_string(&rest[..end], &mut out);
        out.push_str(WORD_END);
        rest = &rest[end..];
    }
    out
}

/// Characters of an atom, and the blank between two (RFC 5322, section 3.2.3).
fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
