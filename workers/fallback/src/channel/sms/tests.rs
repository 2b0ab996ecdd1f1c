//! Tables of segments and texts, and what holds for any text.

use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    AlertContent, VALIDITY_MAX, VALIDITY_MIN, render,
    segments::{self, Encoding},
    validity_of,
};
use crate::channel::{Severity, Status};

const LINK: &str = "https://example.org/incidents/1234567890";

#[test]
fn a_text_takes_so_many_segments() {
    let (gsm, ucs) = (Encoding::Gsm7, Encoding::Ucs2);
    for (why, text, encoding, expected) in [
        ("nothing is one", String::new(), gsm, 1),
        ("the fullest one", "a".repeat(160), gsm, 1),
        ("one more", "a".repeat(161), gsm, 2),
        ("two full ones", "a".repeat(306), gsm, 2),
        ("and one more", "a".repeat(307), gsm, 3),
        ("three full ones", "a".repeat(459), gsm, 3),
        ("letters of the alphabet", "ñÄö@Ω\n".repeat(26), gsm, 1),
        ("the extension table takes two", "€".repeat(80), gsm, 1),
        ("so it is full sooner", "[".repeat(81), gsm, 2),
        ("each of the table", "^{}\\[~]|€".repeat(8), gsm, 1),
        ("an escape stays with its character", format!("{}€{}", "a".repeat(152), "a".repeat(152)), gsm, 3),
        ("the same with room for both", format!("{}€{}", "a".repeat(151), "a".repeat(153)), gsm, 2),
        ("one other letter changes all", format!("{}ł", "a".repeat(69)), ucs, 1),
        ("and fills it sooner", format!("{}ł", "a".repeat(70)), ucs, 2),
        ("two full ones of units", "ł".repeat(134), ucs, 2),
        ("and one unit more", "ł".repeat(135), ucs, 3),
        ("a pair is two units", "😀".repeat(35), ucs, 1),
        ("one pair more", "😀".repeat(36), ucs, 2),
        ("and is not torn", "😀".repeat(67), ucs, 3),
        ("the extension table is one unit there", "€".repeat(69) + "ł", ucs, 1),
        ("an ellipsis is not in the alphabet", "…".to_owned(), ucs, 1),
        ("nor is a tab", "\t".to_owned(), ucs, 1),
        ("nor a backtick", "`".to_owned(), ucs, 1),
    ] {
        assert_eq!((Encoding::of(&text), segments::count(&text)), (encoding, expected), "{why}");
    }
}

fn about(title: &str, body: &str) -> AlertContent {
    AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: title.into(),
        body: Some(body.into()),
        url: None,
        severity: Severity::Critical,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: "a-1".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 1,
    }
}

#[test]
fn a_message_says_how_bad_what_and_where() {
    let text = |severity, body: &str, link| {
        render::alert(&AlertContent { severity, ..about("Disk is full", body) }, link, 3)
    };
    for (why, text, expected) in [
        (
            "all of it",
            text(Severity::Critical, "2 % left", Some(LINK)),
            "Critical: Disk is full\n2 % left\nhttps://example.org/incidents/1234567890",
        ),
        ("a warning", text(Severity::Warning, "2 % left", None), "Warning: Disk is full\n2 % left"),
        ("no alarm", text(Severity::Info, "", None), "Disk is full"),
        ("blanks cost", text(Severity::Info, " a\u{a0} b\t\r\n\n\nc ", None), "Disk is full\na b\nc"),
        (
            "a direction ends with its text",
            text(Severity::Info, "\u{202e}a", None),
            "Disk is full\n\u{202e}a\u{202c}",
        ),
    ] {
        assert_eq!(text, expected, "{why}");
    }
}

#[test]
fn what_is_cut_fills_its_segments() {
    let of = |body: &str, link, segments_max| render::alert(&about("Disk", body), link, segments_max);
    assert_eq!(of(&"x".repeat(145), None, 1).len(), 160, "what fits is whole");
    let cut = of(&"x".repeat(146), None, 1);
    assert_eq!((cut.len(), cut.ends_with("xxx...")), (160, true), "what does not is cut to the last septet");
    assert_eq!(of(&"x".repeat(9_999), Some(LINK), 3).len(), 3 * 153);
    assert_eq!(of(&"€".repeat(9_999), None, 1).chars().count(), 15 + (160 - 15 - 3) / 2 + 3);
    let units = of(&"ł".repeat(9_999), Some(LINK), 2);
    assert_eq!(units.encode_utf16().count(), 2 * 67);
    let late = of(&format!("{}ł", "x".repeat(200)), None, 2);
    assert_eq!(late.len(), 15 + 200 + 3, "cut before the letter that would make all of it dearer");
    assert_eq!(Encoding::of(&late), Encoding::Gsm7);
}

