//! A pod's live frames: its own queue on its own connection, bound to the partitions that its users need.
//!
//! What holds here:
//! - The queue is exclusive, gone with the connection, and has a new name each time: an old name would be locked
//!   until the broker notices that the old connection is dead, and a server-made name cannot be had again.
//! - Following is remembered before it is asked for, so a reconnect binds everything, and then a gap is told.
//! - Reading never waits for the pod. What is too much becomes a gap, here and (`drop-head`) in the queue.
//!
//! Elsewhere: when a source is deaf, in [`super::hearing`].

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use rand::Rng;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    RabbitConfig,
    connect::Connector,
    convert,
    fault::Trouble,
    hearing::{Hearing, PROBE_EVERY, Probe},
    owned::{Owned, call},
    publisher::Publisher,
    route::{PULSE_TYPE, Route},
    short_string::short,
};
use crate::{
    broker::{
        DEAF_AFTER, LiveControl, LiveEvent, LiveSource, Message, PULSE_EVERY, PublishError,
        frames::Frames,
        topology::{PARTITIONS, POD_QUEUE_MESSAGES_MAX, live_exchange},
    },
    runtime::health::Fault,
};

/// Changes of what is followed that wait for the task. More wait with their callers.
const CHANGES_MAX: usize = 64;

pub(super) struct RabbitLive {
    shared: Arc<Shared>,
    changes: mpsc::Sender<Change>,
    _alive: DropGuard,
}

#[derive(Default)]
struct Shared {
    frames: Frames,
    followed: Mutex<BTreeSet<u16>>,
    /// Whether frames are being received.
    hears: AtomicBool,
    trouble: Trouble,
}

/// One partition is to be bound or not: as [`Shared::followed`] says when the task comes to it. Two callers may be
/// heard in either order, what is remembered has one.
struct Change {
    partition: u16,
    done: oneshot::Sender<()>,
}

impl RabbitLive {
    pub(super) fn start(config: Arc<RabbitConfig>, publisher: Arc<Publisher>, tasks: &TaskTracker) -> Self {
        let shared = Arc::new(Shared::default());
        let (changes, wanted) = mpsc::channel(CHANGES_MAX);
        let alive = CancellationToken::new();
        let consumer = short(&format!("{} / live", config.name));
        let task = Task { shared: Arc::clone(&shared), wanted, publisher, consumer, connected_before: false };
        let connector = Connector::new(config, "live").telling(task.shared.trouble.clone());
        tasks.spawn(task.run(connector, alive.clone()));
        Self { shared, changes, _alive: alive.drop_guard() }
    }
}

#[async_trait]
impl LiveSource for RabbitLive {
    async fn next(&mut self) -> Option<LiveEvent> {
        Some(self.shared.frames.next().await)
    }

    fn control(&self) -> Arc<dyn LiveControl> {
        Arc::new(Control { shared: Arc::clone(&self.shared), changes: self.changes.clone() })
    }
}

struct Control {
    shared: Arc<Shared>,
    changes: mpsc::Sender<Change>,
}

#[async_trait]
impl LiveControl for Control {
    async fn follow(&self, partition: u16) {
        if partition < PARTITIONS {
            self.shared.followed().insert(partition);
            // Also when it was followed already: whoever asked first may still be waiting for the binding.
            self.changed(partition).await;
        }
    }

    async fn unfollow(&self, partition: u16) {
        self.shared.followed().remove(&partition);
        self.changed(partition).await;
    }

    fn obstacle(&self) -> Option<Fault> {
        (!self.shared.hears.load(Ordering::Relaxed)).then(|| self.shared.trouble.cause())
    }
}

impl Control {
    /// Returns when it is done, or when there is no connection to do it on: then the next one begins with a gap.
    async fn changed(&self, partition: u16) {
        let (done, is_done) = oneshot::channel();
        if self.changes.send(Change { partition, done }).await.is_ok() {
            // Dropped unanswered when the connection or the source is lost.
            let _ = is_done.await;
        }
    }
}

impl Shared {
    fn followed(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        // No code that can panic runs under the lock.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    shared: Arc<Shared>,
    wanted: mpsc::Receiver<Change>,
    publisher: Arc<Publisher>,
    /// The tag of its consumer.
    consumer: ShortString,
    connected_before: bool,
}

type Asked = FuturesUnordered<BoxFuture<'static, (Probe, Instant, Result<(), PublishError>)>>;

impl Task {
    async fn run(mut self, mut connector: Connector, alive: CancellationToken) {
        loop {
            let Some(connection) = alive.run_until_cancelled(self.connect(&mut connector)).await else {
                return;
            };
            let ended = alive.run_until_cancelled(self.session(&connection, || connector.works())).await;
            self.shared.hears.store(false, Ordering::Relaxed);
            let Some(Err(error)) = ended else { return connection.close().await };
            connector
                .failed("The consumer of live messages starts again on another node, after a gap", error);
        }
    }

    async fn connect(&mut self, connector: &mut Connector) -> Owned {
        let mut connection = std::pin::pin!(connector.next());
        loop {
            tokio::select! {
                connection = &mut connection => return connection,
                // It is remembered, and the new connection begins with it and a gap.
                Some(change) = self.wanted.recv() => drop(change),
            }
        }
    }

