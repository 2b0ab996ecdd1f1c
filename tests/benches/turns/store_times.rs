//! What the store does while a part is measured: each operation that wrote, how often and for how long. On SQLite these times are
//! those of the one writer and of the line for it.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::interval;
use watchbell_tests::{fleet::Fleet, scrape::Scrape};

/// No escalation was handed out for as long: what an attack left behind has been worked off.
const CALM: Duration = Duration::from_secs(2);
/// How long what is left may take. Then a part is measured all the same, and that is said.
const CALM_WITHIN: u32 = 120;

/// By operation: commits, seconds with the waits for the writer, seconds of the commits alone.
pub(crate) struct StoreTimes(BTreeMap<String, [f64; 3]>);

impl StoreTimes {
    /// What all processes of the fleet have counted until now.
    pub(crate) async fn now(fleet: &Fleet) -> anyhow::Result<Self> {
        let mut times: BTreeMap<String, [f64; 3]> = BTreeMap::new();
        for scrape in scrapes(fleet).await? {
            for ((name, labels), value) in &scrape.samples {
                let at = match name.as_str() {
                    "watchbell_store_commit_seconds_count" => 0,
                    "watchbell_store_seconds_sum" => 1,
                    "watchbell_store_commit_seconds_sum" => 2,
                    _ => continue,
                };
                if let Some(operation) = labels.get("operation") {
                    times.entry(operation.clone()).or_default()[at] += value;
                }
            }
        }
        Ok(Self(times))
    }

    /// What came since then, the operations that took the longest in all first.
    pub(crate) fn print_since(&self, before: &Self) {
        let mut since: Vec<(&str, [f64; 3])> = self
            .0
            .iter()
            .map(|(operation, now)| {
                let before = before.0.get(operation).copied().unwrap_or_default();
                (operation.as_str(), [0, 1, 2].map(|at| now[at] - before[at]))
            })
            .filter(|(_, [commits, ..])| *commits > 0.0)
            .collect();
        since.sort_by(|(_, one), (_, other)| other[1].total_cmp(&one[1]));
        for (operation, [commits, all, committing]) in since.into_iter().take(6) {
            let [each, commit] = [all, committing].map(|seconds| seconds * 1e3 / commits);
            eprintln!(
                "    {operation:24}{commits:>6.0} commits of {each:>6.1} ms, {commit:>5.1} ms to commit"
            );
        }
    }
}

/// Returns when no escalation is handed out any more: a large request leaves tens of thousands of them behind, for people who have
/// no screen. What is measured as alone would be beside them.
pub(crate) async fn until_calm(fleet: &Fleet) -> anyhow::Result<()> {
    let mut look = interval(CALM);
    let mut before = None;
    for _ in 0..CALM_WITHIN {
        look.tick().await;
        let claimed: f64 = scrapes(fleet)
            .await?
            .iter()
            .map(|scrape| scrape.sum("watchbell_fallback_claims_total", &[]))
            .sum();
        if before.replace(claimed) == Some(claimed) {
            return Ok(());
        }
    }
    eprintln!("escalations are still handed out: what follows as alone is not");
    Ok(())
}

/// Of each process of the fleet.
pub(crate) async fn scrapes(fleet: &Fleet) -> anyhow::Result<Vec<Scrape>> {
    let mut scrapes = Vec::new();
    for address in fleet.scraped()? {
        let text = fleet.http().get(format!("http://{address}/metrics")).send().await?.text().await?;
        scrapes.push(Scrape::of(&text)?);
    }
    Ok(scrapes)
}
