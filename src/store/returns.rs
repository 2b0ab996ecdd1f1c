//! Suppressed alerts that fire again by themselves: found when their `dismissed_until` has passed.
//!
//! Such an alert is recorded as its own next version, by [`Store::record`], which gives its holders to whoever expands
//! audiences. A later version of its producer that comes first has taken that number, and wins.

use sqlx::any::AnyRow;

use super::{LatestAlert, Store, StoreError, latest_alert::latest_of, stored_name};
use crate::domain::{AlertId, Tenant, Timestamp};

/// Alerts that are found at a time.
pub const RETURNS_MAX: usize = 100;

/// A suppressed alert whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReturn {
    /// The tenant whose alert it is.
    pub tenant: Tenant,
    /// The id of the alert.
    pub alert: AlertId,
    /// What it says until then.
    pub latest: LatestAlert,
}

impl Store {
    /// The first alerts that are to fire again, at most [`RETURNS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_returns(&self, now: Timestamp) -> Result<Vec<DueReturn>, StoreError> {
        self.in_time("due_returns", async {
            let found = sqlx::query(
                "SELECT tenant, alert_id, version, severity, status, content, policy, maker FROM alerts
                 WHERE returns_at_ms <= $1 ORDER BY returns_at_ms LIMIT $2",
            )
            .bind(now.as_millisecond())
            .bind(RETURNS_MAX as i64)
            .fetch_all(&self.read)
            .await?;
            let due = |row: &AnyRow| {
                Ok(DueReturn {
                    tenant: stored_name!(row, "tenant", Tenant),
                    alert: stored_name!(row, "alert_id", AlertId),
                    latest: latest_of(row)?,
                })
            };
            found.iter().map(due).collect()
        })
        .await
    }

    /// Puts a return off that cannot be recorded: it is tried again at `until`, and holds up nobody else's meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_off_return(&self, due: &DueReturn, until: Timestamp) -> Result<(), StoreError> {
        writing!(self, "put_off_return", |tx| {
            sqlx::query(
                "UPDATE alerts SET returns_at_ms = $4
                 WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND returns_at_ms IS NOT NULL",
            )
            .bind(due.tenant.as_str())
            .bind(due.alert.as_str())
            .bind(i64::from(due.latest.version))
            .bind(until.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }
}
