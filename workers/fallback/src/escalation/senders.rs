//! The senders: take due work, step its walk, call providers, record the answers.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};
use watchbell::{
    broker::{Address, Delivery, Refusal, WorkQueue, parked},
    domain::Timestamp,
    store::{Answer, Decision, EscalationKey, Holder, Stepped, StoreError, Walk},
    wire::undelivered::UndeliveredV1,
};

use crate::{
    Fallback,
    escalation::{decide::Decider, step_batches::Step},
};

/// The wait between two tries to reach the store.
const STORE_WAIT: Duration = Duration::from_millis(200);
/// How long the broker may take to confirm what is set aside.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

impl Fallback {
    /// Sends until `shutdown`, then waits for what has begun, up to the drain timeout. What is unsettled after that is
    /// delivered again.
    pub(crate) async fn send(self, shutdown: CancellationToken) {
        let in_flight_max = self.config.in_flight_max;
        let mut consumer = self.broker.consume(WorkQueue::Undelivered, in_flight_max).await;
        let permits = Arc::new(Semaphore::new(usize::from(in_flight_max)));
        let in_flight = TaskTracker::new();
        info!(in_flight_max, "Senders take due work");
        loop {
            let begin = async {
                // Never closed. The permit comes first: work we cannot start is better left for another pod.
                let permit = permits.clone().acquire_owned().await.ok()?;
                Some((permit, consumer.next().await?))
            };
            let (permit, delivery) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                begun = begin => match begun {
                    Some(begun) => begun,
                    None => break,
                },
            };
            let fallback = self.clone();
            in_flight.spawn(async move {
                fallback.handle(delivery).await;
                drop(permit); // Given back on success, error and panic alike.
            });
        }
        in_flight.close();
        if timeout(self.config.drain_timeout, in_flight.wait()).await.is_err() {
            warn!(unsettled = in_flight.len(), "Stopped before every delivery was settled");
        }
        info!("Senders have stopped");
    }

    async fn handle(&self, delivery: Delivery) {
        let is_readable = delivery.unreadable.is_none();
        let work =
            serde_json::from_slice::<UndeliveredV1>(&delivery.message.body).ok().filter(|_| is_readable);
        let names = work.as_ref().and_then(|work| Some((work.names().ok()?, work.claim)));
        let Some(((user, alert), claim)) = names else {
            return self.park(delivery).await;
        };
        let key = EscalationKey { user, alert };
        match self.walk(&key, claim).await {
            Ok(()) => {}
            Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                return self.set_aside(&key, claim, &error.to_string(), delivery).await;
            }
            // The lease ends by itself and the row is claimed again; giving the message back would only count
            // against its delivery limit.
            Err(error @ StoreError::Unavailable { .. }) => {
                warn!(%error, alert.id = %key.alert, "A walk could not be carried on; it is claimed again when its lease ends");
            }
        }
        delivery.settle.ack().await;
    }

    /// Steps one walk, by a claim on it, until it rests or somebody else holds it.
    ///
    /// # Errors
    /// The store did not answer; the walk is claimed again when its lease ends.
    pub async fn walk(&self, key: &EscalationKey, claim: u64) -> Result<(), StoreError> {
        let lease_ends = Instant::now() + self.config.lease;
        let mut holder = Holder::Claim(claim);
        let mut answers: Arc<[Answer]> = Arc::default();
        loop {
            match self.step(key, holder, &answers, lease_ends).await? {
                Stepped::Rested => return Ok(()),
                Stepped::Lost => {
                    metrics::counter!("watchbell_fallback_lost_total").increment(1);
                    return Ok(());
                }
                Stepped::Call { fence, walk, attempts } => {
                    answers =
                        join_all(attempts.iter().map(|attempt| self.call(key, &walk, attempt))).await.into();
                    holder = Holder::Fence(fence);
                }
            }
        }
    }

    /// One step in the store, tried until the lease ends: what a provider answered is worth recording.
    async fn step(
        &self,
        key: &EscalationKey,
        holder: Holder,
        answers: &Arc<[Answer]>,
        lease_ends: Instant,
    ) -> Result<Stepped, StoreError> {
        loop {
            let now = self.clock.now();
            let (key, answers) = (key.clone(), Arc::clone(answers));
            let step = Step { decide: self.decider(&key, now), key, holder, answers, now };
            match self.steps.take(&self.store, step, self.config.lease).await {
                Err(error @ StoreError::Unavailable { .. }) if Instant::now() + STORE_WAIT < lease_ends => {
                    // Each of many steps repeats it many times a second: readiness has told of the store, once.
                    debug!(%error, "The store does not answer; the step is repeated");
                    sleep(STORE_WAIT).await;
                }
                result => return result,
            }
        }
    }

    /// Decides on a walk, as often as the store likes: the tenant's rate is asked once.
    fn decider(&self, key: &EscalationKey, now: Timestamp) -> Arc<dyn Fn(&Walk) -> Decision + Send + Sync> {
        let (fallback, key, over_rate) = (self.clone(), key.clone(), OnceLock::new());
        Arc::new(move |walk| {
            let decider = Decider {
                policies: &fallback.policies,
                restraint: &fallback.restraint,
                channels: &fallback.channels,
                attempt_id: &*fallback.chance.attempt_id,
                over_rate: &|| *over_rate.get_or_init(|| fallback.rates.wait(&key.user.tenant, now)),
            };
            decider.decide(&key, walk, now)
        })
    }

    /// A walk that cannot be read, or whose step the store refuses, will not go on in a minute either: its work goes to
    /// the dead letters, and its timer rests, so that it does not come round for ever (R12). Replayed, the work goes on
    /// with the same claim.
    async fn set_aside(&self, key: &EscalationKey, claim: u64, reason: &str, delivery: Delivery) {
        let refusal = Refusal { reason: reason.to_owned(), field: None, from: Some(WorkQueue::Undelivered) };
        let message = parked(&delivery, &refusal);
        metrics::counter!("watchbell_fallback_set_aside_total").increment(1);
        let set_aside = match self.broker.publish(Address::Dead, message, PUBLISH_DEADLINE).await {
            Ok(()) => self
                .store
                .rest_escalation(key, claim, reason, self.clock.now())
                .await
                .map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        match set_aside {
            Ok(()) => error!(alert.id = %key.alert, "{reason}: look at `watchbell dead list`"),
            // Its lease ends, and it comes here again.
            Err(error) => warn!(%error, alert.id = %key.alert, "A walk could not be set aside yet"),
        }
        delivery.settle.ack().await;
    }

    /// Work that cannot be read is kept for the operator (I11).
    async fn park(&self, delivery: Delivery) {
        let reason = "not a piece of undelivered work of version 1".into();
        let message = parked(&delivery, &Refusal { reason, field: None, from: None });
        match self.broker.publish(Address::Rejected, message, PUBLISH_DEADLINE).await {
            Ok(()) => delivery.settle.ack().await,
            Err(error) => {
                warn!(%error, "Unreadable work could not be parked; it goes back to the queue");
                delivery.settle.requeue().await;
            }
        }
    }
}
