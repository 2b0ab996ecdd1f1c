//! What a mail says of another one that came back: a delivery status (RFC 3464) or a complaint (RFC 5965). Pure.
//!
//! What holds here: any bytes give some [`Report`], and nothing here fails. A mail that is no report says nothing: an automatic
//! reply to the return path must not end an address.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use watchbell::{
    domain::{
        BounceKind,
        bounce::{enhanced_status, kind_of, status_within},
        email::{address_digest, email_address, folded_address_digest},
    },
    wire::mail_ticket::MAIL_TICKET_HEADER,
};

use crate::channel::tidy_reason;

/// How often a mail may say that a message is within it: `mail-parser` (0.11) drops messages within messages by recursion, so a mail of
/// nothing else would end the stack. With more of them it is no report of anybody's.
const NESTING_MAX: usize = 200;
/// The type that a message within another has, and the one whose parts are messages without saying so (RFC 2046, section 5.1.5).
const NESTING_WORDS: [&[u8]; 2] = [b"message", b"digest"];
/// Lines of a status that are read.
const LINES_MAX: usize = 500;
/// Recipients of a status that are read. Each of our mails has one; who expands it to several may say what became of each.
const RECIPIENTS_MAX: usize = 100;
/// The longest text that is a ticket, in bytes.
const TICKET_BYTES_MAX: usize = 64;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// What became of a mail.
    Status(DeliveryStatus),
    /// A reader called a mail spam: which one, in the words of the report, which anybody can write.
    Complaint { about: Option<String>, reason: String },
    /// Nothing: not a report.
    None,
}

/// What became of a mail, of each recipient that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeliveryStatus(Vec<RecipientStatus>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct RecipientStatus {
    /// Digests of its addresses, as it was written to and as it was delivered to.
    recipients: Vec<String>,
    outcome: Outcome,
}

/// What became of a mail for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not delivered, and will not be.
    CameBack { kind: BounceKind, reason: String },
    /// It is late, and is tried again.
    Delayed,
    /// All went well.
    Fine,
}

impl DeliveryStatus {
    /// What became of the mail to the address with this digest: the hardest that is said of it, or where it is not named, of any.
    pub(super) fn of(&self, address_digest: &str) -> &Outcome {
        let is_theirs =
            |status: &&RecipientStatus| status.recipients.iter().any(|digest| digest == address_digest);
        let hardest = |outcome: &&Outcome| match outcome {
            Outcome::CameBack { kind: BounceKind::Hard, .. } => 4,
            Outcome::CameBack { kind: BounceKind::Policy, .. } => 3,
            Outcome::CameBack { .. } => 2,
            Outcome::Delayed => 1,
            Outcome::Fine => 0,
        };
        let theirs = self.0.iter().filter(is_theirs).map(|status| &status.outcome).max_by_key(hardest);
        let of_any = || self.0.iter().map(|status| &status.outcome).max_by_key(hardest);
        theirs.or_else(of_any).unwrap_or(&Outcome::Fine)
    }
}

/// Reads a mail as it stood between `DATA` and the final dot.
pub(super) fn report_of(message: &[u8]) -> Report {
    if nestings(message) > NESTING_MAX {
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
        .map_or(Report::None, |status| Report::Status(status_of(&status)))
}

fn status_of(text: &str) -> DeliveryStatus {
    let text = text.replace("\r\n", "\n");
    let of_recipient = |group: &str| {
        // `failed (permanent)`: fields may have comments (RFC 3464, section 2.1.1).
        let action = field(group, "Action")?.to_ascii_lowercase();
        let outcome = match action.split([' ', '\t', '(', ';']).next().unwrap_or_default() {
            "failed" => came_back(group),
            "delayed" => Outcome::Delayed,
            _ => Outcome::Fine,
        };
        let named =
            ["Original-Recipient", "Final-Recipient"].into_iter().filter_map(|name| field(group, name));
        Some(RecipientStatus { recipients: named.flat_map(|named| digests_of(&named)).collect(), outcome })
    };
    DeliveryStatus(text.split("\n\n").filter_map(of_recipient).take(RECIPIENTS_MAX).collect())
}

/// Digests of the address in `rfc822; ana@example.net`, as it is written and in small letters.
fn digests_of(named: &str) -> Vec<String> {
    let address = named.split_once(';').map_or(named, |(_, address)| address);
    let address = address.trim().trim_matches(['<', '>']);
    let address = email_address(address.split([' ', '(']).next().unwrap_or_default());
    address.map(|address| vec![address_digest(&address), folded_address_digest(&address)]).unwrap_or_default()
}

fn came_back(group: &str) -> Outcome {
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
    Outcome::CameBack { kind: kind_of(status), reason: tidy_reason(&reason, &[]) }
}

/// The value of a field, unfolded.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().take(LINES_MAX).skip_while(|line| {
        !line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name))
    });
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(line.trim());
    }
    // A field may begin on the line below its name.
    Some(value.trim().to_owned())
}

/// The ticket in the mail that a complaint encloses, or whose head it encloses.
fn ticket_within(mail: &Message<'_>) -> Option<String> {
    let ticket = mail.parts.iter().find_map(|part| match &part.body {
        PartType::Message(enclosed) => enclosed.header_raw(MAIL_TICKET_HEADER).map(str::to_owned),
        PartType::Text(text) => field(text, MAIL_TICKET_HEADER),
        _ => field(&String::from_utf8_lossy(part.contents()), MAIL_TICKET_HEADER),
    });
    ticket.map(|ticket| ticket.trim().to_owned()).filter(|ticket| ticket.len() <= TICKET_BYTES_MAX)
}

/// How often a type stands in a mail that puts a message into it, wherever it stands. The same words in a text are not counted, of which
/// a log has many: `message` is a type before a slash and `digest` behind one, with blanks and comments between.
fn nestings(message: &[u8]) -> usize {
    let is_blank = |byte: &&u8| byte.is_ascii_whitespace();
    let is_type = |at: usize, word: &[u8]| {
        let (before, behind) = (&message[..at], &message[at + word.len()..]);
        let next = behind.iter().find(|byte| !is_blank(byte));
        let last = before.iter().rev().find(|byte| !is_blank(byte));
        matches!(next, Some(b'/' | b'(')) && word == NESTING_WORDS[0]
            || matches!(last, Some(b'/' | b')')) && word == NESTING_WORDS[1]
    };
    let of_word = |word: &'static [u8]| {
        let found = message.windows(word.len()).enumerate();
        found.filter(|(at, text)| text.eq_ignore_ascii_case(word) && is_type(*at, word)).count()
    };
    NESTING_WORDS.into_iter().map(of_word).sum()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
