//! Retention: what is old, or too much for one person, is deleted round by round (I17).
//!
//! What holds here:
//! - One process sweeps at a time, by a lease in the store, and a round is due [`ROUND_EVERY`] after the one before, whichever
//!   process it was. A process that dies in a round is followed by another when its lease ends.
//! - A round is many short transactions with a pause after each, so that whoever records is not held up, and the clients of those
//!   who lost something do not all come at once to fetch their inbox.
//! - Leaving takes no longer than the step that is under way.
//!
//! Elsewhere: what may go in `watchbell::domain::retention`; how it goes in the store's `retention.rs` and `deletion.rs`.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{
    domain::{
        Tenant, Timestamp,
        retention::{DELETED_REMEMBERED, Retention, RetentionRules},
    },
    runtime::Clock,
    store::{AUDIT_DELETED_MAX, DELETED_ROWS_MAX, Deleted, FullInbox, OldAlerts, Store, StoreError},
};

/// The word for it in the store.
const SWEEP: &str = "retention";
/// From the end of a round to the next.
pub const ROUND_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// How often to look whether a round is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a process that vanished is waited for.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// The rest after each step.
pub const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Deletes what is not to be kept any longer.
#[derive(Debug, Clone)]
pub struct RetentionSweeper {
    /// Where it is kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// How long each tenant's is kept.
    pub rules: Arc<RetentionRules>,
    /// What this process is known by to the others.
    pub holder: String,
    /// The rest after each step.
    pub pause: Duration,
}

/// What a round deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows of inboxes, and alerts that nobody holds any more.
    pub inboxes: Deleted,
    /// Attempts to tell somebody.
    pub attempts: u64,
    /// Lines of timelines.
    pub lines: u64,
    /// Alerts that were deleted long ago, of which nothing is known any more.
    pub forgotten: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
}

impl RetentionSweeper {
    /// With the pause that is usual.
    pub fn new(store: Store, clock: Clock, rules: RetentionRules, holder: String) -> Self {
        Self { store, clock, rules: Arc::new(rules), holder, pause: SWEEP_PAUSE }
    }

