//! What a call came to, as far as it says something of the provider rather than of the message.

use std::time::Duration;

use crate::channel::{Accepted, Blame, SendError, ThrottleScope};

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// The provider accepted the message.
    Accepted,
    /// The provider works, and does not want this message, token or address.
    MessageRefused,
    /// The provider did not answer, or answered that it cannot now.
    Failed,
    /// The provider wants no calls from any of us for this long.
    ThrottledForAll(Duration),
    /// The provider wants no calls for this long, and did not say from whom.
    Throttled(Duration),
    /// The provider refused our configuration, in a request that named a device. That is taken for this device's trouble
    /// until others are refused as well.
    DeviceRefused,
    /// The provider refused our configuration before a device was named: it refuses everybody.
    EverybodyRefused,
}

impl CallOutcome {
    /// `None`: the provider was not called.
    pub(crate) fn of(sent: &Result<Accepted, SendError>) -> Option<Self> {
        Some(match sent {
            Err(SendError::Unusable { .. }) => return None,
            Ok(_) => Self::Accepted,
            Err(SendError::Unavailable { .. } | SendError::Unreachable { .. }) => Self::Failed,
            Err(SendError::Throttled { scope, retry_after, .. }) => {
                match (scope, retry_after.unwrap_or_default()) {
                    (ThrottleScope::Provider, wait) => Self::ThrottledForAll(wait),
                    (ThrottleScope::Unnamed, wait) => Self::Throttled(wait),
                    (ThrottleScope::Device, _) => Self::MessageRefused,
                }
            }
            Err(SendError::ConfigFault { blame: Blame::Everybody, .. }) => Self::EverybodyRefused,
            Err(SendError::ConfigFault { blame: Blame::Device, .. }) => Self::DeviceRefused,
            Err(
                SendError::Unregistered { .. }
                | SendError::BadToken { .. }
                | SendError::Rejected { .. }
                | SendError::AddressRefused { .. },
            ) => Self::MessageRefused,
        })
    }
}
