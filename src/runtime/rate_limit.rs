//! How much somebody may ask for in a time: the one rate limiter of all workers.
//!
//! It is the generic cell rate algorithm. An account owes a little time for everything that was taken from it, and what
//! it owes shrinks as time passes. Whoever owes more than the rate allows has to wait, and is told how long.
//!
//! What holds here:
//! - The clock is a parameter of each call, so a test can be at any moment it likes. Both the monotonic clock and the
//!   wall clock serve ([`Moment`]). When the wall clock is set back, nobody waits longer for it.
//! - A limiter remembers at most so many keys (I9). Accounts that owe nothing are forgotten first, which changes nothing;
//!   when all owe something, the one that owes least is forgotten.
//! - What is taken at once is taken whole or not at all, however much it is: a request with many alerts gets through when
//!   the account is level, and is waited for afterwards.
//!
//! **Why not `governor`** (considered 2026-11-30): it keeps a clock of its own type inside the limiter and cannot be told
//! the time call by call, which ours needs for stored times and for simulations. It has no bound on its keys. More than
//! the burst at once is an error there, so a request with many alerts would never get through. And it has no
//! reservations: whoever waits here has taken their place already, so those who wait come back one after the other and
//! not all at once. The algorithm itself is twenty lines.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

/// A point in time, of whichever clock.
pub trait Moment: Copy {
    /// How long after `earlier` it is; nothing when it is before it.
    fn since(self, earlier: Self) -> Duration;
}

impl Moment for Instant {
    fn since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Moment for Timestamp {
    fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.duration_since(earlier)).unwrap_or_default()
    }
}

/// So many a second, and how far ahead of that somebody may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What one costs.
    each: Duration,
    /// How much an account may owe before the next has to wait.
    ahead_max: Duration,
}

impl Rate {
    /// So many a second, at least one, evenly.
    pub fn per_second(number: u32) -> Self {
        Self { each: Duration::from_secs(1) / number.max(1), ahead_max: Duration::ZERO }
    }

    /// Nobody waits who is not further ahead of the rate than this.
    #[must_use]
    pub fn ahead(self, ahead_max: Duration) -> Self {
        Self { ahead_max, ..self }
    }

    /// So much time's worth may be taken at once, one by one.
    #[must_use]
    pub fn burst(self, burst: Duration) -> Self {
        Self { ahead_max: burst.saturating_sub(self.each), ..self }
    }
}

/// There is nothing to be taken for so long. Nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate allows the next after {wait:?}")]
pub struct TooSoon {
    /// From now on.
    pub wait: Duration,
}

/// What one key has taken lately.
#[derive(Debug, Clone, Copy)]
pub struct Account<M> {
    /// How long it takes until it is level again, seen from `at`.
    owed: Duration,
    at: M,
}

impl<M: Moment> Account<M> {
    /// One that owes nothing.
    pub fn new(now: M) -> Self {
        Self { owed: Duration::ZERO, at: now }
    }

    /// Takes so many and says how long to wait before they are used.
    ///
    /// # Errors
    /// [`TooSoon`] when that would be longer than `wait_max`; then nothing was taken.
    pub fn take(
        &mut self,
        rate: Rate,
        number: usize,
        now: M,
        wait_max: Duration,
    ) -> Result<Duration, TooSoon> {
        let owed = self.owed_at(now);
        let wait = owed.saturating_sub(rate.ahead_max);
        if wait > wait_max {
            return Err(TooSoon { wait });
        }
        let cost = rate.each.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        *self = Self { owed: owed.saturating_add(cost), at: now };
        Ok(wait)
    }

    /// Takes one, however long it has to be waited for, and says how long.
    pub fn reserve(&mut self, rate: Rate, now: M) -> Duration {
        self.take(rate, 1, now, Duration::MAX).unwrap_or_else(|TooSoon { wait }| wait)
    }

    fn owed_at(&self, now: M) -> Duration {
        self.owed.saturating_sub(now.since(self.at))
    }
}

/// An account for each key, all with one rate.
#[derive(Debug)]
pub struct RateLimiter<K, M> {
    rate: Rate,
    keys_max: usize,
    accounts: Mutex<HashMap<K, Account<M>>>,
}

impl<K: Clone + Eq + Hash, M: Moment> RateLimiter<K, M> {
    /// With at most so many keys in memory.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys_max, accounts: Mutex::default() }
    }

    /// As [`Account::take`], from the account of `key`.
    ///
    /// # Errors
    /// As there.
    pub fn take(&self, key: &K, number: usize, now: M, wait_max: Duration) -> Result<Duration, TooSoon> {
        // Nothing panics while it is held, and the map would still be a map.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get_mut(key) {
            return account.take(self.rate, number, now, wait_max);
        }
        if accounts.len() >= self.keys_max {
            make_room(&mut accounts, self.keys_max, now);
        }
        accounts.entry(key.clone()).or_insert(Account::new(now)).take(self.rate, number, now, wait_max)
    }

    /// As [`Account::reserve`], from the account of `key`.
    pub fn reserve(&self, key: &K, now: M) -> Duration {
        self.take(key, 1, now, Duration::MAX).unwrap_or_else(|TooSoon { wait }| wait)
    }
}

