//! Tests of `email_header`: whatever is written is read back by somebody else's parser.

#![allow(clippy::unwrap_used)]

use lettre::Message;
use mail_parser::MessageParser;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// Texts of the property test.
const TEXTS: u64 = 4_000;
/// What texts are made of: what has broken the headers of other programs.
const PIECES: [&str; 40] = [
    "Disk",
    "full",
    "on",
    " ",
    "  ",
    "a",
    "=?",
    "?=",
    "=?utf-8?Q?=41?=",
    "=?utf-8?B?QQ==?=",
    "_",
    "=",
    "=20",
    "?",
    "\"",
    "\\",
    "(",
    ")",
    "<",
    ">",
    ",",
    ";",
    ":",
    "@",
    ".",
    "ü",
    "żółw",
    "\u{a0}",
    "🔔",
    "👩\u{200d}🚒",
    "e\u{301}",
    "\t",
    "\r\n",
    "\n ",
    "\u{2028}",
    "\u{7f}",
    "\u{9b}",
    "\u{202e}",
    "警報警報警報警報",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// The head with these headers, and the values that a mail program reads in it.
fn head(headers: impl IntoIterator<Item = HeaderValue>, from: &Mailbox) -> String {
    let mut builder = Message::builder().from(from.clone()).to("ana@example.net".parse().unwrap());
    for header in headers {
        builder = builder.raw_header(header);
    }
    let message = String::from_utf8(builder.body(String::new()).unwrap().formatted()).unwrap();
    message.split("\r\n\r\n").next().unwrap().to_owned()
}

fn assert_lines(head: &str, why: &str) {
    for line in head.split("\r\n") {
        assert!(line.len() <= 78 && !line.trim().is_empty(), "{why}: a line of {} bytes: {line}", line.len());
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{why}: {line}");
    }
    let headers = head.split("\r\n").filter(|line| !line.starts_with(' ')).count();
    assert_eq!(
        headers,
        head.split("\r\n").filter(|line| line.contains(':') && !line.starts_with(' ')).count()
    );
}

fn plain() -> Mailbox {
    "alerts@example.org".parse().unwrap()
}

#[test]
fn a_text_is_one_line_by_this_table() {
    for (why, text, expected) in [
        ("as it is", "Disk full", "Disk full"),
        ("blanks at the ends", "  Disk full \t", "Disk full"),
        ("two blanks stay", "Disk  full", "Disk  full"),
        ("a line break is a blank", "Disk\r\nfull", "Disk full"),
        ("so is a run of them", "Disk\r\n\r\n\tfull", "Disk full"),
        ("with blanks it is still theirs", "Disk \n full", "Disk  full"),
        ("Unicode's own", "Disk\u{2028}full\u{85}now", "Disk full now"),
        ("nothing", "\n\t ", ""),
        ("a header of somebody's", "x\r\nBcc: eve@example.org", "x Bcc: eve@example.org"),
    ] {
        assert_eq!(one_line(text), expected, "{why}");
    }
}

#[test]
fn a_subject_reads_as_it_was_written() {
    let long = "a ".repeat(120);
    let (no_blank, emoji) = ("x".repeat(500), "🔔".repeat(90));
    for (why, subject) in [
        ("plain", "Disk full on db-1"),
        ("long", &*long),
        ("a word that no line holds", &no_blank),
        ("emoji at every fold", &emoji),
        ("what looks encoded", "=?utf-8?Q?Disk_full?="),
        ("half of what looks encoded", "if (a =? b)"),
        (
            "an emoji of several",
            "alert 👩\u{200d}🚒👩\u{200d}🚒👩\u{200d}🚒👩\u{200d}🚒👩\u{200d}🚒👩\u{200d}🚒 now",
        ),
        ("two blanks", "a  b"),
        ("a no-break blank", "100\u{a0}%"),
        ("quotes and brackets", r#""quoted" \ (not a comment) <x@y> , ; :"#),
        ("Arabic", "القرص ممتلئ"),
        ("accents apart", "e\u{301}e\u{301}e\u{301}"),
        ("ASCII beside others", "Speicher ü =?utf-8?B?QQ==?= full"),
    ] {
        let head = head([text("Subject", subject)], &plain());
        let read = MessageParser::default().parse(head.as_bytes()).unwrap();
        assert_eq!(read.subject().unwrap(), one_line(subject), "{why}: {head}");
        assert_lines(&head, why);
    }
}

#[test]
fn whatever_a_producer_writes_is_read_back() {
    let chance = &mut StdRng::seed_from_u64(7);
    for n in 0..TEXTS {
        let pieces = chance.random_range(1..40);
        let written: String = (0..pieces).map(|_| PIECES[chance.random_range(0..PIECES.len())]).collect();
        let expected = one_line(&written);
        if expected.is_empty() {
            continue; // Nobody sends a mail without a subject: a title has something to see.
        }
        let from = Mailbox::new(Some(written.clone()), "alerts@example.org".parse().unwrap());
        let head = head([text("Subject", &written), mailbox("From", &from)], &plain());
        let read = MessageParser::default().parse(head.as_bytes()).unwrap();
        assert_eq!(read.subject().unwrap_or_default(), expected, "{n}: {head}");
        let sender = read.from().unwrap().first().unwrap();
        assert_eq!(sender.address(), Some("alerts@example.org"), "{n}: {head}");
        assert_eq!(sender.name().unwrap_or_default(), expected, "{n}: {head}");
        assert_lines(&head, &n.to_string());
    }
}

#[test]
fn a_name_beside_an_address_reads_as_it_was_written() {
    for (why, name) in [
        ("plain", "Watchbell"),
        ("several words", "The Watchbell of Acme"),
        ("a comma", "Acme, Inc."),
        ("quotes", r#"The "Bell" \ Acme"#),
        ("an @", "alerts@acme"),
        ("what looks encoded", "=?utf-8?Q?Acme?="),
        ("another script", "Żółw ostrzega"),
        ("long", "Watchbell tells everybody at the Acme Corporation whatever they need to know in good time"),
        (
            "long and of another script",
            "Żółw ostrzega wszystkich w spółce Acme o wszystkim, co powinni wiedzieć na czas",
        ),
    ] {
        let from = Mailbox::new(Some(name.into()), "alerts@example.org".parse().unwrap());
        let head = head([mailbox("From", &from)], &plain());
        let read = MessageParser::default().parse(head.as_bytes()).unwrap();
        let sender = read.from().unwrap().first().unwrap();
        assert_eq!(
            (sender.name(), sender.address()),
            (Some(name), Some("alerts@example.org")),
            "{why}: {head}"
        );
        assert_lines(&head, why);
    }
}
