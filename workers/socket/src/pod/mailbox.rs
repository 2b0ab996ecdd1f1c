//! What waits for one session. Bounded: a session that does not read has its backlog dropped and is told so once (I9).

use std::{
    collections::VecDeque,
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use watchbell::{domain::UserKey, store::Head, wire::CloseCode};

use crate::{
    frames::{epoch::Epoch, frame::Frame, sent::SentFrames},
    pod::lent::Lent,
};

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
///
/// A session that waits lends its connection to its mailbox, and a frame that nothing stands before is written without the
/// session. For anything else the session is woken, and takes its connection back before it does anything.
pub(crate) struct Mailbox {
    /// Whose session it is.
    pub(crate) user: UserKey,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Waiting,
    /// Of the frames that wait.
    bytes: u32,
    overflowed: bool,
    /// Whether it is on the list of those that are written directly.
    is_listed: bool,
    /// The session's task, when it waits.
    reader: Option<Waker>,
    lent: Option<Lent>,
}

/// Nearly always nothing, and then nearly always one frame.
#[derive(Default)]
enum Waiting {
    #[default]
    Nothing,
    Frame(Arc<Frame>),
    #[allow(clippy::box_collection, reason = "it is rare, and every session has this")]
    Items(Box<VecDeque<Item>>),
}

/// What was taken out.
pub(crate) enum Mail {
    /// Send this.
    Frame(Arc<Frame>),
    /// Do these, in order.
    Items(VecDeque<Item>),
    /// The backlog was dropped: resync.
    Overflowed,
}

impl Mailbox {
    pub(crate) fn new(user: UserKey) -> Self {
        Self { user, queue: Mutex::default() }
    }

    /// Never waits and never grows beyond the bounds. Says whether the mailbox goes onto the list of those that are written
    /// directly ([`Mailbox::write`]); it is there once at the most.
    #[must_use]
    pub(crate) fn put(&self, item: Item, backlog: Backlog) -> bool {
        let waker = {
            let mut queue = self.lock();
            let is_frame = matches!(item, Item::Frame(_));
            queue.add(item, backlog);
            if is_frame && !queue.overflowed && queue.lent.is_some() {
                return !std::mem::replace(&mut queue.is_listed, true);
            }
            queue.reader.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        false
    }

    /// Writes the frames that wait, if the session has lent its connection, and wakes it when there is more to do.
    pub(crate) fn write(&self, sent: &SentFrames) {
        let waker = {
            let mut queue = self.lock();
            queue.is_listed = false;
            if queue.write(sent) { None } else { queue.reader.take() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Everything that waits. Wakes the task of `context` when there is more.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Mail> {
        let mut queue = self.lock();
        if let Some(mail) = queue.take() {
            return Poll::Ready(mail);
        }
        if queue.reader.as_ref().is_none_or(|reader| !reader.will_wake(context.waker())) {
            queue.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Lends it the connection of a session that has nothing to do and waits for what is put in here. Given back when
    /// something was put in meanwhile; then the session has been woken.
    pub(crate) fn lend(&self, lent: Lent) -> Option<Lent> {
        let mut queue = self.lock();
        if !matches!(queue.waiting, Waiting::Nothing) || queue.overflowed {
            return Some(lent);
        }
        queue.lent.replace(lent)
    }

    /// What was lent. From now on nobody else writes to it.
    pub(crate) fn take_back(&self) -> Option<Lent> {
        self.lock().lent.take()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; and if it did, a queue of frames is still a queue of frames.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn add(&mut self, item: Item, backlog: Backlog) {
        let bytes = if let Item::Frame(frame) = &item { frame.len() as u32 } else { 0 };
        let is_full = self.waiting.len() >= backlog.frames_max
            || (self.bytes as usize).saturating_add(bytes as usize) > backlog.bytes_max;
        match (is_full, &item) {
            // There are few of these, and a resync does not make up for them.
            (_, Item::Leave(_) | Item::Revoked) => self.waiting.push(item),
            (true, _) => {
                metrics::counter!("watchbell_socket_overflows_total").increment(1);
                self.waiting.drop_backlog();
                self.bytes = 0;
                self.overflowed = true;
            }
            // The resync that is due covers this frame too.
            (false, Item::Frame(_)) if self.overflowed => {}
            (false, _) => {
                self.bytes += bytes;
                self.waiting.push(item);
            }
        }
    }

    fn take(&mut self) -> Option<Mail> {
        if std::mem::take(&mut self.overflowed) {
            return Some(Mail::Overflowed);
        }
        let mail = match std::mem::take(&mut self.waiting) {
            Waiting::Nothing => return None,
            Waiting::Frame(frame) => Mail::Frame(frame),
            Waiting::Items(items) => Mail::Items(*items),
        };
        self.bytes = 0;
        Some(mail)
    }

    /// Writes as many frames as it can without the session. Says whether nothing is left for the session to do now; one that
    /// has its connection looks in here by itself.
    fn write(&mut self, sent: &SentFrames) -> bool {
        let Some(lent) = &mut self.lent else { return true };
        match &mut self.waiting {
            Waiting::Nothing => {}
            Waiting::Frame(frame) => {
                if lent.write(iter::once(&**frame), sent) > 0 {
                    self.waiting = Waiting::Nothing;
                    self.bytes = 0;
                }
            }
            Waiting::Items(items) => loop {
                let frames = items
                    .iter()
                    .map_while(|item| if let Item::Frame(frame) = item { Some(&**frame) } else { None });
                let done = lent.write(frames, sent);
                for item in items.drain(..done) {
                    if let Item::Frame(frame) = item {
                        self.bytes -= frame.len() as u32;
                    }
                }
                if items.is_empty() {
                    self.waiting = Waiting::Nothing;
                    break;
                }
                if done == 0 {
                    break;
                }
            },
        }
        matches!(self.waiting, Waiting::Nothing) && lent.rest.is_none() && !self.overflowed
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Frame(_) => 1,
            Self::Items(items) => items.len(),
        }
    }

    fn push(&mut self, item: Item) {
        *self = match (std::mem::take(self), item) {
            (Self::Nothing, Item::Frame(frame)) => Self::Frame(frame),
            (Self::Nothing, item) => Self::Items(Box::new(VecDeque::from([item]))),
            (Self::Frame(first), item) => Self::Items(Box::new(VecDeque::from([Item::Frame(first), item]))),
            (Self::Items(mut items), item) => {
                items.push_back(item);
                Self::Items(items)
            }
        };
    }

    /// Drops what a resync makes up for.
    fn drop_backlog(&mut self) {
        if let Self::Items(items) = self {
            items.retain(|item| matches!(item, Item::Leave(_) | Item::Revoked));
            if !items.is_empty() {
                return;
            }
        }
        *self = Self::Nothing;
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
            Mail::Frame(_) => Some(1),
            Mail::Items(items) => Some(items.len()),
            Mail::Overflowed => None,
        }
    }

    fn put(mailbox: &Mailbox, item: Item) {
        assert!(!mailbox.put(item, BACKLOG), "nothing was lent");
    }

    #[tokio::test]
    async fn a_backlog_is_dropped_once_and_said_so() {
        let mailbox = mailbox();
        for _ in 0..=BACKLOG.frames_max {
            put(&mailbox, frame(1));
        }
        put(&mailbox, frame(1));
        assert_eq!(taken(&mailbox).await, None, "one resync for all of it");
        put(&mailbox, frame(1));
        assert_eq!(taken(&mailbox).await, Some(1), "and it goes on after that");
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well() {
        let mailbox = mailbox();
        put(&mailbox, frame(BACKLOG.bytes_max / 2));
        put(&mailbox, frame(BACKLOG.bytes_max / 2));
        assert_eq!(taken(&mailbox).await, None);
    }

    #[tokio::test]
    async fn a_revocation_is_not_lost_in_an_overflow() {
        let mailbox = mailbox();
        put(&mailbox, Item::Revoked);
        for _ in 0..=BACKLOG.frames_max {
            put(&mailbox, frame(1));
        }
        assert_eq!(taken(&mailbox).await, None);
        assert_eq!(taken(&mailbox).await, Some(1));
    }
}
