//! Devices that nobody has heard of for months: their services go on saying "accepted" for some of them (WebKit bug
//! 249766), so age is the only sign. An app registers its device whenever it is opened, which renews it.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{domain::PushService, store::StoreError};

use crate::Fallback;

/// How often the old ones are looked for, and how many are dropped in one commit.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
const BATCH_MAX: usize = 1_000;

/// How long a device may stay silent. None: its service tells by itself when it is gone.
fn silent_max(service: PushService) -> Option<SignedDuration> {
    let days = |days: i64| Some(SignedDuration::from_hours(24 * days));
    match service {
        // Apple answers 410.
        PushService::Apns => None,
        // Google's own bound: <https://firebase.google.com/docs/cloud-messaging/manage-tokens>.
        PushService::Fcm => days(270),
        // As ntfy has it.
        PushService::WebPush => days(60),
    }
}

impl Fallback {
    pub(crate) async fn prune(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            for service in [PushService::Apns, PushService::Fcm, PushService::WebPush] {
                match self.prune_service(service).await {
                    Ok(0) => {}
                    Ok(dropped) => {
                        info!(%service, dropped, "Dropped devices that were not heard of for months");
                    }
                    Err(error) => warn!(%error, "Old devices could not be looked for"),
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn prune_service(&self, service: PushService) -> Result<u64, StoreError> {
        let Some(silent_max) = silent_max(service) else { return Ok(0) };
        let mut dropped = 0;
        loop {
            let before = self.clock.now() - silent_max;
            let batch = self.store.prune_devices(service, before, BATCH_MAX).await?;
            dropped += batch;
            if batch < BATCH_MAX as u64 {
                return Ok(dropped);
            }
        }
    }
}