    /// Receives on one connection until it fails; `works` is told when it hears.
    async fn session(
        &mut self,
        connection: &Owned,
        works: impl FnOnce(),
    ) -> anyhow::Result<std::convert::Infallible> {
        let channel = connection.lasting_channel().await?;
        let queue = format!("watchbell.pod.{}", Uuid::now_v7());
        declare(&channel, &queue).await?;
        let mut bound = self.shared.followed().clone();
        for partition in &bound {
            bind(&channel, &queue, *partition).await?;
        }
        // Without acks: the truth is in the store, and a frame that comes twice helps nobody.
        let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consume = channel.basic_consume(
            queue.as_str().into(),
            self.consumer.clone(),
            no_ack,
            FieldTable::default(),
        );
        let mut frames = call("consuming", consume).await?;
        if self.connected_before || !bound.is_empty() {
            self.shared.frames.gap();
        }
        self.connected_before = true;
        self.shared.hears.store(true, Ordering::Relaxed);
        works();

        let jitter = PROBE_EVERY.mul_f64(rand::rng().random_range(0.0..0.5));
        let mut hearing = Hearing::new(bound.iter().copied(), jitter, Instant::now());
        let mut asked = Asked::new();
        let mut tick = interval(PULSE_EVERY / 2);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                delivery = frames.next() => {
                    let delivery = delivery.context("the broker ended the consumer")??;
                    let (channel, tag) = (channel.id(), delivery.delivery_tag);
                    // A frame of ours can always be read; a stranger's is shown to nobody.
                    match connection.ledger().lock().take_unreadable(channel, tag) {
                        None => self.receive(delivery, &mut hearing),
                        Some(unreadable) => warn!(reason = unreadable.reason, "A live message cannot be read"),
                    }
                }
                Some(Change { partition, done }) = self.wanted.recv() => {
                    let wanted = self.shared.followed().contains(&partition);
                    if wanted && bound.insert(partition) {
                        bind(&channel, &queue, partition).await?;
                        hearing.follow(partition, Instant::now());
                    } else if !wanted && bound.remove(&partition) {
                        unbind(&channel, &queue, partition).await?;
                        hearing.unfollow(partition);
                    }
                    // Nobody waits if the caller was dropped.
                    let _ = done.send(());
                }
                Some((probe, began, outcome)) = asked.next() => match (probe, outcome) {
                    (Probe::Own, Err(PublishError::Unroutable)) => {
                        metrics::counter!("watchbell_broker_deaf_total").increment(1);
                        bail!("its queue is gone");
                    }
                    (_, outcome) => hearing.asked(probe, outcome.is_ok(), began, Instant::now()),
                },
                _ = tick.tick() => {
                    let now = Instant::now();
                    if let Some(why) = hearing.deaf(self.publisher.is_blocked(), now) {
                        metrics::counter!("watchbell_broker_deaf_total").increment(1);
                        bail!("deaf: {why}");
                    }
                    asked.extend(hearing.due(now).into_iter().map(|probe| self.ask(probe, &queue, now)));
                }
            }
        }
    }

    fn receive(&self, mut delivery: Delivery, hearing: &mut Hearing) {
        let probe = partition_of(delivery.exchange.as_str()).map_or(Probe::Own, Probe::Partition);
        if hearing.heard(probe, Instant::now()) {
            debug!("Live messages arrive again after a silence, which counts as a gap");
            self.shared.frames.gap();
        }
        let is_pulse = delivery.properties.kind().as_ref().map(ShortString::as_str) == Some(PULSE_TYPE);
        if !is_pulse {
            self.shared.frames.push(convert::message(&mut delivery));
        }
    }

    fn ask(
        &self,
        probe: Probe,
        queue: &str,
        began: Instant,
    ) -> BoxFuture<'static, (Probe, Instant, Result<(), PublishError>)> {
        let route = match probe {
            Probe::Own => Route::pulse_queue(queue),
            Probe::Partition(partition) => Route::pulse_partition(partition),
        };
        let publisher = Arc::clone(&self.publisher);
        async move {
            let pulse = Message::json("pulse".into(), "{}");
            (probe, began, publisher.publish(route, pulse, DEAF_AFTER).await)
        }
        .boxed()
    }
}

fn partition_of(exchange: &str) -> Option<u16> {
    let (_, partition) = exchange.rsplit_once('.')?;
    partition.parse().ok().filter(|partition| live_exchange(*partition) == exchange)
}

async fn declare(channel: &Channel, queue: &str) -> anyhow::Result<()> {
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(POD_QUEUE_MESSAGES_MAX));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    call("declaring the pod's queue", channel.queue_declare(queue.into(), options, arguments)).await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, partition: u16) -> anyhow::Result<()> {
    let exchange = live_exchange(partition).into();
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), exchange, "".into(), options, FieldTable::default());
    call("following a partition", bound).await
}

async fn unbind(channel: &Channel, queue: &str, partition: u16) -> anyhow::Result<()> {
    let exchange = live_exchange(partition).into();
    let unbound = channel.queue_unbind(queue.into(), exchange, "".into(), FieldTable::default());
    call("unfollowing a partition", unbound).await
}
