//! What retention costs those who record, on PostgreSQL with ten million inbox rows: printed, not judged.
//! `cargo bench -p watchbell-tests --bench retention`; `WATCHBELL_ROWS=1000000` for a quick look, `WATCHBELL_DELETED=50000` for
//! how many rows a sweep deletes while it is measured.
//!
//! The same is recorded and read with no sweep and beside one, in turns, so that whatever else the machine does falls on both.
//! Then the statements that people wait for are explained, with the rows that each one reads.

#[path = "../tests/contract/store/fixture.rs"]
#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod fixture;

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sqlx::{AnyConnection, Row as _};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use watchbell::domain::retention::{Retention, RetentionRules};
use watchbell::domain::{ReceiptState, Timestamp};
use watchbell::runtime::Clock;
use watchbell::store::{DELETED_ROWS_MAX, OldAlerts, Store};
use watchbell_dispatch::RetentionSweeper;
use watchbell_tests::builders::{acme, alert, at, receipt, tenant};

use fixture::StoreFixture;

/// Inbox rows: a hundred to a person, and one to ten of an alert.
const ROWS: usize = 10_000_000;
/// Turns without and beside a sweep.
const TURNS: usize = 6;
/// Commits that are measured in a turn.
const COMMITS: usize = 300;
/// People who are in one of them.
const RECIPIENTS: usize = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rows = number("WATCHBELL_ROWS", ROWS)?;
    let fixture = StoreFixture::postgres().await?;
    let begun = Instant::now();
    fill(&fixture, rows).await?;
    eprintln!("{rows} inbox rows in {:.0} s", begun.elapsed().as_secs_f64());
    let measured = Measured { store: fixture.store.clone(), people: rows / 100 };

    measured.turn("warm", 0).await?;
    let (mut alone, mut beside, mut deleted, mut swept_for) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
    // Each alert is a second older than the next; each turn deletes the next part of them.
    let mut place = OldAlerts::of(tenant("acme"), at(rows as i64));
    for turn in 0..TURNS {
        alone.extend(measured.turn("alone", turn).await?);
        let stop = CancellationToken::new();
        let sweeper = sweep(measured.store.clone(), place, stop.clone());
        let sweeping = tokio::spawn(sweeper);
        let begun = Instant::now();
        beside.extend(measured.turn("beside", turn).await?);
        stop.cancel();
        let (more, reached) = sweeping.await??;
        (deleted, place) = (deleted + more, reached);
        swept_for += begun.elapsed();
    }
    let per_s = deleted as f64 / swept_for.as_secs_f64();
    eprintln!(
        "a sweep deleted {deleted} inbox rows in {:.0} s ({per_s:.0} a second)",
        swept_for.as_secs_f64()
    );
    for (what, pick) in KINDS {
        let of = |all: &[Took]| sorted(all.iter().map(pick));
        let (alone, beside) = (of(&alone), of(&beside));
        for (name, part) in [("median", 0.5), ("p99", 0.99), ("longest", 1.0)] {
            let (one, two) = (quantile(&alone, part), quantile(&beside, part));
            eprintln!(
                "{what}, {name}: {one:?} alone, {two:?} beside a sweep: {:.2}",
                two.as_secs_f64() / one.as_secs_f64()
            );
        }
    }
    full_inboxes(&fixture, rows / 100).await?;
    explain(&fixture).await
}

fn number(name: &str, default: usize) -> anyhow::Result<usize> {
    env::var(name).map_or(Ok(default), |number| Ok(number.parse()?))
}

