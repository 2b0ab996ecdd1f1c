//! The seam to the store: the inbox, which is the truth, and the timers, which are the time.
//!
//! One body of logic over two dialects (PostgreSQL and SQLite, by sqlx's `Any` driver), because what must be
//! equal on both is easiest to keep equal where it is written once; `dialect` holds what differs.
//! `tests/contract` runs every promise below on both.
//!
//! What holds here:
//! - Every public operation is one transaction and is safe to repeat: when its answer was lost, do it again.
//! - An inbox changes only together with its owner's `seq`, by 1 a change, under that user's row lock (I3).
//! - A batch costs a fixed number of statements, never one a row.
//! - What an alert says (`content`) is opaque here. So is every decision: they are made in `domain`.
//!
//! Elsewhere: the map of the files is in `README.md` beside this one.

/// Runs `work` in a transaction, again when it lost a race for locks, and within [`OPERATION_TIMEOUT`].
///
/// A macro, because the future of an async closure that borrows its argument cannot be shown to be `Send` yet
/// (rust-lang/rust#110338), and workers spawn what calls this.
macro_rules! writing {
    ($store:expr, $what:literal, |$tx:ident| $work:expr) => {{
        let store: &$crate::store::Store = $store;
        async {
            let written = store.in_time($what, async {
                let mut tries = 0;
                loop {
                    tries += 1;
                    let mut transaction = store.begin($what).await?;
                    let done: Result<_, $crate::store::Failure> = async {
                        let $tx = &mut transaction;
                        $work
                    }
                    .await;
                    if let Some(done) = store.end($what, transaction, done, tries).await {
                        return done;
                    }
                }
            });
            let written = written.await;
            store.note(&written);
            written
        }
    }};
}

mod acknowledgements;
mod addresses;
mod alert_batch;
mod alert_pages;
mod alerts;
mod answers;
mod api_keys;
mod attempts;
mod audit;
mod audit_log;
mod bounces;
mod broadcast_channels;
mod chase;
mod checkpoints;
mod database_file;
mod deletion;
mod device_tests;
mod devices;
mod dialect;
mod erasure;
mod error;
mod escalation_state;
mod escalations;
mod expansions;
mod export;
mod fault;
mod group_receipts;
mod history;
mod inbox;
mod inbox_rows;
mod inbox_search;
mod key_rows;
mod known;
mod latest_alert;
mod left_out;
mod live_activities;
mod look;
mod metric_table;
mod migrating;
mod outbox;
mod outbox_relay;
mod people;
mod person_alerts;
mod preferences;
mod presence;
mod publications;
mod push_receipts;
mod reachability;
mod receipts;
mod record;
mod registry;
mod retention;
mod returns;
mod row_batch;
mod schema;
mod snoozes;
mod stale_plans;
mod steps;
mod summaries;
mod survey;
mod sweeps;
mod taking;
mod timeline;
mod together;
mod topics;
mod traces;
mod transaction;
mod writer_line;
mod writing;

use std::{
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AnyConnection, AnyPool, Connection as _,
    any::{AnyConnectOptions, AnyPoolOptions, AnyRow},
};
use tokio::{sync::OnceCell, time::timeout};

use crate::{
    domain::{LAST_MOMENT, OutcomeRoutes, Secret, Timestamp, audit::Actor},
    runtime::Current,
};
use database_file::DatabaseFile;
use dialect::Engine;
use error::{Failure, is_conflict};
use fault::fault_of;
use stale_plans::{StalePlans, is_stale_plan};
use transaction::Tx;
use writer_line::WriterLine;
use writing::Writes;

