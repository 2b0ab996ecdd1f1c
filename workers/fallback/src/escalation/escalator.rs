//! The escalator finds the escalations that are due, and publishes each as work for a sender.
//!
//! What holds here:
//! - A claim is a lease. When its message is lost, or the sender dies, the lease ends and the escalation is claimed again.
//! - While the broker is away, the escalator does the work itself, a few escalations at a time (I4).
//! - It looks again when the next timer is due, and after `poll_every` at the latest, because another process may have
//!   recorded a timer that is due sooner.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, info, warn};
use uuid::Uuid;
use watchbell::{
    broker::{Address, Message, PublishError, SharedBroker, WorkQueue},
    domain::{AlertId, Tenant, Timestamp},
    runtime::{
        Clock,
        traces::{self, Span},
    },
    store::{Claim, Store, StoreError},
    wire::undelivered::UndeliveredV1,
};

use super::runner::EscalationRunner;
use crate::{config::FallbackConfig, trace};

/// How long the broker may take to confirm one piece of work. Well within a lease.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
/// Pieces of work that wait for their confirm at once.
const IN_FLIGHT_MAX: usize = 128;
/// The shortest wait between two looks: what comes due meanwhile is claimed together.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(25);
/// The wait after the store or the broker did not answer.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);

/// Hands out the escalations that are due.
#[derive(Clone)]
pub struct Escalator {
    broker: SharedBroker,
    store: Store,
    clock: Clock,
    config: FallbackConfig,
    /// For the time in which the broker is away.
    runner: Arc<EscalationRunner>,
}

impl Escalator {
    pub(crate) fn new(
        broker: SharedBroker,
        store: Store,
        clock: Clock,
        config: FallbackConfig,
        runner: Arc<EscalationRunner>,
    ) -> Self {
        Self { broker, store, clock, config, runner }
    }

    /// Hands out what is due until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        info!(poll_every = ?self.config.poll_every, "The escalator looks for timers that are due");
        while !shutdown.is_cancelled() {
            let wait = match self.hand_out_due().await {
                Ok(claimed) if claimed == self.config.claim_max => Duration::ZERO,
                Ok(claimed) => self.until_next_due(claimed).await,
                Err(error) => {
                    // Readiness reports the outage once; this line would repeat it every second.
                    debug!(%error, "The escalator waits, because the store does not answer");
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

    /// Claims what is due now and hands it out. Returns how many escalations that were.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn hand_out_due(&self) -> Result<usize, StoreError> {
        // A lease that ends while its work still waits in the queue would hand it out twice. So no more is claimed
        // than the senders can take up.
        let (limit, broker_is_up) = match self.broker.depth(WorkQueue::Undelivered).await {
            Ok(backlog) => {
                metrics::gauge!("watchbell_fallback_backlog").set(backlog as f64);
                (if backlog < self.config.backlog_max { self.config.claim_max } else { 0 }, true)
            }
            Err(error) => {
                // Readiness reports the outage once.
                debug!(%error, "The broker does not answer, so the escalator does the work itself");
                (usize::from(self.config.in_flight_max), false)
            }
        };
        if limit == 0 {
            return Ok(0);
        }
        let now = self.clock.now();
        let claims = self.store.claim_due(now, self.config.lease, limit).await?;
        let claimed = claims.len();
        let lateness = metrics::histogram!("watchbell_fallback_timer_lateness_seconds");
        claims.iter().for_each(|claim| lateness.record(seconds_since(claim.due_at, now)));
        metrics::counter!("watchbell_fallback_claims_total").increment(claimed as u64);
        let traces = self.traces_of(&claims).await;
        let hand_out = |claim: Claim| {
            let span = trace::due(
                &claim,
                traces.get(&(claim.key.user.tenant.clone(), claim.key.alert.clone())),
                now,
            );
            async move {
                match broker_is_up {
                    true => self.publish(claim, span).await,
                    false => self.run_here(&claim, &span).await,
                }
            }
        };
        stream::iter(claims).for_each_concurrent(IN_FLIGHT_MAX, hand_out).await;
        Ok(claimed)
    }

    /// How long it takes until the next timer that is known is due, within the bounds of a wait.
    async fn until_next_due(&self, claimed: usize) -> Duration {
        let poll_every = self.config.poll_every;
        // When the store is in trouble, the next look finds out.
        let (due, now) = (self.store.next_due().await, self.clock.now());
        if let Ok(due) = due {
            let oldest = due.map_or(0.0, |due| seconds_since(due, now));
            metrics::gauge!("watchbell_fallback_oldest_due_seconds").set(oldest);
        }
        let Ok(Some(due)) = due else { return poll_every };
        match Duration::try_from(due.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => wait.clamp(LOOK_AGAIN_MIN.min(poll_every), poll_every),
            // It came due meanwhile.
            _ if claimed > 0 => LOOK_AGAIN_MIN.min(poll_every),
            // It was due and was not claimed: another process has it, or the senders have enough work.
            _ => poll_every,
        }
    }

    /// The traces that these belong to. Without them, an escalation is only not seen in one.
    async fn traces_of(&self, claims: &[Claim]) -> HashMap<(Tenant, AlertId), String> {
        if !traces::is_on() {
            return HashMap::new();
        }
        let alerts = claims.iter().map(|claim| (&claim.key.user.tenant, &claim.key.alert));
        self.store.traces_of(alerts).await.unwrap_or_default()
    }

    async fn publish(&self, claim: Claim, mut span: Span) {
        let work = UndeliveredV1::new(&claim.key.user, &claim.key.alert, claim.number);
        let id = message_id(&work, claim.number);
        debug!(alert.id = %claim.key.alert, user = ?claim.key.user.user, claim = claim.number, "An escalation is due");
        let mut message = Message::json(id, work.encode());
        trace::publishing(&mut span, &mut message);
        let sent = self.broker.publish(Address::Undelivered, message, PUBLISH_DEADLINE).await;
        if let Err(error) = sent {
            let what = "The broker did not confirm work that is due, so the escalator does it itself";
            match error {
                // Readiness reports the outage once; there may be hundreds of claims.
                PublishError::Unavailable(_) => debug!(%error, alert.id = %claim.key.alert, "{what}"),
                _ => warn!(%error, alert.id = %claim.key.alert, "{what}"),
            }
            span.fail("unavailable");
            // The message may still arrive. Then the work is done twice, with the same ids (I6).
            self.run_here(&claim, &span).await;
        }
    }

    /// The timer stands whatever the broker does (I4).
    async fn run_here(&self, claim: &Claim, due: &Span) {
        let mut span = trace::run_here(&claim.key, due);
        let log = span.log();
        let ran = self.runner.run(&claim.key, claim.number, span.context()).instrument(log).await;
        trace::ran(&mut span, &ran);
        if let Err(error) = ran {
            let what = "An escalation could not go on; it is claimed again when its lease ends";
            match error.is_unavailable() {
                true => debug!(%error, alert.id = %claim.key.alert, "{what}"),
                false => warn!(%error, alert.id = %claim.key.alert, "{what}"),
            }
        }
    }
}

/// How long ago that was; 0 for what is to come.
fn seconds_since(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

/// The same work has the same id when it is published again. Brokers and operators see ids, so the user's is not in it.
fn message_id(work: &UndeliveredV1, claim: u64) -> String {
    let name = format!("{}/{}/{}/{claim}", work.tenant, work.user, work.alert);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
