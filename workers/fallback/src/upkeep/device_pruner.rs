//! Removes devices that were not heard of for months. Push services go on accepting pushes for some devices that are gone
//! (WebKit bug 249766), so age is the only sign. An app registers its device whenever it is opened, which renews it.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{
    domain::PushService,
    runtime::Clock,
    store::{Store, StoreError},
};

/// How often silent devices are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Devices removed in one commit.
const DEVICES_PER_COMMIT_MAX: usize = 1_000;

/// Removes silent devices.
#[derive(Clone)]
pub struct DevicePruner {
    store: Store,
    clock: Clock,
}

/// How long a device may stay silent. `None`: its service reports by itself that it is gone.
fn silent_max(service: PushService) -> Option<SignedDuration> {
    let days = |days: i64| Some(SignedDuration::from_hours(24 * days));
    match service {
        // Apple answers 410.
        PushService::Apns => None,
        // Google's own bound: <https://firebase.google.com/docs/cloud-messaging/manage-tokens>.
        PushService::Fcm => days(270),
        // The bound that ntfy uses.
        PushService::WebPush => days(60),
    }
}

impl DevicePruner {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Removes silent devices every hour until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            for service in [PushService::Apns, PushService::Fcm, PushService::WebPush] {
                match self.prune_service(service).await {
                    Ok(0) => {}
                    Ok(dropped) => {
                        info!(%service, dropped, "Removed devices that were not heard of for months");
                    }
                    // Readiness tells of a store that is away.
                    Err(error) if error.is_unavailable() => {}
                    Err(error) => {
                        warn!(%error, "Silent devices could not be removed; this is tried again in an hour");
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(PRUNE_EVERY) => {}
            }
        }
    }

    async fn prune_service(&self, service: PushService) -> Result<u64, StoreError> {
        let Some(silent_max) = silent_max(service) else { return Ok(0) };
        let mut dropped = 0;
        loop {
            let before = self.clock.now() - silent_max;
            let batch = self.store.prune_devices(service, before, DEVICES_PER_COMMIT_MAX).await?;
            dropped += batch;
            if batch < DEVICES_PER_COMMIT_MAX as u64 {
                return Ok(dropped);
            }
        }
    }
}
