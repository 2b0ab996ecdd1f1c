//! Makes what the broker delivers safe for the client library's parser. Pure: bytes in, a finding out.
//!
//! RabbitMQ takes short strings that are no UTF-8, and lapin's parser gives up its whole connection at one. A table
//! nested some thousand levels deep does worse: the parser calls itself once a level, and the stack ends. So method
//! and header payloads are checked here first, with the same grammar.
//!
//! What holds here:
//! - Looking changes nothing, and allocates nothing where nothing is broken.
//! - In a short string that is not UTF-8 each wrong byte becomes `?` ([`Broken::mend`]): no length changes, so
//!   nothing has to move.
//! - A property list that cannot be read at all is reported as [`Finding::Unreadable`]; its caller puts an empty
//!   one in its place.
//! - No function here calls itself, so that a table nested thousands of levels deep cannot end the stack.

use std::ops::Range;

/// Levels of tables and arrays in headers. `x-death`, the deepest that RabbitMQ itself writes, has three.
const DEPTH_MAX: usize = 32;

/// Class, weight and body size, which precede the property flags.
pub(super) const HEADER_START: usize = 12;

/// The first parts of a message that were found broken, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BrokenParts(u32);

/// What is checked, in the order of their bits: the properties as their flags have them, then the rest.
const NAMES: [&str; 17] = [
    "content_type",
    "content_encoding",
    "a header's name",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
    "the routing key",
    "the exchange's name",
    "a text of the broker",
];
const HEADERS: usize = 2;
const ROUTING_KEY: usize = 14;
const EXCHANGE: usize = 15;
const BROKERS_TEXT: usize = 16;

impl BrokenParts {
    fn add(&mut self, part: usize) {
        self.0 |= 1 << part;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `content_type and the routing key are not UTF-8`, for whoever reads why a message was parked.
    pub(super) fn reason(self) -> String {
        let named: Vec<&str> = NAMES
            .iter()
            .enumerate()
            .filter(|(part, _)| self.0 & (1 << part) != 0)
            .map(|(_, name)| *name)
            .collect();
        match named.as_slice() {
            [one] => format!("{one} is not UTF-8"),
            many => format!("{} are not UTF-8", many.join(" and ")),
        }
    }
}

/// What was found in a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Sound,
    /// Short strings are not UTF-8.
    Broken(Broken),
    /// The grammar itself is broken, for this reason.
    Unreadable(&'static str),
}

/// Which short strings are not UTF-8, by name and by place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) parts: BrokenParts,
    texts: Vec<Range<usize>>,
}

impl Broken {
    /// Puts `?` in the place of each byte that is not part of a UTF-8 character, in the payload that was checked.
    pub(super) fn mend(&self, payload: &mut [u8]) {
        for text in &self.texts {
            if let Some(text) = payload.get_mut(text.clone()) {
                blot(text);
            }
        }
    }
}

/// Checks a content header's payload.
pub(super) fn header(payload: &[u8]) -> Finding {
    let Some(flags) = payload.get(HEADER_START..HEADER_START + 2) else {
        return Finding::Unreadable("the content header ends too early");
    };
    let flags = u16::from_be_bytes([flags[0], flags[1]]);
    let mut reader = Reader { bytes: payload, at: HEADER_START + 2, broken: Broken::default() };
    match properties(&mut reader, flags) {
        Err(Grammar(why)) => Finding::Unreadable(why),
        Ok(()) if reader.at < reader.bytes.len() => {
            Finding::Unreadable("the properties have bytes after their end")
        }
        Ok(()) => reader.finding(),
    }
}

