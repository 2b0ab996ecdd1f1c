//! SQLite's journal (its WAL) is copied into the database file beside the writes, not by one of them.
//!
//! Left alone, SQLite has the commit that makes the journal longer than 1,000 pages copy all of it, while every other write waits:
//! measured, every tenth commit of 32 rows then takes 30 ms in place of 8. A checkpoint of the kind `PASSIVE` on a connection of
//! its own stands in nobody's way. Without one, and when writes never pause, commits do it from
//! `PRAGMA wal_autocheckpoint` on.
//!
//! PostgreSQL does this by itself.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Store;

/// How often to look whether there is enough to copy.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(100);
/// Writes that are worth a checkpoint. Of one row each they come to about 200 pages.
const WRITES_MIN: u64 = 16;

impl Store {
    /// Copies what was committed, again and again, until `leaving`. With PostgreSQL it only waits for that.
    pub async fn keep_checkpointing(&self, leaving: CancellationToken) {
        let Some(checkpoint) = self.engine.checkpoint() else { return leaving.cancelled().await };
        let mut copied = 0;
        loop {
            tokio::select! {
                () = leaving.cancelled() => return,
                () = sleep(CHECKPOINT_EVERY) => {}
            }
            let written = self.written.load(Ordering::Relaxed);
            if written - copied >= WRITES_MIN {
                copied = written;
                if let Err(error) = sqlx::query(checkpoint).execute(&self.read).await {
                    debug!(%error, "The journal could not be copied; a commit does it");
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::{
        domain::{Tenant, Timestamp},
        store::{KeyRights, StoreConfig},
    };

    /// The frames of the journal, and how many of them are in the database file.
    async fn journal(store: &Store) -> (i64, i64) {
        // Copies nothing while another connection is at it, and says how it stands.
        let row = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&store.read).await.unwrap();
        (row.try_get(1).unwrap(), row.try_get(2).unwrap())
    }

    /// Before 3.51.3 a checkpoint beside a writer could damage the file: <https://www.sqlite.org/wal.html#walresetbug>.
    #[tokio::test]
    async fn sqlite_is_one_that_can_do_both_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        let row = sqlx::query("SELECT sqlite_version()").fetch_one(&store.read).await.unwrap();
        let version: Vec<u32> =
            row.get::<String, _>(0).split('.').map(|number| number.parse().unwrap()).collect();
        assert!(version >= vec![3, 51, 3], "{version:?}");
        store.close().await;
    }

    #[tokio::test]
    async fn the_journal_is_copied_beside_the_writes() {
        let dir = tempfile::tempdir().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let rights = KeyRights::of(Tenant::parse("acme").unwrap());
        for n in 0..WRITES_MIN {
            store.add_api_key(&n.to_string(), &rights, "ci", Timestamp::UNIX_EPOCH).await.unwrap();
        }
        let (frames, copied) = journal(&store).await;
        assert!(frames > copied, "no commit did it: {copied} of {frames}");
        let leaving = CancellationToken::new();
        let copied = async {
            while let (frames, copied) = journal(&store).await
                && copied < frames
            {
                tokio::task::yield_now().await;
            }
            leaving.cancel();
        };
        let both = async { tokio::join!(store.keep_checkpointing(leaving.clone()), copied) };
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("it is copied");
        store.close().await;
    }
}
