//! The RabbitMQ and the PostgreSQL that all tests of one binary share: started by the first test
//! that asks, gone with the process.
//!
//! A test takes a vhost and a database of its own ([`RabbitNode::fresh_vhost`],
//! [`Postgres::fresh_database`]) and never stops the shared ones; one that wants to, starts its own.

use anyhow::Context;
use tokio::sync::OnceCell;

use crate::postgres::Postgres;
use crate::rabbit::RabbitNode;
use crate::scratch::Scratch;

/// A service and the folder it lives in. As a static it is never dropped: the guard ends it.
struct Shared<T> {
    service: T,
    _dir: Scratch,
}

/// The shared node, started now if no test has asked before.
///
/// # Errors
/// When it does not start. The next caller tries again.
pub async fn rabbit() -> anyhow::Result<&'static RabbitNode> {
    static SHARED: OnceCell<Shared<RabbitNode>> = OnceCell::const_new();
    shared(&SHARED, "rabbit", async |dir| RabbitNode::start(dir.path()).await).await
}

/// The shared server, started now if no test has asked before.
///
/// # Errors
/// When it does not start. The next caller tries again.
pub async fn postgres() -> anyhow::Result<&'static Postgres> {
    static SHARED: OnceCell<Shared<Postgres>> = OnceCell::const_new();
    shared(&SHARED, "postgres", async |dir| Postgres::start(dir.path()).await).await
}

async fn shared<T>(
    cell: &'static OnceCell<Shared<T>>,
    name: &'static str,
    start: impl AsyncFnOnce(&Scratch) -> anyhow::Result<T>,
) -> anyhow::Result<&'static T> {
    let started = cell.get_or_try_init(async || {
        let dir = Scratch::new(name)?;
        let service = start(&dir).await?;
        anyhow::Ok(Shared { service, _dir: dir })
    });
    let started = started.await.with_context(|| format!("starting the shared {name}"))?;
    Ok(&started.service)
}
