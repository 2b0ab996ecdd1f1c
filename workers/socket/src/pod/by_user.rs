//! Sessions by their user, spread over [`SHARDS`] locks.
//!
//! What holds here: to add or take out a session costs the same however many its user has. The few sessions that nearly
//! everybody has stand in one table for all users, where a session costs one pointer. A user with more than [`FEW_MAX`] gets a
//! table of their own, because in the common one all of their sessions have the same hash, and each would be looked at.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use hashbrown::HashTable;
use watchbell::domain::UserKey;

/// Locks of each table.
pub(crate) const SHARDS: usize = 64;
/// Sessions of one user in the table for all users, at the most.
const FEW_MAX: usize = 8;

/// What belongs to a user.
pub(crate) trait OfUser {
    fn user(&self) -> &UserKey;
}

/// The user has as many sessions on this pod as a user may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserIsFull;

/// Sessions by the hash of their user.
pub(crate) struct ByUser<M> {
    shards: Vec<Mutex<Shard<M>>>,
    hasher: RandomState,
    count: AtomicUsize,
}

struct Shard<M> {
    few: HashTable<Arc<M>>,
    many: HashTable<Many<M>>,
}

/// All sessions of a user who has, or had, more than a few: by their address.
struct Many<M> {
    user: UserKey,
    sessions: HashTable<Arc<M>>,
}

