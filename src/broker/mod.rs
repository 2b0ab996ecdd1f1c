//! The seam to the broker: what the workers need of RabbitMQ, and of the embedded broker in its place.
//!
//! What holds for every implementation (held by `tests/contract`):
//! - `publish` returns `Ok` only when the message is in a replicated queue, or, embedded, when its consumer has
//!   settled it, which it does after committing (I1). Until then the message may or may not have arrived: publish
//!   it again with the same `message_id`, everything downstream dedups (I2).
//! - A delivery that is dropped unsettled, or whose worker dies, is delivered again, with `redelivered` set.
//! - A consumer survives the broker's restart: `next` simply takes longer. Settling a delivery of a lost
//!   connection is harmless: it comes again.
//! - The live source never blocks a publisher and may lose frames; when it may have, it says so with
//!   [`LiveEvent::Gap`], and the pod heals from the store.
//!
//! Elsewhere: names and arguments in [`topology`], message bodies in `wire`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::runtime::{
    health::Fault,
    http::{Failure, FailureKind},
};

mod announcer;
pub mod embedded;
mod frames;
mod meter;
mod metric_table;
mod parking;
pub mod rabbitmq;
pub mod topology;

pub use self::{
    announcer::{Announcement, Announcer, ChangedAlert, InboxChange, ShownAlert},
    metric_table::METRICS,
    parking::{Refusal, parked},
    rabbitmq::Envelope,
};

/// The broker's half that every worker shares: cheap to clone, one per process.
pub type SharedBroker = Arc<dyn Broker>;

/// What the workers need of a broker.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes, persistent and mandatory, and waits for the confirm; survives a reconnect on the way by
    /// publishing again with the same id.
    ///
    /// # Errors
    /// [`PublishError`] after `deadline` at the latest. The message may still arrive.
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError>;

    /// Takes deliveries from a work queue, at most `prefetch` unsettled at a time.
    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer>;

    /// Looks through a queue for an operator. Competes with nobody for long: what is held goes back when it ends.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker cannot be reached.
    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError>;

    /// This pod's own source of live frames. It follows no partition yet.
    async fn live(&self) -> Box<dyn LiveSource>;

    /// How many messages wait in the queue (not counting unsettled ones).
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker cannot be asked.
    async fn depth(&self, queue: WorkQueue) -> Result<u64, PublishError>;

    /// Whether the broker can be reached and takes publishes at the moment.
    fn is_ready(&self) -> bool;

    /// Whether a publish is confirmed only when its alert is in the store. Then the store is what it waits for.
    fn confirms_what_is_recorded(&self) -> bool {
        false
    }

    /// Why it does not, when it does not: what `/readyz` shows.
    fn obstacle(&self) -> Option<Fault> {
        (!self.is_ready()).then(|| Fault::passing("the broker takes no publishes"))
    }

    /// Ends every connection in order, within a few seconds: the last thing that a process does with it. What somebody still
    /// publishes or consumes fails from here on.
    async fn close(&self) {}

    /// How many attempts to connect, and publishes, have failed since the process began because it was away.
    fn failed_calls(&self) -> u64 {
        0
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// The alerts fanout, where producers publish too.
    Alerts,
    /// One partition of the live fanout. Confirmed by the exchange; nobody may be listening.
    Live(u16),
    /// Alerts of users that are due for their next channel.
    Undelivered,
    /// Refused input, kept with its reason (I11).
    Rejected,
    /// Poison: delivered too often.
    Dead,
    /// What became of alerts, for producers. Confirmed by the queues that they have bound; there may be none.
    Outcomes,
}

/// A queue that work is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkQueue {
    /// Every alert once, for dispatch.
    Dispatch,
    /// For the senders of fallback.
    Undelivered,
    /// For the operator.
    Rejected,
    /// For the operator.
    Dead,
}

impl WorkQueue {
    /// The longest body of a delivery from this queue that a consumer hands on whole, in bytes. Longer ones are cut to their
    /// beginning while they arrive ([`Delivery::cut`]), so that whoever may publish cannot fill the memory of a worker: a
    /// broker carries bodies of up to 128 MiB. Whoever browses a queue sees them whole, one at a time.
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::Dispatch => PUBLISHED_BYTES_MAX,
            Self::Undelivered | Self::Rejected | Self::Dead => BODY_BYTES_MAX,
        }
    }
}

/// A message as it crosses the broker.
#[derive(Clone)]
pub struct Message {
    /// What everything downstream dedups on.
    pub message_id: String,
    /// `application/json` unless a producer said otherwise.
    pub content_type: String,
    /// Flat text headers only, so that streams and AMQP 1.0 can carry them.
    pub headers: BTreeMap<String, String>,
    /// At most [`BODY_BYTES_MAX`] when it is published; a producer's may be longer.
    pub body: Bytes,
    /// What else it came with, which goes along when it is published again.
    pub envelope: Envelope,
}

/// What is read of them is the same; envelopes are not looked into.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.message_id == other.message_id
            && self.content_type == other.content_type
            && self.headers == other.headers
            && self.body == other.body
    }
}

/// The longest body carried, in bytes: a live frame holds an alert and up to a thousand recipients.
pub const BODY_BYTES_MAX: usize = 512 * 1024;

/// The longest body of what producers publish, in bytes: an alert or an event of 64 KiB, or a CloudEvent with one and 16 KiB of
/// attributes; and some, so that what is a little too long is parked whole.
pub const PUBLISHED_BYTES_MAX: usize = 96 * 1024;

