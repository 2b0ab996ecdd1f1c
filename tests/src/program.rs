//! Another program, run to its end: what it said, and that it succeeded.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};

use crate::service::Service;

/// Runs `command` with its output in `log`, a file of its own, and gives that.
///
/// # Errors
/// It cannot be started, is not done by `deadline` (then it is killed), or did not succeed; what it said is in the error.
pub async fn run(
    name: &'static str,
    command: &mut Command,
    log: &Path,
    deadline: Duration,
) -> anyhow::Result<String> {
    let mut program = Service::start(name, command, log)?;
    let ended = program.wait_exit(deadline).await;
    let said = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let ended = ended.with_context(|| said.clone())?;
    ensure!(ended.success(), "{name} ended with {ended}:\n{said}");
    Ok(said)
}
