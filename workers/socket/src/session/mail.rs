//! What waits in a session's mailbox, and what the session does about it.

use std::sync::Arc;

use tokio::time::Instant;
use watchbell::{
    store::Head,
    wire::{CloseCode, frame::ServerFrame},
};

use crate::{
    feed::follower::Standing,
    frames::{
        epoch::Epoch,
        frame::{self, Frame},
    },
    pod::mailbox::{Item, Mail},
    session::{
        snapshots::mark_of,
        state::{Session, SessionEnd},
    },
};

impl Session<'_> {
    /// Sends frames, which are nearly all that comes and wait for nothing. Gives back what does wait, and what comes after
    /// it.
    pub(crate) fn send_frames(&mut self, mail: Mail) -> Option<Mail> {
        let mut items = match mail {
            Mail::Frame(frame) => {
                self.send_live(frame);
                return None;
            }
            Mail::Items(items) => items,
            Mail::Overflowed => return Some(mail),
        };
        while let Some(item) = items.pop_front() {
            let Item::Frame(frame) = item else {
                items.push_front(item);
                return Some(Mail::Items(items));
            };
            self.send_live(frame);
        }
        None
    }

    /// Does what is to be done, in order.
    pub(crate) async fn open(&mut self, mail: Mail) -> Result<(), SessionEnd> {
        let items = match mail {
            Mail::Frame(frame) => {
                self.send_live(frame);
                return Ok(());
            }
            Mail::Items(items) => items,
            Mail::Overflowed => return Box::pin(self.start_over()).await,
        };
        for item in items {
            match item {
                Item::Frame(frame) => self.send_live(frame),
                Item::Ping { head, epoch } => self.ping(head, epoch).await?,
                Item::Leave(leave) => self.leave(leave),
                Item::Revoked => {
                    let head = Box::pin(self.head()).await?;
                    self.check_revoked(&head)?;
                }
            }
        }
        Ok(())
    }

    /// A live frame: one with a number is sent in its turn, any other at once.
    fn send_live(&mut self, frame: Arc<Frame>) {
        match frame.seq {
            Some(seq) => {
                let ready = self.state.follower.take(seq, frame.epoch(), frame, Instant::now());
                ready.for_each(|frame| self.put_filtered(&frame));
            }
            None => self.send_event(&frame),
        }
    }

    /// An event of a topic, or the user's preferences.
    fn send_event(&mut self, frame: &Frame) {
        let snapshots = self.state.extras.as_ref().map(|extras| &extras.snapshots);
        let snapshots = snapshots.filter(|snapshots| !snapshots.is_empty());
        let is_known = snapshots
            .is_some_and(|snapshots| mark_of(frame.facets()).is_some_and(|event| snapshots.knows(event)));
        if !is_known {
            self.put_filtered(frame);
        }
    }

    async fn ping(&mut self, head: Head, epoch: Arc<Epoch>) -> Result<(), SessionEnd> {
        // A client that cannot answer is found by the write that fails.
        let answers = self.connection.form().is_websocket();
        if answers && self.state.deadlines.is_silent(Instant::now(), self.parts.config.ping_every) {
            return Err(SessionEnd::Close(CloseCode::NoPong));
        }
        self.check_revoked(&head)?;
        match self.state.follower.compare(&head, &epoch) {
            Standing::AnotherEpoch => {
                self.state.follower.enter(epoch);
                self.resync("the store tells another history", head);
                Box::pin(self.refresh(None)).await?;
            }
            Standing::Behind => Box::pin(self.catch_up()).await?,
            Standing::Level => {}
        }
        let seq = self.state.follower.last();
        self.put(&Frame::new(&ServerFrame::Ping { seq, cursor: None }, Some(seq)));
        if answers {
            self.connection.put_bytes(frame::ping());
        }
        Ok(())
    }

    /// The backlog was dropped: the client fetches its inbox, and is sent the kept events of its topics again.
    async fn start_over(&mut self) -> Result<(), SessionEnd> {
        let epoch = self.parts.inbox.epoch();
        let head = self.head().await?;
        self.state.follower.enter(epoch);
        self.resync("your backlog was dropped", head);
        self.refresh(None).await
    }
}