#[test]
fn a_link_is_whole_or_is_not_there() {
    let of = |link: &str| render::alert(&about(&"Disk is full ".repeat(90), ""), Some(link), 2);
    let room = 2 * 153 - 30 - "...\n".len();
    let link = |chars: usize| format!("https://example.org/{}", "a".repeat(chars - 20));
    assert!(of(&link(room)).ends_with(&format!("...\n{}", link(room))), "{}", of(&link(room)));
    let without = of(&link(room + 1));
    assert!(!without.contains("https") && without.ends_with("...") && without.len() > 290, "{without}");
    let short = AlertContent { severity: Severity::Info, ..about("Disk is full", "") };
    let exact = render::alert(&short, Some(&link(160 - 13)), 1);
    assert_eq!(exact, format!("Disk is full\n{}", link(160 - 13)), "nothing has to be cut for it");
    assert_eq!(render::alert(&short, Some(&link(160 - 12)), 1), "Disk is full", "it is a septet too long");
    let accented = render::alert(&about(&"e\u{301}".repeat(400), ""), None, 1);
    assert!(accented.ends_with("e\u{301}..."), "an accent stays with its letter: {accented}");
}

/// Any text, of letters that cost one, two, or change the alphabet, in any number of segments.
#[test]
fn no_text_takes_more_than_its_segments_or_loses_its_link() {
    const LETTERS: [char; 16] = [
        'a', 'b', ' ', '\n', '€', '[', 'ł', 'ż', '😀', '\u{301}', '\u{200d}', '\u{202e}', '\u{2067}',
        '\u{2069}', '…', '\t',
    ];
    let mut chance = StdRng::seed_from_u64(7);
    let mut text_of = |length: usize| -> String {
        let letters = chance.random_range(1..=LETTERS.len());
        (0..chance.random_range(0..=length)).map(|_| LETTERS[chance.random_range(0..letters)]).collect()
    };
    for round in 0..500 {
        let (title, body) = (text_of(300), text_of(1_200));
        let (segments_max, with_link) = (1 + round % 10, round % 3 != 0);
        let content = about(&title, &body);
        let message = render::alert(&content, with_link.then_some(LINK), segments_max);
        let taken = segments::count(&message);
        assert!((1..=segments_max).contains(&taken), "{taken} of {segments_max}: {message:?}");
        let has_link = message.ends_with(LINK);
        assert!(has_link || !message.contains("https"), "never half of it: {message:?}");
        assert!(has_link == with_link || segments_max == 1, "two segments have room for it: {message:?}");
        // More room never shows less of it, and what was whole stays as it is.
        let more = render::alert(&content, with_link.then_some(LINK), segments_max + 1);
        let shown = |message: &str| {
            let text = message.strip_suffix(LINK).map_or(message, str::trim_end);
            text.trim_end_matches("...").len()
        };
        assert!(shown(&more) >= shown(&message), "{message:?} {more:?}");
        if !message.contains("...") && has_link == with_link {
            assert_eq!(message, more);
        }
    }
}

/// What the search for the longest text that fits relies on.
#[test]
fn one_more_character_never_makes_it_fewer_segments() {
    let mut chance = StdRng::seed_from_u64(8);
    for _ in 0..200 {
        let (mut text, mut before) = (String::new(), 0);
        for _ in 0..chance.random_range(1..400) {
            text.push(['a', '€', 'ł', '😀'][chance.random_range(0..4_usize.min(1 + text.len() / 60))]);
            let taken = segments::count(&text);
            assert!(taken >= before, "{text}");
            before = taken;
        }
    }
}

#[test]
fn twilio_keeps_a_message_no_longer_than_it_is_worth() {
    let now = Timestamp::UNIX_EPOCH;
    for (why, left, expected) in [
        ("an hour", SignedDuration::from_hours(1), 3_600),
        ("longer than Twilio keeps one", SignedDuration::from_hours(100), VALIDITY_MAX.as_secs()),
        ("nearly over", SignedDuration::from_millis(1), VALIDITY_MIN.as_secs()),
        ("over", SignedDuration::from_hours(-1), VALIDITY_MIN.as_secs()),
    ] {
        assert_eq!(validity_of(now + left, now).as_secs(), expected, "{why}");
    }
}
