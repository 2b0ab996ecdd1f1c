//! A migration makes nobody wait for long, and one that was interrupted is continued.
//!
//! Whoever holds things up here is a transaction of the test's own, so nothing depends on how fast the machine is.
//! `WATCHBELL_MIGRATIONS=full` has 400,000 rows in place of 3,000, and prints how long a write waited at the longest.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use sqlx::{
    AssertSqlSafe, Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    raw_sql,
};
use tokio::task::JoinHandle;
use watchbell::store::{Claim, MigrationError};
use watchbell_tests::builders::{acme, alert, at};
use watchbell_tests::process::WatchbellProcess;
use watchbell_tests::scratch::Scratch;
use watchbell_tests::until::until;

use super::fixture::{LEASE, StoreFixture, known_migrations};
use super::timers::look;

on_both_engines!(rows_that_change_in_batches_change_once);

/// A number that no file has.
const NEXT: i64 = 9_001;
/// Longer than a migration ever has others wait, by far, so that a slow machine does not fail the test.
const WRITE_WAIT: &str = "SET lock_timeout = '20s'";

const INDEX: &str = "CREATE INDEX inbox_tried ON inbox (tenant, (user_id || ''), version) WHERE version > 0;";
const COLUMN: &str = "ALTER TABLE inbox ADD COLUMN tried TEXT;";
/// Counts how often each row was changed.
const COUNTER: &str = "ALTER TABLE inbox ADD COLUMN filled BIGINT NOT NULL DEFAULT 0;";
const BATCHES: &str = "
    -- batches: inbox (tenant, user_id, alert_id)
    UPDATE inbox SET filled = filled + 1 WHERE seq > 0 AND :batch;";

fn rows() -> usize {
    if is_full() { 400_000 } else { 3_000 }
}

/// How long something may take. Four hundred batches with their pauses take minutes on a busy machine.
fn wait_max() -> Duration {
    Duration::from_secs(if is_full() { 1_800 } else { 120 })
}

fn is_full() -> bool {
    env::var("WATCHBELL_MIGRATIONS").is_ok_and(|migrations| migrations == "full")
}

/// The migrations of this program, and one more.
async fn and_also(sql: &str) -> anyhow::Result<Migrator> {
    let mut all = known_migrations().await?;
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    all.push(Migration::new(NEXT, "tried".into(), MigrationType::Simple, sql, false));
    Ok(Migrator::with_migrations(all))
}

/// Inbox rows of a hundred people, who all sort before `writer`.
async fn fill(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (rows, text) = (rows(), fixture.dialect("to_char(n, 'FM0000000')", "printf('%07d', n)"));
    let series = fixture.dialect(
        format!("generate_series(1, {rows}) AS g(n)"),
        format!("(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s) AS g"),
    );
    fixture
        .execute(format!(
            "INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms)
             SELECT 'acme', 'u' || (n % 100), 'a' || {text}, n, 1, 'new', 'info', 'firing', 0 FROM {series}"
        ))
        .await
}

/// Begins to migrate beside what the test goes on with.
async fn begin(fixture: &StoreFixture, sql: &str) -> anyhow::Result<JoinHandle<Result<(), MigrationError>>> {
    let (store, migrations) = (fixture.another_handle(), and_also(sql).await?);
    Ok(tokio::spawn(async move {
        let done = store.migrate_by(&migrations).await;
        store.close().await;
        done
    }))
}

/// One number that PostgreSQL answers.
async fn number(fixture: &StoreFixture, sql: &str) -> anyhow::Result<i64> {
    let mut connection = fixture.connection().await?;
    let row = raw_sql(AssertSqlSafe(format!("/* of a test */ {sql}"))).fetch_one(&mut connection).await?;
    Ok(row.try_get(0)?)
}

/// Waits until PostgreSQL counts something.
async fn until_counted(fixture: &StoreFixture, what: &str, sql: &str) -> anyhow::Result<()> {
    let probe = async || number(fixture, sql).await.ok().filter(|&count| count > 0).map(|_| ());
    until(what, wait_max(), probe).await
}

/// Indexes that are there and cannot be used, or not yet.
const UNFINISHED: &str = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relname = 'inbox_tried' AND NOT i.indisvalid";
const FINISHED: &str = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relname = 'inbox_tried' AND i.indisvalid AND i.indisready";
/// Notes of migrations that are not done.
const BEGUN: &str = "SELECT count(*) FROM meta WHERE name LIKE 'migration%'";

