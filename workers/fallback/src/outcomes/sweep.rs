//! What bounds the outbox: how long an outcome is kept that cannot be told, and how many.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::{domain::OutcomeRoute, store::StoreError};

use super::{OutcomeRelay, note_dropped};

/// How often the bounds are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Outcomes dropped in one commit.
const DROPPED_AT_ONCE_MAX: usize = 1_000;
/// More than the bound that are counted: by so many it is exceeded within one sweep at the most, or the next one goes on.
const COUNTED_BEYOND: u64 = 100_000;

impl OutcomeRelay {
    /// Looks at start and then every [`SWEEP_EVERY`]. Several that do so at once take nothing from each other.
    pub(super) async fn sweep(&self, shutdown: &CancellationToken) {
        let work = async {
            loop {
                if let Err(error) = self.sweep_once().await {
                    // Readiness tells of the store, once; the next look finds the same.
                    debug!(%error, "The bounds of outcomes could not be looked at");
                }
                sleep(SWEEP_EVERY).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// Every route that something waits for, those of tenants that are configured no more included.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn sweep_once(&self) -> Result<(), StoreError> {
        let (mut after, mut queue, mut webhooks) = (None, 0, 0);
        while let Some(route) = self.outbox.store.outcome_route_after(after.as_ref()).await? {
            let waiting = self.sweep_route(&route).await?;
            match route {
                OutcomeRoute::Queue => queue += waiting,
                OutcomeRoute::Webhook(_) => webhooks += waiting,
            }
            after = Some(route);
        }
        metrics::gauge!("watchbell_outcomes_waiting", "route" => "queue").set(queue as f64);
        metrics::gauge!("watchbell_outcomes_waiting", "route" => "webhook").set(webhooks as f64);
        Ok(())
    }

    /// Returns how many wait after it.
    async fn sweep_route(&self, route: &OutcomeRoute) -> Result<u64, StoreError> {
        let too_old = self.outbox.clock.now().checked_sub(self.bounds.kept_for).unwrap_or(Timestamp::MIN);
        let old = self.drop_up_to(route, too_old, u64::MAX).await?;
        note_dropped(route, old, "it was too old");
        let most = self.bounds.waiting_max;
        let waiting =
            self.outbox.store.outcome_backlog(route, most.saturating_add(COUNTED_BEYOND)).await?.waiting;
        let beyond = self.drop_up_to(route, Timestamp::MAX, waiting.saturating_sub(most)).await?;
        note_dropped(route, beyond, "too many waited");
        Ok(waiting - beyond.min(waiting))
    }

    /// Drops those that wait longest, commit by bounded commit.
    async fn drop_up_to(
        &self,
        route: &OutcomeRoute,
        ready_before: Timestamp,
        number: u64,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        while all < number {
            let some = DROPPED_AT_ONCE_MAX.min(usize::try_from(number - all).unwrap_or(usize::MAX));
            match self.outbox.store.drop_outcomes(route, ready_before, some).await? {
                0 => break,
                dropped => all += dropped,
            }
        }
        Ok(all)
    }
}
