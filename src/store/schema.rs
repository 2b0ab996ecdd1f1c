//! The tables: brought up to this version, and compared with what this version needs.
//!
//! A store that is behind is not ready: statements would fail one by one. One that is ahead is: whoever rolls out a new
//! version migrates first, and the pods of the version before must serve until they are replaced. So a migration only adds
//! what the version before does not have to know; a change that it could not live with takes two releases.
//!
//! Elsewhere: how a migration is carried out is in `migrating`, and what its file may say in the README of `migrations/`.

use std::time::Duration;

use sqlx::{
    AnyConnection, Row as _,
    migrate::{MigrateError, Migrator},
};

use super::Store;
use crate::runtime::health::{Fault, Seen};

/// Every migration this program knows.
pub(super) const MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// The migration this program needs: its newest.
fn needed() -> i64 {
    newest_of(&MIGRATIONS)
}

/// The newest of these migrations.
pub(super) fn newest_of(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Why the schema was not brought up to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program was here.
    #[error(
        "a newer Watchbell has migrated this store: migration {applied} is applied, and this program knows {needed}. \
         Programs of this version go on working on it; to migrate further, run the newer program's `watchbell migrate`"
    )]
    Ahead {
        /// The newest one that this program does not know.
        applied: i64,
        /// The newest one that it knows.
        needed: i64,
    },
    /// Another process migrates, for too long.
    #[error(
        "another process has been migrating this store for {waited:?}. Wait until it ends, or end it: \
         SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    )]
    Busy {
        /// How long this one waited.
        waited: Duration,
    },
    /// Somebody else's transaction holds what a step needs.
    #[error(
        "migration {version} gave up after {tries} tries to get a lock that a long transaction holds; nobody else was kept \
         waiting meanwhile. Find it with SELECT pid, xact_start, state, query FROM pg_stat_activity WHERE xact_start IS NOT NULL \
         ORDER BY xact_start, end it, and run `watchbell migrate` again: it goes on where it stopped"
    )]
    Locked {
        /// The migration that was being carried out.
        version: i64,
        /// How often it tried.
        tries: u32,
    },
    /// It was begun with a file of the same number that says something else.
    #[error(
        "migration {version} was begun by another build of Watchbell, whose file says something else: finish it with that build"
    )]
    Changed {
        /// The migration that was begun.
        version: i64,
    },
    /// Its file, or the note of how far it came, is not as it has to be.
    #[error("migration {version} cannot be carried out: {why}")]
    Unreadable {
        /// The migration.
        version: i64,
        /// What is wrong with it.
        why: String,
    },
    /// Something else.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Store {
    /// Brings the schema up to this version. Safe while other processes run, and to run twice; one that was killed is continued.
    ///
    /// # Errors
    /// The store cannot be reached, was migrated by a newer version, or is held by somebody else's long transaction.
    pub async fn migrate(&self) -> Result<(), MigrationError> {
        self.migrate_by(&MIGRATIONS).await
    }
}

/// The newest migration that was applied, and 0 when none was; `None` without a table of them. `exists` asks for it.
pub(super) async fn applied(
    connection: &mut AnyConnection,
    exists: &'static str,
) -> Result<Option<i64>, sqlx::Error> {
    if sqlx::query(exists).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let newest =
        "SELECT CAST(coalesce(max(version), 0) AS BIGINT) AS version FROM _sqlx_migrations WHERE success";
    sqlx::query(newest).fetch_one(&mut *connection).await?.try_get("version").map(Some)
}

/// What a store in which this migration was applied last is to this program.
pub(super) fn seen(applied: Option<i64>) -> Seen {
    compared(applied.unwrap_or_default(), needed())
}

fn compared(applied: i64, needed: i64) -> Seen {
    let migrate = "run `watchbell migrate`";
    match applied {
        0 => Seen::Failing(Fault::new(
            format!("the store has no tables yet: no migration is applied, this program needs {needed}"),
            migrate,
        )),
        _ if applied < needed => Seen::Failing(Fault::new(
            format!("migration {applied} is applied, this program needs {needed}"),
            migrate,
        )),
        _ if applied > needed => Seen::Degraded(Fault::new(
            format!(
                "migration {applied} is applied, this program knows {needed}: a newer Watchbell has migrated, and this one works on"
            ),
            "finish the rollout of the newer version",
        )),
        _ => Seen::Ok,
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_schema_is_compared_with_what_the_program_needs() {
    for (why, applied, expected) in [
        ("an empty database", 0, Some((true, "no migration is applied, this program needs 8"))),
        ("four versions behind", 4, Some((true, "migration 4 is applied, this program needs 8"))),
        ("one behind", 7, Some((true, "migration 7 is applied, this program needs 8"))),
        ("up to date", 8, None),
        ("a newer program was here", 9, Some((false, "migration 9 is applied, this program knows 8"))),
    ] {
        let said = match compared(applied, 8) {
            Seen::Failing(fault) => Some((true, fault)),
            Seen::Degraded(fault) => Some((false, fault)),
            Seen::Ok | Seen::Hidden => None,
        };
        assert_eq!(said.as_ref().map(|(fails, _)| *fails), expected.map(|(fails, _)| fails), "{why}");
        if let Some((_, fault)) = said {
            assert!(fault.cause.contains(expected.unwrap().1), "{why}: {}", fault.cause);
            assert!(fault.remedy.is_some(), "{why}");
        }
    }
    assert!(needed() >= 5, "the migrations are compiled in");
}
