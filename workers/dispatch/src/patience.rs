//! Waiting for a store that does not answer.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::store::StoreError;

/// The first wait for a store that is down, doubling up to [`STORE_WAIT_MAX`].
const STORE_WAIT_MIN: Duration = Duration::from_millis(50);
const STORE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why something was not stored.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// Shutdown came first. Unsettled deliveries go back to the queue.
    Leaving,
    /// The store answers, and will not take this however often it is asked.
    Refused(StoreError),
}

/// Asks until the store answers, waiting longer each time: it may be restarting, and the alerts are safe in the queue
/// meanwhile.
pub(crate) async fn patiently<T, F>(
    shutdown: &CancellationToken,
    mut ask: impl FnMut() -> F,
) -> Result<T, NotStored>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = STORE_WAIT_MIN;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if !error.is_unavailable() => return Err(NotStored::Refused(error)),
            // Readiness tells of it, once for all who wait.
            Err(error) => debug!(%error, "The store does not answer; the batch waits"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Err(NotStored::Leaving),
            () = sleep(pause) => pause = (pause * 2).min(STORE_WAIT_MAX),
        }
    }
}
