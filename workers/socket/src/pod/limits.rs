//! How much anybody may ask of a pod: sessions an address, sessions a second, messages a second, receipts and searches over HTTP.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout},
};
use watchbell::{
    domain::UserKey,
    runtime::{
        http::{AddressPrefix, ShareBounds},
        rate_limit::{Account, Rate, RateLimiter, TooSoon},
    },
};

/// A session waits so long for its turn at the most; when the line is longer, the next is turned away.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Turns of so much time may be taken at once: timers are no finer than a millisecond.
const TURNS_AT_ONCE: Duration = Duration::from_millis(100);
/// A receipt over HTTP waits so long for its turn at the most.
const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(2);
/// Users whose receipts over HTTP are remembered.
const RECEIPT_USERS_MAX: usize = 65_536;
/// How many messages a client may send at once, as time of its rate.
const BURST: Duration = Duration::from_secs(3);

type Counts = Arc<Mutex<HashMap<AddressPrefix, usize>>>;

/// Sessions by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Counts);

/// One session of an address; given back when dropped.
#[derive(Debug)]
pub(crate) struct AddressSlot(Option<(Counts, AddressPrefix)>);

impl Addresses {
    /// `None`: the address has its share.
    pub(crate) fn enter(&self, address: IpAddr, share: ShareBounds) -> Option<AddressSlot> {
        let Some(max) = share.of(address) else { return Some(AddressSlot(None)) };
        let prefix = AddressPrefix::of(address);
        let mut counts = lock(&self.0);
        let count = counts.entry(prefix).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(AddressSlot(Some((self.0.clone(), prefix))))
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let Some((counts, prefix)) = &self.0 else { return };
        let mut counts = lock(counts);
        if let Some(count) = counts.get_mut(prefix) {
            *count -= 1;
            if *count == 0 {
                counts.remove(prefix);
            }
        }
    }
}

/// Turns at so many a second: a stampede is spread, not refused.
#[derive(Debug)]
pub(crate) struct Turns {
    rate: Rate,
    taken: Mutex<Account<Instant>>,
}

/// The line is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineIsLong;

impl Turns {
    pub(crate) fn per_second(number: u32) -> Self {
        let rate = Rate::per_second(number).ahead(TURNS_AT_ONCE);
        Self { rate, taken: Mutex::new(Account::new(Instant::now())) }
    }

    /// Waits for one's turn.
    pub(crate) async fn take(&self) -> Result<(), LineIsLong> {
        let now = Instant::now();
        let wait = lock(&self.taken).take(self.rate, 1, now, TURN_WAIT_MAX);
        let wait = wait.map_err(|TooSoon { .. }| LineIsLong)?;
        if !wait.is_zero() {
            sleep_until(now + wait).await;
        }
        Ok(())
    }
}

/// What one client may still say.
#[derive(Debug)]
pub(crate) struct Allowance(Account<Instant>);

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Account::new(now))
    }

    /// Takes so much out. When nothing is left for one message more: from when on the client may be heard again.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32, cost: usize) -> Option<Instant> {
        let rate = Rate::per_second(per_second).burst(BURST);
        let take = |account: &mut Account<Instant>, number| {
            account.take(rate, number, now, Duration::MAX).unwrap_or_else(|TooSoon { wait }| wait)
        };
        take(&mut self.0, cost);
        let wait = take(&mut self.0, 0);
        (!wait.is_zero()).then(|| now + wait)
    }
}

/// What users may still say over HTTP: each as much as one session.
#[derive(Debug)]
pub(crate) struct ReceiptTurns(RateLimiter<UserKey, Instant>);

impl ReceiptTurns {
    pub(crate) fn per_second(number: u32) -> Self {
        Self(RateLimiter::new(Rate::per_second(number).burst(BURST), RECEIPT_USERS_MAX))
    }

    /// Waits until the user may say something that costs so much.
    ///
    /// # Errors
    /// [`TooSoon`]: it would take longer than anybody waits here.
    pub(crate) async fn take(&self, user: &UserKey, cost: usize) -> Result<(), TooSoon> {
        let now = Instant::now();
        let wait = self.0.take(user, cost, now, RECEIPT_WAIT_MAX)?;
        if !wait.is_zero() {
            sleep_until(now + wait).await;
        }
        Ok(())
    }
}

/// Searches of one person in a second: as somebody types, and as somebody leafs through what was found.
pub(crate) const SEARCHES_PER_SECOND: u32 = 10;

/// Searches of a pod at once: fewer than the store has connections, so that everything else goes on beside them.
const SEARCHES_AT_ONCE_MAX: usize = 2;
/// How long a search waits for others.
const SEARCH_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often users may search, and how many search at once.
#[derive(Debug)]
pub(crate) struct SearchTurns {
    of_users: ReceiptTurns,
    places: Semaphore,
}

impl SearchTurns {
    pub(crate) fn per_second(number: u32) -> Self {
        Self { of_users: ReceiptTurns::per_second(number), places: Semaphore::new(SEARCHES_AT_ONCE_MAX) }
    }

    /// Waits until the user may search, and for a place, which is held until the search is over.
    ///
    /// # Errors
    /// [`TooSoon`]: it would take longer than anybody waits here.
    pub(crate) async fn take(&self, user: &UserKey) -> Result<SemaphorePermit<'_>, TooSoon> {
        self.of_users.take(user, 1).await?;
        let place = timeout(SEARCH_WAIT_MAX, self.places.acquire()).await;
        place.ok().and_then(Result::ok).ok_or(TooSoon { wait: SEARCH_WAIT_MAX })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Tenant, UserId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_user_says_so_much_over_http_and_waits_or_is_told_when_to_come_again() {
        let turns = ReceiptTurns::per_second(10);
        let user = |name: &str| UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap());
        let began = Instant::now();
        for _ in 0..3 {
            turns.take(&user("ana"), 10).await.unwrap();
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "three seconds' worth at once");
        turns.take(&user("ana"), 10).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(100), "the next one waits for its turn");
        turns.take(&user("ana"), 1_000).await.unwrap();
        let refused = turns.take(&user("ana"), 1).await.unwrap_err();
        assert!(refused.wait > RECEIPT_WAIT_MAX, "whoever said very much waits long: {refused:?}");
        let now = Instant::now();
        turns.take(&user("ben"), 1).await.unwrap();
        assert_eq!(now.elapsed(), Duration::ZERO, "nobody else waits for it");
    }

    #[test]
    fn an_address_has_so_many_sessions() {
        let share = ShareBounds { public_max: 2, private_max: 3 };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (why, address, neighbour, other, max) in [
            ("version 4", "93.184.215.14", "93.184.215.14", "93.184.215.15", 2),
            ("a network of version 6", "2600:1f00:1:2::1", "2600:1f00:1:2::2", "2600:1f00:1:3::1", 2),
            ("private: a proxy, perhaps", "10.1.2.3", "10.1.2.3", "10.1.2.4", 3),
            ("loopback", "127.0.0.1", "127.0.0.1", "::1", 3),
        ] {
            let addresses = Addresses::default();
            let held: Vec<_> = (0..max).map(|_| addresses.enter(ip(address), share).unwrap()).collect();
            assert!(addresses.enter(ip(neighbour), share).is_none(), "{why}: one too many");
            assert!(addresses.enter(ip(other), share).is_some(), "{why}: somebody else");
            drop(held);
            assert!(addresses.enter(ip(neighbour), share).is_some(), "{why}: when they have left");
            assert!(addresses.0.lock().unwrap().is_empty(), "{why}: nothing is kept of who has left");
        }
    }
}
