//! What follows from a report, given what is stored of the same alert. Pure: one table.
//!
//! Versions are what everybody downstream tells changes by: what is not news has none, what is worse or says something
//! else is the next one, and nobody is chased for less.

use serde_json::{Map, Value};
use watchbell::domain::{Severity, Status};

/// What is stored of the alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    pub version: u32,
    pub status: Status,
    pub severity: Severity,
    /// As [`super::report::says`] has it.
    pub says: Map<String, Value>,
    /// Whether its source suppressed it by itself, so that the source may take that back. What people put off, only they
    /// and time do.
    pub is_suppressed_by_source: bool,
}

/// What the report says.
#[derive(Debug, Clone, Copy)]
pub struct Now<'a> {
    pub status: Status,
    pub severity: Severity,
    pub says: &'a Map<String, Value>,
    pub is_change: bool,
    pub needs_stored: bool,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is known.
    Unchanged,
    /// Nothing: there is nothing that it could change.
    Unknown,
    /// Nothing, although it is news: there is no later version.
    NoneLeft,
    /// What is stored, under its own version: those who hold it hear nothing, those who joined the audience do.
    Again,
    /// The report, as this version and with this status.
    Told(u32, Status),
    /// What is stored with this status, as this version.
    Changed(u32, Status),
}

