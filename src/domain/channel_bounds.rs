//! How much one person gets by one channel; [`super::channel`] has the default of each, [`super::restraint`] what is made
//! of them.

use std::time::Duration;

/// An hour.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Bounds on what one person gets by one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelBounds {
    /// How long a window is. Zero: nothing is gathered.
    pub window: Duration,
    /// How many go out alone within a window.
    pub alone_max: u32,
    /// How many more do, of those that are mandatory.
    pub mandatory_alone_max: u32,
    /// How many go out within an hour, summaries included. The rest waits for the hour to end.
    pub per_hour_max: u32,
    /// An alert that became due so long after it was recorded is not sent by this channel any more.
    pub age_max: Duration,
}
