//! Room for what is prepared and waits for its commit, and for what is being committed: who has how much of it, and who is ahead.
//!
//! What holds here:
//! - All tenants together have room for `dispatch.batch_max` rows that wait for their commit, and what the last of them
//!   has more than that.
//! - While several tenants are there, each of them has room for one turn, [`QUANTUM`] rows. So a commit holds a turn of each, and
//!   whoever comes is in the next one.
//! - What is left of an audience lets those alerts of other tenants go first that are there when its turn comes, and no others:
//!   it waits, and not for ever.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use watchbell::domain::Tenant;

use crate::turns::QUANTUM;

/// See the module. One for each dispatch.
#[derive(Debug)]
pub(crate) struct Room {
    rows_max: usize,
    held: Mutex<Held>,
    /// A commit has begun: there is room again.
    freed: Notify,
    /// A commit has ended.
    recorded: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// Rows that wait for their commit.
    by_all: usize,
    by_tenant: HashMap<Tenant, usize>,
    /// Whose places there are, also those that are being committed, by their number.
    places: BTreeMap<u64, Tenant>,
    next_number: u64,
}

/// The room of one alert, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    number: u64,
    tenant: Tenant,
    /// None once its commit has begun.
    rows: usize,
}

impl Room {
    pub(crate) fn new(rows_max: usize) -> Arc<Self> {
        Arc::new(Self { rows_max, held: Mutex::default(), freed: Notify::new(), recorded: Notify::new() })
    }

    /// Whether an alert of this tenant may be prepared, however many rows it has.
    pub(crate) fn has_place_for(&self, tenant: &Tenant, several_are_there: bool) -> bool {
        let held = self.held();
        let of_tenant = held.by_tenant.get(tenant).copied().unwrap_or_default();
        held.by_all < self.rows_max && (!several_are_there || of_tenant < QUANTUM as usize)
    }

    /// Room for so many rows.
    pub(crate) fn take(self: &Arc<Self>, tenant: Tenant, rows: usize) -> Place {
        let mut held = self.held();
        held.by_all += rows;
        *held.by_tenant.entry(tenant.clone()).or_default() += rows;
        let number = held.next_number;
        held.next_number += 1;
        held.places.insert(number, tenant.clone());
        Place { room: Arc::clone(self), number, tenant, rows }
    }

    /// Returns when there may be room that was not there before. For one that waits.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Returns when the alerts of other tenants are recorded that have a place now. For one that waits.
    pub(crate) async fn let_others_go_first(&self, tenant: &Tenant) {
        let before = self.held().next_number;
        while self.held().places.range(..before).any(|(_, of)| of != tenant) {
            // One that ended since the look has left a permit.
            self.recorded.notified().await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Its commit begins: the next may be prepared in its room.
    pub(crate) fn give_back_room(&mut self) {
        let mut held = self.room.held();
        let rows = std::mem::take(&mut self.rows);
        held.by_all -= rows;
        if let Some(of_tenant) = held.by_tenant.get_mut(&self.tenant) {
            *of_tenant -= rows;
            if *of_tenant == 0 {
                held.by_tenant.remove(&self.tenant);
            }
        }
        drop(held);
        self.room.freed.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back_room();
        self.room.held().places.remove(&self.number);
        self.room.recorded.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    #[test]
    fn of_several_tenants_each_has_room_for_a_turn() {
        let turn = QUANTUM as usize;
        for (why, evil, zoe, several, expected) in [
            ("one alone has all of it", 8 * turn - 1, 0, false, (true, true)),
            ("and one alert more than it", 8 * turn, 0, false, (false, false)),
            ("of several each has a turn", turn - 1, 0, true, (true, true)),
            ("and one alert more than it", turn, 0, true, (false, true)),
            ("whatever the others have", turn, turn - 1, true, (false, true)),
            ("as long as there is any", 7 * turn, turn, true, (false, false)),
        ] {
            let room = Room::new(8 * turn);
            let _places = [room.take(tenant("evil"), evil), room.take(tenant("zoe"), zoe)];
            let has_place = |name| room.has_place_for(&tenant(name), several);
            assert_eq!((has_place("evil"), has_place("zoe")), expected, "{why}");
        }
    }

    #[test]
    fn room_is_given_back_once_when_a_commit_begins_or_nothing_comes_of_it() {
        let room = Room::new(1);
        let mut committed = room.take(tenant("evil"), 5);
        assert!(!room.has_place_for(&tenant("zoe"), false));
        committed.give_back_room();
        assert!(room.freed().now_or_never().is_some(), "who waits is told");
        assert!(room.has_place_for(&tenant("zoe"), false));
        let given_up = room.take(tenant("evil"), 5);
        drop((committed, given_up));
        let held = room.held();
        assert_eq!((held.by_all, held.by_tenant.len(), held.places.len()), (0, 0, 0));
    }

    #[test]
    fn an_audience_lets_those_of_others_go_first_who_are_there_already() {
        let room = Room::new(100);
        assert!(room.let_others_go_first(&tenant("evil")).now_or_never().is_some(), "nobody is there");
        let own = room.take(tenant("evil"), 1);
        assert!(room.let_others_go_first(&tenant("evil")).now_or_never().is_some(), "but its own");
        let mut earlier = room.take(tenant("zoe"), 1);
        let evil = tenant("evil");
        let mut waits = Box::pin(room.let_others_go_first(&evil));
        assert!(waits.as_mut().now_or_never().is_none(), "another's is prepared");
        earlier.give_back_room();
        assert!(waits.as_mut().now_or_never().is_none(), "its commit has begun");
        let later = room.take(tenant("zoe"), 1);
        drop(earlier);
        assert!(
            waits.as_mut().now_or_never().is_some(),
            "it is recorded; one that came later is not waited for"
        );
        drop((own, later));
    }
}