/// What follows.
#[allow(clippy::match_same_arms)] // A table: a row for each case, in the order they are thought of.
pub fn next(now: Now<'_>, before: Option<&Before>) -> Next {
    let Some(before) = before else {
        return match now.status {
            _ if now.needs_stored => Next::Unknown,
            Status::Firing => Next::Told(1, Status::Firing),
            // What it ends may be on its way, and then is the older.
            status => Next::Told(2, status),
        };
    };
    let told = |status| match (before.version.checked_add(1), now.is_change) {
        (None, _) => Next::NoneLeft,
        (Some(version), true) => Next::Changed(version, status),
        (Some(version), false) => Next::Told(version, status),
    };
    match (now.status, before.status) {
        // It is over, it is in somebody's hands: known, or too late.
        (Status::Resolved, Status::Resolved)
        | (Status::Acknowledged, Status::Acknowledged | Status::Resolved)
        | (Status::Suppressed, Status::Suppressed | Status::Resolved) => Next::Unchanged,
        (Status::Resolved, _) | (Status::Acknowledged | Status::Suppressed, _) => told(now.status),
        (Status::Firing, Status::Resolved) => told(Status::Firing),
        (Status::Firing, Status::Firing) if now.is_change || now.says == &before.says => Next::Again,
        (Status::Firing, Status::Firing) => told(Status::Firing),
        (Status::Firing, Status::Suppressed) if before.is_suppressed_by_source => told(Status::Firing),
        // Somebody took it on, or it was put off, and it goes on; when it is worse, that no longer holds.
        (Status::Firing, _) if now.severity > before.severity => told(Status::Firing),
        (Status::Firing, _) if now.is_change || now.says == &before.says => Next::Unchanged,
        (Status::Firing, held) => told(held),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(text: &str, severity: Severity) -> Map<String, Value> {
        Map::from_iter([("title".to_owned(), json!(text)), ("severity".to_owned(), json!(severity.as_str()))])
    }

    #[test]
    fn a_report_is_the_next_version_or_nothing_by_this_table() {
        use Next::{Again, Changed, NoneLeft, Told, Unchanged, Unknown};
        use Severity::{Critical, Warning};
        use Status::{Acknowledged, Firing, Resolved, Suppressed};
        let (same, other) = ("disk 80 %", "disk 99 %");
        for (why, now, before, expected) in [
            ("the first", (Firing, Warning, same), None, Told(1, Firing)),
            ("its end, before it was recorded", (Resolved, Warning, same), None, Told(2, Resolved)),
            ("in hand, before it was recorded", (Acknowledged, Warning, same), None, Told(2, Acknowledged)),
            ("again", (Firing, Warning, same), Some((1, Firing, Warning)), Again),
            ("something else", (Firing, Warning, other), Some((1, Firing, Warning)), Told(2, Firing)),
            ("worse", (Firing, Critical, same), Some((1, Firing, Warning)), Told(2, Firing)),
            ("less", (Firing, Warning, other), Some((1, Firing, Critical)), Told(2, Firing)),
            ("its end", (Resolved, Warning, same), Some((1, Firing, Warning)), Told(2, Resolved)),
            ("its end again", (Resolved, Warning, other), Some((2, Resolved, Warning)), Unchanged),
            ("anew", (Firing, Warning, same), Some((2, Resolved, Warning)), Told(3, Firing)),
            (
                "somebody is at it",
                (Acknowledged, Warning, same),
                Some((1, Firing, Warning)),
                Told(2, Acknowledged),
            ),
            ("said twice", (Acknowledged, Warning, same), Some((2, Acknowledged, Warning)), Unchanged),
            ("in hand, too late", (Acknowledged, Warning, same), Some((2, Resolved, Warning)), Unchanged),
            ("in hand, it goes on", (Firing, Warning, same), Some((2, Acknowledged, Warning)), Unchanged),
            (
                "in hand, it says something else",
                (Firing, Warning, other),
                Some((2, Acknowledged, Warning)),
                Told(3, Acknowledged),
            ),
            (
                "in hand, and worse",
                (Firing, Critical, other),
                Some((2, Acknowledged, Warning)),
                Told(3, Firing),
            ),
            ("put off, it goes on", (Firing, Warning, same), Some((2, Suppressed, Warning)), Unchanged),
            ("put off, and worse", (Firing, Critical, same), Some((2, Suppressed, Warning)), Told(3, Firing)),
            ("put off, over", (Resolved, Warning, same), Some((2, Suppressed, Warning)), Told(3, Resolved)),
            (
                "silenced at the source",
                (Suppressed, Warning, same),
                Some((1, Firing, Warning)),
                Told(2, Suppressed),
            ),
            (
                "put off, somebody is at it",
                (Acknowledged, Warning, same),
                Some((2, Suppressed, Warning)),
                Told(3, Acknowledged),
            ),
            ("no number is left", (Resolved, Warning, same), Some((u32::MAX, Firing, Warning)), NoneLeft),
            ("no number is needed", (Firing, Warning, same), Some((u32::MAX, Firing, Warning)), Again),
        ] {
            let before = before.map(|(version, status, severity)| Before {
                version,
                status,
                severity,
                says: says(same, severity),
                is_suppressed_by_source: false,
            });
            let (status, severity, text) = now;
            let said = says(text, severity);
            let now = Now { status, severity, says: &said, is_change: false, needs_stored: false };
            assert_eq!(next(now, before.as_ref()), expected, "{why}");

            // The same by a report that only says what happened.
            let kept = match expected {
                Told(version, status) if before.is_some() => Changed(version, status),
                other => other,
            };
            if text == same && severity == Warning {
                assert_eq!(next(Now { is_change: true, ..now }, before.as_ref()), kept, "{why}");
            }
            let unknown = if before.is_none() { Unknown } else { expected };
            assert_eq!(next(Now { needs_stored: true, ..now }, before.as_ref()), unknown, "{why}");
        }
    }

    #[test]
    fn a_source_takes_back_what_it_suppressed_itself() {
        use Next::{Changed, Told, Unchanged};
        for (why, is_suppressed_by_source, is_change, now, expected) in [
            ("archived, then unresolved", true, false, Status::Firing, Told(3, Status::Firing)),
            ("the same by a report of what happened", true, true, Status::Firing, Changed(3, Status::Firing)),
            ("suppressed again", true, false, Status::Suppressed, Unchanged),
            ("put off by hand, it goes on", false, false, Status::Firing, Unchanged),
        ] {
            let said = says("down", Severity::Warning);
            let before = Before {
                version: 2,
                status: Status::Suppressed,
                severity: Severity::Warning,
                says: said.clone(),
                is_suppressed_by_source,
            };
            let now =
                Now { status: now, severity: Severity::Warning, says: &said, is_change, needs_stored: false };
            assert_eq!(next(now, Some(&before)), expected, "{why}");
        }
    }
}
