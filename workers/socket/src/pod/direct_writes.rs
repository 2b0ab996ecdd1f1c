//! Writes live frames to idle sessions, many of them one after the other, without waking their tasks.
//!
//! One event may be for ten thousand sessions, and to wake a task costs a good part of the write that it is woken for. So an
//! idle session lends its connection (`lent.rs`), and the mailboxes that have frames for such connections stand in one list,
//! each once. The list is written from its front, [`AT_ONCE`] mailboxes at a time, and other tasks run in between.
//!
//! What holds here:
//! - A live message does not wait for a task: the pump writes to the first sessions itself.
//! - Frames of several messages that come together are written together, because they wait in the mailboxes.
//! - The rest of a long list is shared by as many writers as there are cores.
//! - Who does not read holds nobody up: a write that would block is left to the session.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::yield_now;
use tokio_util::task::TaskTracker;

use crate::{
    frames::sent::SentFrames,
    pod::mailbox::{Backlog, Mailbox},
};

/// Mailboxes that are written before other tasks run: about a quarter of a millisecond.
const AT_ONCE: usize = 32;
/// The part of a backlog by which live messages may be ahead of what is written: a fourth.
const AHEAD_SHARE: usize = 4;

/// Mailboxes with frames to be written, and those who write them.
pub(crate) struct DirectWrites {
    list: Mutex<List>,
    /// How far the pump may be ahead of what is written.
    ahead_max: Ahead,
    /// Tasks that write at the same time, at the most, beside the pump.
    writers_max: usize,
    /// What is written is counted here.
    sent: Arc<SentFrames>,
}

#[derive(Default)]
struct List {
    /// At most one for each session.
    mailboxes: VecDeque<Arc<Mailbox>>,
    /// Since the list was empty.
    ahead: Ahead,
    /// Tasks that write until the list is empty.
    writers: usize,
}

/// Live messages that were put into mailboxes, and their bytes.
#[derive(Default)]
struct Ahead {
    messages: usize,
    bytes: usize,
}

impl List {
    fn take_some(&mut self) -> Vec<Arc<Mailbox>> {
        let count = self.mailboxes.len().min(AT_ONCE);
        let some = self.mailboxes.drain(..count).collect();
        if self.mailboxes.is_empty() {
            self.ahead = Ahead::default();
        }
        some
    }
}

impl DirectWrites {
    /// `backlog` is what may wait for each session, and `writers_max` how many tasks may write beside the pump.
    pub(crate) fn new(sent: Arc<SentFrames>, backlog: Backlog, writers_max: usize) -> Self {
        let Backlog { frames_max, bytes_max } = backlog;
        let ahead_max = Ahead { messages: frames_max / AHEAD_SHARE, bytes: bytes_max / AHEAD_SHARE };
        Self { list: Mutex::default(), ahead_max, writers_max, sent }
    }

    /// Writes what a live message of so many bytes brought, after it was put into mailboxes: to the first sessions at once, to
    /// the rest beside the next messages. When the pump is far ahead it waits for the rest: otherwise messages that come faster
    /// than they can be written would fill the backlogs of clients that read all the time.
    pub(crate) async fn pump(self: &Arc<Self>, message_bytes: usize, tasks: &TaskTracker) {
        let is_far_ahead = {
            let mut list = self.list();
            let ahead = &mut list.ahead;
            ahead.messages += 1;
            ahead.bytes += message_bytes;
            ahead.messages > self.ahead_max.messages || ahead.bytes > self.ahead_max.bytes
        };
        if self.write_some() {
            self.share(tasks);
            if is_far_ahead {
                self.write_all().await;
            }
        }
    }

    /// Puts a mailbox on the list, because it said so. Whoever gives out frames calls [`Self::pump`] afterwards.
    pub(crate) fn add(&self, mailbox: Arc<Mailbox>) {
        self.list().mailboxes.push_back(mailbox);
    }

    /// Writes to the first sessions of the list. Says whether there are more.
    fn write_some(&self) -> bool {
        let (some, is_more) = {
            let mut list = self.list();
            (list.take_some(), !list.mailboxes.is_empty())
        };
        self.write(&some);
        is_more
    }

    /// Writes until nothing is left, and lets other tasks run in between.
    async fn write_all(&self) {
        while self.write_some() {
            yield_now().await;
        }
    }

    /// Has the rest of the list written by tasks of their own, each of which ends when the list is empty.
    fn share(self: &Arc<Self>, tasks: &TaskTracker) {
        let begin = {
            let mut list = self.list();
            let wanted = list.mailboxes.len().div_ceil(AT_ONCE).min(self.writers_max);
            let begin = wanted.saturating_sub(list.writers);
            list.writers += begin;
            begin
        };
        for _ in 0..begin {
            tasks.spawn(self.clone().write_shared());
        }
    }

    /// One writer of several.
    async fn write_shared(self: Arc<Self>) {
        loop {
            let some = {
                let mut list = self.list();
                let some = list.take_some();
                if some.is_empty() {
                    // Under the same lock, so that whoever adds something sees that nobody writes it.
                    list.writers -= 1;
                    return;
                }
                some
            };
            self.write(&some);
            yield_now().await;
        }
    }

    fn write(&self, mailboxes: &[Arc<Mailbox>]) {
        mailboxes.iter().for_each(|mailbox| mailbox.write(&self.sent));
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing panics while it is held, and a list of mailboxes would still be one.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
