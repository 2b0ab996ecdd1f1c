//! How a batch of rows is best given to PostgreSQL: as one JSON text, or as an array for each column. Printed, not judged.
//!
//!     cargo bench -p watchbell-tests --bench batches
//!
//! Each way inserts the inbox rows of one page of a large audience, the largest batch there is, into the real table, with
//! its indexes. The ways take turns in one run, so that a busy machine is as slow for each of them: compare the ratios.
//! What counts is sending, unfolding and inserting; encoding the parameters and the commit do not, so that a build without
//! optimizations shows the same ratios. What was chosen, and why, is in `src/store/README.md`.

#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
#[path = "../tests/contract/store/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection as _, PgConnection, Postgres, query::Query};
use watchbell_tests::builders::{alert, alert_id, at, users};

use fixture::StoreFixture;

/// Rows of a batch. The last is the most that one commit holds.
const SIZES: [usize; 3] = [100, 1_000, 2_000];
/// Times that each way is measured, after some that are not.
const ROUNDS: usize = 40;
const ROUNDS_COLD: usize = 5;

/// The columns of a batch with their types, as the store writes inbox rows.
const COLUMNS: [(&str, &str); 10] = [
    ("tenant", "text"),
    ("user_id", "text"),
    ("alert_id", "text"),
    ("seq", "bigint"),
    ("version", "bigint"),
    ("state", "text"),
    ("severity", "text"),
    ("status", "text"),
    ("looked", "text"),
    ("snoozed_until_ms", "bigint"),
];

/// A way to give PostgreSQL a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One text, unfolded by `json_to_recordset`.
    Json,
    /// The same text, unfolded by `jsonb_to_recordset`.
    Jsonb,
    /// A text for each column, which is the literal of an array: what the driver for any engine can send.
    Literals,
    /// An array for each column, in binary: needs the driver for PostgreSQL.
    Arrays,
}

impl Way {
    const ALL: [Self; 4] = [Self::Json, Self::Jsonb, Self::Literals, Self::Arrays];

    /// The table that the parameters unfold to.
    fn table(self) -> String {
        let typed = COLUMNS.map(|(name, kind)| format!("{name} {kind}")).join(", ");
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        match self {
            Self::Json => format!("json_to_recordset($1::json) AS batch({typed})"),
            Self::Jsonb => format!("jsonb_to_recordset($1::jsonb) AS batch({typed})"),
            Self::Literals | Self::Arrays => {
                // Prepared statements are kept by their text, so the two texts differ.
                let given = if self == Self::Literals { "::text" } else { "" };
                let arrays = COLUMNS.iter().enumerate();
                let arrays: Vec<String> =
                    arrays.map(|(at, (_, kind))| format!("${}{given}::{kind}[]", at + 1)).collect();
                format!("unnest({}) AS batch({names})", arrays.join(", "))
            }
        }
    }

    fn insert(self) -> String {
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        format!(
            "INSERT INTO inbox ({names}, recorded_at_ms) SELECT {names}, 1 FROM {} WHERE true
             ON CONFLICT (tenant, user_id, alert_id) DO UPDATE SET seq = excluded.seq, version = excluded.version,
                 state = excluded.state, severity = excluded.severity, status = excluded.status,
                 looked = excluded.looked, snoozed_until_ms = excluded.snoozed_until_ms",
            self.table()
        )
    }

    fn unfold(self) -> String {
        format!("SELECT count(tenant), sum(seq), max(state), count(looked) FROM {}", self.table())
    }

    fn query(self, sql: &str, rows: &[Row]) -> Query<'static, Postgres, sqlx::postgres::PgArguments> {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Json | Self::Jsonb => {
                query.bind(json!(rows.iter().map(Row::json).collect::<Vec<_>>()).to_string())
            }
            Self::Literals => COLUMNS.iter().fold(query, |query, (name, _)| {
                let values: Vec<String> = rows.iter().map(|row| row.literal(name)).collect();
                query.bind(format!("{{{}}}", values.join(",")))
            }),
            Self::Arrays => {
                let text =
                    |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).to_owned()).collect::<Vec<_>>();
                query
                    .bind(text(|_| "acme"))
                    .bind(text(|row| &row.user))
                    .bind(text(|row| &row.alert))
                    .bind(rows.iter().map(|row| row.seq).collect::<Vec<_>>())
                    .bind(vec![1_i64; rows.len()])
                    .bind(text(|_| "new"))
                    .bind(text(|_| "warning"))
                    .bind(text(|_| "firing"))
                    .bind(vec![None::<String>; rows.len()])
                    .bind(vec![None::<i64>; rows.len()])
            }
        }
    }
}

