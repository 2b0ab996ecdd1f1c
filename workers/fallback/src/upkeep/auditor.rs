//! The auditor: an open walk without a timer would be an alert that nobody is ever told of (I4). There must be none, so
//! one that is found is an alarm, and is due at once.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use watchbell::store::{Audit, StoreError};

use crate::Fallback;

/// How often it looks.
const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// A walk that could have been handed out longer ago than this is late.
const LATE_AFTER: Duration = Duration::from_secs(60);

impl Fallback {
    pub(crate) async fn audit(self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.audit_once().await {
                warn!(%error, "The audit has to wait");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(AUDIT_EVERY) => {}
            }
        }
    }

    /// Looks once, and alarms when something is wrong.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn audit_once(&self) -> Result<Audit, StoreError> {
        let audit = self.store.audit(self.clock.now(), LATE_AFTER).await?;
        metrics::counter!("watchbell_fallback_lost_timers_total").increment(audit.lost.len() as u64);
        metrics::gauge!("watchbell_fallback_late_timers").set(audit.late as f64);
        for key in &audit.lost {
            error!(alert.id = %key.alert, user = %key.user.user, "An open walk had no timer; it is due now. Report this: it must not happen");
        }
        if audit.late > 0 {
            warn!(late = audit.late, after = ?LATE_AFTER, "Walks are late: there are too few senders, or providers or the broker are slow");
        }
        Ok(audit)
    }
}
