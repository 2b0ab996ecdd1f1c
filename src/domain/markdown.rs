//! The small part of Markdown that the body of an alert may have: `**bold**`, `*emphasis*`, `` `code` ``,
//! `[text](https://…)`, and line breaks. Read by hand, because there is so little of it, and written as safe HTML or as plain
//! text.
//!
//! What holds here:
//! - Nothing in a text passes into the HTML but text: whatever is not one of these marks is escaped, tags first of all.
//! - A link leads to http or https, whatever it says; any other stays the text that it was.
//! - A mark that is not closed on its line is text. Marks are nested at most [`DEPTH_MAX`] deep.
//! - A text is read in a time that grows as its length does, however it is written (I9).

/// How deep marks may stand within marks; what is deeper is text.
pub const DEPTH_MAX: usize = 4;
/// The longest address of a link, in bytes; a longer one is text.
const ADDRESS_BYTES_MAX: usize = super::alert::bounds::URL_BYTES_MAX;

/// A part of one line.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Code(&'a str),
    Bold(Vec<Part<'a>>),
    Emphasis(Vec<Part<'a>>),
    Link { text: Vec<Part<'a>>, address: &'a str },
}

/// As HTML for the inside of a block: marks as elements, line breaks as `<br>`, everything else escaped.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for (place, line) in text.lines().enumerate() {
        if place > 0 {
            out.push_str("<br>\n");
        }
        parts_of(line, 0).iter().for_each(|part| part.write_html(&mut out));
    }
    out
}

/// Without its marks, for where there is no markup. A link keeps its address behind its text, unless that is the same.
pub fn plain(text: &str) -> String {
    written(text, true)
}

/// The same without the addresses of links, for where nobody could follow them and room is short: a push.
pub fn plain_without_addresses(text: &str) -> String {
    written(text, false)
}

fn written(text: &str, has_addresses: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let inner = line.trim_end_matches(['\r', '\n']);
        parts_of(inner, 0).iter().for_each(|part| part.write_plain(&mut out, has_addresses));
        out.push_str(&line[inner.len()..]);
    }
    out
}

impl Part<'_> {
    fn write_html(&self, out: &mut String) {
        let inside = |out: &mut String, parts: &[Part<'_>], (open, close): (&str, &str)| {
            out.push_str(open);
            parts.iter().for_each(|part| part.write_html(out));
            out.push_str(close);
        };
        match self {
            Self::Text(text) => escape(text, out),
            Self::Code(text) => {
                out.push_str("<code>");
                escape(text, out);
                out.push_str("</code>");
            }
            Self::Bold(parts) => inside(out, parts, ("<strong>", "</strong>")),
            Self::Emphasis(parts) => inside(out, parts, ("<em>", "</em>")),
            Self::Link { text, address } => {
                out.push_str("<a href=\"");
                escape(address, out);
                inside(out, text, ("\" rel=\"noopener noreferrer nofollow\">", "</a>"));
            }
        }
    }

    fn write_plain(&self, out: &mut String, has_addresses: bool) {
        match self {
            Self::Text(text) | Self::Code(text) => out.push_str(text),
            Self::Bold(parts) | Self::Emphasis(parts) => {
                parts.iter().for_each(|part| part.write_plain(out, has_addresses));
            }
            Self::Link { text, address } => {
                let begin = out.len();
                text.iter().for_each(|part| part.write_plain(out, has_addresses));
                if has_addresses && out[begin..] != **address {
                    out.push_str(" (");
                    out.push_str(address);
                    out.push(')');
                }
            }
        }
    }
}

/// Any text as the text of HTML, or of an attribute in quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, &mut out);
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// The kinds of marks of which a search for the end failed: what begins later finds none either.
#[derive(Default)]
struct Unclosed {
    code: bool,
    bold: bool,
    emphasis: bool,
}

