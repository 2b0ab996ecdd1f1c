//! What a migration consists of, read from its file: the steps that PostgreSQL takes one by one beside everybody's writes.
//!
//! The file is one for both engines. The steps follow from its statements, and batches from a line above one; the
//! README of `migrations/` tells authors how. Pure: nothing here asks a database.

/// One step of a migration. Each is committed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Changes of one table that take no time, in one transaction.
    Tables(Vec<String>),
    /// An index of a table that may have rows.
    Index(Index),
    /// A change of rows in one statement: of a small table, or from before there were batches.
    Rows(String),
    /// A change of rows that goes along a key, some rows at a time.
    Batches(Batches),
}

/// An index, and the statement that builds it while others write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) concurrently: String,
}

/// A statement for some rows at a time, and the key it goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batches {
    pub(super) table: String,
    /// Columns that are texts, and of which there is an index that begins with them.
    pub(super) key: Vec<String>,
    sql: String,
}

/// Where a statement has the condition that it concerns the rows of a batch.
pub(super) const BATCH: &str = ":batch";
/// How the line above a statement in batches begins: `-- batches: inbox (tenant, user_id, alert_id)`.
const BATCHES_LINE: &str = "batches:";

impl Batches {
    /// Finds the last key of a batch, after the key that is given. No row: nothing is left.
    pub(super) fn end_of_batch(&self, rows_max: usize) -> String {
        let Self { table, key, .. } = self;
        let (columns, last) = (key.join(", "), key.join(" DESC, "));
        format!(
            "SELECT {columns} FROM (SELECT {columns} FROM {table} WHERE ({columns}) > ({}) ORDER BY {columns} LIMIT {rows_max}) \
             AS batch ORDER BY {last} DESC LIMIT 1",
            parameters(1, key.len())
        )
    }

    /// The statement for the rows after one key, up to and with another.
    pub(super) fn statement(&self) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("{}.{column}", self.table)).collect();
        let (columns, width) = (columns.join(", "), self.key.len());
        let within = format!(
            "({columns}) > ({}) AND ({columns}) <= ({})",
            parameters(1, width),
            parameters(width + 1, width)
        );
        self.sql.replace(BATCH, &within)
    }
}

fn parameters(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// The steps of a migration, in the order of its statements.
///
/// # Errors
/// A statement, or the line above it, is not written as the README of `migrations/` says.
pub(super) fn steps_of(sql: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut made: Vec<String> = Vec::new();
    let mut altered: Option<String> = None;
    for statement in statements_of(sql)? {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let before = altered.take();
        let step = match words[..] {
            ["CREATE", "TABLE", table, ..] => {
                made.push(table.to_owned());
                Step::Tables(vec![statement.text])
            }
            ["ALTER", "TABLE", table, ..] => {
                altered = Some(table.to_owned());
                if before == altered
                    && let Some(Step::Tables(group)) = steps.last_mut()
                {
                    group.push(statement.text);
                    continue;
                }
                Step::Tables(vec![statement.text])
            }
            ["CREATE", "INDEX", name, "ON", table, ..]
            | ["CREATE", "UNIQUE", "INDEX", name, "ON", table, ..] => {
                if made.iter().any(|made| made == table) {
                    Step::Tables(vec![statement.text])
                } else {
                    let concurrently = statement.text.replacen("INDEX", "INDEX CONCURRENTLY", 1);
                    Step::Index(Index { name: name.to_owned(), concurrently })
                }
            }
            ["DROP", "INDEX" | "TABLE", ..] => Step::Tables(vec![statement.text]),
            ["UPDATE" | "INSERT" | "DELETE" | "WITH", ..] => rows(statement)?,
            _ => return Err(format!("nobody has said how to carry out `{}`", statement.beginning())),
        };
        steps.push(step);
    }
    Ok(steps)
}

fn rows(statement: Statement) -> Result<Step, String> {
    let line = statement.comments.iter().find_map(|line| line.strip_prefix(BATCHES_LINE));
    let Some(line) = line else {
        return match statement.text.contains(BATCH) {
            true => Err(format!(
                "`{}` has {BATCH} and no line `-- {BATCHES_LINE} …` above it",
                statement.beginning()
            )),
            false => Ok(Step::Rows(statement.text)),
        };
    };
    let parts = line.trim().strip_suffix(')').and_then(|line| line.split_once(" ("));
    let Some((table, key)) = parts else {
        return Err(format!("`-- {BATCHES_LINE}{line}` is not `-- {BATCHES_LINE} TABLE (COLUMN, …)`"));
    };
    if !statement.text.contains(BATCH) {
        return Err(format!("`{}` is in batches and says nowhere {BATCH}", statement.beginning()));
    }
    let key = key.split(',').map(|column| column.trim().to_owned()).collect();
    Ok(Step::Batches(Batches { table: table.to_owned(), key, sql: statement.text }))
}

/// One statement of a file, without its semicolon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The lines of comment above it.
    pub(super) comments: Vec<String>,
    pub(super) text: String,
}

