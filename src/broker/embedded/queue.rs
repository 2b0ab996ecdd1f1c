//! One work queue in memory: competing consumers, redelivery at the old place, a delivery limit.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use super::parked::{ParkedFile, ParkedMessage};
use crate::{
    broker::{Consumer, Delivery, Message, PublishError, Settle, WorkQueue},
    domain::Untrusted,
    runtime::Clock,
};

/// Bytes parked in one queue, as it holds them in memory. Beyond that refusing input is itself refused, as beyond
/// [`super::PARKED_MESSAGES_MAX`].
pub(super) const PARKED_BYTES_MAX: usize = 64 * 1024 * KIB;
const KIB: usize = 1024;

/// How long to wait before trying again to park a message when the disk refused.
const PARK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Queue {
    which: WorkQueue,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// A permit for each message, waiting or unsettled.
    room: Arc<Semaphore>,
    /// A permit for each KiB of what is parked.
    parked_room: Arc<Semaphore>,
    dead: Option<Arc<Queue>>,
    file: OnceLock<ParkedFile>,
    clock: Clock,
}

/// In order of their place. A message that comes back takes the place it had.
#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    places: u64,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    message: Message,
    deliveries: i64,
    /// Somebody waits until this is settled.
    settled: Option<oneshot::Sender<()>>,
    parked: Option<Parked>,
    /// None for what was parked before this process began, should there be too much of it.
    _room: Vec<OwnedSemaphorePermit>,
}

#[derive(Debug, Clone, Copy)]
struct Parked {
    at: Timestamp,
    /// Its number in the file, if there is one.
    number: Option<u64>,
}

