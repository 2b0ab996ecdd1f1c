//! The section `[dispatch]`: how many alerts one commit records, and when those that named no end expire.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell::runtime::config::{checks::within, values::duration};

/// Alerts of one commit: their texts are in memory at once.
const BATCH_MAX: usize = 10_000;
/// The longest that an alert is open, or an event is kept, when nobody said otherwise: a year.
const AGE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// `[dispatch]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DispatchConfig {
    /// Alerts of one commit at the most.
    pub batch_max: usize,
    /// How long a batch waits for more. Without a wait a batch is what has come while the one before was committed:
    /// one alert on a quiet day, which is then on its screens a commit later, and hundreds under load.
    #[serde(with = "duration")]
    pub batch_wait: Duration,
    /// When an alert without `expires_at` expires.
    #[serde(with = "duration")]
    pub expires_after: Duration,
    /// How long the kept events of a topic stay after the last one was published there.
    #[serde(with = "duration")]
    pub topics_kept: Duration,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            batch_max: 256,
            batch_wait: Duration::ZERO,
            expires_after: Duration::from_secs(7 * 24 * 60 * 60),
            topics_kept: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl DispatchConfig {
    /// Whether it holds together.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub fn check(&self) -> anyhow::Result<()> {
        let second = Duration::from_secs(1);
        within("dispatch.batch_max", self.batch_max, 1..=BATCH_MAX)?;
        within("dispatch.batch_wait", self.batch_wait, Duration::ZERO..=Duration::from_secs(60))?;
        within("dispatch.expires_after", self.expires_after, second..=AGE_MAX)?;
        within("dispatch.topics_kept", self.topics_kept, second..=AGE_MAX)
    }
}
