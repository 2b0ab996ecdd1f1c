//! The senders take due work from the queue, a bounded number at a time, and run each escalation until it rests.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, info, warn};
use watchbell::{
    broker::{Delivery, SharedBroker, WorkQueue},
    store::{EscalationKey, StoreError},
    wire::undelivered::UndeliveredV1,
};

use super::{dead_letters::DeadLetters, runner::EscalationRunner};
use crate::{config::FallbackConfig, trace};

/// Carries out what the escalator hands out.
#[derive(Clone)]
pub struct Senders {
    broker: SharedBroker,
    config: FallbackConfig,
    runner: Arc<EscalationRunner>,
    dead_letters: DeadLetters,
}

impl Senders {
    pub(crate) fn new(
        broker: SharedBroker,
        config: FallbackConfig,
        runner: Arc<EscalationRunner>,
        dead_letters: DeadLetters,
    ) -> Self {
        Self { broker, config, runner, dead_letters }
    }

    /// Sends until `shutdown`, then waits for what has begun, up to the drain timeout. What is unsettled after that is
    /// delivered again.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let (in_flight_max, drain_timeout) = (self.config.in_flight_max, self.config.drain_timeout);
        let mut consumer = self.broker.consume(WorkQueue::Undelivered, in_flight_max).await;
        let permits = Arc::new(Semaphore::new(usize::from(in_flight_max)));
        let in_flight = TaskTracker::new();
        let senders = Arc::new(self);
        info!(in_flight_max, "The senders take work that is due");
        loop {
            let begin = async {
                // The semaphore is never closed. The permit comes first: work that cannot begin is better left for
                // another process.
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
            let senders = Arc::clone(&senders);
            in_flight.spawn(async move {
                senders.handle(delivery).await;
                drop(permit); // It is given back on success, error and panic alike.
            });
        }
        in_flight.close();
        if timeout(drain_timeout, in_flight.wait()).await.is_err() {
            warn!(unsettled = in_flight.len(), "The senders stopped before every delivery was settled");
        }
        info!("The senders have stopped");
    }

    async fn handle(&self, delivery: Delivery) {
        let Some((key, claim)) = work_of(&delivery) else {
            return self.dead_letters.reject(delivery).await;
        };
        let mut span = trace::taken(&key, &delivery.message);
        let running = self.runner.run(&key, claim, span.context());
        let log = span.log();
        let ran = running.instrument(log).await;
        trace::ran(&mut span, &ran);
        match ran {
            Ok(()) => {}
            Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                return self.dead_letters.set_aside(&key, claim, &error.to_string(), delivery).await;
            }
            // The lease ends by itself and the escalation is claimed again. Giving the message back would only count
            // against its delivery limit.
            Err(error @ StoreError::Unavailable { .. }) => {
                // Readiness reports the outage once.
                debug!(%error, alert.id = %key.alert, "An escalation could not go on; it is claimed again when its lease ends");
            }
        }
        delivery.settle.ack().await;
    }
}

/// The escalation that a message is about, and the number of the claim on it. `None`: it is no work of ours.
fn work_of(delivery: &Delivery) -> Option<(EscalationKey, u64)> {
    if delivery.unreadable.is_some() {
        return None;
    }
    let work: UndeliveredV1 = serde_json::from_slice(&delivery.message.body).ok()?;
    let (user, alert) = work.names().ok()?;
    Some((EscalationKey { user, alert }, work.claim))
}
