//! Reads an email as far as a mailbox list needs: its headers, and the first plain text in it.
//!
//! What holds here: any bytes give some [`Mail`], of bounded size; nothing here fails or panics.
//!
//! Rules: RFC 5322 (headers), 2045 and 2046 (encodings, multipart), 2047 (words like `=?utf-8?Q?=C3=A4?=`).
//!
//! Elsewhere: the conversation that brings it, in `smtp`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Headers kept.
const HEADERS_MAX: usize = 100;
/// Bytes kept of one header's value.
const HEADER_VALUE_MAX: usize = 4096;
/// Bytes of text kept.
const TEXT_MAX: usize = 16 * 1024;
/// Multiparts within multiparts.
const DEPTH_MAX: usize = 4;

/// Takes what mailers send: padded or not.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An email as a mailbox shows it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mail {
    /// Names in lower case, values unfolded and decoded; of a repeated one, the first.
    pub(crate) headers: BTreeMap<String, String>,
    /// The first `text/plain` part, decoded as UTF-8, lines ending in `\n`. Empty if there is none.
    pub(crate) text: String,
}

/// Reads a message as it stood between `DATA` and the final dot, dots unstuffed.
pub(crate) fn parse(message: &[u8]) -> Mail {
    let (head, body) = split(message);
    let headers = headers_of(head);
    let text = plain_text(&headers, body, 0).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&text).replace("\r\n", "\n").trim_end().to_owned();
    cut_at(&mut text, TEXT_MAX);
    let decoded = headers.into_iter().take(HEADERS_MAX).map(|(name, value)| {
        let mut value = decode_words(&value);
        cut_at(&mut value, HEADER_VALUE_MAX);
        (name, value)
    });
    let mut headers = BTreeMap::new();
    for (name, value) in decoded {
        headers.entry(name).or_insert(value);
    }
    Mail { headers, text }
}

/// Head and body: what is before and after the first empty line.
fn split(part: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = part.strip_prefix(b"\r\n") {
        return (&[], body); // A part without headers.
    }
    match find(part, b"\r\n\r\n") {
        Some(at) => (&part[..at], &part[at + 4..]),
        None => (part, &[]),
    }
}

/// In order, names in lower case, values unfolded and as sent.
fn headers_of(head: &[u8]) -> Vec<(String, String)> {
    let head = String::from_utf8_lossy(head);
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => value.push_str(line),
            (false, _, Some((name, value))) => {
                headers.push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
            }
            _ => {}
        }
    }
    headers
}

fn plain_text(headers: &[(String, String)], body: &[u8], depth: usize) -> Option<Vec<u8>> {
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let content_type = header("content-type").unwrap_or("text/plain");
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "text/plain" {
        let encoding = header("content-transfer-encoding").unwrap_or_default().trim().to_ascii_lowercase();
        return Some(match encoding.as_str() {
            "base64" => decode_base64(body),
            "quoted-printable" => decode_quoted(body),
            _ => body.to_vec(),
        });
    }
    if !media.starts_with("multipart/") || depth == DEPTH_MAX {
        return None;
    }
    let boundary = format!("--{}", parameter(content_type, "boundary")?);
    parts(body, boundary.as_bytes()).find_map(|part| {
        let (head, body) = split(part);
        plain_text(&headers_of(head), body, depth + 1)
    })
}

/// `value` of `; name=value` or `; name="value"`.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What stands between lines that begin with `boundary`, without the line break before each.
fn parts<'a>(body: &'a [u8], boundary: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = body;
    let mut in_part = false;
    std::iter::from_fn(move || {
        loop {
            let at = find_line(rest, boundary)?;
            let before = &rest[..at];
            let after = &rest[at + boundary.len()..];
            // After the closing boundary (`--b--`) comes nothing that is a part.
            rest = if after.starts_with(b"--") {
                &[]
            } else {
                find(after, b"\r\n").map_or(&[][..], |end| &after[end + 2..])
            };
            if std::mem::replace(&mut in_part, true) {
                return Some(before.strip_suffix(b"\r\n").unwrap_or(before));
            }
        }
    })
}

fn find_line(text: &[u8], line: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], line)?;
        if at == 0 || text[..at].ends_with(b"\r\n") {
            return Some(at);
        }
        from = at + 1;
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Encoded words become text; white space between two of them goes, as RFC 2047 says.
fn decode_words(value: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        let Some((bytes, length)) = decode_word(word) else {
            decoded.extend_from_slice(before.as_bytes());
            decoded.extend_from_slice(b"=?");
            (rest, after_word) = (&word[2..], false);
            continue;
        };
        if !(after_word && before.trim().is_empty()) {
            decoded.extend_from_slice(before.as_bytes());
        }
        decoded.extend_from_slice(&bytes);
        (rest, after_word) = (&word[length..], true);
    }
    decoded.extend_from_slice(rest.as_bytes());
    // Bytes first, text last: a sender may split a character over two words.
    String::from_utf8_lossy(&decoded).trim_end().to_owned()
}

/// The bytes of the encoded word that `text` begins with, and how long it is.
fn decode_word(text: &str) -> Option<(Vec<u8>, usize)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (encoded, after) = rest.split_once("?=")?;
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(encoded).ok()?,
        "Q" | "q" => decode_quoted(encoded.replace('_', " ").as_bytes()),
        _ => return None,
    };
    let bytes = match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => bytes,
        "iso-8859-1" => bytes.into_iter().map(char::from).collect::<String>().into_bytes(),
        _ => return None,
    };
    Some((bytes, text.len() - after.len()))
}

fn decode_base64(body: &[u8]) -> Vec<u8> {
    let letters: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(letters).unwrap_or_default()
}

/// Quoted-printable; what is not well-formed stays as it is.
fn decode_quoted(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            decoded.push(byte);
        } else if let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after; // A soft line break.
        } else if let Some(value) = rest.get(..2).and_then(hex) {
            decoded.push(value);
            rest = &rest[2..];
        } else {
            decoded.push(b'=');
        }
    }
    decoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
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
            ("without padding", "=?utf-8?b?VMO8cg?=", "Tür"),
            ("text around a word stays", "Re: =?utf-8?Q?T=C3=BCr?= 7", "Re: Tür 7"),
            ("white space between words goes", "=?utf-8?Q?T=C3?=\r\n =?utf-8?Q?=BCr?=", "Tür"),
            ("folded", "Disk\r\n full", "Disk full"),
            ("Latin 1", "=?iso-8859-1?Q?T=FCr?=", "Tür"),
            ("not a word after all", "a =? b =?x?y?z?= c", "a =? b =?x?y?z?= c"),
            ("unfinished", "=?utf-8?Q?T", "=?utf-8?Q?T"),
        ] {
            let mail = parse(format!("To: a@b\r\nSubject: {sent}\r\nSubject: second\r\n\r\nbody").as_bytes());
            assert_eq!(mail.headers["subject"], read, "{why}");
        }
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
            ("nothing closed", format!("{alternative}{plain}"), ""),
            ("no boundary", "Content-Type: multipart/mixed\r\n\r\nx".to_owned(), ""),
            ("only a head", "Subject: x".to_owned(), ""),
        ] {
            assert_eq!(parse(sent.as_bytes()).text, read, "{why}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mail = parse(format!("Subject: {}\r\n\r\n{}", "ü".repeat(5000), "ü".repeat(20_000)).as_bytes());
        assert_eq!((mail.headers["subject"].len(), mail.text.len()), (HEADER_VALUE_MAX, TEXT_MAX));
    }
}
