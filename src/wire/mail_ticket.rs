//! What a mail carries so that whatever comes back of it can be told apart: its attempt, and a digest of its address.
//!
//! It is the local part of the mail's return path (`b-…@bounces.example.com`, known as VERP), and the header
//! `X-Watchbell-Attempt`. It is not signed: an attempt's id is as random as a key, and all that who knows one can do is end
//! the mails to the address that it was sent to.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::domain::{AttemptId, Secret, email::address_digest};

/// The header that carries it.
pub const MAIL_TICKET_HEADER: &str = "X-Watchbell-Attempt";
/// How it begins.
const PREFIX: &str = "b";
/// Hexadecimal digits of the digest.
const DIGEST_CHARS: usize = 8;

/// See the module. As text: `b-018f…-1a2b3c4d`, in small letters, because servers change the case on the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTicket {
    /// Which attempt.
    pub attempt: AttemptId,
    /// To which address of the person, as [`address_digest`] has it.
    pub address_digest: String,
}

impl MailTicket {
    /// Of a mail to this address.
    pub fn of(attempt: AttemptId, address: &Secret) -> Self {
        Self { attempt, address_digest: address_digest(address) }
    }
}

impl fmt::Display for MailTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}", self.attempt.simple(), self.address_digest)
    }
}

/// A text that is no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ticket of a mail")]
pub struct NoTicket;

impl FromStr for MailTicket {
    type Err = NoTicket;

    fn from_str(text: &str) -> Result<Self, NoTicket> {
        let lower = text.trim().to_ascii_lowercase();
        let mut parts = lower.split('-');
        let (Some(PREFIX), Some(attempt), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoTicket);
        };
        let is_digest = digest.len() == DIGEST_CHARS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let attempt = Uuid::try_parse(attempt).map_err(|_| NoTicket)?;
        is_digest.then(|| Self { attempt, address_digest: digest.to_owned() }).ok_or(NoTicket)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_servers_give_it_back() {
        let ticket = MailTicket::of(Uuid::from_u128(7), &Secret::from("ana@example.org"));
        let text = ticket.to_string();
        assert!(text.len() <= 64, "it fits a local part: {text}");
        for (why, text) in [
            ("as it was", text.clone()),
            ("in capitals", text.to_uppercase()),
            ("with blanks", format!(" {text} ")),
        ] {
            assert_eq!(text.parse(), Ok(ticket.clone()), "{why}");
        }
        for text in [
            "",
            "b",
            "b--",
            "postmaster",
            "b-7-1a2b3c4d",
            &text[..text.len() - 1],
            &format!("{text}-x"),
            &text[1..],
        ] {
            assert_eq!(text.parse::<MailTicket>(), Err(NoTicket), "{text}");
        }
    }
}
