//! The mailboxes of a pod: by the user whose session it is, and by the topics that the session subscribes to.
//!
//! Both tables are spread over [`SHARDS`] locks, so that a session that begins does not wait for a message that is
//! delivered. A session costs one pointer in the first, and one pointer in the second for each of its topics.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use hashbrown::HashTable;
use watchbell::domain::{TopicKey, UserKey};

use crate::pod::mailbox::{Backlog, Item, Mailbox};

/// Locks of each table.
const SHARDS: usize = 64;

/// The pod's mailboxes.
pub(crate) struct Hub {
    by_user: ByUser,
    by_topic: ByTopic,
    /// What may wait in each mailbox.
    backlog: Backlog,
}

/// Mailboxes by the hash of their user.
struct ByUser {
    shards: Vec<Mutex<HashTable<Arc<Mailbox>>>>,
    hasher: RandomState,
    count: AtomicUsize,
}

/// Mailboxes by topic, and then by their own address.
struct ByTopic {
    shards: Vec<Mutex<HashMap<TopicKey, HashTable<Arc<Mailbox>>>>>,
    hasher: RandomState,
}

/// The user has as many sessions on this pod as a user may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserIsFull;

impl Hub {
    pub(crate) fn new(backlog: Backlog) -> Self {
        Self {
            by_user: ByUser {
                shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
                hasher: RandomState::new(),
                count: AtomicUsize::new(0),
            },
            by_topic: ByTopic {
                shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
                hasher: RandomState::new(),
            },
            backlog,
        }
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.by_user.count.load(Ordering::Relaxed)
    }

    /// Adds a session, unless its user has `per_user_max` already. Says whether it is the user's first.
    pub(crate) fn insert(&self, mailbox: &Arc<Mailbox>, per_user_max: usize) -> Result<bool, UserIsFull> {
        let ByUser { hasher, count, .. } = &self.by_user;
        let (hash, mut shard) = self.by_user.shard(&mailbox.user);
        let have = shard.iter_hash(hash).filter(|other| other.user == mailbox.user).count();
        if have >= per_user_max {
            return Err(UserIsFull);
        }
        shard.insert_unique(hash, mailbox.clone(), |other| hasher.hash_one(&other.user));
        count.fetch_add(1, Ordering::Relaxed);
        Ok(have == 0)
    }

    /// Takes a session out. `when_last` is called if it was the user's last, before another of theirs can begin.
    pub(crate) fn remove(&self, mailbox: &Arc<Mailbox>, when_last: impl FnOnce()) {
        let ByUser { hasher, count, .. } = &self.by_user;
        let (hash, mut shard) = self.by_user.shard(&mailbox.user);
        if let Ok(entry) = shard.find_entry(hash, |other| Arc::ptr_eq(other, mailbox)) {
            entry.remove();
        }
        give_memory_back(&mut shard, |other| hasher.hash_one(&other.user));
        if !shard.iter_hash(hash).any(|other| other.user == mailbox.user) {
            when_last();
        }
        count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds an interest in a topic.
    pub(crate) fn subscribe(&self, mailbox: &Arc<Mailbox>, topic: &TopicKey) {
        let mut topics = self.by_topic.shard(topic);
        let subscribers = topics.entry(topic.clone()).or_default();
        let address = |other: &Arc<Mailbox>| self.by_topic.address(other);
        subscribers.insert_unique(address(mailbox), mailbox.clone(), address);
    }

    /// Takes an interest in a topic out.
    pub(crate) fn unsubscribe(&self, mailbox: &Arc<Mailbox>, topic: &TopicKey) {
        let mut topics = self.by_topic.shard(topic);
        let Some(subscribers) = topics.get_mut(topic) else { return };
        let address = |other: &Arc<Mailbox>| self.by_topic.address(other);
        if let Ok(entry) = subscribers.find_entry(address(mailbox), |other| Arc::ptr_eq(other, mailbox)) {
            entry.remove();
        }
        give_memory_back(subscribers, address);
        if subscribers.is_empty() {
            topics.remove(topic);
        }
    }

    /// Gives an item to every session of a user. `item` is made only when there is one.
    pub(crate) fn give(&self, user: &UserKey, item: impl FnOnce() -> Item) {
        let (hash, shard) = self.by_user.shard(user);
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
        let topics = self.by_topic.shard(topic);
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
        for shard in &self.by_user.shards {
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
        for shard in &self.by_user.shards {
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
        for shard in &self.by_user.shards {
            users.extend(lock(shard).iter().map(|mailbox| mailbox.user.clone()));
        }
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether this user has a session here.
    pub(crate) fn has(&self, user: &UserKey) -> bool {
        let (hash, shard) = self.by_user.shard(user);
        shard.iter_hash(hash).any(|other| other.user == *user)
    }
}

impl ByUser {
    /// The hash of a user, and the mailboxes among which theirs are.
    fn shard(&self, user: &UserKey) -> (u64, MutexGuard<'_, HashTable<Arc<Mailbox>>>) {
        let hash = self.hasher.hash_one(user);
        (hash, lock(&self.shards[hash as usize % SHARDS]))
    }
}

impl ByTopic {
    fn shard(&self, topic: &TopicKey) -> MutexGuard<'_, HashMap<TopicKey, HashTable<Arc<Mailbox>>>> {
        lock(&self.shards[self.hasher.hash_one(topic) as usize % SHARDS])
    }

    /// The hash of a session within a topic: of where its mailbox is.
    fn address(&self, mailbox: &Arc<Mailbox>) -> u64 {
        self.hasher.hash_one(Arc::as_ptr(mailbox).addr())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held, and the map would still be a map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A table that is mostly empty is made smaller, so that a stampede that is over costs nothing.
fn give_memory_back(table: &mut HashTable<Arc<Mailbox>>, hash: impl Fn(&Arc<Mailbox>) -> u64) {
    const SMALL: usize = 64;
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}
