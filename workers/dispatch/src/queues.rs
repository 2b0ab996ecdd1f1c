//! How long the broker's queues are, and how long their oldest message has waited, for whoever watches the fleet.
//!
//! A broker tells the length of a queue and not the age of what is in it. That is bounded from above: whatever waits came
//! after the queue was seen empty for the last time, and, where messages are taken in their order, after the one that was
//! taken last.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::broker::WorkQueue;

use crate::Dispatch;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// When the alert that was taken last was published, in milliseconds since 1970; 0 when that is not known.
#[derive(Debug, Default)]
pub(crate) struct LastTaken(AtomicI64);

impl LastTaken {
    /// One was taken that was published then.
    pub(crate) fn note(&self, published_at: Timestamp) {
        self.0.store(published_at.as_millisecond(), Ordering::Relaxed);
    }

    fn published_at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

/// What is known of the age of one queue.
#[derive(Debug, Clone, Copy)]
struct QueueAge {
    /// Nothing in it came before that.
    since: Timestamp,
}

impl QueueAge {
    /// How long the oldest of so many messages has waited at the most, when everything published before `taken` was taken.
    fn oldest(&mut self, messages: u64, taken: Timestamp, now: Timestamp) -> f64 {
        self.since = if messages == 0 { now } else { self.since.max(taken) };
        now.duration_since(self.since).as_secs_f64().max(0.0)
    }
}

/// Looks every [`LOOK_EVERY`] until `shutdown`.
pub(crate) async fn watch(dispatch: &Dispatch, last_taken: &LastTaken, shutdown: &CancellationToken) {
    let began = QueueAge { since: dispatch.clock.now() };
    let mut ages = WorkQueue::ALL.map(|queue| (queue, began));
    let work = async {
        loop {
            for (queue, age) in &mut ages {
                look(dispatch, *queue, age, last_taken).await;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

async fn look(dispatch: &Dispatch, queue: WorkQueue, age: &mut QueueAge, last_taken: &LastTaken) {
    let messages = match dispatch.broker.depth(queue).await {
        Ok(messages) => messages,
        // Readiness reports the outage.
        Err(error) => return debug!(%error, queue = queue.name(), "The length of a queue is not known"),
    };
    let taken = match queue {
        WorkQueue::Dispatch => last_taken.published_at(),
        WorkQueue::Undelivered | WorkQueue::Rejected | WorkQueue::Dead => Timestamp::UNIX_EPOCH,
    };
    let oldest = age.oldest(messages, taken, dispatch.clock.now());
    metrics::gauge!("watchbell_queue_messages", "queue" => queue.name()).set(messages as f64);
    metrics::gauge!("watchbell_queue_oldest_seconds", "queue" => queue.name()).set(oldest);
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_age_of_the_oldest_is_bounded_by_what_is_known() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let mut age = QueueAge { since: at(100) };
    for (why, messages, taken, now, expected) in [
        ("nothing waits", 0, at(0), at(110), 0.0),
        ("something came since it was empty", 3, at(0), at(125), 15.0),
        ("it still waits", 3, at(0), at(140), 30.0),
        ("what was published until 135 was taken", 3, at(135), at(155), 20.0),
        ("an older time tells nothing", 3, at(1), at(170), 35.0),
        ("it is empty again", 0, at(135), at(185), 0.0),
        ("a clock was set back", 1, at(0), at(180), 0.0),
    ] {
        assert!((age.oldest(messages, taken, now) - expected).abs() < 1e-9, "{why}");
    }
}
