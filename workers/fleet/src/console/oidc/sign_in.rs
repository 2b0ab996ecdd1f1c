//! The sign-in service that is configured, and who is away to it.

use reqwest::Client;
use tokio::sync::Semaphore;

use super::pending::Pending;
use crate::oidc::{config::OidcConfig, service};

/// Sign-ins for which the service is asked at once.
const CALLS_MAX: usize = 4;
/// The sign-in service, and who is away to it.
pub(crate) struct SignIn {
    pub(super) config: OidcConfig,
    pub(super) http: Client,
    pub(super) pending: Pending,
    pub(super) calls: Semaphore,
}

impl SignIn {
    /// With nobody away to the service. It is asked for the first time when somebody signs in.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub(crate) fn new(config: OidcConfig) -> anyhow::Result<Self> {
        let (pending, calls) = (Pending::default(), Semaphore::new(CALLS_MAX));
        Ok(Self { config, http: service::client()?, pending, calls })
    }

    pub(super) fn is_https(&self) -> bool {
        self.config.redirect_url.scheme() == "https"
    }
}
