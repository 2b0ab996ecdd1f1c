//! Whose token it is at this moment, and until when.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use watchbell::runtime::Clock;

use super::{authenticator::Authenticator, identity::Identity, refusal::TokenError};

/// A token that never ends is looked at again after this.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// The authenticator, with the clock that it is asked by. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Verifier {
    authenticator: Arc<Authenticator>,
    clock: Clock,
}

impl Verifier {
    pub(crate) fn new(authenticator: Arc<Authenticator>, clock: Clock) -> Self {
        Self { authenticator, clock }
    }

    /// Whose token it is now.
    ///
    /// # Errors
    /// As [`Authenticator::identify`].
    pub(crate) async fn identify(&self, token: &str) -> Result<Identity, TokenError> {
        self.authenticator.identify(token, self.clock.now()).await
    }

    /// Whether the token of this identity has ended.
    pub(crate) fn has_ended(&self, identity: &Identity) -> bool {
        identity.expires_at <= self.clock.now()
    }

    /// When the token of this identity ends, or is looked at again because that is far away.
    pub(crate) fn ends_at(&self, identity: &Identity) -> Instant {
        let left = identity.expires_at.duration_since(self.clock.now());
        Instant::now() + Duration::try_from(left).unwrap_or_default().min(FAR)
    }

    /// The clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
