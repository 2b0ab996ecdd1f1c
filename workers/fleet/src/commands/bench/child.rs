//! The floor in a process of its own, so that its memory is its own, as the fleet's is.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{pipeline::Services, target::Target};

/// How long it may take to start, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How the floor is told where it keeps what it keeps: not among its arguments, which everybody on the machine can read.
const BROKER_URL: &str = "WATCHBELL_BENCH_BROKER_URL";
const STORE_URL: &str = "WATCHBELL_BENCH_STORE_URL";

/// In the floor's own process: what [`FloorProcess::start`] was given.
pub(super) fn services() -> Option<Services> {
    let (broker_url, store_url) = (std::env::var(BROKER_URL).ok()?, std::env::var(STORE_URL).ok()?);
    Some(Services { broker_url, store_url })
}

/// Killed when dropped. Should we be killed, it ends with its standard input.
pub(super) struct FloorProcess {
    child: Child,
    url: String,
}

impl FloorProcess {
    /// `durable`: the one that goes by way of broker and database. It finds them in its environment.
    pub(super) async fn start(durable: Option<&Services>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "floor"]);
        if let Some(services) = durable {
            command.env(BROKER_URL, &services.broker_url).env(STORE_URL, &services.store_url);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().context("the floor cannot be started")?;
        let mut process = Self { child, url: String::new() };
        let said = process.child.stdout.take().context("the floor says nothing")?;
        // Ends at the latest when the process does, and that is when we return without an address.
        let first = spawn_blocking(move || BufReader::new(said).lines().next());
        let first = timeout(START_TIMEOUT, first).await.context("the floor does not start")??;
        process.url = first.context("the floor has ended at once")??;
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn target(&self) -> anyhow::Result<Target> {
        Target::floor(&self.url)
    }

    /// Lets it end by itself.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(begun.elapsed() < STOP_TIMEOUT, "the floor does not end");
            sleep(LOOK_EVERY).await;
        };
        ensure!(status.success(), "the floor ended with {status}");
        Ok(())
    }
}

impl Drop for FloorProcess {
    fn drop(&mut self) {
        // Both are harmless when it has ended; waited for, so that none is left undead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
