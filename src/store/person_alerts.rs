//! The alerts of one person by when they came, newest first, and what became of each.
//!
//! What holds here:
//! - A page is read along the index `inbox_by_arrival`, whatever the length of the person's history.
//! - What became of an alert is read by its key, with a bound on each kind of row. It is told as a timeline tells it (`timeline.rs`).

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{
    AlertPlace, Failure, Store, StoreError, inbox_rows::standing_of, int, maybe_text, stored_name,
    summaries::of_user, text, time, word,
};
use crate::domain::{AlertId, InboxState, Severity, Status, Timestamp, UserKey, explanation::Recipient};

/// An alert of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonAlert {
    /// Which.
    pub alert: AlertId,
    /// The version that their inbox shows.
    pub version: u32,
    /// What that version says of itself.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// What the person did with it.
    pub state: InboxState,
    /// When it last came to them while it was firing.
    pub came_at: Timestamp,
    /// What clients are given, encoded.
    pub content: String,
    /// Which key made it, if one did.
    pub maker: Option<Arc<str>>,
    /// Where the next page begins.
    pub place: AlertPlace,
}

/// Attempts, notes, and versions that are read of one alert for its line: the last ones of each.
const READ_FOR_LINE_MAX: usize = 50;

impl Store {
    /// Alerts of one person by when they came, newest first: behind `place`, and none that came before `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alerts_of_person(
        &self,
        user: &UserKey,
        place: &AlertPlace,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<PersonAlert>, StoreError> {
        self.in_time("alerts_of_person", async {
            // `recorded_at_ms > 0` names the index. The rows are picked before the alerts are looked up. That they are not newer than the
            // place is said twice, because SQLite does not search an expression's index by two columns at once.
            let page = of_user(
                sqlx::query(
                    "SELECT page.alert_id, page.version, page.severity, page.status, page.state, page.snoozed_until_ms,
                         page.came_at_ms, a.content, a.maker
                     FROM (SELECT tenant, alert_id, version, severity, status, state, snoozed_until_ms,
                               coalesce(came_at_ms, recorded_at_ms) AS came_at_ms
                           FROM inbox
                           WHERE tenant = $1 AND user_id || '' = $2 AND recorded_at_ms > 0
                               AND coalesce(came_at_ms, recorded_at_ms) >= $3
                               AND coalesce(came_at_ms, recorded_at_ms) <= $4
                               AND (coalesce(came_at_ms, recorded_at_ms), alert_id) < ($4, $5)
                           ORDER BY coalesce(came_at_ms, recorded_at_ms) DESC, alert_id DESC LIMIT $6) AS page
                     CROSS JOIN alerts a WHERE a.tenant = page.tenant AND a.alert_id = page.alert_id
                     ORDER BY page.came_at_ms DESC, page.alert_id DESC",
                ),
                user,
            );
            let page = page
                .bind(since.as_millisecond())
                .bind(place.number)
                .bind(place.alert.clone())
                .bind(limit as i64);
            page.fetch_all(&self.read).await?.iter().map(alert_of).collect()
        })
        .await
    }

    /// What became of one alert for this person, as far as a line tells it; none if it is not theirs any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn told_in_line(
        &self,
        user: &UserKey,
        alert: &AlertId,
    ) -> Result<Option<Recipient>, StoreError> {
        let versions = self.versions(&user.tenant, alert, READ_FOR_LINE_MAX).await?;
        self.recipient(&user.tenant, alert, user.user.clone(), &versions, READ_FOR_LINE_MAX).await
    }
}

fn alert_of(row: &AnyRow) -> Result<PersonAlert, Failure> {
    let (alert, came_at) = (stored_name!(row, "alert_id", AlertId), time(row, "came_at_ms")?);
    Ok(PersonAlert {
        version: u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?,
        severity: word(row, "severity")?,
        status: word(row, "status")?,
        state: standing_of(row)?.state,
        came_at,
        content: text(row, "content")?,
        maker: maybe_text(row, "maker")?.map(Into::into),
        place: AlertPlace { number: came_at.as_millisecond(), alert: alert.to_string() },
        alert,
    })
}