fn make_room<K: Clone + Eq + Hash, M: Moment>(
    accounts: &mut HashMap<K, Account<M>>,
    keys_max: usize,
    now: M,
) {
    accounts.retain(|_, account| !account.owed_at(now).is_zero());
    if accounts.len() >= keys_max {
        let least = accounts.iter().min_by_key(|(_, account)| account.owed_at(now));
        let least = least.map(|(key, _)| key.clone());
        least.and_then(|key| accounts.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_far_ahead_is_refused_and_says_for_how_long() {
        let limiter = RateLimiter::new(Rate::per_second(10).ahead(SECOND), 8);
        let begin = Instant::now();
        for (why, key, at_ms, number, expected) in [
            ("a second's worth at once", "acme", 0, 10, Ok(Duration::ZERO)),
            ("and once more, because it is not far ahead", "acme", 0, 10, Ok(Duration::ZERO)),
            ("now it is", "acme", 0, 1, Err(TooSoon { wait: SECOND })),
            ("another key is not", "globex", 0, 1, Ok(Duration::ZERO)),
            ("nothing was taken by the refusal", "acme", 999, 1, Err(TooSoon { wait: ms(1) })),
            ("not any more", "acme", 1_000, 1, Ok(Duration::ZERO)),
            ("many at once, after a rest", "acme", 10_000, 100, Ok(Duration::ZERO)),
            ("have to be waited for", "acme", 10_000, 1, Err(TooSoon { wait: ms(9_000) })),
        ] {
            let taken = limiter.take(&key, number, begin + ms(at_ms), Duration::ZERO);
            assert_eq!(taken, expected, "{why}");
        }
    }

    #[test]
    fn a_reservation_is_waited_for_in_turn() {
        let mut account = Account::new(Timestamp::UNIX_EPOCH);
        let rate = Rate::per_second(10).burst(SECOND);
        let waits: Vec<_> = (0..30).map(|_| account.reserve(rate, Timestamp::UNIX_EPOCH)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "a second's worth at once");
        assert_eq!(waits[10], ms(100), "the next comes when it is there");
        assert_eq!(waits[29], 2 * SECOND, "each in their turn");
        let later = Timestamp::UNIX_EPOCH + Duration::from_secs(4);
        assert_eq!(account.reserve(rate, later), Duration::ZERO, "it fills up again");
    }

    #[test]
    fn a_line_is_only_so_long() {
        let begin = Instant::now();
        let mut account = Account::new(begin);
        let rate = Rate::per_second(2);
        let waits: Vec<_> = (0..4).map(|_| account.take(rate, 1, begin, SECOND)).collect();
        let expected = [Ok(Duration::ZERO), Ok(ms(500)), Ok(SECOND), Err(TooSoon { wait: ms(1_500) })];
        assert_eq!(waits, expected);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let rate = Rate::per_second(1);
        let mut account = Account::new(Timestamp::UNIX_EPOCH);
        account.reserve(rate, Timestamp::UNIX_EPOCH);
        let earlier = Timestamp::UNIX_EPOCH - Duration::from_secs(3_600);
        assert_eq!(account.reserve(rate, earlier), SECOND);
        assert_eq!(account.reserve(rate, earlier + 2 * SECOND), Duration::ZERO, "time passes from there");
    }

    #[test]
    fn only_so_many_keys_are_remembered_and_those_who_owe_most_longest() {
        let begin = Instant::now();
        let limiter = RateLimiter::new(Rate::per_second(1), 3);
        let refused = |key: u32, now| limiter.take(&key, 1, now, Duration::ZERO).is_err();
        for (key, number) in [(1, 1), (2, 5), (3, 3)] {
            assert_eq!(limiter.take(&key, number, begin, Duration::ZERO), Ok(Duration::ZERO));
        }
        assert!(!refused(4, begin), "a fourth");
        assert_eq!(limiter.accounts.lock().map(|accounts| accounts.len()).ok(), Some(3));
        assert!(refused(2, begin) && refused(3, begin), "those who owe most are still known");
        let later = begin + Duration::from_secs(4);
        assert!(!refused(5, later), "a fifth, when most owe nothing any more");
        assert_eq!(limiter.accounts.lock().map(|accounts| accounts.len()).ok(), Some(2));
        assert!(refused(2, later));
    }
}
