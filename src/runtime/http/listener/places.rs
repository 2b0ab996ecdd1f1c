//! Who may speak HTTP at once, and who has to go when places run short.
//!
//! What holds here:
//! - Nobody is turned away for want of a place while a connection waits for its peer: that one is closed, and the new one
//!   is taken in. First those that nothing is asked on, then those in the middle of a request; in each, whoever was
//!   waited for longest. A peer that is quick is never among them for long, so a flood closes its own connections.
//! - A peer that has its share makes room among its own, and only among them.
//! - A connection on which we are at work is never closed for another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::Notify, time::Instant};

use super::{course::Standing, settings::Share};
use crate::runtime::http::AddressPrefix;

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    places_max: usize,
    begin: Instant,
    taken: Mutex<Taken>,
    /// Whether somebody waits for a place that can be had.
    is_waited_for: AtomicBool,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    id_last: u64,
    members: HashMap<u64, Member>,
    /// Members that count.
    count: usize,
    by_prefix: HashMap<AddressPrefix, usize>,
}

#[derive(Debug)]
struct Member {
    share: Option<Share>,
    /// Not while it has given its place back.
    counts: bool,
    seat: Arc<Seat>,
}

/// What a connection and the places tell each other without a lock.
#[derive(Debug)]
struct Seat {
    rank: AtomicU64,
    has_to_go: AtomicBool,
    connection: AtomicWaker,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// We are at work on all that there are.
    AllAreBusy,
    /// We are at work on all that this peer may have.
    ShareIsBusy,
}

/// The lower goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

impl Rank {
    const NEVER: Self = Self(u64::MAX);
    /// Added to whoever is in the middle of a request: after all that are idle.
    const WAITS: u64 = 1 << 62;

    fn of(standing: Standing, begin: Instant) -> Self {
        // There is room for 146 years of nanoseconds. Anything coarser would let a younger one go first now and then.
        let ns = |since: Instant| since.saturating_duration_since(begin).as_nanos() as u64;
        match standing {
            Standing::Idle(since) => Self(ns(since)),
            Standing::Waits(since) => Self(Self::WAITS + ns(since)),
            Standing::Busy => Self::NEVER,
        }
    }
}

/// Who has to go, of these.
fn first_to_go<K>(members: impl Iterator<Item = (K, Rank)>) -> Option<K> {
    let may_go = members.filter(|(_, rank)| *rank != Rank::NEVER);
    may_go.min_by_key(|(_, rank)| *rank).map(|(key, _)| key)
}