/// Checks the short strings of a delivery's or a returned message's method, and of the broker's own texts.
/// `payload` begins with class and method, which choose the layout: fixed bytes and short strings. Methods that
/// carry nothing of others are not looked at.
pub(super) fn method(payload: &[u8]) -> Finding {
    let layout: &[Field] = match payload {
        // basic.deliver: consumer tag, delivery tag, redelivered, exchange, routing key.
        [0, 60, 0, 60, ..] => {
            &[Field::Tag, Field::Fixed(9), Field::Short(EXCHANGE), Field::Short(ROUTING_KEY)]
        }
        // basic.get-ok: delivery tag, redelivered, exchange, routing key.
        [0, 60, 0, 71, ..] => &[Field::Fixed(9), Field::Short(EXCHANGE), Field::Short(ROUTING_KEY)],
        // basic.return: reply code, reply text, exchange, routing key.
        [0, 60, 0, 50, ..] => {
            &[Field::Fixed(2), Field::Short(BROKERS_TEXT), Field::Short(EXCHANGE), Field::Short(ROUTING_KEY)]
        }
        // connection.close and channel.close: reply code, reply text. The broker quotes names in it and cuts it at
        // 255 bytes, wherever that is.
        [0, 10, 0, 50, ..] | [0, 20, 0, 40, ..] => &[Field::Fixed(2), Field::Short(BROKERS_TEXT)],
        // connection.blocked: the reason.
        [0, 10, 0, 60, ..] => &[Field::Short(BROKERS_TEXT)],
        _ => return Finding::Sound,
    };
    let mut reader = Reader { bytes: payload, at: 4, broken: Broken::default() };
    for field in layout {
        let read = match *field {
            Field::Fixed(len) => reader.skip(len),
            Field::Short(part) => reader.short(part),
            // A consumer's tag is ours.
            Field::Tag => reader.short(BROKERS_TEXT),
        };
        if let Err(Grammar(why)) = read {
            return Finding::Unreadable(why);
        }
    }
    reader.finding()
}

enum Field {
    Fixed(usize),
    Short(usize),
    Tag,
}

/// A break in the grammar.
struct Grammar(&'static str);

const ENDS_EARLY: Grammar = Grammar("the properties end too early");

fn properties(reader: &mut Reader<'_>, flags: u16) -> Result<(), Grammar> {
    for property in 0..14 {
        if flags & (1 << (15 - property)) == 0 {
            continue;
        }
        match property {
            HEADERS => reader.table()?,
            // Delivery mode and priority, then the timestamp; the others are short strings.
            3 | 4 => reader.skip(1)?,
            9 => reader.skip(8)?,
            text => reader.short(text)?,
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    broken: Broken,
}

/// A table or an array that is being read, and where it ends.
#[derive(Clone, Copy, Default)]
struct Level {
    end: usize,
    is_table: bool,
}

impl Reader<'_> {
    fn finding(self) -> Finding {
        if self.broken.parts.is_empty() { Finding::Sound } else { Finding::Broken(self.broken) }
    }

    fn skip(&mut self, len: usize) -> Result<(), Grammar> {
        self.skip_within(len, self.bytes.len())
    }

    fn skip_within(&mut self, len: usize, end: usize) -> Result<(), Grammar> {
        if end - self.at < len {
            return Err(ENDS_EARLY);
        }
        self.at += len;
        Ok(())
    }

    fn short(&mut self, part: usize) -> Result<(), Grammar> {
        self.short_within(part, self.bytes.len())
    }

    fn short_within(&mut self, part: usize, end: usize) -> Result<(), Grammar> {
        let start = self.at + 1;
        self.skip_within(1, end)?;
        let len = usize::from(self.bytes[self.at - 1]);
        self.skip_within(len, end)?;
        let text = start..start + len;
        if std::str::from_utf8(&self.bytes[text.clone()]).is_err() {
            self.broken.parts.add(part);
            self.broken.texts.push(text);
        }
        Ok(())
    }

    /// A length of four bytes, which has to lie before `end`.
    fn long_len(&mut self, end: usize) -> Result<usize, Grammar> {
        self.skip_within(4, end)?;
        let len = &self.bytes[self.at - 4..self.at];
        let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]);
        let len = usize::try_from(len).map_err(|_| ENDS_EARLY)?;
        if end - self.at < len { Err(ENDS_EARLY) } else { Ok(len) }
    }

    /// A table with all that is in it, level by level.
    fn table(&mut self) -> Result<(), Grammar> {
        let len = self.long_len(self.bytes.len())?;
        let mut levels = [Level::default(); DEPTH_MAX];
        levels[0] = Level { end: self.at + len, is_table: true };
        let mut depth = 1;
        while depth > 0 {
            let Level { end, is_table } = levels[depth - 1];
            if self.at == end {
                depth -= 1;
                continue;
            }
            if is_table {
                self.short_within(HEADERS, end)?;
            }
            if let Some(inner) = self.value(end)? {
                let level = levels.get_mut(depth).ok_or(Grammar("the headers are nested too deeply"))?;
                *level = inner;
                depth += 1;
            }
        }
        Ok(())
    }

    /// One value, or the level that it opens.
    fn value(&mut self, end: usize) -> Result<Option<Level>, Grammar> {
        self.skip_within(1, end)?;
        let fixed = match self.bytes[self.at - 1] {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'S' | b'x' => self.long_len(end)?,
            kind @ (b'A' | b'F') => {
                let len = self.long_len(end)?;
                return Ok(Some(Level { end: self.at + len, is_table: kind == b'F' }));
            }
            _ => return Err(Grammar("a header has a type that is not known")),
        };
        self.skip_within(fixed, end)?;
        Ok(None)
    }
}

