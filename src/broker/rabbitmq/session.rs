//! Consuming one queue on one connection, until it fails or nobody wants more.
//!
//! What holds here:
//! - No step waits for the broker where it could not be told to stop, and settlements go on whatever else is going
//!   on: beginning to consume is one future among others, because it may take a minute.
//! - The broker may deliver as much as the [`Ramp`] says; the worker has never more than its prefetch, whatever the
//!   broker still counts to an earlier, smaller window.
//! - One acknowledgement stands for all that it may stand for ([`super::settling`]).
//! - What we hold is compared with what the wire says ([`Watchdog`]). A difference ends the session.
//! - At the end consuming stops first; the connection stays until what was begun is settled.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::pin,
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all, pending},
};
use jiff::Timestamp;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::warn;

use super::{
    CALL_MAX, convert,
    deliveries::{PendingSettlement, ReceivedDelivery, Settlement, SettlementSender, Task, Unsettled},
    owned::{Owned, call},
    ramp::Ramp,
    settling::acknowledged_up_to,
    short_string::short,
    watchdog::{LOOK_EVERY, Watchdog},
};
use crate::runtime::log_limit::LogLimit;

/// A producer may send any number of messages that nobody can use. Each is counted.
static TOO_LONG: LogLimit = LogLimit::per_minute(20);
static UNREADABLE: LogLimit = LogLimit::per_minute(20);

/// Answers written to the socket at once.
const SETTLE_BATCH_MAX: usize = 256;

/// The longest wait for the broker to begin delivering. A quorum queue without a leader answers after 65 s, with an
/// error; an election takes some seconds. A node that hangs is found out long before, by [`patiently`].
const CONSUME_MAX: Duration = Duration::from_secs(75);

pub(super) struct Session<'a> {
    task: &'a Task,
    connection: &'a Owned,
    /// Deliveries and their settlements.
    channel: Channel,
    /// To ask whether the node answers while `channel` waits for it.
    questions: Channel,
    /// Delivered and not settled on the wire.
    held: BTreeSet<u64>,
    /// Those of them that the worker was not given yet. Everything that has come is here or with the worker, or the
    /// [`Watchdog`] would miss it; the broker sends no more than its window, and what an earlier one still owes.
    waiting: VecDeque<ReceivedDelivery>,
    /// Consumers that were begun on this connection.
    consumers: u32,
    /// Delivery tags from this one on belong to the last of them.
    first_tag: u64,
    last_tag: u64,
}

/// Beginning to consume, under way.
type Beginning = BoxFuture<'static, anyhow::Result<Consumer>>;

impl<'a> Session<'a> {
    pub(super) async fn open(task: &'a Task, connection: &'a Owned) -> anyhow::Result<Self> {
        let (channel, questions) = (connection.lasting_channel().await?, connection.lasting_channel().await?);
        connection.ledger().lock().cut_bodies_beyond(task.queue.body_bytes_max());
        let (held, waiting) = (BTreeSet::new(), VecDeque::new());
        Ok(Self {
            task,
            connection,
            channel,
            questions,
            held,
            waiting,
            consumers: 0,
            first_tag: 0,
            last_tag: 0,
        })
    }

