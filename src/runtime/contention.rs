//! Whether several tenants have alerts at the same time. Then each of them is served in small parts, so that none waits for long;
//! one that is alone is served in large ones, which cost less.
//!
//! What holds here:
//! - A tenant counts as there for [`PRESENT_FOR`] after its last alert. So whoever sends one alert after the other finds small
//!   parts each time, not only while one of them waits.
//! - Two tenants are remembered, however many there are.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::Tenant;

/// How long a tenant counts as there after its last alert.
pub const PRESENT_FOR: Duration = Duration::from_secs(1);

/// See the module. One for each part that takes turns.
#[derive(Debug, Default)]
pub struct Contention {
    latest: Mutex<Latest>,
}

/// The tenant that had something last, and the other one that had before.
#[derive(Debug, Default)]
struct Latest {
    last: Option<(Tenant, Instant)>,
    other: Option<Instant>,
}

impl Contention {
    /// This tenant has an alert, or what is left of an audience.
    pub fn note(&self, tenant: &Tenant, now: Instant) {
        let mut latest = self.latest();
        match &mut latest.last {
            Some((last, at)) if last == tenant => *at = now,
            _ => {
                let before = latest.last.replace((tenant.clone(), now));
                latest.other = before.map(|(_, at)| at).or(latest.other);
            }
        }
    }

    /// Whether more than one tenant is there.
    pub fn has_several(&self, now: Instant) -> bool {
        let is_there = |at: Instant| now.saturating_duration_since(at) < PRESENT_FOR;
        let latest = self.latest();
        latest.last.as_ref().is_some_and(|(_, at)| is_there(*at)) && latest.other.is_some_and(is_there)
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        // Nothing panics while it is held.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn several_are_there_for_a_moment_after_the_last_alert_of_the_second() {
        let ms = Duration::from_millis;
        let moment = u64::try_from(PRESENT_FOR.as_millis()).unwrap();
        for (why, seen, at, expected) in [
            ("nobody", vec![], 0, false),
            ("one alone", vec![("evil", 0), ("evil", 1)], 1, false),
            ("a second one", vec![("evil", 0), ("zoe", 1)], 1, true),
            ("between two of its alerts", vec![("zoe", 0), ("evil", 1), ("evil", 2)], moment - 1, true),
            ("not for longer", vec![("zoe", 0), ("evil", 1), ("evil", 2)], moment, false),
            ("nor when both are gone", vec![("zoe", 0), ("evil", 0)], moment, false),
            ("each alert counts", vec![("zoe", 0), ("evil", 1), ("zoe", 500), ("evil", 501)], moment, true),
            ("of many tenants", vec![("a", 0), ("b", 1), ("c", 2), ("b", 3)], 1 + moment, true),
        ] {
            let (contention, begin) = (Contention::default(), Instant::now());
            for (tenant, at) in seen {
                contention.note(&Tenant::parse(tenant).unwrap(), begin + ms(at));
            }
            assert_eq!(contention.has_several(begin + ms(at)), expected, "{why}");
        }
    }
}
