//! Carries migrations out.
//!
//! | file | what |
//! |---|---|
//! | `statements.rs` | reads a file into steps |
//! | `online.rs` | takes the steps on PostgreSQL, where others read and write meanwhile |
//! | `rules.rs` | what a file may say of a table that grows: a test of all files |
//!
//! On SQLite, and in a database that holds nothing yet, nobody can wait: there everything is one transaction.

mod online;
#[cfg(test)]
mod rules;
mod statements;

use std::collections::BTreeMap;

use sqlx::{
    AnyConnection, AssertSqlSafe,
    migrate::{Migrate as _, MigrateError, Migration, Migrator},
    raw_sql,
};
use uuid::Uuid;

use super::{
    Store,
    dialect::Engine,
    history::new_word,
    schema::{MigrationError, applied, newest_of, numbers_of},
};
use online::Statement;

/// Where sqlx notes which migrations were applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

impl Store {
    /// Brings the schema up to the last of these migrations. They are an argument because tests bring their own.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn migrate_by(&self, migrations: &Migrator) -> Result<(), MigrationError> {
        match self.engine {
            Engine::Sqlite => {
                let mut tx = self.write.begin_with(self.engine.begin_write()).await?;
                in_one_transaction(&mut tx, self.engine, migrations).await?;
                Ok(tx.commit().await?)
            }
            Engine::Postgres => {
                // Of its own: its settings and its lock end with it.
                let mut connection = self.write.acquire().await?.detach();
                let done = on_postgres(&mut connection, migrations).await;
                sqlx::Connection::close(connection).await?;
                done
            }
        }
    }
}

async fn on_postgres(connection: &mut AnyConnection, migrations: &Migrator) -> Result<(), MigrationError> {
    let engine = Engine::Postgres;
    online::become_the_only_one(connection).await?;
    if applied(connection, engine.has_migrations()).await?.unwrap_or_default().is_empty() {
        let mut tx = sqlx::Connection::begin(connection).await?;
        in_one_transaction(&mut tx, engine, migrations).await?;
        return Ok(tx.commit().await?);
    }
    let newest = newest_of(&numbers_of(migrations));
    for migration in pending(connection, engine, migrations).await? {
        online::apply(connection, migration).await?;
    }
    online::commit(connection, newest, at_the_end(engine)).await
}

/// Carries all of them out in the transaction of the caller.
async fn in_one_transaction(
    connection: &mut AnyConnection,
    engine: Engine,
    migrations: &Migrator,
) -> Result<(), MigrationError> {
    for statement in engine.migration_settings() {
        sqlx::query(*statement).execute(&mut *connection).await?;
    }
    for migration in pending(connection, engine, migrations).await? {
        let at_once = migration.sql.as_str().replace(statements::BATCH, "1 = 1");
        let done = raw_sql(AssertSqlSafe(at_once)).execute(&mut *connection).await;
        done.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
        connection.skip(MIGRATIONS_TABLE, migration).await?;
    }
    Ok(online::run_all(connection, &at_the_end(engine)).await?)
}

/// What is still to be done, by number; nothing where a newer program was.
///
/// # Errors
/// The database was migrated by other files than these, or by a newer program that left out some of these.
async fn pending<'a>(
    connection: &mut AnyConnection,
    engine: Engine,
    migrations: &'a Migrator,
) -> Result<Vec<&'a Migration>, MigrationError> {
    let known = numbers_of(migrations);
    let applied = applied(connection, engine.has_migrations()).await?.unwrap_or_default();
    if let (Some(&applied), Some(&missing)) =
        (applied.difference(&known).last(), known.difference(&applied).next())
    {
        return Err(MigrationError::Ahead { applied, missing });
    }
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await?;
    if let Some(version) = connection.dirty_version(MIGRATIONS_TABLE).await?
        && known.contains(&version)
    {
        return Err(MigrateError::Dirty(version).into());
    }
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await?;
    let mut applied: BTreeMap<i64, _> = applied.into_iter().map(|one| (one.version, one.checksum)).collect();
    let mut pending = Vec::new();
    for migration in migrations.iter() {
        match applied.remove(&migration.version) {
            None => pending.push(migration),
            Some(checksum) if checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version).into()),
        }
    }
    Ok(pending)
}

/// What a store has besides its tables. Whatever is there stays.
fn at_the_end(engine: Engine) -> Vec<Statement> {
    let add = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let mut all: Vec<Statement> =
        engine.after_migrations().iter().map(|statement| Statement::new(*statement, [])).collect();
    all.push(Statement::new(add, ["epoch".to_owned(), new_word()]));
    all.push(Statement::new(add, ["pseudonym_key".to_owned(), key]));
    all
}
