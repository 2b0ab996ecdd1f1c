//! The return path of a mail (`b-…@bounces.example.com`, known as VERP), which is also its header `X-Watchbell-Attempt`: its
//! ticket, signed, as the part before the `@`.
//!
//! Fallback writes it, and reads it as the recipient of what its SMTP listener is brought. A report to it can end the mails to the
//! address of that mail, so whoever has it was sent that mail, delivered it, or was passed it.

use super::mail_ticket::{MailTicket, TicketSigner, signed_parts};
use crate::domain::Secret;

/// Signs for this purpose only.
const PURPOSE: &str = "watchbell return path v1";
/// How such an address begins.
const PREFIX: &str = "b-";

/// Signs and reads return paths with one secret.
#[derive(Clone)]
pub struct ReturnTickets(TicketSigner);

impl ReturnTickets {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TicketSigner::new(secret, PURPOSE, PREFIX))
    }

    /// What stands before the `@` of the address that this mail comes back to.
    pub fn local_part(&self, ticket: &MailTicket) -> String {
        self.0.local_part(ticket)
    }

    /// The ticket of the mail that came back, if we signed it.
    pub fn read(&self, local_part: &str) -> Option<MailTicket> {
        self.0.read(local_part)
    }
}

/// The ticket in a text, whoever wrote it: only for what somebody else vouches for, as a mail provider whose API key was checked
/// does. Reads the form without a signature as well, which mails carry where there is no secret.
pub fn unverified(text: &str) -> Option<MailTicket> {
    signed_parts(text, PREFIX).map(|(ticket, _)| ticket).or_else(|| MailTicket::of_unsigned(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::wire::reply_ticket::ReplyTickets;

    fn ticket() -> MailTicket {
        MailTicket::of(Uuid::from_u128(7), &Secret::from("ana@example.org"))
    }

    #[test]
    fn a_return_path_is_read_if_we_signed_it() {
        let secret = Secret::from("a-secret-of-tests");
        let tickets = ReturnTickets::new(&secret);
        let local = tickets.local_part(&ticket());
        assert!(local.len() <= 64, "it fits a local part: {local}");
        let flipped = |at: usize| {
            let other = if &local[at..=at] == "a" { "b" } else { "a" };
            format!("{}{other}{}", &local[..at], &local[at + 1..])
        };
        let of_reply = ReplyTickets::new(&secret).local_part(&ticket());
        for (why, text, expected) in [
            ("as it was", local.clone(), Some(ticket())),
            ("in capitals", local.to_uppercase(), Some(ticket())),
            ("with blanks", format!(" {local} "), Some(ticket())),
            ("made of the Message-ID and the address", ticket().to_string(), None),
            ("with another secret", ReturnTickets::new(&"another".into()).local_part(&ticket()), None),
            ("an address for replies", of_reply.clone(), None),
            ("the same with this prefix", of_reply.replacen("r-", "b-", 1), None),
            ("another attempt", flipped(4), None),
            ("another address", flipped(30), None),
            ("another signature", flipped(40), None),
            ("cut short", local[..local.len() - 2].to_owned(), None),
            ("with more behind it", format!("{local}aa"), None),
            ("a letter beyond ASCII", "bä".to_owned(), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(tickets.read(&text), expected, "{why}: {text}");
        }
    }

    #[test]
    fn what_a_provider_vouches_for_is_read_without_a_signature() {
        let plain = ticket().to_string();
        let signed = ReturnTickets::new(&Secret::from("unknown here")).local_part(&ticket());
        for (why, text, expected) in [
            ("signed with any secret", signed.clone(), Some(ticket())),
            ("not signed", plain.clone(), Some(ticket())),
            ("in capitals", plain.to_uppercase(), Some(ticket())),
            ("signed, in capitals", signed.to_uppercase(), Some(ticket())),
            ("with blanks", format!(" {plain} "), Some(ticket())),
            ("a word", "postmaster".to_owned(), None),
            ("no id", "b-7-1a2b3c4d".to_owned(), None),
            ("a short digest", plain[..plain.len() - 1].to_owned(), None),
            ("more behind it", format!("{plain}-x"), None),
            ("without its prefix", plain[1..].to_owned(), None),
            ("a prefix alone", "b--".to_owned(), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(unverified(&text), expected, "{why}: {text}");
        }
    }
}
