//! How fast the store is on both engines: printed, not judged. `cargo bench -p watchbell-tests --bench store`.

#[path = "../tests/contract/store/bed.rs"]
#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod bed;

use std::time::Instant;

use watchbell::domain::ReceiptState;
use watchbell::store::{NewAlert, ROWS_PER_COMMIT_MAX};

use bed::{Bed, LEASE, acme, at, firing, receipt};

/// Rows that are there when it is measured: what a small customer has after a year.
const ROWS: usize = 200_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    measure("SQLite", &Bed::sqlite().await?).await?;
    measure("PostgreSQL", &Bed::postgres().await?).await
}

async fn measure(engine: &str, Bed { store, .. }: &Bed) -> anyhow::Result<()> {
    let names: Vec<String> = (0..ROWS_PER_COMMIT_MAX).map(|n| format!("user-{n}")).collect();
    let everybody: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let begun = Instant::now();
        for commit in 0..ROWS / 2 / ROWS_PER_COMMIT_MAX {
            let id = format!("{}-{commit}", begun.elapsed().as_nanos());
            store.record(&[firing(&id, &everybody)], at(0)).await?;
        }
        let rate = (ROWS / 2) as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{engine}: record, one alert for {ROWS_PER_COMMIT_MAX} people: {rate:.0} rows/s");
    }
    let begun = Instant::now();
    const COMMITS: usize = 10;
    for commit in 0..COMMITS {
        let batch: Vec<NewAlert> = (0..ROWS_PER_COMMIT_MAX)
            .map(|n| firing(&format!("single-{commit}-{n}"), &[everybody[n]]))
            .collect();
        store.record(&batch, at(0)).await?;
    }
    let rate = (COMMITS * ROWS_PER_COMMIT_MAX) as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{engine}: record, {ROWS_PER_COMMIT_MAX} alerts for one each: {rate:.0} rows/s");

    let begun = Instant::now();
    for n in 0..200 {
        store.record(&[firing(&format!("alone-{n}"), &["user-1"])], at(0)).await?;
    }
    eprintln!("{engine}: record, one row a commit: {:.0} commits/s", 200.0 / begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    for name in names.iter().step_by(10) {
        let changes = store.changes_after(&acme(name), 50, 20).await?;
        assert_eq!(changes.rows.len(), 20);
    }
    eprintln!("{engine}: changes_after, 20 rows: {:.2} ms", begun.elapsed().as_secs_f64() * 1_000.0 / 200.0);

    let begun = Instant::now();
    for name in names.iter().step_by(10) {
        store
            .apply_receipts(&[receipt(&acme(name), &["single-0-1"], ReceiptState::Delivered)], at(1))
            .await?;
    }
    eprintln!("{engine}: apply_receipts, one: {:.2} ms", begun.elapsed().as_secs_f64() * 1_000.0 / 200.0);

    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(store.claim_due(at(30), LEASE, 100).await?.len(), 100);
    }
    eprintln!("{engine}: claim_due, 100 of {ROWS}: {:.2} ms", begun.elapsed().as_secs_f64() * 10.0);
    let begun = Instant::now();
    for _ in 0..100 {
        store.next_due().await?;
    }
    eprintln!("{engine}: next_due: {:.2} ms", begun.elapsed().as_secs_f64() * 10.0);
    Ok(())
}