    /// Sweeps whenever a round is due, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.look(&shutdown).await
                && !error.is_unavailable()
            {
                warn!(%error, "Retention: what is old could not be deleted; this is tried again in a minute");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sweeps if a round is due and nobody else is at it.
    async fn look(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        if !self.holds().await? {
            return Ok(());
        }
        let begun = Instant::now();
        let Some(swept) = self.round(shutdown).await? else { return Ok(()) };
        let took = begun.elapsed();
        self.store.end_sweep(SWEEP, &self.holder, self.clock.now() + ROUND_EVERY).await?;
        metrics::histogram!("watchbell_retention_round_seconds").record(took.as_secs_f64());
        metrics::gauge!("watchbell_retention_stayed").set(swept.inboxes.stayed as f64);
        let Swept { inboxes: Deleted { rows, stayed, alerts }, attempts, lines, forgotten, audit_entries } =
            swept;
        if swept != Swept::default() {
            info!(
                rows, stayed, alerts, attempts, lines, forgotten, audit_entries, took = ?took,
                "Retention: deleted {rows} inbox rows, {alerts} alerts, {attempts} attempts, {lines} timeline lines and \
                 {audit_entries} entries of the audit log; {stayed} rows stayed"
            );
        }
        Ok(())
    }

    async fn holds(&self) -> Result<bool, StoreError> {
        self.store.hold_sweep(SWEEP, &self.holder, self.clock.now(), LEASE).await
    }

    /// One round, through all tenants and the audit log. `None`: it was left unfinished, because of `shutdown` or because another process has it.
    ///
    /// # Errors
    /// The store did not answer. The next round goes on.
    pub async fn round(&self, shutdown: &CancellationToken) -> Result<Option<Swept>, StoreError> {
        let mut round = Round { sweeper: self, shutdown, swept: Swept::default(), held_at: Instant::now() };
        let mut tenant = self.store.tenant_after(None).await?;
        while let Some(current) = tenant {
            if round.tenant(&current).await?.is_break() {
                return Ok(None);
            }
            tenant = self.store.tenant_after(Some(&current)).await?;
        }
        if round.forget().await?.is_break() || round.audit_log().await?.is_break() {
            return Ok(None);
        }
        Ok(Some(round.swept))
    }
}

/// Whether to go on with a round.
type Flow = ControlFlow<()>;

macro_rules! go_on {
    ($step:expr) => {
        if $step.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

struct Round<'a> {
    sweeper: &'a RetentionSweeper,
    shutdown: &'a CancellationToken,
    swept: Swept,
    /// When the lease was last taken.
    held_at: Instant,
}

impl Round<'_> {
    async fn tenant(&mut self, tenant: &Tenant) -> Result<Flow, StoreError> {
        let rules = self.sweeper.rules.of(tenant);
        go_on!(self.old_alerts(tenant, rules).await?);
        go_on!(self.full_inboxes(tenant, rules).await?);
        self.timelines(tenant, rules).await
    }

    fn ago(&self, age: Duration) -> Timestamp {
        self.sweeper.clock.now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    async fn old_alerts(&mut self, tenant: &Tenant, rules: Retention) -> Result<Flow, StoreError> {
        let mut place = OldAlerts::of(tenant.clone(), self.ago(rules.alerts_kept));
        loop {
            let now = self.sweeper.clock.now();
            let Some(deleted) = self.sweeper.store.delete_old_alerts(&mut place, now).await? else { break };
            self.note(deleted);
            go_on!(self.rest().await?);
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn full_inboxes(&mut self, tenant: &Tenant, rules: Retention) -> Result<Flow, StoreError> {
        let (mut after, max) = (None, rules.alerts_per_person_max);
        loop {
            let (full, last) = self.sweeper.store.full_inboxes(tenant, after.as_ref(), max).await?;
            for inbox in &full {
                go_on!(self.trim(inbox, max).await?);
            }
            if last.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            after = last;
            go_on!(self.rest().await?);
        }
    }

    /// Passes through what an inbox has too much of, from the oldest on, until a pass finds nothing more that may go.
    async fn trim(&mut self, inbox: &FullInbox, max: u32) -> Result<Flow, StoreError> {
        loop {
            let overflow = self.sweeper.store.overflow(inbox, max).await?;
            let (mut left, mut after, mut went) = (overflow.rows, None, 0);
            while left > 0 {
                let now = self.sweeper.clock.now();
                let trimmed = self.sweeper.store.trim_inbox(&inbox.user, after.as_ref(), left, now).await?;
                let (deleted, Some(last)) = trimmed else { break };
                (after, left) = (Some(last), left.saturating_sub(DELETED_ROWS_MAX));
                went += deleted.rows;
                self.note(deleted);
                go_on!(self.rest().await?);
            }
            if overflow.is_all || went == 0 {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    async fn timelines(&mut self, tenant: &Tenant, rules: Retention) -> Result<Flow, StoreError> {
        let before = self.ago(rules.timelines_kept);
        let mut after = None;
        loop {
            let store = &self.sweeper.store;
            let (deleted, last) = store.delete_old_attempts(tenant, before, after.as_ref()).await?;
            count("attempts", deleted);
            self.swept.attempts += deleted;
            if last.is_none() {
                break;
            }
            after = last;
            go_on!(self.rest().await?);
        }
        loop {
            let deleted = self.sweeper.store.delete_old_lines(tenant, before).await?;
            count("timeline_lines", deleted);
            self.swept.lines += deleted;
            if deleted == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            go_on!(self.rest().await?);
        }
    }

    async fn forget(&mut self) -> Result<Flow, StoreError> {
        loop {
            let before = self.ago(DELETED_REMEMBERED);
            match self.sweeper.store.forget_deleted_alerts(before).await? {
                0 => return Ok(ControlFlow::Continue(())),
                forgotten => self.swept.forgotten += forgotten,
            }
            go_on!(self.rest().await?);
        }
    }

    async fn audit_log(&mut self) -> Result<Flow, StoreError> {
        let before = self.ago(self.sweeper.rules.audit_kept);
        loop {
            let deleted = self.sweeper.store.delete_old_audit_entries(before).await?;
            count("audit_entries", deleted);
            self.swept.audit_entries += deleted;
            if deleted < AUDIT_DELETED_MAX as u64 {
                return Ok(ControlFlow::Continue(()));
            }
            go_on!(self.rest().await?);
        }
    }

    fn note(&mut self, deleted: Deleted) {
        count("inbox_rows", deleted.rows);
        count("alerts", deleted.alerts);
        self.swept.inboxes += deleted;
    }

    /// The rest after a step, in which the lease is kept. Says whether to go on.
    async fn rest(&mut self) -> Result<Flow, StoreError> {
        tokio::select! {
            () = self.shutdown.cancelled() => return Ok(ControlFlow::Break(())),
            () = sleep(self.sweeper.pause) => {}
        }
        if self.held_at.elapsed() > LEASE / 4 {
            if !self.sweeper.holds().await? {
                warn!("Retention: another process has taken this round over");
                return Ok(ControlFlow::Break(()));
            }
            self.held_at = Instant::now();
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn count(what: &'static str, deleted: u64) {
    metrics::counter!("watchbell_retention_deleted_total", "what" => what).increment(deleted);
}
