//! What a message in Telegram says: the title, more of it, and where to read on.
//!
//! What holds here:
//! - Lengths and places are counted in UTF-16 units, as Telegram counts places, so a text is never longer than it takes.
//! - The link comes last and is never cut; the body gives way first, then the title.
//! - Nothing in a text turns the order of what stands beside it around.

use std::ops::Range;

use watchbell::domain::{Severity, Status, StopReason, text::closed};

use crate::channel::{
    message::{AlertContent, Withdrawal},
    text::shorten_by,
};

/// The longest text of a message: <https://core.telegram.org/bots/api#sendmessage>.
const TEXT_UNITS_MAX: usize = 4096;
/// A longer link is left out: it would leave no room for what it is about.
const LINK_UNITS_MAX: usize = 2048;
/// Before the title of what is over.
const OVER: &str = "✅ ";
/// Between the parts.
const GAP: &str = "\n\n";

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub text: String,
    /// Where the title stands, in UTF-16 units.
    pub title: Range<usize>,
}

/// What is shown of an alert.
pub(super) fn alert(alert: &AlertContent, link: Option<&str>) -> Rendered {
    let mark = match (alert.status, alert.severity) {
        (Status::Resolved, _) => OVER,
        (_, Severity::Critical) => "🔴 ",
        (_, Severity::Warning) => "🟡 ",
        (_, Severity::Info) => "🔵 ",
    };
    message(mark, &alert.title, alert.body.as_deref(), link)
}

/// What stands in place of an alert, once nobody needs to be told any more.
pub(super) fn over(withdrawal: &Withdrawal, link: Option<&str>) -> Rendered {
    let because = match withdrawal.because {
        StopReason::Exhausted => "no longer told",
        because => because.as_str(),
    };
    let title = withdrawal.content.as_ref().map_or("These alerts are over", |alert| &alert.title);
    message(OVER, title, Some(because), link)
}

fn message(mark: &str, title: &str, body: Option<&str>, link: Option<&str>) -> Rendered {
    let link = link.filter(|link| units(link) <= LINK_UNITS_MAX);
    let link = link.map(|link| format!("{GAP}{link}")).unwrap_or_default();
    let room = TEXT_UNITS_MAX - units(mark) - units(&link);
    let title = fitted(title.trim(), room).unwrap_or_default();
    let room = (room - units(&title)).saturating_sub(units(GAP));
    let body = body.map(str::trim).filter(|body| !body.is_empty());
    let body =
        body.and_then(|body| fitted(body, room)).map(|body| format!("{GAP}{body}")).unwrap_or_default();
    let begin = units(mark);
    Rendered { title: begin..begin + units(&title), text: format!("{mark}{title}{body}{link}") }
}

/// What stands in place of a message that a newer one replaces and that cannot be deleted any more.
pub(super) const REPLACED: &str = "There is a newer message about this alert.";

/// `text` in so many units, its ellipsis and what closes its directions included.
fn fitted(text: &str, units_max: usize) -> Option<String> {
    let whole = closed(text);
    if units(&whole) <= units_max {
        return Some(whole.into_owned());
    }
    // What closes directions comes on top of what was cut, so it is cut by as much more as that takes.
    let mut room = units_max.checked_sub(1)?;
    loop {
        let cut = closed(&shorten_by(text, room, char::len_utf16)?).into_owned();
        match units(&cut).saturating_sub(units_max) {
            0 => return Some(cut),
            over => room = room.checked_sub(over)?,
        }
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn about(title: &str, body: &str, severity: Severity) -> AlertContent {
        AlertContent {
            alert: "a-1".into(),
            user: "ana".into(),
            tenant: "acme".into(),
            title: title.into(),
            body: Some(body.into()),
            url: None,
            severity,
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
    fn a_message_says_what_how_bad_and_where() {
        let link = Some("https://example.org/a");
        for (why, title, body, severity, expected) in [
            (
                "all of it",
                "Disk is full",
                "2 % left",
                Severity::Critical,
                "🔴 Disk is full\n\n2 % left\n\nhttps://example.org/a",
            ),
            ("no body", "Disk", " ", Severity::Warning, "🟡 Disk\n\nhttps://example.org/a"),
            (
                "no markup",
                "<b>*_[x](y)",
                "&amp;",
                Severity::Info,
                "🔵 <b>*_[x](y)\n\n&amp;\n\nhttps://example.org/a",
            ),
        ] {
            let rendered = alert(&about(title, body, severity), link);
            assert_eq!(rendered.text, expected, "{why}");
            let title_units: Vec<u16> = rendered.text.encode_utf16().collect();
            assert_eq!(String::from_utf16_lossy(&title_units[rendered.title]), title, "{why}");
        }
    }

    #[test]
    fn what_is_over_says_why() {
        let disk = || Some(Box::new(about("Disk is full", "2 % left", Severity::Critical)));
        let link = "https://example.org/a";
        for (why, because, content, link, expected) in [
            (
                "with its link",
                StopReason::Resolved,
                disk(),
                Some(link),
                "✅ Disk is full\n\nresolved\n\nhttps://example.org/a",
            ),
            ("without one", StopReason::Seen, disk(), None, "✅ Disk is full\n\nseen"),
            ("a summary", StopReason::Read, None, None, "✅ These alerts are over\n\nread"),
        ] {
            let withdrawal = Withdrawal { alerts: Vec::new(), unread: 0, because, content };
            assert_eq!(over(&withdrawal, link).text, expected, "{why}");
        }
        let resolved = AlertContent { status: Status::Resolved, ..about("Disk", "", Severity::Critical) };
        assert_eq!(alert(&resolved, None).text, "✅ Disk");
    }

    #[test]
    fn a_long_text_is_cut_and_its_link_is_not() {
        let longest = format!("https://example.org/{}", "a".repeat(LINK_UNITS_MAX - 20));
        let link = format!("\n\n{longest}");
        for (why, title, body) in [
            ("a long body", "t".to_owned(), "x".repeat(9_000)),
            ("pairs of units", "t".to_owned(), "😀".repeat(9_000)),
            ("a long title", "t".repeat(9_000), "x".to_owned()),
            ("every line turns around", "t".to_owned(), "\u{202e}x\n".repeat(3_000)),
        ] {
            let rendered = alert(&about(&title, &body, Severity::Info), Some(&longest));
            assert!(units(&rendered.text) <= TEXT_UNITS_MAX, "{why}: {}", units(&rendered.text));
            // Where every line is closed as well, as much room again may be left.
            assert!(units(&rendered.text) > TEXT_UNITS_MAX - 512, "{why}: {}", units(&rendered.text));
            assert!(rendered.text.ends_with(&link), "{why}");
            assert!(rendered.text.contains('…'), "{why}");
        }
        let rendered = alert(&about("t", "x", Severity::Info), Some(&format!("{longest}aa")));
        assert_eq!(rendered.text, "🔵 t\n\nx", "a link without end is left out");
    }
}
