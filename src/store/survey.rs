//! What an operator asks of the store before workers run: which version it has, how its clock stands, the settings on which
//! our promises rest, and rows that are dead and not cleared away. What it means is decided by whoever asks.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Column as _, Row as _};
use tokio::time::timeout;

use super::{Store, dialect::Engine, fault::fault_of};
use crate::runtime::health::Fault;

/// How long all of it may take.
const SURVEY_MAX: Duration = Duration::from_secs(5);

/// What was seen of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreSurvey {
    /// Its product and version.
    pub version: String,
    /// How far its clock is ahead of ours. `None`: it has ours.
    pub clock_ahead: Option<SignedDuration>,
    /// Settings, by the names that the product has for them.
    pub settings: BTreeMap<String, String>,
    /// The tables with the most dead rows.
    pub tables: Vec<TableSeen>,
}

/// A table, by the server's own estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSeen {
    /// Its name.
    pub name: String,
    /// Rows that are there.
    pub live: i64,
    /// Rows that are gone and still take room.
    pub dead: i64,
}

impl Store {
    /// Asks, for five seconds at the most.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn survey(&self) -> Result<StoreSurvey, Fault> {
        let asked = timeout(SURVEY_MAX, async {
            let mut connection = self.read.acquire().await?;
            ask(self.engine, &mut connection).await
        });
        let silent = |_| Fault::passing("the store does not answer in time");
        asked.await.map_err(silent)?.map_err(|error| fault_of(self.engine, &error))
    }
}

async fn ask(engine: Engine, connection: &mut AnyConnection) -> Result<StoreSurvey, sqlx::Error> {
    let before = Timestamp::now();
    let row = sqlx::query(engine.survey()).fetch_one(&mut *connection).await?;
    let after = Timestamp::now();
    let product = match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Sqlite => "SQLite",
    };
    let version: String = row.try_get("version")?;
    let mut survey = StoreSurvey { version: format!("{product} {version}"), ..StoreSurvey::default() };
    if let Some(clock_ms) = row.try_get::<Option<i64>, _>("clock_ms")? {
        // The server looked at its clock in between.
        let ours = before + after.duration_since(before) / 2;
        survey.clock_ahead =
            Timestamp::from_millisecond(clock_ms).ok().map(|theirs| theirs.duration_since(ours));
    }
    for column in row.columns() {
        let name = column.name();
        if !["version", "clock_ms"].contains(&name) {
            survey.settings.insert(name.to_owned(), row.try_get(name)?);
        }
    }
    if let Some(dead_rows) = engine.dead_rows() {
        for row in sqlx::query(dead_rows).fetch_all(&mut *connection).await? {
            let table = TableSeen {
                name: row.try_get("name")?,
                live: row.try_get("live")?,
                dead: row.try_get("dead")?,
            };
            survey.tables.push(table);
        }
    }
    Ok(survey)
}
