//! What a mail carries so that whatever comes back of it can be told apart: its attempt, and a digest of its address.
//!
//! An attempt's id is published as the mail's `Message-ID`, and everybody can make the digest of an address. So a ticket proves
//! something only where it is signed: as a return path ([`super::return_ticket`]) and as an address for replies
//! ([`super::reply_ticket`]).
//!
//! A signed ticket is of small letters and digits (RFC 4648, base32), because servers change the case on the way back, and at most
//! 64 bytes long, as RFC 5321 (section 4.5.3.1.1) has it. It says neither who nor which alert: that stands with the attempt.

use std::fmt;

use data_encoding::BASE32_NOPAD_NOCASE;
use uuid::Uuid;

use super::signed_token::{TAG_BYTES, TokenSigner};
use crate::domain::{AttemptId, Secret, email::address_digest};

/// The header that carries it.
pub const MAIL_TICKET_HEADER: &str = "X-Watchbell-Attempt";
/// How it begins where it is not signed.
const PREFIX: &str = "b";
/// Hexadecimal digits of the digest.
const DIGEST_CHARS: usize = 8;
/// Bytes of the attempt's id, of the address' digest, and of the signature.
const SIGNED_BYTES: usize = ATTEMPT_BYTES + DIGEST_BYTES + TAG_BYTES;
const ATTEMPT_BYTES: usize = 16;
const DIGEST_BYTES: usize = DIGEST_CHARS / 2;

/// See the module. As text, without a signature: `b-018f…-1a2b3c4d`.
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

    /// The ticket that a text says it is, without a signature.
    pub(super) fn of_unsigned(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let mut parts = lower.split('-');
        let (Some(PREFIX), Some(attempt), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let is_digest = digest.len() == DIGEST_CHARS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let attempt = Uuid::try_parse(attempt).ok()?;
        is_digest.then(|| Self { attempt, address_digest: digest.to_owned() })
    }
}

impl fmt::Display for MailTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}", self.attempt.simple(), self.address_digest)
    }
}

/// Signs tickets for one purpose and reads them: what stands before an `@`.
#[derive(Clone)]
pub(super) struct TicketSigner {
    signer: TokenSigner,
    prefix: &'static str,
}

impl TicketSigner {
    /// The secret should have 32 bytes or more. Each purpose has a prefix of its own.
    pub(super) fn new(secret: &Secret, purpose: &'static str, prefix: &'static str) -> Self {
        Self { signer: TokenSigner::new(secret, purpose), prefix }
    }

    pub(super) fn local_part(&self, ticket: &MailTicket) -> String {
        let mut bytes = Vec::with_capacity(SIGNED_BYTES);
        bytes.extend_from_slice(ticket.attempt.as_bytes());
        bytes.extend_from_slice(&digest_bytes(&ticket.address_digest));
        bytes.extend_from_slice(&self.signer.tag(&ticket.to_string()));
        format!("{}{}", self.prefix, BASE32_NOPAD_NOCASE.encode(&bytes).to_ascii_lowercase())
    }

    /// The ticket, if we signed it for this purpose.
    pub(super) fn read(&self, local_part: &str) -> Option<MailTicket> {
        let (ticket, tag) = signed_parts(local_part, self.prefix)?;
        self.signer.is_tag_of(&ticket.to_string(), &tag).then_some(ticket)
    }
}

/// The ticket in a text of the signed form, and its signature, which nobody has looked at.
pub(super) fn signed_parts(text: &str, prefix: &str) -> Option<(MailTicket, [u8; TAG_BYTES])> {
    let (found, encoded) = text.trim().split_at_checked(prefix.len())?;
    if !found.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let bytes: [u8; SIGNED_BYTES] = BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).ok()?.try_into().ok()?;
    let (attempt, rest) = bytes.split_at(ATTEMPT_BYTES);
    let (digest, tag) = rest.split_at(DIGEST_BYTES);
    let address_digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let ticket = MailTicket { attempt: Uuid::from_slice(attempt).ok()?, address_digest };
    Some((ticket, tag.try_into().ok()?))
}

/// Of eight hexadecimal digits, as [`address_digest`] writes them.
fn digest_bytes(digest: &str) -> [u8; DIGEST_BYTES] {
    u32::from_str_radix(digest, 16).unwrap_or_default().to_be_bytes()
}
