//! Dispatch: every alert once, into the inboxes of everybody it is for, and onto their screens.
//!
//! Alerts are **taken** from the durable queue, **wait** for the turn of their tenant, and are **prepared** (their people looked
//! up); each batch of them is **committed**; then the pods are **told**, then the deliveries are **settled**. Each of these works on a
//! batch of its own, so that none waits for another:
//!
//! ```text
//!  queue ─▶ take, prepare ─┬─ alerts ─▶ commit ──▶ tell, settle
//!  (`prepare.rs`, `turns.rs`) │       (`commit.rs`) (`announce.rs`)
//!                          ├─ events ─▶ keep, tell, settle (`events.rs`)
//!                          └─ what is refused, here or by the store ─▶ park, settle (`intake.rs`)
//!  the rest of large audiences, chunk by chunk ─▶ commit, tell (`expand.rs`)
//!  what was snoozed or suppressed, when its time has come ─▶ commit, tell (`returns.rs`)
//! ```
//!
//! What holds here:
//! - An alert is acknowledged only after it is committed: the rows of its people, or of its first people together with
//!   what is left of its audience (I1). A crash before that repeats the batch, and recording twice changes nothing (I2).
//! - One batch commits at a time, and the alerts of a tenant in the order they came, so that one person's changes come in that
//!   order.
//! - Tenants take turns, and what is held for them has a bound in bytes (I16, I9).
//! - Whoever is mapped to tenants publishes for those alone (I8).
//! - What cannot be understood, and what the store refuses, is parked with its reason before it is acknowledged (I11).
//! - A store that is down is waited for with the batches in hand. Giving them back would use up their delivery limit.
//! - Live frames are sent after the commit and are hints: a lost one is healed from the store.
//! - An event on a topic is told to the pods, after it is stored when it is one to be kept.
//!
//! Beside it all, what is old is deleted (`retention.rs`), by one process for all of them, and the lengths of the queues are
//! looked at (`queues.rs`).
//!
//! Elsewhere: what one alert does to one inbox in `watchbell::domain::inbox`; who is in an audience in [`audience`].

mod announce;
mod audience;
mod commit;
mod config;
mod events;
mod expand;
mod group_receipts;
mod intake;
mod metric_table;
mod page_size;
mod patience;
mod prepare;
mod queues;
mod retention;
mod returns;
mod room;
mod rules;
mod search;
mod sweep;
mod trace;
mod turns;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use watchbell::{
    broker::{Announcer, PUBLISHED_DELIVERY_BYTES_MAX, SharedBroker, WorkQueue},
    domain::{policy::Policies, producers::Producers},
    runtime::{Clock, MemoryBudgets, contention::Contention},
    store::Store,
};

pub use config::DispatchConfig;
pub use metric_table::METRICS;
pub use retention::{ROUND_EVERY, RetentionSweeper, SWEEP_PAUSE, Swept};

use crate::{
    announce::AnnouncementStage, commit::Recorder, events::Keeper, expand::Expander, prepare::Preparer,
    queues::LastTaken, returns::Returner, room::Room, rules::Rules,
};

/// How long a confirm of a parked or live message may take.
pub(crate) const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// Batches under way: one waiting for its turn, one prepared, one being committed, one being told. The broker hands out no more
/// than these hold.
pub(crate) const BATCHES_MAX: usize = 4;

/// The worker's parts. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    /// Where alerts come from and live frames go.
    pub broker: SharedBroker,
    /// The inboxes.
    pub store: Store,
    /// When the first step of each policy is due.
    pub policies: Arc<Policies>,
    /// Which user of the broker may publish for which tenants.
    pub producers: Arc<Producers>,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub config: DispatchConfig,
    /// How many bytes of deliveries may be held.
    pub memory: MemoryBudgets,
}

