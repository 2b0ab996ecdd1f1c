//! The broker of one process without RabbitMQ: queues in memory, parked messages in files.
//!
//! What holds here, besides the contract of [`super`]:
//! - An alert is durable once dispatch has recorded it and settled, so that is what its publisher waits for (I1).
//! - What is parked (`rejected.ndjson`, `dead.ndjson`) is synced to disk before the publisher hears `Ok` (I11), and goes when it
//!   is older than its age (I17).
//! - Every queue is bounded: a publish waits for room within its deadline, a live source drops (I9).
//! - No pulse: in one process there is no connection to be deaf on.
//!
//! Elsewhere: one queue in `queue`, an operator's look through it in `browse`, its file in `parked`, live frames in `live`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{browse::QueueBrowser, live::Fanout, parked::ParkedFile, queue::Queue};
use super::{
    Address, BODY_BYTES_MAX, Broker, Browser, Consumer, LiveSource, Message, PublishError, WorkQueue, meter,
    topology,
};
use crate::runtime::Clock;

mod browse;
mod live;
mod parked;
mod queue;

/// Messages a queue in memory holds, unsettled ones included. More wait outside, within their deadline.
pub const QUEUE_MESSAGES_MAX: usize = 4096;

/// Messages parked for the operator. Beyond that refusing input is itself refused, until somebody has looked.
pub const PARKED_MESSAGES_MAX: usize = 10_000;

/// How often what is parked is looked through for what is too old.
const PARKED_LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// See the module. One per process.
#[derive(Debug)]
pub struct EmbeddedBroker {
    dispatch: Arc<Queue>,
    undelivered: Arc<Queue>,
    rejected: Arc<Queue>,
    dead: Arc<Queue>,
    fanout: Arc<Fanout>,
    clock: Clock,
}

impl EmbeddedBroker {
    /// Reads what is parked in `dir`, which has to exist. Without a folder nothing outlives the process.
    ///
    /// # Errors
    /// When a file of parked messages cannot be read or written. A line of it that cannot be read is moved to another file.
    pub fn open(dir: Option<PathBuf>) -> anyhow::Result<Arc<Self>> {
        Self::open_at(dir, Clock::system())
    }

    /// The same with another clock.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(dir: Option<PathBuf>, clock: Clock) -> anyhow::Result<Arc<Self>> {
        let parked = |queue| Queue::new(queue, PARKED_MESSAGES_MAX, None, clock.clone());
        let (rejected, dead) = (parked(WorkQueue::Rejected), parked(WorkQueue::Dead));
        if let Some(dir) = dir {
            for (queue, name) in [(&rejected, "rejected.ndjson"), (&dead, "dead.ndjson")] {
                let (file, messages) = ParkedFile::open(&dir.join(name), clock.now())?;
                queue.fill(file, messages);
            }
        }
        let work = |queue| Queue::new(queue, QUEUE_MESSAGES_MAX, Some(Arc::clone(&dead)), clock.clone());
        Ok(Arc::new(Self {
            dispatch: work(WorkQueue::Dispatch),
            undelivered: work(WorkQueue::Undelivered),
            rejected,
            dead,
            fanout: Arc::default(),
            clock,
        }))
    }

    /// Deletes what was parked longer ago than this, now and every hour until `shutdown`.
    pub async fn sweep_parked(&self, kept: Duration, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            self.drop_parked(kept).await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(PARKED_LOOK_EVERY) => {}
            }
        }
    }

    async fn drop_parked(&self, kept: Duration) {
        let Ok(before) = self.clock.now().checked_sub(kept) else { return };
        for queue in [&self.rejected, &self.dead] {
            let name = queue.name();
            match queue.drop_parked_before(before).await {
                Ok(0) => {}
                Ok(dropped) => info!(
                    queue = name,
                    dropped,
                    ?kept,
                    "Retention: deleted {dropped} messages that were parked in {name} longer ago than {kept:?}"
                ),
                Err(error) => warn!(
                    queue = name,
                    error = format!("{error:#}"),
                    "Retention: old messages of {name} are not deleted from their file; this is tried again after a restart"
                ),
            }
        }
    }

    fn queue(&self, queue: WorkQueue) -> &Arc<Queue> {
        match queue {
            WorkQueue::Dispatch => &self.dispatch,
            WorkQueue::Undelivered => &self.undelivered,
            WorkQueue::Rejected => &self.rejected,
            WorkQueue::Dead => &self.dead,
        }
    }

    async fn put(&self, to: Address, mut message: Message) -> Result<(), PublishError> {
        message.headers.entry(topology::TYPE_HEADER.into()).or_insert_with(|| to.message_type().into());
        match to {
            Address::Live(partition) if partition < topology::PARTITIONS => {
                self.fanout.send(partition, &message);
                Ok(())
            }
            Address::Live(_) => Err(PublishError::Unroutable),
            Address::Alerts => self.dispatch.put_until_settled(message).await,
            // Confirmed in memory only: the timer's row in the store is the truth, its lease runs out
            // if this process dies, and the user is due again.
            Address::Undelivered => {
                self.undelivered.put(message).await;
                Ok(())
            }
            // Only queues of other programs are bound to it, and here there are none.
            Address::Outcomes => Ok(()),
            Address::Rejected => self.rejected.park(message).await,
            Address::Dead => self.dead.park(message).await,
        }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        let began = Instant::now();
        let outcome = match message.body.len() {
            len if len > BODY_BYTES_MAX => Err(PublishError::TooLarge { len }),
            _ => timeout_at(began + deadline, self.put(to, message))
                .await
                .unwrap_or(Err(PublishError::Unavailable(deadline))),
        };
        meter::published(to, &outcome, began.elapsed());
        outcome
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer> {
        Box::new(self.queue(queue).consumer(prefetch))
    }

    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError> {
        Ok(Box::new(QueueBrowser::new(Arc::clone(self.queue(queue)))))
    }

    async fn live(&self) -> Box<dyn LiveSource> {
        Box::new(self.fanout.source())
    }

    async fn depth(&self, queue: WorkQueue) -> Result<u64, PublishError> {
        Ok(self.queue(queue).depth())
    }

    fn confirms_what_is_recorded(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
