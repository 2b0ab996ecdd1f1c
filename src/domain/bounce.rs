//! A bounce: a mail that a relay took and that came back later, or that its reader called spam. What it says of the address.
//!
//! What holds here:
//! - Only a mail that came back because its mailbox is not there, and a complaint, end an address at once. What may be
//!   about us, about one message or about today never does.
//! - An address that gives mail back again and again for passing reasons ends as well: [`SOFT_BOUNCES_MAX`].
//!
//! Sources: RFC 3463 and the registry of enhanced status codes,
//! <https://www.iana.org/assignments/smtp-enhanced-status-codes>; RFC 3464 (reports), RFC 5965 (complaints).

use std::time::Duration;

use super::{AttemptId, Timestamp, alert::words};

/// Mails of one address that may come back for passing reasons within [`SOFT_BOUNCES_WITHIN`] before nothing is sent to it.
pub const SOFT_BOUNCES_MAX: u32 = 5;
/// See [`SOFT_BOUNCES_MAX`]. A mailbox that was full for a while and is emptied begins anew.
pub const SOFT_BOUNCES_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The longest reason that is kept, in bytes.
pub const REASON_BYTES_MAX: usize = 500;

/// What came back says of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BounceKind {
    /// There is no such mailbox.
    Hard,
    /// This mail did not arrive; another one may.
    Soft,
    /// The receiver does not believe or not want mail of ours: authentication, reputation, policy.
    Policy,
    /// The reader called it spam.
    Complaint,
}

words!(BounceKind { Hard = "hard", Soft = "soft", Policy = "policy", Complaint = "complaint" });

/// A mail that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// Which one: the attempt that its headers name.
    pub attempt: AttemptId,
    /// The digest of the address it went to, as it is written or in small letters ([`super::email::is_digest_of`]): what came back
    /// says nothing of another one.
    pub address_digest: String,
    /// What it says.
    pub kind: BounceKind,
    /// In the receiver's words, without addresses, at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// An enhanced status: class, subject, detail (RFC 3463).
pub type EnhancedStatus = [u16; 3];

/// What a status says of the address.
pub fn kind_of(status: EnhancedStatus) -> BounceKind {
    match status {
        // The sender's address is meant, not the reader's.
        [5, 1, 7 | 8] | [5, 7, _] => BounceKind::Policy,
        // No such mailbox or domain; a mailbox that was closed; a domain that no mail leads to.
        [5, 1, _] | [5, 2, 1] | [5, 4, 4] => BounceKind::Hard,
        _ => BounceKind::Soft,
    }
}

/// The enhanced status at the head of a text, such as `5.1.1 unknown user`.
pub fn enhanced_status(text: &str) -> Option<EnhancedStatus> {
    let first = text.split_whitespace().next()?;
    let mut parts = first.trim_start_matches('#').split('.').map(|part| part.parse::<u16>().ok());
    let status = [parts.next()??, parts.next()??, parts.next()??];
    (parts.next().is_none() && matches!(status[0], 2 | 4 | 5)).then_some(status)
}

/// The first enhanced status anywhere in a text, such as `smtp; 550-5.1.1 unknown user` or `550 5.1.1 unknown user`.
pub fn status_within(text: &str) -> Option<EnhancedStatus> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '-' | ';' | ':' | '(' | ')'))
        .find_map(enhanced_status)
}

/// Mails of an address that came back for passing reasons: how many since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoftBounces {
    /// How many.
    pub count: u32,
    /// When the first of them came back.
    pub since: Option<Timestamp>,
}

impl SoftBounces {
    /// With one more.
    #[must_use]
    pub fn and_one(self, now: Timestamp) -> Self {
        match self.since.filter(|since| now.duration_since(*since).unsigned_abs() <= SOFT_BOUNCES_WITHIN) {
            Some(since) => Self { count: self.count.saturating_add(1), since: Some(since) },
            None => Self { count: 1, since: Some(now) },
        }
    }

    /// Whether nothing is sent to the address any more.
    pub fn are_too_many(self) -> bool {
        self.count >= SOFT_BOUNCES_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mailbox_that_is_not_there_ends_an_address() {
        for (why, status, expected) in [
            ("no such mailbox", [5, 1, 1], BounceKind::Hard),
            ("no such domain", [5, 1, 2], BounceKind::Hard),
            ("a domain without mail", [5, 1, 10], BounceKind::Hard),
            ("a mailbox that was closed", [5, 2, 1], BounceKind::Hard),
            ("no way there", [5, 4, 4], BounceKind::Hard),
            ("a full mailbox", [5, 2, 2], BounceKind::Soft),
            ("too large", [5, 3, 4], BounceKind::Soft),
            ("nobody could be reached for days", [4, 4, 7], BounceKind::Soft),
            ("a loop", [5, 4, 6], BounceKind::Soft),
            ("nothing is said", [5, 0, 0], BounceKind::Soft),
            ("our own address", [5, 1, 8], BounceKind::Policy),
            ("not authenticated", [5, 7, 26], BounceKind::Policy),
            ("blocked", [5, 7, 1], BounceKind::Policy),
        ] {
            assert_eq!(kind_of(status), expected, "{why}");
        }
    }

    #[test]
    fn a_status_is_found_where_servers_write_it() {
        for (text, expected) in [
            ("smtp; 550 5.1.1 unknown", Some([5, 1, 1])),
            ("smtp;550-5.1.1 The email account", Some([5, 1, 1])),
            ("host mx.example.com said: 552 5.2.2 (over quota)", Some([5, 2, 2])),
            ("smtp; 550 unknown", None),
            ("from 192.168.1.1 refused", None),
            ("", None),
        ] {
            assert_eq!(status_within(text), expected, "{text}");
        }
    }

    #[test]
    fn passing_reasons_end_an_address_when_they_do_not_pass() {
        let start: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let mut held = SoftBounces::default();
        for n in 1..=SOFT_BOUNCES_MAX {
            assert!(!held.are_too_many(), "after {} of them", held.count);
            held = held.and_one(start + day * (n - 1));
        }
        assert!(held.are_too_many());
        let later = SoftBounces { count: SOFT_BOUNCES_MAX - 1, since: Some(start) };
        let anew = later.and_one(start + SOFT_BOUNCES_WITHIN + day);
        assert_eq!(anew.count, 1, "those of a month ago do not count");
    }

    #[test]
    fn an_enhanced_status_is_three_numbers() {
        for (text, expected) in [
            ("5.1.1 unknown", Some([5, 1, 1])),
            ("#5.1.1 unknown", Some([5, 1, 1])),
            ("5.1.10", Some([5, 1, 10])),
            ("5.1 unknown", None),
            ("192.168.1.1 said no", None),
            ("9.9.9", None),
            ("unknown 5.1.1", None),
            ("", None),
        ] {
            assert_eq!(enhanced_status(text), expected, "{text}");
        }
    }
}
