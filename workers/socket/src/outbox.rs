//! What waits for one session. Bounded: a session that does not read has its backlog dropped and is told so once (I9).

use std::{collections::VecDeque, sync::Mutex};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use watchbell::domain::Seq;

/// Frames that wait for one session at the most.
pub(crate) const FRAMES_MAX: usize = 256;
/// Bytes that wait for one session at the most.
pub(crate) const BYTES_MAX: usize = 256 * 1024;

/// Something for a session to do.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A numbered frame, encoded once for all sessions of the user.
    Frame { seq: Seq, text: Utf8Bytes },
    /// Ping, and heal when the store's head is further than the session.
    Ping { head: Seq },
}

/// A session's outbox. Anybody puts in; the session's task takes out.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    overflowed: bool,
}

/// What was taken out.
pub(crate) enum Out {
    /// Do these, in order.
    Items(VecDeque<Item>),
    /// The backlog was dropped: resync.
    Overflowed,
}

impl Outbox {
    /// Never waits and never grows beyond the bounds.
    pub(crate) fn put(&self, item: Item) {
        {
            let mut queue = self.lock();
            let bytes = match &item {
                Item::Frame { text, .. } => text.len(),
                Item::Ping { .. } => 0,
            };
            if queue.items.len() >= FRAMES_MAX || queue.bytes + bytes > BYTES_MAX {
                metrics::counter!("watchbell_socket_overflows_total").increment(1);
                queue.items = VecDeque::new();
                queue.bytes = 0;
                queue.overflowed = true;
            } else if !queue.overflowed || !matches!(item, Item::Frame { .. }) {
                queue.bytes += bytes;
                queue.items.push_back(item);
            }
            // Else: the resync that is due covers this frame too.
        }
        self.wake.notify_one();
    }

    /// Everything that waits, or waits for something. Cancel-safe.
    pub(crate) async fn take(&self) -> Out {
        loop {
            {
                let mut queue = self.lock();
                if queue.overflowed {
                    queue.overflowed = false;
                    return Out::Overflowed;
                }
                if !queue.items.is_empty() {
                    queue.bytes = 0;
                    return Out::Items(std::mem::take(&mut queue.items));
                }
            }
            self.wake.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // Nothing panics while it is held; and if it did, a queue of frames is still a queue of frames.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: Seq, bytes: usize) -> Item {
        Item::Frame { seq, text: "x".repeat(bytes).into() }
    }

    async fn taken(outbox: &Outbox) -> Option<usize> {
        match outbox.take().await {
            Out::Items(items) => Some(items.len()),
            Out::Overflowed => None,
        }
    }

    #[tokio::test]
    async fn a_backlog_is_dropped_once_and_said_so() {
        let outbox = Outbox::default();
        for seq in 0..=FRAMES_MAX as u64 {
            outbox.put(frame(seq, 1));
        }
        outbox.put(frame(999, 1));
        assert_eq!(taken(&outbox).await, None, "one resync for all of it");
        outbox.put(frame(1_000, 1));
        assert_eq!(taken(&outbox).await, Some(1), "and it goes on after that");
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well() {
        let outbox = Outbox::default();
        outbox.put(frame(1, BYTES_MAX));
        outbox.put(frame(2, 1));
        assert_eq!(taken(&outbox).await, None);
    }
}
