//! Who is connected to this pod, who subscribes to what, and which partitions that needs.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hashbrown::HashTable;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{LiveControl, topology::PARTITIONS},
    domain::{TopicKey, UserKey},
};

use crate::{
    Socket,
    pod::mailbox::{Backlog, Item, Mailbox},
};

/// Locks that sessions are spread over, so that connecting does not wait for delivering.
const SHARDS: usize = 64;
/// How long a partition without users is still followed: people reload pages.
const LET_GO_EVERY: Duration = Duration::from_secs(30);

/// The pod's sessions.
pub(crate) struct Hub {
    /// By the hash of their user: a pointer a session, nothing more.
    sessions: Vec<Mutex<HashTable<Arc<Mailbox>>>>,
    /// By topic, and then by the mailbox's own address.
    subscribers: Vec<Mutex<HashMap<TopicKey, HashTable<Arc<Mailbox>>>>>,
    hasher: RandomState,
    count: AtomicUsize,
    partitions: Vec<Partition>,
    control: Arc<dyn LiveControl>,
    /// Of each session.
    backlog: Backlog,
}

#[derive(Default)]
struct Partition {
    /// Sessions and subscriptions that need it.
    needed_by: AtomicUsize,
    /// Whether the broker sends it; locked while that changes.
    followed: tokio::sync::Mutex<bool>,
}

