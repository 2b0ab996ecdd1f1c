//! Presence: the store is told who has a session here, in batches, for as long as this pod renews its lease.
//!
//! What holds here:
//! - It shortens waits and nothing else (I4), so a store that does not answer delays no session and loses no alert.
//! - Somebody who reloads a page has not left: a user counts as gone [`LEAVES_AFTER`] after their last session closed.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use watchbell::{
    domain::UserKey,
    store::{PRESENCE_BATCH_MAX, Store, StoreError},
};

use crate::pod::{presence::Presence, rebalance::told_every, status::PodStatus};

/// How long this pod's word counts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How long after a user's last session closed they have left.
const LEAVES_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody has left.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The wait after the store did not answer.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);

/// Tells the store who is here, and how many sessions this pod holds.
pub(crate) struct PresenceWriter {
    pub(crate) store: Store,
    pub(crate) presence: Arc<Presence>,
    pub(crate) status: PodStatus,
    /// How often pods compare how many sessions they hold.
    pub(crate) rebalance_every: Duration,
}

/// When the lease is renewed next, and whether the store may have missed somebody.
struct Renewal {
    at: Instant,
    tell_everybody: bool,
}

impl PresenceWriter {
    /// Tells the store until `stop`. Then the lease ends by itself, and whoever sweeps dead pods lets its users leave,
    /// but for those who moved to another.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut renewal = Renewal { at: Instant::now(), tell_everybody: false };
        while !stop.is_cancelled() {
            let wait = match self.tell_once(&mut renewal).await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    let what = "The store could not be told who is here";
                    match error.is_unavailable() {
                        // Readiness tells of it.
                        true => debug!(%error, "{what}"),
                        false => warn!(%error, "{what}"),
                    }
                    // Whoever arrived does not wait for it, and is told of with everybody else.
                    drop(self.presence.take_arrived());
                    renewal = Renewal { at: Instant::now(), tell_everybody: true };
                    TROUBLE_WAIT
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.presence.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// How often the lease is renewed: also often enough for pods to compare what they hold.
    fn renew_every(&self) -> Duration {
        told_every(self.rebalance_every, RENEW_EVERY)
    }

    async fn tell_once(&self, renewal: &mut Renewal) -> Result<(), StoreError> {
        let Self { store, presence, status, .. } = self;
        if presence.take_news() || renewal.at <= Instant::now() {
            let load = status.load();
            metrics::gauge!("watchbell_socket_sessions").set(load.sessions as f64);
            let is_known = store.renew_pod(&presence.pod, status.clock.now(), LEASE).await?;
            if renewal.tell_everybody || !is_known {
                self.tell_of(&status.hub.users()).await?;
            }
            // Other pods' dead are everybody's: one call a renewal keeps up with any number of them.
            pass_over_refused(store.sweep_pods(status.clock.now()).await.map(drop))?;
            store.tell_load(&presence.pod, &load).await?;
            *renewal = Renewal { at: Instant::now() + self.renew_every(), tell_everybody: false };
        }
        let (users, waiting): (Vec<UserKey>, Vec<_>) = presence.take_arrived().into_iter().unzip();
        self.tell_of(&users).await?;
        for told in waiting {
            let _ = told.send(()); // Whoever stopped waiting does not mind.
        }
        self.let_leave().await
    }

    async fn tell_of(&self, users: &[UserKey]) -> Result<(), StoreError> {
        let now = self.status.clock.now();
        for batch in users.chunks(PRESENCE_BATCH_MAX) {
            match self.store.arrive(&self.presence.pod, batch, now).await {
                Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) if batch.len() > 1 => {
                    for user in batch {
                        let told =
                            self.store.arrive(&self.presence.pod, std::slice::from_ref(user), now).await;
                        pass_over_refused(told)?;
                    }
                }
                told => pass_over_refused(told)?,
            }
        }
        Ok(())
    }

    /// Lets those leave who have been gone for long enough and did not come back.
    async fn let_leave(&self) -> Result<(), StoreError> {
        let mut gone = self.presence.take_left(LEAVES_AFTER);
        // Whoever comes back from here on is told of by the next round, after they were let go.
        gone.retain(|(user, _)| !self.status.hub.has(user));
        while !gone.is_empty() {
            let batch = gone.split_off(gone.len().saturating_sub(PRESENCE_BATCH_MAX));
            let users: Vec<UserKey> = batch.iter().map(|(user, _)| user.clone()).collect();
            if let Err(error) = self.let_go(&users).await {
                self.presence.put_back_left(gone.into_iter().chain(batch));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn let_go(&self, users: &[UserKey]) -> Result<(), StoreError> {
        let (store, pod, now) = (&self.store, &self.presence.pod, self.status.clock.now());
        match store.leave(pod, users, now).await {
            Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) if users.len() > 1 => {
                for user in users {
                    pass_over_refused(store.leave(pod, std::slice::from_ref(user), now).await)?;
                }
                Ok(())
            }
            told => pass_over_refused(told),
        }
    }
}

/// Presence is a hint: one person's that the store refuses is let go, so that nobody else's waits for it.
fn pass_over_refused(told: Result<(), StoreError>) -> Result<(), StoreError> {
    match told {
        Ok(()) => Ok(()),
        Err(error @ StoreError::Unavailable { .. }) => Err(error),
        Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
            warn!(%error, "Somebody's presence cannot be stored; their first waits are kept");
            Ok(())
        }
    }
}
