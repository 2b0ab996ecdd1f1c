//! SMTP's lines: reading them within a bound, and the paths in them.
//!
//! What holds here: a line is only what ends in CR LF, and never more than [`LINE_MAX`] is held.
//!
//! Elsewhere: what is said in the lines, in `smtp`.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// The longest line with its CRLF (RFC 5321, 4.5.3.1.6), and so the longest command.
const LINE_MAX: usize = 1000;

/// What reading a line can give.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// Without its CRLF.
    Text(Vec<u8>),
    TooLong,
    /// Ended by LF alone, which relays read differently: the root of SMTP smuggling.
    BareLf,
    Closed,
    Silent,
    ShuttingDown,
}

/// Reads to the next LF. Of a line that is too long nothing is kept.
pub(crate) async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::Closed);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let chunk = end.map_or(available, |at| &available[..=at]);
        too_long |= line.len() + chunk.len() > LINE_MAX;
        if !too_long {
            line.extend_from_slice(chunk);
        }
        let used = chunk.len();
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if too_long {
        return Ok(Line::TooLong);
    }
    Ok(line.strip_suffix(b"\r\n").map_or(Line::BareLf, |text| Line::Text(text.to_vec())))
}

/// `FROM:<a@b> SIZE=5` gives `a@b` and `SIZE=5`.
pub(crate) fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = rest.split_at_checked(keyword.len())?;
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    found.eq_ignore_ascii_case(keyword).then_some((address, parameters))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn a_line_is_whole_bounded_and_ends_in_crlf() {
        let text = |line: &[u8]| Line::Text(line.to_vec());
        for (why, sent, read) in [
            ("a line", b"NOOP\r\nrest".to_vec(), text(b"NOOP")),
            ("an empty one", b"\r\n".to_vec(), text(b"")),
            (
                "the longest",
                [vec![b'x'; LINE_MAX - 2], b"\r\n".to_vec()].concat(),
                text(&vec![b'x'; LINE_MAX - 2]),
            ),
            ("one byte more", [vec![b'x'; LINE_MAX - 1], b"\r\n".to_vec()].concat(), Line::TooLong),
            ("LF alone", b"NOOP\n".to_vec(), Line::BareLf),
            ("broken off", b"NOO".to_vec(), Line::Closed),
        ] {
            let mut reader = BufReader::with_capacity(7, sent.as_slice());
            assert_eq!(read_line(&mut reader).await.unwrap(), read, "{why}");
        }
    }

    #[test]
    fn paths_are_read_as_clients_write_them() {
        for (sent, read) in [
            ("TO:<a@b>", Some(("a@b", ""))),
            ("to: <a@b> NOTIFY=NEVER", Some(("a@b", " NOTIFY=NEVER"))),
            ("TO:a@b", None),
            ("FROM:<a@b>", None),
            ("", None),
        ] {
            assert_eq!(path(sent, "TO:"), read, "{sent}");
        }
    }
}
