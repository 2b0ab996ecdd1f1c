//! Notices when the store tells another history: a backup was restored, or a standby was promoted. See
//! `watchbell::store::History` for how that is seen.
//!
//! What holds here:
//! - A session takes live frames of its own epoch only, and moves to the next one by a `resync`. So nobody has a cursor of
//!   the new history before they were told to fetch their inbox.
//! - Sessions are told one after the other, at the rate at which they may begin, because each of them fetches an inbox.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use watchbell::store::{History, Store, StoreError};

use crate::{
    frames::epoch::Epochs,
    pod::{hub::Hub, pings::Pinger},
};

/// How often it is looked whether the store has made a new connection, which may lead to another server.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the store is asked for its history in any case, because a dump may be restored beneath open connections.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Keeps the epoch of a pod true.
pub(crate) struct HistoryWatch {
    pub(crate) store: Store,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) pinger: Pinger,
    /// Sessions that are told each second at the most.
    pub(crate) sessions_per_second: u32,
}

/// What was seen at the last look.
#[derive(Default)]
struct LastLook {
    history: Option<History>,
    /// How many connections the store had made by then.
    connections: u64,
    asked_at: Option<Instant>,
}

impl HistoryWatch {
    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut last = LastLook::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                is_another = self.look(&mut last) => match is_another {
                    Ok(true) => self.resync_everybody(&stop).await,
                    Ok(false) => {}
                    // Readiness tells of a store that does not answer.
                    Err(error) => debug!(%error, "The store's history could not be asked for"),
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Whether the sessions here belong to an epoch that is over.
    async fn look(&self, last: &mut LastLook) -> Result<bool, StoreError> {
        // Read before asking: a connection that is made for the question is looked at the next time.
        let connections = self.store.connections_made();
        let is_due = last.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        if last.history.is_some() && !is_due && connections == last.connections {
            return Ok(false);
        }
        let history = self.store.history().await?;
        if last.history.as_ref().is_some_and(|before| history.went_back_since(before)) {
            warn!(
                "The store has gone back in time: a new history begins, and every client fetches its inbox"
            );
            self.store.begin_history(Some(&history)).await?;
            return Ok(false); // It is read at the next look.
        }
        let is_another = self.epochs.begin(&history.name);
        *last = LastLook { history: Some(history), connections, asked_at: Some(Instant::now()) };
        Ok(is_another)
    }

    /// Moves every session to the epoch that has just begun.
    async fn resync_everybody(&self, stop: &CancellationToken) {
        let users = self.hub.users();
        let spread =
            Duration::from_secs(1).mul_f64(users.len() as f64 / f64::from(self.sessions_per_second.max(1)));
        metrics::counter!("watchbell_socket_epochs_total").increment(1);
        info!(
            users = users.len(),
            spread_ms = spread.as_millis() as u64,
            "The store tells another history (a restore, or a failover): every client is told to fetch its inbox"
        );
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.pinger.ping_slices(users, Some(Instant::now() + spread)) => {}
        }
    }
}
