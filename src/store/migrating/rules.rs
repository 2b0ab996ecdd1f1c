//! What a migration may say, so that nobody waits while it is carried out: a test of every file from [`FIRST_RULED`] on.
//!
//! The README of `migrations/` says the same to authors. An index needs no rule, because `online.rs` builds each beside the
//! writes; what is left are changes of rows without batches, and changes of a table that go through all of its rows.

use super::statements::{Statement, Step, statements_of, steps_of};
use crate::store::schema::MIGRATIONS;

/// Files before it were written when nothing had been released.
const FIRST_RULED: i64 = 41;

/// Tables that stay small, whatever the installation has. All others grow.
const SMALL: [&str; 6] = ["meta", "api_keys", "pods", "sweeps", "outbox_routes", "expansions"];

/// What a file may not say, and what to do instead.
fn refusals(sql: &str) -> Result<Vec<String>, String> {
    let statements = statements_of(sql)?;
    let made: Vec<String> =
        statements.iter().filter_map(|statement| table_after(statement, "CREATE", "TABLE")).collect();
    let grows = |table: &str| !SMALL.contains(&table) && !made.iter().any(|made| made == table);
    let mut refused = Vec::new();
    for statement in &statements {
        if let Some(table) = table_after(statement, "ALTER", "TABLE")
            && grows(&table)
            && let Some(why) = goes_through_rows(&statement.words())
        {
            refused.push(format!("`{}`: {why}", statement.beginning()));
        }
    }
    for step in steps_of(sql)? {
        if let Step::Rows(text) = step {
            let statement = Statement { comments: Vec::new(), text };
            let words = statement.words();
            if read_or_written(&words).any(grows) {
                refused.push(format!(
                    "`{}`: a table that grows is changed and read in batches, with `-- batches: TABLE (KEY, …)` above it",
                    statement.beginning()
                ));
            }
        }
    }
    Ok(refused)
}

/// The table of a statement that begins with these two words.
fn table_after(statement: &Statement, first: &str, second: &str) -> Option<String> {
    match &statement.words()[..] {
        [one, two, table, ..] if one == first && two == second => Some(table.clone()),
        _ => None,
    }
}

/// Tables that a change of rows names.
fn read_or_written(words: &[String]) -> impl Iterator<Item = &str> {
    words.windows(2).filter_map(|pair| {
        let names = ["UPDATE", "INTO", "FROM", "JOIN"].contains(&pair[0].as_str());
        (names && !["(", "SET"].contains(&pair[1].as_str())).then_some(pair[1].as_str())
    })
}

/// Why a change of a table reads or writes every row of it under a lock that keeps everybody out.
fn goes_through_rows(words: &[String]) -> Option<&'static str> {
    let has = |word: &str| words.iter().any(|have| have == word);
    let follows =
        |first: &str, second: &str| words.windows(2).any(|pair| pair[0] == first && pair[1] == second);
    // A constant; what is computed for each row is written into each row.
    let computed = words.windows(3).any(|three| three[0] == "DEFAULT" && three[2] == "(");
    if has("GENERATED") || computed {
        Some("a column that is computed is written into every row: add it without, and fill it in batches")
    } else if has("TYPE") {
        Some("another type rewrites the table: add another column, and fill it in batches")
    } else if has("CONSTRAINT") || has("CHECK") || has("UNIQUE") || has("REFERENCES") || has("PRIMARY") {
        Some("a constraint reads every row: keep it in the code, or make a unique index")
    } else if follows("SET", "NOT") || (follows("NOT", "NULL") && !has("DEFAULT")) {
        Some("NOT NULL without a default reads every row")
    } else if has("DROP") || has("RENAME") {
        Some(
            "the version before still uses the column: it goes two releases later, and this rule is told so then",
        )
    } else {
        None
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn no_file_makes_others_wait() {
    let mut refused = Vec::new();
    for migration in MIGRATIONS.iter() {
        // All of them can be carried out; the rules are for the later ones.
        steps_of(migration.sql.as_str())
            .unwrap_or_else(|why| panic!("migration {}: {why}", migration.version));
        if migration.version >= FIRST_RULED {
            let of_file = refusals(migration.sql.as_str()).unwrap();
            refused.extend(of_file.into_iter().map(|why| format!("migration {}: {why}", migration.version)));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
#[allow(clippy::unwrap_used)]
fn what_makes_others_wait_is_refused() {
    for (why, sql, expected) in [
        ("a column that may be empty", "ALTER TABLE inbox ADD COLUMN a TEXT;", None),
        (
            "a column with one value for all",
            "ALTER TABLE inbox ADD COLUMN a BIGINT NOT NULL DEFAULT 0;",
            None,
        ),
        (
            "a column that is computed",
            "ALTER TABLE inbox ADD COLUMN a TEXT DEFAULT gen_random_uuid();",
            Some("computed"),
        ),
        (
            "a column made of others",
            "ALTER TABLE inbox ADD COLUMN a BIGINT GENERATED ALWAYS AS (seq) STORED;",
            Some("computed"),
        ),
        (
            "a column of a small table",
            "ALTER TABLE pods ADD COLUMN a BIGINT GENERATED ALWAYS AS (b) STORED;",
            None,
        ),
        ("another type", "ALTER TABLE inbox ALTER COLUMN seq TYPE TEXT;", Some("rewrites")),
        ("a constraint", "ALTER TABLE inbox ADD CONSTRAINT a CHECK (seq > 0);", Some("constraint")),
        ("NOT NULL", "ALTER TABLE inbox ALTER COLUMN said_by SET NOT NULL;", Some("NOT NULL")),
        ("a column that goes", "ALTER TABLE inbox DROP COLUMN said_by;", Some("two releases")),
        ("an index is built beside the writes", "CREATE INDEX a ON inbox (seq);", None),
        ("rows at once", "UPDATE inbox SET said_by = NULL;", Some("batches")),
        ("rows of a small table", "UPDATE api_keys SET scopes = NULL;", None),
        (
            "rows of a small table from a large one",
            "INSERT INTO meta (name, value)\nSELECT tenant, alert_id FROM alerts;",
            Some("batches"),
        ),
        (
            "rows of a table that the file makes",
            "CREATE TABLE n (a TEXT);\nINSERT INTO n (a) VALUES ('b');",
            None,
        ),
        (
            "a new table filled from a large one",
            "CREATE TABLE n (a TEXT);\nINSERT INTO n (a) SELECT tenant FROM alerts;",
            Some("batches"),
        ),
        (
            "rows in batches",
            "-- batches: inbox (tenant, user_id, alert_id)\nUPDATE inbox SET said_by = NULL WHERE :batch;",
            None,
        ),
    ] {
        let refused = refusals(sql).unwrap();
        assert_eq!(refused.is_empty(), expected.is_none(), "{why}: {refused:?}");
        assert!(
            refused.iter().all(|refusal| refusal.contains(expected.unwrap_or_default())),
            "{why}: {refused:?}"
        );
    }
}
