//! Work that cannot be done is kept for the operator, so that it neither stops a sender nor comes round without end (I11).

use std::time::Duration;

use tracing::{error, warn};
use watchbell::{
    broker::{Address, Delivery, Refusal, SharedBroker, WorkQueue, parked},
    domain::Untrusted,
    runtime::Clock,
    store::{EscalationKey, Store},
};

/// How long the broker may take to confirm what is kept.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// Keeps what senders cannot do.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    broker: SharedBroker,
    store: Store,
    clock: Clock,
}

impl DeadLetters {
    pub(crate) fn new(broker: SharedBroker, store: Store, clock: Clock) -> Self {
        Self { broker, store, clock }
    }

    /// Keeps work on an escalation that cannot be read, or whose step the store refuses: it would not go on in a minute
    /// either (R12). Its timer rests. When an operator replays the message, the work goes on with the same claim.
    pub(crate) async fn set_aside(&self, key: &EscalationKey, claim: u64, reason: &str, delivery: Delivery) {
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
            Ok(()) => {
                error!(alert.id = %key.alert, "An escalation was set aside: {}. `watchbell dead list` shows it", Untrusted(reason));
            }
            // Its lease ends, and then it comes here again.
            Err(error) => warn!(%error, alert.id = %key.alert, "An escalation could not be set aside yet"),
        }
        delivery.settle.ack().await;
    }

    /// Keeps a message that is no work of ours.
    pub(crate) async fn reject(&self, delivery: Delivery) {
        let reason = "not a piece of undelivered work of version 1".into();
        let message = parked(&delivery, &Refusal { reason, field: None, from: None });
        match self.broker.publish(Address::Rejected, message, PUBLISH_DEADLINE).await {
            Ok(()) => delivery.settle.ack().await,
            Err(error) => {
                warn!(%error, "Work that cannot be read could not be parked; it goes back to the queue");
                delivery.settle.requeue().await;
            }
        }
    }
}
