//! What a statement reads does not grow with what is behind it (I15).
//!
//! A tour through everything the store can be asked is made over stores of growing size, with and without statistics.
//! On PostgreSQL each statement is judged by how it was really carried out; on SQLite by the plan of every text that the
//! tour ran. That the tour reaches every statement in the sources is a test as well.
//!
//! 100, 10,000 and 100,000 rows; `WATCHBELL_PLANS=full` goes on to 1,000,000.

mod devices;
mod groups;
mod history;
mod people;
mod postgres;
mod recorder;
mod sqlite;
mod tour;

use std::collections::BTreeMap;
use std::env;

use sqlx::Row as _;
use watchbell::domain::{OutcomeRoutes, outcome::every_kind};
use watchbell::store::Store;
use watchbell_tests::builders::tenant;

use super::fixture::{StoreFixture, open};
use postgres::Plan;
use tour::{MAY_WALK, Tour};

/// Rows of history at each size.
fn sizes() -> Vec<usize> {
    let all = [100, 10_000, 100_000, 1_000_000];
    let full = env::var("WATCHBELL_PLANS").is_ok_and(|plans| plans == "full");
    all[..if full { 4 } else { 3 }].to_vec()
}

/// How often as many pages, and pages more, a statement may look at in a store ten thousand times as large: the trees of
/// its indexes are two levels higher, and a table of one page was one page for a whole batch of keys.
const PAGES_TIMES: u64 = 3;
const PAGES_MORE: u64 = 100;
/// Rows more that it may look at.
const ROWS_MORE: u64 = 20;

/// The most that one statement of one stop reads.
type Read = BTreeMap<(&'static str, String), Most>;

#[derive(Default)]
struct Most {
    rows: u64,
    pages: u64,
    scans: String,
}

#[tokio::test]
async fn on_postgres_no_statement_reads_more_of_a_larger_store() -> anyhow::Result<()> {
    recorder::listen();
    let mut faults = Vec::new();
    let mut smallest: Option<Read> = None;
    for rows in sizes() {
        let fixture = StoreFixture::postgres().await?;
        history::load(&fixture, rows).await?;
        let store = telling(open(&recorder::explaining(&fixture.url))?);
        for (number, statistics) in [(0, "without"), (1, "with")] {
            if statistics == "with" {
                history::analyze(&fixture).await?;
            }
            let read =
                toured(&store, number, &format!("{rows} rows {statistics} statistics"), &mut faults).await?;
            match &smallest {
                None => smallest = Some(read),
                Some(smallest) => faults.extend(grown(smallest, &read, rows, statistics)),
            }
        }
        if rows == 100 {
            faults.extend(missed(|beginning| read_of(&smallest, beginning)));
        }
        store.close().await;
    }
    judge(faults)
}

/// With every outcome written, to the exchange and to an address.
fn telling(store: Store) -> Store {
    let webhooks = [(tenant("acme"), every_kind())].into();
    store.telling(OutcomeRoutes { queue: every_kind(), webhooks })
}

/// Makes a tour and notes what is wrong at this size already.
async fn toured(store: &Store, number: i64, at: &str, faults: &mut Vec<String>) -> anyhow::Result<Read> {
    let mut read = Read::new();
    let mut broken = Vec::new();
    recorder::plans();
    let mut heard = |stop| {
        for json in recorder::plans() {
            let plan = match Plan::read(&json) {
                Ok(plan) => plan,
                Err(error) => {
                    broken.push(format!("a plan cannot be read: {error}"));
                    continue;
                }
            };
            if !may_walk(stop) {
                faults.extend(
                    plan.faults().iter().map(|fault| format!("{stop}: {fault} ({at}): {}", plan.sql)),
                );
            }
            let most = read.entry((stop, plan.sql.clone())).or_default();
            if plan.rows() >= most.rows {
                most.scans = plan.scans();
            }
            (most.rows, most.pages) = (most.rows.max(plan.rows()), most.pages.max(plan.pages()));
        }
    };
    Tour { store, number, heard: &mut heard }.go().await?;
    faults.extend(broken);
    anyhow::ensure!(read.len() > 50, "PostgreSQL tells its plans: {} were heard", read.len());
    Ok(read)
}

fn grown<'a>(
    smallest: &'a Read,
    read: &'a Read,
    size: usize,
    statistics: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let all = read.iter().filter(|((stop, _), _)| !may_walk(stop));
    all.filter_map(move |(key @ (stop, sql), now)| {
        let before = smallest.get(key)?;
        let more = now.rows > before.rows * 2 + ROWS_MORE
            || now.pages > before.pages * PAGES_TIMES + PAGES_MORE;
        more.then(|| {
            format!(
                "{stop}: reads {} rows and {} pages of {size} rows {statistics} statistics, and {} rows and {} pages \
                 of 100: {}: {sql}",
                now.rows, now.pages, before.rows, before.pages, now.scans
            )
        })
    })
}

