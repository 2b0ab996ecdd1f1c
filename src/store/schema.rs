//! The tables: brought up to this version, and compared with what this version needs.
//!
//! A store that is behind is not ready: statements would fail one by one. One that is ahead is: whoever rolls out a new
//! version migrates first, and the pods of the version before must serve until they are replaced. So a migration only adds
//! what the version before does not have to know; a change that it could not live with takes two releases.

use sqlx::{
    AnyConnection, Row as _,
    migrate::{MigrateError, Migrator},
};
use uuid::Uuid;

use super::{Store, history::new_word};
use crate::runtime::health::{Fault, Seen};

/// Every migration this program knows.
const MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// The migration this program needs: its newest.
fn needed() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
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
    /// Brings the schema up to this version. Safe while other processes run, and to run twice.
    ///
    /// # Errors
    /// The store cannot be reached, or was migrated by a newer version.
    pub async fn migrate(&self) -> Result<(), MigrationError> {
        let mut tx = self.write.begin_with(self.engine.begin_write()).await?;
        for statement in self.engine.migration_settings() {
            sqlx::query(*statement).execute(&mut *tx).await?;
        }
        if let Some(applied) = applied(&mut tx, self.engine.has_migrations()).await?
            && applied > needed()
        {
            return Err(MigrationError::Ahead { applied, needed: needed() });
        }
        // Our lock holds until the commit, on both engines; sqlx's would be let go before it. `run` is the same as
        // `run_direct`, but the compiler does not see that its future is `Send`.
        let mut migrations = MIGRATIONS;
        migrations.set_locking(false);
        migrations.run_direct(None, &mut *tx, false).await?;
        for statement in self.engine.after_migrations() {
            sqlx::query(*statement).execute(&mut *tx).await?;
        }
        sqlx::query("INSERT INTO meta (name, value) VALUES ('epoch', $1) ON CONFLICT (name) DO NOTHING")
            .bind(new_word())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('pseudonym_key', $1) ON CONFLICT (name) DO NOTHING",
        )
        .bind(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
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