impl Queue {
    pub(super) fn new(
        which: WorkQueue,
        messages_max: usize,
        dead: Option<Arc<Self>>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            which,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            room: Arc::new(Semaphore::new(messages_max)),
            parked_room: Arc::new(Semaphore::new(PARKED_BYTES_MAX / KIB)),
            dead,
            file: OnceLock::new(),
            clock,
        })
    }

    /// Takes over a file and what was parked in it. Called once, before anything else.
    pub(super) fn fill(&self, file: ParkedFile, messages: Vec<ParkedMessage>) {
        for ParkedMessage { number, parked_at, message } in messages {
            let room = [
                Arc::clone(&self.room).try_acquire_owned(),
                Arc::clone(&self.parked_room).try_acquire_many_owned(kib(&message)),
            ];
            let parked = Parked { at: parked_at, number: Some(number) };
            self.enqueue(message, None, Some(parked), room.into_iter().flatten().collect());
        }
        // It is called once.
        let _ = self.file.set(file);
    }

    /// Returns when the message is in the queue.
    pub(super) async fn put(&self, message: Message) {
        let room = permits(&self.room, 1).await;
        self.enqueue(message, None, None, vec![room]);
    }

    /// Returns when a consumer has settled the message. Dropped early, the message stays in the queue.
    pub(super) async fn put_until_settled(&self, message: Message) -> Result<(), PublishError> {
        let room = permits(&self.room, 1).await;
        let (settled, until_settled) = oneshot::channel();
        self.enqueue(message, Some(settled), None, vec![room]);
        // An entry is dropped without an answer only with the whole broker.
        until_settled.await.map_err(|_| PublishError::Unavailable(Duration::ZERO))
    }

    /// Returns when the message is in the file, and on disk. A disk that refuses shows as the caller's deadline.
    pub(super) async fn park(self: &Arc<Self>, message: Message) -> Result<(), PublishError> {
        let room = vec![permits(&self.room, 1).await, permits(&self.parked_room, kib(&message)).await];
        let queue = Arc::clone(self);
        // In a task, so that a caller that gives up leaves file and memory agreeing.
        let parked = tokio::spawn(async move {
            loop {
                let at = queue.clock.now();
                match queue.write(&message, at).await {
                    Ok(number) => {
                        return queue.enqueue(message, None, Some(Parked { at, number }), room);
                    }
                    Err(error) => warn!(queue = queue.which.name(), %error, "A message could not be parked"),
                }
                tokio::time::sleep(PARK_AGAIN_AFTER).await;
            }
        });
        parked.await.map_err(|_| PublishError::Unavailable(Duration::ZERO))
    }

    /// Deletes what was parked before then, unless somebody has it in hand. Answers how much.
    ///
    /// # Errors
    /// The file cannot be written: what was deleted is back after a restart, and is deleted then.
    pub(super) async fn drop_parked_before(&self, before: Timestamp) -> anyhow::Result<u64> {
        let (mut numbers, mut dropped) = (BTreeSet::new(), 0);
        self.waiting().entries.retain(|entry| match entry.parked {
            Some(Parked { at, number }) if at < before => {
                numbers.extend(number);
                dropped += 1;
                false
            }
            _ => true,
        });
        if let (Some(file), false) = (self.file.get(), numbers.is_empty()) {
            file.forget(numbers, self.clock.now()).await?;
        }
        Ok(dropped)
    }

    pub(super) fn name(&self) -> &'static str {
        self.which.name()
    }

    pub(super) fn depth(&self) -> u64 {
        self.waiting().entries.len() as u64
    }

    pub(super) fn consumer(self: &Arc<Self>, prefetch: u16) -> QueueConsumer {
        let prefetch = Arc::new(Semaphore::new(usize::from(prefetch.max(1))));
        QueueConsumer { queue: Arc::clone(self), prefetch }
    }

    /// The first that waits: its message, whether somebody had it before, and what settles it.
    pub(super) fn take(self: &Arc<Self>) -> Option<(Message, bool, Unsettled)> {
        let mut entry = self.waiting().entries.pop_front()?;
        let redelivered = entry.deliveries > 0;
        entry.deliveries += 1;
        let message = entry.message.clone();
        Some((message, redelivered, Unsettled { entry: Some(entry), queue: Arc::clone(self) }))
    }

    async fn write(&self, message: &Message, at: Timestamp) -> std::io::Result<Option<u64>> {
        match self.file.get() {
            None => Ok(None),
            Some(file) => file.append(message, at).await.map(Some),
        }
    }

    fn enqueue(
        &self,
        message: Message,
        settled: Option<oneshot::Sender<()>>,
        parked: Option<Parked>,
        room: Vec<OwnedSemaphorePermit>,
    ) {
        let mut waiting = self.waiting();
        waiting.places += 1;
        let place = waiting.places;
        waiting.entries.push_back(Entry { place, message, deliveries: 0, settled, parked, _room: room });
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Back to its place, or, delivered too often, on to the dead ones.
    fn give_back(self: &Arc<Self>, entry: Entry) {
        match (&self.dead, tokio::runtime::Handle::try_current()) {
            (Some(dead), Ok(runtime)) if entry.deliveries >= self.which.delivery_limit() => {
                let (dead, queue) = (Arc::clone(dead), self.which.name());
                runtime.spawn(async move {
                    let id = Untrusted(&entry.message.message_id);
                    warn!(
                        queue,
                        message_id = %id,
                        "{id} was parked in watchbell.dead: it was delivered too often"
                    );
                    // It keeps its room here until it has one there: too many dead hold up the living,
                    // which is seen, where dropping them would not be.
                    if dead.park(entry.message).await.is_ok()
                        && let Some(settled) = entry.settled
                    {
                        // Nobody listens if the publisher's deadline has passed.
                        let _ = settled.send(());
                    }
                });
            }
            _ => {
                let mut waiting = self.waiting();
                let at = waiting.entries.partition_point(|other| other.place < entry.place);
                waiting.entries.insert(at, entry);
                drop(waiting);
                self.arrived.notify_one();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for so much of a queue.
async fn permits(room: &Arc<Semaphore>, many: u32) -> OwnedSemaphorePermit {
    // Never closed, and if it were: nothing would ever be taken again.
    match Arc::clone(room).acquire_many_owned(many).await {
        Ok(permit) => permit,
        Err(_) => std::future::pending().await,
    }
}

/// What a message takes of the room for parked ones; its headers are bounded by their frame.
fn kib(message: &Message) -> u32 {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let kib = (message.body.len() + headers).div_ceil(KIB).clamp(1, PARKED_BYTES_MAX / KIB);
    u32::try_from(kib).unwrap_or(u32::MAX)
}

pub(super) struct QueueConsumer {
    queue: Arc<Queue>,
    prefetch: Arc<Semaphore>,
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let prefetch = Arc::clone(&self.prefetch).acquire_owned().await.ok()?;
        loop {
            // Registered before looking, so that what arrives in between wakes us.
            let arrived = self.queue.arrived.notified();
            match self.queue.take() {
                None => arrived.await,
                Some((message, redelivered, unsettled)) => {
                    let settle = Box::new(Prefetched { unsettled, _prefetch: prefetch });
                    return Some(Delivery { message, redelivered, unreadable: None, cut: None, settle });
                }
            }
        }
    }
}

/// One of as many as its consumer may hold.
struct Prefetched {
    unsettled: Unsettled,
    _prefetch: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Prefetched {
    async fn ack(mut self: Box<Self>) {
        self.unsettled.ack().await;
    }

    async fn requeue(self: Box<Self>) {
        // Dropping is going back.
    }
}

/// Taken from the queue. Dropped, it goes back.
pub(super) struct Unsettled {
    /// Taken when it is settled.
    entry: Option<Entry>,
    queue: Arc<Queue>,
}

impl Unsettled {
    pub(super) async fn ack(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if let (Some(Parked { number: Some(number), .. }), Some(file)) = (entry.parked, self.queue.file.get())
            && let Err(error) = file.settle(number).await
        {
            warn!(queue = self.queue.which.name(), %error, "A message that was settled will be delivered again after a restart");
        }
        if let Some(settled) = entry.settled {
            // Nobody listens if the publisher's deadline has passed.
            let _ = settled.send(());
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.queue.give_back(entry);
        }
    }
}
