//! One work queue's deliveries on a supervised connection of their own.
//!
//! What holds here:
//! - Settling never waits for the broker: the answer goes to the task, which writes many at once.
//! - A delivery dropped unsettled is given back by the same way, so `Drop` does not block either.
//! - Answers belong to one connection. Those of a lost one go nowhere, because the broker delivers again.
//! - At the end consuming stops first; the connection stays until what was begun is settled.

use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future::join_all};
use lapin::{
    Acker, Connection,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    CALL_MAX, RabbitConfig,
    connect::{self, Connector, call},
    convert,
};
use crate::broker::{Consumer, Delivery, Message, Settle, WorkQueue};

/// Answers written to the socket at once.
const SETTLE_BATCH_MAX: usize = 256;

pub(super) struct RabbitConsumer {
    taken: mpsc::Receiver<Taken>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

struct Taken {
    message: Message,
    redelivered: bool,
    unsettled: Unsettled,
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
        let connector = Connector::new(config, queue.name());
        let task = Task { queue, prefetch, to_worker, shutdown: shutdown.clone() };
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
            let Some(Taken { message, redelivered, unsettled }) = taken else {
                // What nobody has begun goes back at once.
                self.taken.close();
                while self.taken.try_recv().is_ok() {}
                return None;
            };
            if !unsettled.answers.is_closed() {
                let settle = Box::new(unsettled);
                return Some(Delivery { message, redelivered, unreadable: None, settle });
            }
            // Its connection was lost before anybody began with it: it comes again.
        }
    }

    async fn close(self: Box<Self>) {
        let Self { taken, task, .. } = *self;
        drop(taken);
        if timeout(CALL_MAX, task).await.is_err() {
            warn!("A consumer was left before everything was settled; what was not comes again");
        }
    }
}

enum Answer {
    Ack,
    Requeue,
}

/// Unbounded, and yet at most `prefetch` long: there are no more unsettled deliveries than that.
type Answers = mpsc::UnboundedSender<(Acker, Answer)>;

struct Unsettled {
    /// Taken when it is settled.
    acker: Option<Acker>,
    answers: Answers,
}

impl Unsettled {
    fn answer(&mut self, answer: Answer) {
        if let Some(acker) = self.acker.take() {
            // Fails when the connection is lost: then it is delivered again.
            let _ = self.answers.send((acker, answer));
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

struct Task {
    queue: WorkQueue,
    prefetch: u16,
    to_worker: mpsc::Sender<Taken>,
    shutdown: CancellationToken,
}

impl Task {
    async fn run(self, mut connector: Connector) {
        let queue = self.queue.name();
        loop {
            let connection = tokio::select! {
                biased;
                () = self.stopped() => return,
                connection = connector.next() => connection,
            };
            match self.session(&connection).await {
                Ok(()) => return connect::close(&connection).await,
                Err(error) => warn!(queue, "Consuming {queue} begins anew on another node: {error:#}"),
            }
        }
    }

    /// Nobody wants more deliveries.
    async fn stopped(&self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.to_worker.closed() => {}
        }
    }

    /// Consumes on one connection until it fails, or, `Ok`, until it was told to stop and all is settled.
    async fn session(&self, connection: &Connection) -> anyhow::Result<()> {
        let channel = call("opening a channel", connection.create_channel()).await?;
        call("limiting deliveries", channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let queue = self.queue.name().into();
        let consume =
            channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let mut stream = call("consuming", consume).await?;

        let (answers, mut answered) = mpsc::unbounded_channel();
        // Ours is gone while stopping, so that the channel closes with the last unsettled delivery.
        let mut answers: Option<Answers> = Some(answers);
        let mut taken: Option<Taken> = None;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.stopped(), if answers.is_some() => {
                    answers = None;
                    taken = None;
                    let cancel = channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
                    call("stopping to consume", cancel).await?;
                    while let Some(Some(Ok(delivery))) = stream.next().now_or_never() {
                        batch.push((delivery.acker, Answer::Requeue));
                    }
                    settle(&mut batch).await?;
                }
                count = answered.recv_many(&mut batch, SETTLE_BATCH_MAX) => match count {
                    0 => return Ok(()),
                    _ => settle(&mut batch).await?,
                },
                room = self.to_worker.reserve(), if taken.is_some() => {
                    if let (Ok(room), Some(taken)) = (room, taken.take()) {
                        room.send(taken);
                    }
                }
                delivery = stream.next(), if taken.is_none() && answers.is_some() => {
                    // The broker cancels a consumer by ending the stream: the queue was deleted or has moved.
                    let mut delivery = delivery.context("the broker ended the consumer")??;
                    if let Some(answers) = &answers {
                        let unsettled = Unsettled { acker: Some(delivery.acker.clone()), answers: answers.clone() };
                        let message = convert::message(&mut delivery);
                        taken = Some(Taken { message, redelivered: delivery.redelivered, unsettled });
                    }
                }
            }
        }
    }
}

/// Writes the answers. Waits for the socket, not for the broker, which does not answer an answer.
async fn settle(batch: &mut Vec<(Acker, Answer)>) -> anyhow::Result<()> {
    let written = join_all(batch.drain(..).map(async |(acker, answer)| match answer {
        Answer::Ack => acker.ack(BasicAckOptions::default()).await,
        Answer::Requeue => acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
    }));
    let Ok(written) = timeout(CALL_MAX, written).await else {
        bail!("settling: the socket takes nothing");
    };
    // `false` says that the channel is gone or the delivery was settled, which is no error.
    written.into_iter().collect::<Result<Vec<bool>, _>>().context("settling")?;
    Ok(())
}