/// Ends the connection that migrates, as the death of its process does.
async fn cut_off(fixture: &StoreFixture) -> anyhow::Result<()> {
    let ended = number(
        fixture,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert_eq!(ended.await?, 1, "one process migrates");
    until("it has let go", wait_max(), async || {
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        number(fixture, held).await.ok().filter(|&held| held == 0)
    })
    .await
    .map(|_| ())
}

/// Writes inbox rows one after the other until it is told to stop, and says how many and how long one took at the longest.
struct Writer {
    stop: &'static AtomicBool,
    written: &'static AtomicU64,
    writing: JoinHandle<anyhow::Result<Duration>>,
}

impl Writer {
    async fn begin(fixture: &StoreFixture) -> anyhow::Result<Self> {
        let mut connection = fixture.connection().await?;
        sqlx::query(WRITE_WAIT).execute(&mut connection).await?;
        let (stop, written): (&AtomicBool, &AtomicU64) =
            (Box::leak(Box::default()), Box::leak(Box::default()));
        let writing = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let number = written.load(Ordering::Relaxed) as i64;
                sqlx::query(
                    "INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms)
                     VALUES ('acme', 'writer', $1, $2, 1, 'new', 'info', 'firing', 0)",
                )
                .bind(format!("w{number:07}"))
                .bind(number + 1)
                .execute(&mut connection)
                .await?;
                longest = longest.max(begun.elapsed());
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok(longest)
        });
        Ok(Self { stop, written, writing })
    }

    /// Waits until this many more were written; a write that waits for its lock too long fails the test.
    async fn writes(&self, more: u64) -> anyhow::Result<()> {
        let goal = self.written.load(Ordering::Relaxed) + more;
        let probe = async || {
            (self.written.load(Ordering::Relaxed) >= goal || self.writing.is_finished()).then_some(())
        };
        until("the writer goes on", wait_max(), probe).await?;
        anyhow::ensure!(self.written.load(Ordering::Relaxed) >= goal, "a write failed");
        Ok(())
    }

    async fn end(self, told: &str) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.writing.await??;
        let written = self.written.load(Ordering::Relaxed);
        eprintln!("{told}: {} rows, {written} writes beside, the longest {longest:?}", rows());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_built_beside_writes_and_anew_after_it_was_interrupted() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    fill(&fixture).await?;
    let writer = Writer::begin(&fixture).await?;

    // A transaction that has written: an index that waits for it in the table's queue has all others wait behind it.
    let mut holder = fixture.connection().await?;
    raw_sql("BEGIN; UPDATE inbox SET said_by = 'holder' WHERE user_id = 'u1' AND alert_id = 'a0000001'")
        .execute(&mut holder)
        .await?;
    let migrating = begin(&fixture, INDEX).await?;
    until_counted(&fixture, "the index is being built", UNFINISHED).await?;
    writer.writes(50).await?;
    assert_eq!(number(&fixture, FINISHED).await?, 0, "they were written while it was being built");

    cut_off(&fixture).await?;
    migrating.await?.expect_err("the connection was lost");
    assert_eq!(number(&fixture, UNFINISHED).await?, 1, "what is left of the index is not used");
    raw_sql("ROLLBACK").execute(&mut holder).await?;

    begin(&fixture, INDEX).await?.await??;
    assert_eq!(number(&fixture, FINISHED).await?, 1, "it was built anew");
    assert_eq!(number(&fixture, BEGUN).await?, 0);
    writer.end("an index").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_table_that_has_to_wait_keeps_nobody_waiting() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    fill(&fixture).await?;
    let mut reader = fixture.connection().await?;
    raw_sql("BEGIN; SELECT count(*) FROM inbox WHERE user_id = 'u1'").execute(&mut reader).await?;
    let migrating = begin(&fixture, COLUMN).await?;
    until_counted(
        &fixture,
        "the change waits for the reader",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND query LIKE 'ALTER TABLE inbox%'",
    )
    .await?;

    let writer = Writer::begin(&fixture).await?;
    writer.writes(20).await?;
    assert!(!migrating.is_finished(), "the reader still holds it up");
    raw_sql("COMMIT").execute(&mut reader).await?;
    migrating.await??;
    assert_eq!(number(&fixture, "SELECT count(tried) FROM inbox").await?, 0, "the column is there");
    writer.end("a column").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_go_on_where_they_were_cut_off() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    fill(&fixture).await?;
    fixture.execute(COUNTER).await?;
    // Somebody holds a row of the last batch.
    let last = "FROM inbox ORDER BY tenant DESC, user_id DESC, alert_id DESC LIMIT 1";
    let mut holder = fixture.connection().await?;
    raw_sql(AssertSqlSafe(format!("BEGIN; SELECT 1 {last} FOR UPDATE"))).execute(&mut holder).await?;
    let migrating = begin(&fixture, BATCHES).await?;
    until_counted(
        &fixture,
        "the last batch waits for that row",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND query LIKE 'UPDATE inbox SET filled%'",
    )
    .await?;
    let filled = "SELECT count(*) FROM inbox WHERE filled = 1";
    assert_eq!(number(&fixture, filled).await?, rows() as i64 - 1_000, "batches before it are committed");
    cut_off(&fixture).await?;
    migrating.await?.expect_err("the connection was lost");
    raw_sql("ROLLBACK").execute(&mut holder).await?;

    let other = begin(&fixture, &BATCHES.replace("filled + 1", "filled + 2")).await?.await?;
    assert!(matches!(other, Err(MigrationError::Changed { version: NEXT })), "{other:?}");
    begin(&fixture, BATCHES).await?.await??;
    assert_eq!(number(&fixture, filled).await?, rows() as i64, "each row once");
    assert_eq!(number(&fixture, BEGUN).await?, 0);
    begin(&fixture, BATCHES).await?.await??;
    assert_eq!(number(&fixture, filled).await?, rows() as i64, "and not again");
    Ok(())
}

