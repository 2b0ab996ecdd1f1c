//! Why a call may not go now, and when to ask again.

use std::time::Duration;

/// Why a call may not go now, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PutOff {
    pub(crate) wait: Duration,
    pub(crate) why: &'static str,
    /// The provider is in trouble, or was with this device, so it may take long. Otherwise it is only busy.
    pub(crate) is_trouble: bool,
}

impl PutOff {
    /// There are too many calls at once.
    pub(crate) fn busy(wait: Duration, why: &'static str) -> Self {
        Self { wait, why, is_trouble: false }
    }

    /// The provider is in trouble, or was with this device.
    pub(super) fn trouble(wait: Duration, why: &'static str) -> Self {
        Self { wait, why, is_trouble: true }
    }
}
