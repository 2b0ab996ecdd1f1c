//! What waits for one session. Bounded: a session that does not read has its backlog dropped and is told so once (I9).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use watchbell::{domain::UserKey, store::Head, wire::CloseCode};

use crate::frames::{epoch::Epoch, frame::Frame};

/// What may wait for one session at the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    pub(crate) frames_max: usize,
    pub(crate) bytes_max: usize,
}

/// Something for a session to do.
#[derive(Clone)]
pub(crate) enum Item {
    /// Send this, in its order when it is numbered.
    Frame(Arc<Frame>),
    /// Ping, heal when the store's head is further than the session, and start over when its epoch is another.
    Ping { head: Head, epoch: Arc<Epoch> },
    /// Ask the client to connect anew.
    Leave(Leave),
    /// Some of the user's tokens are not believed any more.
    Revoked,
}

/// A window from now in which a client connects anew, and when it is closed if it did not. In milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Not before that.
    pub(crate) after_ms: u32,
    /// But within so much more.
    pub(crate) within_ms: u32,
    /// How much longer its session stays: its clock or its network may be slow.
    pub(crate) grace_ms: u32,
    /// Why; its reason is the `goaway`'s as well.
    pub(crate) code: CloseCode,
}

/// A session's mailbox. Anybody puts in; the session takes out.
pub(crate) struct Mailbox {
    /// Whose session it is.
    pub(crate) user: UserKey,
    queue: Mutex<Queue>,
    reader: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    overflowed: bool,
}

/// What was taken out.
pub(crate) enum Mail {
    /// Do these, in order.
    Items(VecDeque<Item>),
    /// The backlog was dropped: resync.
    Overflowed,
}

impl Mailbox {
    pub(crate) fn new(user: UserKey) -> Self {
        Self { user, queue: Mutex::default(), reader: AtomicWaker::new() }
    }

    /// Never waits and never grows beyond the bounds.
    pub(crate) fn put(&self, item: Item, backlog: Backlog) {
        {
            let mut queue = self.lock();
            let bytes = if let Item::Frame(frame) = &item { frame.len() } else { 0 };
            let is_full = queue.items.len() >= backlog.frames_max || queue.bytes + bytes > backlog.bytes_max;
            match (is_full, &item) {
                // There are few of these, and a resync does not make up for them.
                (_, Item::Leave(_) | Item::Revoked) => queue.items.push_back(item),
                (true, _) => {
                    metrics::counter!("watchbell_socket_overflows_total").increment(1);
                    queue.items.retain(|item| matches!(item, Item::Leave(_) | Item::Revoked));
                    queue.bytes = 0;
                    queue.overflowed = true;
                }
                // The resync that is due covers this frame too.
                (false, Item::Frame(_)) if queue.overflowed => {}
                (false, _) => {
                    queue.bytes += bytes;
                    queue.items.push_back(item);
                }
            }
        }
        self.reader.wake();
    }

    /// Everything that waits. Wakes the task of `context` when there is more.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Mail> {
        self.reader.register(context.waker());
        let mut queue = self.lock();
        if queue.overflowed {
            queue.overflowed = false;
            return Poll::Ready(Mail::Overflowed);
        }
        if queue.items.is_empty() {
            return Poll::Pending;
        }
        queue.bytes = 0;
        Poll::Ready(Mail::Items(std::mem::take(&mut queue.items)))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; and if it did, a queue of frames is still a queue of frames.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use watchbell::{
        domain::{Tenant, UserId},
        wire::frame::ServerFrame,
    };

    use super::*;

    const BACKLOG: Backlog = Backlog { frames_max: 256, bytes_max: 256 * 1024 };

    fn mailbox() -> Mailbox {
        Mailbox::new(UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap()))
    }

    fn frame(bytes: usize) -> Item {
        let title = "x".repeat(bytes);
        Item::Frame(Arc::new(Frame::new(&ServerFrame::Error { code: "", title: &title }, None)))
    }

    async fn taken(mailbox: &Mailbox) -> Option<usize> {
        match poll_fn(|context| mailbox.poll_take(context)).await {
            Mail::Items(items) => Some(items.len()),
            Mail::Overflowed => None,
        }
    }

    #[tokio::test]
    async fn a_backlog_is_dropped_once_and_said_so() {
        let mailbox = mailbox();
        for _ in 0..=BACKLOG.frames_max {
            mailbox.put(frame(1), BACKLOG);
        }
        mailbox.put(frame(1), BACKLOG);
        assert_eq!(taken(&mailbox).await, None, "one resync for all of it");
        mailbox.put(frame(1), BACKLOG);
        assert_eq!(taken(&mailbox).await, Some(1), "and it goes on after that");
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well() {
        let mailbox = mailbox();
        mailbox.put(frame(BACKLOG.bytes_max / 2), BACKLOG);
        mailbox.put(frame(BACKLOG.bytes_max / 2), BACKLOG);
        assert_eq!(taken(&mailbox).await, None);
    }

    #[tokio::test]
    async fn a_revocation_is_not_lost_in_an_overflow() {
        let mailbox = mailbox();
        mailbox.put(Item::Revoked, BACKLOG);
        for _ in 0..=BACKLOG.frames_max {
            mailbox.put(frame(1), BACKLOG);
        }
        assert_eq!(taken(&mailbox).await, None);
        assert_eq!(taken(&mailbox).await, Some(1));
    }
}
