//! Frames in order: what to do with a live frame, given what the session has. Pure.
//!
//! Two dispatchers may publish neighbouring numbers in either order, so a frame whose predecessor is missing is held
//! for a moment. If the predecessor does not come, the session is healed from the store.

use std::collections::BTreeMap;

use watchbell::domain::Seq;

/// Frames held at the most; one more means that a real hole is there.
pub(crate) const HELD_MAX: usize = 64;

/// Where one session stands.
pub(crate) struct Order<F> {
    /// The last change number the client was given.
    last: Seq,
    held: BTreeMap<Seq, F>,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ordered<F> {
    /// Send it: by far the most frequent.
    Next(F),
    /// Send these, in this order.
    Send(Vec<F>),
    /// It waits for its predecessor.
    Held,
    /// The client has it already.
    Old,
    /// Too much is held: heal now.
    Heal,
}

impl<F> Order<F> {
    pub(crate) fn after(last: Seq) -> Self {
        Self { last, held: BTreeMap::new() }
    }

    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// The client was given everything up to `seq`, in order, while nothing was held.
    pub(crate) fn was_given(&mut self, seq: Seq) {
        self.last = self.last.max(seq);
    }

    /// Whether frames wait for a predecessor.
    pub(crate) fn has_hole(&self) -> bool {
        !self.held.is_empty()
    }

    /// A live frame arrived.
    pub(crate) fn take(&mut self, seq: Seq, frame: F) -> Ordered<F> {
        if seq <= self.last {
            return Ordered::Old;
        }
        if seq == self.last + 1 && self.held.is_empty() {
            self.last = seq;
            return Ordered::Next(frame);
        }
        self.held.insert(seq, frame);
        let ready = self.release();
        match (ready.is_empty(), self.held.len() > HELD_MAX) {
            (false, _) => Ordered::Send(ready),
            (true, false) => Ordered::Held,
            (true, true) => Ordered::Heal,
        }
    }

    /// The client was brought up to `seq` from the store. Returns the frames that follow on directly.
    pub(crate) fn healed_to(&mut self, seq: Seq) -> Vec<F> {
        self.paged_to(seq);
        self.release()
    }

    /// The client was brought up to `seq`, and more of the store's answer is to come. Nothing is let go yet: what
    /// follows on may be the receipt of an alert that moved to a later page.
    pub(crate) fn paged_to(&mut self, seq: Seq) {
        self.last = self.last.max(seq);
        self.held = self.held.split_off(&(self.last + 1));
    }

    /// Everything before `seq` is given up: the client was told to fetch the inbox.
    pub(crate) fn jump_to(&mut self, seq: Seq) {
        self.last = seq;
        self.held.clear();
    }

    fn release(&mut self) -> Vec<F> {
        let mut ready = Vec::new();
        while let Some(frame) = self.held.remove(&(self.last + 1)) {
            self.last += 1;
            ready.push(frame);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_whatever_order_they_come_in() {
        let mut order = Order::after(4);
        for (why, seq, expected) in [
            ("the next one", 5, Ordered::Next(5)),
            ("again", 5, Ordered::Old),
            ("long known", 1, Ordered::Old),
            ("its predecessor is missing", 8, Ordered::Held),
            ("and still", 7, Ordered::Held),
            ("here it is, and what waited for it", 6, Ordered::Send(vec![6, 7, 8])),
        ] {
            assert_eq!(order.take(seq, seq), expected, "{why}");
        }
        assert!(!order.has_hole());
    }

    #[test]
    fn what_the_store_told_is_not_told_again() {
        let mut order = Order::after(0);
        assert_eq!(order.take(3, 3), Ordered::Held);
        assert_eq!(order.take(5, 5), Ordered::Held);
        assert_eq!(order.healed_to(4), vec![5], "3 was in the store's answer, 5 follows on");
        assert_eq!(order.last(), 5);
        assert_eq!(order.healed_to(2), Vec::<u64>::new(), "an older answer takes nothing back");
        assert_eq!(order.last(), 5);
    }

    #[test]
    fn nothing_is_let_go_between_two_pages() {
        let mut order = Order::after(0);
        assert_eq!(order.take(3, 3), Ordered::Held);
        order.paged_to(2);
        assert_eq!((order.last(), order.has_hole()), (2, true), "3 may be about an alert of the next page");
        assert_eq!(order.healed_to(2), vec![3], "that was the last page");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut order = Order::after(0);
        for seq in 2..2 + HELD_MAX as u64 {
            assert_eq!(order.take(seq, ()), Ordered::Held);
        }
        assert_eq!(order.take(1_000, ()), Ordered::Heal);
        order.jump_to(1_000);
        assert!(!order.has_hole());
    }
}
