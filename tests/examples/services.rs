//! `watchbell bench` on a fleet of services: RabbitMQ, PostgreSQL, a process a worker, two socket pods.
//!
//! `tests/load/services.sh` builds what it needs and runs it. Arguments go on to `watchbell bench`, except
//! `--dispatchers N`, how many dispatchers share the work (1 by default, at most [`DISPATCHERS`] and one), and `--pods N`, how many
//! socket pods the sessions are spread over (2 by default, 1 to [`PODS`]).

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

/// Every fleet has the first two.
const PODS: [&str; 8] =
    ["socket-1", "socket-2", "socket-3", "socket-4", "socket-5", "socket-6", "socket-7", "socket-8"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    services::wait_for_the_disk();
    let mut more: Vec<String> = env::args().skip(1).collect();
    let dispatchers = taken(&mut more, "--dispatchers", DISPATCHERS.len() + 1)?.unwrap_or(1);
    let pods = taken(&mut more, "--pods", PODS.len())?.unwrap_or(2);
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &[]).await?;
    for name in &DISPATCHERS[..dispatchers - 1] {
        fleet.add_dispatcher(name).await?;
    }
    for name in PODS[..pods].iter().skip(2) {
        fleet.add_socket_pod(name).await?;
    }
    let pid = fleet.worker("socket-1")?.pid().to_string();
    let processes = processes(&mut fleet).await?;
    let (url, key, tenant) = (fleet.url("ingest")?, fleet.key(), fleet.tenant().to_string());
    let pods: Vec<String> = PODS[..pods].iter().map(|pod| fleet.ws_url(pod)).collect::<Result<_, _>>()?;
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

/// The number after an argument of this name, from 1 to `max`, both of which are taken out.
fn taken(arguments: &mut Vec<String>, name: &str, max: usize) -> anyhow::Result<Option<usize>> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
    let count = arguments.get(at + 1).with_context(|| format!("{name} needs a number"))?.parse()?;
    ensure!((1..=max).contains(&count), "{name} takes 1 to {max}");
    arguments.drain(at..at + 2);
    Ok(Some(count))
}
