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

    /// Removes those of a service that were silent for too long by now.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::{
        domain::{Device, DeviceId, PushEnvironment, Secret, Tenant, Timestamp, UserId, UserKey},
        store::StoreConfig,
    };

    use super::*;

    #[tokio::test]
    async fn a_browser_stays_for_60_days_a_phone_of_googles_for_270_and_one_of_apples_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let url = Store::sqlite_url(&folder.path().join("store"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let registered_at = Timestamp::from_second(1_900_000_000).unwrap();
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        for (service, days, stays) in [
            (PushService::WebPush, 59, true),
            (PushService::WebPush, 61, false),
            (PushService::Fcm, 269, true),
            (PushService::Fcm, 271, false),
            (PushService::Apns, 10_000, true),
        ] {
            let device = Device {
                id: DeviceId::parse(format!("{service}")).unwrap(),
                service,
                token: Secret::from(format!("token of {service}")),
                bound_to: None,
                start_token: None,
                environment: PushEnvironment::Production,
                registered_at,
                issued_at: Some(registered_at),
            };
            store.put_device(&user, &device, 10).await.unwrap();
            let clock = Clock::at(registered_at + SignedDuration::from_hours(24 * days));
            let dropped = DevicePruner::new(store.clone(), clock).prune_service(service).await.unwrap();
            assert_eq!(dropped == 0, stays, "{service} after {days} days");
        }
    }
}
