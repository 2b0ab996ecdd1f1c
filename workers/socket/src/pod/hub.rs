//! The mailboxes of a pod: by the user whose session it is, and by the topics that the session subscribes to.
//!
//! Both tables are spread over [`SHARDS`] locks, so that a session that begins does not wait for a message that is
//! delivered. A session costs one pointer in the first, and one pointer in the second for each of its topics.
//!
//! A live frame for an idle session waits in its mailbox until [`DirectWrites`] writes it; for anything else, the session's
//! task is woken.

use std::{
    cell::LazyCell,
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard},
};

use hashbrown::HashTable;
use watchbell::domain::{TopicKey, UserKey};

use crate::pod::{
    by_user::{ByUser, OfUser, SHARDS, UserIsFull, insert_by_address, lock, remove_by_address},
    direct_writes::DirectWrites,
    mailbox::{Backlog, Item, Mailbox},
};

/// The pod's mailboxes.
pub(crate) struct Hub {
    by_user: ByUser<Mailbox>,
    by_topic: ByTopic,
    /// What may wait in each mailbox.
    backlog: Backlog,
    /// Those with frames that are written without waking their sessions.
    direct: Arc<DirectWrites>,
}

/// Mailboxes by topic, and then by their own address.
struct ByTopic {
    shards: Vec<Mutex<HashMap<TopicKey, HashTable<Arc<Mailbox>>>>>,
    hasher: RandomState,
}

impl OfUser for Mailbox {
    fn user(&self) -> &UserKey {
        &self.user
    }
}

impl Hub {
    pub(crate) fn new(backlog: Backlog, direct: Arc<DirectWrites>) -> Self {
        Self {
            by_user: ByUser::new(),
            by_topic: ByTopic {
                shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
                hasher: RandomState::new(),
            },
            backlog,
            direct,
        }
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.by_user.len()
    }

    /// Adds a session, unless its user has `per_user_max` already. Says whether it is the user's first.
    pub(crate) fn insert(&self, mailbox: &Arc<Mailbox>, per_user_max: usize) -> Result<bool, UserIsFull> {
        self.by_user.insert(mailbox, per_user_max)
    }

    /// Takes a session out. `when_last` is called if it was the user's last, before another of theirs can begin.
    pub(crate) fn remove(&self, mailbox: &Arc<Mailbox>, when_last: impl FnOnce()) {
        self.by_user.remove(mailbox, when_last);
    }

    /// Adds an interest in a topic.
    pub(crate) fn subscribe(&self, mailbox: &Arc<Mailbox>, topic: &TopicKey) {
        let mut topics = self.by_topic.shard(topic);
        let subscribers = topics.entry(topic.clone()).or_default();
        insert_by_address(subscribers, mailbox, &self.by_topic.hasher);
    }

    /// Takes an interest in a topic out.
    pub(crate) fn unsubscribe(&self, mailbox: &Arc<Mailbox>, topic: &TopicKey) {
        let mut topics = self.by_topic.shard(topic);
        let Some(subscribers) = topics.get_mut(topic) else { return };
        remove_by_address(subscribers, mailbox, &self.by_topic.hasher);
        if subscribers.is_empty() {
            topics.remove(topic);
        }
    }

    /// Gives an item to every session of a user. `item` is made only when there is one.
    pub(crate) fn give(&self, user: &UserKey, item: impl FnOnce() -> Item) {
        let item = LazyCell::new(item);
        self.by_user.for_each_of(user, |mailbox| self.put(mailbox, Item::clone(&item)));
    }

    /// Gives an item to every subscriber of a topic. `item` is made only when there is one.
    pub(crate) fn give_subscribers(&self, topic: &TopicKey, item: impl FnOnce() -> Item) {
        let topics = self.by_topic.shard(topic);
        let Some(subscribers) = topics.get(topic).filter(|subscribers| !subscribers.is_empty()) else {
            return;
        };
        let item = item();
        for mailbox in subscribers {
            self.put(mailbox, item.clone());
        }
    }

    /// Gives one session an item.
    pub(crate) fn put(&self, mailbox: &Arc<Mailbox>, item: Item) {
        if mailbox.put(item, self.backlog) {
            self.direct.add(mailbox.clone());
        }
    }

    /// Gives every session an item of its own, made from its number among `sessions()`.
    pub(crate) fn give_everybody(&self, mut item: impl FnMut(usize) -> Item) {
        let mut number = 0;
        self.by_user.for_each(|mailbox| {
            self.put(mailbox, item(number));
            number += 1;
        });
    }

    /// Gives some sessions, taken by chance, an item of their own, made from its number among them. Returns how many.
    pub(crate) fn give_some(&self, wanted: usize, mut item: impl FnMut(usize) -> Item) -> usize {
        // Each is taken with the chance that leaves exactly as many as are wanted (selection sampling).
        let (mut left, mut given) = (self.sessions(), 0);
        self.by_user.for_each(|mailbox| {
            let is_taken = given < wanted && rand::random_range(0..left.max(1)) < wanted - given;
            if is_taken {
                self.put(mailbox, item(given));
                given += 1;
            }
            left = left.saturating_sub(1);
        });
        given
    }

    /// Everybody who is connected, each once.
    pub(crate) fn users(&self) -> Vec<UserKey> {
        let mut users: Vec<UserKey> = Vec::with_capacity(self.sessions());
        self.by_user.for_each(|mailbox| users.push(mailbox.user.clone()));
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether this user has a session here.
    pub(crate) fn has(&self, user: &UserKey) -> bool {
        self.by_user.has(user)
    }
}

impl ByTopic {
    fn shard(&self, topic: &TopicKey) -> MutexGuard<'_, HashMap<TopicKey, HashTable<Arc<Mailbox>>>> {
        lock(&self.shards[self.hasher.hash_one(topic) as usize % SHARDS])
    }
}
