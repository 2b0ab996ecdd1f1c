//! The section `[fallback]`: how many timers and calls are in hand at once, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell::runtime::config::{checks::within, values::duration};

/// Timers handed out at once, in one transaction.
const CLAIM_MAX: usize = 10_000;
/// More than this in a queue is an outage, and not a backlog.
const BACKLOG_MAX: u64 = 10_000_000;
/// More calls at once than a process has sockets for.
const IN_FLIGHT_MAX: u16 = 10_000;

/// `[fallback]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackConfig {
    /// How often due timers are looked for.
    #[serde(with = "duration")]
    pub poll_every: Duration,
    /// Timers handed out at once.
    pub claim_max: usize,
    /// How long a handed-out timer is nobody else's, and how long a call to providers may take in all.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// No more is handed out while this many wait in the queue.
    pub backlog_max: u64,
    /// Escalations in the hands of senders at once, and the broker prefetch.
    pub in_flight_max: u16,
    /// How long shutdown waits for calls that have begun.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_millis(250),
            claim_max: 500,
            lease: Duration::from_secs(60),
            backlog_max: 2_000,
            in_flight_max: 256,
            drain_timeout: Duration::from_secs(15),
        }
    }
}

impl FallbackConfig {
    /// Whether it holds together.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub fn check(&self) -> anyhow::Result<()> {
        within(
            "fallback.poll_every",
            self.poll_every,
            Duration::from_millis(10)..=Duration::from_secs(10 * 60),
        )?;
        within("fallback.claim_max", self.claim_max, 1..=CLAIM_MAX)?;
        // A provider may take 10 s a call.
        within("fallback.lease", self.lease, Duration::from_secs(30)..=Duration::from_secs(60 * 60))?;
        within("fallback.backlog_max", self.backlog_max, 1..=BACKLOG_MAX)?;
        within("fallback.in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_MAX)
    }
}
