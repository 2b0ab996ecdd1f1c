//! One tenant at its worst beside another one's alerts: how much later these are on their screens than alone. Printed, not judged.
//!
//!     cargo build --release
//!     cargo bench -p watchbell-tests --bench turns              # `watchbell up`: one process, SQLite
//!     cargo bench -p watchbell-tests --bench turns -- services  # a process for each worker, RabbitMQ, PostgreSQL
//!     cargo bench -p watchbell-tests --bench turns -- 9         # rounds, in place of three
//!
//! Default limits. In each round a tenant of its own holds connections whose bodies never come, sends requests with 70,000
//! recipients, and floods with alerts as fast as it is answered, all at once. A round begins when the escalations that the one
//! before left behind are worked off. All parts of a round are measured one after the
//! other, and what is printed are the medians over the rounds, so that whatever else the machine does falls on all of them. One part
//! is measured beside as many busy threads as there are cores, which are nobody's tenant: what merely sharing the cores costs.
//! One part is a request with 70,000 recipients by itself, and how many of them are recorded a second: what fairness costs
//! whoever is alone. That everybody gets a turn is a test (`tests/attacks/tenants.rs`), and so is the number of rows and commits
//! that somebody waits behind (`workers/dispatch/src/tests/tenants.rs`).

mod attack;
mod large;
mod store_times;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
};

use crate::{
    attack::Attack,
    large::Recorded,
    store_times::{StoreTimes, until_calm},
};

/// Nobody is pushed to meanwhile.
const QUIET: (u64, u64) = (600_000, 600_000);
/// Rounds when no number is given, and before them one that does not count.
const ROUNDS: usize = 3;
/// Alerts of the bystander that are measured in each part of a round.
const SAMPLES: usize = 300;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    watchbell_tests::services::wait_for_the_disk();
    let (mut engine, mut rounds) = (Engine::Embedded, ROUNDS);
    for argument in std::env::args().skip(1).filter(|argument| argument != "--bench") {
        match argument.parse() {
            Ok(number) => rounds = number,
            Err(_) if argument == "services" => engine = Engine::Services,
            Err(_) => bail!("{argument} is no engine and no number of rounds: say services, or nothing"),
        }
    }
    let fleet = Fleet::start(engine, QUIET, &[]).await?;
    let (mut alone, mut sharing, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let mut large = Vec::new();
    for round in 0..=rounds.max(1) {
        until_calm(&fleet).await?;
        let one = measure(&fleet, &format!("alone-{round}")).await?;
        let spinning = BusyCores::start()?;
        let two = measure(&fleet, &format!("sharing-{round}")).await?;
        drop(spinning);
        let attack = Attack::start(&fleet, round)?;
        let before = StoreTimes::now(&fleet).await?;
        let three = measure(&fleet, &format!("beside-{round}")).await?;
        StoreTimes::now(&fleet).await?.print_since(&before);
        attack.stop(&fleet).await?;
        let recorded = large::alone(&fleet, round).await?;
        eprintln!(
            "round {round}: {one:?} alone, {two:?} on busy cores, {three:?} beside; a large request: {recorded:?}"
        );
        if round > 0 {
            alone.push(one);
            sharing.push(two);
            beside.push(three);
            large.push(recorded);
        }
    }
    print(&Took::median(&alone), &Took::median(&sharing), &Took::median(&beside));
    eprintln!("a large request by itself: {:?}", Recorded::median(&large));
    Ok(())
}

fn print(alone: &Took, sharing: &Took, beside: &Took) {
    eprintln!("{:16}{:>12}{:>12}{:>12}", "", "median", "p99", "longest");
    for (what, took) in [("alone", alone), ("on busy cores", sharing), ("beside", beside)] {
        eprintln!("{what:16}{}", took.0.map(|took| format!("{:>9.1} ms", millis(took))).concat());
    }
    for (what, one, other) in [
        ("beside / alone", beside, alone),
        ("busy / alone", sharing, alone),
        ("beside / busy", beside, sharing),
    ] {
        let ratios = [0, 1, 2].map(|at| format!("{:>11.2}x", millis(one.0[at]) / millis(other.0[at])));
        eprintln!("{what:16}{}", ratios.concat());
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Median, p99 and the longest of one part.
struct Took([Duration; 3]);

impl Took {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        Self([0.5, 0.99, 1.0].map(|part| took[((took.len() - 1) as f64 * part).round() as usize]))
    }

    /// Of each the one in the middle.
    fn median(rounds: &[Self]) -> Self {
        Self([0, 1, 2].map(|at| {
            let mut of_rounds: Vec<Duration> = rounds.iter().map(|round| round.0[at]).collect();
            of_rounds.sort();
            of_rounds[of_rounds.len() / 2]
        }))
    }
}

impl std::fmt::Debug for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, longest] = self.0.map(millis);
        write!(f, "{median:.1}/{p99:.1}/{longest:.1} ms")
    }
}

/// From the request to the frame on the screen, for [`SAMPLES`] alerts, one after the other.
async fn measure(fleet: &Fleet, part: &str) -> anyhow::Result<Took> {
    let mut session = fleet.session("socket-1", "zoe", None).await?;
    let mut took = Vec::with_capacity(SAMPLES);
    for n in 0..SAMPLES {
        let id = format!("{part}-{n}");
        let begun = Instant::now();
        let alert = json!({"id": id, "to": {"users": ["zoe"]}, "title": "just you"});
        let (sent, shown) = tokio::join!(fleet.send(&alert), async {
            while session.next_of("alert").await?["alert"]["id"] != *id {}
            anyhow::Ok(begun.elapsed())
        });
        sent?;
        took.push(shown.with_context(|| id.clone())?);
    }
    Ok(Took::of(took))
}

/// A busy thread for each core, until it is dropped.
struct BusyCores(Arc<AtomicBool>);

impl BusyCores {
    fn start() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..thread::available_parallelism()?.get() {
            let stop = Arc::clone(&stop);
            thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
        }
        Ok(Self(stop))
    }
}

impl Drop for BusyCores {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
