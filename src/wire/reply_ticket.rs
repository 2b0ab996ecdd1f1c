//! The address that replies to a mail go to: the ticket of that mail, signed, as the part before the `@`.
//!
//! Fallback writes it as `Reply-To` and reads it as the recipient of what its SMTP listener is brought. A reply to it acknowledges
//! the alert: whoever has it was sent that mail, or was passed it.

use std::time::Duration;

use super::{
    answer_link::ANSWER_LINK_TTL,
    mail_ticket::{MailTicket, TicketSigner},
};
use crate::domain::Secret;

/// How long a reply acknowledges after the mail was written: as long as its button does.
pub const REPLY_TICKET_TTL: Duration = ANSWER_LINK_TTL;
/// Signs for this purpose only.
const PURPOSE: &str = "watchbell reply v1";
/// How such an address begins.
const PREFIX: &str = "r-";

/// Signs and reads the addresses with one secret.
#[derive(Clone)]
pub struct ReplyTickets(TicketSigner);

impl ReplyTickets {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TicketSigner::new(secret, PURPOSE, PREFIX))
    }

    /// What stands before the `@` of the address that replies to this mail go to.
    pub fn local_part(&self, ticket: &MailTicket) -> String {
        self.0.local_part(ticket)
    }

    /// The ticket of the mail that is replied to, if we signed it.
    pub fn read(&self, local_part: &str) -> Option<MailTicket> {
        self.0.read(local_part)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_address_for_replies_is_read_if_we_signed_it() {
        let tickets = ReplyTickets::new(&Secret::from("a-secret-of-tests"));
        let of = |attempt, address: &str| MailTicket::of(Uuid::from_u128(attempt), &Secret::from(address));
        let ticket = of(7, "ana@example.org");
        let local = tickets.local_part(&ticket);
        assert!(local.len() <= 64 && MailTicket::of_unsigned(&local).is_none(), "no return path: {local}");

        let of_another = ReplyTickets::new(&Secret::from("another")).local_part(&ticket);
        let flipped = |at: usize| {
            let other = if &local[at..=at] == "a" { "b" } else { "a" };
            format!("{}{other}{}", &local[..at], &local[at + 1..])
        };
        for (why, text, expected) in [
            ("as it was", local.clone(), Some(&ticket)),
            ("in capitals", local.to_uppercase(), Some(&ticket)),
            ("with blanks", format!(" {local} "), Some(&ticket)),
            ("signed with another secret", of_another, None),
            ("another attempt", flipped(4), None),
            ("another address", flipped(30), None),
            ("another signature", flipped(40), None),
            ("cut short", local[..local.len() - 2].to_owned(), None),
            ("with more behind it", format!("{local}aa"), None),
            ("a ticket that is not signed", ticket.to_string(), None),
            ("without the prefix", local[2..].to_owned(), None),
            ("a letter beyond ASCII", "rä".to_owned(), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(tickets.read(&text).as_ref(), expected, "{why}: {text}");
        }
        assert_eq!(tickets.read(&tickets.local_part(&of(7, "x"))), Some(of(7, "x")), "each its own");
    }
}
