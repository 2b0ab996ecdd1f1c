//! Alerts for groups or for everyone, which may have left somebody out.
//!
//! Whom an alert was for is noted when it is recorded: everyone, and the first of its groups. People that it names are not noted.
//! Who was in a group then is not kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::{
    Failure, Store, StoreError, maybe_int, maybe_text, stored_name, summaries::of_user, text, time, word,
};
use crate::domain::{
    AlertId, Audience, GroupId, Severity, Status, Timestamp, UserKey, left_out::NotedAudience,
};

/// Groups of one alert that are noted: the first ones.
pub const GROUPS_NOTED_MAX: usize = 20;

/// What is kept of an audience.
#[derive(Serialize, Deserialize)]
struct KeptAudience {
    everyone: bool,
    groups: Vec<String>,
    more: usize,
}

/// Whom an alert is for besides those it names, as it is kept; none when that is nobody.
pub(super) fn noted(audience: &Audience) -> Option<String> {
    let groups: Vec<String> = audience.groups.iter().take(GROUPS_NOTED_MAX).map(GroupId::to_string).collect();
    let more = audience.groups.len() - groups.len();
    let kept = KeptAudience { everyone: audience.everyone, groups, more };
    let is_for_many = kept.everyone || !kept.groups.is_empty();
    // Text and numbers under text keys always serialize.
    is_for_many.then(|| serde_json::to_string(&kept).unwrap_or_default())
}

/// Whether an audience as it is kept is everyone, and perhaps others.
pub(super) fn is_for_everyone(kept: &str) -> bool {
    serde_json::from_str(kept).is_ok_and(|kept: KeptAudience| kept.everyone)
}

/// An alert for a group or for everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertForMany {
    /// Which.
    pub alert: AlertId,
    /// What it says of itself.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// When the version that is shown was recorded.
    pub recorded_at: Timestamp,
    /// What clients are given, encoded.
    pub content: String,
    /// Which key made it, if one did.
    pub maker: Option<Arc<str>>,
    /// Whom it was for, besides those it named.
    pub audience: NotedAudience,
    /// Whether the person has it.
    pub is_theirs: bool,
    /// Whether its audience is still being gone through.
    pub is_spreading: bool,
}

impl Store {
    /// The newest alerts of the tenant that were for a group or for everyone and were recorded from `since` to `until`, each with
    /// whether this person has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alerts_for_many(
        &self,
        user: &UserKey,
        since: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<AlertForMany>, StoreError> {
        self.in_time("alerts_for_many", async {
            // The alerts are picked before it is looked up who has them; only then is read what those say which somebody lacks.
            let page = of_user(
                sqlx::query(
                    "SELECT page.alert_id, page.severity, page.status, page.recorded_at_ms, page.maker, page.audience, page.theirs,
                         page.spreading,
                         CASE WHEN page.theirs IS NULL THEN (SELECT a.content FROM alerts a
                             WHERE a.tenant = page.tenant AND a.alert_id = page.alert_id) ELSE '' END AS content
                     FROM (SELECT m.tenant, m.alert_id, m.severity, m.status, m.maker, m.audience,
                               coalesce(m.latest_at_ms, m.recorded_at_ms) AS recorded_at_ms,
                               (SELECT i.seq FROM inbox i WHERE i.tenant = m.tenant AND i.user_id = $2
                                    AND i.alert_id = m.alert_id) AS theirs,
                               (SELECT e.version FROM expansions e WHERE e.tenant = m.tenant AND e.alert_id = m.alert_id
                                    LIMIT 1) AS spreading
                           FROM alerts m
                           WHERE m.tenant = $1 AND m.audience IS NOT NULL AND m.deleted_at_ms IS NULL
                               AND coalesce(m.latest_at_ms, m.recorded_at_ms) >= $3
                               AND coalesce(m.latest_at_ms, m.recorded_at_ms) <= $4
                           ORDER BY coalesce(m.latest_at_ms, m.recorded_at_ms) DESC, m.alert_id DESC LIMIT $5) AS page
                     ORDER BY page.recorded_at_ms DESC, page.alert_id DESC",
                ),
                user,
            );
            let page = page.bind(since.as_millisecond()).bind(until.as_millisecond()).bind(limit as i64);
            page.fetch_all(&self.read).await?.iter().map(alert_of).collect()
        })
        .await
    }
}

fn alert_of(row: &AnyRow) -> Result<AlertForMany, Failure> {
    let kept: KeptAudience =
        serde_json::from_str(&text(row, "audience")?).map_err(|_| Failure::Unreadable("audience"))?;
    Ok(AlertForMany {
        alert: stored_name!(row, "alert_id", AlertId),
        severity: word(row, "severity")?,
        status: word(row, "status")?,
        recorded_at: time(row, "recorded_at_ms")?,
        content: text(row, "content")?,
        maker: maybe_text(row, "maker")?.map(Into::into),
        audience: NotedAudience { everyone: kept.everyone, groups: kept.groups, more_groups: kept.more },
        is_theirs: maybe_int(row, "theirs")?.is_some(),
        is_spreading: maybe_int(row, "spreading")?.is_some(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn an_audience_is_noted_by_its_groups_and_not_by_its_people() {
        let group = |n: usize| GroupId::parse(format!("g{n}")).unwrap();
        let of = |groups: usize, everyone| Audience {
            users: vec![UserId::parse("ana").unwrap()],
            groups: (0..groups).map(group).collect(),
            everyone,
        };
        let first: Vec<String> = (0..GROUPS_NOTED_MAX).map(|n| format!("\"g{n}\"")).collect();
        let many = format!("{{\"everyone\":false,\"groups\":[{}],\"more\":3}}", first.join(","));
        for (why, audience, kept) in [
            ("only people that it names", of(0, false), None),
            ("everyone", of(0, true), Some(r#"{"everyone":true,"groups":[],"more":0}"#)),
            ("groups", of(2, false), Some(r#"{"everyone":false,"groups":["g0","g1"],"more":0}"#)),
            ("more than are noted", of(GROUPS_NOTED_MAX + 3, false), Some(many.as_str())),
        ] {
            assert_eq!(noted(&audience).as_deref(), kept, "{why}");
        }
    }
}