impl<M: OfUser> ByUser<M> {
    pub(crate) fn new() -> Self {
        let shard = |_| Mutex::new(Shard { few: HashTable::new(), many: HashTable::new() });
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds a session, unless its user has `per_user_max` already. Says whether it is the user's first.
    pub(crate) fn insert(&self, session: &Arc<M>, per_user_max: usize) -> Result<bool, UserIsFull> {
        let (user, hasher) = (session.user(), &self.hasher);
        let (hash, mut shard) = self.shard(user);
        let Shard { few, many } = &mut *shard;
        let have = match many.find(hash, |many| many.user == *user) {
            Some(many) => many.sessions.len(),
            None => few.iter_hash(hash).filter(|other| other.user() == user).count(),
        };
        if have >= per_user_max {
            return Err(UserIsFull);
        }
        match many.find_mut(hash, |many| many.user == *user) {
            Some(many) => insert_by_address(&mut many.sessions, session, hasher),
            None if have < FEW_MAX => {
                few.insert_unique(hash, session.clone(), |other| hasher.hash_one(other.user()));
            }
            None => {
                let mut sessions = HashTable::new();
                insert_by_address(&mut sessions, session, hasher);
                while let Ok(entry) = few.find_entry(hash, |other| other.user() == user) {
                    insert_by_address(&mut sessions, &entry.remove().0, hasher);
                }
                let user = user.clone();
                many.insert_unique(hash, Many { user, sessions }, |many| hasher.hash_one(&many.user));
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(have == 0)
    }

    /// Takes a session out. `when_last` is called if it was the user's last, before another of theirs can begin.
    pub(crate) fn remove(&self, session: &Arc<M>, when_last: impl FnOnce()) {
        let (user, hasher) = (session.user(), &self.hasher);
        let (hash, mut shard) = self.shard(user);
        let Shard { few, many } = &mut *shard;
        let is_last = match many.find_entry(hash, |many| many.user == *user) {
            Ok(mut entry) => {
                let sessions = &mut entry.get_mut().sessions;
                remove_by_address(sessions, session, hasher);
                let is_last = sessions.is_empty();
                if is_last {
                    entry.remove();
                }
                is_last
            }
            Err(_) => {
                if let Ok(entry) = few.find_entry(hash, |other| Arc::ptr_eq(other, session)) {
                    entry.remove();
                }
                give_memory_back(few, |other| hasher.hash_one(other.user()));
                !few.iter_hash(hash).any(|other| other.user() == user)
            }
        };
        if is_last {
            when_last();
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether this user has a session here.
    pub(crate) fn has(&self, user: &UserKey) -> bool {
        let (hash, shard) = self.shard(user);
        shard.many.find(hash, |many| many.user == *user).is_some()
            || shard.few.iter_hash(hash).any(|other| other.user() == user)
    }

    /// Does something with each session of a user, in no order.
    pub(crate) fn for_each_of(&self, user: &UserKey, mut with: impl FnMut(&Arc<M>)) {
        let (hash, shard) = self.shard(user);
        match shard.many.find(hash, |many| many.user == *user) {
            Some(many) => many.sessions.iter().for_each(with),
            None => shard.few.iter_hash(hash).filter(|other| other.user() == user).for_each(&mut with),
        }
    }

    /// Does something with each session, in no order.
    pub(crate) fn for_each(&self, mut with: impl FnMut(&Arc<M>)) {
        for shard in &self.shards {
            let shard = lock(shard);
            shard.few.iter().for_each(&mut with);
            shard.many.iter().flat_map(|many| many.sessions.iter()).for_each(&mut with);
        }
    }

    fn shard(&self, user: &UserKey) -> (u64, MutexGuard<'_, Shard<M>>) {
        let hash = self.hasher.hash_one(user);
        (hash, lock(&self.shards[hash as usize % SHARDS]))
    }
}

/// Adds to a table that is ordered by where its sessions are in memory.
pub(crate) fn insert_by_address<M>(table: &mut HashTable<Arc<M>>, session: &Arc<M>, hasher: &RandomState) {
    table.insert_unique(address(session, hasher), session.clone(), |other| address(other, hasher));
}

/// Takes out of such a table.
pub(crate) fn remove_by_address<M>(table: &mut HashTable<Arc<M>>, session: &Arc<M>, hasher: &RandomState) {
    if let Ok(entry) = table.find_entry(address(session, hasher), |other| Arc::ptr_eq(other, session)) {
        entry.remove();
    }
    give_memory_back(table, |other| address(other, hasher));
}

fn address<M>(session: &Arc<M>, hasher: &RandomState) -> u64 {
    hasher.hash_one(Arc::as_ptr(session).addr())
}

/// A table that is mostly empty is made smaller, so that a stampede that is over costs nothing.
fn give_memory_back<M>(table: &mut HashTable<Arc<M>>, hash: impl Fn(&Arc<M>) -> u64) {
    const SMALL: usize = 64;
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held, and the map would still be a map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Tenant, UserId};

    use super::*;

    /// A session that counts how often it is looked at.
    struct Counted {
        user: UserKey,
        looks: Arc<AtomicUsize>,
    }

    impl OfUser for Counted {
        fn user(&self) -> &UserKey {
            self.looks.fetch_add(1, Ordering::Relaxed);
            &self.user
        }
    }

    fn user(name: &str) -> UserKey {
        UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap())
    }

    /// Adds so many sessions and takes them out again; how often one of them was looked at.
    fn looks(count: usize, name_of: impl Fn(usize) -> String) -> usize {
        let (all, looks) = (ByUser::new(), Arc::new(AtomicUsize::new(0)));
        let session = |number| Arc::new(Counted { user: user(&name_of(number)), looks: looks.clone() });
        let sessions: Vec<_> = (0..count).map(session).collect();
        for session in &sessions {
            all.insert(session, usize::MAX).unwrap();
        }
        assert_eq!(all.len(), count);
        sessions.iter().for_each(|session| all.remove(session, || ()));
        assert_eq!(all.len(), 0);
        looks.load(Ordering::Relaxed)
    }

    #[test]
    fn a_session_costs_the_same_however_many_its_user_has() {
        const SESSIONS: usize = 10_000;
        let of_many = looks(SESSIONS, |number| format!("user-{number}"));
        let of_one = looks(SESSIONS, |_| "ana".to_owned());
        assert!(of_one <= of_many, "{of_one} looks for one user, {of_many} for as many users as sessions");
    }

    #[test]
    fn sessions_are_found_and_counted_whether_they_are_few_or_many() {
        let (all, looks) = (ByUser::new(), Arc::new(AtomicUsize::new(0)));
        let session = |name| Arc::new(Counted { user: user(name), looks: looks.clone() });
        let of = |name: &str| {
            let mut found = 0;
            all.for_each_of(&user(name), |_| found += 1);
            found
        };
        let ben = session("ben");
        assert_eq!(all.insert(&ben, 1), Ok(true));
        assert_eq!(all.insert(&session("ben"), 1), Err(UserIsFull));
        let sessions: Vec<_> = (0..3 * FEW_MAX).map(|_| session("ana")).collect();
        for (before, session) in sessions.iter().enumerate() {
            assert_eq!(all.insert(session, before), Err(UserIsFull), "{before} are enough");
            assert_eq!(all.insert(session, before + 1), Ok(before == 0), "{before} before it");
            assert_eq!((of("ana"), of("ben")), (before + 1, 1));
        }
        let mut everybody = 0;
        all.for_each(|_| everybody += 1);
        assert_eq!(everybody, 3 * FEW_MAX + 1);
        for (after, session) in sessions.iter().enumerate().rev() {
            let mut was_last = false;
            all.remove(session, || was_last = true);
            assert_eq!((was_last, all.has(&user("ana")), of("ana")), (after == 0, after > 0, after));
        }
        assert_eq!((all.len(), all.has(&ben.user)), (1, true));
    }
}