fn may_walk(stop: &str) -> bool {
    MAY_WALK.iter().any(|(may, _)| *may == stop)
}

fn read_of(read: &Option<Read>, beginning: &Beginning) -> bool {
    read.iter().flatten().any(|((_, sql), _)| beginning.is_of(sql))
}

#[tokio::test]
async fn on_sqlite_every_statement_has_a_plan_by_key() -> anyhow::Result<()> {
    recorder::listen();
    let mut faults = Vec::new();
    for rows in sizes() {
        let fixture = StoreFixture::sqlite().await?;
        history::load(&fixture, rows).await?;
        for (number, statistics) in [(0, "without"), (1, "with")] {
            if statistics == "with" {
                history::analyze(&fixture).await?;
            }
            let store = telling(fixture.another_handle());
            Tour { store: &store, number, heard: &mut |_| {} }.go().await?;
            store.close().await;
            let mut connection = fixture.connection().await?;
            for sql in recorder::statements().iter().filter(|sql| sqlite::is_of_sqlite(sql)) {
                let explain = format!("EXPLAIN QUERY PLAN {sql}");
                let steps = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await?;
                let steps: Vec<String> = steps.iter().map(|step| step.get::<String, _>("detail")).collect();
                let at = format!("{rows} rows {statistics} statistics");
                faults.extend(sqlite::faults(sql, &steps).map(|fault| format!("{fault} ({at}): {sql}")));
            }
        }
    }
    let statements = recorder::statements();
    faults.extend(missed(|beginning| statements.iter().any(|sql| beginning.is_of(sql))));
    judge(faults)
}

/// Statements in the sources of the store that nobody ran, by how they begin.
fn missed(was_run: impl Fn(&Beginning) -> bool) -> Vec<String> {
    // Words of one engine only; and `migrate` writes into `meta`, once.
    let passed_over = ["pg_", "current_setting", "to_regclass", "pragma_", "sqlite_master", "INTO meta"];
    let all = sources_statements();
    assert!(all.len() > 50, "the sources were read: {}", all.len());
    let missed = all.into_iter().filter(|begins| {
        !passed_over.iter().any(|word| begins.contains(word)) && !was_run(&Beginning::of(begins))
    });
    missed.map(|begins| format!("no stop of the tour reaches it, so add one: {begins}")).collect()
}

/// How a statement begins. The numbers of its parameters do not count: those of a batch are put before its own.
struct Beginning(String);

impl Beginning {
    fn of(begins: &str) -> Self {
        Self(without_numbers(begins))
    }

    fn is_of(&self, sql: &str) -> bool {
        let sql = without_numbers(sql);
        // Those that change different tables are sent as parts of one.
        sql.starts_with(&self.0) || sql.contains(&format!("AS ({}", self.0))
    }
}

fn without_numbers(sql: &str) -> String {
    let mut parts = sql.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |sql, part| sql + "$" + part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// The beginnings, up to the first gap, of all statements that are written in the store's sources.
fn sources_statements() -> Vec<String> {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/store");
    let mut all = Vec::new();
    for file in std::fs::read_dir(sources).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        // Every other piece between quotes is a literal; none of the store's statements has a quote in it.
        for literal in source.split('"').skip(1).step_by(2) {
            let verb = literal.split_whitespace().next().unwrap_or_default();
            if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb) && literal.contains(' ') {
                let begins = literal.split('{').next().unwrap_or_default();
                all.push(recorder::evened(begins));
            }
        }
    }
    all
}

fn judge(mut faults: Vec<String>) -> anyhow::Result<()> {
    faults.sort();
    faults.dedup();
    anyhow::ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}
