//! The harness holds what it says: each service starts, stops, comes back with its data, is killed,
//! and leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use watchbell_tests::alertmanager::Alertmanager;
use watchbell_tests::postgres::Postgres;
use watchbell_tests::rabbit::RabbitNode;
use watchbell_tests::scratch::Scratch;
use watchbell_tests::services;
use watchbell_tests::until::until;

/// Set for the copy of this test binary that one test starts and kills.
const VICTIM: &str = "WATCHBELL_TESTS_VICTIM";

#[tokio::test]
async fn rabbitmq_comes_back_with_its_data_after_a_stop_and_after_a_kill() -> anyhow::Result<()> {
    let dir = Scratch::new("rabbit-restart")?;
    let mut node = RabbitNode::start(dir.path()).await?;
    node.ctl(&["add_vhost", "kept"]).await?;

    node.stop().await?;
    ensure!(!connects(node.port()).await, "a stopped node does not listen");
    node.start_again().await?;
    ensure!(node.ctl(&["list_vhosts"]).await?.contains("kept"), "a stop keeps the data");

    node.kill9();
    ensure!(!connects(node.port()).await, "a killed node does not listen");
    node.start_again().await?;
    ensure!(node.ctl(&["list_vhosts"]).await?.contains("kept"), "a kill keeps the data");
    Ok(())
}

#[tokio::test]
async fn a_paused_rabbitmq_answers_nothing_until_it_is_resumed() -> anyhow::Result<()> {
    let dir = Scratch::new("rabbit-pause")?;
    let node = RabbitNode::start(dir.path()).await?;
    node.pause();
    let asked = tokio::time::timeout(Duration::from_secs(2), node.ctl(&["list_vhosts"])).await;
    node.resume();
    ensure!(asked.is_err(), "a paused node answered: {asked:?}");
    node.ctl(&["list_vhosts"]).await.context("a resumed node answers")?;
    Ok(())
}

#[tokio::test]
async fn postgres_comes_back_with_its_data_after_a_stop_and_after_a_kill() -> anyhow::Result<()> {
    let dir = Scratch::new("postgres-restart")?;
    let mut server = Postgres::start(dir.path()).await?;
    ensure!(server.psql("SHOW fsync").await? == "on", "durability is what we test");
    server.psql("CREATE TABLE kept (n int)").await?;

    server.stop().await?;
    ensure!(server.psql("SELECT 1").await.is_err(), "a stopped server does not answer");
    server.start_again().await?;
    server.psql("INSERT INTO kept VALUES (1)").await?;

    server.kill9();
    ensure!(server.psql("SELECT 1").await.is_err(), "a killed server does not answer");
    server.start_again().await?;
    ensure!(server.psql("SELECT n FROM kept").await? == "1", "a committed row survives a kill");
    Ok(())
}

#[tokio::test]
async fn alertmanager_takes_an_alert_from_amtool() -> anyhow::Result<()> {
    let dir = Scratch::new("alertmanager")?;
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let mut alertmanager = Alertmanager::start(dir.path(), config).await?;
    alertmanager.amtool(&["alert", "add", "DiskFull", "severity=critical"]).await?;
    let listed = alertmanager.amtool(&["alert", "query"]).await?;
    ensure!(listed.contains("DiskFull"), "{listed}");
    alertmanager.stop().await
}

#[tokio::test]
async fn a_service_that_cannot_start_says_why() -> anyhow::Result<()> {
    let dir = Scratch::new("alertmanager-refuses")?;
    let refused = Alertmanager::start(dir.path(), "route: {receiver: missing}\n").await;
    let error = format!("{:#}", refused.err().context("a wrong configuration is refused")?);
    ensure!(error.contains("missing"), "the log is in the message: {error}");
    Ok(())
}

#[tokio::test]
async fn tests_share_one_rabbitmq_and_get_a_vhost_each() -> anyhow::Result<()> {
    let (one, other) = tokio::try_join!(services::rabbit(), services::rabbit())?;
    ensure!(one.port() == other.port(), "one node for all");
    let (a, b) = (one.fresh_vhost("same").await?, one.fresh_vhost("same").await?);
    ensure!(a != b, "a vhost each: {a}");
    let granted = one.ctl(&["list_user_permissions", "guest"]).await?;
    for url in [a, b] {
        let vhost = url.rsplit('/').next().unwrap_or_default().to_owned();
        ensure!(granted.contains(&vhost), "guest may use {vhost}: {granted}");
    }
    Ok(())
}

#[tokio::test]
async fn tests_share_one_postgres_and_get_a_database_each() -> anyhow::Result<()> {
    let (one, other) = tokio::try_join!(services::postgres(), services::postgres())?;
    ensure!(one.port() == other.port(), "one server for all");
    let (a, b) = (one.fresh_database("same").await?, one.fresh_database("same").await?);
    ensure!(a != b, "a database each: {a}");
    let (a, b) = tokio::try_join!(one.migrated_database("copy"), other.migrated_database("copy"))?;
    ensure!(a != b, "a copy each: {a}");
    one.psql_on(&a, "INSERT INTO meta (name, value) VALUES ('mine', 'a')").await?;
    let mine = one.psql_on(&b, "SELECT count(*) FROM meta WHERE name = 'mine'").await?;
    ensure!(mine == "0", "with the tables of this version, and nothing of another test: {mine}");
    ensure!(one.psql("SHOW fsync").await? == "off", "nobody crashes what is shared");
    Ok(())
}

/// Plays the test process that is killed in the next test; by itself it does nothing.
#[tokio::test]
async fn victim() -> anyhow::Result<()> {
    let Some(report) = std::env::var_os(VICTIM) else { return Ok(()) };
    let (rabbit, postgres) = tokio::try_join!(services::rabbit(), services::postgres())?;
    fs::write(report, format!("{} {}\n", rabbit.port(), postgres.port()))?;
    std::future::pending().await
}

/// A static is not dropped and a killed process drops nothing: the guard has to do it.
#[tokio::test]
async fn a_killed_test_process_leaves_no_service_running() -> anyhow::Result<()> {
    let dir = Scratch::new("victim")?;
    let report = dir.path().join("ports");
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "victim"])
        .env(VICTIM, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let written = async || fs::read_to_string(&report).ok().filter(|ports| ports.ends_with('\n'));
    let ports = until("the victim has started its services", Duration::from_secs(120), written).await;
    victim.kill()?;
    victim.wait()?;
    let ports = ports?;
    for port in ports.split_whitespace().map(str::parse::<u16>) {
        let port = port?;
        let free = async || TcpListener::bind(("127.0.0.1", port)).ok();
        until("the guard frees the port", Duration::from_secs(20), free).await?;
    }
    Ok(())
}

async fn connects(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}