impl Dispatch {
    /// Works until `shutdown`; what is in hand is finished first, if the store lets it, or goes back to the queue.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = LastTaken::default();
        tokio::join!(
            self.work(&taken, &shutdown),
            self.sweep(&shutdown),
            queues::watch(&self, &taken, &shutdown)
        );
        info!("Dispatch has stopped");
    }

    /// Tells the pods.
    fn announcer(&self) -> Announcer {
        Announcer { broker: self.broker.clone(), deadline: PUBLISH_DEADLINE }
    }

    async fn work(&self, last_taken: &LastTaken, shutdown: &CancellationToken) {
        let batch_max = self.config.batch_max;
        let prefetch = prefetch(batch_max, self.memory.deliveries);
        let mut consumer = self.broker.consume(WorkQueue::Dispatch, prefetch).await;
        info!(batch_max, prefetch, "Dispatch takes alerts");

        let (prepared, to_commit) = mpsc::channel(batch_max);
        let (events, to_keep) = mpsc::channel(batch_max);
        let (committed, to_tell) = mpsc::channel(BATCHES_MAX);
        let (refused, to_park) = mpsc::channel(batch_max);
        let opened = Arc::new(Notify::new());
        let announcements = AnnouncementStage { announcer: self.announcer() };
        let (room, contention) = (Room::new(batch_max), Arc::new(Contention::default()));
        let taker = Preparer {
            dispatch: self,
            prepared,
            room: room.clone(),
            contention: contention.clone(),
            prefetch: usize::from(prefetch),
            events,
            refused: refused.clone(),
            last_taken,
        };
        let recorder = Recorder {
            dispatch: self,
            rules: self.rules(),
            committed,
            refused: refused.clone(),
            opened: opened.clone(),
        };
        let keeper = Keeper { dispatch: self, announcements: &announcements, refused };
        let returner = Returner {
            dispatch: self,
            rules: self.rules(),
            announcements: &announcements,
            opened: opened.clone(),
        };
        let mut expanding = JoinSet::new();
        expanding.spawn(self.clone().expand(opened, room, contention, shutdown.clone()));
        // Each ends when the one before it has ended and everything handed over is done with.
        tokio::join!(
            taker.run(consumer.as_mut(), shutdown),
            recorder.run(to_commit, shutdown),
            announcements.run(to_tell),
            keeper.run(to_keep, shutdown),
            self.park(to_park),
            expanding.join_all(),
            Box::pin(returner.run(shutdown)), // It is large, and works once a second.
        );
        consumer.close().await;
    }

    /// What is left of large audiences. A task of its own: what a page costs to work out must not hold up the alerts.
    async fn expand(
        self,
        opened: Arc<Notify>,
        room: Arc<Room>,
        contention: Arc<Contention>,
        shutdown: CancellationToken,
    ) {
        let announcements = AnnouncementStage { announcer: self.announcer() };
        let rules = self.rules();
        let expander =
            Expander { dispatch: &self, rules, announcements: &announcements, opened, room, contention };
        expander.run(&shutdown).await;
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules { policies: self.policies.clone(), expires_after: self.config.expires_after }
    }
}

/// Deliveries that are held at once: as many as all batches under way need, if so many fit into the bytes there are when each is
/// as long as it can be.
fn prefetch(batch_max: usize, bytes_max: usize) -> u16 {
    let fit = bytes_max / PUBLISHED_DELIVERY_BYTES_MAX;
    u16::try_from((batch_max * BATCHES_MAX).min(fit).max(1)).unwrap_or(u16::MAX)
}

#[test]
fn what_is_held_fits_into_memory() {
    const MIB: usize = 1024 * 1024;
    for (why, batch_max, bytes_max, expected) in [
        ("as many as the batches need", 256, 256 * MIB, 1_024),
        ("as many as fit", 256, 128 * MIB, 585),
        ("one at least", 256, 0, 1),
        ("one batch of one", 1, 256 * MIB, 4),
    ] {
        assert_eq!(prefetch(batch_max, bytes_max), expected, "{why}");
    }
}

#[cfg(test)]
mod tests;
