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
use lapin::Acker;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{CALL_MAX, CLOSE_MAX, RabbitConfig, connect::Connector, ramp::Ramp, session::Session};
use crate::broker::{Consumer, Delivery, Message, Settle, Unreadable, WorkQueue};

pub(super) struct RabbitConsumer {
    taken: mpsc::Receiver<Taken>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// A delivery on its way to the worker.
pub(super) struct Taken {
    pub(super) message: Message,
    pub(super) redelivered: bool,
    pub(super) unreadable: Option<Unreadable>,
    pub(super) unsettled: Unsettled,
}

impl RabbitConsumer {
    pub(super) fn start(
        config: Arc<RabbitConfig>,
        queue: WorkQueue,
        prefetch: u16,
        shutdown: CancellationToken,
    ) -> Self {
        // Zero would mean without bound.
        let prefetch = prefetch.max(1);
        let (to_worker, taken) = mpsc::channel(usize::from(prefetch));
        let connector = Connector::new(Arc::clone(&config), queue.name());
        let task = Task { config, queue, prefetch, to_worker, shutdown: shutdown.clone() };
        let task = tokio::spawn(task.run(connector));
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
            let Some(Taken { message, redelivered, unreadable, unsettled }) = taken else {
                // What nobody has begun goes back at once.
                self.taken.close();
                while self.taken.try_recv().is_ok() {}
                return None;
            };
            if !unsettled.answers.is_closed() {
                let settle = Box::new(unsettled);
                return Some(Delivery { message, redelivered, unreadable, settle });
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

/// What becomes of a delivery.
pub(super) enum Answer {
    Ack,
    Requeue,
}

/// An answer on its way to the broker: the delivery's tag, what gives the answer, and which it is.
pub(super) type Answered = (u64, Acker, Answer);

/// Unbounded, and yet at most `prefetch` long: there are no more unsettled deliveries than that.
pub(super) type Answers = mpsc::UnboundedSender<Answered>;

/// Settles one delivery, once.
pub(super) struct Unsettled {
    tag: u64,
    /// Taken when it is settled.
    acker: Option<Acker>,
    answers: Answers,
}

impl Unsettled {
    pub(super) fn new(tag: u64, acker: Acker, answers: Answers) -> Self {
        Self { tag, acker: Some(acker), answers }
    }

    fn answer(&mut self, answer: Answer) {
        if let Some(acker) = self.acker.take() {
            // Fails when the connection is lost: then it is delivered again.
            let _ = self.answers.send((self.tag, acker, answer));
        }
    }
}

#[async_trait]
impl Settle for Unsettled {
    async fn ack(mut self: Box<Self>) {
        self.answer(Answer::Ack);
    }

    async fn requeue(mut self: Box<Self>) {
        self.answer(Answer::Requeue);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.answer(Answer::Requeue);
    }
}

/// Consumes one queue, connection after connection.
pub(super) struct Task {
    pub(super) config: Arc<RabbitConfig>,
    pub(super) queue: WorkQueue,
    pub(super) prefetch: u16,
    pub(super) to_worker: mpsc::Sender<Taken>,
    pub(super) shutdown: CancellationToken,
}

impl Task {
    async fn run(self, mut connector: Connector) {
        let queue = self.queue.name();
        let mut ramp = Ramp::new(self.prefetch, self.queue.dead_letters());
        loop {
            let connection = tokio::select! {
                biased;
                () = self.stopped() => return,
                connection = connector.next() => connection,
            };
            let mut session = match Session::open(&self, &connection).await {
                Ok(session) => session,
                Err(error) => {
                    warn!(queue, "The consumer of {queue} starts again on another node: {error:#}");
                    continue;
                }
            };
            match session.run(&mut ramp).await {
                Ok(()) => return connection.close().await,
                Err(error) => {
                    ramp.lost(session.held());
                    warn!(queue, "The consumer of {queue} starts again on another node: {error:#}");
                }
            }
        }
    }

    /// Nobody wants more deliveries.
    pub(super) async fn stopped(&self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.to_worker.closed() => {}
        }
    }
}
