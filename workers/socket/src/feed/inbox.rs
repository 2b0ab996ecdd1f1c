//! What sessions and requests need of a user's inbox: its head, its changes, kept events, and where receipts go.

use std::sync::Arc;

use serde_json::value::RawValue;
use watchbell::{
    domain::{TopicKey, UserKey},
    runtime::http::{AnswerBudget, AnswerBytes, NoRoom, PAGE_BYTES_TAKEN},
    store::{Head, Store, StoreError},
};

use crate::{
    frames::epoch::{Epoch, Epochs},
    pod::{
        heads::{HeadUnavailable, Heads},
        receipts::{CompleteReceipt, ReadReceipt, Receipts},
    },
};

/// The way to every user's inbox. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) store: Store,
    /// The heads of inboxes, read for many sessions at once.
    pub(crate) heads: Heads,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) receipts: Receipts,
    /// The pod's memory for snapshots and pages. Whoever reads one takes of it first.
    pub(crate) answers: AnswerBudget,
}

/// Why an answer is not taken.
#[derive(Debug)]
pub(crate) enum NotCompleted {
    /// In words, about the field `action`.
    NoSuchAction(String),
    /// The store did not say what the alerts say.
    Unavailable(StoreError),
}

/// Kept events of a topic. They are shared with whoever else reads them at this moment.
pub(crate) struct KeptEvents(Vec<Arc<str>>);

impl Inbox {
    /// The epoch that cursors belong to now. Take it before reading what they are given with.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.epochs.current()
    }

    /// The head of somebody's inbox.
    pub(crate) async fn head(&self, user: &UserKey) -> Result<Head, HeadUnavailable> {
        self.heads.of(user).await
    }

    /// The last events that were kept of a topic, oldest first: the newest that have `bytes_max` together, but at least
    /// one.
    pub(crate) async fn kept_events(
        &self,
        topic: &TopicKey,
        limit: usize,
        bytes_max: usize,
    ) -> Result<KeptEvents, StoreError> {
        self.store.topic_events(topic, limit, bytes_max).await.map(KeptEvents)
    }

    /// A receipt that was read, with what it answers where it does: what the alerts say that are shown is looked up for that.
    pub(crate) async fn completed(&self, read: ReadReceipt) -> Result<CompleteReceipt, NotCompleted> {
        if read.action.is_none() {
            return Ok(CompleteReceipt { receipt: read.receipt, answered_otherwise: Vec::new() });
        }
        let shown = self.store.shown_contents(&read.receipt.user, &read.receipt.alerts).await;
        let shown = shown.map_err(NotCompleted::Unavailable)?;
        read.answering(&shown).map_err(NotCompleted::NoSuchAction)
    }

    /// Memory for a page or a snapshot that is read for this user and not taken by their client yet.
    pub(crate) async fn room_for_a_page(&self, user: &UserKey) -> Result<AnswerBytes, NoRoom> {
        self.answers.take(user, PAGE_BYTES_TAKEN).await
    }
}

impl KeptEvents {
    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|event| event.len()).sum()
    }

    /// Each event, as JSON.
    pub(crate) fn json(&self) -> impl Iterator<Item = &RawValue> {
        // `encode_event` wrote them, so they are JSON.
        self.0.iter().filter_map(|event| serde_json::from_str(event).ok())
    }
}
