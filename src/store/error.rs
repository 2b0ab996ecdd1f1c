//! What went wrong, by what the caller can do about it: wait, give this value up, or have the store mended.
//!
//! What holds here:
//! - [`kind_of`] is the one place that knows the codes of PostgreSQL and SQLite, and its table is its test.
//! - Only what would be refused again, with the same value, on a store in good health, is [`StoreError::Refused`]: whoever
//!   hears that gives the value up, so nothing that a restart, a migration or an operator can mend may be among it.
//! - A refusal names its code and the rule it broke. The engine's own words may repeat the value, so they stay here (I12).

use std::{fmt, io};

use crate::{
    runtime::http::{self, FailureKind},
    store::OPERATION_TIMEOUT,
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, not in time, or is not in a state to work. Nothing was done, or nobody knows: repeat it.
    #[error("the store is not available: {source}")]
    Unavailable {
        /// What the driver said.
        source: sqlx::Error,
    },
    /// It works, and does not take this. Nothing was done, and the same would be refused again.
    #[error("the store refuses this ({refusal}), and would refuse it again")]
    Refused {
        /// By which rule.
        refusal: Refusal,
    },
    /// A row holds what this version of Watchbell cannot read.
    #[error(
        "the store holds a {what} that this version cannot read: run `watchbell migrate`, or a newer Watchbell"
    )]
    Unreadable {
        /// Which field.
        what: &'static str,
    },
}

/// The rule by which a store refused something; never what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The SQLSTATE, or SQLite's extended result code. Ours, where we knew before the engine was asked.
    pub code: Box<str>,
    /// The constraint of the schema that was broken, where the engine names one.
    pub constraint: Option<Box<str>>,
}

impl Refusal {
    /// A text with a NUL in it. PostgreSQL stores none, and SQLite would cut some off there: neither is asked. The code
    /// is PostgreSQL's for it.
    pub(super) fn nul() -> Self {
        Self { code: "22021".into(), constraint: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        match &self.constraint {
            Some(constraint) => write!(f, ", constraint {constraint}"),
            None => Ok(()),
        }
    }
}

impl StoreError {
    /// Whether the store is away: then readiness tells the log, once for all who wait.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// No answer came within the time of an operation.
    pub(super) fn too_slow() -> Self {
        let why = format!("no answer within {OPERATION_TIMEOUT:?}");
        Self::Unavailable { source: sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why)) }
    }
}

impl http::Failure for StoreError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable { .. } => FailureKind::StoreUnavailable,
            Self::Refused { .. } => FailureKind::Refused,
            Self::Unreadable { .. } => FailureKind::Unreadable,
        }
    }
}

/// What goes wrong inside an operation.
pub(super) enum Failure {
    Sql(sqlx::Error),
    Refused(Refusal),
    Unreadable(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => error.into(),
            Failure::Refused(refusal) => Self::Refused { refusal },
            Failure::Unreadable(what) => Self::Unreadable { what },
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let refused = |code: &str, constraint: Option<&str>| Self::Refused {
            refusal: Refusal { code: code.into(), constraint: constraint.map(Into::into) },
        };
        match &error {
            sqlx::Error::Database(said) => match said.code() {
                Some(code) if kind_of(&code) == ErrorClass::Refused => refused(&code, said.constraint()),
                Some(_) | None => Self::Unavailable { source: error },
            },
            // The driver would not even send it.
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => refused("encode", None),
            // A column that is missing, null or of another type than this version has.
            sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::RowNotFound => Self::Unreadable { what: "row" },
            // Connections, TLS, pools, settings: an operator or time mends it. `sqlx::Error` may grow; what is not
            // known is held, not given up.
            _ => Self::Unavailable { source: error },
        }
    }
}

/// Two transactions wanted the same rows and this one has to begin again: deadlock, serialization failure and unique
/// violation of PostgreSQL (its statements do not see what another is just inserting), busy of SQLite.
///
/// A unique violation that is still there after all tries was none of a race; then [`kind_of`] says what it is.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40P01" | "40001" | "23505" | "5" | "261" | "517"))
}

/// What a code of an engine asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorClass {
    /// Wait, and repeat it.
    Unavailable,
    /// Give the value up.
    Refused,
}

/// Five characters are a SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>); anything else is a
/// number of SQLite (<https://sqlite.org/rescode.html>).
fn kind_of(code: &str) -> ErrorClass {
    match code.len() {
        5 => kind_of_sqlstate(&code[..code.floor_char_boundary(2)]),
        _ => kind_of_sqlite(code.parse().unwrap_or(0)),
    }
}