    /// Deliveries that go back to the queue when the connection ends now.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Consumes until it fails, `works` being told when that has begun; or, `Ok`, until it was told to stop and all is settled.
    pub(super) async fn run(&mut self, ramp: &mut Ramp, works: impl FnOnce()) -> anyhow::Result<()> {
        let task = self.task;
        let prefetch = usize::from(task.prefetch);
        let (answers, mut answered) = mpsc::unbounded_channel();
        // Ours is gone while stopping, so that the channel closes with the last unsettled delivery.
        let mut answers: Option<SettlementSender> = Some(answers);
        let mut beginning = Some(self.begin(ramp.window()));
        let mut stream: Option<Consumer> = None;
        let mut batch = Vec::new();
        let mut works = Some(works);
        let mut watchdog = Watchdog::default();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let with_worker = self.held.len() - self.waiting.len();
            tokio::select! {
                biased;
                () = task.stopped(), if answers.is_some() => {
                    self.waiting.clear();
                    beginning = None;
                    if let Some(consumer) = stream.take() {
                        for delivery in self.cancel(consumer).await? {
                            batch.push((delivery.delivery_tag, delivery.acker.clone(), Settlement::Requeue));
                        }
                    }
                    self.settle(&mut batch).await?;
                    answers = None;
                }
                count = answered.recv_many(&mut batch, SETTLE_BATCH_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.settle(&mut batch).await?;
                    ramp.settled(count);
                }
                _ = look.tick() => self.look(&mut watchdog)?,
                room = task.to_worker.reserve(), if !self.waiting.is_empty() && with_worker < prefetch => {
                    if let (Ok(room), Some(taken)) = (room, self.waiting.pop_front()) {
                        room.send(taken);
                    }
                }
                begun = wait_for(&mut beginning) => {
                    beginning = None;
                    stream = Some(begun?);
                    if let Some(works) = works.take() {
                        works();
                    }
                }
                delivery = next_of(&mut stream) => {
                    // The broker cancels a consumer by ending the stream: the queue was deleted or has moved.
                    let delivery = delivery.context("the broker ended the consumer")??;
                    if let Some(answers) = &answers {
                        self.take(delivery, answers);
                        if ramp.may_widen() && self.has_all(ramp.window()) {
                            if let Some(consumer) = stream.take() {
                                for delivery in self.cancel(consumer).await? {
                                    self.take(delivery, answers);
                                }
                            }
                            beginning = Some(self.begin(ramp.widen()));
                        }
                    }
                }
            }
        }
    }

    /// Whether the consumer has delivered all that it may until we settle something. Only then nothing of it can be
    /// on its way, and it can be ended without a loss: what arrives at RabbitMQ's channel for a consumer that is
    /// gone goes back to the queue, and is counted as delivered.
    fn has_all(&self, window: u16) -> bool {
        self.held.range(self.first_tag..).count() == usize::from(window)
    }

    /// Asks for deliveries, at most `window` without a settlement.
    fn begin(&mut self, window: u16) -> Beginning {
        self.consumers += 1;
        self.first_tag = self.last_tag + 1;
        let queue = self.task.queue.name();
        // Whoever reads RabbitMQ's list of consumers sees whose it is; and an answer that comes late is ours to know.
        let tag = format!("{} / {queue} / {}", self.task.config.name, self.consumers);
        let (channel, questions) = (self.channel.clone(), self.questions.clone());
        async move {
            call("limiting deliveries", channel.basic_qos(window, BasicQosOptions::default())).await?;
            let options = BasicConsumeOptions::default();
            let consume = channel.basic_consume(queue.into(), short(&tag), options, FieldTable::default());
            patiently(consume, &questions).await
        }
        .boxed()
    }

    /// Ends a consumer; gives what had come until then. What it delivered can still be settled.
    async fn cancel(&self, mut consumer: Consumer) -> anyhow::Result<Vec<Delivery>> {
        let cancel = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        call("stopping to consume", cancel).await?;
        let mut rest = Vec::new();
        while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
            rest.push(delivery);
        }
        Ok(rest)
    }

    fn take(&mut self, mut delivery: Delivery, answers: &SettlementSender) {
        let tag = delivery.delivery_tag;
        self.held.insert(tag);
        self.last_tag = tag;
        let (unreadable, cut) = {
            let mut ledger = self.connection.ledger().lock();
            let channel = self.channel.id();
            (ledger.take_unreadable(channel, tag), ledger.take_cut(channel, tag))
        };
        let queue = self.task.queue.name();
        if let Some(cut) = &cut {
            metrics::counter!("watchbell_broker_cut_total", "queue" => queue).increment(1);
            if let Some(left_out) = TOO_LONG.admit(Timestamp::now()) {
                warn!(
                    queue,
                    bytes = cut.bytes,
                    left_out,
                    "A message of {queue} is too long: only its beginning is kept"
                );
            }
        }
        if let Some(unreadable) = &unreadable {
            metrics::counter!("watchbell_broker_unreadable_total", "queue" => queue).increment(1);
            if let Some(left_out) = UNREADABLE.admit(Timestamp::now()) {
                warn!(queue, reason = unreadable.reason, left_out, "A message of {queue} cannot be read");
            }
        }
        self.waiting.push_back(ReceivedDelivery {
            unsettled: Unsettled::new(tag, delivery.acker.clone(), answers.clone()),
            redelivered: delivery.redelivered,
            message: convert::message(&mut delivery),
            unreadable,
            cut,
        });
    }

    /// Writes the answers, as few frames as say the same. Waits for the socket, not for the broker, which does not answer
    /// an answer.
    async fn settle(&mut self, batch: &mut Vec<PendingSettlement>) -> anyhow::Result<()> {
        let is_ack = |answer: &Settlement| matches!(answer, Settlement::Ack);
        let tags: BTreeSet<u64> = batch.iter().map(|(tag, ..)| *tag).collect();
        let acknowledged = batch.iter().filter(|(.., answer)| is_ack(answer)).map(|(tag, ..)| *tag).collect();
        let up_to = {
            let ledger = self.connection.ledger().lock();
            let (wire, held) = (ledger.unsettled_in_order(self.channel.id()), self.held.iter().copied());
            acknowledged_up_to(&acknowledged, wire, held)
        };
        let is_covered = |tag| up_to.is_some_and(|up_to| tag < up_to);
        let answers = batch.drain(..).filter(|(tag, _, answer)| !(is_ack(answer) && is_covered(*tag)));
        let written = join_all(answers.map(async |(tag, acker, answer)| match answer {
            Settlement::Ack => acker.ack(BasicAckOptions { multiple: up_to == Some(tag) }).await,
            Settlement::Requeue => acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
        }));
        let Ok(written) = timeout(CALL_MAX, written).await else {
            bail!("settling: the socket takes nothing");
        };
        // `false` says that the channel is gone or the delivery was settled, which is no error.
        written.into_iter().collect::<Result<Vec<bool>, _>>().context("settling")?;
        for tag in tags {
            self.held.remove(&tag);
        }
        Ok(())
    }

    fn look(&self, watchdog: &mut Watchdog) -> anyhow::Result<()> {
        let unsettled = self.connection.ledger().lock().unsettled(self.channel.id());
        if let Err(difference) = watchdog.look(&unsettled, &self.held, Instant::now()) {
            let queue = self.task.queue.name();
            metrics::counter!("watchbell_broker_unaccounted_total", "queue" => queue).increment(1);
            bail!(difference);
        }
        Ok(())
    }
}

