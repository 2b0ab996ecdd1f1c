//! What the handlers of the console share.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Instant};
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

/// Texts of operators that are computed at once, each on a thread. This goes on when whoever asked is gone, so the places of requests are
/// no bound for it.
const COMPUTED_AT_ONCE_MAX: usize = 2;
static COMPUTING: Semaphore = Semaphore::const_new(COMPUTED_AT_ONCE_MAX);

/// Computes on a thread of its own what somebody wrote, which takes as long as it is long: no session and no probe of this process
/// waits for it. The next ones wait.
pub(super) async fn apart<T: Send + 'static>(
    compute: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let failed = || Problem::internal("This could not be computed.");
    let permit = COMPUTING.acquire().await.map_err(|_| failed())?;
    let computed = tokio::task::spawn_blocking(move || {
        let _permit = permit; // Given back when it is done, also where nobody waits for it any more.
        compute()
    });
    computed.await.unwrap_or_else(|_| Err(failed()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_still_counts() {
        let (begun, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut ends = Vec::new();
        for _ in 0..COMPUTED_AT_ONCE_MAX + 3 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let (begun, running) = (Arc::clone(&begun), Arc::clone(&running));
            let one = apart(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                running.fetch_add(1, Ordering::SeqCst);
                ended.recv().ok(); // Until its end is dropped.
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
            // Whoever asked goes away.
            assert!(tokio::time::timeout(Duration::from_millis(20), one).await.is_err());
        }
        assert_eq!(running.load(Ordering::SeqCst), COMPUTED_AT_ONCE_MAX);
        drop(ends);
        assert_eq!(apart(|| Ok(7)).await.unwrap(), 7);
        assert_eq!(
            begun.load(Ordering::SeqCst),
            COMPUTED_AT_ONCE_MAX,
            "who left while they waited began nothing"
        );
    }
}