/// By class, which is its first two characters.
fn kind_of_sqlstate(class: &str) -> ErrorClass {
    match class {
        // Two rows of one batch for one key; a value of the wrong form, size or alphabet; a constraint; a trigger or a
        // view's check; a limit that only the value can reach (an index entry too large, an expression too deep); what
        // an operator's own trigger raised.
        "21" | "22" | "23" | "27" | "44" | "54" | "09" | "P0" => ErrorClass::Refused,
        // 42 is a mistake in the statement or a migration that was not run. It speaks of the statement, not of the value:
        // it hits every alert alike, and giving them all up because a setup job is late would be the worst answer.
        // 08, 28, 3D, 53, 55, 57, 58 pass or an operator mends them; 25 is a standby that was promoted late or early;
        // 40 was a race; 0A and 26 are statements prepared before a migration or behind a pooler; F0, XX are a broken
        // server: its values are safe in the queue until it is restored. An unknown class is held as well.
        _ => ErrorClass::Unavailable,
    }
}

/// By primary code, which is the lowest byte of an extended one.
fn kind_of_sqlite(code: i32) -> ErrorClass {
    match code & 0xff {
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE: of the value.
        18 | 19 | 20 | 25 => ErrorClass::Refused,
        // 1, ERROR, is a statement that does not fit the schema, as class 42. BUSY, LOCKED, PROTOCOL and SCHEMA pass.
        // PERM, READONLY, IOERR, FULL, CANTOPEN, NOMEM, NOLFS, AUTH are the operator's, and so are CORRUPT, NOTADB and
        // FORMAT: no value is at fault, and every value would seem to be.
        _ => ErrorClass::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whether_the_value_or_the_store_is_at_fault() {
        use ErrorClass::{Refused, Unavailable};
        for (why, code, expected) in [
            ("PostgreSQL: two rows of one batch for one key", "21000", Refused),
            ("a text with a NUL, bound", "22021", Refused),
            ("a text with a NUL, inside JSON", "22P05", Refused),
            ("a number that does not fit", "22003", Refused),
            ("not null", "23502", Refused),
            ("a check", "23514", Refused),
            ("unique, after all tries", "23505", Refused),
            ("a view's check option", "44000", Refused),
            ("an index entry too large", "54000", Refused),
            ("a trigger's own exception", "P0001", Refused),
            ("the connection is gone", "08006", Unavailable),
            ("a statement prepared before a migration", "0A000", Unavailable),
            ("a standby takes no writes", "25006", Unavailable),
            ("a wrong password is the operator's", "28P01", Unavailable),
            ("the database is not there yet", "3D000", Unavailable),
            ("deadlock, after all tries", "40P01", Unavailable),
            ("no such table: the migration was not run", "42P01", Unavailable),
            ("no such column: the same", "42703", Unavailable),
            ("no right to do it", "42501", Unavailable),
            ("the disk is full", "53100", Unavailable),
            ("too many connections", "53300", Unavailable),
            ("a lock that was not let go in time", "55P03", Unavailable),
            ("the statement took too long", "57014", Unavailable),
            ("it is shutting down", "57P01", Unavailable),
            ("an error of its disk", "58030", Unavailable),
            ("its data are damaged", "XX001", Unavailable),
            ("a class nobody knows", "ZZ000", Unavailable),
            ("SQLite: a check", "275", Refused),
            ("not null", "1299", Refused),
            ("unique", "2067", Refused),
            ("a trigger", "1811", Refused),
            ("a value too large", "18", Refused),
            ("a value of another type", "20", Refused),
            ("no such table", "1", Unavailable),
            ("busy", "5", Unavailable),
            ("busy, for a snapshot that is old", "517", Unavailable),
            ("locked", "6", Unavailable),
            ("the file may not be written", "8", Unavailable),
            ("an error of the disk, writing", "778", Unavailable),
            ("the disk is full", "13", Unavailable),
            ("the file cannot be opened", "14", Unavailable),
            ("the file is damaged", "11", Unavailable),
            ("the file is no database", "26", Unavailable),
            ("no code at all", "", Unavailable),
            ("five bytes of something else", "1é23", Unavailable),
        ] {
            assert_eq!(kind_of(code), expected, "{why} ({code})");
        }
    }

    #[test]
    fn an_error_of_the_driver_is_classified_too() {
        let kind = |error: sqlx::Error| match StoreError::from(error) {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Refused { .. } => "refused",
            StoreError::Unreadable { .. } => "unreadable",
        };
        for (why, error, expected) in [
            ("the pool is exhausted", sqlx::Error::PoolTimedOut, "unavailable"),
            ("the pool was closed", sqlx::Error::PoolClosed, "unavailable"),
            ("no connection", sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()), "unavailable"),
            ("it cannot be encoded", sqlx::Error::Encode("too long".into()), "refused"),
            ("it cannot be decoded", sqlx::Error::Decode("null".into()), "unreadable"),
            ("a row that has to be there is not", sqlx::Error::RowNotFound, "unreadable"),
        ] {
            assert_eq!(kind(error), expected, "{why}");
        }
    }

    #[test]
    fn a_refusal_says_which_code_and_rule_and_nothing_else() {
        let refusal = Refusal { code: "23514".into(), constraint: Some("alerts_check".into()) };
        let error = StoreError::Refused { refusal };
        assert_eq!(
            error.to_string(),
            "the store refuses this (code 23514, constraint alerts_check), and would refuse it again"
        );
    }
}
