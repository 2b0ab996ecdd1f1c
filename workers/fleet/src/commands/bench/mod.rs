//! `watchbell bench`: measures a running fleet, and beside it floors.
//!
//! A floor is a bare server that does only what cannot be avoided, measured in the same run by the same code, so
//! that a figure says what Watchbell adds and not how fast the machine is. One keeps nothing. The durable one, on the
//! fleet's own broker and database, does the durable work as well. Figures are printed, never judged: what
//! fails a run is an alert that is missing, comes twice, or goes to somebody else.
//!
//! Memory comes first, while a process's heap has no holes; then latency at fixed rates; then throughput, whose alerts are
//! never seen, so that their escalations keep the fleet busy for a while afterwards; and last, latency at a share of it.
//!
//! | file | what |
//! |---|---|
//! | `target.rs` | what is measured: where to publish, where to open sessions, as whom |
//! | `session.rs` | one client session |
//! | `ledger.rs` | which alert was sent when, and arrived when: once each |
//! | `load.rs` | throughput and latency |
//! | `memory.rs` | bytes a connection |
//! | `cpu.rs` | processor time an alert, by process |
//! | `floor.rs`, `floor_sessions.rs`, `child.rs` | the bare server, its sessions, and the process it runs in |
//! | `pipeline.rs` | the durable work of the durable floor |
//! | `report.rs` | figures, side by side |

mod child;
mod cpu;
mod floor;
mod floor_sessions;
mod ledger;
mod load;
mod memory;
mod pipeline;
mod report;
mod session;
mod target;

use std::time::Duration;

use anyhow::Context as _;
use watchbell::{domain::Secret, runtime::config::Config};

use crate::{
    cli_bench::{BenchArgs, BenchCommand, NamedProcess, RATE_MAX, Rate},
    output,
};
use child::FloorProcess;
use load::{Load, ROUNDS};
use pipeline::Services;
use report::{Figures, Report};
use target::Target;

/// The service's processes: their time counts for the durable floor, too.
const SERVICE_PROCESSES: [&str; 2] = ["broker", "database"];

pub(crate) async fn run(
    args: BenchArgs,
    config: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    if let Some(BenchCommand::Floor) = args.command {
        return floor::serve(child::services()).await;
    }
    let fleet = Target::fleet(&args)?;
    let floor = measure_floor(&args, None).await.context("the floor")?;
    let durable = match args.durable {
        true => Some(measure_floor(&args, Some(services(&config()?)?)).await.context("the durable floor")?),
        false => None,
    };
    output::note("Measuring Watchbell …");
    let watchbell = measure(&args, &fleet, args.pid.unwrap_or_default(), &args.process).await?;
    let report = Report { watchbell, durable, floor };
    match args.json {
        true => output::line(report.json(&args)),
        false => output::line(report.table()),
    }
    Ok(())
}

/// The broker and the database of the configuration, for the durable floor.
fn services(config: &Config) -> anyhow::Result<Services> {
    let given = |url: &Option<Secret>, scheme: &str| {
        let url = url.as_ref().map(|url| url.expose().to_owned());
        url.filter(|url| url.starts_with(scheme))
    };
    let urls = given(&config.broker.url, "amqp").zip(given(&config.store.url, "postgres"));
    let (broker_url, store_url) = urls.context(
        "--durable needs `broker.url` (amqp://…) and `store.url` (postgres://…) in the configuration",
    )?;
    Ok(Services { broker_url, store_url })
}

async fn measure_floor(args: &BenchArgs, services: Option<Services>) -> anyhow::Result<Figures> {
    output::note(match services {
        Some(_) => "Measuring the durable floor …",
        None => "Measuring the floor …",
    });
    let process = FloorProcess::start(services.as_ref()).await?;
    let mut processes = vec![NamedProcess::new("floor", process.pid())];
    let is_service = |process: &&NamedProcess| SERVICE_PROCESSES.contains(&process.name.as_str());
    processes.extend(args.process.iter().filter(is_service).cloned());
    let figures = measure(args, &process.target()?, process.pid(), &processes).await?;
    process.stop().await?;
    Ok(figures)
}

async fn measure(
    args: &BenchArgs,
    target: &Target,
    pid: u32,
    processes: &[NamedProcess],
) -> anyhow::Result<Figures> {
    let bytes_per_session = match args.sessions {
        0 => None,
        sessions => Some(memory::per_session(target, pid, sessions).await?),
    };
    let mut load = Load::start(args, target).await?;
    let mut latencies = Vec::with_capacity(args.rate.len());
    for rate in args.rate.iter().filter_map(Rate::fixed) {
        latencies.push(load.at_a_rate(rate, args.seconds, 1).await?);
    }
    let before = cpu::spent(processes)?;
    let mut floods = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        floods.push(load.flood(args.alerts as usize).await?);
    }
    let cpu = cpu_per_alert(processes, &before, args.alerts as usize * ROUNDS)?;
    for share in args.rate.iter().filter_map(Rate::share) {
        let rate = report::capacity(&floods) * f64::from(share) / 100.0;
        let rate = (rate as u32).clamp(1, RATE_MAX);
        latencies.push(load.at_a_rate(rate, args.seconds, load.batch()).await?);
    }
    load.finish().await?;
    Ok(Figures::of(latencies, &floods, bytes_per_session, cpu))
}

/// What each process took since `before`, for one of so many alerts.
fn cpu_per_alert(
    processes: &[NamedProcess],
    before: &[Duration],
    alerts: usize,
) -> anyhow::Result<Vec<(String, Duration)>> {
    let after = cpu::spent(processes)?;
    let each = processes.iter().zip(after).zip(before);
    Ok(each
        .map(|((process, after), before)| {
            (process.name.clone(), after.saturating_sub(*before) / alerts as u32)
        })
        .collect())
}
