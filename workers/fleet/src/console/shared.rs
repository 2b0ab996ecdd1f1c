//! What the handlers of the console share.

use std::sync::Arc;

use tokio::time::Instant;
use watchbell::{
    broker::SharedBroker,
    domain::{Tenant, policy::Policies},
    runtime::{Health, http::AddressPrefix, rate_limit::RateLimiter},
    store::Store,
    wire::Problem,
};
use watchbell_fallback::Channels;
use watchbell_ingest::{ApiKeys, ConfiguredHooks, Routes};

use super::{oidc::SignIn, places::Places, process_name::ProcessName, samples::Samples, sessions::Sessions};
use crate::config::FleetConfig;

/// What the handlers share.
pub(super) struct Shared {
    /// Whose keys operators have.
    pub(super) tenant: Tenant,
    pub(super) config: FleetConfig,
    pub(super) policies: Arc<Policies>,
    pub(super) hooks: Arc<ConfiguredHooks>,
    pub(super) routes: Arc<Routes>,
    pub(super) keys: Arc<ApiKeys>,
    pub(super) store: Store,
    pub(super) broker: SharedBroker,
    pub(super) channels: Channels,
    pub(super) health: Health,
    pub(super) samples: Arc<Samples>,
    pub(super) process: ProcessName,
    pub(super) sessions: Sessions,
    pub(super) tries: RateLimiter<AddressPrefix, Instant>,
    /// Signing in by a sign-in service, where one is configured.
    pub(super) sign_in: Option<SignIn>,
    /// The requests that are answered now.
    pub(super) places: Places,
}

/// Computes on a thread of its own what somebody wrote, which takes as long as it is long: no session and no probe of this process
/// waits for it. At most as many run at once as requests have places.
pub(super) async fn apart<T: Send + 'static>(
    compute: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let computed = tokio::task::spawn_blocking(compute).await;
    computed.unwrap_or_else(|_| Err(Problem::internal("This could not be computed.")))
}
