//! The auditor: an open escalation without a timer would be an alert that nobody is ever told of (I4). There must be none,
//! so one that is found is logged as an error and becomes due at once.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use watchbell::{
    runtime::Clock,
    store::{Audit, Store, StoreError},
};

/// How often it looks.
const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// An escalation that could have been handed out longer ago than this is late.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// Looks after the timers.
#[derive(Clone)]
pub struct Auditor {
    store: Store,
    clock: Clock,
}

impl Auditor {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Audits every minute until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.audit_once().await
                && !error.is_unavailable()
            {
                warn!(%error, "The timers could not be audited; the auditor tries again in a minute");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(AUDIT_EVERY) => {}
            }
        }
    }

    /// Looks once, and reports what is wrong.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn audit_once(&self) -> Result<Audit, StoreError> {
        let audit = self.store.audit(self.clock.now(), LATE_AFTER).await?;
        metrics::counter!("watchbell_fallback_lost_timers_total").increment(audit.lost.len() as u64);
        metrics::gauge!("watchbell_fallback_late_timers").set(audit.late as f64);
        for key in &audit.lost {
            error!(alert.id = %key.alert, user = ?key.user.user, "An open escalation had no timer; it is due now. This must not happen: please report it");
        }
        if audit.late > 0 {
            warn!(late = audit.late, after = ?LATE_AFTER, "Escalations are late: there are too few senders, or the providers or the broker are slow");
        }
        Ok(audit)
    }
}