pub use crate::domain::explanation::{Recipient, TimelineEntry};
pub use addresses::{Contact, KnownAddress};
pub use alert_batch::{NewAlert, RecordedBatch, RecordedRow, Rest};
pub use alert_pages::{AlertPlace, ListedAlert};
pub use answers::ShownContent;
pub use api_keys::{ApiKey, KEY_ID_CHARS, KeyRights, KeyStanding, NotRotated, Rotated};
pub use attempts::{NewAttempt, ProviderAnswer};
pub use audit::Audit;
pub use audit_log::{AUDIT_DELETED_MAX, AuditEntry, AuditQuery, AuditedChange};
pub use bounces::{BounceRecorded, MailedAlert};
pub use broadcast_channels::{KeptChannel, TakenChannel};
pub use deletion::Deleted;
pub use device_tests::{SeenDevice, TakenTest, TestResult};
pub use erasure::{ERASED_ROWS_PER_COMMIT_MAX, ERASED_SESSIONS_KEPT, ErasedBatch};
pub use error::{Refusal, StoreError};
pub use escalation_state::Escalation;
pub use escalations::{Claim, EscalationKey};
pub use expansions::{Expansion, RecordedPage, Step};
pub use export::{ExportPage, ExportPlace, Field, PersonRecord};
pub use group_receipts::{CarriedPage, GROUP_PAGE_MAX, GROUP_RECEIPTS_MAX, GroupReceipt};
pub use history::History;
pub use inbox::{Changes, Head, InboxPage, InboxRow, PAGE_BYTES_MAX, PageStart};
pub use inbox_search::{InboxSearch, SEARCHED_ROWS_MAX};
pub use latest_alert::LatestAlert;
pub use left_out::{AlertForMany, GROUPS_NOTED_MAX};
pub use live_activities::{ActivityRegistered, KeptActivity, ListenedChannel, TakenActivity, WantedActivity};
pub use look::Look;
pub use metric_table::METRICS;
pub use outbox_relay::{Backlog, WaitingOutcome};
pub use people::{ListedPerson, StoredPerson};
pub use person_alerts::PersonAlert;
pub use presence::{PRESENCE_BATCH_MAX, PodLoad};
pub use push_receipts::SentPush;
pub use reachability::StoredReachability;
pub use receipts::AppliedReceipt;
pub use registry::Revocation;
pub use retention::{AttemptPlace, ChangedRow, DELETED_ROWS_MAX, FullInbox, OldAlerts, Overflow};
pub use returns::{DueReturn, RETURNS_MAX};
pub use schema::MigrationError;
pub use snoozes::{DueSnooze, WAKES_MAX};
pub use steps::{Act, Ask, Decision, Holder, STEPS_PER_COMMIT_MAX, Stepped};
pub use summaries::{BUNDLE_SHOWN_MAX, Bundle, Hold, SummaryOutcome};
pub use survey::{StoreSurvey, TableSeen};
pub use timeline::{Counts, StoredAlert, TIMELINE_BYTES_MAX};
pub use topics::{NewEvent, SWEEP_TOPICS_MAX, TOPIC_BYTES_MAX};
pub use writer_line::WriterTurn;

/// Rows one commit of [`Store::record`] may hold; larger audiences come in chunks of this size.
pub const ROWS_PER_COMMIT_MAX: usize = 2_000;
/// The longest a public operation takes before it is [`StoreError::Unavailable`].
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Operations whose statements are planned once for each connection, and not each time. Each of them looks rows up by key for a
/// batch and has no `LIMIT` that depends on a parameter, so there is only one good plan; making it anew took 3 ms
/// of each commit on a busy machine, however few rows it had (`pg_stat_statements`).
const KEPT_PLANS: [&str; 2] = ["record", "record_page"];
/// A connection that was used within this time is used again without a question: each question is a round trip. The others are
/// asked, because a database that restarted meanwhile has left them dead.
const ALIVE_WITHOUT_QUESTION: Duration = Duration::from_millis(500);
/// How often rows are added again that were taken out while their locks were waited for.
const GONE_TRIES_MAX: u32 = 5;
/// Tries of a transaction that lost a race for locks.
const CONFLICT_TRIES_MAX: u32 = 5;

/// Where the store is and how much of it one process may use.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `postgres://…` or `sqlite:PATH`. Holds a password, so it does not print.
    pub url: Secret,
    /// Connections to PostgreSQL. SQLite uses one to write and four to read.
    pub connections_max: u32,
}

