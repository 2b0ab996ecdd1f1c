//! From a reply to the store: a person's reply to a mail acknowledges its alert, as the mail's button does.
//!
//! What holds here:
//! - The ticket in the address is the proof: whoever replies was sent the mail, or was passed it. Besides, a reply counts only from
//!   the address that the mail went to. That is no proof, because a sender is easily made up, and keeps away the replies of those to
//!   whom a mail was forwarded.
//! - A mail of several alerts is not answered, and nor is one about an alert that has begun anew since: the reply knows nothing of that.
//! - A reply that is late, repeated, or about an alert that is not there any more is taken like any other, and changes nothing.

use std::time::Duration;

use tracing::{debug, info, warn};
use watchbell::{
    broker::{Announcement, Announcer},
    domain::{AttemptId, Channel, Receipt, Secret, Timestamp, email::address_digest, receipt::BY_REPLY},
    runtime::{
        Clock, Current,
        rate_limit::{Rate, RateLimiter},
    },
    store::{Store, StoreError},
    wire::{
        mail_ticket::MailTicket,
        reply_ticket::{REPLY_TICKET_TTL, ReplyTickets},
    },
};

use super::{
    incoming_message::IncomingMessage,
    reply::{Reply, is_same_mailbox, reply_of},
    taken_in::TakenIn,
};

/// Replies to one mail: this much time's worth at once, and then one a second.
const REPLIES_AT_ONCE: Duration = Duration::from_secs(10);
/// Mails whose replies are remembered.
const MAILS_MAX: usize = 10_000;

/// Acknowledges alerts by replies.
pub(super) struct ReplyAcknowledger {
    tickets: Current<Option<ReplyTickets>>,
    store: Store,
    announcer: Announcer,
    clock: Clock,
    rates: RateLimiter<AttemptId, Timestamp>,
}

/// What became of one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyOutcome {
    /// The alert is acknowledged by it.
    Acknowledged,
    /// It was acknowledged before, or is not in the inbox any more.
    NoEffect,
    /// It has begun anew since the mail was written.
    BegunAnew,
    /// From another address than the mail went to, or the person has another one now.
    AnotherSender,
    /// The mail is too old, or the person's sessions were ended after it.
    Expired,
    /// The attempt is not known any more, or its mail told of several alerts.
    Unknown,
    /// Too many replies to one mail.
    TooOften,
}

impl ReplyOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::NoEffect => "no_effect",
            Self::BegunAnew => "begun_anew",
            Self::AnotherSender => "another_sender",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::TooOften => "too_often",
        }
    }
}

impl ReplyAcknowledger {
    pub(super) fn new(
        tickets: Current<Option<ReplyTickets>>,
        store: Store,
        announcer: Announcer,
        clock: Clock,
    ) -> Self {
        let rates = RateLimiter::new(Rate::per_second(1).burst(REPLIES_AT_ONCE), MAILS_MAX);
        Self { tickets, store, announcer, clock, rates }
    }

    /// The mail that is replied to at this address, if we signed it.
    pub(super) fn ticket_in(&self, local_part: &str) -> Option<MailTicket> {
        Option::as_ref(&self.tickets.get())?.read(local_part)
    }

    /// Acknowledges what the replied mails were about, if a person replied; `is_from_nobody`: the return path is nobody's.
    pub(super) async fn take_in(
        &self,
        tickets: &[MailTicket],
        is_from_nobody: bool,
        message: &IncomingMessage,
    ) -> TakenIn {
        if tickets.is_empty() {
            return TakenIn::Done;
        }
        let from = match reply_of(message, is_from_nobody) {
            Reply::OfPerson { from } => from,
            Reply::Automatic => return self.passed_over("automatic"),
            Reply::OfNobody => return self.passed_over("no_sender"),
        };
        for ticket in tickets {
            match self.acknowledge(ticket, &from).await {
                Ok(outcome) => {
                    count(outcome.as_str());
                    info!(attempt = %ticket.attempt, outcome = outcome.as_str(), "A mail was replied to");
                    if outcome == ReplyOutcome::TooOften {
                        return TakenIn::Later;
                    }
                }
                Err(error) if error.is_unavailable() => return TakenIn::Later,
                Err(error) => warn!(%error, attempt = %ticket.attempt, "A reply could not be recorded"),
            }
        }
        TakenIn::Done
    }

    fn passed_over(&self, why: &'static str) -> TakenIn {
        count(why);
        TakenIn::Done
    }

    async fn acknowledge(&self, ticket: &MailTicket, from: &Secret) -> Result<ReplyOutcome, StoreError> {
        let now = self.clock.now();
        if self.rates.take(&ticket.attempt, 1, now, Duration::ZERO).is_err() {
            return Ok(ReplyOutcome::TooOften);
        }
        let Some(mailed) = self.store.mailed_alert(ticket.attempt).await? else {
            return Ok(ReplyOutcome::Unknown);
        };
        let heads = self.store.heads(std::slice::from_ref(&mailed.user)).await?;
        let is_void = heads.get(&mailed.user).is_some_and(|head| head.refuses(Some(mailed.written_at)));
        if is_void || now >= mailed.written_at + REPLY_TICKET_TTL {
            return Ok(ReplyOutcome::Expired);
        }
        let contact = self.store.contact(&mailed.user).await?;
        let address = contact.and_then(|contact| contact.addresses[Channel::Email].clone());
        let is_theirs = address.is_some_and(|address| {
            address_digest(&address) == ticket.address_digest && is_same_mailbox(&address, from)
        });
        if !is_theirs {
            return Ok(ReplyOutcome::AnotherSender);
        }
        if mailed.has_begun_anew {
            return Ok(ReplyOutcome::BegunAnew);
        }
        let shown = self.store.shown_contents(&mailed.user, std::slice::from_ref(&mailed.alert)).await?;
        let is_to_be_taken_on = shown.get(&mailed.alert).is_some_and(|shown| shown.acknowledgement.is_some());
        let receipt = Receipt::acknowledging(mailed.user, mailed.alert, BY_REPLY, is_to_be_taken_on);
        let written = self.store.apply_receipts(std::slice::from_ref(&receipt), now).await?;
        let Some(applied) = written.into_iter().next().flatten() else { return Ok(ReplyOutcome::NoEffect) };
        let announcement = Announcement::receipt(&receipt, applied.seq, applied.unread, &applied.alerts);
        if let Err(error) = self.announcer.publish(announcement).await {
            debug!(%error, "A live receipt was not confirmed; sessions heal from the store");
        }
        Ok(ReplyOutcome::Acknowledged)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("watchbell_fallback_replies_total", "outcome" => outcome).increment(1);
}
