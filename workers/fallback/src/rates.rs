//! How much one tenant may send, so that one of them in trouble does not use up the providers' patience for all.

use std::time::Duration;

use jiff::Timestamp;
use watchbell::{
    domain::Tenant,
    runtime::rate_limit::{Rate, RateLimiter},
};

/// So much time's worth may be sent at once.
const BURST: Duration = Duration::from_secs(1);
/// Tenants that are remembered at once.
const TENANTS_MAX: usize = 10_000;

/// A rate for each tenant, of this process.
#[derive(Debug)]
pub struct Rates(RateLimiter<Tenant, Timestamp>);

impl Rates {
    /// So many a second and tenant; at least one.
    pub fn new(per_s_max: u32) -> Self {
        Self(RateLimiter::new(Rate::per_second(per_s_max).burst(BURST), TENANTS_MAX))
    }

    /// Takes one, or says how long to wait for it. Whoever waits has taken theirs already: they come back when it is
    /// there, one after the other, and not all at once.
    pub fn wait(&self, tenant: &Tenant, now: Timestamp) -> Option<Duration> {
        Some(self.0.reserve(tenant, now)).filter(|wait| !wait.is_zero())
    }
}