/// The store. Cheap to clone, one a process.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    /// SQLite has one writer; PostgreSQL has the same pool for both.
    write: AnyPool,
    read: AnyPool,
    /// For a connection beside the pool.
    url: Secret,
    /// Made so far, by the pool.
    connections: Arc<AtomicU64>,
    /// Operations that found it away, since the process began.
    failed: Arc<AtomicU64>,
    /// Whether writes work.
    writes: Arc<Writes>,
    /// Who waits to write.
    line: WriterLine,
    /// Which connections a migration has made useless.
    stale_plans: Arc<StalePlans>,
    /// Writes that were committed, by this process.
    written: Arc<AtomicU64>,
    /// Whether SQLite's file is still where it was.
    database_file: Arc<DatabaseFile>,
    /// Which outcomes are written for producers.
    outcomes: Current<OutcomeRoutes>,
    /// With what people are hashed who must not be named; read once.
    pseudonym_key: Arc<OnceCell<String>>,
    /// Who makes the changes, as the audit log tells it.
    actor: Option<Arc<Actor>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects lazily: a store that is down makes operations fail, not this. Does not migrate.
    ///
    /// # Errors
    /// The address is not one of PostgreSQL or SQLite.
    pub fn open(config: &StoreConfig) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let url = config.url.expose();
        let engine = Engine::of_url(url)?;
        let (made, writes) = (Arc::new(AtomicU64::new(0)), Arc::new(Writes::default()));
        let database_file = Arc::new(DatabaseFile::of(engine, url));
        let stale_plans: Arc<StalePlans> = Arc::default();
        let pool = |connections: u32| {
            let (made, database_file) = (Arc::clone(&made), Arc::clone(&database_file));
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(5))
                // A pool of a database that restarted holds dead connections: ask before use, but not each time.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    made.fetch_add(1, Ordering::Relaxed);
                    database_file.remember();
                    Box::pin(async move {
                        for statement in engine.session_settings() {
                            sqlx::query(*statement).execute(&mut *connection).await?;
                        }
                        Ok(())
                    })
                })
        };
        // The driver's own error may repeat the address with its password.
        let refused = |_| anyhow::anyhow!("store.url is not an address that can be read");
        let (write, read) = match engine {
            Engine::Postgres => {
                let noted = Arc::clone(&stale_plans);
                let both = pool(config.connections_max).before_acquire(move |connection, meta| {
                    let is_good = !noted.are_on(meta.age, std::time::Instant::now());
                    Box::pin(async move { Ok(is_good && is_alive(connection, meta.idle_for).await) })
                });
                let both = both.connect_lazy(url).map_err(refused)?;
                (both.clone(), both)
            }
            Engine::Sqlite => {
                let noted = Arc::clone(&writes);
                let write = pool(1).before_acquire(move |connection, meta| {
                    let is_good = !noted.take_distrust();
                    Box::pin(async move { Ok(is_good && is_alive(connection, meta.idle_for).await) })
                });
                (write.connect_lazy(url).map_err(refused)?, pool(4).connect_lazy(url).map_err(refused)?)
            }
        };
        Ok(Self {
            engine,
            write,
            read,
            url: config.url.clone(),
            connections: made,
            failed: Arc::default(),
            writes,
            line: WriterLine::of(engine),
            stale_plans,
            written: Arc::default(),
            database_file,
            outcomes: Current::default(),
            pseudonym_key: Arc::default(),
            actor: None,
        })
    }

    /// Connections that are made from now on use this address, because a password was changed. Those that are open go on until
    /// they end. A SQLite store is a file and stays it.
    ///
    /// # Errors
    /// The address is not one of PostgreSQL.
    pub fn connect_with(&self, url: &Secret) -> anyhow::Result<()> {
        if self.engine == Engine::Sqlite {
            return Ok(());
        }
        let engine = Engine::of_url(url.expose())?;
        anyhow::ensure!(engine == Engine::Postgres, "store.url must stay an address of PostgreSQL");
        // The driver's own error may repeat the address with its password.
        let options = url.expose().parse::<AnyConnectOptions>();
        let options = options.map_err(|_| anyhow::anyhow!("store.url is not an address that can be read"))?;
        self.write.set_connect_options(options);
        Ok(())
    }

    /// The address of a SQLite store in a file, made when it is not there.
    pub fn sqlite_url(file: &Path) -> Secret {
        Secret::from(format!("sqlite:{}?mode=rwc", file.display()))
    }

    /// How many writes this process has committed.
    pub fn writes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Returns when whoever writes now has written, where one writes at a time. What may wait gives way until the answer is
    /// dropped: so whoever gathers what they write gathers until they can write it.
    pub async fn until_writer_is_free(&self) -> WriterTurn {
        self.line.until_free().await
    }

    /// How many operations have found it away since the process began.
    pub fn failed_calls(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.write.close().await;
        self.read.close().await;
    }

    /// For the operation of this name.
    async fn begin(&self, what: &str) -> Result<Tx, Failure> {
        self.database_file.check()?;
        let waiting = self.line.enter(what).await;
        let begin = match KEPT_PLANS.contains(&what) {
            true => self.engine.begin_write_with_kept_plans(),
            false => self.engine.begin_write(),
        };
        let transaction = self.write.begin_with(begin).await?;
        Ok(Tx::begun(transaction, waiting.writes()))
    }

    /// Commits what is done. `None`: the race for locks was lost, and there is another try.
    async fn end<T>(
        &self,
        what: &'static str,
        tx: Tx,
        done: Result<T, Failure>,
        tries: u32,
    ) -> Option<Result<T, Failure>> {
        let done = match done {
            // What is committed to a file that nobody will find again is not stored (I1).
            Ok(value) => tx
                .commit(what)
                .await
                .and_then(|()| self.database_file.check())
                .map(|()| {
                    self.written.fetch_add(1, Ordering::Relaxed);
                    value
                })
                .map_err(Failure::from),
            Err(failure) => {
                tx.roll_back().await;
                Err(failure)
            }
        };
        match done {
            Err(Failure::Sql(error)) if tries < CONFLICT_TRIES_MAX && is_stale_plan(&error) => {
                self.stale_plans.note(&error, std::time::Instant::now());
                None
            }
            Err(Failure::Sql(error)) if tries < CONFLICT_TRIES_MAX && is_conflict(&error) => {
                metrics::counter!("watchbell_store_conflicts_total", "operation" => what).increment(1);
                None
            }
            done => Some(done),
        }
    }

    /// Notes whether a write got through, for readiness and for the connection.
    fn note<T>(&self, written: &Result<T, StoreError>) {
        let fault = match written {
            Err(StoreError::Unavailable { source }) => Some(fault_of(self.engine, source)),
            Ok(_) | Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) => None,
        };
        self.writes.note(fault, std::time::Instant::now());
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let begun = std::time::Instant::now();
        let result = match timeout(OPERATION_TIMEOUT, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => {
                if let Failure::Sql(error) = &failure {
                    self.stale_plans.note(error, std::time::Instant::now());
                }
                Err(StoreError::from(failure))
            }
            Err(_) => Err(StoreError::too_slow()),
        };
        if let Err(StoreError::Unavailable { .. }) = &result {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = match &result {
            Ok(_) => "ok",
            Err(StoreError::Unavailable { .. }) => "unavailable",
            Err(StoreError::Refused { .. }) => "refused",
            Err(StoreError::Unreadable { .. }) => "unreadable",
        };
        metrics::histogram!("watchbell_store_seconds", "operation" => what, "outcome" => outcome)
            .record(begun.elapsed().as_secs_f64());
        result
    }
}

