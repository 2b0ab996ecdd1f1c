//! Migrations of a PostgreSQL database in which others read and write meanwhile.
//!
//! What holds here:
//! - A change of a table waits for its lock for [`LOCK_WAIT_MAX`] and then lets everybody who queued behind it go first. So a
//!   long reader holds up the migration, and nobody else.
//! - An index is built beside the writes, outside a transaction. What an interrupted build left is built anew.
//! - Rows change [`BATCH_ROWS_MAX`] at a time, each batch in a commit of its own.
//! - Each step is committed together with the note that it is done, so a process that is killed is continued by the next.
//!
//! `_sqlx_migrations` is as sqlx keeps it: the version before reads it as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{
    AnyConnection, AssertSqlSafe, Connection as _, Row as _,
    migrate::{Migrate as _, MigrateError, Migration},
    raw_sql,
};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{
    MIGRATIONS_TABLE,
    statements::{Batches, Index, Step, steps_of},
};
use crate::store::schema::MigrationError;

/// How long a change of a table waits for its lock, and so how long a write waits behind it.
pub(super) const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
/// Tries of one step that did not get its lock, or lost a race for rows.
const LOCK_TRIES_MAX: u32 = 60;
/// Between two tries, so that those who waited get on.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// How long an index that is being built waits for transactions that began before it. Nobody waits behind it.
const INDEX_WAIT_MAX: Duration = Duration::from_secs(30 * 60);
/// Rows of one batch.
pub(super) const BATCH_ROWS_MAX: usize = 1_000;
/// The longest that one batch takes.
const BATCH_TIME_MAX: Duration = Duration::from_secs(8);
/// The longest pause between two batches. A pause is as long as the batch before it took: half of the time is for others.
const BATCH_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long another process may migrate before this one gives up.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(30 * 60);
/// Between two looks whether it still does.
const OTHERS_LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two lines of the log about batches.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A statement and what it is given.
pub(super) struct Statement {
    sql: String,
    values: Vec<String>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, values: impl IntoIterator<Item = String>) -> Self {
        Self { sql: sql.into(), values: values.into_iter().collect() }
    }
}

/// How far a migration came, as `meta` keeps it until the migration is applied.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Of the file it was begun with.
    checksum: String,
    /// Steps that are done.
    steps: usize,
    /// The key of the last row that the step after them has changed; empty when it has not begun.
    reached: Vec<String>,
}

/// Becomes the one that migrates. The lock ends with the connection.
///
/// # Errors
/// Another process migrates for longer than [`OTHERS_WAIT_MAX`].
pub(super) async fn become_the_only_one(connection: &mut AnyConnection) -> Result<(), MigrationError> {
    for setting in
        ["SET statement_timeout = 0".to_owned(), format!("SET lock_timeout = {}", LOCK_WAIT_MAX.as_millis())]
    {
        sqlx::query(AssertSqlSafe(setting)).execute(&mut *connection).await?;
    }
    let until = Instant::now() + OTHERS_WAIT_MAX;
    let mut told = false;
    loop {
        // It is asked for, not waited for: an index that the other one builds would wait for the statement that waits.
        // The number is Watchbell's own; any would do that nobody else locks.
        let asked = sqlx::query("SELECT pg_try_advisory_lock(8733190124) AS taken");
        if asked.fetch_one(&mut *connection).await?.try_get("taken")? {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(MigrationError::Busy { waited: OTHERS_WAIT_MAX });
        }
        if !told {
            info!("Another process migrates this store: waiting until it ends");
            told = true;
        }
        sleep(OTHERS_LOOK_EVERY).await;
    }
}

