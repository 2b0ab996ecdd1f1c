//! Why an outcome was not told, by whichever route.

use std::time::Duration;

/// Why one was not told.
pub(super) struct NotTold {
    /// Not sooner than after this again, if the other end says so.
    pub(super) wait_min: Duration,
    /// Without what was sent, and where to.
    pub(super) reason: String,
}
