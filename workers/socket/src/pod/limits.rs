//! How much anybody may ask of a pod: sessions an address, sessions a second, messages a second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use watchbell::runtime::{
    http::{AddressPrefix, ShareBounds},
    rate_limit::{Account, Rate, TooSoon},
};

/// A session waits so long for its turn at the most; when the line is longer, the next is turned away.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Turns of so much time may be taken at once: timers are no finer than a millisecond.
const TURNS_AT_ONCE: Duration = Duration::from_millis(100);
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
