//! Reads an email as far as a mailbox list needs: its headers, and the first plain text in it.
//!
//! What holds here: any bytes give some [`Mail`], of bounded size; nothing here fails or panics. What a message means
//! (RFC 5322, 2045 to 2047) is the business of `mail-parser`.
//!
//! Elsewhere: the conversation that brings it, in `smtp`.

use std::collections::BTreeMap;

use mail_parser::{Header, HeaderValue, MessageParser, PartType};

/// Headers kept.
const HEADERS_MAX: usize = 100;
/// Bytes kept of one header's value.
const HEADER_VALUE_MAX: usize = 4096;
/// Bytes of text kept.
const TEXT_MAX: usize = 16 * 1024;
/// Bytes of HTML that are kept; a longer one is not kept at all, because a part of it would be shown as something else.
const HTML_MAX: usize = 128 * 1024;
/// How often the words may occur in a message without which none is within another. `mail-parser` (0.11) drops messages within
/// messages by recursion, so a mail of nothing else would end the stack. Of a message with more of them the headers are read.
const NESTING_WORDS_MAX: usize = 500;
/// A type that a message within another has, and one whose parts are messages without saying so (RFC 2046, section 5.1.5).
const NESTING_WORDS: [&[u8]; 2] = [b"message", b"digest"];

/// An email as a mailbox shows it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mail {
    /// Names in lower case, values unfolded and decoded; of a repeated one, the first.
    pub(crate) headers: BTreeMap<String, String>,
    /// The first `text/plain` part, decoded as UTF-8, lines ending in `\n`. Empty if there is none.
    pub(crate) text: String,
    /// The first `text/html` part, decoded as UTF-8, if there is one of at most [`HTML_MAX`] bytes.
    pub(crate) html: Option<String>,
}

/// Reads a message as it stood between `DATA` and the final dot, dots unstuffed.
pub(crate) fn parse(message: &[u8]) -> Mail {
    // Headers that say how to read the body have forms of their own; all others are texts here.
    let parser = MessageParser::new().with_mime_headers().default_header_text();
    let read = match nesting_words(message) > NESTING_WORDS_MAX {
        true => parser.parse_headers(message),
        false => parser.parse(message),
    };
    let Some(read) = read else { return Mail::default() };
    let mut headers = BTreeMap::new();
    for header in read.headers().iter().take(HEADERS_MAX) {
        let mut value = value_of(header, message);
        cut_at(&mut value, HEADER_VALUE_MAX);
        headers.entry(header.name().to_ascii_lowercase()).or_insert(value);
    }
    let text = read.parts.iter().find_map(|part| match &part.body {
        PartType::Text(text) => Some(text),
        _ => None,
    });
    let mut text = text.map(|text| text.replace("\r\n", "\n").trim_end().to_owned()).unwrap_or_default();
    cut_at(&mut text, TEXT_MAX);
    let html = read.parts.iter().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html),
        _ => None,
    });
    let html = html.filter(|html| html.len() <= HTML_MAX).map(|html| html.to_string());
    Mail { headers, text, html }
}

fn nesting_words(message: &[u8]) -> usize {
    let occurrences =
        |word: &[u8]| message.windows(word.len()).filter(|text| text.eq_ignore_ascii_case(word)).count();
    NESTING_WORDS.into_iter().map(occurrences).sum()
}

/// The text of a header; as it was written, unfolded, of one that was read as something else.
fn value_of(header: &Header<'_>, message: &[u8]) -> String {
    if let HeaderValue::Text(text) = &header.value {
        return text.trim_end().to_owned();
    }
    let range = header.offset_start as usize..header.offset_end as usize;
    let written = String::from_utf8_lossy(message.get(range).unwrap_or_default());
    written.replace("\r\n", "").trim().to_owned()
}

