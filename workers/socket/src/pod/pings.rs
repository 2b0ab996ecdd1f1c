//! Pings that carry the store's head, so that an idle session learns that it missed something and heals.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use watchbell::{
    domain::UserKey,
    store::{Store, StoreError},
};

use crate::{
    frames::epoch::Epochs,
    pod::{hub::Hub, mailbox::Item},
};

/// Heads read in one statement.
const HEADS_MAX: usize = 500;
/// The wait after the store did not answer.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);

/// Pings the sessions of a pod. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pinger {
    pub(crate) store: Store,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) hub: Arc<Hub>,
    /// How often each session is pinged.
    pub(crate) every: Duration,
}

impl Pinger {
    /// Goes round all sessions, one round each ping interval, in slices spread over it, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let round_ends = Instant::now() + self.round();
            tokio::select! {
                () = stop.cancelled() => return,
                () = async {
                    self.ping_slices(self.hub.users(), Some(round_ends)).await;
                    sleep_until(round_ends).await;
                } => {}
            }
        }
    }

    /// The ping interval, give or take a fifth, so that pods do not fall into step.
    fn round(&self) -> Duration {
        self.every.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Compares every session with the store now, as fast as the store answers.
    pub(crate) async fn ping_everybody(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.ping_slices(self.hub.users(), None) => {}
        }
    }

    /// Pings these users, spread over the time until `until` when that is given.
    pub(crate) async fn ping_slices(&self, users: Vec<UserKey>, until: Option<Instant>) {
        let slices = users.len().div_ceil(HEADS_MAX).max(1) as u32;
        for slice in users.chunks(HEADS_MAX) {
            let read = loop {
                let epoch = self.epochs.current();
                match self.store.heads(slice).await {
                    Ok(heads) => break Some((epoch, heads)),
                    Err(error @ StoreError::Unavailable { .. }) => {
                        // Readiness tells of it.
                        debug!(%error, "Heads could not be read; pings wait");
                        sleep(TROUBLE_WAIT).await;
                    }
                    Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                        warn!(%error, users = slice.len(), "Heads cannot be read; their sessions are not pinged");
                        break None;
                    }
                }
            };
            let Some((epoch, heads)) = read else { continue };
            for user in slice {
                let head = heads.get(user).copied().unwrap_or_default();
                self.hub.give(user, || Item::Ping { head, epoch: epoch.clone() });
            }
            if let Some(until) = until {
                sleep(until.saturating_duration_since(Instant::now()) / slices).await;
            }
        }
    }
}