/// Alert `n` came in second `n` and is for one person, but every tenth is for ten. It was seen, and told of by one push.
async fn fill(fixture: &StoreFixture, rows: usize) -> anyhow::Result<()> {
    let (people, ms) = (rows / 100, at(0).as_millisecond());
    let alerts = rows * 10 / 19;
    for sql in [
        format!("INSERT INTO users (tenant, user_id, seq, unread, created_at_ms) SELECT 'acme', 'p' || n, 1000, 0, 1 FROM generate_series(0, {people}) AS g(n)"),
        format!(
            "INSERT INTO alerts (tenant, alert_id, version, content, recorded_at_ms)
             SELECT 'acme', 'h' || n, 1, '{{\"id\":\"h' || n || '\",\"title\":\"A disk is nearly full, and it has been for a while\"}}', {ms} + n * 1000
             FROM generate_series(1::bigint, {alerts}) AS g(n)"
        ),
        format!(
            "INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms)
             SELECT 'acme', 'p' || (n * 7919 + k) % {people}, 'h' || n, n * 100 / {alerts} + 1, 1, 'read', 'warning', 'firing', {ms} + n * 1000
             FROM generate_series(1::bigint, {alerts}) AS g(n), LATERAL generate_series(1, CASE WHEN n % 10 = 0 THEN 10 ELSE 1 END) AS h(k)"
        ),
        "INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms, leased_until_ms,
             claim, fence, opened_at_ms, expires_at_ms, stopped, pushed)
         SELECT tenant, user_id, alert_id, 1, 'default', 1, recorded_at_ms, NULL, 0, 1, 1, recorded_at_ms, recorded_at_ms, 'seen', 1 FROM inbox"
            .to_owned(),
        "INSERT INTO attempts (attempt_id, tenant, user_id, alert_id, kind, round, step, channel, device_id, state, tries, maybe_shown, created_at_ms)
         SELECT gen_random_uuid()::text, tenant, user_id, alert_id, 'alert', 1, 0, 'push', 'phone', 'accepted', 1, 0, recorded_at_ms FROM inbox"
            .to_owned(),
        "VACUUM ANALYZE".to_owned(),
    ] {
        fixture.execute(sql).await?;
    }
    Ok(())
}

/// Deletes the oldest, step by step with the usual rest, until it is told to stop. Gives how many rows went, and where it stands.
async fn sweep(
    store: Store,
    mut place: OldAlerts,
    stop: CancellationToken,
) -> anyhow::Result<(u64, OldAlerts)> {
    let (mut rows, mut rest) = (0, interval(watchbell_dispatch::SWEEP_PAUSE));
    rest.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        let Some(deleted) = store.delete_old_alerts(&mut place, Timestamp::now()).await? else { break };
        rows += deleted.rows;
        rest.tick().await;
    }
    Ok((rows, place))
}

/// What one commit of each kind took.
struct Took {
    record: Duration,
    receipt: Duration,
    page: Duration,
    replay: Duration,
}

type Pick = fn(&Took) -> Duration;
const KINDS: [(&str, Pick); 4] = [
    ("recording an alert for five", |took| took.record),
    ("a receipt", |took| took.receipt),
    ("a page of an inbox", |took| took.page),
    ("resuming", |took| took.replay),
];

struct Measured {
    store: Store,
    people: usize,
}

impl Measured {
    async fn turn(&self, name: &str, turn: usize) -> anyhow::Result<Vec<Took>> {
        let mut all = Vec::with_capacity(COMMITS);
        for commit in 0..COMMITS {
            let id = format!("{name}-{turn}-{commit}");
            let who: Vec<String> = (0..RECIPIENTS)
                .map(|n| format!("p{}", (commit * 104_729 + n * 31 + turn * 7) % self.people))
                .collect();
            let new = alert(&id).to_users(&who).first_due_at(at(900_000_000)).published().build();
            let user = acme(&who[0]);
            let begun = Instant::now();
            let recorded = self.store.record(&[new], Timestamp::now()).await?;
            let record = begun.elapsed();
            let begun = Instant::now();
            self.store
                .apply_receipts(&[receipt(&user, [id.as_str()], ReceiptState::Seen)], Timestamp::now())
                .await?;
            let receipt = begun.elapsed();
            let begun = Instant::now();
            self.store.inbox_page(&user, None, 50).await?;
            let page = begun.elapsed();
            let begun = Instant::now();
            self.store.changes_after(&user, recorded[0].seq.saturating_sub(1), 100).await?;
            all.push(Took { record, receipt, page, replay: begun.elapsed() });
        }
        Ok(all)
    }
}

