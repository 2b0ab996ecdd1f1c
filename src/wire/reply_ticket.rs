//! The address that replies to a mail go to: the ticket of that mail, signed, as the part before the `@`.
//!
//! Fallback writes it as `Reply-To` and reads it as the recipient of what its SMTP listener is brought. A reply to it acknowledges
//! the alert, so unlike the return path it is signed: whoever has it was sent that mail, or was passed it.
//!
//! It is of small letters and digits (RFC 4648, base32), because servers change the case on the way back, and at most 64 bytes
//! long, as RFC 5321 (section 4.5.3.1.1) has it. It says neither who nor which alert: that stands with the attempt.

use std::time::Duration;

use data_encoding::BASE32_NOPAD_NOCASE;
use uuid::Uuid;

use super::{
    answer_link::ANSWER_LINK_TTL,
    mail_ticket::MailTicket,
    signed_token::{TAG_BYTES, TokenSigner},
};
use crate::domain::Secret;

/// How long a reply acknowledges after the mail was written: as long as its button does.
pub const REPLY_TICKET_TTL: Duration = ANSWER_LINK_TTL;
/// Signs for this purpose only.
const PURPOSE: &str = "watchbell reply v1";
/// How such an address begins.
const PREFIX: &str = "r-";
/// Bytes of the attempt's id, of the address' digest, and of the signature.
const TICKET_BYTES: usize = ATTEMPT_BYTES + DIGEST_BYTES + TAG_BYTES;
const ATTEMPT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 4;

/// Signs and reads the addresses with one secret.
#[derive(Clone)]
pub struct ReplyTickets(TokenSigner);

impl ReplyTickets {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TokenSigner::new(secret, PURPOSE))
    }

    /// What stands before the `@` of the address that replies to this mail go to.
    pub fn local_part(&self, ticket: &MailTicket) -> String {
        let mut bytes = Vec::with_capacity(TICKET_BYTES);
        bytes.extend_from_slice(ticket.attempt.as_bytes());
        bytes.extend_from_slice(&digest_bytes(&ticket.address_digest));
        bytes.extend_from_slice(&self.0.tag(&ticket.to_string()));
        format!("{PREFIX}{}", BASE32_NOPAD_NOCASE.encode(&bytes).to_ascii_lowercase())
    }

    /// The ticket of the mail that is replied to, if we signed it.
    pub fn read(&self, local_part: &str) -> Option<MailTicket> {
        let (prefix, encoded) = local_part.trim().split_at_checked(PREFIX.len())?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return None;
        }
        let bytes: [u8; TICKET_BYTES] =
            BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).ok()?.try_into().ok()?;
        let (attempt, rest) = bytes.split_at(ATTEMPT_BYTES);
        let (digest, tag) = rest.split_at(DIGEST_BYTES);
        let address_digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let ticket = MailTicket { attempt: Uuid::from_slice(attempt).ok()?, address_digest };
        self.0.is_tag_of(&ticket.to_string(), tag).then_some(ticket)
    }
}

/// Of eight hexadecimal digits, as [`crate::domain::email::address_digest`] writes them.
fn digest_bytes(digest: &str) -> [u8; DIGEST_BYTES] {
    u32::from_str_radix(digest, 16).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_replies_is_read_if_we_signed_it() {
        let tickets = ReplyTickets::new(&Secret::from("a-secret-of-tests"));
        let of = |attempt, address: &str| MailTicket::of(Uuid::from_u128(attempt), &Secret::from(address));
        let ticket = of(7, "ana@example.org");
        let local = tickets.local_part(&ticket);
        assert!(local.len() <= 64 && local.parse::<MailTicket>().is_err(), "no return path: {local}");

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
            ("a return path, which is not signed", ticket.to_string(), None),
            ("without the prefix", local[2..].to_owned(), None),
            ("a letter beyond ASCII", "rä".to_owned(), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(tickets.read(&text).as_ref(), expected, "{why}: {text}");
        }
        assert_eq!(tickets.read(&tickets.local_part(&of(7, "x"))), Some(of(7, "x")), "each its own");
    }
}