impl Statement {
    /// Its words without comments: keywords and names alike, a name without the bracket that follows it.
    pub(super) fn words(&self) -> Vec<String> {
        let lines = self.text.lines().map(|line| line.split("--").next().unwrap_or_default());
        let text: String = lines.flat_map(|line| [line, " "]).collect();
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
        spaced.split_whitespace().map(str::to_owned).collect()
    }

    /// Its first words, for whoever is told of it.
    pub(super) fn beginning(&self) -> String {
        self.words().into_iter().take(6).collect::<Vec<_>>().join(" ")
    }
}

/// The statements of a file.
///
/// # Errors
/// It has what only one engine knows how to read, or ends within a statement.
pub(super) fn statements_of(sql: &str) -> Result<Vec<Statement>, String> {
    if sql.contains("$$") {
        return Err("`$$` is read by PostgreSQL alone".to_owned());
    }
    let mut statements = Vec::new();
    let (mut comments, mut text) = (Vec::new(), String::new());
    let mut quoted = false;
    for line in sql.lines() {
        if text.is_empty() && !quoted {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix("--") {
                comments.push(comment.trim().to_owned());
                continue;
            }
            if line.is_empty() {
                continue;
            }
        }
        let mut rest = line;
        while let Some(at) = rest.find(['\'', ';', '-']) {
            let (before, found) = rest.split_at(at);
            text.push_str(before);
            let (mark, after) = found.split_at(1);
            match mark {
                "'" => quoted = !quoted,
                ";" if !quoted => {
                    let text = std::mem::take(&mut text).trim().to_owned();
                    statements.push(Statement { comments: std::mem::take(&mut comments), text });
                    rest = after.trim_start();
                    continue;
                }
                "-" if !quoted && after.starts_with('-') => {
                    text.push_str(found);
                    rest = "";
                    break;
                }
                _ => {}
            }
            text.push_str(mark);
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            text.push('\n');
        }
    }
    match text.trim() {
        "" => Ok(statements),
        rest => Err(format!("no semicolon ends `{rest}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(statements: &[&str]) -> Step {
        Step::Tables(statements.iter().map(|&statement| statement.to_owned()).collect())
    }

    fn index(name: &str, concurrently: &str) -> Step {
        Step::Index(Index { name: name.to_owned(), concurrently: concurrently.to_owned() })
    }

    #[test]
    fn a_file_is_read_into_its_steps() {
        for (why, sql, expected) in [
            (
                "changes of one table share a transaction, and another table's do not",
                "ALTER TABLE a ADD COLUMN b TEXT;\nALTER TABLE a ADD COLUMN c TEXT;\nALTER TABLE d ADD COLUMN e TEXT;",
                vec![
                    tables(&["ALTER TABLE a ADD COLUMN b TEXT", "ALTER TABLE a ADD COLUMN c TEXT"]),
                    tables(&["ALTER TABLE d ADD COLUMN e TEXT"]),
                ],
            ),
            (
                "an index is built beside writes",
                "-- For b; and more.\nCREATE INDEX a_by_b ON a (b)\n    WHERE b <> ';';",
                vec![index("a_by_b", "CREATE INDEX CONCURRENTLY a_by_b ON a (b)\n    WHERE b <> ';'")],
            ),
            (
                "a unique one as well",
                "CREATE UNIQUE INDEX a_by_b ON a (b);",
                vec![index("a_by_b", "CREATE UNIQUE INDEX CONCURRENTLY a_by_b ON a (b)")],
            ),
            (
                "nobody writes to a table that the file makes",
                "CREATE TABLE n (\n    -- It's; new.\n    m TEXT\n);\nCREATE INDEX n_by_m ON n (m);",
                vec![
                    tables(&["CREATE TABLE n (\n    -- It's; new.\n    m TEXT\n)"]),
                    tables(&["CREATE INDEX n_by_m ON n (m)"]),
                ],
            ),
            (
                "an index goes in a transaction of its own",
                "ALTER TABLE a ADD COLUMN b TEXT; DROP INDEX a_by_c;\n",
                vec![tables(&["ALTER TABLE a ADD COLUMN b TEXT"]), tables(&["DROP INDEX a_by_c"])],
            ),
            (
                "rows change in one statement",
                "UPDATE a SET b = 'x-- y';",
                vec![Step::Rows("UPDATE a SET b = 'x-- y'".to_owned())],
            ),
            (
                "or in batches",
                "-- What was so before.\n-- batches: a (t, id)\nUPDATE a SET b = c WHERE b IS NULL AND :batch;",
                vec![Step::Batches(Batches {
                    table: "a".to_owned(),
                    key: vec!["t".to_owned(), "id".to_owned()],
                    sql: "UPDATE a SET b = c WHERE b IS NULL AND :batch".to_owned(),
                })],
            ),
        ] {
            assert_eq!(steps_of(sql).as_deref(), Ok(&expected[..]), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_carried_out_says_why() {
        for (sql, why) in [
            ("UPDATE a SET b = c WHERE :batch;", "no line `-- batches: …` above it"),
            ("-- batches: a (t)\nUPDATE a SET b = c;", "says nowhere :batch"),
            ("-- batches: a t\nUPDATE a SET b = c WHERE :batch;", "is not `-- batches: TABLE (COLUMN, …)`"),
            ("DO $$ BEGIN END $$;", "PostgreSQL alone"),
            (
                "CREATE INDEX IF NOT EXISTS a_by_b ON a (b);",
                "nobody has said how to carry out `CREATE INDEX IF NOT EXISTS a_by_b`",
            ),
            ("VACUUM a;", "nobody has said"),
            ("DROP INDEX a", "no semicolon ends `DROP INDEX a`"),
        ] {
            let refused = steps_of(sql).expect_err(sql);
            assert!(refused.contains(why), "{sql}: {refused}");
        }
    }

    #[test]
    fn a_batch_is_a_range_of_keys() {
        let batches = Batches {
            table: "a".to_owned(),
            key: vec!["t".to_owned(), "id".to_owned()],
            sql: "UPDATE a SET b = c WHERE b IS NULL AND :batch".to_owned(),
        };
        assert_eq!(
            batches.end_of_batch(100),
            "SELECT t, id FROM (SELECT t, id FROM a WHERE (t, id) > ($1, $2) ORDER BY t, id LIMIT 100) \
             AS batch ORDER BY t DESC, id DESC LIMIT 1"
        );
        assert_eq!(
            batches.statement(),
            "UPDATE a SET b = c WHERE b IS NULL AND (a.t, a.id) > ($1, $2) AND (a.t, a.id) <= ($3, $4)"
        );
    }
}
