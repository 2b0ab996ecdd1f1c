//! Statements that change different tables, sent as one.
//!
//! On PostgreSQL they are parts of one statement with `WITH`, so that a commit waits for the server once and not once for each;
//! SQLite is in the same process, knows no such statement, and runs them one after the other.
//!
//! What holds here:
//! - None of them may read what another one writes: on PostgreSQL all see the tables as they were before the first, and
//!   run in no order that could be relied on.
//! - The text that a combination of statements makes is made once, so that prepared statements are reused.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{
    Failure, Tx,
    dialect::Engine,
    row_batch::{Batch, BatchRow, Statement},
};

/// Statements that are to be sent.
pub(super) struct Together {
    engine: Engine,
    parts: Vec<Part>,
}

/// A statement with its parameters, those of its batch first.
struct Part {
    text: &'static str,
    batch: Vec<String>,
    own: Vec<i64>,
}

impl Together {
    pub(super) fn on(engine: Engine) -> Self {
        Self { engine, parts: Vec::new() }
    }

    /// Adds a statement over these rows, with its own parameters. Without rows there is nothing to do.
    pub(super) fn add<R: BatchRow>(&mut self, statement: &Statement<R>, rows: Batch<R>, own: &[i64]) {
        if !rows.is_empty() {
            let text = statement.text(self.engine);
            self.parts.push(Part { text, batch: rows.into_parameters(), own: own.to_vec() });
        }
    }

    /// Sends them.
    pub(super) async fn execute(self, tx: &mut Tx) -> Result<(), Failure> {
        if self.engine == Engine::Postgres && self.parts.len() > 1 {
            let text = text_of(self.parts.iter().map(|part| part.text).collect());
            let query = self.parts.iter().fold(sqlx::query(text), |query, part| part.bound_to(query));
            query.execute(&mut **tx).await?;
            return Ok(());
        }
        for part in &self.parts {
            part.bound_to(sqlx::query(part.text)).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

impl Part {
    fn bound_to<'q>(&self, query: AnyQuery<'q>) -> AnyQuery<'q> {
        let query = self.batch.iter().fold(query, |query, parameter| query.bind(parameter.as_str()));
        self.own.iter().fold(query, |query, parameter| query.bind(*parameter))
    }
}

/// The text of a combination. Those in the program are few, and are kept as long as it runs.
fn text_of(parts: Vec<&'static str>) -> &'static str {
    static TEXTS: Mutex<BTreeMap<Vec<&'static str>, &'static str>> = Mutex::new(BTreeMap::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.entry(parts).or_insert_with_key(|parts| composed(parts).leak())
}

/// `WITH part_1 AS (…), part_2 AS (…) SELECT 1`, with the parameters numbered through.
fn composed(parts: &[&str]) -> String {
    let mut before = 0;
    let mut tables = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let (text, parameters) = numbered_after(part, before);
        tables.push(format!("part_{} AS ({text})", at + 1));
        before += parameters;
    }
    format!("WITH {} SELECT 1", tables.join(", "))
}

/// A text whose parameters come after so many others, and how many it has.
fn numbered_after(text: &str, before: usize) -> (String, usize) {
    let (mut numbered, mut parameters) = (String::with_capacity(text.len() + 64), 0);
    let mut pieces = text.split('$');
    numbered.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = piece[..digits].parse().unwrap_or_default();
        parameters = parameters.max(number);
        numbered.push_str(&format!("${}{}", number + before, &piece[digits..]));
    }
    (numbered, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_combination_are_numbered_through() {
        let one = "INSERT INTO a SELECT x, $3 FROM unnest($1::text[], $2::bigint[]) AS batch(x, y)";
        let two = "UPDATE b SET at_ms = $2 FROM unnest($1::text[]) AS batch(x) WHERE b.x = batch.x AND b.at_ms < $2";
        assert_eq!(
            composed(&[one, two, "DELETE FROM c"]),
            "WITH part_1 AS (INSERT INTO a SELECT x, $3 FROM unnest($1::text[], $2::bigint[]) AS batch(x, y)), \
             part_2 AS (UPDATE b SET at_ms = $5 FROM unnest($4::text[]) AS batch(x) WHERE b.x = batch.x AND b.at_ms < $5), \
             part_3 AS (DELETE FROM c) SELECT 1"
        );
        let (again, other) = (
            text_of(vec!["DELETE FROM c", "DELETE FROM d"]),
            text_of(vec!["DELETE FROM d", "DELETE FROM c"]),
        );
        assert_eq!(again.as_ptr(), text_of(vec!["DELETE FROM c", "DELETE FROM d"]).as_ptr(), "made once");
        assert_ne!(again, other);
    }
}
