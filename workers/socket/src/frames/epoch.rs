//! Which of the store's histories cursors are of, and what happens when it becomes another one: a backup was restored, or
//! a standby was promoted. See `watchbell::store::History` for how that is noticed.
//!
//! What holds here:
//! - A cursor of an epoch is given only with what was read while this pod believed in that epoch: the epoch is taken
//!   first, and the store is read after it. A cursor of an epoch that is over is answered with `resync`.
//! - A session takes live frames of its own epoch only, and moves to the next one by a `resync`. So nobody has a cursor of
//!   the new history before they were told to fetch their inbox.
//! - Sessions are told one after the other, at the rate at which they may begin: each of them fetches an inbox.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use watchbell::{
    domain::Seq,
    store::{Head, History, StoreError},
    wire::frame::Cursor,
};

use crate::Socket;

/// How often it is looked whether the store has made a new connection, which may lead to another server.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the store is asked for its history in any case: a dump may be restored beneath open connections.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How long a session that begins waits for the store to be seen for the first time.
const KNOWN_MAX: Duration = Duration::from_secs(5);

/// One history of the store, as this pod has come to know it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Counts the epochs of this pod, from 1; 0 before the store was seen.
    pub(crate) number: u32,
    name: String,
}

impl Epoch {
    /// A place in somebody's inbox, as clients are given it.
    pub(crate) fn cursor(&self, seq: Seq) -> String {
        Cursor { epoch: &self.name, seq }.encode()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number a cursor stands for, or why it stands for none.
    pub(crate) fn number_of(&self, raw: &str, head: Head) -> Result<Seq, &'static str> {
        match Cursor::parse(raw) {
            None => Err("cursor not understood"),
            Some(cursor) if cursor.epoch != self.name => Err("cursor of another store"),
            Some(cursor) if cursor.seq > head.seq => Err("cursor from the future"),
            Some(cursor) => Ok(cursor.seq),
        }
    }
}

/// The epoch of this pod.
#[derive(Debug)]
pub(crate) struct Epochs(watch::Sender<Arc<Epoch>>);

impl Default for Epochs {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::new(Epoch { number: 0, name: String::new() })))
    }
}

impl Epochs {
    pub(crate) fn current(&self) -> Arc<Epoch> {
        self.0.borrow().clone()
    }

    /// The same, once the store has been seen; `None` when it is not seen in time.
    pub(crate) async fn known(&self) -> Option<Arc<Epoch>> {
        let mut epochs = self.0.subscribe();
        let known = timeout(KNOWN_MAX, epochs.wait_for(|epoch| epoch.number > 0)).await.ok()?.ok()?;
        Some(known.clone())
    }

    /// From now on the store's history has this name. Whether that is another epoch than one that was known before.
    fn begin(&self, name: &str) -> bool {
        let before = self.current();
        if before.number > 0 && before.name == name {
            return false;
        }
        self.0.send_replace(Arc::new(Epoch { number: before.number + 1, name: name.to_owned() }));
        before.number > 0
    }
}

/// What a pod remembers between two looks.
#[derive(Default)]
struct Watched {
    /// The history it saw last.
    history: Option<History>,
    /// How many connections the store had made by then.
    connections: u64,
    asked_at: Option<Instant>,
}

impl Socket {
    /// The epoch that cursors are of. Take it before reading what they are given with.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.0.epochs.current()
    }

    /// Keeps the epoch true until `stop`.
    pub(crate) async fn watch_epoch(self, stop: CancellationToken) {
        let mut watched = Watched::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                is_another = self.look_at_history(&mut watched) => match is_another {
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

    /// Whether the sessions here are of an epoch that is over.
    async fn look_at_history(&self, watched: &mut Watched) -> Result<bool, StoreError> {
        // Read before asking: a connection that is made for the question is looked at the next time.
        let connections = self.0.store.connections_made();
        let is_due = watched.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        if watched.history.is_some() && !is_due && connections == watched.connections {
            return Ok(false);
        }
        let history = self.0.store.history().await?;
        if watched.history.as_ref().is_some_and(|before| history.went_back_since(before)) {
            warn!(
                "The store has gone back in time: a new history begins, and every client fetches its inbox"
            );
            self.0.store.begin_history(Some(&history)).await?;
            return Ok(false); // It is read at the next look.
        }
        let is_another = self.0.epochs.begin(&history.name);
        *watched = Watched { history: Some(history), connections, asked_at: Some(Instant::now()) };
        Ok(is_another)
    }

    /// Moves every session to the epoch that has just begun.
    async fn resync_everybody(&self, stop: &CancellationToken) {
        let users = self.0.hub.users();
        let spread = Duration::from_secs(1)
            .mul_f64(users.len() as f64 / f64::from(self.0.config.accepts_per_second.max(1)));
        metrics::counter!("watchbell_socket_epochs_total").increment(1);
        info!(
            users = users.len(),
            spread_ms = spread.as_millis() as u64,
            "The store tells another history (a restore, or a failover): every client is told to fetch its inbox"
        );
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.ping_slices(users, Some(Instant::now() + spread)) => {}
        }
    }
}

#[test]
fn a_cursor_belongs_to_its_epoch() {
    let epochs = Epochs::default();
    assert!(!epochs.begin("aa"), "the first one that is seen is no change");
    let first = epochs.current();
    assert!(!epochs.begin("aa"), "nor is the same");
    assert_eq!(epochs.current(), first);
    let head = Head { seq: 7, ..Head::default() };
    let cursor = first.cursor(5);
    assert_eq!(first.number_of(&cursor, head), Ok(5));
    assert_eq!(first.number_of(&first.cursor(8), head), Err("cursor from the future"));
    assert_eq!(first.number_of("yesterday", head), Err("cursor not understood"));
    assert!(epochs.begin("bb"));
    let second = epochs.current();
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(second.number_of(&cursor, head), Err("cursor of another store"));
}
