//! How much anybody may ask of a pod: sessions an address, sessions a second, messages a second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A session waits so long for its turn at the most; when the line is longer, the next is turned away.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Turns of so much time may be taken at once: timers are no finer than a millisecond.
const TURNS_AT_ONCE: Duration = Duration::from_millis(100);
/// How many messages a client may send at once, as seconds of its rate.
const BURST_S: u32 = 3;

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Sessions by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Counts);

/// One session of an address; given back when dropped.
#[derive(Debug)]
pub(crate) struct AddressSlot(Option<(Counts, IpAddr)>);

impl Addresses {
    /// `None`: the address has its `max` sessions. 0 is no limit, and private addresses are not counted.
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

/// Loopback and private ranges (RFC 1918, 4193, 6598, link-local) are proxies more often than people.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// Turns at so many a second: a stampede is spread, not refused.
#[derive(Debug)]
pub(crate) struct Turns {
    every: Duration,
    next: Mutex<Instant>,
}

/// The line is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineIsLong;

impl Turns {
    pub(crate) fn per_second(rate: u32) -> Self {
        Self { every: Duration::from_secs(1) / rate.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for one's turn.
    pub(crate) async fn take(&self) -> Result<(), LineIsLong> {
        let now = Instant::now();
        let turn = {
            let mut next = lock(&self.next);
            let turn = (*next).max(now.checked_sub(TURNS_AT_ONCE).unwrap_or(now));
            if turn.saturating_duration_since(now) > TURN_WAIT_MAX {
                return Err(LineIsLong);
            }
            *next = turn + self.every;
            turn
        };
        if turn > now {
            sleep_until(turn).await;
        }
        Ok(())
    }
}

/// What one client may still say: a bucket that fills at its rate.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one message out. When that was more than there was: from when on the client may be heard again.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> Option<Instant> {
        let each = Duration::from_secs(1) / per_second.max(1);
        self.full_at = self.full_at.max(now) + each;
        let burst = Duration::from_secs(BURST_S.into());
        (self.full_at.saturating_duration_since(now) > burst).then(|| self.full_at - burst)
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
        let public: IpAddr = "203.0.113.9".parse().unwrap();
        let held: Vec<_> = (0..2).map(|_| addresses.enter(public, 2).unwrap()).collect();
        assert!(addresses.enter(public, 2).is_none(), "the third");
        assert!(addresses.enter("203.0.113.10".parse().unwrap(), 2).is_some(), "somebody else");
        drop(held);
        assert!(addresses.enter(public, 2).is_some(), "when they have left");
        assert!(addresses.0.lock().unwrap().is_empty(), "nothing is kept of who has left");
        for private in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd00::1"] {
            let held: Vec<_> = (0..9).map(|_| addresses.enter(private.parse().unwrap(), 2)).collect();
            assert!(held.iter().all(Option::is_some), "{private} is a proxy, perhaps");
        }
    }

    #[test]
    fn a_client_may_say_so_much() {
        let began = Instant::now();
        let mut allowance = Allowance::new(began);
        let said = (0..30).filter(|_| allowance.take(began, 10).is_none()).count();
        assert_eq!(said, 30, "three seconds' worth at once");
        let tenth = Duration::from_millis(100);
        assert_eq!(allowance.take(began, 10), Some(began + tenth), "then it has to wait");
        assert_eq!(
            allowance.take(began, 10),
            Some(began + 2 * tenth),
            "longer for each that was read with it"
        );
        assert_eq!(allowance.take(began + 3 * tenth, 10), None, "and goes on at its rate");
    }
}