/// A session's place in the hub; given back when dropped.
pub(crate) struct Place {
    socket: Socket,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// A session's interest in a topic; given up when dropped.
pub(crate) struct Subscription {
    socket: Socket,
    mailbox: Arc<Mailbox>,
    pub(crate) topic: TopicKey,
}

/// Why a session got no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserIsFull;

impl Hub {
    pub(crate) fn new(control: Arc<dyn LiveControl>, backlog: Backlog) -> Self {
        Self {
            sessions: (0..SHARDS).map(|_| Mutex::default()).collect(),
            subscribers: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            control,
            backlog,
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Gives an item to every session of a user. `item` is made only when there is one.
    pub(crate) fn give(&self, user: &UserKey, item: impl FnOnce() -> Item) {
        let (hash, shard) = self.shard(user);
        let mut sessions = shard.iter_hash(hash).filter(|mailbox| mailbox.user == *user);
        let Some(first) = sessions.next() else { return };
        let item = item();
        for mailbox in sessions {
            mailbox.put(item.clone(), self.backlog);
        }
        first.put(item, self.backlog);
    }

    /// Gives an item to every subscriber of a topic. `item` is made only when there is one.
    pub(crate) fn give_subscribers(&self, topic: &TopicKey, item: impl FnOnce() -> Item) {
        let topics = self.topics(topic);
        let Some(subscribers) = topics.get(topic).filter(|subscribers| !subscribers.is_empty()) else {
            return;
        };
        let item = item();
        for mailbox in subscribers {
            mailbox.put(item.clone(), self.backlog);
        }
    }

    /// Gives one session an item.
    pub(crate) fn put(&self, mailbox: &Mailbox, item: Item) {
        mailbox.put(item, self.backlog);
    }

    /// Gives every session an item of its own, made from its number among `sessions()`.
    pub(crate) fn give_everybody(&self, mut item: impl FnMut(usize) -> Item) {
        let mut number = 0;
        for shard in &self.sessions {
            for mailbox in lock(shard).iter() {
                mailbox.put(item(number), self.backlog);
                number += 1;
            }
        }
    }

    /// Gives some sessions, taken by chance, an item of their own, made from its number among them. Returns how many.
    pub(crate) fn give_some(&self, wanted: usize, mut item: impl FnMut(usize) -> Item) -> usize {
        // Each is taken with the chance that leaves exactly as many as are wanted (selection sampling).
        let (mut left, mut given) = (self.sessions(), 0);
        for shard in &self.sessions {
            for mailbox in lock(shard).iter() {
                let is_taken = given < wanted && rand::random_range(0..left.max(1)) < wanted - given;
                if is_taken {
                    mailbox.put(item(given), self.backlog);
                    given += 1;
                }
                left = left.saturating_sub(1);
            }
        }
        given
    }

    /// Everybody who is connected, each once.
    pub(crate) fn users(&self) -> Vec<UserKey> {
        let mut users: Vec<UserKey> = Vec::with_capacity(self.sessions());
        for shard in &self.sessions {
            users.extend(lock(shard).iter().map(|mailbox| mailbox.user.clone()));
        }
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether this user has a session here.
    pub(crate) fn has(&self, user: &UserKey) -> bool {
        let (hash, shard) = self.shard(user);
        shard.iter_hash(hash).any(|other| other.user == *user)
    }

    fn shard(&self, user: &UserKey) -> (u64, MutexGuard<'_, HashTable<Arc<Mailbox>>>) {
        let hash = self.hasher.hash_one(user);
        (hash, lock(&self.sessions[hash as usize % SHARDS]))
    }

    fn topics(&self, topic: &TopicKey) -> MutexGuard<'_, HashMap<TopicKey, HashTable<Arc<Mailbox>>>> {
        lock(&self.subscribers[self.hasher.hash_one(topic) as usize % SHARDS])
    }

    /// The hash of a session within a topic: of where its mailbox is.
    fn address(&self, mailbox: &Arc<Mailbox>) -> u64 {
        self.hasher.hash_one(Arc::as_ptr(mailbox).addr())
    }

    /// When this returns, the partition's frames arrive here. Counted: undone by [`Hub::release`].
    async fn need(&self, number: u16) {
        let partition = &self.partitions[usize::from(number)];
        partition.needed_by.fetch_add(1, Ordering::SeqCst);
        let mut followed = partition.followed.lock().await;
        if !*followed {
            self.control.follow(number).await;
            *followed = true;
        }
    }

    fn release(&self, number: u16) {
        self.partitions[usize::from(number)].needed_by.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held, and the map would still be a map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    /// Registers a session. From when this returns, every change of the inbox reaches its mailbox or is told of by
    /// the next ping, so read the store after it, not before.
    pub(crate) async fn join(&self, user: UserKey) -> Result<Place, UserIsFull> {
        let hub = &self.0.hub;
        let partition = user.partition(PARTITIONS);
        let mailbox = Arc::new(Mailbox::new(user));
        let is_first;
        {
            let (hash, mut shard) = hub.shard(&mailbox.user);
            let have = shard.iter_hash(hash).filter(|other| other.user == mailbox.user).count();
            if have >= self.0.config.sessions_per_user_max {
                return Err(UserIsFull);
            }
            is_first = have == 0;
            shard.insert_unique(hash, mailbox.clone(), |other| hub.hasher.hash_one(&other.user));
        }
        hub.count.fetch_add(1, Ordering::Relaxed);
        // Before the wait, so that whoever is dropped while waiting gives back what it took.
        let place = Place { socket: self.clone(), mailbox };
        hub.need(partition).await;
        if is_first {
            self.0.presence.arrived(&place.mailbox.user).await;
        }
        Ok(place)
    }

    /// Registers an interest. From when this returns, every event of the topic reaches the mailbox, so read what was
    /// kept after it, not before.
    pub(crate) async fn subscribe(&self, mailbox: &Arc<Mailbox>, topic: TopicKey) -> Subscription {
        let hub = &self.0.hub;
        {
            let mut topics = hub.topics(&topic);
            let subscribers = topics.entry(topic.clone()).or_default();
            subscribers.insert_unique(hub.address(mailbox), mailbox.clone(), |other| hub.address(other));
        }
        let partition = topic.partition(PARTITIONS);
        let subscription = Subscription { socket: self.clone(), mailbox: mailbox.clone(), topic };
        hub.need(partition).await;
        subscription
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
                if *followed && partition.needed_by.load(Ordering::SeqCst) == 0 {
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
            let (hash, mut shard) = hub.shard(&self.mailbox.user);
            if let Ok(entry) = shard.find_entry(hash, |other| Arc::ptr_eq(other, &self.mailbox)) {
                entry.remove();
            }
            give_memory_back(&mut shard, |other| hub.hasher.hash_one(&other.user));
            if !shard.iter_hash(hash).any(|other| other.user == self.mailbox.user) {
                self.socket.0.presence.left(self.mailbox.user.clone());
            }
        }
        hub.count.fetch_sub(1, Ordering::Relaxed);
        hub.release(self.mailbox.user.partition(PARTITIONS));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let hub = &self.socket.0.hub;
        {
            let mut topics = hub.topics(&self.topic);
            if let Some(subscribers) = topics.get_mut(&self.topic) {
                let found = subscribers
                    .find_entry(hub.address(&self.mailbox), |other| Arc::ptr_eq(other, &self.mailbox));
                if let Ok(entry) = found {
                    entry.remove();
                }
                give_memory_back(subscribers, |other| hub.address(other));
                if subscribers.is_empty() {
                    topics.remove(&self.topic);
                }
            }
        }
        hub.release(self.topic.partition(PARTITIONS));
    }
}

/// A table that is mostly empty is made smaller, so that a stampede that is over costs nothing.
fn give_memory_back(table: &mut HashTable<Arc<Mailbox>>, hash: impl Fn(&Arc<Mailbox>) -> u64) {
    const SMALL: usize = 64;
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}
