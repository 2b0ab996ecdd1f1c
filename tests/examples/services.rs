//! `watchbell bench` on a fleet of services: RabbitMQ, PostgreSQL, a process a worker, two socket pods.
//!
//! `tests/load/services.sh` builds what it needs and runs it. Arguments go on to `watchbell bench`.

use std::env;

use watchbell_tests::fleet::{Engine, Fleet};

/// Before push and before email: as a team might have it, and long enough not to be measured.
const WAITS_MS: (u64, u64) = (30_000, 300_000);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &[]).await?;
    let pid = fleet.worker("socket-1")?.pid().to_string();
    let (url, key, tenant) = (fleet.url("ingest")?, fleet.key(), fleet.tenant().to_string());
    let pods = [fleet.ws_url("socket-1")?, fleet.ws_url("socket-2")?];
    // The secret is in the fleet's environment, where the command looks for it.
    let mut args = vec!["bench", "--url", &url, "--key", key, "--tenant", &tenant, "--pid", &pid];
    args.extend(pods.iter().flat_map(|pod| ["--ws-url", pod]));
    let more: Vec<String> = env::args().skip(1).collect();
    args.extend(more.iter().map(String::as_str));
    #[allow(clippy::print_stdout)]
    {
        print!("{}", fleet.command(&args)?);
    }
    Ok(())
}
