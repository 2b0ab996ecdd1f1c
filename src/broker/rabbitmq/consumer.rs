//! One work queue's deliveries on a supervised connection of their own.
//!
//! What holds here:
//! - Settling never waits for the broker: the answer goes to the task, which writes many at once.
//! - A delivery dropped unsettled is given back by the same way, so `Drop` does not block either.
//! - Answers belong to one connection. Those of a lost one go nowhere, because the broker delivers again.
//!
//! Elsewhere: what happens on one connection, in [`super::session`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    CALL_MAX, CLOSE_MAX, RabbitConfig,
    connect::Connector,
    deliveries::{ReceivedDelivery, Task},
    ramp::Ramp,
    session::Session,
};
use crate::broker::{Consumer, Delivery, WorkQueue};

pub(super) struct RabbitConsumer {
    taken: mpsc::Receiver<ReceivedDelivery>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl RabbitConsumer {
    pub(super) fn start(
        config: Arc<RabbitConfig>,
        queue: WorkQueue,
        prefetch: u16,
        shutdown: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        // Zero would mean without bound.
        let prefetch = prefetch.max(1);
        let (to_worker, taken) = mpsc::channel(usize::from(prefetch));
        let connector = Connector::new(Arc::clone(&config), queue.name());
        let task = Task { config, queue, prefetch, to_worker, shutdown: shutdown.clone() };
        let task = tasks.spawn(consume(task, connector));
        Self { taken, shutdown, task }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let taken = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => None,
                taken = self.taken.recv() => taken,
            };
            let Some(ReceivedDelivery { message, redelivered, unreadable, cut, unsettled }) = taken else {
                // What nobody has begun goes back at once.
                self.taken.close();
                while self.taken.try_recv().is_ok() {}
                return None;
            };
            if !unsettled.is_lost() {
                let settle = Box::new(unsettled);
                return Some(Delivery { message, redelivered, unreadable, cut, settle });
            }
            // Its connection was lost before anybody began with it: it comes again.
        }
    }

    async fn close(self: Box<Self>) {
        let Self { taken, mut task, .. } = *self;
        drop(taken);
        if timeout(CALL_MAX + CLOSE_MAX, &mut task).await.is_err() {
            // Its connection ends with it.
            task.abort();
            warn!("A consumer ended before everything was settled; the rest will be delivered again");
        }
    }
}

/// Consumes one queue, connection after connection.
async fn consume(task: Task, mut connector: Connector) {
    let queue = task.queue.name();
    let mut ramp = Ramp::new(task.prefetch, task.queue.dead_letters());
    loop {
        let connection = tokio::select! {
            biased;
            () = task.stopped() => return,
            connection = connector.next() => connection,
        };
        let what = format!("The consumer of {queue} starts again on another node");
        let mut session = match Session::open(&task, &connection).await {
            Ok(session) => session,
            Err(error) => {
                connector.failed(&what, error);
                continue;
            }
        };
        match session.run(&mut ramp, || connector.works()).await {
            Ok(()) => return connection.close().await,
            Err(error) => {
                ramp.lost(session.held());
                connector.failed(&what, error);
            }
        }
    }
}
