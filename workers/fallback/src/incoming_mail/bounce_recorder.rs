//! From a report to the store: what a mail that came back says is recorded, counted, and told to the operator where only they
//! can correct it.

use tracing::{info, warn};
use watchbell::{
    domain::{BounceKind, bounce::Bounce},
    runtime::Clock,
    store::{BounceRecorded, Store, StoreError},
    wire::mail_ticket::MailTicket,
};

use super::{
    report::{Report, report_of},
    taken_in::TakenIn,
};

/// Where reports go.
pub(super) struct BounceRecorder {
    store: Store,
    clock: Clock,
}

impl BounceRecorder {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Records what a mail to these return paths says.
    pub(super) async fn take_in(&self, tickets: &[MailTicket], message: &[u8]) -> TakenIn {
        let report = report_of(message);
        let told = match &report {
            Report::CameBack { kind, reason } => Some((*kind, reason.clone())),
            Report::Complaint { reason, .. } => Some((BounceKind::Complaint, reason.clone())),
            Report::Delayed | Report::None => None,
        };
        let Some((kind, reason)) = told else {
            count(if report == Report::Delayed { "delayed" } else { "no_report" });
            return TakenIn::Done;
        };
        let named = match report {
            Report::Complaint { about, .. } => about,
            _ => None,
        };
        let tickets = if tickets.is_empty() { named.as_slice() } else { tickets };
        for MailTicket { attempt, address_digest } in tickets.iter().cloned() {
            let bounce = Bounce { attempt, address_digest, kind, reason: reason.clone() };
            match record(&self.store, &bounce, &self.clock).await {
                Ok(()) => {}
                Err(error) if error.is_unavailable() => return TakenIn::Later,
                Err(error) => warn!(%error, %attempt, "A mail that came back could not be recorded"),
            }
        }
        TakenIn::Done
    }
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