/// The parts of one line, or of what stands within a mark of it.
fn parts_of(line: &str, depth: usize) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut unclosed = Unclosed::default();
    // Text from `text` on is not in a part yet.
    let (mut text, mut at) = (0, 0);
    while let Some(found) = line[at..].find(['*', '`', '[']) {
        let begin = at + found;
        match mark_at(&line[begin..], depth, &mut unclosed) {
            Some((part, len)) => {
                if text < begin {
                    parts.push(Part::Text(&line[text..begin]));
                }
                parts.push(part);
                at = begin + len;
                text = at;
            }
            // Two stars that begin nothing are passed over together, or the second one would begin an emphasis.
            None => at = begin + if line[begin..].starts_with("**") { 2 } else { 1 },
        }
    }
    if text < line.len() {
        parts.push(Part::Text(&line[text..]));
    }
    parts
}

/// The mark that this text begins with, and how long it is with what it marks.
fn mark_at<'a>(text: &'a str, depth: usize, unclosed: &mut Unclosed) -> Option<(Part<'a>, usize)> {
    if depth == DEPTH_MAX {
        return None;
    }
    if let Some(rest) = text.strip_prefix("**") {
        let inner = closed_by(rest, "**", &mut unclosed.bold)?;
        return Some((Part::Bold(parts_of(inner, depth + 1)), inner.len() + 4));
    }
    if let Some(rest) = text.strip_prefix('*') {
        let inner = closed_by(rest, "*", &mut unclosed.emphasis)?;
        return Some((Part::Emphasis(parts_of(inner, depth + 1)), inner.len() + 2));
    }
    if let Some(rest) = text.strip_prefix('`') {
        let end = if unclosed.code { None } else { rest.find('`') };
        unclosed.code |= end.is_none();
        return end.filter(|end| *end > 0).map(|end| (Part::Code(&rest[..end]), end + 2));
    }
    link_at(text, depth)
}

/// What stands before the mark that closes, which no blank stands before; and no blank after the one that opened.
fn closed_by<'a>(rest: &'a str, mark: &str, is_unclosed: &mut bool) -> Option<&'a str> {
    if *is_unclosed || rest.starts_with(char::is_whitespace) {
        return None;
    }
    let mut at = 0;
    while let Some(found) = rest[at..].find('*') {
        let begin = at + found;
        let stars = rest[begin..].bytes().take_while(|byte| *byte == b'*').count();
        let is_word_before = begin > 0 && !rest[..begin].ends_with(char::is_whitespace);
        // Of three stars the outer mark has the last ones, and what is marked within it the others.
        let is_end = if mark.len() == 2 { stars >= 2 } else { stars != 2 };
        if is_word_before && is_end {
            return Some(&rest[..begin + stars - mark.len()]);
        }
        at = begin + stars;
    }
    *is_unclosed = true;
    None
}

/// `[text](address)`.
fn link_at(text: &str, depth: usize) -> Option<(Part<'_>, usize)> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner[end..].strip_prefix("](").filter(|_| end > 0)?;
    // Looked for no further than an address may be long.
    let ends =
        |(_, byte): &(usize, u8)| matches!(*byte, b')' | b'(' | b' ' | b'<' | b'>' | b'"' | b'\\' | b'`');
    let (len, last) = rest.bytes().take(ADDRESS_BYTES_MAX + 1).enumerate().find(ends)?;
    let address = rest.get(..len).filter(|address| last == b')' && is_address(address))?;
    let text = parts_of(&inner[..end], depth + 1);
    Some((Part::Link { text, address }, 1 + end + 2 + len + 1))
}

/// Whether a link may lead there: http or https, a host, and nothing in it that is drawn as nothing or breaks the line.
fn is_address(text: &str) -> bool {
    let lower = text.get(..8).map(str::to_ascii_lowercase).unwrap_or_else(|| text.to_ascii_lowercase());
    let host = match (lower.starts_with("https://"), lower.starts_with("http://")) {
        (true, _) => &text[8..],
        (_, true) => &text[7..],
        _ => return false,
    };
    !host.is_empty()
        && !host.starts_with(['/', '?', '#'])
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
