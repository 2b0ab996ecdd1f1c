//! What outcomes add to a commit of receipts, on both engines. Printed, not judged.
//!
//!     cargo bench -p watchbell-tests --bench outcomes
//!
//! Commits with and without outcomes take turns in one run, on one store, so that their ratio says something on any
//! machine. That nothing is written without them is a test (`tests/contract/store/outbox.rs`).

#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
#[path = "../tests/contract/store/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

use watchbell::domain::{OutcomeRoutes, ReceiptState, UserKey, outcome::every_kind};
use watchbell::store::{NewAlert, Store};
use watchbell_tests::builders::{acme, alert, at, receipt};

use fixture::StoreFixture;

/// Receipts of one commit: what a socket pod writes at once on a quiet day, and under load.
const SIZES: [usize; 3] = [1, 16, 256];
/// Commits of each kind that are timed.
const COMMITS: usize = 60;
/// Commits before them that are not.
const COMMITS_COLD: usize = 10;
/// People who say something.
const PEOPLE: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    eprintln!("{:11}{:>10}{:>14}{:>14}{:>8}", "", "receipts", "without", "with", "ratio");
    for (engine, fixture) in
        [("PostgreSQL", StoreFixture::postgres().await?), ("SQLite", StoreFixture::sqlite().await?)]
    {
        for size in SIZES {
            let [without, with] = measure(&fixture.store, size).await?;
            let millis = |took: Duration| took.as_secs_f64() * 1e3;
            eprintln!(
                "{engine:11}{size:>10}{:>11.2} ms{:>11.2} ms{:>8.2}",
                millis(without),
                millis(with),
                with.as_secs_f64() / without.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// The median time of a commit of `size` receipts, without and with outcomes.
async fn measure(store: &Store, size: usize) -> anyhow::Result<[Duration; 2]> {
    let telling = store.clone().telling(OutcomeRoutes { queue: every_kind(), ..OutcomeRoutes::default() });
    let people: Vec<UserKey> = (0..PEOPLE).map(|n| acme(&format!("p{n}"))).collect();
    let mut took = [Vec::new(), Vec::new()];
    for commit in 0..2 * (COMMITS_COLD + COMMITS) {
        let ids: Vec<String> = (0..size).map(|n| format!("{size}-{commit}-{n}")).collect();
        let of = |n: usize| &people[(commit + n) % PEOPLE];
        let alerts: Vec<NewAlert> =
            ids.iter().enumerate().map(|(n, id)| alert(id).to_users([of(n).user.as_str()]).build()).collect();
        store.record(&alerts, at(0)).await?;
        let seen: Vec<_> =
            ids.iter().enumerate().map(|(n, id)| receipt(of(n), [id], ReceiptState::Seen)).collect();
        let store = [store, &telling][commit % 2];
        let begun = Instant::now();
        store.apply_receipts(&seen, at(1)).await?;
        if commit >= 2 * COMMITS_COLD {
            took[commit % 2].push(begun.elapsed());
        }
    }
    Ok(took.map(|mut took| {
        took.sort();
        took[took.len() / 2]
    }))
}
