//! One feed for every transport: how a session, a stream or a poll joins an inbox and follows it in order.
//!
//! A follower is made after its session was registered for live frames ([`Follower::join`]). It then continues from the
//! cursor of the client, or from the head of the inbox. Live frames go through [`Follower::take`], which lets each through
//! in its turn. What is missing comes from the store by [`Follower::next_page`], at once or when [`Follower::heal_at`] says.
//!
//! What holds here: whatever a follower gives out is in the order of the change numbers of one epoch, without gaps (I3).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use watchbell::{
    domain::{Seq, UserKey},
    store::{Head, StoreError},
    wire::preferences::PreferencesV1,
};

use crate::{
    feed::{
        inbox::Inbox,
        order::{Order, Ordered},
        replay::{Page, changes_after, resync_frame},
    },
    frames::{epoch::Epoch, frame::Frame},
    pod::heads::HeadUnavailable,
};

/// How long a frame waits for its predecessor before the store is asked.
const HOLE_WAIT: Duration = Duration::from_millis(150);
/// The wait before a store that did not answer is asked again.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Where one session stands in an inbox.
pub(crate) struct Follower<F = Arc<Frame>> {
    order: Order<F>,
    /// The epoch that the numbers of `order` belong to.
    epoch: Arc<Epoch>,
    /// When the inbox is compared with the store, if something is missing.
    heal_at: Option<Instant>,
}

/// A follower that has joined, and what its client is told first.
pub(crate) struct Joined {
    pub(crate) follower: Follower,
    pub(crate) start: Start,
    pub(crate) head: Head,
    pub(crate) preferences: PreferencesV1,
}

/// Where a follower starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the head: the client had no cursor.
    Head,
    /// At the cursor of the client.
    Cursor,
    /// At the head: the cursor means nothing, for this reason.
    Refused(&'static str),
}

/// What a head that was read from the store says about a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Level,
    /// Something changed that the client was not told.
    Behind,
    /// The store tells another history now.
    AnotherEpoch,
}

/// What is sent of one page of changes.
pub(crate) enum CaughtUp {
    /// Send these.
    Frames {
        frames: Vec<Arc<Frame>>,
        /// Whether that was all that was missing.
        complete: bool,
    },
    /// What is missing cannot be told, for this reason: the client fetches its inbox and continues from this head.
    Refused(&'static str, Head),
}

impl Follower {
    /// Joins an inbox at a client's cursor. The session has to be registered for live frames before: what changes from
    /// then on reaches its mailbox, and what changed before is read from the store.
    pub(crate) async fn join(
        inbox: &Inbox,
        user: &UserKey,
        cursor: Option<&str>,
    ) -> Result<Joined, HeadUnavailable> {
        let epoch = inbox.epochs.known().await.ok_or(HeadUnavailable)?;
        let (head, preferences) = inbox.heads.welcome(user).await?;
        let (start, after) = match cursor.map(|raw| epoch.number_of(raw, head)) {
            None => (Start::Head, head.seq),
            Some(Ok(seq)) => (Start::Cursor, seq),
            Some(Err(reason)) => (Start::Refused(reason), head.seq),
        };
        Ok(Joined { follower: Self::after(after, epoch), start, head, preferences })
    }

    /// The next page of what the client misses, and after the last one what was held until it came.
    pub(crate) async fn next_page(&mut self, inbox: &Inbox, user: &UserKey) -> Result<CaughtUp, StoreError> {
        match changes_after(inbox, user, &self.epoch, self.last()).await? {
            Page::Refused(reason, head) => Ok(CaughtUp::Refused(reason, head)),
            Page::Frames { mut frames, reached, complete } => {
                frames.extend(self.paged_to(reached, complete, Instant::now()));
                Ok(CaughtUp::Frames { frames, complete })
            }
        }
    }

    /// Gives up everything before this head. The frame tells the client to fetch its inbox, and why.
    pub(crate) fn resync(&mut self, reason: &str, head: Head) -> Frame {
        self.jump_to(head.seq);
        resync_frame(reason, &self.epoch, head)
    }
}

impl<F> Follower<F> {
    /// Of a client that has everything up to `last`.
    pub(crate) fn after(last: Seq, epoch: Arc<Epoch>) -> Self {
        Self { order: Order::after(last), epoch, heal_at: None }
    }

    /// The number of the last change that the client was given.
    pub(crate) fn last(&self) -> Seq {
        self.order.last()
    }

    /// The epoch that its numbers and cursors belong to.
    pub(crate) fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// Continues in another epoch. Its client is owed a [`Follower::resync`].
    pub(crate) fn enter(&mut self, epoch: Arc<Epoch>) {
        self.epoch = epoch;
    }

    /// A live frame with the number `seq` of the epoch `epoch`. Gives out what the client is to be sent now, in order.
    pub(crate) fn take(
        &mut self,
        seq: Seq,
        epoch: u32,
        frame: F,
        now: Instant,
    ) -> impl Iterator<Item = F> + use<F> {
        // Of an epoch that is over, or that this follower has yet to enter by a resync.
        let ordered = if epoch == self.epoch.number { self.order.take(seq, frame) } else { Ordered::Old };
        let (next, ready) = match ordered {
            Ordered::Next(frame) => (Some(frame), Vec::new()),
            Ordered::Send(frames) => {
                if !self.order.has_hole() {
                    self.heal_at = None;
                }
                (None, frames)
            }
            Ordered::Old => (None, Vec::new()),
            Ordered::Held => {
                self.heal_at.get_or_insert(now + HOLE_WAIT);
                (None, Vec::new())
            }
            Ordered::Heal => {
                self.heal_at = Some(now);
                (None, Vec::new())
            }
        };
        next.into_iter().chain(ready)
    }

