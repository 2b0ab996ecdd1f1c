//! An operator's look through a queue in memory: each message once, back at its place afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::queue::{Queue, Unsettled};
use crate::broker::{Browser, Delivery, PublishError, Settle};

pub(super) struct QueueBrowser {
    queue: Arc<Queue>,
    held: Arc<Mutex<Vec<Unsettled>>>,
}

impl QueueBrowser {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, held: Arc::default() }
    }
}

#[async_trait]
impl Browser for QueueBrowser {
    async fn take(&mut self) -> Result<Option<Delivery>, PublishError> {
        Ok(self.queue.take().map(|(message, redelivered, unsettled)| {
            let settle = Held { unsettled: Some(unsettled), held: Arc::clone(&self.held) };
            Delivery { message, redelivered, unreadable: None, cut: None, settle: Box::new(settle) }
        }))
    }

    async fn close(self: Box<Self>) {
        // Dropping the held ones gives them back.
    }
}

/// Dropped unsettled, it is held until its browser has ended.
struct Held {
    /// Taken when it is settled.
    unsettled: Option<Unsettled>,
    held: Arc<Mutex<Vec<Unsettled>>>,
}

#[async_trait]
impl Settle for Held {
    async fn ack(mut self: Box<Self>) {
        if let Some(mut unsettled) = self.unsettled.take() {
            unsettled.ack().await;
        }
    }

    async fn requeue(mut self: Box<Self>) {
        drop(self.unsettled.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(unsettled) = self.unsettled.take() {
            // Nothing that can panic runs under the lock.
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(unsettled);
        }
    }
}