/// Waits for a consumer as long as the node answers other questions: an election takes its time, and on another
/// node it would not be shorter. A node that answers nothing is left.
async fn patiently(
    consume: impl Future<Output = lapin::Result<Consumer>>,
    questions: &Channel,
) -> anyhow::Result<Consumer> {
    let mut consume = pin!(timeout(CONSUME_MAX, consume));
    loop {
        tokio::select! {
            begun = &mut consume => match begun {
                Ok(begun) => return begun.context("consuming"),
                Err(_) => bail!("consuming: no answer within {CONSUME_MAX:?}"),
            },
            () = sleep(CALL_MAX) => {
                // This question needs no permission and changes nothing: nobody consumes on that channel.
                let question = questions.basic_qos(1, BasicQosOptions::default());
                call("consuming: asking whether the node answers anything", question).await?;
            }
        }
    }
}

/// For ever, if nothing is beginning.
async fn wait_for(beginning: &mut Option<Beginning>) -> anyhow::Result<Consumer> {
    match beginning {
        Some(beginning) => beginning.await,
        None => pending().await,
    }
}

/// For ever, if nothing is consumed.
async fn next_of(stream: &mut Option<Consumer>) -> Option<lapin::Result<Delivery>> {
    match stream {
        Some(stream) => stream.next().await,
        None => pending().await,
    }
}
