//! What differs between PostgreSQL and SQLite. Everything else is written once.

/// Which of the two is behind the seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Postgres,
    Sqlite,
}

/// A column of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Its SQL type: `text` or `bigint`.
    pub(super) sql_type: &'static str,
}

impl Engine {
    pub(super) fn of_url(url: &str) -> anyhow::Result<Self> {
        match url.split(':').next() {
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            Some("sqlite") => Ok(Self::Sqlite),
            _ => anyhow::bail!("store.url must begin with postgres:// or sqlite:"),
        }
    }

    /// Run once on each new connection.
    pub(super) fn session_settings(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[
                // Nothing here runs long; a lost lock or a hung statement must not hold others up.
                "SET statement_timeout = '8s'",
                "SET idle_in_transaction_session_timeout = '15s'",
                // A plan kept from when the tables were small scans them whole once they are large, and a kept plan
                // does not know how few rows LIMIT asks for: measured, 50 ms and 90 ms in place of 1 ms.
                "SET plan_cache_mode = force_custom_plan",
                // Everything here is read by key, a batch of keys row by row, through an index that is there for it. That
                // is right whatever the tables hold. What the planner would weigh against it rests on statistics, and a
                // fresh or restored database has none: measured, each new row then read its person's whole inbox.
                "SET enable_seqscan = off",
                "SET enable_bitmapscan = off",
                "SET enable_hashjoin = off",
                "SET enable_mergejoin = off",
                // What counts is the rows that are read: a key looked up costs about one, a table gone through all of
                // its own. Left alone, the planner takes a lookup for so dear that it goes through 20,000 rows instead.
                "SET seq_page_cost = 0.01",
                "SET random_page_cost = 0.01",
                "SET cpu_operator_cost = 0.0001",
                // Compiling takes longer than any of them, and what is "off" counts as expensive enough to compile.
                "SET jit = off",
            ],
            // FULL: a commit is on the disk when it returns, which is what "accepted is durable" rests on (I1).
            // The timeout comes first, because the next statement may already find the file busy.
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 5000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA cache_size = -16384",
                // In pages: a checkpoint beside the writes keeps the journal shorter (`checkpoints`), and where none is
                // running, or writes never pause, a commit does it.
                "PRAGMA wal_autocheckpoint = 8000",
            ],
        }
    }

    /// SQLite has to be told that a transaction will write, or it may find out too late that another process does.
    pub(super) fn begin_write(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// The same for an operation whose statements are planned once for each connection. SQLite keeps its plans anyway.
    pub(super) fn begin_write_with_kept_plans(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan",
            Self::Sqlite => self.begin_write(),
        }
    }

    /// Copies what was committed from the journal into the database file, while writes go on.
    pub(super) fn checkpoint(self) -> Option<&'static str> {
        match self {
            Self::Postgres => None,
            Self::Sqlite => Some("PRAGMA wal_checkpoint(PASSIVE)"),
        }
    }

    /// Run first in a transaction that migrates everything. `BEGIN IMMEDIATE` has locked SQLite's file by then. Statistics that
    /// somebody gathered while it was small would have large tables scanned; without any, a plan depends on its text alone.
    pub(super) fn migration_settings(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["SET LOCAL enable_seqscan = on", "SET LOCAL enable_hashjoin = on"],
            Self::Sqlite => &["DROP TABLE IF EXISTS sqlite_stat4", "DROP TABLE IF EXISTS sqlite_stat1"],
        }
    }

    /// Run after the migrations, in their transaction.
    pub(super) fn after_migrations(self) -> &'static [&'static str] {
        match self {
            // What retention deletes is to be cleared away every fiftieth row, not every fifth: until then each look for what is
            // oldest passes over what went. Settings that somebody made by hand stay.
            Self::Postgres => &["DO $$
                 DECLARE kept text;
                 BEGIN
                     FOREACH kept IN ARRAY ARRAY['alerts', 'attempts', 'escalations', 'inbox', 'notes', 'told', 'versions'] LOOP
                         IF EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass(kept) AND reloptions IS NULL) THEN
                             EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.02,
                                 autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)', kept);
                         END IF;
                     END LOOP;
                 END $$"],
            Self::Sqlite => &[],
        }
    }

    /// One row when the table of migrations is there.
    pub(super) fn has_migrations(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT 1 WHERE to_regclass('_sqlx_migrations') IS NOT NULL",
            Self::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'",
        }
    }

    /// Says in `read_only` whether writes are refused. SQLite says so at the first write only.
    pub(super) fn read_only(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("SELECT current_setting('transaction_read_only') AS read_only"),
            Self::Sqlite => None,
        }
    }

    /// Says in `missing` how many tables we may not work with. SQLite has no rights.
    pub(super) fn missing_rights(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(
                "SELECT count(*) AS missing FROM pg_class
                 WHERE relname IN ('users', 'inbox', 'alerts', 'escalations', 'attempts') AND relkind = 'r'
                   AND pg_table_is_visible(oid)
                   AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))",
            ),
            Self::Sqlite => None,
        }
    }

    /// One row: the server's version, its clock in milliseconds, and settings on which promises of ours rest.
    pub(super) fn survey(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT current_setting('server_version') AS version,
                     CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS clock_ms,
                     current_setting('fsync') AS fsync,
                     current_setting('full_page_writes') AS full_page_writes,
                     current_setting('synchronous_commit') AS synchronous_commit,
                     current_setting('autovacuum') AS autovacuum,
                     current_setting('track_counts') AS track_counts,
                     current_setting('server_encoding') AS server_encoding,
                     current_setting('default_transaction_isolation') AS default_transaction_isolation,
                     current_setting('max_connections') AS max_connections"
            }
            Self::Sqlite => {
                "SELECT sqlite_version() AS version, CAST(NULL AS BIGINT) AS clock_ms,
                     (SELECT CAST(page_count AS TEXT) FROM pragma_page_count) AS page_count,
                     (SELECT CAST(freelist_count AS TEXT) FROM pragma_freelist_count) AS freelist_count"
            }
        }
    }

    /// The tables with the most rows that are dead and not cleared away. SQLite has none: a row that goes leaves room.
    pub(super) fn dead_rows(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(
                "SELECT CAST(relname AS TEXT) AS name, n_live_tup AS live, n_dead_tup AS dead
                 FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY n_dead_tup DESC LIMIT 5",
            ),
            Self::Sqlite => None,
        }
    }

    /// Locks the rows a SELECT returns until the commit. SQLite has one writer, so they are locked already.
    pub(super) fn lock(self, table: &str) -> String {
        match self {
            Self::Postgres => format!("FOR UPDATE OF {table}"),
            Self::Sqlite => String::new(),
        }
    }

    /// Waits for the lock of number `$1` and holds it until the commit. SQLite has one writer, who needs none.
    pub(super) fn lock_by_number(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("SELECT pg_advisory_xact_lock($1)"),
            Self::Sqlite => None,
        }
    }

    /// Locks the rows of `table`, passing over those that somebody else has locked.
    pub(super) fn skip_locked_of(self, table: &str) -> String {
        match self {
            Self::Postgres => format!("FOR UPDATE OF {table} SKIP LOCKED"),
            Self::Sqlite => String::new(),
        }
    }

    /// Locks the rows a SELECT returns, passing over those that somebody else has locked.
    pub(super) fn skip_locked(self) -> &'static str {
        match self {
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
            Self::Sqlite => "",
        }
    }

    /// How many parameters a batch with these columns takes.
    pub(super) fn batch_parameters(self, columns: &[Column]) -> usize {
        match self {
            Self::Postgres => columns.len(),
            Self::Sqlite => 1,
        }
    }

    /// The table `batch`, made of the first parameters of a statement: on PostgreSQL an array for each column, on SQLite
    /// a JSON array of rows.
    pub(super) fn batch_table(self, columns: &[Column]) -> String {
        let all = || columns.iter().enumerate();
        match self {
            Self::Postgres => {
                let arrays: Vec<String> =
                    all().map(|(at, column)| format!("${}::{}[]", at + 1, column.sql_type)).collect();
                let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
                format!("unnest({}) AS batch({})", arrays.join(", "), names.join(", "))
            }
            Self::Sqlite => {
                let picked: Vec<String> =
                    all().map(|(at, column)| format!("value ->> {at} AS {}", column.name)).collect();
                format!("(SELECT {} FROM json_each($1)) AS batch", picked.join(", "))
            }
        }
    }
}