fn blot(mut text: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(text) {
        let wrong = error.valid_up_to();
        let len = error.error_len().unwrap_or(text.len() - wrong);
        text[wrong..wrong + len].fill(b'?');
        text = &mut text[wrong + len..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A content header with these flags and properties.
    fn content_header(flags: u16, properties: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        payload.extend(flags.to_be_bytes());
        payload.extend(properties);
        payload
    }

    /// Headers alone, around the entries of their table.
    fn headers(entries: &[u8]) -> Vec<u8> {
        let mut table = u32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
        table.extend(entries);
        content_header(1 << 13, &table)
    }

    /// A value: tables in a table, so many levels deep.
    fn nested(levels: usize) -> Vec<u8> {
        let mut value = b"V".to_vec();
        for _ in 0..levels {
            let entry = [b"\x01n", value.as_slice()].concat();
            value = [b"F".as_slice(), &u32::try_from(entry.len()).unwrap().to_be_bytes(), &entry].concat();
        }
        value
    }

    #[test]
    fn each_kind_of_damage_is_found_and_named() {
        let every_type = b"\x01tt\x01\x01bb\x01\x01BB\x01\x01ss\x01\x02\x01UU\x01\x02\x01uu\x01\x02\x01II\x01\x02\x03\x04\x01ii\x01\x02\x03\x04\x01ff\x01\x02\x03\x04\x01DD\x00\x01\x02\x03\x04\x01LL12345678\x01ll12345678\x01dd12345678\x01TT12345678\x01SS\0\0\0\x02\xff\xfe\x01xx\0\0\0\x01\xff\x01AA\0\0\0\x02t\x01\x01FF\0\0\0\x03\x01nV\x01VV";
        let mut array_entry = b"\x01aA".to_vec();
        let table_in_array = b"F\0\0\0\x04\x02\xc3(V";
        array_entry.extend(u32::try_from(table_in_array.len()).unwrap().to_be_bytes());
        array_entry.extend(table_in_array);
        for (why, payload, expected) in [
            ("no properties", content_header(0, b""), Ok(None)),
            ("a good text", content_header(1 << 15, "\x02ä".as_bytes()), Ok(None)),
            ("every type of value, and a value that is no text", headers(every_type), Ok(None)),
            ("unused flags say nothing", content_header(3, b""), Ok(None)),
            ("content_type", content_header(1 << 15, b"\x02\xed\xa0"), Ok(Some("content_type is not UTF-8"))),
            ("app_id", content_header(1 << 3, b"\x01\xff"), Ok(Some("app_id is not UTF-8"))),
            (
                "two at once",
                content_header(1 << 10 | 1 << 5, b"\x01\xff\x01\xff"),
                Ok(Some("correlation_id and type are not UTF-8")),
            ),
            ("a header's name", headers(b"\x02\xc3(V"), Ok(Some("a header's name is not UTF-8"))),
            ("one deep inside", headers(&array_entry), Ok(Some("a header's name is not UTF-8"))),
            ("as deep as may be", headers(&[b"\x01n", nested(31).as_slice()].concat()), Ok(None)),
            (
                "too deep",
                headers(&[b"\x01n", nested(32).as_slice()].concat()),
                Err("the headers are nested too deeply"),
            ),
            ("an unknown type", headers(b"\x01az"), Err("a header has a type that is not known")),
            ("a name that leaves its table", headers(b"\x09a"), Err("the properties end too early")),
            (
                "a text that leaves its table",
                headers(b"\x01aS\0\0\0\x09"),
                Err("the properties end too early"),
            ),
            ("a text longer than all", content_header(1 << 15, b"\x09"), Err("the properties end too early")),
            ("a timestamp cut short", content_header(1 << 6, b"1234"), Err("the properties end too early")),
            ("a rest", content_header(0, b"x"), Err("the properties have bytes after their end")),
            ("no flags", vec![0; 12], Err("the content header ends too early")),
        ] {
            match (header(&payload), expected) {
                (Finding::Sound, Ok(None)) => {}
                (Finding::Broken(broken), Ok(Some(reason))) => {
                    assert_eq!(broken.parts.reason(), reason, "{why}");
                    let mut mended = payload.clone();
                    broken.mend(&mut mended);
                    assert_eq!(header(&mended), Finding::Sound, "{why}: mended for good");
                }
                (Finding::Unreadable(reason), Err(expected)) => assert_eq!(reason, expected, "{why}"),
                (found, expected) => panic!("{why}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn methods_that_carry_texts_of_others_are_mended_and_no_others_are_touched() {
        let deliver = |exchange: &[u8], key: &[u8]| {
            let mut payload = b"\0\x3c\0\x3c\x03tag\0\0\0\0\0\0\0\x07\0".to_vec();
            for text in [exchange, key] {
                payload.push(u8::try_from(text.len()).unwrap());
                payload.extend(text);
            }
            payload
        };
        let mended = |mut payload: Vec<u8>| {
            let finding = method(&payload);
            let Finding::Broken(broken) = finding else { panic!("{finding:?}") };
            broken.mend(&mut payload);
            (broken.parts.reason(), payload)
        };
        assert_eq!(method(&deliver(b"x", b"key")), Finding::Sound);
        let (reason, payload) = mended(deliver(b"x", b"\xffkey\xff"));
        assert_eq!(reason, "the routing key is not UTF-8");
        assert_eq!(payload, deliver(b"x", b"?key?"));
        let (reason, _) = mended(deliver(b"\xff", b"\xff"));
        assert_eq!(reason, "the routing key and the exchange's name are not UTF-8");
        // channel.close whose text the broker cut within a character.
        let (_, payload) = mended(b"\0\x14\0\x28\x01\x94\x02a\xc3\0\0\0\0".to_vec());
        assert_eq!(payload, b"\0\x14\0\x28\x01\x94\x02a?\0\0\0\0");
        // connection.start has a table of the broker's own, and is left to the parser.
        assert_eq!(method(b"\0\x0a\0\x0a\xff\xff"), Finding::Sound);
        assert_eq!(method(b""), Finding::Sound);
        assert_eq!(method(b"\0\x3c\0\x3c\x09"), Finding::Unreadable("the properties end too early"));
    }

    #[test]
    fn only_wrong_bytes_are_blotted() {
        for (from, to) in [
            (b"a\xffb".as_slice(), b"a?b".as_slice()),
            (b"\xed\xa0\x80", b"???"),
            (b"\xc3\xa4\xc3", b"\xc3\xa4?"),
            (b"\xf0\x9f\x92", b"???"),
        ] {
            let mut text = from.to_vec();
            blot(&mut text);
            assert_eq!(text, to);
        }
    }
}