/// Whether a connection of the pool can be used.
async fn is_alive(connection: &mut AnyConnection, idle_for: Duration) -> bool {
    idle_for < ALIVE_WITHOUT_QUESTION || connection.ping().await.is_ok()
}

fn text(row: &AnyRow, column: &'static str) -> Result<String, Failure> {
    sqlx::Row::try_get(row, column).map_err(|_| Failure::Unreadable(column))
}

fn int(row: &AnyRow, column: &'static str) -> Result<i64, Failure> {
    sqlx::Row::try_get(row, column).map_err(|_| Failure::Unreadable(column))
}

fn maybe_text(row: &AnyRow, column: &'static str) -> Result<Option<String>, Failure> {
    sqlx::Row::try_get(row, column).map_err(|_| Failure::Unreadable(column))
}

fn maybe_int(row: &AnyRow, column: &'static str) -> Result<Option<i64>, Failure> {
    sqlx::Row::try_get(row, column).map_err(|_| Failure::Unreadable(column))
}

/// A stored word or name, read back into the type that wrote it.
fn word<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T, Failure> {
    text(row, column)?.parse().map_err(|_| Failure::Unreadable(column))
}

fn maybe_word<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<Option<T>, Failure> {
    let word = maybe_text(row, column)?.map(|word| word.parse());
    word.transpose().map_err(|_| Failure::Unreadable(column))
}

fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, Failure> {
    moment(int(row, column)?).map_err(|_| Failure::Unreadable(column))
}

/// A stored moment. What earlier versions kept of the part of a second that follows the last moment is that moment.
fn moment(ms: i64) -> Result<Timestamp, jiff::Error> {
    Timestamp::from_millisecond(ms.min(LAST_MOMENT.as_millisecond()))
}

fn maybe_time(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, Failure> {
    let at = maybe_int(row, column)?.map(moment);
    at.transpose().map_err(|_| Failure::Unreadable(column))
}

/// Reads a stored name.
macro_rules! stored_name {
    ($row:expr, $column:literal, $type:ty) => {
        <$type>::parse($crate::store::text($row, $column)?)
            .map_err(|_| $crate::store::Failure::Unreadable($column))?
    };
}
use stored_name;
