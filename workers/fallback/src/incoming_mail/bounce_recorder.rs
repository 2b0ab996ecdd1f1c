//! From a report to the store: what a mail that came back says is recorded, counted, and told to the
//! operator where only they can correct it.

use tracing::{info, warn};
use watchbell::{
    domain::{BounceKind, bounce::Bounce},
    runtime::{Clock, Current, log_limit::LogLimit},
    store::{BounceRecorded, Store, StoreError},
    wire::{mail_ticket::MailTicket, return_ticket::ReturnTickets},
};

use super::{
    report::{Outcome, Report, report_of},
    taken_in::TakenIn,
};

/// Lines a minute about mails that people wrote to us.
const WRITTEN_LOGGED_MAX: u32 = 5;

/// Where reports go.
pub(super) struct BounceRecorder {
    tickets: Current<Option<ReturnTickets>>,
    store: Store,
    clock: Clock,
    written: LogLimit,
}

impl BounceRecorder {
    pub(super) fn new(tickets: Current<Option<ReturnTickets>>, store: Store, clock: Clock) -> Self {
        Self { tickets, store, clock, written: LogLimit::per_minute(WRITTEN_LOGGED_MAX) }
    }

    /// The mail that comes back to this address, if we signed it.
    pub(super) fn ticket_in(&self, local_part: &str) -> Option<MailTicket> {
        Option::as_ref(&self.tickets.get())?.read(local_part)
    }

    /// Records what a mail to these return paths says.
    pub(super) async fn take_in(&self, tickets: &[MailTicket], message: &[u8]) -> TakenIn {
        match report_of(message) {
            Report::Status(status) => {
                for ticket in tickets {
                    let taken_in = match status.of(&ticket.address_digest) {
                        Outcome::CameBack { kind, reason } => self.record(ticket, *kind, reason).await,
                        Outcome::Delayed => passed_over("delayed"),
                        Outcome::Fine => passed_over("no_report"),
                    };
                    if taken_in == TakenIn::Later {
                        return TakenIn::Later;
                    }
                }
                if tickets.is_empty() { self.written_to_us() } else { TakenIn::Done }
            }
            Report::Complaint { about, reason } => {
                // What the report encloses counts only where it came to no return path, and only with our signature.
                let named: Vec<_> = about.and_then(|about| self.ticket_in(&about)).into_iter().collect();
                let tickets = if tickets.is_empty() { named.as_slice() } else { tickets };
                for ticket in tickets {
                    if self.record(ticket, BounceKind::Complaint, &reason).await == TakenIn::Later {
                        return TakenIn::Later;
                    }
                }
                if tickets.is_empty() { passed_over("unknown") } else { TakenIn::Done }
            }
            Report::None if tickets.is_empty() => self.written_to_us(),
            Report::None => passed_over("no_report"),
        }
    }

    /// What came to `postmaster@`, `abuse@` or `complaints@` and is no report: it is counted, said in the log and kept nowhere. It is not
    /// handed on either, so nothing can go round in circles.
    pub(super) fn written_to_us(&self) -> TakenIn {
        if let Some(left_out) = self.written.admit(self.clock.now()) {
            info!(
                left_out,
                "A mail to postmaster@, abuse@ or complaints@ came that is no report. Nobody reads it: it is not kept"
            );
        }
        passed_over("no_report")
    }

    async fn record(&self, ticket: &MailTicket, kind: BounceKind, reason: &str) -> TakenIn {
        let MailTicket { attempt, address_digest } = ticket.clone();
        let bounce = Bounce { attempt, address_digest, kind, reason: reason.to_owned() };
        match record(&self.store, &bounce, &self.clock).await {
            Ok(()) => TakenIn::Done,
            Err(error) if error.is_unavailable() => TakenIn::Later,
            Err(error) => {
                warn!(%error, %attempt, "A mail that came back could not be recorded");
                TakenIn::Done
            }
        }
    }
}

fn passed_over(why: &'static str) -> TakenIn {
    count(why);
    TakenIn::Done
}

/// Records what came back, counts it, and tells the operator of what only they can correct.
async fn record(store: &Store, bounce: &Bounce, clock: &Clock) -> Result<(), StoreError> {
    let recorded = store.record_bounce(bounce, None, clock.now()).await?;
    let Bounce { attempt, kind, reason, .. } = bounce;
    if recorded == BounceRecorded::Nothing {
        count("unknown");
        return Ok(());
    }
    count(kind.as_str());
    if *kind == BounceKind::Policy {
        warn!(%attempt, reason, "A receiver refuses our mails by its policy. Check SPF, DKIM, DMARC and the reputation of the sending address");
    }
    if recorded == BounceRecorded::Suppressed {
        info!(%attempt, %kind, reason, "An address gets no mail any more");
    }
    Ok(())
}

fn count(kind: &'static str) {
    metrics::counter!("watchbell_fallback_bounces_total", "kind" => kind).increment(1);
}
