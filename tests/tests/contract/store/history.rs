//! A store that was put back to an earlier time tells another history, and a schema that is behind or ahead is seen.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use watchbell::{
    domain::Secret,
    runtime::health::Seen,
    store::{MigrationError, Store},
};
use watchbell_tests::builders::{alert, at};
use watchbell_tests::{postgres::Postgres, scratch::Scratch, services, until::until};

use super::fixture::{StoreFixture, open};

/// A store believes for half a second that a connection lives, so the first read after a server came back may meet a dead one.
const BACK_WITHIN: Duration = Duration::from_secs(10);

on_both_engines!(a_history_lasts_until_a_new_one_begins);

async fn a_history_lasts_until_a_new_one_begins(fixture: &StoreFixture) -> anyhow::Result<()> {
    let first = fixture.store.history().await?;
    fixture.store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let other = fixture.another_handle();
    ensure!(other.history().await?.name == first.name, "for everybody, and while things happen");
    ensure!(!other.history().await?.went_back_since(&first));

    fixture.store.begin_history(Some(&first)).await?;
    let second = fixture.store.history().await?;
    ensure!(second.name != first.name);
    other.begin_history(Some(&first)).await?;
    ensure!(other.history().await?.name == second.name, "two that notice the same thing begin one");
    other.begin_history(None).await?;
    ensure!(fixture.store.history().await?.name != second.name, "the operator's word counts in any case");
    Ok(())
}

/// Every way to put a dump back, each with what a person would type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_was_restored_is_another_history() -> anyhow::Result<()> {
    let server = services::postgres().await?;
    for (why, options, prepare) in [
        ("over the tables that are there", &["--clean"][..], ""),
        ("into tables that were emptied", &["--data-only"], "TRUNCATE"),
    ] {
        let url = server.fresh_database("history").await?;
        let store = open(&Secret::from(url.clone()))?;
        store.migrate().await?;
        store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
        let dump = server.dump(&url, options).await?;
        let before = store.history().await?;
        if prepare == "TRUNCATE" {
            let tables =
                "SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables WHERE schemaname = 'public'";
            let tables = server.psql_on(&url, tables).await?;
            server.psql_on(&url, &format!("TRUNCATE {tables}")).await?;
        }
        server.load(&url, &dump).await?;
        ensure!(store.history().await?.name != before.name, "{why}");
    }

    let url = server.fresh_database("history").await?;
    let store = open(&Secret::from(url.clone()))?;
    store.migrate().await?;
    let (before, made) = (store.history().await?, store.connections_made());
    let dump = server.dump(&url, &[]).await?;
    server.restore(&url, &dump).await?;
    let after = until("it is read again", BACK_WITHIN, async || store.history().await.ok()).await?;
    ensure!(after.name != before.name, "into a new database of the same name");
    ensure!(store.connections_made() > made, "and a connection had to be made, which tells a process to ask");
    Ok(())
}

/// The one restore that leaves every name as it was: whoever remembers how far the log was knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_put_back_is_noticed_by_whoever_remembers() -> anyhow::Result<()> {
    let dir = Scratch::new("history-disk")?;
    let mut server = Postgres::start(dir.path()).await?;
    let url = server.fresh_database("history").await?;
    let store = open(&Secret::from(url))?;
    store.migrate().await?;
    server.stop().await?;
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    copy(&data, &kept)?;

    server.start_again().await?;
    let first = [alert("a").to_users(["ana"]).build()];
    until("it is written again", BACK_WITHIN, async || store.record(&first, at(0)).await.ok()).await?;
    let before = until("it is read again", BACK_WITHIN, async || store.history().await.ok()).await?;
    server.stop().await?;
    std::fs::remove_dir_all(&data)?;
    copy(&kept, &data)?;
    server.start_again().await?;

    let after = until("it is read again", BACK_WITHIN, async || store.history().await.ok()).await?;
    ensure!(after.name == before.name, "nothing in it has another name");
    ensure!(after.went_back_since(&before), "its log has gone back");
    store.begin_history(Some(&after)).await?;
    ensure!(store.history().await?.name != before.name);
    Ok(())
}

