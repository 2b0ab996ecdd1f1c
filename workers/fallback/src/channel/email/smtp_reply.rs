//! What a relay's replies mean: one pure function, and the table that specifies it.
//!
//! Sources: RFC 5321, section 4.2 (codes); RFC 3463 and the registry of enhanced status codes,
//! <https://www.iana.org/assignments/smtp-enhanced-status-codes>.

use std::time::Duration;

use watchbell::domain::bounce::enhanced_status;

use crate::channel::error::{Blame, SendError, ThrottleScope};

/// The first wait after a temporary refusal; greylists let pass those who come back later than that.
const RETRY_WAIT: Duration = Duration::from_secs(60);
/// The wait for a full mailbox: its owner has to clear it.
const MAILBOX_FULL_WAIT: Duration = Duration::from_secs(15 * 60);

/// How far the conversation had come when the relay refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Greeting, `EHLO`, `STARTTLS`, `AUTH`: nothing about this message yet.
    Connect,
    /// `MAIL FROM`: our own address, the same in every message.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`, before the message.
    Data,
    /// The message has been written; until the reply, nobody knows.
    Message,
}

/// What a refusal means. `text` is the relay's, all lines of it, without the code.
///
/// An address is suppressed on 5.1.x only: a bare 550 may as well be about our reputation.
pub(super) fn classify(stage: Stage, code: u16, text: &str) -> SendError {
    let enhanced = enhanced_status(text);
    let reason = format!("{code} {text}");
    match (code, enhanced) {
        // Our name and password, wherever the relay thinks of asking for them.
        (530 | 535 | 538, _) => SendError::ConfigFault { blame: blame_at(stage), reason },
        // A mailbox's trouble is its own: it must not open the relay's breaker.
        (400..=499, Some([4, 2 | 7, _])) | (450, _) if stage == Stage::Recipient => {
            SendError::Throttled { retry_after: Some(RETRY_WAIT), scope: ThrottleScope::Device, reason }
        }
        (400..=499, _) => SendError::Unavailable { retry_after: Some(RETRY_WAIT), reason },
        // About this message, whenever it is said: its size, or an address that only it has (SMTPUTF8).
        (_, Some([5, 3, 4] | [5, 6, _])) => SendError::Rejected { reason },
        // Refused before there is a message, or for our own address: so will be every other one.
        _ if stage <= Stage::Sender => SendError::ConfigFault { blame: blame_at(stage), reason },
        // The sender's address is wrong, which relays tell as late as here; or
        // the receiver does not believe or not want mail of ours: authentication, reputation, policy. Of one person's it may
        // be their own filter; when several refuse, it is about us, and the relay's gate shuts until an operator looked.
        (500..=599, Some([5, 1, 7 | 8] | [5, 7, _])) => {
            SendError::ConfigFault { blame: blame_at(stage), reason }
        }
        (550 | 551 | 553, Some([5, 1, _])) => SendError::AddressRefused { reason },
        (552, None) | (_, Some([5, 2, 2])) => SendError::Throttled {
            retry_after: Some(MAILBOX_FULL_WAIT),
            scope: ThrottleScope::Device,
            reason,
        },
        // Too large (5.3.4, 5.2.3), and what we do not know.
        _ => SendError::Rejected { reason },
    }
}

/// Until the relay has heard an address, what it says is about us; afterwards one domain may say it for itself.
pub(super) fn blame_at(stage: Stage) -> Blame {
    if stage <= Stage::Sender { Blame::Everybody } else { Blame::Device }
}

