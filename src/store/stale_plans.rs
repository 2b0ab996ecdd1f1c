//! Connections whose prepared statements a migration has made useless.
//!
//! PostgreSQL refuses to run a prepared statement whose columns are others by now: one that reads `*` of a table which got a
//! column, and that for as long as the connection lives. While a fleet is upgraded this happens to every pod of the version before.
//! So a connection that is older than such a refusal is not used again, and whoever was refused begins anew on another one.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When a statement was refused last because it was prepared for other columns.
#[derive(Default)]
pub(super) struct StalePlans(Mutex<Option<Instant>>);

impl StalePlans {
    /// Notes such a refusal; others say nothing about connections.
    pub(super) fn note(&self, error: &sqlx::Error, now: Instant) {
        if is_stale_plan(error) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }

    /// Whether a connection that was made so long ago may have been made before the last refusal.
    pub(super) fn are_on(&self, age: Duration, now: Instant) -> bool {
        let refused = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|refused| now.saturating_duration_since(refused) <= age)
    }
}

/// Whether a statement was refused because it was prepared for other columns. PostgreSQL's code for it is that of what it cannot do, and
/// the store asks for nothing else that it cannot do; the text depends on the server's language.
pub(super) fn is_stale_plan(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("0A000")
}

#[test]
fn connections_from_before_the_refusal_go_and_others_stay() {
    let (plans, refused) = (StalePlans::default(), Instant::now());
    let at = |secs| refused + Duration::from_secs(secs);
    assert!(!plans.are_on(Duration::from_secs(100), at(0)), "nothing was refused");
    plans.note(&sqlx::Error::PoolTimedOut, at(0));
    assert!(!plans.are_on(Duration::from_secs(100), at(0)), "not because of a plan");
    *plans.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
    for (why, age, now, expected) in [
        ("made before", 5, 2, true),
        ("made in the same moment", 2, 2, true),
        ("made after", 1, 2, false),
        ("made long after", 1, 200, false),
        ("as old as can be", 500, 200, true),
    ] {
        assert_eq!(plans.are_on(Duration::from_secs(age), at(now)), expected, "{why}");
    }
}
