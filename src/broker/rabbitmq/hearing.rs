//! Whether a live source still hears: decided from what was heard and when. No clock and no I/O.
//!
//! A pod can be connected, its heartbeats answered, and never get a message again: its node hung and came back
//! without the queue, the queue lost its bindings, its node lost the others. So it is asked, in two ways:
//! - After a second of silence a pulse goes to the source's own queue, over the publishing connection, which is
//!   usually on another node: that proves queue, consumer, connection and the way between the nodes.
//! - After some ten seconds without a frame of a partition, a pulse goes through its exchange: that proves the
//!   binding. Everybody who follows the partition hears it, and whoever has heard one does not ask, so this costs
//!   each pod 16 messages in ten seconds at most, however many pods there are, and nothing where there is traffic.
//!   (A pulse a second through each exchange, by every pod, would grow with the square of the pods.)
//!
//! Only a pulse that the broker took and that did not arrive proves deafness: a publisher in trouble does not.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::broker::{DEAF_AFTER, PULSE_EVERY};

/// Silence of one partition, after which its binding is tried. The pod's jitter is added.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Silence of everything, after which a source starts over although nothing is proven.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What a pulse is to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Probe {
    Own,
    Partition(u16),
}

#[derive(Debug)]
pub(super) struct Hearing {
    ears: BTreeMap<Probe, Ear>,
    jitter: Duration,
}

#[derive(Debug)]
struct Ear {
    heard: Instant,
    asking: bool,
    /// The broker took a pulse then, and it has not arrived since.
    unheard_since: Option<Instant>,
}

impl Hearing {
    /// `jitter` spreads the pods, so that one asks and the others hear it.
    pub(super) fn new(partitions: impl IntoIterator<Item = u16>, jitter: Duration, now: Instant) -> Self {
        let probes = partitions.into_iter().map(Probe::Partition).chain([Probe::Own]);
        Self { ears: probes.map(|probe| (probe, Ear::new(now))).collect(), jitter }
    }

    pub(super) fn follow(&mut self, partition: u16, now: Instant) {
        self.ears.entry(Probe::Partition(partition)).or_insert_with(|| Ear::new(now));
    }

    pub(super) fn unfollow(&mut self, partition: u16) {
        self.ears.remove(&Probe::Partition(partition));
    }

    /// Something arrived: of a partition, or a pulse of our own. Says whether the silence before it was so long
    /// that frames may have been lost in it.
    pub(super) fn heard(&mut self, probe: Probe, now: Instant) -> bool {
        let mut silent = false;
        for (ear_of, ear) in &mut self.ears {
            if *ear_of == Probe::Own {
                silent = now.duration_since(ear.heard) > DEAF_AFTER;
            }
            // Whatever arrives came through our queue.
            if *ear_of == probe || *ear_of == Probe::Own {
                ear.heard = now;
                ear.unheard_since = None;
            }
        }
        silent
    }

    /// What to ask now. Each is then answered by [`Self::asked`].
    pub(super) fn due(&mut self, now: Instant) -> Vec<Probe> {
        let jitter = self.jitter;
        let due = self.ears.iter_mut().filter_map(|(probe, ear)| {
            let every = match probe {
                Probe::Own => PULSE_EVERY,
                Probe::Partition(_) => PROBE_EVERY + jitter,
            };
            let due = !ear.asking && ear.unheard_since.is_none() && now.duration_since(ear.heard) >= every;
            ear.asking |= due;
            due.then_some(*probe)
        });
        due.collect()
    }

    /// The pulse was published at `now`, or could not be.
    pub(super) fn asked(&mut self, probe: Probe, taken: bool, began: Instant, now: Instant) {
        if let Some(ear) = self.ears.get_mut(&probe) {
            ear.asking = false;
            if taken && ear.heard < began {
                ear.unheard_since = Some(now);
            }
        }
    }

    /// Why this source has to start over, if it has to.
    pub(super) fn deaf(&self, publisher_blocked: bool, now: Instant) -> Option<&'static str> {
        for (probe, ear) in &self.ears {
            if ear.unheard_since.is_some_and(|since| now.duration_since(since) > DEAF_AFTER) {
                return Some(match probe {
                    Probe::Own => "a pulse to its queue did not arrive",
                    Probe::Partition(_) => "a pulse through a followed exchange did not arrive",
                });
            }
            // In an alarm nobody can publish, so silence means nothing.
            if *probe == Probe::Own && !publisher_blocked && now.duration_since(ear.heard) > SILENCE_MAX {
                return Some("nothing was heard for long");
            }
        }
        None
    }
}

impl Ear {
    fn new(now: Instant) -> Self {
        Self { heard: now, asking: false, unheard_since: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JITTER: Duration = Duration::from_secs(2);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn only_a_pulse_that_was_taken_and_not_heard_proves_deafness() {
        let start = Instant::now();
        for (why, taken, heard_at, expected) in [
            ("taken and never heard", true, None, true),
            ("taken and heard late, but heard", true, Some(secs(3)), false),
            ("heard before the confirm, which races it", true, Some(secs(1)), false),
            ("not taken: the publisher's trouble", false, None, false),
        ] {
            let mut hearing = Hearing::new([], JITTER, start);
            assert_eq!(hearing.due(start + secs(1)), [Probe::Own], "{why}");
            if heard_at == Some(secs(1)) {
                hearing.heard(Probe::Own, start + secs(1));
            }
            hearing.asked(Probe::Own, taken, start + secs(1), start + secs(1));
            if let Some(at) = heard_at {
                hearing.heard(Probe::Own, start + at);
            }
            assert_eq!(hearing.deaf(false, start + secs(5)).is_some(), expected, "{why}");
        }
    }

    #[test]
    fn silence_alone_is_deafness_only_after_long_and_never_in_an_alarm() {
        let start = Instant::now();
        let hearing = Hearing::new([], JITTER, start);
        assert!(hearing.deaf(false, start + secs(9)).is_none());
        assert!(hearing.deaf(false, start + secs(11)).is_some());
        assert!(hearing.deaf(true, start + secs(11)).is_none());
    }

    #[test]
    fn a_partition_is_asked_about_only_when_nobody_else_did() {
        let start = Instant::now();
        let mut hearing = Hearing::new([3, 4], JITTER, start);
        hearing.heard(Probe::Partition(4), start + secs(9));
        assert_eq!(hearing.due(start + secs(9)), []);
        assert_eq!(hearing.due(start + secs(12)), [Probe::Own, Probe::Partition(3)]);
        assert_eq!(hearing.due(start + secs(12)), [], "one question at a time");
        hearing.asked(Probe::Partition(3), true, start + secs(12), start + secs(12));
        hearing.heard(Probe::Own, start + secs(15));
        assert!(hearing.deaf(false, start + secs(16)).is_some(), "the queue hears, the binding does not");
        hearing.unfollow(3);
        assert!(hearing.deaf(false, start + secs(16)).is_none());
    }

    #[test]
    fn a_long_silence_that_ends_is_told() {
        let start = Instant::now();
        let mut hearing = Hearing::new([3], JITTER, start);
        assert!(!hearing.heard(Probe::Own, start + secs(2)));
        assert!(hearing.heard(Probe::Partition(3), start + secs(8)), "any arrival ends it");
        assert!(!hearing.heard(Probe::Own, start + secs(9)));
    }
}