/// A failover to a standby is another history, whether it lagged or not: nobody can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_took_over_tells_another_history() -> anyhow::Result<()> {
    let (dir, standby_dir) = (Scratch::new("history-primary")?, Scratch::new("history-standby")?);
    let mut primary = Postgres::start(dir.path()).await?;
    let url = primary.fresh_database("history").await?;
    let store = open(&Secret::from(url.clone()))?;
    store.migrate().await?;
    let before = store.history().await?;
    let mut standby = primary.standby(standby_dir.path()).await?;

    let there = url.replacen(&primary.port().to_string(), &standby.port().to_string(), 1);
    let reader = open(&Secret::from(there))?;
    let look = reader.look().await;
    ensure!(
        matches!(&look.store, Seen::Failing(fault) if fault.cause.contains("takes no writes")),
        "a standby is not what we can work on: {look:?}"
    );
    primary.kill9();
    standby.take_over(&mut primary).await?;
    let after = store.history().await?;
    ensure!(after.name != before.name && !after.went_back_since(&before));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_was_put_back_is_another_history() -> anyhow::Result<()> {
    let dir = Scratch::new("history-sqlite")?;
    let (file, kept) = (dir.path().join("store.db"), dir.path().join("kept.db"));
    let url = Store::sqlite_url(&file);
    let opened = async || -> anyhow::Result<Store> {
        let store = open(&url)?;
        store.migrate().await?;
        Ok(store)
    };
    let store = opened().await?;
    let first = store.history().await?.name;
    store.close().await;
    std::fs::copy(&file, &kept)?;

    let store = opened().await?;
    ensure!(store.history().await?.name == first, "a restart is no restore");
    store.close().await;
    std::fs::remove_file(&file)?;
    std::fs::copy(&kept, &file)?;
    let store = opened().await?;
    ensure!(store.history().await?.name != first, "another file in its place");
    Ok(())
}

/// What may be asked of an ordinary user's server is enough, and a user who may not ask has a history as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_user_and_one_who_may_not_ask_have_a_history() -> anyhow::Result<()> {
    let server = services::postgres().await?;
    let url = server.fresh_database("ordinary").await?;
    let database = url.rsplit('/').next().unwrap_or_default();
    server.psql(&format!("CREATE USER ordinary; ALTER DATABASE {database} OWNER TO ordinary")).await?;
    let store = open(&Secret::from(url.replacen("postgres@", "ordinary@", 1)))?;
    store.migrate().await?;
    let all = store.history().await?.name;
    server.psql_on(&url, "REVOKE EXECUTE ON FUNCTION pg_control_system, pg_walfile_name FROM PUBLIC").await?;
    let less = store.history().await?.name;
    ensure!(less != all, "it is made of less");
    ensure!(store.history().await?.name == less, "and lasts");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_behind_or_ahead_is_seen() -> anyhow::Result<()> {
    let server = services::postgres().await?;
    let url = server.fresh_database("schema").await?;
    let store = open(&Secret::from(url.clone()))?;
    let look = store.look().await;
    ensure!(matches!(look.store, Seen::Ok), "{look:?}");
    ensure!(
        matches!(&look.schema, Seen::Failing(fault) if fault.cause.contains("no migration is applied")),
        "{look:?}"
    );
    store.migrate().await?;
    ensure!(matches!(store.look().await.schema, Seen::Ok));

    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a later version', true, '', 0)";
    server.psql_on(&url, newer).await?;
    let look = store.look().await;
    ensure!(
        matches!(&look.schema, Seen::Degraded(fault) if fault.cause.contains("migration 9999")),
        "{look:?}"
    );
    ensure!(store.is_ready().await, "pods of the version before serve until they are replaced");
    store.migrate().await.context("somebody rolls back: the schema stays, and that is no fault")?;

    // Not only the newest counts.
    server.psql_on(&url, "UPDATE _sqlx_migrations SET success = false WHERE version = 22").await?;
    let refused = store.migrate().await;
    ensure!(
        matches!(refused, Err(MigrationError::Ahead { applied: 9999, missing: 22 })),
        "a newer program is asked for: {refused:?}"
    );
    for lacks in [
        "DELETE FROM _sqlx_migrations WHERE version = 9999",
        "DELETE FROM _sqlx_migrations WHERE version = 22",
    ] {
        server.psql_on(&url, lacks).await?;
        let look = store.look().await;
        ensure!(
            matches!(&look.schema, Seen::Failing(fault) if fault.cause.contains("22 that this program needs is missing or failed")),
            "{lacks}: {look:?}"
        );
        ensure!(!store.is_ready().await, "{lacks}");
    }

    server.psql_on(&url, "DELETE FROM _sqlx_migrations WHERE version > 4").await?;
    let look = store.look().await;
    ensure!(
        matches!(&look.schema, Seen::Failing(fault) if fault.cause.contains("migration 4 is applied, this program needs")),
        "{look:?}"
    );
    ensure!(!store.is_ready().await);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cp: {copied}");
    Ok(())
}
