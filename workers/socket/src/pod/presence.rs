//! Who has come to this pod and who has left it, until the store is told (`presence_writer.rs`).
//!
//! A session is greeted after its user was reported, or [`TELL_TIMEOUT`] later: an alert that is published after the
//! greeting finds a screen to wait for.

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
    time::{Instant, timeout},
};
use tracing::debug;
use uuid::Uuid;
use watchbell::domain::UserKey;

/// How long a session waits for its user to be told.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Who came and who left, until the store is told. Bounded by the pod's sessions: each user waits in it once.
pub(crate) struct Presence {
    /// The name of this pod in the store.
    pub(crate) pod: String,
    changes: Mutex<Changes>,
    wake: Notify,
    /// Something about the pod itself has changed, and others should know.
    is_news: AtomicBool,
}

#[derive(Default)]
struct Changes {
    arrived: Vec<Arrival>,
    left: HashMap<UserKey, Instant>,
}

/// A user who has come, and the session that waits until the store knows.
pub(crate) type Arrival = (UserKey, oneshot::Sender<()>);

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

    /// Has the pod's status told now, without waiting for the next renewal.
    pub(crate) fn tell_now(&self) {
        self.is_news.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Whether the pod's status is to be told now. Asking takes it back.
    pub(crate) fn take_news(&self) -> bool {
        self.is_news.swap(false, Ordering::SeqCst)
    }

    /// Returns when somebody has come or the pod's status has changed.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Those who have come since this was called last.
    pub(crate) fn take_arrived(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.changes().arrived)
    }

    /// Those whose last session closed at least `age` ago, and when.
    pub(crate) fn take_left(&self, age: Duration) -> Vec<(UserKey, Instant)> {
        self.changes().left.extract_if(|_, at| at.elapsed() >= age).collect()
    }

    /// Those could not be reported: they are taken again later.
    pub(crate) fn put_back_left(&self, users: impl IntoIterator<Item = (UserKey, Instant)>) {
        self.changes().left.extend(users);
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // Nothing panics while it is held, and the lists would still be lists.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
