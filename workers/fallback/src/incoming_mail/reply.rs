//! What a reply to a mail is: a person's, or a program's. Pure.
//!
//! What holds here:
//! - What a program wrote, or may have written, acknowledges nothing (`automatic.rs`).
//! - Only the head is read. What a person wrote is not looked into, and not kept.

use mail_parser::{HeaderName, Message, MessageParser};
use watchbell::domain::{Secret, email::email_address};

use super::{automatic::is_automatic, incoming_message::IncomingMessage};

/// What came to the address for replies of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A person wrote it, from this address.
    OfPerson { from: Secret },
    /// A program wrote it.
    Automatic,
    /// It does not say who wrote it, or names several.
    OfNobody,
}

/// Reads the head of a mail; `is_from_nobody`: its return path is nobody's.
pub(super) fn reply_of(message: &IncomingMessage, is_from_nobody: bool) -> Reply {
    let Some(mail) = MessageParser::default().parse_headers(message.bytes()) else { return Reply::OfNobody };
    // What stands behind the cut may say that a program wrote it.
    if is_from_nobody || message.is_head_cut() || is_automatic(&mail) {
        return Reply::Automatic;
    }
    sender_of(&mail).map_or(Reply::OfNobody, |from| Reply::OfPerson { from })
}

/// The one mailbox in the one `From`.
fn sender_of(mail: &Message<'_>) -> Option<Secret> {
    let is_from = |header: &&mail_parser::Header<'_>| header.name == HeaderName::From;
    let number = mail.headers().iter().filter(is_from).count();
    let mut senders = mail.from()?.iter();
    let (Some(one), None, 1) = (senders.next(), senders.next(), number) else { return None };
    email_address(one.address()?).ok()
}

/// Whether two addresses are of one mailbox: in whatever letters it is written, and whatever stands behind a `+` (RFC 5233), which
/// is there to sort what comes and is not in what the person writes.
pub(super) fn is_same_mailbox(one: &Secret, other: &Secret) -> bool {
    let mailbox = |address: &Secret| {
        let address = email_address(address.expose()).ok()?;
        let (local, domain) = address.expose().rsplit_once('@')?;
        let local = local.split_once('+').map_or(local, |(mailbox, _)| mailbox);
        Some((local.to_lowercase(), domain.to_owned()))
    };
    mailbox(one).is_some_and(|one| Some(one) == mailbox(other))
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
