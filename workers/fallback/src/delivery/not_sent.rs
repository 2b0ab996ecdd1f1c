//! Why no provider accepted a message.

use crate::{
    channel::{NotConfigured, SendError},
    guard::PutOff,
};

/// Why no provider accepted a message.
#[derive(Debug, Clone)]
pub(super) enum NotSent {
    /// The provider refused it, or did not answer.
    Refused(SendError),
    /// There is no provider or recipient to send it to. Says why.
    Nowhere(String),
    /// The provider was not called, because it is in trouble or busy.
    PutOff(PutOff),
}

impl From<PutOff> for NotSent {
    fn from(put_off: PutOff) -> Self {
        Self::PutOff(put_off)
    }
}

impl From<NotConfigured> for NotSent {
    fn from(error: NotConfigured) -> Self {
        Self::Nowhere(error.to_string())
    }
}

impl From<SendError> for NotSent {
    fn from(error: SendError) -> Self {
        Self::Refused(error)
    }
}