fn cut_at(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_are_decoded() {
        for (why, sent, read) in [
            ("plain", "Disk full", "Disk full"),
            ("Q", "=?utf-8?Q?T=C3=BCr_offen?=", "Tür offen"),
            ("B", "=?UTF-8?B?VMO8cg==?=", "Tür"),
            ("text around a word stays", "Re: =?utf-8?Q?T=C3=BCr?= 7", "Re: Tür 7"),
            ("white space between words goes", "=?utf-8?Q?T=C3=BC?=\r\n =?utf-8?Q?r?=", "Tür"),
            ("folded", "Disk\r\n full", "Disk full"),
            ("Latin 1", "=?iso-8859-1?Q?T=FCr?=", "Tür"),
            ("not a word after all", "a =? b =?x?y?z?= c", "a =? b =?x?y?z?= c"),
            ("unfinished", "=?utf-8?Q?T", "=?utf-8?Q?T"),
            ("nothing", "", ""),
        ] {
            let mail = parse(format!("To: a@b\r\nSubject: {sent}\r\nSubject: second\r\n\r\nbody").as_bytes());
            assert_eq!(mail.headers["subject"], read, "{why}");
        }
    }

    #[test]
    fn the_html_is_kept_as_it_was_sent_or_not_at_all() {
        let mail = |html: &str| {
            let head = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n";
            let part = format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b--\r\n");
            parse(format!("{head}{part}").as_bytes())
        };
        assert_eq!(mail("<p style=\"color:red\">Tür").html.as_deref(), Some("<p style=\"color:red\">Tür"));
        assert_eq!(mail(&"x".repeat(HTML_MAX)).html.map(|html| html.len()), Some(HTML_MAX));
        assert_eq!(mail(&"x".repeat(HTML_MAX + 1)).html, None);
        assert_eq!(mail("<p>x").text, "plain");
        assert_eq!(parse(b"To: a@b\r\n\r\nplain").html, None);
    }

    #[test]
    fn a_header_that_is_no_text_is_as_it_was_written() {
        let mail = parse(b"Content-Type: text/plain;\r\n charset=utf-8\r\nMessage-ID: <a@b>\r\n\r\nbody");
        assert_eq!(mail.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(mail.headers["message-id"], "<a@b>");
    }

    #[test]
    fn the_first_plain_text_is_found() {
        let alternative = "Content-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\npreamble\r\n";
        let html = "--=_b\r\nContent-Type: text/html\r\n\r\n<p>no\r\n";
        let plain = "--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nVMO8\r\ncg==\r\n";
        let nested =
            "--=_b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\ninner\r\n--c--\r\n";
        for (why, sent, read) in [
            ("no type is text", "\r\none\r\ntwo\r\n".to_owned(), "one\ntwo"),
            (
                "quoted",
                "Content-Transfer-Encoding: quoted-printable\r\n\r\nT=C3=BC=\r\nr =3D =zz".to_owned(),
                "Tür = =zz",
            ),
            ("text after html", format!("{alternative}{html}{plain}--=_b--\r\n"), "Tür"),
            ("within another", format!("{alternative}{nested}--=_b--\r\n"), "inner"),
            ("none", format!("{alternative}{html}--=_b--\r\nepilogue"), ""),
            ("a part that never ends stays encoded", format!("{alternative}{plain}"), "VMO8\ncg=="),
            ("no boundary", "Content-Type: multipart/mixed\r\n\r\nx".to_owned(), ""),
            ("only a head", "Subject: x".to_owned(), ""),
            ("nothing", String::new(), ""),
        ] {
            assert_eq!(parse(sent.as_bytes()).text, read, "{why}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mail = parse(format!("Subject: {}\r\n\r\n{}", "ü".repeat(5000), "ü".repeat(20_000)).as_bytes());
        assert_eq!((mail.headers["subject"].len(), mail.text.len()), (HEADER_VALUE_MAX, TEXT_MAX));
    }

    /// Whoever writes mails by hand can nest parts as deep as a mail is long.
    #[test]
    fn parts_may_be_nested_as_deep_as_anybody_likes() {
        let deep = |levels: u32, part: fn(u32) -> String| (0..levels).map(part).collect::<String>();
        let multipart = |i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n");
        let message = |_| "Content-Type: Message/RFC822\r\n\r\n".to_owned();
        let digest = |i| format!("Content-Type: multipart/digest; boundary=b{i}\r\n\r\n--b{i}\r\n\r\n");
        for mail in [
            deep(20_000, multipart),
            deep(20_000, message),
            deep(20_000, digest),
            deep(NESTING_WORDS_MAX as u32, message),
            deep(NESTING_WORDS_MAX as u32, digest),
        ] {
            let read = parse(format!("Subject: deep\r\n{mail}").as_bytes());
            assert_eq!((read.headers["subject"].as_str(), read.text.as_str()), ("deep", ""));
        }
    }
}
