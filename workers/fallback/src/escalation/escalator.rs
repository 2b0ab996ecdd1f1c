//! The escalator: claims what is due and publishes it as work.
//!
//! A claim is a lease. When its message is lost, or its sender dies, the lease ends and the row is claimed again. While
//! the broker is away, the escalator does the work itself, a few at a time.
//!
//! It looks again when the next timer is due, and at the latest after `poll_every`: another process may have recorded
//! one that is due sooner.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use watchbell::{
    broker::{Address, Message, WorkQueue},
    store::{Claim, StoreError},
    wire::undelivered::UndeliveredV1,
};

use crate::Fallback;

/// How long the broker may take to confirm one piece of work. Well within a lease.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
/// Pieces of work that wait for their confirm at once.
const IN_FLIGHT_MAX: usize = 128;
/// The shortest wait between two looks: what comes due meanwhile is claimed together.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(25);
/// The wait after the store or the broker did not answer.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);

impl Fallback {
    pub(crate) async fn escalate(self, shutdown: CancellationToken) {
        info!(poll_every = ?self.config.poll_every, "The escalator looks for due timers");
        while !shutdown.is_cancelled() {
            let wait = match self.escalate_once().await {
                Ok(claimed) if claimed == self.config.claim_max => Duration::ZERO,
                Ok(claimed) => self.until_next_due(claimed).await,
                Err(error) => {
                    // Readiness tells of it, once.
                    debug!(%error, "The escalator has to wait");
                    TROUBLE_WAIT
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        info!("The escalator has stopped");
    }

    /// Claims what is due now and hands it out. Returns how many rows that were.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn escalate_once(&self) -> Result<usize, StoreError> {
        // A lease that ends while its work still waits in the queue would hand it out twice: claim no more than
        // senders can take up.
        let (limit, broker_is_up) = match self.broker.depth(WorkQueue::Undelivered).await {
            Ok(backlog) => {
                metrics::gauge!("watchbell_fallback_backlog").set(backlog as f64);
                (if backlog < self.config.backlog_max { self.config.claim_max } else { 0 }, true)
            }
            Err(error) => {
                // Readiness tells of it, once.
                debug!(%error, "The broker does not answer: what is due is done here");
                (usize::from(self.config.in_flight_max), false)
            }
        };
        if limit == 0 {
            return Ok(0);
        }
        let claims = self.store.claim_due(self.clock.now(), self.config.lease, limit).await?;
        let claimed = claims.len();
        metrics::counter!("watchbell_fallback_claims_total").increment(claimed as u64);
        let hand_out = |claim| async move {
            match broker_is_up {
                true => self.publish(claim).await,
                false => self.do_here(&claim).await,
            }
        };
        stream::iter(claims).for_each_concurrent(IN_FLIGHT_MAX, hand_out).await;
        Ok(claimed)
    }

    /// How long nothing is due that is known of.
    async fn until_next_due(&self, claimed: usize) -> Duration {
        let poll_every = self.config.poll_every;
        // A store in trouble is found out by the next look.
        let Ok(Some(due)) = self.store.next_due().await else { return poll_every };
        match Duration::try_from(due.duration_since(self.clock.now())) {
            Ok(wait) if !wait.is_zero() => wait.clamp(LOOK_AGAIN_MIN.min(poll_every), poll_every),
            // It came due meanwhile.
            _ if claimed > 0 => LOOK_AGAIN_MIN.min(poll_every),
            // It was due and not taken: somebody else has it, or the senders have enough.
            _ => poll_every,
        }
    }

    async fn publish(&self, claim: Claim) {
        let work = UndeliveredV1::new(&claim.key.user, &claim.key.alert, claim.number);
        let id = format!("{}/{}/{}/{}", work.tenant, work.user, work.alert, claim.number);
        debug!(alert.id = %claim.key.alert, user = %claim.key.user.user, claim = claim.number, "Due");
        let sent = self
            .broker
            .publish(Address::Undelivered, Message::json(id, work.encode()), PUBLISH_DEADLINE)
            .await;
        if let Err(error) = sent {
            warn!(%error, alert.id = %claim.key.alert, "Due work was not confirmed: it is done here");
            // It may still arrive. Then it is done twice, with the same ids (I6).
            self.do_here(&claim).await;
        }
    }

    /// The timer stands whatever the broker does (I4).
    async fn do_here(&self, claim: &Claim) {
        if let Err(error) = self.walk(&claim.key, claim.number).await {
            warn!(%error, alert.id = %claim.key.alert, "A walk could not be carried on; it is claimed again when its lease ends");
        }
    }
}
