//! Which partitions this pod follows: the broker sends it those that somebody here needs, and no others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use watchbell::broker::{LiveControl, topology::PARTITIONS};

/// How long a partition without users is still followed, because people reload pages.
const UNFOLLOW_EVERY: Duration = Duration::from_secs(30);

/// The partitions, and who needs them.
pub(crate) struct Partitions {
    partitions: Vec<Partition>,
    control: Arc<dyn LiveControl>,
}

#[derive(Default)]
struct Partition {
    /// Sessions and subscriptions that need it.
    needed_by: AtomicUsize,
    /// Whether the broker sends it; locked while that changes.
    followed: tokio::sync::Mutex<bool>,
}

impl Partitions {
    pub(crate) fn new(control: Arc<dyn LiveControl>) -> Self {
        Self { partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(), control }
    }

    /// When this returns, the partition's frames arrive here. It is counted, and undone by [`Partitions::release`].
    pub(crate) async fn need(&self, number: u16) {
        let partition = &self.partitions[usize::from(number)];
        partition.needed_by.fetch_add(1, Ordering::SeqCst);
        let mut followed = partition.followed.lock().await;
        if !*followed {
            self.control.follow(number).await;
            *followed = true;
        }
    }

    pub(crate) fn release(&self, number: u16) {
        self.partitions[usize::from(number)].needed_by.fetch_sub(1, Ordering::SeqCst);
    }

    /// Stops following partitions that nobody here needs any more, until `stop`.
    pub(crate) async fn unfollow_unneeded(&self, stop: CancellationToken) {
        let mut tick = interval(UNFOLLOW_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            for (number, partition) in (0..PARTITIONS).zip(&self.partitions) {
                let mut followed = partition.followed.lock().await;
                // Whoever joins now counts itself first and then waits for this lock, so nobody is cut off.
                if *followed && partition.needed_by.load(Ordering::SeqCst) == 0 {
                    self.control.unfollow(number).await;
                    *followed = false;
                }
            }
        }
    }
}