/// What a lost connection means, `cause` saying how it was lost.
pub(super) fn lost(stage: Stage, cause: &str) -> SendError {
    let reason = match stage {
        Stage::Connect => format!("no connection to the relay: {cause}"),
        Stage::Message => format!("no reply to the message, it may be on its way: {cause}"),
        Stage::Sender | Stage::Recipient | Stage::Data => {
            format!("the relay was lost before it had the message: {cause}")
        }
    };
    SendError::Unreachable { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Disposition;

    /// Every row of the table (`docs/providers.md`, "SMTP"), and what follows from it.
    #[test]
    fn every_reply_has_its_consequence() {
        let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
        let (suppress, drop) = (Disposition::SuppressAddress, Disposition::DropMessage);
        let config = Disposition::ConfigFault;
        for (why, stage, code, text, expected) in [
            ("closing", Stage::Sender, 421, "4.3.2 shutting down", retry(60)),
            ("busy mailbox", Stage::Recipient, 450, "4.2.1 try later", retry(60)),
            ("greylisted", Stage::Recipient, 451, "4.7.1 greylisted", retry(60)),
            ("no space", Stage::Message, 452, "4.3.1 insufficient storage", retry(60)),
            ("AUTH, temporarily", Stage::Connect, 454, "4.7.0 try later", retry(60)),
            ("wrong password", Stage::Connect, 535, "5.7.8 bad credentials", config),
            ("AUTH is wanted", Stage::Sender, 530, "5.7.0 authenticate first", config),
            ("AUTH is wanted only here", Stage::Recipient, 530, "5.7.0 authenticate first", config),
            ("TLS is wanted", Stage::Connect, 538, "5.7.11 encryption required", config),
            ("we are not welcome", Stage::Connect, 554, "5.7.1 no service for you", config),
            ("our address is not ours", Stage::Sender, 553, "5.7.1 not owned by user", config),
            ("our address, told late", Stage::Recipient, 550, "5.1.8 sender domain unknown", config),
            ("no such mailbox", Stage::Recipient, 550, "5.1.1 user unknown", suppress),
            ("no such domain", Stage::Recipient, 550, "5.1.2 host unknown", suppress),
            ("not local", Stage::Recipient, 551, "5.1.6 moved", suppress),
            ("null MX", Stage::Recipient, 553, "5.1.10 no mail here", suppress),
            ("no such mailbox, told late", Stage::Message, 550, "5.1.1 user unknown", suppress),
            ("a bare 550 proves nothing", Stage::Recipient, 550, "no thanks", drop),
            ("550 for policy", Stage::Recipient, 550, "5.7.1 blocked", config),
            ("the mailbox is full", Stage::Recipient, 552, "5.2.2 over quota", retry(900)),
            ("full, without saying more", Stage::Recipient, 552, "over quota", retry(900)),
            ("the mail is too large", Stage::Message, 552, "5.3.4 too big", drop),
            ("too large for this mailbox", Stage::Message, 552, "5.2.3 too long", drop),
            ("spam or DMARC", Stage::Message, 554, "5.7.1 rejected", config),
            ("no authentication", Stage::Message, 550, "5.7.26 unauthenticated mail", config),
            ("failed, no reason", Stage::Message, 554, "transaction failed", drop),
            ("no such command", Stage::Data, 500, "what?", drop),
        ] {
            let error = classify(stage, code, text);
            assert_eq!(error.disposition(), expected, "{why}");
            assert_eq!(error.reason(), format!("{code} {text}"), "{why}: the text is kept");
        }
    }

    #[test]
    fn everybody_is_blamed_only_before_an_address_was_named() {
        for (stage, code, text, expected) in [
            (Stage::Connect, 535, "5.7.8 bad credentials", Some(Blame::Everybody)),
            (Stage::Connect, 554, "5.7.1 no service for you", Some(Blame::Everybody)),
            (Stage::Sender, 553, "5.7.1 not owned by user", Some(Blame::Everybody)),
            (Stage::Sender, 550, "5.6.7 no addresses beyond ASCII", None),
            (Stage::Sender, 552, "5.3.4 too big", None),
            (Stage::Recipient, 530, "5.7.0 authenticate first", Some(Blame::Device)),
            (Stage::Recipient, 550, "5.1.8 sender domain unknown", Some(Blame::Device)),
            (Stage::Recipient, 550, "5.7.1 this domain blocks you", Some(Blame::Device)),
            (Stage::Message, 550, "5.7.26 unauthenticated mail", Some(Blame::Device)),
        ] {
            let blame = match classify(stage, code, text) {
                SendError::ConfigFault { blame, .. } => Some(blame),
                _ => None,
            };
            assert_eq!(blame, expected, "{code} {text}");
        }
    }

    #[test]
    fn one_full_or_greylisted_mailbox_is_not_the_relays_trouble() {
        for (stage, code, text, expected) in [
            (Stage::Recipient, 452, "4.2.2 full", "throttled"),
            (Stage::Recipient, 451, "4.7.1 greylisted", "throttled"),
            (Stage::Recipient, 552, "5.2.2 full", "throttled"),
            (Stage::Recipient, 451, "4.3.0 queue down", "unavailable"),
            (Stage::Recipient, 421, "closing", "unavailable"),
            (Stage::Sender, 451, "4.7.1 slow down", "unavailable"),
        ] {
            assert_eq!(classify(stage, code, text).code(), expected, "{code} {text}");
        }
    }

    #[test]
    fn only_a_message_without_a_reply_may_have_arrived() {
        for stage in [Stage::Connect, Stage::Sender, Stage::Recipient, Stage::Data, Stage::Message] {
            let error = lost(stage, "reset");
            assert_eq!(error.disposition(), Disposition::Retry { wait_min: Duration::ZERO });
            assert_eq!(error.reason().contains("may be on its way"), stage == Stage::Message);
        }
    }
}
