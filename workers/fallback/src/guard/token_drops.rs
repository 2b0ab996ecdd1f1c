//! Whether dead tokens may be dropped. When very many are refused at once, our configuration is probably at fault (I7): with
//! a sandbox key on a production host, Apple calls every token bad. So when refusals of tokens spike, no token is dropped
//! for a while and an error is logged. Pure: time is an argument.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// It is a spike from this many refused tokens within the window on, and from this share of all answers in percent.
const DEAD_MIN: u32 = 20;
const DEAD_PERCENT_MIN: u32 = 30;
/// Dead tokens of one person that count within a window, so that nobody causes a spike alone with all their old phones. And the
/// number of people for whom that is counted.
const DEAD_OF_ONE_MAX: u32 = 3;
const PEOPLE_MAX: usize = 64;
const WINDOW: Duration = Duration::from_secs(60);
/// How long dropping stays suspended after the last sign of a spike.
const SUSPENDED_FOR: Duration = Duration::from_secs(600);

/// The token drops of one push service.
#[derive(Debug)]
pub(super) struct TokenDrops {
    window_began: Instant,
    answers: u32,
    dead: u32,
    dead_of: HashMap<u64, u32>,
    suspended_until: Option<Instant>,
}

impl TokenDrops {
    pub(super) fn new(now: Instant) -> Self {
        Self { window_began: now, answers: 0, dead: 0, dead_of: HashMap::new(), suspended_until: None }
    }

    /// Takes note of an answer to a person's push. Says whether tokens may be dropped now.
    pub(super) fn note(&mut self, is_dead: bool, person: u64, now: Instant) -> bool {
        if now.duration_since(self.window_began) >= WINDOW {
            (self.window_began, self.answers, self.dead) = (now, 0, 0);
            self.dead_of.clear();
        }
        self.answers += 1;
        self.dead += u32::from(is_dead && self.counts(person));
        if self.dead >= DEAD_MIN && self.dead * 100 >= self.answers * DEAD_PERCENT_MIN {
            self.suspended_until = Some(now + SUSPENDED_FOR);
        }
        self.suspended_until.is_none_or(|until| until <= now)
    }

    fn counts(&mut self, person: u64) -> bool {
        let is_full = self.dead_of.len() >= PEOPLE_MAX;
        match self.dead_of.get_mut(&person) {
            Some(dead) => {
                *dead += 1;
                *dead <= DEAD_OF_ONE_MAX
            }
            None if is_full => true,
            None => self.dead_of.insert(person, 1).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: answers as (seconds, how many, dead?), then whether the last one may be dropped.
    #[test]
    fn a_spike_suspends_and_everyday_life_does_not() {
        for (why, answers, expected) in [
            ("the first one", vec![(0, 1, true)], true),
            ("nineteen in a row", vec![(0, 19, true)], true),
            ("the twentieth", vec![(0, 20, true)], false),
            ("a few among many", vec![(0, 100, false), (0, 30, true)], true),
            ("many among many", vec![(0, 50, false), (0, 30, true)], false),
            ("slowly, over days", vec![(0, 15, true), (60, 15, true), (120, 15, true)], true),
            ("suspended for ten minutes", vec![(0, 20, true), (599, 1, true)], false),
            ("and then no longer", vec![(0, 20, true), (600, 1, true)], true),
            ("unless it goes on", vec![(0, 20, true), (599, 20, true), (900, 1, true)], false),
        ] {
            let begun = Instant::now();
            let mut drops = TokenDrops::new(begun);
            let mut last = true;
            for (secs, count, is_dead) in answers {
                for person in 0..count {
                    last = drops.note(is_dead, person, begun + Duration::from_secs(secs));
                }
            }
            assert_eq!(last, expected, "{why}");
        }
    }

    #[test]
    fn one_person_with_many_dead_tokens_is_no_spike() {
        let begun = Instant::now();
        let mut drops = TokenDrops::new(begun);
        assert!((0..100).all(|_| drops.note(true, 1, begun)));
    }
}
