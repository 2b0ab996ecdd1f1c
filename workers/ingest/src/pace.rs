//! How fast the alerts of one tenant go to the broker while others publish, too.
//!
//! Dispatch takes tenants in turn, but only among what it has fetched: in the queue before it everybody waits for everybody. So a
//! tenant must not put more into that queue in a moment than dispatch soon takes out of it.
//!
//! What holds here:
//! - Whoever is alone is not held up.
//! - Beside others, a tenant goes on at the rate at which it may go on for long anyway (`ingest.recipients_per_tenant`): what it may be
//!   ahead of that is for one request with many recipients, or a storm of alerts, and not for every other tenant to wait for.
//! - Who waits has taken their place, so requests of one tenant go on in the order in which they came, one after the other.
//! - Events are not held up: they are not stored for anybody, and a bound on their number is `ingest.rate_per_tenant`.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;
use watchbell::{
    domain::Tenant,
    runtime::{
        contention::Contention,
        rate_limit::{Rate, RateLimiter, TooSoon},
    },
};

use crate::limits::{PACE_AHEAD_MAX, PACE_WAIT_MAX, RATE_TENANTS_MAX};

/// See the module. One for each ingest.
#[derive(Debug)]
pub(crate) struct Pace {
    contention: Contention,
    /// `None`: any number.
    rates: Option<RateLimiter<Tenant, Instant>>,
}

impl Pace {
    /// At most so many alerts of one tenant a second beside others.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        let rate = per_second.map(|number| Rate::per_second(number.get()).ahead(PACE_AHEAD_MAX));
        Self {
            contention: Contention::default(),
            rates: rate.map(|rate| RateLimiter::new(rate, RATE_TENANTS_MAX)),
        }
    }

    /// How long so many alerts of a tenant wait before they are published.
    ///
    /// # Errors
    /// [`TooSoon`]: for longer than [`PACE_WAIT_MAX`]. Nothing was taken.
    pub(crate) fn take(&self, tenant: &Tenant, alerts: usize, now: Instant) -> Result<Duration, TooSoon> {
        self.contention.note(tenant, now);
        match &self.rates {
            Some(rates) if self.contention.has_several(now) => rates.take(tenant, alerts, now, PACE_WAIT_MAX),
            _ => Ok(Duration::ZERO),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// How long each of these waits, in milliseconds; `None`: it is refused. They are a tenant, how many alerts, and when.
    fn waits(per_second: u32, asked: &[(&str, usize, u64)]) -> Vec<Option<u128>> {
        let (pace, begin) = (Pace::new(NonZeroU32::new(per_second)), Instant::now());
        let take = |(tenant, alerts, at_ms): &(&str, usize, u64)| {
            let now = begin + Duration::from_millis(*at_ms);
            pace.take(&Tenant::parse(*tenant).unwrap(), *alerts, now).ok().map(|wait| wait.as_millis())
        };
        asked.iter().map(take).collect()
    }

    #[test]
    fn only_beside_others_a_tenant_keeps_to_its_rate() {
        let ahead = u64::try_from(PACE_AHEAD_MAX.as_millis()).unwrap();
        for (why, per_second, asked, expected) in [
            ("alone", 1_000, vec![("evil", 1_000, 0), ("evil", 1_000, 0)], vec![Some(0), Some(0)]),
            ("no rate", 0, vec![("zoe", 1, 0), ("evil", 1_000, 0), ("evil", 1_000, 0)], vec![Some(0); 3]),
            (
                "one after the other, and then no more",
                1_000,
                vec![("zoe", 1, 0), ("evil", 500, 0), ("evil", 500, 0), ("evil", 500, 0), ("evil", 1, 0)],
                vec![Some(0), Some(0), Some(400), Some(900), None],
            ),
            (
                "whoever sends little does not wait",
                1_000,
                vec![("evil", 1_000, 0), ("zoe", 1, 0), ("evil", 1_000, 0), ("zoe", 1, 5), ("zoe", 1, 10)],
                vec![Some(0); 5],
            ),
            (
                "the time that passes counts",
                1_000,
                vec![("zoe", 1, 0), ("evil", 500, 0), ("evil", 500, 400 + ahead)],
                vec![Some(0); 3],
            ),
            (
                "once the others are gone, nothing is held up",
                1_000,
                vec![("zoe", 1, 0), ("evil", 1_000, 1), ("evil", 1_000, 1_100)],
                vec![Some(0); 3],
            ),
        ] {
            assert_eq!(waits(per_second, &asked), expected, "{why}");
        }
    }
}
