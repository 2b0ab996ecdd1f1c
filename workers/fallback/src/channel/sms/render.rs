//! What a text message says: how bad, the title, more of it, and at its end where to read on. Pure.
//!
//! What holds here:
//! - It takes at most so many segments.
//! - The link is the last line and is never cut: what stands before it gives way. A link that would leave no room for the
//!   beginning of the title is left out whole.
//! - What is cut ends in three dots. An ellipsis is not in the GSM alphabet, so that one would make every text twice as dear.

use watchbell::domain::{Severity, text::closed};

use super::segments::{self, CHARS_PER_SEGMENT_MAX};
use crate::channel::{message::AlertContent, text::may_part};

/// Ends what was cut.
const CUT: &str = "...";
/// So many characters of an alert stand before a link, or the link is left out.
const BEFORE_LINK_CHARS: usize = 30;

/// The message about an alert, in at most `segments_max` segments.
pub(super) fn alert(alert: &AlertContent, link: Option<&str>, segments_max: usize) -> String {
    let text = text_of(alert);
    let fits = |message: &str| segments::count(message) <= segments_max;
    let whole = |link| with_link(closed(&text).into_owned(), link);
    let beginning: String = text.chars().take(BEFORE_LINK_CHARS).collect();
    let link = link.filter(|link| fits(&whole(Some(link))) || fits(&cut(&beginning, Some(link))));
    let message = whole(link);
    if fits(&message) {
        return message;
    }
    let ends = ends(&text, segments_max * CHARS_PER_SEGMENT_MAX);
    // A longer text never takes fewer segments, so those that fit come first.
    let fitting = ends.partition_point(|&end| fits(&cut(&text[..end], link)));
    let end = fitting.checked_sub(1).map_or(0, |last| ends[last]);
    cut(&text[..end], link)
}

fn text_of(alert: &AlertContent) -> String {
    let severity = match alert.severity {
        Severity::Critical => "Critical: ",
        Severity::Warning => "Warning: ",
        Severity::Info => "",
    };
    let body = alert.body.as_deref().unwrap_or_default();
    let lines = std::iter::once(format!("{severity}{}", one_line(&alert.title)));
    let lines = lines.chain(body.lines().map(one_line));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Without what is paid for and says nothing: more than one blank at a time, and characters that no phone shows.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Where a text may end, shortest first, as long as there can be room for it.
fn ends(text: &str, chars_max: usize) -> Vec<usize> {
    let starts = text.char_indices().take(chars_max);
    let pairs = starts.clone().zip(starts.skip(1));
    pairs.filter(|((_, before), (_, after))| may_part(*before, *after)).map(|(_, (at, _))| at).collect()
}

fn cut(beginning: &str, link: Option<&str>) -> String {
    with_link(format!("{}{CUT}", closed(beginning.trim_end())), link)
}

fn with_link(text: String, link: Option<&str>) -> String {
    match link {
        Some(link) => format!("{text}\n{link}"),
        None => text,
    }
}
