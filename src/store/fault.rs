//! Why the store does not work, in plain words: what `/readyz` and the log say of an SQL error.
//!
//! A database's own message may name the user, the host or a value, so none is passed on (I12).

use std::io;

use super::{database_file::moved, dialect::Engine};
use crate::runtime::health::{Fault, chain};

/// The cause of `error`, with its remedy.
pub(super) fn fault_of(engine: Engine, error: &sqlx::Error) -> Fault {
    match (engine, error) {
        (Engine::Postgres, sqlx::Error::Io(error)) => Fault::of_io("PostgreSQL", "store.url", error),
        (Engine::Postgres, sqlx::Error::Tls(_)) => Fault::new(
            "PostgreSQL cannot be reached: the TLS connection cannot be made (store.url)",
            "the server must speak TLS and show a certificate that this machine trusts, or store.url ask for another sslmode",
        ),
        (Engine::Postgres, sqlx::Error::Database(error)) => {
            of_postgres(error.code().as_deref().unwrap_or_default())
        }
        (Engine::Sqlite, sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => moved(),
        (Engine::Sqlite, sqlx::Error::Database(error)) => {
            of_sqlite(error.code().and_then(|code| code.parse().ok()).unwrap_or_default())
        }
        (_, sqlx::Error::PoolTimedOut) => Fault::passing("the store does not answer in time"),
        (_, sqlx::Error::Configuration(_)) => {
            Fault::new("store.url cannot be used", "write it as postgres://user:password@host/database")
        }
        (_, error) if chain(error).contains("password") => password(),
        (_, sqlx::Error::Protocol(_)) => Fault::new(
            "what answers at store.url does not speak as a database does",
            "correct the host and the port in store.url",
        ),
        _ => Fault::passing("the store does not answer as it should"),
    }
}

fn password() -> Fault {
    Fault::new(
        "PostgreSQL refuses the user or the password",
        "correct the user and the password in store.url",
    )
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_postgres(code: &str) -> Fault {
    match code {
        "28P01" => password(),
        "28000" => Fault::new(
            "PostgreSQL refuses the user, or connections of this user from here (pg_hba.conf)",
            "correct the user in store.url, or let it in in pg_hba.conf",
        ),
        "3D000" => Fault::new(
            "the database in store.url does not exist",
            "create it, or correct its name in store.url",
        ),
        "42501" => Fault::new(
            "the store's user may not read and write all of Watchbell's tables",
            "grant SELECT, INSERT, UPDATE and DELETE on them to the user in store.url",
        ),
        "53300" => Fault::new(
            "PostgreSQL has no connection left",
            "raise its max_connections, or lower store.connections_max",
        ),
        "53100" => Fault::new("PostgreSQL's disk is full", "give it room"),
        "57P03" => Fault::passing(
            "PostgreSQL takes no connections yet, or no more: it is starting, recovering or shutting down",
        ),
        "57P01" | "57P02" => Fault::passing("PostgreSQL is shutting down"),
        code => Fault::passing(format!("PostgreSQL refuses what it is asked (SQLSTATE {code})")),
    }
}

/// By primary result code: <https://www.sqlite.org/rescode.html>.
fn of_sqlite(code: i32) -> Fault {
    match code & 0xff {
        5 | 6 => Fault::passing("the SQLite file is locked by another process"),
        8 => Fault::new("the SQLite file cannot be written", "make it and its folder writable for this user"),
        11 | 26 => Fault::new("the SQLite file is damaged, or is none", "restore it from a backup"),
        13 => Fault::new("the disk of the SQLite file is full", "give it room"),
        14 => Fault::new("the SQLite file cannot be opened", "correct its path and its rights"),
        code => Fault::passing(format!("SQLite refuses what it is asked (code {code})")),
    }
}

#[test]
fn a_cause_is_told_from_its_code_and_holds_no_name() {
    for (code, expected) in [
        ("28P01", "PostgreSQL refuses the user or the password"),
        ("28000", "pg_hba.conf"),
        ("3D000", "does not exist"),
        ("42501", "may not read and write"),
        ("53300", "no connection left"),
        ("57P03", "it is starting"),
        ("XX000", "SQLSTATE XX000"),
    ] {
        assert!(of_postgres(code).cause.contains(expected), "{code}: {}", of_postgres(code).cause);
    }
    // 522 is SQLITE_IOERR_SHORT_READ, 1032 SQLITE_READONLY_DBMOVED: the lowest byte is the kind.
    for (code, expected) in
        [(14, "opened"), (1032, "written"), (26, "damaged"), (261, "locked"), (522, "code 10")]
    {
        assert!(of_sqlite(code).cause.contains(expected), "{code}: {}", of_sqlite(code).cause);
    }
}
