//! How many people a page of a large audience has, by how long the pages before it took to record.
//!
//! A page costs more than its people: reading it, the round trips of its commit, and a live message to each partition that has somebody in
//! it. With ten times as many people it costs them little more. But whoever writes next waits for the commit, so what is
//! bounded is its time, and the number follows from how fast this store is.

use std::time::Duration;

use watchbell::store::ROWS_PER_COMMIT_MAX;

use crate::audience::PAGE_ROWS_MAX;

/// A page that took longer is followed by a smaller one; one that took less than half, by a larger one.
const COMMIT_AIM: Duration = Duration::from_millis(25);
/// The most people asked for at once. A page may come with almost twice as many (`audience::page`).
const ROWS_MAX: usize = ROWS_PER_COMMIT_MAX / 2;

/// The size of the next page, in people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(usize);

impl PageSize {
    /// Before anything is known of the store.
    pub(crate) const FIRST: Self = Self(PAGE_ROWS_MAX);

    pub(crate) fn rows(self) -> usize {
        self.0
    }

    /// After a page of `rows` people that took so long to record. A page that had few says nothing of larger ones.
    pub(crate) fn after(self, rows: usize, took: Duration) -> Self {
        match took {
            took if took > COMMIT_AIM => Self((self.0 / 2).max(PAGE_ROWS_MAX)),
            took if took < COMMIT_AIM / 2 && rows >= self.0 => Self((self.0 * 2).min(ROWS_MAX)),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_large_as_a_commit_of_the_time_aimed_for() {
        for (why, before, rows, took_ms, expected) in [
            ("a fast store", 100, 100, 5, 200),
            ("up to the bound", 800, 800, 5, ROWS_MAX),
            ("as aimed for", 400, 400, 20, 400),
            ("too long", 400, 400, 26, 200),
            ("but no smaller than without measuring", 100, 100, 900, PAGE_ROWS_MAX),
            ("the last page was a small one", 400, 30, 1, 400),
            ("a small one that took long", 400, 30, 90, 200),
        ] {
            let after = PageSize(before).after(rows, Duration::from_millis(took_ms));
            assert_eq!(after.rows(), expected, "{why}");
        }
    }
}
