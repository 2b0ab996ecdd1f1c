//! A request with 70,000 recipients, by itself: how many of them are recorded a second, and in how many commits.

use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::{Method, header};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    until::until,
};

use crate::store_times::scrapes;

/// Recipients of one alert, and alerts of one request.
pub(crate) const LARGE: (usize, usize) = (7_000, 10);
/// How long one such request may take until everybody is reached.
const REACHED_WITHIN: Duration = Duration::from_secs(300);
/// What the store does for what is left of a large audience, each a commit.
const COMMITS: [&str; 4] = ["claim_expansion", "record_page", "release_expansion", "pass_on_expansion"];

/// How a large request went.
#[derive(Clone, Copy)]
pub(crate) struct Recorded {
    rows_a_second: f64,
    commits_a_page: f64,
}

impl Recorded {
    /// Of each the one in the middle.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Self {
            rows_a_second: middle(|one| one.rows_a_second),
            commits_a_page: middle(|one| one.commits_a_page),
        }
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} rows a second, {:.2} commits a page", self.rows_a_second, self.commits_a_page)
    }
}

/// One such request, and nothing beside it.
pub(crate) async fn alone(fleet: &Fleet, round: usize) -> anyhow::Result<Recorded> {
    let key = key_of(fleet, &format!("large-{round}"))?;
    let before = Counted::now(fleet).await?;
    let begun = Instant::now();
    let request = fleet.http().post(format!("{}/v1/alerts", fleet.url("ingest")?)).bearer_auth(&key);
    let request = request.header(header::CONTENT_TYPE, "application/json").body(body(0));
    let (status, said) = answer(request).await?;
    ensure!(status == 202, "answered {status}: {said}");
    let rows = (LARGE.0 * LARGE.1) as f64;
    let after = until("everybody is reached", REACHED_WITHIN, async || {
        let now = Counted::now(fleet).await.ok()?;
        (now.rows - before.rows >= rows).then_some(now)
    })
    .await?;
    Ok(Recorded {
        rows_a_second: rows / begun.elapsed().as_secs_f64(),
        commits_a_page: (after.commits - before.commits) / (after.pages - before.pages),
    })
}

/// What all processes of a fleet have counted.
struct Counted {
    rows: f64,
    commits: f64,
    pages: f64,
}

impl Counted {
    async fn now(fleet: &Fleet) -> anyhow::Result<Self> {
        let mut counted = Self { rows: 0.0, commits: 0.0, pages: 0.0 };
        for scrape in scrapes(fleet).await? {
            let commits = |of: &str| scrape.sum("watchbell_store_commit_seconds_count", &[("operation", of)]);
            counted.rows += scrape.sum("watchbell_dispatch_rows_total", &[("outcome", "recorded")]);
            counted.commits += COMMITS.into_iter().map(commits).sum::<f64>();
            counted.pages += commits("record_page");
        }
        Ok(counted)
    }
}

/// A key with which a tenant publishes and reads.
pub(crate) fn key_of(fleet: &Fleet, tenant: &str) -> anyhow::Result<String> {
    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
    let store = if fleet.engine == Engine::Embedded { &store[..] } else { &[] };
    let create = ["key", "create", "--tenant", tenant, "--scope", "alerts,read"];
    Ok(fleet.command_with(&create, store)?.trim().to_owned())
}

/// The body of a tenant's request of that number.
pub(crate) fn body(request: usize) -> String {
    let users: Vec<String> = (0..LARGE.0).map(|user| format!(r#""u{user:04}""#)).collect();
    let users = users.join(",");
    let alert =
        |n| format!(r#"{{"id":"{}","to":{{"users":[{users}]}},"title":"all"}}"#, large_id(request, n));
    let alerts: Vec<String> = (0..LARGE.1).map(alert).collect();
    format!("[{}]", alerts.join(","))
}

/// Returns when everybody is reached by the alerts of that request.
pub(crate) async fn until_reached(fleet: &Fleet, key: &str, request: usize) -> anyhow::Result<()> {
    let url = fleet.url("ingest")?;
    for n in 0..LARGE.1 {
        let url = format!("{url}/v1/alerts/{}", large_id(request, n));
        until("everybody is reached", REACHED_WITHIN, async || {
            let request = fleet.http().request(Method::GET, &url).bearer_auth(key);
            let (_, said) = answer(request).await.ok()?;
            (said["recipients"].as_u64() == u64::try_from(LARGE.0).ok()).then_some(())
        })
        .await?;
    }
    Ok(())
}

fn large_id(request: usize, n: usize) -> String {
    format!("big-{request}-{n}")
}
