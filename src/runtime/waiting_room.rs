//! Where strangers are waited for, with a bound: when it is full, whoever has waited longest has to go.
//!
//! For whoever has not shown yet who they are, so that nobody knows whom a place would be kept for. A client that knows
//! what it wants says so within a moment, and so is never the one that goes; a flood of others closes itself. Nobody is
//! turned away, and no peer takes more than its share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::http::{AddressPrefix, ShareBounds};

/// The places, and who waits in them.
#[derive(Debug)]
pub struct WaitingRoom {
    places_max: usize,
    share: ShareBounds,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    id_last: u64,
    /// In the order in which they came.
    all: BTreeMap<u64, (AddressPrefix, CancellationToken)>,
    by_prefix: HashMap<AddressPrefix, BTreeSet<u64>>,
}

/// Somebody who is waited for; their place is free when this is dropped.
#[derive(Debug)]
pub struct Waiter {
    room: Arc<WaitingRoom>,
    id: u64,
    has_to_go: CancellationToken,
}

impl WaitingRoom {
    /// So many places, and so many of them for one peer.
    pub fn new(places_max: usize, share: ShareBounds) -> Arc<Self> {
        Arc::new(Self { places_max, share, waiting: Mutex::default() })
    }

    /// Takes somebody in, for whom another may have to go.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Waiter {
        let prefix = AddressPrefix::of(address);
        let mut waiting = self.lock();
        let own = waiting.by_prefix.get(&prefix);
        let is_share_full = self.share.of(address).is_some_and(|max| own.is_some_and(|own| own.len() >= max));
        if is_share_full {
            let oldest = own.and_then(BTreeSet::first).copied();
            waiting.send_away(oldest);
        }
        if waiting.all.len() >= self.places_max {
            let oldest = waiting.all.first_key_value().map(|(id, _)| *id);
            waiting.send_away(oldest);
        }
        waiting.id_last += 1;
        let (id, has_to_go) = (waiting.id_last, CancellationToken::new());
        waiting.all.insert(id, (prefix, has_to_go.clone()));
        waiting.by_prefix.entry(prefix).or_default().insert(id);
        Waiter { room: self.clone(), id, has_to_go }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn send_away(&mut self, id: Option<u64>) {
        if let Some(has_to_go) = id.and_then(|id| self.remove(id)) {
            has_to_go.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<CancellationToken> {
        let (prefix, has_to_go) = self.all.remove(&id)?;
        if let Some(own) = self.by_prefix.get_mut(&prefix) {
            own.remove(&id);
            if own.is_empty() {
                self.by_prefix.remove(&prefix);
            }
        }
        Some(has_to_go)
    }
}

impl Waiter {
    /// Returns when they have to go for somebody else.
    pub async fn has_to_go(&self) {
        self.has_to_go.cancelled().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.room.lock().remove(self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_longest_has_to_go() {
        for (why, places_max, addresses, goes) in [
            ("there is room", 3, &["8.8.8.8", "9.9.9.9", "1.1.1.1"][..], &[][..]),
            ("none is left", 2, &["8.8.8.8", "9.9.9.9", "1.1.1.1"], &[0]),
            ("a peer has its share", 9, &["9.9.9.9", "8.8.8.8", "8.8.8.8", "8.8.8.8"], &[1]),
            ("and so has its network", 9, &["2600:1f00::1", "2600:1f00::2", "2600:1f00::3"], &[0]),
            ("a private address has more", 9, &["10.0.0.1", "10.0.0.1", "10.0.0.1"], &[]),
            ("and no more than that", 9, &["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"], &[0]),
        ] {
            let room = WaitingRoom::new(places_max, ShareBounds { public_max: 2, private_max: 3 });
            let all: Vec<Waiter> =
                addresses.iter().map(|address| room.enter(address.parse().unwrap())).collect();
            let gone = all.iter().enumerate().filter(|(_, waiter)| waiter.has_to_go.is_cancelled());
            assert_eq!(gone.map(|(at, _)| at).collect::<Vec<_>>(), goes, "{why}");
            drop(all);
            assert!(room.lock().all.is_empty() && room.lock().by_prefix.is_empty(), "{why}: all have left");
        }
    }

    #[test]
    fn a_place_is_free_when_its_waiter_left() {
        let room = WaitingRoom::new(1, ShareBounds { public_max: 0, private_max: 0 });
        let first = room.enter("8.8.8.8".parse().unwrap());
        drop(first);
        let second = room.enter("9.9.9.9".parse().unwrap());
        assert!(!second.has_to_go.is_cancelled());
        let third = room.enter("9.9.9.9".parse().unwrap());
        assert!(second.has_to_go.is_cancelled() && !third.has_to_go.is_cancelled());
    }
}
