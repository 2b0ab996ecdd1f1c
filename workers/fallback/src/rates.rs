//! How much one tenant may send: a bucket a tenant, so that one of them in trouble does not use up the providers'
//! patience for all.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use watchbell::domain::Tenant;

/// Buckets kept; full ones are forgotten first, which changes nothing.
const BUCKETS_MAX: usize = 10_000;

/// A token bucket a tenant, of this process. Holds a second's worth.
pub struct Rates {
    per_s_max: u32,
    buckets: Mutex<HashMap<Tenant, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Rates {
    /// So many a second and tenant; at least one.
    pub fn new(per_s_max: u32) -> Self {
        Self { per_s_max: per_s_max.max(1), buckets: Mutex::default() }
    }

    /// Takes one, or says how long to wait for it. Whoever waits has taken theirs already: they come back when it is
    /// there, one after the other, and not all at once.
    pub fn wait(&self, tenant: &Tenant, now: Timestamp) -> Option<Duration> {
        let per_s = f64::from(self.per_s_max);
        // Nothing panics while it is held, and the map would still be a map.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Bucket { tokens: per_s, at: now };
        let filled = |bucket: Bucket| {
            let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
            Bucket { tokens: (bucket.tokens + passed * per_s).min(per_s), at: now.max(bucket.at) }
        };
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| filled(*bucket).tokens < per_s);
        }
        let bucket = filled(buckets.get(tenant).copied().unwrap_or(fresh));
        let left = bucket.tokens - 1.0;
        buckets.insert(tenant.clone(), Bucket { tokens: left, ..bucket });
        (left < 0.0).then(|| Duration::from_secs_f64(-left / per_s))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_over_its_rate_waits_and_another_does_not() {
        let rates = Rates::new(10);
        let [loud, quiet] = ["loud", "quiet"].map(|name| Tenant::parse(name).unwrap());
        let begin = Timestamp::UNIX_EPOCH;
        let waits: Vec<_> = (0..30).map(|_| rates.wait(&loud, begin)).collect();
        assert!(waits[..10].iter().all(Option::is_none), "a second's worth at once");
        assert_eq!(waits[10], Some(Duration::from_millis(100)));
        assert_eq!(waits[29], Some(Duration::from_secs(2)), "each in their turn");
        assert_eq!(rates.wait(&quiet, begin), None);
        assert_eq!(rates.wait(&loud, begin + Duration::from_secs(4)), None, "it fills up again");
    }
}
