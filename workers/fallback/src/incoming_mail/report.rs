//! What a mail says of another one that came back: a delivery status (RFC 3464) or a complaint (RFC 5965). Pure.
//!
//! What holds here: any bytes give some [`Report`], and nothing here fails. A mail that is no report says nothing: an automatic
//! reply to the return path must not end an address.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use watchbell::{
    domain::{
        BounceKind,
        bounce::{enhanced_status, kind_of, status_within},
    },
    wire::mail_ticket::{MAIL_TICKET_HEADER, MailTicket},
};

use crate::channel::tidy_reason;

/// How often the words may occur in a mail without which none is within another: `mail-parser` (0.11) drops messages within
/// messages by recursion, so a mail of nothing else would end the stack. With more of them it is no report of anybody's.
const NESTING_WORDS_MAX: usize = 200;
/// A type that a message within another has, and one whose parts are messages without saying so (RFC 2046, section 5.1.5).
const NESTING_WORDS: [&[u8]; 2] = [b"message", b"digest"];
/// Lines of a status that are read.
const LINES_MAX: usize = 500;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// A mail was not delivered, and will not be.
    CameBack { kind: BounceKind, reason: String },
    /// It is late, and is tried again.
    Delayed,
    /// A reader called a mail spam: which one, if the report says so.
    Complaint { about: Option<MailTicket>, reason: String },
    /// Nothing: not a report, or one that says that all went well.
    None,
}

/// Reads a mail as it stood between `DATA` and the final dot.
pub(super) fn report_of(message: &[u8]) -> Report {
    if nesting_words(message) > NESTING_WORDS_MAX {
        return Report::None;
    }
    let Some(mail) = MessageParser::default().parse(message) else { return Report::None };
    let part = |subtype: &str| {
        let of_type = mail.parts.iter().find(|part| {
            part.content_type()
                .is_some_and(|it| it.c_type == "message" && it.c_subtype.as_deref() == Some(subtype))
        });
        of_type.map(|part| String::from_utf8_lossy(part.contents()).into_owned())
    };
    if let Some(feedback) = part("feedback-report") {
        let kind = field(&feedback, "Feedback-Type").unwrap_or_default();
        // `not-spam` takes a complaint back, `auth-failure` and `dmarc` are no reader's.
        return match kind.to_ascii_lowercase().as_str() {
            "abuse" | "fraud" | "other" | "virus" => {
                Report::Complaint { about: ticket_within(&mail), reason: tidy_reason(&kind, &[]) }
            }
            _ => Report::None,
        };
    }
    part("delivery-status")
        .or_else(|| part("global-delivery-status"))
        .map_or(Report::None, |status| of_status(&status))
}

/// The first recipient's end in a delivery status: each of our mails has one recipient.
fn of_status(status: &str) -> Report {
    let status = status.replace("\r\n", "\n");
    let mut report = Report::None;
    for group in status.split("\n\n") {
        match field(group, "Action").unwrap_or_default().to_ascii_lowercase().as_str() {
            "failed" => return came_back(group),
            "delayed" => report = Report::Delayed,
            _ => {}
        }
    }
    report
}

fn came_back(group: &str) -> Report {
    let (status, diagnostic) = (field(group, "Status"), field(group, "Diagnostic-Code"));
    let stated = status.as_deref().and_then(enhanced_status);
    let said = diagnostic.as_deref().and_then(status_within);
    // `5.0.0` says nothing, and the receiver's own words often do.
    let status = match (stated, said) {
        (Some([5, 0, 0]) | None, Some(said)) => said,
        (Some(stated), _) => stated,
        (None, None) => [5, 0, 0],
    };
    let reason = diagnostic.or(field(group, "Status")).unwrap_or_default();
    Report::CameBack { kind: kind_of(status), reason: tidy_reason(&reason, &[]) }
}

/// The value of a field, unfolded, without its comment.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().take(LINES_MAX).skip_while(|line| {
        !line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name))
    });
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(line.trim());
    }
    Some(value)
}

/// The ticket of the mail that a complaint encloses, or whose head it encloses.
fn ticket_within(mail: &Message<'_>) -> Option<MailTicket> {
    mail.parts.iter().find_map(|part| match &part.body {
        PartType::Message(enclosed) => {
            enclosed.header_raw(MAIL_TICKET_HEADER).and_then(|value| value.parse().ok())
        }
        PartType::Text(text) => field(text, MAIL_TICKET_HEADER)?.parse().ok(),
        _ => field(&String::from_utf8_lossy(part.contents()), MAIL_TICKET_HEADER)?.parse().ok(),
    })
}

fn nesting_words(message: &[u8]) -> usize {
    let occurrences =
        |word: &[u8]| message.windows(word.len()).filter(|text| text.eq_ignore_ascii_case(word)).count();
    NESTING_WORDS.into_iter().map(occurrences).sum()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
