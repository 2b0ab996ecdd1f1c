//! How much anybody may ask of a pod: sessions an address, sessions a second, messages a second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use watchbell::{
    domain::internet::is_public,
    runtime::rate_limit::{Account, Rate, TooSoon},
};

/// A session waits so long for its turn at the most; when the line is longer, the next is turned away.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Turns of so much time may be taken at once: timers are no finer than a millisecond.
const TURNS_AT_ONCE: Duration = Duration::from_millis(100);
/// How many messages a client may send at once, as time of its rate.
const BURST: Duration = Duration::from_secs(3);

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Sessions by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Counts);

/// One session of an address; given back when dropped.
#[derive(Debug)]
pub(crate) struct AddressSlot(Option<(Counts, IpAddr)>);

impl Addresses {
    /// `None`: the address has its `max` sessions. 0 is no limit. Only public addresses are counted, because others are
    /// proxies more often than people.
    pub(crate) fn enter(&self, address: IpAddr, max: usize) -> Option<AddressSlot> {
        if max == 0 || !is_public(address) {
            return Some(AddressSlot(None));
        }
        let mut counts = lock(&self.0);
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(AddressSlot(Some((self.0.clone(), address))))
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let Some((counts, address)) = &self.0 else { return };
        let mut counts = lock(counts);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
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

    /// Takes one message out. When that was more than there was: from when on the client may be heard again.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> Option<Instant> {
        let wait = self.0.reserve(Rate::per_second(per_second).burst(BURST), now);
        (!wait.is_zero()).then(|| now + wait)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_sessions() {
        let addresses = Addresses::default();
        let public: IpAddr = "93.184.215.14".parse().unwrap();
        let held: Vec<_> = (0..2).map(|_| addresses.enter(public, 2).unwrap()).collect();
        assert!(addresses.enter(public, 2).is_none(), "the third");
        assert!(addresses.enter("93.184.215.15".parse().unwrap(), 2).is_some(), "somebody else");
        drop(held);
        assert!(addresses.enter(public, 2).is_some(), "when they have left");
        assert!(addresses.0.lock().unwrap().is_empty(), "nothing is kept of who has left");
        for private in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd00::1"] {
            let held: Vec<_> = (0..9).map(|_| addresses.enter(private.parse().unwrap(), 2)).collect();
            assert!(held.iter().all(Option::is_some), "{private} is a proxy, perhaps");
        }
    }
}
