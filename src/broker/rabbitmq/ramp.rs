//! How many deliveries a consumer takes at a time, so that what kills connections is found. Pure.
//!
//! A message may end the connection or the process that takes it, and then the broker counts the delivery for
//! everything that was held with it. With a full prefetch each try would bring hundreds of good messages nearer to
//! their delivery limit. So consuming begins small and widens as deliveries are settled.
//!
//! What holds here:
//! - A process begins with [`START_WINDOW`]: it may itself be the successor of one that a message killed.
//! - After a lost connection it is one at a time. Usually the connection was lost for a reason of its own (a node
//!   went away), and after a hundred settled deliveries the window is full again.
//! - A queue that operators browse has no limit to speak of, and whoever looks holds many at once: its window does
//!   not change.
//! - A connection that is lost while the window still grows is suspicious: then all that were held go one at a
//!   time, and whatever ends the next connection is alone, and alone counted.

/// What a new process begins with.
const START_WINDOW: u16 = 32;

/// How much wider each window is than the one before.
const WIDER: u16 = 8;

#[derive(Debug)]
pub(super) struct Ramp {
    full: u16,
    window: u16,
    /// Settled since the window was last changed.
    settled: usize,
    /// Deliveries that are to be settled one by one before the window grows.
    suspects: usize,
    careful: bool,
}

impl Ramp {
    /// For a queue whose delivery limit is `careful`ly to be spared, or for one to browse.
    pub(super) fn new(full: u16, careful: bool) -> Self {
        let window = if careful { full.min(START_WINDOW) } else { full };
        Self { full, window, settled: 0, suspects: 0, careful }
    }

    /// What the broker may deliver without a settlement.
    pub(super) fn window(&self) -> u16 {
        self.window
    }

    /// The connection was lost with so many deliveries held.
    pub(super) fn lost(&mut self, held: usize) {
        if !self.careful {
            return;
        }
        let still_growing = self.window < self.full;
        self.suspects = if still_growing { self.suspects.max(held) } else { 0 };
        self.window = 1;
        self.settled = 0;
    }

    /// So many deliveries were settled.
    pub(super) fn settled(&mut self, count: usize) {
        self.settled += count;
        self.suspects = self.suspects.saturating_sub(count);
    }

    /// Whether enough was settled for a wider window.
    pub(super) fn may_widen(&self) -> bool {
        self.window < self.full && self.suspects == 0 && self.settled >= usize::from(self.window)
    }

    /// The next window.
    pub(super) fn widen(&mut self) -> u16 {
        self.settled = 0;
        self.window = self.window.saturating_mul(WIDER).min(self.full);
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Does {
        Settles(usize),
        Loses(usize),
    }
    use Does::{Loses, Settles};

    #[test]
    fn the_window_grows_with_what_is_settled_and_is_one_after_a_loss() {
        for (why, full, story, windows) in [
            ("a new process begins small", 512, vec![], vec![]),
            (
                "and is soon at full speed",
                512,
                vec![Settles(31), Settles(1), Settles(256)],
                vec![32, 256, 512],
            ),
            ("a small prefetch is full at once", 2, vec![Settles(1), Settles(9)], vec![2, 2]),
            (
                "after a loss, one; then eight, then all",
                64,
                vec![Settles(32), Loses(64), Settles(1), Settles(7), Settles(1)],
                vec![64, 1, 8, 8, 64],
            ),
            (
                "a second loss while it grows: what was held goes one by one",
                64,
                vec![Settles(32), Loses(64), Settles(1), Loses(8), Settles(7), Settles(1)],
                vec![64, 1, 8, 1, 1, 8],
            ),
            (
                "the culprit is alone, however often it comes; its neighbours are still suspects",
                64,
                vec![
                    Settles(32),
                    Loses(64),
                    Settles(1),
                    Loses(8),
                    Settles(3),
                    Loses(1),
                    Loses(1),
                    Settles(4),
                ],
                vec![64, 1, 8, 1, 1, 1, 1, 1],
            ),
            (
                "a loss at full speed suspects nobody yet",
                8,
                vec![Loses(8), Settles(1), Settles(8), Loses(8), Settles(1)],
                vec![1, 8, 8, 1, 8],
            ),
            ("a process that is killed young", 512, vec![Loses(32), Settles(31), Settles(1)], vec![1, 1, 8]),
            ("one at a time stays so", 1, vec![Settles(5), Loses(1), Settles(1)], vec![1, 1, 1]),
        ] {
            let mut ramp = Ramp::new(full, true);
            assert_eq!(ramp.window(), full.min(START_WINDOW), "{why}");
            let seen: Vec<u16> = story
                .into_iter()
                .map(|event| {
                    match event {
                        Loses(held) => ramp.lost(held),
                        Settles(count) => ramp.settled(count),
                    }
                    if ramp.may_widen() { ramp.widen() } else { ramp.window() }
                })
                .collect();
            let windows = if windows.is_empty() { seen.clone() } else { windows };
            assert_eq!(seen, windows, "{why}");
        }
        let mut browsing = Ramp::new(512, false);
        browsing.lost(512);
        browsing.settled(512);
        assert_eq!((browsing.window(), browsing.may_widen()), (512, false));
    }
}
