//! How much one tenant may publish, so that one does not take it all. Off unless configured.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use watchbell::domain::Tenant;

/// How far ahead of its rate a tenant may be. A request is taken whole or not at all, so one of many alerts may lead
/// further ahead, and is then waited for.
const AHEAD_MAX: Duration = Duration::from_secs(1);
/// Tenants remembered before those who owe nothing are forgotten.
const TENANTS_MAX: usize = 1_024;

/// What each tenant has published lately: when its account is level again (the generic cell rate algorithm).
#[derive(Debug)]
pub struct Rate {
    per_second: Option<NonZeroU32>,
    level_at: Mutex<HashMap<Tenant, Instant>>,
}

impl Rate {
    /// `None`: without bound.
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, level_at: Mutex::default() }
    }

    /// Takes `number` from the tenant's account.
    ///
    /// # Errors
    /// After how long to come again; nothing was taken.
    pub fn take(&self, tenant: &Tenant, number: usize, now: Instant) -> Result<(), Duration> {
        let Some(per_second) = self.per_second else { return Ok(()) };
        let mut level_at = self.level_at.lock().unwrap_or_else(PoisonError::into_inner);
        let level = level_at.get(tenant).map_or(now, |level| (*level).max(now));
        if level > now + AHEAD_MAX {
            return Err(level - now - AHEAD_MAX);
        }
        if level_at.len() >= TENANTS_MAX {
            level_at.retain(|_, level| *level > now);
        }
        let cost = Duration::from_secs_f64(number as f64 / f64::from(per_second.get()));
        level_at.insert(tenant.clone(), level + cost);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_may_publish_so_much_a_second() {
        let tenant = |name: &str| Tenant::parse(name).unwrap();
        let (rate, start) = (Rate::new(NonZeroU32::new(10)), Instant::now());
        for (why, name, at_ms, number, wait_ms) in [
            ("a second's worth at once", "acme", 0, 10, None),
            ("and once more, it is not far ahead", "acme", 0, 10, None),
            ("now it is", "acme", 0, 1, Some(1_000)),
            ("another tenant is not", "globex", 0, 1, None),
            ("still", "acme", 999, 1, Some(1)),
            ("not any more", "acme", 1_000, 1, None),
            ("many at once, after a rest", "acme", 10_000, 100, None),
            ("have to be waited for", "acme", 10_000, 1, Some(9_000)),
        ] {
            let taken = rate.take(&tenant(name), number, start + Duration::from_millis(at_ms));
            assert_eq!(taken, wait_ms.map_or(Ok(()), |ms| Err(Duration::from_millis(ms))), "{why}");
        }
        let free = Rate::new(None);
        assert_eq!(free.take(&tenant("acme"), usize::MAX, start), Ok(()), "off");
    }

    #[test]
    fn tenants_who_owe_nothing_are_forgotten() {
        let (rate, start) = (Rate::new(NonZeroU32::new(10)), Instant::now());
        for n in 0..TENANTS_MAX {
            rate.take(&Tenant::parse(format!("t{n}")).unwrap(), 1, start).unwrap();
        }
        rate.take(&Tenant::parse("one-more").unwrap(), 1, start + Duration::from_secs(1)).unwrap();
        assert_eq!(rate.level_at.lock().unwrap().len(), 1);
    }
}
