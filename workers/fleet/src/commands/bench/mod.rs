//! `watchbell bench`: measures a running fleet, and beside it a floor.
//!
//! The floor is a bare server that does only what cannot be avoided, measured in the same run by the same code, so
//! that a figure says what Watchbell adds and not how fast the machine is. Figures are printed, never judged: what
//! fails a run is an alert that is missing, comes twice, or goes to somebody else.
//!
//! Memory comes first, while a process's heap has no holes; then latency; then throughput, whose alerts are never
//! seen, so that their escalations keep the fleet busy for a while afterwards.
//!
//! | file | what |
//! |---|---|
//! | `target.rs` | what is measured: where to publish, where to open sessions, as whom |
//! | `session.rs` | one client session |
//! | `ledger.rs` | which alert was sent when, and arrived when: once each |
//! | `load.rs` | throughput and latency |
//! | `memory.rs` | bytes a connection |
//! | `floor.rs`, `child.rs` | the bare server, and the process it runs in |
//! | `report.rs` | figures, side by side |

mod child;
mod floor;
mod ledger;
mod load;
mod memory;
mod report;
mod session;
mod target;

use anyhow::Context as _;

use crate::{
    cli::{BenchArgs, BenchCommand},
    output,
};
use child::FloorProcess;
use load::{Load, ROUNDS};
use report::Figures;
use target::Target;

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    if let Some(BenchCommand::Floor) = args.command {
        return floor::serve().await;
    }
    let fleet = Target::fleet(&args)?;
    output::note("Measuring the floor …");
    let process = FloorProcess::start().await?;
    let floor = measure(&args, &process.target()?, process.pid()).await.context("the floor")?;
    process.stop().await?;
    output::note("Measuring Watchbell …");
    let watchbell = measure(&args, &fleet, args.pid.unwrap_or_default()).await?;
    match args.json {
        true => output::line(report::json(&args, &watchbell, &floor)),
        false => output::line(report::table(&watchbell, &floor)),
    }
    Ok(())
}

async fn measure(args: &BenchArgs, target: &Target, pid: u32) -> anyhow::Result<Figures> {
    let bytes_per_session = match args.sessions {
        0 => None,
        sessions => Some(memory::per_session(target, pid, sessions).await?),
    };
    let mut load = Load::start(args, target).await?;
    let latency = load.at_a_rate(args.rate, args.seconds).await?;
    let mut floods = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        floods.push(load.flood(args.alerts as usize).await?);
    }
    load.finish().await?;
    Ok(Figures::of(&latency, &floods, bytes_per_session))
}
