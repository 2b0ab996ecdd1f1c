//! Waiting for a condition, with a deadline. The only place of the tests with a sleep.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{sleep, timeout};

const POLL_EVERY: Duration = Duration::from_millis(20);

/// Calls `probe` until it answers `Some`, and gives that.
///
/// The wait is in real time, so it is not for tests on a paused clock.
///
/// # Errors
/// After `deadline`, also when `probe` itself hangs; the error says that `what` was awaited.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let met = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            sleep(POLL_EVERY).await;
        }
    };
    timeout(deadline, met).await.map_err(|_| anyhow!("waited {} ms in vain: {what}", deadline.as_millis()))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn it_gives_what_the_probe_found() {
        let mut asked = 0;
        let found = until("the third try", Duration::from_secs(5), async || {
            asked += 1;
            (asked == 3).then_some("here")
        });
        assert_eq!(found.await.unwrap(), "here");
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_what_was_awaited() {
        for (why, hangs) in [("the probe answers no", false), ("the probe hangs", true)] {
            let waited = until("a blue moon", Duration::from_millis(50), async || {
                if hangs { pending().await } else { None::<()> }
            });
            let error = waited.await.unwrap_err().to_string();
            assert_eq!(error, "waited 50 ms in vain: a blue moon", "{why}");
        }
    }
}
