//! Alerts by page, newest first: those of a tenant, and those of one person.
//!
//! Each page is read along one index and has a bound. What alerts say is not looked into: whoever asks filters.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{Failure, Store, StoreError, int, maybe_text, stored_name, summaries::of_user, text, time, word};
use crate::domain::{AlertId, Severity, Status, Tenant, Timestamp, UserKey};

/// An alert on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAlert {
    /// Which.
    pub alert: AlertId,
    /// What it says of itself.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// When its first version was recorded; of a person's, when it came to them.
    pub recorded_at: Timestamp,
    /// What clients are given, encoded.
    pub content: String,
    /// Which key made it, if one did.
    pub maker: Option<Arc<str>>,
    /// Where the next page begins.
    pub place: AlertPlace,
}

/// A place between two alerts: before it are those that are newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPlace {
    /// The time in milliseconds; of a person's inbox, the change number.
    pub number: i64,
    /// Among those of the same number.
    pub alert: String,
}

impl AlertPlace {
    /// Before everything.
    pub fn first() -> Self {
        Self { number: i64::MAX, alert: String::new() }
    }

    /// Behind everything that was recorded after this time.
    pub fn until(until: Timestamp) -> Self {
        Self { number: until.as_millisecond().saturating_add(1), alert: String::new() }
    }
}

impl Store {
    /// Alerts of a tenant, newest first, behind `place` and none that was recorded before `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alerts_page(
        &self,
        tenant: &Tenant,
        place: &AlertPlace,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<ListedAlert>, StoreError> {
        self.in_time("alerts_page", async {
            // `recorded_at_ms > 0` names the index `alerts_in_order` (migration 25). What was deleted has nothing to say any more.
            let rows = sqlx::query(
                "SELECT alert_id, severity, status, recorded_at_ms, content, maker, recorded_at_ms AS place FROM alerts
                 WHERE tenant = $1 AND recorded_at_ms > 0 AND deleted_at_ms IS NULL AND recorded_at_ms >= $2
                     AND (recorded_at_ms, alert_id) < ($3, $4)
                 ORDER BY recorded_at_ms DESC, alert_id DESC LIMIT $5",
            )
            .bind(tenant.as_str())
            .bind(since.map_or(0, Timestamp::as_millisecond))
            .bind(place.number)
            .bind(place.alert.clone())
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(listed_of).collect()
        })
        .await
    }

    /// Alerts of one person, by their last change in that inbox, newest first, behind `place`: `limit` or a few more, unless there are
    /// no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alerts_page_of(
        &self,
        user: &UserKey,
        place: &AlertPlace,
        limit: usize,
    ) -> Result<Vec<ListedAlert>, StoreError> {
        self.in_time("alerts_page_of", async {
            // Rows of one receipt share a number. Those of the place itself come first, and then those of lower ones, of which the
            // last is read whole. The rows are picked before the alerts are looked up; `seq > 0` names `inbox_by_change`.
            let same = of_user(
                sqlx::query(
                    "SELECT a.alert_id, a.severity, a.status, page.recorded_at_ms, a.content, a.maker, page.seq AS place
                     FROM (SELECT tenant, alert_id, seq, recorded_at_ms FROM inbox
                           WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq = $3 AND alert_id < $4) AS page
                     CROSS JOIN alerts a WHERE a.tenant = page.tenant AND a.alert_id = page.alert_id
                     ORDER BY a.alert_id DESC",
                ),
                user,
            );
            let mut rows =
                same.bind(place.number).bind(place.alert.clone()).fetch_all(&self.read).await?;
            let lower = of_user(
                sqlx::query(
                    "SELECT a.alert_id, a.severity, a.status, page.recorded_at_ms, a.content, a.maker, page.seq AS place
                     FROM (SELECT tenant, alert_id, seq, recorded_at_ms FROM inbox
                           WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq < $3 AND seq >= coalesce(
                               (SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq < $3
                                ORDER BY seq DESC LIMIT 1 OFFSET $4 - 1), 0)) AS page
                     CROSS JOIN alerts a WHERE a.tenant = page.tenant AND a.alert_id = page.alert_id
                     ORDER BY page.seq DESC, a.alert_id DESC",
                ),
                user,
            );
            rows.extend(lower.bind(place.number).bind(limit as i64).fetch_all(&self.read).await?);
            rows.iter().map(listed_of).collect()
        })
        .await
    }
}

fn listed_of(row: &AnyRow) -> Result<ListedAlert, Failure> {
    let alert = stored_name!(row, "alert_id", AlertId);
    Ok(ListedAlert {
        severity: word(row, "severity")?,
        status: word(row, "status")?,
        recorded_at: time(row, "recorded_at_ms")?,
        content: text(row, "content")?,
        maker: maybe_text(row, "maker")?.map(Into::into),
        place: AlertPlace { number: int(row, "place")?, alert: alert.to_string() },
        alert,
    })
}
