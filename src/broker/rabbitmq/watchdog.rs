//! Whether the broker counts as unsettled what we hold. Pure: two sets and a time in, a verdict out.
//!
//! A consumer can look well and work for nobody: connected, heartbeats answered, and deliveries that went to
//! somebody who is gone, or that the client library has and does not give us, or settlements that it took and did
//! not send. Each of them is a difference between what the wire says and what we hold, and one that stays. Whoever
//! finds one gives its connection up and begins anew; the broker then delivers to somebody who is there.
//!
//! How many consumers a queue has, which a passive declaration would tell, is no evidence: other processes have
//! theirs, and come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

/// How often it is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a delivery may be on its way, between the wire and us, in either direction. Both are one process and
/// one socket, and a write that takes longer than this has failed before.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// Delivery tags that only one side has, and since when it was seen.
    differ: BTreeMap<u64, Instant>,
}

/// What does not add up, for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the broker counts {unsettled} deliveries as not settled and {held} are held; they have differed in {differ} for {ON_ITS_WAY_MAX:?}"
)]
pub(super) struct Difference {
    unsettled: usize,
    held: usize,
    differ: usize,
}

impl Watchdog {
    /// Compares the wire's count with ours.
    ///
    /// # Errors
    /// [`Difference`] when one has lasted.
    pub(super) fn look(
        &mut self,
        unsettled: &BTreeSet<u64>,
        held: &BTreeSet<u64>,
        now: Instant,
    ) -> Result<(), Difference> {
        self.differ.retain(|tag, _| unsettled.contains(tag) != held.contains(tag));
        for tag in unsettled.symmetric_difference(held) {
            self.differ.entry(*tag).or_insert(now);
        }
        let lasting = self.differ.values().filter(|since| now.duration_since(**since) >= ON_ITS_WAY_MAX);
        match lasting.count() {
            0 => Ok(()),
            differ => Err(Difference { unsettled: unsettled.len(), held: held.len(), differ }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_that_lasts_is_one() {
        let start = Instant::now();
        // Each look: seconds, what the broker counts, what we hold. The verdict is of the last.
        for (why, looks, lasting) in [
            ("nothing at all", vec![(0, vec![], vec![]), (60, vec![], vec![])], 0),
            (
                "the same on both sides, for long",
                vec![(0, vec![1, 2], vec![1, 2]), (60, vec![1, 2], vec![1, 2])],
                0,
            ),
            ("one on its way", vec![(0, vec![1], vec![]), (9, vec![1], vec![])], 0),
            ("one that never arrives: a ghost's", vec![(0, vec![1], vec![]), (10, vec![1], vec![])], 1),
            (
                "one that arrived in between",
                vec![(0, vec![1], vec![]), (9, vec![1], vec![1]), (11, vec![1], vec![])],
                0,
            ),
            (
                "always another: much is on its way",
                vec![(0, vec![1], vec![]), (9, vec![2], vec![]), (18, vec![3], vec![])],
                0,
            ),
            ("one held that the broker does not count", vec![(0, vec![], vec![1]), (10, vec![], vec![1])], 1),
            ("counted, not compared by number", vec![(0, vec![1], vec![2]), (10, vec![1], vec![2])], 2),
            ("a first look after a long sleep proves nothing", vec![(600, vec![1, 2, 3], vec![])], 0),
        ] {
            let mut watchdog = Watchdog::default();
            let mut verdict = Ok(());
            for (secs, unsettled, held) in looks {
                let (unsettled, held) = (unsettled.into_iter().collect(), held.into_iter().collect());
                verdict = watchdog.look(&unsettled, &held, start + Duration::from_secs(secs));
            }
            assert_eq!(verdict.map_or_else(|difference| difference.differ, |()| 0), lasting, "{why}");
        }
    }
}
