//! Dispatch: every alert once, into the inboxes of everybody it is for, and onto their screens.
//!
//! Takes alerts from the durable queue in batches, records each batch in few commits, then tells the pods, then
//! acknowledges.
//!
//! What holds here:
//! - An alert is acknowledged only after every recipient's row is committed (I1). A crash before that repeats the
//!   batch, and recording twice changes nothing (I2).
//! - What cannot be understood is parked with its reason before it is acknowledged (I11).
//! - A store that is down is waited for with the batch in hand. Giving it back would use up its delivery limit.
//! - Live frames are sent after the commit and are hints: a lost one is healed from the store.
//! - An event on a topic is told to the pods, after it is stored when it is one to be kept.
//!
//! Elsewhere: what one alert does to one inbox in `watchbell::domain::inbox`; who is in an audience in [`audience`].

mod audience;
mod batch;
mod events;
mod intake;
mod live;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::info;
use watchbell::{
    broker::{Consumer, Delivery, SharedBroker, WorkQueue},
    domain::policy::Policies,
    runtime::{Clock, config::DispatchConfig},
    store::Store,
};

/// How long a confirm of a parked or live message may take.
pub(crate) const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// The worker's parts. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    /// Where alerts come from and live frames go.
    pub broker: SharedBroker,
    /// The inboxes.
    pub store: Store,
    /// When the first step of each policy is due.
    pub policies: Arc<Policies>,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub config: DispatchConfig,
}

impl Dispatch {
    /// Works until `shutdown`; a batch in hand is finished first, if the store lets it.
    pub async fn run(self, shutdown: CancellationToken) {
        // Twice the batch: the next one is on its way while this one is committed.
        let prefetch = u16::try_from(self.config.batch_max * 2).unwrap_or(u16::MAX);
        let mut consumer = self.broker.consume(WorkQueue::Dispatch, prefetch).await;
        info!(batch_max = self.config.batch_max, "Dispatch takes alerts");
        loop {
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                first = consumer.next() => match first {
                    Some(first) => first,
                    None => break,
                },
            };
            let deliveries = self.fill(first, consumer.as_mut()).await;
            self.handle(deliveries, &shutdown).await;
        }
        info!("Dispatch has stopped");
    }

    /// Takes what is there already, or comes within the configured wait: a commit costs the same for one as for many.
    async fn fill(&self, first: Delivery, consumer: &mut dyn Consumer) -> Vec<Delivery> {
        let until = Instant::now() + self.config.batch_wait;
        let mut deliveries = vec![first];
        while deliveries.len() < self.config.batch_max {
            match timeout_at(until, consumer.next()).await {
                Ok(Some(delivery)) => deliveries.push(delivery),
                Ok(None) | Err(_) => break,
            }
        }
        deliveries
    }
}