/// Carries a migration out, from where an earlier process came to.
pub(super) async fn apply(
    connection: &mut AnyConnection,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let version = migration.version;
    let steps =
        steps_of(migration.sql.as_str()).map_err(|why| MigrationError::Unreadable { version, why })?;
    let checksum: String = migration.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut progress = match begun(connection, version).await? {
        Some(progress) if progress.checksum != checksum => return Err(MigrationError::Changed { version }),
        Some(progress) => progress,
        None => Progress { checksum, ..Progress::default() },
    };
    let first = progress.steps;
    for step in steps.iter().skip(first) {
        match step {
            Step::Tables(changes) => {
                progress.steps += 1;
                commit(connection, version, at_once(changes, &progress, version)?).await?;
            }
            Step::Rows(change) => {
                progress.steps += 1;
                commit(connection, version, at_once(std::slice::from_ref(change), &progress, version)?)
                    .await?;
            }
            Step::Index(index) => {
                build(connection, version, index).await?;
                progress.steps += 1;
                commit(connection, version, vec![note_of(&progress, version)?]).await?;
            }
            Step::Batches(batches) => {
                go_along(connection, version, batches, &mut progress).await?;
                progress.steps += 1;
                progress.reached.clear();
                commit(connection, version, vec![note_of(&progress, version)?]).await?;
            }
        }
    }
    let mut tx = connection.begin().await?;
    tx.skip(MIGRATIONS_TABLE, migration).await?;
    sqlx::query("DELETE FROM meta WHERE name = $1").bind(note_name(version)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Changes in one statement each, which may go through whole tables, and the note that they are done.
fn at_once(changes: &[String], progress: &Progress, version: i64) -> Result<Vec<Statement>, MigrationError> {
    let scans = ["SET LOCAL enable_seqscan = on", "SET LOCAL enable_hashjoin = on"];
    let mut all: Vec<Statement> = scans.map(|setting| Statement::new(setting, [])).into();
    all.extend(changes.iter().map(|change| Statement::new(change, [])));
    all.push(note_of(progress, version)?);
    Ok(all)
}

async fn begun(connection: &mut AnyConnection, version: i64) -> Result<Option<Progress>, MigrationError> {
    let note = sqlx::query("SELECT value FROM meta WHERE name = $1").bind(note_name(version));
    let Some(note) = note.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let note: String = note.try_get("value")?;
    let unreadable = |error| MigrationError::Unreadable { version, why: format!("its progress: {error}") };
    serde_json::from_str(&note).map(Some).map_err(unreadable)
}

fn note_of(progress: &Progress, version: i64) -> Result<Statement, MigrationError> {
    let note = serde_json::to_string(progress)
        .map_err(|error| MigrationError::Unreadable { version, why: format!("its progress: {error}") })?;
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
    Ok(Statement::new(sql, [note_name(version), note]))
}

fn note_name(version: i64) -> String {
    format!("migration_{version}")
}

/// Commits statements together, again when a lock was not to be had in time.
///
/// # Errors
/// No lock was to be had in [`LOCK_TRIES_MAX`] tries, or a statement fails.
pub(super) async fn commit(
    connection: &mut AnyConnection,
    version: i64,
    statements: Vec<Statement>,
) -> Result<(), MigrationError> {
    for tries in 1.. {
        match try_to_commit(connection, &statements).await {
            Ok(()) => break,
            Err(error) if !waits_for_others(&error) => {
                return Err(MigrateError::ExecuteMigration(error, version).into());
            }
            Err(_) if tries >= LOCK_TRIES_MAX => return Err(MigrationError::Locked { version, tries }),
            Err(_) => {
                if tries == 1 {
                    info!(migration = version, "Migration {version} waits for a lock, a moment at a time");
                }
                sleep(LOCK_PAUSE).await;
            }
        }
    }
    Ok(())
}

async fn try_to_commit(connection: &mut AnyConnection, statements: &[Statement]) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    run_all(&mut tx, statements).await?;
    tx.commit().await
}

/// Runs statements one after the other.
///
/// # Errors
/// One of them fails; then the others are not run.
pub(super) async fn run_all(
    connection: &mut AnyConnection,
    statements: &[Statement],
) -> Result<(), sqlx::Error> {
    for Statement { sql, values } in statements {
        let text = AssertSqlSafe(sql.clone());
        if values.is_empty() {
            raw_sql(text).execute(&mut *connection).await?;
        } else {
            let query = values.iter().fold(sqlx::query(text), |query, value| query.bind(value));
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// A lock that was not to be had in time, or a race for rows that was lost.
fn waits_for_others(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// Builds an index beside the writes. One that is whole already stays, whoever built it.
async fn build(connection: &mut AnyConnection, version: i64, index: &Index) -> Result<(), MigrationError> {
    let name = &index.name;
    let failed = |error| MigrationError::from(MigrateError::ExecuteMigration(error, version));
    match is_whole(connection, name).await? {
        Some(true) => return Ok(()),
        Some(false) => {
            info!(migration = version, index = %name, "Migration {version} builds {name} anew: its build was interrupted");
            commit(connection, version, vec![Statement::new(format!("DROP INDEX {name}"), [])]).await?;
        }
        None => {
            info!(migration = version, index = %name, "Migration {version} builds {name} beside the writes");
        }
    }
    let wait = |time: Duration| AssertSqlSafe(format!("SET lock_timeout = {}", time.as_millis()));
    sqlx::query(wait(INDEX_WAIT_MAX)).execute(&mut *connection).await?;
    let built = raw_sql(AssertSqlSafe(index.concurrently.clone())).execute(&mut *connection).await;
    match built {
        Ok(_) => {}
        Err(error) if waits_for_others(&error) => return Err(MigrationError::Locked { version, tries: 1 }),
        Err(error) => return Err(failed(error)),
    }
    sqlx::query(wait(LOCK_WAIT_MAX)).execute(&mut *connection).await?;
    Ok(())
}

/// Whether the index of this name is whole; `None`: there is none.
async fn is_whole(connection: &mut AnyConnection, name: &str) -> Result<Option<bool>, MigrationError> {
    let sql = "SELECT i.indisvalid AND i.indisready AS whole FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relname = $1 AND pg_table_is_visible(c.oid)";
    let row = sqlx::query(sql).bind(name).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get("whole")).transpose()?)
}

/// Changes rows batch by batch, from where an earlier process came to.
async fn go_along(
    connection: &mut AnyConnection,
    version: i64,
    batches: &Batches,
    progress: &mut Progress,
) -> Result<(), MigrationError> {
    let (find_end, change) = (batches.end_of_batch(BATCH_ROWS_MAX), batches.statement());
    let table = &batches.table;
    let mut told = Instant::now();
    let mut done = 0_u64;
    loop {
        let begun = Instant::now();
        // No key of a row is as small as texts without a character.
        let after = match progress.reached.is_empty() {
            true => vec![String::new(); batches.key.len()],
            false => progress.reached.clone(),
        };
        let query =
            after.iter().fold(sqlx::query(AssertSqlSafe(find_end.clone())), |query, key| query.bind(key));
        let Some(end) = query.fetch_optional(&mut *connection).await? else {
            info!(migration = version, "Migration {version} has gone through {table}, in {done} batches");
            return Ok(());
        };
        let end =
            (0..batches.key.len()).map(|at| end.try_get::<String, _>(at)).collect::<Result<Vec<_>, _>>()?;
        progress.reached.clone_from(&end);
        let time_max = format!("SET LOCAL statement_timeout = {}", BATCH_TIME_MAX.as_millis());
        let batch = vec![
            Statement::new(time_max, []),
            Statement::new(&change, after.into_iter().chain(end)),
            note_of(progress, version)?,
        ];
        commit(connection, version, batch).await?;
        done += 1;
        if told.elapsed() >= TELL_EVERY {
            info!(
                migration = version,
                "Migration {version} goes through {table}: {done} batches of {BATCH_ROWS_MAX} rows"
            );
            told = Instant::now();
        }
        sleep(begun.elapsed().min(BATCH_PAUSE_MAX)).await;
    }
}