/// What a delivery of such a body takes at most, with its properties, in bytes: those are one frame, of at most 128 KiB.
pub const PUBLISHED_DELIVERY_BYTES_MAX: usize = PUBLISHED_BYTES_MAX + 128 * 1024;

/// How often each live partition is pulsed.
pub const PULSE_EVERY: Duration = Duration::from_secs(1);

/// A live source that hears no pulse for this long is deaf, even with its connection up.
pub const DEAF_AFTER: Duration = Duration::from_secs(3);

impl Message {
    /// A JSON message without headers.
    pub fn json(message_id: String, body: impl Into<Bytes>) -> Self {
        Self {
            message_id,
            content_type: "application/json".into(),
            headers: BTreeMap::new(),
            body: body.into(),
            envelope: Envelope::default(),
        }
    }
}

/// Bodies hold what people are told: they do not print (I12).
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a publish was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not within the deadline: down, blocked by an alarm, or behind. Come back later.
    #[error("the broker did not confirm within {0:?}")]
    Unavailable(Duration),
    /// A queue that a producer has bound to the outcomes takes no more; others may have taken it. Never for other addresses.
    #[error("a queue refused the message: it is full")]
    Refused,
    /// The message reached no queue: the topology is not what it should be.
    #[error("no queue took the message: run `watchbell topology apply`")]
    Unroutable,
    /// Never accepted, however often it is tried.
    #[error("the message is {len} bytes long, at most {BODY_BYTES_MAX} are carried")]
    TooLarge {
        /// Bytes given.
        len: usize,
    },
}

impl Failure for PublishError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable(_) | Self::Refused | Self::Unroutable => FailureKind::BrokerUnavailable,
            Self::TooLarge { .. } => FailureKind::TooLarge,
        }
    }
}

/// Takes deliveries from one queue. Owned by one task.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery. Cancel-safe: dropped early, it takes nothing. `None` when the broker was closed for
    /// good by this process's shutdown.
    async fn next(&mut self) -> Option<Delivery>;

    /// Takes no more, and waits until the broker was told of everything that was settled, for a few seconds at most.
    /// For a process that ends right after; deliveries that are still held go back.
    async fn close(self: Box<Self>) {
        // Where settling needs no more than its own `await`, there is nothing to wait for.
    }
}

/// Takes one message after the other, as long as there are any. Unlike a [`Consumer`]'s, what is dropped unsettled is
/// held until the browser has ended, so that each is seen once, wherever in its queue a broker puts what comes back.
#[async_trait]
pub trait Browser: Send {
    /// The next one, or `None` when no other waits. At most one body is on its way at a time.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker does not answer. Everything unsettled is back in the queue then.
    async fn take(&mut self) -> Result<Option<Delivery>, PublishError>;

    /// Ends it: the broker was told of everything that was settled, and all else is back in the queue.
    async fn close(self: Box<Self>);
}

/// One delivery, to be settled once. Dropped unsettled, it goes back to the queue.
pub struct Delivery {
    /// What was published.
    pub message: Message,
    /// Somebody took it before and did not settle it.
    pub redelivered: bool,
    /// Its properties or its routing could not be read as they came, so [`Self::message`] has a replacement in
    /// their place: such a delivery is parked, whatever its body says (I11). Always `None` from the embedded broker.
    pub unreadable: Option<Unreadable>,
    /// Its body is longer than one of its queue may be ([`WorkQueue::body_bytes_max`]), so [`Self::message`] has only the
    /// beginning: such a delivery is parked, too. Always `None` from the embedded broker.
    pub cut: Option<CutBody>,
    /// Gives the answer to the broker.
    pub settle: Box<dyn Settle>,
}

/// What about a delivery could not be read, for whoever parks it. The broker takes what our parser refuses: a short
/// string that is not UTF-8, for example.
#[derive(Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// In plain words, without what anybody wrote in it.
    pub reason: String,
    /// The message's content header (class, weight, body size, property flags, properties) as the broker sent it.
    pub raw: Bytes,
}

/// What is known of a body of which only the beginning was kept: it was never in memory as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutBody {
    /// How long it was.
    pub bytes: u64,
    /// The SHA-256 of all of it, in hexadecimal.
    pub sha256: String,
}

/// Headers hold what people wrote: they do not print (I12).
impl std::fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unreadable")
            .field("reason", &self.reason)
            .field("raw_bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("message", &self.message).finish_non_exhaustive()
    }
}

/// Settles one delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    /// It is done with.
    async fn ack(self: Box<Self>);
    /// It could not be done now: back to the queue, counted against the delivery limit.
    async fn requeue(self: Box<Self>);
}

/// A pod's own source of live frames. Owned by one task, except [`LiveControl`].
#[async_trait]
pub trait LiveSource: Send {
    /// The next event. Cancel-safe.
    async fn next(&mut self) -> Option<LiveEvent>;
    /// The half that other tasks use.
    fn control(&self) -> Arc<dyn LiveControl>;
}

/// Chooses what a live source follows.
#[async_trait]
pub trait LiveControl: Send + Sync {
    /// Follows a partition. When this returns, frames published from now on arrive, or a gap is told of: so
    /// follow first, then read the store.
    async fn follow(&self, partition: u16);
    /// Follows it no longer.
    async fn unfollow(&self, partition: u16);
    /// Why nothing is heard at the moment, when nothing is. Whoever relies on frames heals from the store meanwhile.
    fn obstacle(&self) -> Option<Fault> {
        None
    }
}

/// What a live source tells.
#[derive(Debug)]
pub enum LiveEvent {
    /// A frame of a partition that is followed.
    Frame(Message),
    /// Frames may have been lost before this point (a reconnect, an overflow, deafness): compare every session
    /// with the store.
    Gap,
}
