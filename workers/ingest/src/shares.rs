//! Permits of one kind that all tenants share, of which no tenant takes the whole.
//!
//! What holds here:
//! - There are never more permits out than there are.
//! - A tenant holds no more than it leaves free. Alone it may hold half, and of `n` tenants that take what they can each holds
//!   about one part of `n + 1`, so that something is left for whoever comes next (the dynamic thresholds of buffers that
//!   several queues share).
//! - A [`Share`] gives back what it holds when it is dropped, also when its request is cancelled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use watchbell::domain::Tenant;

/// See the module.
#[derive(Debug)]
pub struct Shares {
    max: usize,
    held: Mutex<Held>,
}

/// At most one entry for each permit that is out.
#[derive(Debug, Default)]
struct Held {
    by_all: usize,
    by_tenant: HashMap<Tenant, usize>,
}

/// There is no room now. What was held before still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The tenant has its share.
    ForThisTenant,
    /// Others have too much for what was asked.
    ForAnybody,
}

impl Shares {
    /// So many permits for all tenants together.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, held: Mutex::default() })
    }

    /// A share that holds nothing yet.
    pub fn share(self: &Arc<Self>, tenant: Tenant) -> Share {
        Share { shares: Arc::clone(self), tenant, holds: 0 }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request of a tenant holds.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    tenant: Tenant,
    holds: usize,
}

impl Share {
    /// Takes so many more.
    ///
    /// # Errors
    /// [`NoRoom`]: nothing was taken.
    pub fn take(&mut self, number: usize) -> Result<(), NoRoom> {
        let mut held = self.shares.held();
        let of_tenant = held.by_tenant.get(&self.tenant).copied().unwrap_or_default();
        is_allowed(self.shares.max, held.by_all, of_tenant, number)?;
        if number > 0 {
            held.by_all += number;
            held.by_tenant.insert(self.tenant.clone(), of_tenant + number);
            self.holds += number;
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.holds == 0 {
            return;
        }
        let mut held = self.shares.held();
        held.by_all -= self.holds;
        let left = held.by_tenant.get(&self.tenant).map_or(0, |of_tenant| of_tenant - self.holds);
        match left {
            0 => drop(held.by_tenant.remove(&self.tenant)),
            left => drop(held.by_tenant.insert(self.tenant.clone(), left)),
        }
    }
}

/// Whether a tenant that holds `of_tenant` of the `by_all` that are out may take `number` more.
fn is_allowed(max: usize, by_all: usize, of_tenant: usize, number: usize) -> Result<(), NoRoom> {
    let Some(left) = max.checked_sub(by_all.saturating_add(number)) else {
        return Err(NoRoom::ForAnybody);
    };
    match of_tenant + number {
        holds if holds <= left => Ok(()),
        _ if of_tenant == 0 => Err(NoRoom::ForAnybody),
        _ => Err(NoRoom::ForThisTenant),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_tenant_holds_no_more_than_it_leaves_free() {
        for (why, by_all, of_tenant, number, expected) in [
            ("half of what there is", 0, 0, 50, Ok(())),
            ("and not one more", 0, 0, 51, Err(NoRoom::ForAnybody)),
            ("not in steps either", 50, 50, 1, Err(NoRoom::ForThisTenant)),
            ("another one, beside it: a quarter", 50, 0, 25, Ok(())),
            ("and not one more", 50, 0, 26, Err(NoRoom::ForAnybody)),
            ("two that have a third each leave a third", 66, 0, 17, Ok(())),
            ("nothing more when nothing is left", 100, 10, 1, Err(NoRoom::ForAnybody)),
            ("nothing is always there", 100, 0, 0, Ok(())),
        ] {
            assert_eq!(is_allowed(100, by_all, of_tenant, number), expected, "{why}");
        }
    }

    #[test]
    fn what_is_held_is_given_back_whatever_happens() {
        for seed in 0..200 {
            let mut chance = StdRng::seed_from_u64(seed);
            let shares = Shares::new(100);
            let tenants = ["acme", "globex", "initech"].map(|name| Tenant::parse(name).unwrap());
            let mut requests: Vec<Share> = Vec::new();
            for _ in 0..200 {
                match chance.random_range(0..4) {
                    0 => requests.push(shares.share(tenants[chance.random_range(0..3)].clone())),
                    1 if !requests.is_empty() => {
                        drop(requests.swap_remove(chance.random_range(0..requests.len())));
                    }
                    _ if !requests.is_empty() => {
                        let at = chance.random_range(0..requests.len());
                        // A refusal changes nothing, which the sums below show.
                        let _ = requests[at].take(chance.random_range(0..30));
                    }
                    _ => {}
                }
                let held = shares.held();
                assert!(held.by_all <= 100, "seed {seed}: more than there are");
                assert_eq!(
                    held.by_all,
                    requests.iter().map(|share| share.holds).sum::<usize>(),
                    "seed {seed}"
                );
                for tenant in &tenants {
                    let own = requests.iter().filter(|share| share.tenant == *tenant);
                    let own: usize = own.map(|share| share.holds).sum();
                    assert_eq!(held.by_tenant.get(tenant).copied().unwrap_or_default(), own, "seed {seed}");
                    assert!(own <= 50, "seed {seed}: more than half");
                }
            }
            requests.clear();
            let held = shares.held();
            assert_eq!((held.by_all, held.by_tenant.len()), (0, 0), "seed {seed}");
        }
    }
}
