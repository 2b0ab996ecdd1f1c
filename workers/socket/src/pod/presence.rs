//! Presence: the store is told who has a session here, in batches, for as long as this pod renews its lease.
//!
//! What holds here:
//! - It shortens waits and nothing else (I4), so a store that does not answer delays no session and loses no alert.
//! - A session is greeted after its user was told to be here, or [`TELL_TIMEOUT`] later: an alert published after the
//!   greeting finds a screen to wait for.
//! - Somebody who reloads a page has not left: the last session of a user is gone [`LEAVES_AFTER`] later.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;
use watchbell::{
    domain::UserKey,
    store::{PRESENCE_BATCH_MAX, StoreError},
};

use crate::{Socket, pod::rebalance::Rules};

/// How long this pod's word counts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How long after a user's last session closed they have left.
const LEAVES_AFTER: Duration = Duration::from_secs(5);
/// How long a session waits for its user to be told.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody has left.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The wait after the store did not answer.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);

/// Who came and who left, until the store is told. Bounded by the pod's sessions: each user waits in it once.
pub(crate) struct Presence {
    pub(crate) pod: String,
    changes: Mutex<Changes>,
    wake: Notify,
    /// Something about the pod itself has changed, and others should know.
    is_news: AtomicBool,
}

#[derive(Default)]
struct Changes {
    arrived: Vec<(UserKey, oneshot::Sender<()>)>,
    left: HashMap<UserKey, Instant>,
}

/// When the lease is renewed next, and whether the store may have missed somebody.
struct Renewal {
    at: Instant,
    tell_everybody: bool,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            pod: Uuid::new_v4().simple().to_string(),
            changes: Mutex::default(),
            wake: Notify::new(),
            is_news: AtomicBool::new(false),
        }
    }
}

impl Presence {
    /// A user's first session here. Returns when the store knows, or when waiting for it is not worth it.
    pub(crate) async fn arrived(&self, user: &UserKey) {
        let (told, done) = oneshot::channel();
        {
            let mut changes = self.changes();
            if changes.left.remove(user).is_some() {
                return; // They have not been let go yet.
            }
            changes.arrived.push((user.clone(), told));
        }
        self.wake.notify_one();
        if timeout(TELL_TIMEOUT, done).await.is_err() {
            debug!("A session begins before the store knows of it");
        }
    }

    /// A user's last session here has closed.
    pub(crate) fn left(&self, user: UserKey) {
        self.changes().left.insert(user, Instant::now());
    }

    /// Does not wait for the next renewal.
    pub(crate) fn tell_now(&self) {
        self.is_news.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // Nothing panics while it is held, and the lists would still be lists.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    /// Tells the store until `stop`. Then the lease ends by itself, and whoever sweeps dead pods lets its users leave,
    /// but for those who moved to another.
    pub(crate) async fn tell_presence(self, stop: CancellationToken) {
        let mut renewal = Renewal { at: Instant::now(), tell_everybody: false };
        while !stop.is_cancelled() {
            let wait = match self.tell_once(&mut renewal).await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    warn!(%error, "The store could not be told who is here");
                    // Whoever arrived does not wait for it, and is told of with everybody else.
                    self.0.presence.changes().arrived.clear();
                    renewal = Renewal { at: Instant::now(), tell_everybody: true };
                    TROUBLE_WAIT
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.presence.wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    async fn tell_once(&self, renewal: &mut Renewal) -> Result<(), StoreError> {
        let (store, presence) = (&self.0.store, &self.0.presence);
        let is_news = presence.is_news.swap(false, Ordering::SeqCst);
        if is_news || renewal.at <= Instant::now() {
            let told_every = Rules::told_every(&self.0.config, RENEW_EVERY);
            let load = self.load();
            metrics::gauge!("watchbell_socket_sessions").set(load.sessions as f64);
            let is_known = store.renew_pod(&presence.pod, self.0.clock.now(), LEASE).await?;
            if renewal.tell_everybody || !is_known {
                self.tell_of(&self.0.hub.users()).await?;
            }
            // Other pods' dead are everybody's: one call a renewal keeps up with any number of them.
            pass_over_refused(store.sweep_pods(self.0.clock.now()).await.map(drop))?;
            store.tell_load(&presence.pod, &load).await?;
            *renewal = Renewal { at: Instant::now() + told_every, tell_everybody: false };
        }
        let arrived = std::mem::take(&mut presence.changes().arrived);
        let (users, waiting): (Vec<UserKey>, Vec<oneshot::Sender<()>>) = arrived.into_iter().unzip();
        self.tell_of(&users).await?;
        for told in waiting {
            let _ = told.send(()); // Whoever stopped waiting does not mind.
        }
        self.let_leave().await
    }

    async fn tell_of(&self, users: &[UserKey]) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        for batch in users.chunks(PRESENCE_BATCH_MAX) {
            match self.0.store.arrive(&self.0.presence.pod, batch, now).await {
                Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) if batch.len() > 1 => {
                    for user in batch {
                        let told =
                            self.0.store.arrive(&self.0.presence.pod, std::slice::from_ref(user), now).await;
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
        let presence = &self.0.presence;
        let mut gone: Vec<(UserKey, Instant)> = {
            let mut changes = presence.changes();
            changes.left.extract_if(|_, at| at.elapsed() >= LEAVES_AFTER).collect()
        };
        // Whoever comes back from here on is told of by the next round, after they were let go.
        gone.retain(|(user, _)| !self.0.hub.has(user));
        while !gone.is_empty() {
            let batch = gone.split_off(gone.len().saturating_sub(PRESENCE_BATCH_MAX));
            let users: Vec<UserKey> = batch.iter().map(|(user, _)| user.clone()).collect();
            if let Err(error) = self.let_go(&users).await {
                presence.changes().left.extend(gone.into_iter().chain(batch));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn let_go(&self, users: &[UserKey]) -> Result<(), StoreError> {
        let (store, pod, now) = (&self.0.store, &self.0.presence.pod, self.0.clock.now());
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
