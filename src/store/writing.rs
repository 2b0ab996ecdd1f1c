//! Whether writes work, as the last of them found.
//!
//! A store that answers questions may still take nothing: its disk is full, another process holds the file, a
//! statement hangs. Nobody finds that out by asking; the last write knows it.
//!
//! What holds here:
//! - A write that did not get through makes the store failing for readiness, until one gets through or nobody has tried
//!   for [`FAILURE_COUNTS`]: a process without traffic must not stay out of service for a failure of long ago.
//! - SQLite's connection that failed is not used again. When SQLite ends a transaction by itself, as it does on a full disk,
//!   the driver still counts it as open and refuses every other one on that connection.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::runtime::health::Fault;

/// How long a failed write counts when none was tried since.
const FAILURE_COUNTS: Duration = Duration::from_secs(15);

/// What the last write found.
#[derive(Debug, Default)]
pub(super) struct Writes {
    failed: Mutex<Option<(Instant, Fault)>>,
    is_distrusted: AtomicBool,
}

impl Writes {
    /// Notes how a write ended: with why it did not get through, or with nothing.
    pub(super) fn note(&self, fault: Option<Fault>, now: Instant) {
        if fault.is_some() {
            self.is_distrusted.store(true, Ordering::Relaxed);
        }
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = fault.map(|fault| (now, fault));
    }

    /// Forgets a failure that needs no explanation of its own: the store does not even answer questions.
    pub(super) fn forget(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why writes do not get through.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.filter(|(at, _)| now.duration_since(*at) < FAILURE_COUNTS).map(|(_, fault)| fault)
    }

    /// Whether the only connection that writes failed since this was asked last, and is to be replaced.
    pub(super) fn take_distrust(&self) -> bool {
        self.is_distrusted.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        domain::{Tenant, Timestamp},
        runtime::health::Seen,
        store::{KeyRights, Store, StoreConfig, StoreError},
    };

    #[test]
    fn a_failed_write_counts_until_one_gets_through_or_it_is_old() {
        let (writes, now) = (Writes::default(), Instant::now());
        let full = || Fault::passing("full");
        assert_eq!((writes.fault(now), writes.take_distrust()), (None, false));
        writes.note(Some(full()), now);
        assert_eq!((writes.fault(now), writes.take_distrust()), (Some(full()), true));
        assert!(!writes.take_distrust(), "one replacement for one failure");
        assert_eq!(writes.fault(now + FAILURE_COUNTS), None, "nobody has tried since");
        writes.note(None, now);
        assert_eq!(writes.fault(now), None, "one got through");
        writes.note(Some(full()), now);
        writes.forget();
        assert_eq!(writes.fault(now), None, "the store was away as a whole, and is back");
    }

    /// A page limit stands for a full disk: SQLite answers both with the same code.
    #[tokio::test]
    async fn a_full_disk_is_said_and_the_store_works_again_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let url = Store::sqlite_url(&dir.path().join("full.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let (acme, at) = (KeyRights::of(Tenant::parse("acme").unwrap()), Timestamp::UNIX_EPOCH);
        sqlx::query("PRAGMA max_page_count = 1").execute(&store.write).await.unwrap();
        let long = "x".repeat(1 << 20);
        let refused = store.add_api_key(&long, &acme, "ci", at).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        let Seen::Failing(fault) = store.look().await.store else { panic!("it takes nothing") };
        assert_eq!(fault.cause, "the disk of the SQLite file is full");

        // The connection that failed had the limit. The next one has room.
        store.add_api_key(&long, &acme, "ci", at).await.unwrap();
        assert_eq!(store.look().await.store, Seen::Ok);
        store.close().await;
    }
}