/// What differs between the rows of a page.
struct Row {
    user: String,
    alert: String,
    seq: i64,
}

impl Row {
    fn json(&self) -> serde_json::Value {
        json!({
            "tenant": "acme", "user_id": self.user, "alert_id": self.alert, "seq": self.seq, "version": 1,
            "state": "new", "severity": "warning", "status": "firing", "looked": null, "snoozed_until_ms": null,
        })
    }

    /// One value of an array's literal; the names here have no character to escape.
    fn literal(&self, column: &str) -> String {
        match column {
            "tenant" => "\"acme\"".to_owned(),
            "user_id" => format!("\"{}\"", self.user),
            "alert_id" => format!("\"{}\"", self.alert),
            "seq" => self.seq.to_string(),
            "version" => "1".to_owned(),
            "state" => "\"new\"".to_owned(),
            "severity" => "\"warning\"".to_owned(),
            "status" => "\"firing\"".to_owned(),
            _ => "NULL".to_owned(),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    let mut connection = PgConnection::connect(fixture.url.expose()).await?;
    // As the store's own sessions have it.
    sqlx::query("SET plan_cache_mode = force_custom_plan").execute(&mut connection).await?;
    eprintln!("{:8}{:>7} {:10}{:>10}{:>8}", "", "rows", "way", "ms", "ratio");
    for rows in SIZES {
        measure(&mut connection, "unfold", Way::unfold, rows).await?;
        measure(&mut connection, "insert", Way::insert, rows).await?;
        eprintln!("{:8}{rows:>7} {:10}{:>10.2}", "record", "the store", record(&fixture, rows).await?);
    }
    Ok(())
}

/// Prints the median of each way, and its ratio to the first.
async fn measure(
    connection: &mut PgConnection,
    what: &str,
    sql: fn(Way) -> String,
    size: usize,
) -> anyhow::Result<()> {
    let mut took = Way::ALL.map(|_| Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS_COLD + ROUNDS {
        let row = |n: usize| Row {
            user: format!("person-{n}@example.com"),
            alert: format!("0198f3c2-7c1f-7d2e-8a46-{round:012}"),
            seq: (round + n) as i64,
        };
        let rows: Vec<Row> = (0..size).map(row).collect();
        for (way, took) in Way::ALL.into_iter().zip(&mut took) {
            let sql = sql(way);
            let query = way.query(&sql, &rows);
            let mut tx = connection.begin().await?;
            let begun = Instant::now();
            query.execute(&mut *tx).await?;
            if round >= ROUNDS_COLD {
                took.push(begun.elapsed());
            }
            tx.rollback().await?;
        }
    }
    let medians = took.map(median);
    for (way, median) in Way::ALL.into_iter().zip(medians) {
        let way = format!("{way:?}").to_lowercase();
        eprintln!("{what:8}{size:>7} {way:10}{median:>10.2}{:>8.2}", median / medians[0]);
    }
    Ok(())
}

/// What all of [`watchbell::store::Store::record`] takes for such a page, the commit included: what an insert is a part of.
async fn record(fixture: &StoreFixture, size: usize) -> anyhow::Result<f64> {
    let people: Vec<String> = (0..size).map(|n| format!("person-{n}@example.com")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let new = alert(&format!("page-{size}-{round}")).to_users([""; 0]).build();
        let new = watchbell::store::NewAlert { recipients: users(&names), ..new };
        let begun = Instant::now();
        fixture.store.record(std::slice::from_ref(&new), at(0)).await?;
        took.push(begun.elapsed());
        anyhow::ensure!(new.alert.id == alert_id(&format!("page-{size}-{round}")));
    }
    Ok(median(took))
}

/// In milliseconds.
fn median(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1e3
}
