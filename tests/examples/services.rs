//! `watchbell bench` on a fleet of services: RabbitMQ, PostgreSQL, a process a worker, two socket pods.
//!
//! `tests/load/services.sh` builds what it needs and runs it. Arguments go on to `watchbell bench`, except
//! `--dispatchers N`: how many dispatchers share the work (1 by default, at most [`DISPATCHERS`] and one).

use std::env;

use anyhow::{Context as _, ensure};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    services,
};

/// Before push and before email: as a team might have it, and long enough not to be measured.
const WAITS_MS: (u64, u64) = (30_000, 300_000);

/// Those beside the one that every fleet has.
const DISPATCHERS: [&str; 7] =
    ["dispatch-2", "dispatch-3", "dispatch-4", "dispatch-5", "dispatch-6", "dispatch-7", "dispatch-8"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (dispatchers, more) = dispatchers(env::args().skip(1))?;
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &[]).await?;
    for name in &DISPATCHERS[..dispatchers - 1] {
        fleet.add_dispatcher(name).await?;
    }
    let pid = fleet.worker("socket-1")?.pid().to_string();
    let processes = processes(&mut fleet).await?;
    let (url, key, tenant) = (fleet.url("ingest")?, fleet.key(), fleet.tenant().to_string());
    let pods = [fleet.ws_url("socket-1")?, fleet.ws_url("socket-2")?];
    // The secret is in the fleet's environment, where the command looks for it.
    let mut args =
        vec!["bench", "--url", &url, "--key", key, "--tenant", &tenant, "--pid", &pid, "--durable"];
    args.extend(processes.iter().flat_map(|process| ["--process", process]));
    args.extend(pods.iter().flat_map(|pod| ["--ws-url", pod]));
    args.extend(more.iter().map(String::as_str));
    #[allow(clippy::print_stdout)]
    {
        print!("{}", fleet.command(&args)?);
    }
    Ok(())
}

/// Every process whose time an alert takes, as `watchbell bench --process` has them.
async fn processes(fleet: &mut Fleet) -> anyhow::Result<Vec<String>> {
    let mut processes = Vec::new();
    for name in fleet.names().into_iter().filter(|name| *name != "simulator") {
        processes.push(format!("{name}={}", fleet.worker(name)?.pid()));
    }
    processes.push(format!("broker={}", services::rabbit().await?.pid()));
    processes.push(format!("database={}", services::postgres().await?.pid()));
    Ok(processes)
}

/// How many dispatchers are asked for, and the other arguments.
fn dispatchers(args: impl Iterator<Item = String>) -> anyhow::Result<(usize, Vec<String>)> {
    let mut more: Vec<String> = args.collect();
    let Some(at) = more.iter().position(|arg| arg == "--dispatchers") else { return Ok((1, more)) };
    let count = more.get(at + 1).context("--dispatchers needs a number")?.parse()?;
    ensure!(
        (1..=DISPATCHERS.len() + 1).contains(&count),
        "--dispatchers takes 1 to {}",
        DISPATCHERS.len() + 1
    );
    more.drain(at..at + 2);
    Ok((count, more))
}
