//! How fast the store is on both engines, beside how much is behind it: printed, not judged.
//!
//!     cargo bench -p watchbell-tests --bench store
//!
//! Stores with 100, 10,000 and 1,000,000 rows of history, of which half are one person's, with and without statistics.
//! That no statement reads more of a larger one is a test (`tests/contract/store/plans.rs`).

#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
#[path = "../tests/contract/store/fixture.rs"]
mod fixture;
#[path = "../tests/contract/store/plans/history.rs"]
mod history;
/// Where the contract suite has them.
mod store {
    pub(crate) use crate::fixture;
}

use std::time::{Duration, Instant};

use watchbell::domain::{ReceiptState, UserKey};
use watchbell::store::{NewAlert, Store};
use watchbell_tests::builders::{acme, alert, at, receipt};

use fixture::{LEASE, StoreFixture};

/// Rows of history.
const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
/// Alerts of a commit, which is what dispatch takes at once under load.
const COMMIT: usize = 256;
/// Commits that are timed; the first of them are not.
const COMMITS: usize = 24;
const COMMITS_COLD: usize = 4;
/// People who are told; one of them has half of the history.
const PEOPLE: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    eprintln!(
        "{:11}{:>10} {:11}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "µs a row", "history", "statistics", "record", "receipts", "replay", "claim", "leave"
    );
    for rows in SIZES {
        measure("PostgreSQL", &StoreFixture::postgres().await?, rows).await?;
    }
    for rows in SIZES {
        measure("SQLite", &StoreFixture::sqlite().await?, rows).await?;
    }
    Ok(())
}

async fn measure(engine: &str, fixture: &StoreFixture, rows: usize) -> anyhow::Result<()> {
    history::load(fixture, rows).await?;
    for (run, statistics) in ["without", "with"].into_iter().enumerate() {
        if statistics == "with" {
            history::analyze(fixture).await?;
        }
        let took = took(&fixture.another_handle(), run).await?;
        let took = took.map(|micros| format!("{micros:>10.1}")).concat();
        eprintln!("{engine:11}{rows:>10} {statistics:11}{took}");
    }
    Ok(())
}

/// Microseconds a row, in the order of the heading.
async fn took(store: &Store, run: usize) -> anyhow::Result<[f64; 5]> {
    let mut people: Vec<String> = (1..PEOPLE).map(|n| format!("p{n}")).collect();
    people.push("ana".into());
    let keys: Vec<UserKey> = people.iter().map(|name| acme(name)).collect();
    let id = |commit: usize, n: usize| format!("b{run}-{commit}-{n}");
    let day = run as i64 * 100_000;

    let mut recorded = Timed::default();
    for commit in 0..COMMITS {
        let new = |n: usize| {
            let new = alert(&id(commit, n)).to_users([&people[n % PEOPLE]]).build();
            let due = Some(at(day + 30));
            NewAlert { first_due_at: due, absent_due_at: due, expires_at: at(day + 50_000), ..new }
        };
        let batch: Vec<NewAlert> = (0..COMMIT).map(new).collect();
        let begun = Instant::now();
        store.record(&batch, at(day)).await?;
        recorded.add(commit, begun, COMMIT);
    }
    let mut said = Timed::default();
    for commit in 0..COMMITS {
        let seen = |n: usize| receipt(&keys[n % PEOPLE], [&id(commit, n)], ReceiptState::Seen);
        // Every other one is left to be claimed.
        let batch: Vec<_> = (0..COMMIT).step_by(2).map(seen).collect();
        let begun = Instant::now();
        store.apply_receipts(&batch, at(day + 1)).await?;
        said.add(commit, begun, batch.len());
    }
    let heads = store.heads(&keys).await?;
    let mut replayed = Timed::default();
    for (n, key) in keys.iter().rev().enumerate() {
        let after = heads[key].seq.saturating_sub(20);
        let begun = Instant::now();
        let changes = store.changes_after(key, after, 20).await?;
        replayed.add(n, begun, changes.rows.len());
    }
    store.renew_pod("bench", at(day), Duration::from_secs(100)).await?;
    store.arrive("bench", &keys, at(day + 1)).await?;
    let begun = Instant::now();
    store.leave("bench", &keys, at(day + 2)).await?;
    let mut left = Timed::default();
    left.add(COMMITS_COLD, begun, keys.len());
    let mut claimed = Timed::default();
    for n in 0.. {
        let begun = Instant::now();
        let claims = store.claim_due(at(day + 30), LEASE, COMMIT).await?.len();
        if claims == 0 {
            break;
        }
        claimed.add(n, begun, claims);
    }
    Ok([recorded, said, replayed, claimed, left].map(|timed| timed.micros()))
}

#[derive(Default)]
struct Timed {
    time: Duration,
    rows: usize,
}

impl Timed {
    fn add(&mut self, number: usize, begun: Instant, rows: usize) {
        if number >= COMMITS_COLD {
            self.time += begun.elapsed();
            self.rows += rows;
        }
    }

    fn micros(&self) -> f64 {
        self.time.as_secs_f64() * 1e6 / self.rows.max(1) as f64
    }
}
