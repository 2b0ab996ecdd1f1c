//! A transaction, and what is counted once it is committed: one that is rolled back, or tried again, counts nothing.

use std::{
    ops::{Deref, DerefMut},
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram};
use sqlx::{Any, AnyConnection, Transaction, any::AnyRow};
use tracing::debug;

use super::{Failure, maybe_word, metric_table, writer_line::Writing};
use crate::{
    domain::{Severity, StopReason},
    runtime::metric::BySeries,
};

static ENDED: LazyLock<BySeries<Counter>> = LazyLock::new(|| metric_table::ESCALATIONS_ENDED.counters());
static SEEN: LazyLock<BySeries<Histogram>> = LazyLock::new(|| metric_table::ALERT_SEEN.histograms());
static BATCH: LazyLock<BySeries<Histogram>> = LazyLock::new(|| metric_table::BATCH_SIZE.histograms());

/// A transaction that is open. Dropped, it is rolled back some time later.
pub(super) struct Tx {
    transaction: Transaction<'static, Any>,
    counts: Counts,
    /// Given up when it is over.
    _writing: Writing,
}

/// What is counted when it is committed.
#[derive(Default)]
struct Counts {
    /// How many things it does at once.
    batch: Option<usize>,
    /// Escalations that end, by the reason.
    ended: Vec<&'static str>,
    /// How long people took to look at alerts.
    seen: Vec<(Severity, Duration)>,
}

impl Tx {
    pub(super) fn begun(transaction: Transaction<'static, Any>, writing: Writing) -> Self {
        Self { transaction, counts: Counts::default(), _writing: writing }
    }

    /// It does so many things at once.
    pub(super) fn is_batch_of(&mut self, things: usize) {
        self.counts.batch = Some(things);
    }

    /// An escalation ends with it.
    pub(super) fn ends(&mut self, reason: StopReason) {
        self.counts.ended.push(reason.as_str());
    }

    /// The same for rows of escalations that were changed, as far as they are over.
    pub(super) fn end_as_stored(&mut self, changed: &[AnyRow]) -> Result<(), Failure> {
        for row in changed {
            if let Some(reason) = maybe_word(row, "stopped")? {
                self.ends(reason);
            }
        }
        Ok(())
    }

    /// Somebody looked at an alert for the first time, so long after it was recorded.
    pub(super) fn sees(&mut self, severity: Severity, after: Duration) {
        self.counts.seen.push((severity, after));
    }

    /// Commits it, and counts what it did. `what` is the operation.
    pub(super) async fn commit(self, what: &'static str) -> Result<(), sqlx::Error> {
        let begun = Instant::now();
        self.transaction.commit().await?;
        metrics::histogram!("watchbell_store_commit_seconds", "operation" => what)
            .record(begun.elapsed().as_secs_f64());
        self.counts.count(what);
        Ok(())
    }

    /// Rolls it back, and returns once its locks are given up: what is tried next must not take its rows for somebody else's.
    /// (A transaction that is dropped is rolled back some time later, when its connection is next looked at.) Where that fails,
    /// the connection is gone, and the locks with it.
    pub(super) async fn roll_back(self) {
        if let Err(error) = self.transaction.rollback().await {
            debug!(%error, "A transaction could not be rolled back; its connection is given up");
        }
    }
}

impl Counts {
    fn count(self, what: &'static str) {
        if let Some(things) = self.batch {
            BATCH.with(what, |histogram| histogram.record(things as f64));
        }
        for reason in self.ended {
            ENDED.with(reason, |counter| counter.increment(1));
        }
        for (severity, after) in self.seen {
            SEEN.with(severity.as_str(), |histogram| histogram.record(after.as_secs_f64()));
        }
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}