async fn rows_that_change_in_batches_change_once(fixture: &StoreFixture) -> anyhow::Result<()> {
    fill(fixture).await?;
    begin(fixture, &format!("{COUNTER}\n{BATCHES}\n{INDEX}")).await?.await??;
    assert_eq!(number(fixture, "SELECT count(*) FROM inbox WHERE filled = 1").await?, rows() as i64);
    assert_eq!(number(fixture, BEGUN).await?, 0);
    Ok(())
}

/// A pod of the version before works on, whatever its connections had prepared.
#[tokio::test]
async fn whoever_runs_while_a_table_gets_a_column_goes_on() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    let store = &fixture.store;
    let users: Vec<String> = (0..10).map(|number| format!("u{number}")).collect();
    let to: Vec<&str> = users.iter().map(String::as_str).collect();
    store.record(&[alert("disk").to_users(&to).first_due_at(at(1)).build()], at(0)).await?;
    let claims = store.claim_due(at(2), LEASE, 10).await?;
    let (ana, (before, after)) = (acme("ana"), claims.split_at(5));
    // As many at once as the store has connections, so that each has prepared what it reads.
    let all_ask = async || join_all((0..5).map(|_| store.devices(&ana))).await;
    let all_look =
        async |claims: &[Claim]| join_all(claims.iter().map(|claim| look(store, claim, at(2)))).await;
    all_look(before).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    all_ask().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    fixture
        .execute("ALTER TABLE devices ADD COLUMN tried TEXT; ALTER TABLE attempts ADD COLUMN tried TEXT")
        .await?;
    let looked = all_look(after).await.into_iter().collect::<Result<Vec<_>, _>>();
    assert_eq!(looked.context("a write begins anew by itself")?.len(), 5);
    until("reads work again", wait_max(), async || all_ask().await.iter().all(Result::is_ok).then_some(()))
        .await
}

/// The program itself, on a database from before migration 28, which builds an index on `inbox`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrate_that_is_killed_is_continued_by_the_next_one() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?.before(28).await?;
    fill(&fixture).await?;
    let writer = Writer::begin(&fixture).await?;
    // An index is usable once every transaction that began before it is over. This one reads nothing of the inbox.
    let mut reader = fixture.connection().await?;
    raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM meta").execute(&mut reader).await?;

    let dir = Scratch::new("migrate-killed")?;
    let env = [("WATCHBELL__STORE__URL", fixture.url.expose())];
    let mut first = WatchbellProcess::start("first", dir.path(), &["migrate"], &env)?;
    let building = UNFINISHED.replace("inbox_tried", "inbox_by_arrival");
    until_counted(&fixture, "the index is being built", &building).await?;
    writer.writes(50).await?;
    first.kill9();

    let mut second = WatchbellProcess::start("second", dir.path(), &["migrate"], &env)?;
    writer.writes(50).await?;
    raw_sql("COMMIT").execute(&mut reader).await?;
    assert!(second.wait_exit(wait_max()).await?.success(), "{}", second.log());
    assert_eq!(number(&fixture, &FINISHED.replace("inbox_tried", "inbox_by_arrival")).await?, 1);
    assert_eq!(number(&fixture, BEGUN).await?, 0);
    assert!(fixture.store.is_ready().await, "the store has the schema of this version");
    writer.end("migrations 28 and later").await
}