    /// The client was given everything up to `seq`, in order.
    pub(crate) fn was_given(&mut self, seq: Seq) {
        self.order.was_given(seq);
    }

    /// Whether nothing is missing as far as is known: the next live frame that follows can be sent.
    pub(crate) fn is_level(&self) -> bool {
        self.heal_at.is_none() && !self.order.has_hole()
    }

    /// Whether the client has everything that the store had when it told this head.
    pub(crate) fn compare(&self, head: &Head, epoch: &Epoch) -> Standing {
        if epoch.number > self.epoch.number {
            Standing::AnotherEpoch
        } else if head.seq > self.last() {
            Standing::Behind
        } else {
            Standing::Level
        }
    }

    /// When [`Follower::next_page`] is to be called, if something is missing.
    pub(crate) fn heal_at(&self) -> Option<Instant> {
        self.heal_at
    }

    /// Whether it is time for [`Follower::next_page`]. Says so once.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        self.heal_at.take_if(|at| *at <= now).is_some()
    }

    /// Something is missing, and the store is asked now.
    pub(crate) fn heal_now(&mut self, now: Instant) {
        self.heal_at = Some(now);
    }

    /// The store did not answer.
    pub(crate) fn heal_later(&mut self, now: Instant) {
        self.heal_at = Some(now + STORE_WAIT);
    }

    /// Everything before `seq` is given up: the client was told to fetch its inbox.
    pub(crate) fn jump_to(&mut self, seq: Seq) {
        self.order.jump_to(seq);
        self.heal_at = None;
    }

    /// The client was given a page of changes that ends with `reached`. Gives out what follows on directly, if the page was
    /// the last one.
    pub(crate) fn paged_to(&mut self, reached: Seq, complete: bool, now: Instant) -> Vec<F> {
        if !complete {
            self.order.paged_to(reached);
            self.heal_at = None;
            return Vec::new();
        }
        let ready = self.order.healed_to(reached);
        self.heal_at = self.order.has_hole().then(|| now + HOLE_WAIT);
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn follower(last: Seq) -> Follower<Seq> {
        Follower::after(last, Arc::default())
    }

    fn taken(follower: &mut Follower<Seq>, seq: Seq, now: Instant) -> Vec<Seq> {
        follower.take(seq, 0, seq, now).collect()
    }

    #[test]
    fn a_hole_is_waited_for_and_then_healed_from_the_store() {
        let began = Instant::now();
        let mut follower = follower(4);
        for (why, at, seq, sent, heal_at) in [
            ("the next one", ms(0), 5, vec![5], None),
            ("its predecessor is missing", ms(10), 8, vec![], Some(ms(160))),
            ("one more does not make it wait longer", ms(20), 9, vec![], Some(ms(160))),
            ("a part of the hole is filled", ms(30), 6, vec![6], Some(ms(160))),
            ("all of it is", ms(40), 7, vec![7, 8, 9], None),
            ("an old one changes nothing", ms(50), 3, vec![], None),
        ] {
            assert_eq!(taken(&mut follower, seq, began + at), sent, "{why}");
            assert_eq!(follower.heal_at(), heal_at.map(|at| began + at), "{why}");
        }
    }

    #[test]
    fn the_store_is_asked_once_when_it_is_time() {
        let began = Instant::now();
        let mut follower = follower(0);
        taken(&mut follower, 2, began);
        assert!(!follower.is_due(began + ms(149)));
        assert!(follower.is_due(began + ms(150)));
        assert!(!follower.is_due(began + ms(150)), "it says so once");
        follower.heal_later(began);
        assert_eq!(follower.heal_at(), Some(began + STORE_WAIT), "the store did not answer");
        assert_eq!(follower.paged_to(1, true, began), [2], "the store had it");
        assert_eq!(follower.heal_at(), None);
        taken(&mut follower, 9, began);
        assert_eq!(follower.paged_to(5, true, began), [0; 0], "8 is not in the store yet");
        assert_eq!(follower.heal_at(), Some(began + HOLE_WAIT), "it is waited for again");
        follower.jump_to(9);
        assert_eq!(
            (follower.last(), follower.heal_at()),
            (9, None),
            "the client was told to fetch its inbox"
        );
    }

    #[test]
    fn frames_of_another_epoch_are_left_out_until_it_is_entered() {
        let epochs = crate::frames::epoch::Epochs::default();
        let now = Instant::now();
        epochs.begin("aa");
        let mut follower: Follower<Seq> = Follower::after(0, epochs.current());
        epochs.begin("bb");
        let (head, next) = (Head { seq: 3, ..Head::default() }, epochs.current());
        assert_eq!(follower.compare(&head, follower.epoch()), Standing::Behind);
        assert_eq!(follower.compare(&head, &next), Standing::AnotherEpoch);
        assert_eq!(follower.take(1, next.number, 1, now).count(), 0);
        follower.enter(next.clone());
        follower.jump_to(3);
        assert_eq!(follower.compare(&head, &next), Standing::Level);
        assert_eq!(follower.take(4, next.number, 4, now).collect::<Vec<_>>(), [4]);
    }
}
