//! The tables: brought up to this version, and compared with what this version needs.
//!
//! A store that lacks one of this program's migrations is not ready, whichever it is: statements would fail one by one. One that has
//! others besides is: whoever rolls out a new version migrates first, and the pods of the version before must serve until they
//! are replaced. So a migration only adds what the version before does not have to know; a change that it could not live with
//! takes two releases.
//!
//! Elsewhere: how a migration is carried out is in `migrating`, and what its file may say in the README of `migrations/`.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{
    AnyConnection, Row as _,
    migrate::{MigrateError, Migrator},
};

use super::Store;
use crate::runtime::health::{Fault, Seen};

/// Every migration this program knows.
pub(super) const MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// Migrations that are named at the most when a store lacks some in between.
const NAMED_MAX: usize = 5;

/// The numbers of these migrations.
pub(super) fn numbers_of(migrations: &Migrator) -> BTreeSet<i64> {
    migrations.iter().map(|migration| migration.version).collect()
}

/// The last of these migrations; 0 when there is none.
pub(super) fn newest_of(migrations: &BTreeSet<i64>) -> i64 {
    migrations.last().copied().unwrap_or_default()
}

/// Why the schema was not brought up to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program was here, and something that this one needs is missing all the same.
    #[error(
        "a newer Watchbell has migrated this store: migration {applied} is applied, which this program does not know, and \
         migration {missing} is not. Run the newer program's `watchbell migrate`"
    )]
    Ahead {
        /// The newest one that this program does not know.
        applied: i64,
        /// The first one that it needs and that was not applied.
        missing: i64,
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
    /// A store that a newer version has migrated stays as it is: this version works on it.
    ///
    /// # Errors
    /// The store cannot be reached, or is held by somebody else's long transaction; a newer version has migrated it, and left out
    /// what this one needs.
    pub async fn migrate(&self) -> Result<(), MigrationError> {
        self.migrate_by(&MIGRATIONS).await
    }
}

/// The migrations that were applied, without one that failed; `None` without a table of them. `exists` asks for it.
pub(super) async fn applied(
    connection: &mut AnyConnection,
    exists: &'static str,
) -> Result<Option<BTreeSet<i64>>, sqlx::Error> {
    if sqlx::query(exists).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let rows = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(&mut *connection);
    rows.await?.iter().map(|row| row.try_get("version")).collect::<Result<_, _>>().map(Some)
}

/// What a store in which these migrations were applied is to this program.
pub(super) fn seen(applied: Option<&BTreeSet<i64>>) -> Seen {
    compared(applied.unwrap_or(&BTreeSet::new()), &numbers_of(&MIGRATIONS))
}

fn compared(applied: &BTreeSet<i64>, known: &BTreeSet<i64>) -> Seen {
    let (newest, needed) = (newest_of(applied), newest_of(known));
    let missing: Vec<i64> = known.difference(applied).copied().collect();
    let unknown = applied.difference(known).last();
    let migrate = match unknown {
        None => "run `watchbell migrate`",
        Some(_) => "run `watchbell migrate` of the newer version",
    };
    let failing = |cause| Seen::Failing(Fault::new(cause, migrate));
    match (missing.first(), unknown) {
        (Some(_), _) if applied.is_empty() => failing(format!(
            "the store has no tables yet: no migration is applied, this program needs {needed}"
        )),
        (Some(&first), _) if first > newest => {
            failing(format!("migration {newest} is applied, this program needs {needed}"))
        }
        (Some(_), _) => failing(format!(
            "migration {newest} is applied, and {} that this program needs is missing or failed",
            listed(&missing)
        )),
        (None, Some(unknown)) => Seen::Degraded(Fault::new(
            format!(
                "migration {unknown} is applied, this program knows {needed}: a newer Watchbell has migrated, and this one works on"
            ),
            "finish the rollout of the newer version",
        )),
        (None, None) => Seen::Ok,
    }
}

/// The first few of these numbers, and how many there are besides.
fn listed(migrations: &[i64]) -> String {
    let named: Vec<String> = migrations.iter().take(NAMED_MAX).map(i64::to_string).collect();
    let more = migrations.len().saturating_sub(NAMED_MAX);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{and_more}", named.join(", "))
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_schema_is_compared_with_what_the_program_needs() {
    let set = |numbers: &[i64]| numbers.iter().copied().collect::<BTreeSet<i64>>();
    let known = set(&[1, 2, 3, 4, 6, 7, 8]);
    for (why, applied, expected) in [
        ("an empty database", set(&[]), Some((true, "no migration is applied, this program needs 8"))),
        ("behind", set(&[1, 2, 3, 4]), Some((true, "migration 4 is applied, this program needs 8"))),
        (
            "one behind",
            set(&[1, 2, 3, 4, 6, 7]),
            Some((true, "migration 7 is applied, this program needs 8")),
        ),
        ("up to date", known.clone(), None),
        (
            "one in between is missing, or failed",
            set(&[1, 2, 3, 4, 6, 8]),
            Some((true, "migration 8 is applied, and 7 that this program needs is missing")),
        ),
        (
            "many in between are missing",
            set(&[8]),
            Some((true, "migration 8 is applied, and 1, 2, 3, 4, 6 and 1 more that this")),
        ),
        (
            "a newer program was here",
            set(&[1, 2, 3, 4, 6, 7, 8, 9]),
            Some((false, "migration 9 is applied, this program knows 8")),
        ),
        (
            "a newer program has a file with a number that was left out",
            set(&[1, 2, 3, 4, 5, 6, 7, 8]),
            Some((false, "migration 5 is applied, this program knows 8")),
        ),
        (
            "a newer program was here, and one in between is missing",
            set(&[1, 2, 3, 4, 6, 8, 9]),
            Some((true, "migration 9 is applied, and 7 that this program needs is missing")),
        ),
    ] {
        let said = match compared(&applied, &known) {
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
    assert!(newest_of(&numbers_of(&MIGRATIONS)) >= 5, "the migrations are compiled in");
}