fn sorted(all: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut all: Vec<Duration> = all.collect();
    all.sort();
    all
}

fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part) as usize;
    sorted[place.min(sorted.len() - 1)]
}

/// A look at everybody's inbox that finds none too full, as every round makes it.
async fn full_inboxes(fixture: &StoreFixture, people: usize) -> anyhow::Result<()> {
    let everything = Retention {
        alerts_kept: Duration::from_secs(3_000_000_000),
        timelines_kept: Duration::from_secs(3_000_000_000),
        ..Retention::default()
    };
    let rules = RetentionRules { everybody: everything, ..RetentionRules::default() };
    let sweeper = RetentionSweeper {
        pause: Duration::ZERO,
        ..RetentionSweeper::new(fixture.store.clone(), Clock::system(), rules, "bench".to_owned())
    };
    for round in ["the first round", "the next"] {
        let begun = Instant::now();
        let swept = sweeper.round(&CancellationToken::new()).await?;
        eprintln!("{round} over {people} people who are within bounds: {:?}, {swept:?}", begun.elapsed());
    }
    Ok(())
}

/// How many rows and pages the statements look at that people wait for, and those of a step of a sweep.
async fn explain(fixture: &StoreFixture) -> anyhow::Result<()> {
    let mut connection = fixture.connection().await?;
    for (what, sql) in [
        (
            "a page of an inbox",
            "SELECT i.seq, a.content FROM inbox i JOIN alerts a ON a.tenant = i.tenant AND a.alert_id = i.alert_id WHERE i.tenant = 'acme' AND i.user_id || '' = 'p77' AND i.seq > 0 ORDER BY i.seq DESC LIMIT 50",
        ),
        (
            "one row",
            "SELECT state FROM inbox WHERE tenant = 'acme' AND user_id = 'p77' AND alert_id = 'h9000'",
        ),
        (
            "who has an alert",
            "SELECT user_id FROM inbox WHERE tenant = 'acme' AND alert_id = 'h9000' AND user_id > '' ORDER BY user_id LIMIT 100",
        ),
        (
            "the oldest alerts, after what was deleted",
            "SELECT alert_id FROM alerts WHERE tenant = 'acme' AND deleted_at_ms IS NULL AND coalesce(latest_at_ms, recorded_at_ms) < 9000000000000 ORDER BY coalesce(latest_at_ms, recorded_at_ms), alert_id LIMIT 200",
        ),
        (
            "the oldest attempts",
            "SELECT attempt_id FROM attempts WHERE tenant = 'acme' AND created_at_ms > 0 AND created_at_ms < 9000000000000 ORDER BY created_at_ms, attempt_id LIMIT 200",
        ),
    ] {
        let (rows, pages) = explained(&mut connection, sql).await?;
        eprintln!("{what}: {rows} rows, {pages} pages");
    }
    eprintln!("a step deletes {DELETED_ROWS_MAX} rows at the most");
    Ok(())
}

/// The rows that a statement gave, and the pages that it read for them. As text: `Any` does not decode PostgreSQL's JSON.
async fn explained(connection: &mut AnyConnection, sql: &str) -> anyhow::Result<(u64, u64)> {
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS) {sql}");
    let lines = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
    let lines: Vec<String> = lines.iter().map(|line| line.try_get(0)).collect::<Result<_, _>>()?;
    let whole = lines.first().context("no plan")?;
    let actual = whole.split_once("(actual").context("it was not carried out")?.1;
    let pages = lines.iter().find(|line| line.trim_start().starts_with("Buffers: shared"));
    let pages = pages.map(String::as_str).unwrap_or_default();
    let number = |text: &str, key: &str| {
        let after = text.split_once(key).map_or("", |(_, after)| after);
        let digits = after.find(|c: char| !c.is_ascii_digit()).map_or(after, |end| &after[..end]);
        digits.parse::<u64>().unwrap_or_default()
    };
    Ok((number(actual, "rows="), number(pages, "hit=") + number(pages, "read=")))
}
