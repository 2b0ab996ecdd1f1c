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

use super::target::Target;

/// How long it may take to start, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Killed when dropped. Should we be killed, it ends with its standard input.
pub(super) struct FloorProcess {
    child: Child,
    url: String,
}

impl FloorProcess {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "floor"]).stdin(Stdio::piped()).stdout(Stdio::piped());
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
