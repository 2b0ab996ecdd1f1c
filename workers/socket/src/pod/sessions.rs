//! How a session joins its pod and leaves it: its turn, its mailbox in the hub, the partition of its user, and presence.
//!
//! What a session holds of this is a [`Registration`], and a [`Subscription`] for each of its topics. Both are given back
//! when they are dropped, however the session ends.

use std::sync::Arc;

use watchbell::{
    broker::topology::PARTITIONS,
    domain::{TopicKey, UserKey},
};

use crate::pod::{
    by_user::UserIsFull,
    hub::Hub,
    limits::{LineIsLong, Turns},
    mailbox::{Item, Mailbox},
    partitions::Partitions,
    presence::Presence,
};

/// Where sessions of a pod begin.
pub(crate) struct Sessions {
    pub(crate) hub: Arc<Hub>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) presence: Arc<Presence>,
    /// How many may begin each second.
    pub(crate) turns: Turns,
    /// How many one user may have on this pod.
    pub(crate) per_user_max: usize,
}

/// Why a session does not begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotJoined {
    /// Too many sessions wait for their turn.
    Overloaded,
    /// The user has enough sessions.
    UserIsFull,
}

impl From<LineIsLong> for NotJoined {
    fn from(_: LineIsLong) -> Self {
        Self::Overloaded
    }
}

impl From<UserIsFull> for NotJoined {
    fn from(_: UserIsFull) -> Self {
        Self::UserIsFull
    }
}

/// A session that has joined its pod.
pub(crate) struct Registration {
    sessions: Arc<Sessions>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// A session's interest in a topic.
pub(crate) struct Subscription {
    sessions: Arc<Sessions>,
    mailbox: Arc<Mailbox>,
    pub(crate) topic: TopicKey,
}

impl Sessions {
    /// Waits for a turn and registers a session. From when this returns, every change of the inbox reaches its mailbox or
    /// is told by the next ping, so read the store after it, not before.
    pub(crate) async fn join(self: &Arc<Self>, user: UserKey) -> Result<Registration, NotJoined> {
        self.turns.take().await?;
        let partition = user.partition(PARTITIONS);
        let mailbox = Arc::new(Mailbox::new(user));
        let is_first = self.hub.insert(&mailbox, self.per_user_max)?;
        // Before the wait, so that whoever is dropped while waiting gives back what it took.
        let registration = Registration { sessions: self.clone(), mailbox };
        self.partitions.need(partition).await;
        if is_first {
            self.presence.arrived(&registration.mailbox.user).await;
        }
        Ok(registration)
    }
}

impl Registration {
    /// Registers an interest. From when this returns, every event of the topic reaches the mailbox, so read what was
    /// kept after it, not before.
    pub(crate) async fn subscribe(&self, topic: TopicKey) -> Subscription {
        let Self { sessions, mailbox } = self;
        sessions.hub.subscribe(mailbox, &topic);
        let partition = topic.partition(PARTITIONS);
        let subscription = Subscription { sessions: sessions.clone(), mailbox: mailbox.clone(), topic };
        sessions.partitions.need(partition).await;
        subscription
    }

    /// Gives this session an item.
    pub(crate) fn put(&self, item: Item) {
        self.sessions.hub.put(&self.mailbox, item);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Sessions { hub, partitions, presence, .. } = &*self.sessions;
        hub.remove(&self.mailbox, || presence.left(self.mailbox.user.clone()));
        partitions.release(self.mailbox.user.partition(PARTITIONS));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.sessions.hub.unsubscribe(&self.mailbox, &self.topic);
        self.sessions.partitions.release(self.topic.partition(PARTITIONS));
    }
}