impl Places {
    /// This many, all of them free.
    pub fn new(places_max: usize) -> Arc<Self> {
        Arc::new(Self {
            places_max,
            begin: Instant::now(),
            taken: Mutex::default(),
            is_waited_for: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// A place for one more connection, for which another may have to go.
    ///
    /// # Errors
    /// [`NoPlace`]: we are at work on each that may have gone.
    pub fn enter(self: &Arc<Self>, share: Option<Share>) -> Result<Place, NoPlace> {
        let mut taken = self.lock();
        if let Some(share) = share {
            taken.make_room_in(share)?;
        }
        taken.make_room(self.places_max)?;
        Ok(self.seated(taken, share))
    }

    /// A place, whoever is there.
    pub(super) fn enter_at_any_rate(self: &Arc<Self>) -> Place {
        self.seated(self.lock(), None)
    }

    fn seated(self: &Arc<Self>, mut taken: MutexGuard<'_, Taken>, share: Option<Share>) -> Place {
        let standing = Standing::Waits(Instant::now());
        let seat = Arc::new(Seat {
            rank: AtomicU64::new(Rank::of(standing, self.begin).0),
            has_to_go: AtomicBool::new(false),
            connection: AtomicWaker::new(),
        });
        taken.id_last += 1;
        let id = taken.id_last;
        taken.members.insert(id, Member { share, counts: false, seat: seat.clone() });
        taken.count(id);
        Place { places: self.clone(), id, seat }
    }

    /// [`Self::enter`], as soon as we are not at work on all that there are.
    pub(super) async fn enter_in_turn(self: &Arc<Self>, share: Option<Share>) -> Result<Place, NoPlace> {
        loop {
            // Before the look, so that a connection which begins to wait meanwhile says so.
            self.is_waited_for.store(true, Ordering::SeqCst);
            match self.enter(share) {
                Err(NoPlace::AllAreBusy) => self.changed.notified().await,
                entered => {
                    self.is_waited_for.store(false, Ordering::SeqCst);
                    return entered;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self, places_max: usize) -> Result<(), NoPlace> {
        if self.count < places_max {
            return Ok(());
        }
        self.close_first(|_| true).ok_or(NoPlace::AllAreBusy)
    }

    fn make_room_in(&mut self, share: Share) -> Result<(), NoPlace> {
        if self.by_prefix.get(&share.prefix).is_none_or(|count| *count < share.max) {
            return Ok(());
        }
        let is_of_it = |member: &Member| member.share.is_some_and(|other| other.prefix == share.prefix);
        self.close_first(is_of_it).ok_or(NoPlace::ShareIsBusy)
    }

    fn close_first(&mut self, may: impl Fn(&Member) -> bool) -> Option<()> {
        let candidates = self.members.iter().filter(|(_, member)| member.counts && may(member));
        let ranks = candidates.map(|(id, member)| (*id, Rank(member.seat.rank.load(Ordering::SeqCst))));
        let id = first_to_go(ranks)?;
        self.uncount(id);
        let seat = self.members.remove(&id)?.seat;
        seat.has_to_go.store(true, Ordering::Release);
        seat.connection.wake();
        Some(())
    }

    /// Counts a member that does not count.
    fn count(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id).filter(|member| !member.counts) else { return };
        member.counts = true;
        self.count += 1;
        if let Some(share) = member.share {
            *self.by_prefix.entry(share.prefix).or_default() += 1;
        }
    }

    /// Does not count it any more.
    fn uncount(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id).filter(|member| member.counts) else { return };
        member.counts = false;
        self.count -= 1;
        let Some(Share { prefix, .. }) = member.share else { return };
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}

/// The place of one connection, for as long as it is held.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    id: u64,
    seat: Arc<Seat>,
}

impl Place {
    /// Counts it as one of this peer's, who was not known before.
    pub(super) fn belongs_to(&self, share: Share) -> Result<(), NoPlace> {
        let mut taken = self.places.lock();
        taken.make_room_in(share)?;
        taken.uncount(self.id);
        if let Some(member) = taken.members.get_mut(&self.id) {
            member.share = Some(share);
        }
        taken.count(self.id);
        Ok(())
    }

    /// Says what the connection is doing.
    pub fn stands(&self, standing: Standing) {
        let rank = Rank::of(standing, self.places.begin);
        self.seat.rank.store(rank.0, Ordering::SeqCst);
        if rank != Rank::NEVER && self.places.is_waited_for.load(Ordering::SeqCst) {
            self.places.changed.notify_one();
        }
    }

    /// Whether the connection has to go; its task is woken when it has.
    pub fn has_to_go(&self, task: &Waker) -> bool {
        self.seat.connection.register(task);
        self.seat.has_to_go.load(Ordering::Acquire)
    }

    /// Counts it no more until what is returned is dropped. Then it counts again, even if that is one too many: what was
    /// promised is answered.
    pub(super) fn give_back(self: &Arc<Self>) -> GivenBack {
        self.places.lock().uncount(self.id);
        self.places.changed.notify_one();
        GivenBack(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.uncount(self.id);
        taken.members.remove(&self.id);
        drop(taken);
        self.places.changed.notify_one();
    }
}

/// A place that is given back for a while.
#[derive(Debug)]
pub struct GivenBack(Arc<Place>);

impl Drop for GivenBack {
    fn drop(&mut self) {
        let Place { places, id, .. } = &*self.0;
        let mut taken = places.lock();
        if taken.members.contains_key(id) {
            // One too many is made good by whoever waits for their peer, if there is anybody.
            let _ = taken.make_room(places.places_max);
            taken.count(*id);
        }
    }
}

/// The place of the connection that a request came on, as an extension of the request.
#[derive(Debug, Clone)]
pub struct ConnectionPlace(pub(super) Arc<Place>);

impl ConnectionPlace {
    /// For a handler that waits long and costs little meanwhile: the connection takes nobody's place until what is
    /// returned is dropped. Whoever calls it has a bound of its own for how many do.
    pub fn give_back(&self) -> GivenBack {
        self.0.give_back()
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
