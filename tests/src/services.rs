//! The RabbitMQ and the PostgreSQL that all tests of one binary share: started by the first test
//! that asks, gone with the process.
//!
//! A test takes a vhost and a database of its own ([`RabbitNode::fresh_vhost`],
//! [`Postgres::fresh_database`]) and never stops the shared ones; one that wants to, starts its own.
//!
//! The shared PostgreSQL does not wait for the disk: that matters only when the machine loses its power. A
//! benchmark of commits calls [`wait_for_the_disk`] first, because there the disk is part of what is measured.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::sync::OnceCell;

use crate::postgres::{Fsync, Postgres};
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
    let fsync = if WAITS_FOR_DISK.load(Ordering::Relaxed) { Fsync::On } else { Fsync::Off };
    shared(&SHARED, "postgres", async |dir| Postgres::start_with(dir.path(), fsync).await).await
}

static WAITS_FOR_DISK: AtomicBool = AtomicBool::new(false);

/// From now on the shared PostgreSQL is started as in production, where a commit waits for the disk: what a measurement needs.
pub fn wait_for_the_disk() {
    WAITS_FOR_DISK.store(true, Ordering::Relaxed);
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
