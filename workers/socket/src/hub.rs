//! Who is connected to this pod, and which partitions that needs.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{LiveControl, topology::PARTITIONS},
    domain::UserKey,
};

use crate::{
    Socket,
    outbox::{Item, Outbox},
};

/// Locks that sessions are spread over, so that connecting does not wait for delivering.
const SHARDS: usize = 64;
/// How long a partition without users is still followed: people reload pages.
const LET_GO_EVERY: Duration = Duration::from_secs(30);

/// The pod's sessions.
pub(crate) struct Hub {
    shards: Vec<Mutex<HashMap<UserKey, Vec<Arc<Outbox>>>>>,
    hasher: RandomState,
    sessions: AtomicUsize,
    partitions: Vec<Partition>,
    control: Arc<dyn LiveControl>,
}

#[derive(Default)]
struct Partition {
    sessions: AtomicUsize,
    /// Whether the broker sends it; locked while that changes.
    followed: tokio::sync::Mutex<bool>,
}

/// A session's place in the hub; given back when dropped.
pub(crate) struct Place {
    socket: Socket,
    user: UserKey,
    pub(crate) outbox: Arc<Outbox>,
}

/// Why a session got no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserIsFull;

impl Hub {
    pub(crate) fn new(control: Arc<dyn LiveControl>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            sessions: AtomicUsize::new(0),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            control,
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Gives an item to every session of a user. `frame` is made only when there is one.
    pub(crate) fn give(&self, user: &UserKey, item: impl FnOnce() -> Item) {
        let shard = self.shard(user);
        let Some(sessions) = shard.get(user) else { return };
        let item = item();
        for outbox in sessions {
            outbox.put(item.clone());
        }
    }

    /// Everybody who is connected, each once.
    pub(crate) fn users(&self) -> Vec<UserKey> {
        let mut users = Vec::new();
        for shard in &self.shards {
            users.extend(lock(shard).keys().cloned());
        }
        users
    }

    fn shard(&self, user: &UserKey) -> std::sync::MutexGuard<'_, HashMap<UserKey, Vec<Arc<Outbox>>>> {
        lock(&self.shards[self.hasher.hash_one(user) as usize % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while one is held, and the map would still be a map.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Socket {
    /// Registers a session. From when this returns, every change of the inbox reaches its outbox or is told of by the
    /// next ping, so read the store after it, not before.
    pub(crate) async fn join(&self, user: &UserKey) -> Result<Place, UserIsFull> {
        let hub = &self.0.hub;
        let partition = &hub.partitions[usize::from(user.partition(PARTITIONS))];
        let outbox = Arc::new(Outbox::default());
        {
            let mut shard = hub.shard(user);
            let sessions = shard.entry(user.clone()).or_default();
            if sessions.len() >= self.0.config.sessions_per_user_max {
                return Err(UserIsFull);
            }
            sessions.push(outbox.clone());
        }
        hub.sessions.fetch_add(1, Ordering::Relaxed);
        partition.sessions.fetch_add(1, Ordering::SeqCst);
        let place = Place { socket: self.clone(), user: user.clone(), outbox };
        let mut followed = partition.followed.lock().await;
        if !*followed {
            hub.control.follow(user.partition(PARTITIONS)).await;
            *followed = true;
        }
        Ok(place)
    }

    /// Stops following partitions that nobody here needs any more.
    pub(crate) async fn let_go_of_partitions(self, stop: CancellationToken) {
        let hub = &self.0.hub;
        let mut tick = interval(LET_GO_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            for (number, partition) in (0..PARTITIONS).zip(&hub.partitions) {
                let mut followed = partition.followed.lock().await;
                // Whoever joins now counts itself first and then waits for this lock, so nobody is cut off.
                if *followed && partition.sessions.load(Ordering::SeqCst) == 0 {
                    hub.control.unfollow(number).await;
                    *followed = false;
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let hub = &self.socket.0.hub;
        {
            let mut shard = hub.shard(&self.user);
            if let Some(sessions) = shard.get_mut(&self.user) {
                sessions.retain(|outbox| !Arc::ptr_eq(outbox, &self.outbox));
                if sessions.is_empty() {
                    shard.remove(&self.user);
                }
            }
        }
        hub.sessions.fetch_sub(1, Ordering::Relaxed);
        hub.partitions[usize::from(self.user.partition(PARTITIONS))].sessions.fetch_sub(1, Ordering::SeqCst);
    }
}
