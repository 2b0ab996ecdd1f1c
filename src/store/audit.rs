//! The auditor's questions: is there an open escalation that nobody will ever look at, and is somebody late?

use std::time::Duration;

use super::{EscalationKey, Store, StoreError, escalations::key_of, int};
use crate::domain::{Timestamp, restraint::Held};

/// Lost escalations mended by one audit.
const MENDED_MAX: i64 = 100;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Open escalations without a timer that nobody set aside, at most the bound of one audit. There must be none (I4). They
    /// are due now.
    pub lost: Vec<EscalationKey>,
    /// Escalations that could have been handed out longer ago than it ever takes: fallback is down, or too small.
    pub late: u64,
}

impl Store {
    /// Looks for open escalations that no timer will ever wake, and makes them due; counts those handed out too late.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(&self, now: Timestamp, late_after: Duration) -> Result<Audit, StoreError> {
        writing!(self, "audit", |tx| {
            let sql = format!(
                "WITH lost AS (
                     SELECT tenant, user_id, alert_id FROM escalations
                     WHERE stopped IS NULL AND due_at_ms IS NULL AND coalesce(held, '') <> '{}'
                     ORDER BY opened_at_ms LIMIT $2 {})
                 UPDATE escalations SET due_at_ms = $1, step_due_at_ms = $1, leased_until_ms = 0 FROM lost
                 WHERE escalations.tenant = lost.tenant AND escalations.user_id = lost.user_id
                     AND escalations.alert_id = lost.alert_id
                 RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id, escalations.alert_id AS alert_id",
                Held::SetAside.as_str(),
                self.engine.skip_locked()
            );
            let lost = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(now.as_millisecond())
                .bind(MENDED_MAX)
                .fetch_all(&mut **tx)
                .await?;
            // No more than anybody wants to know: counting a flood would be part of it.
            let late = sqlx::query(
                "SELECT count(*) AS late FROM (SELECT 1 FROM escalations WHERE ready_at_ms <= $1 LIMIT 10000) AS few",
            )
            .bind((now - late_after).as_millisecond())
            .fetch_one(&mut **tx)
            .await?;
            Ok(Audit { lost: lost.iter().map(key_of).collect::<Result<_, _>>()?, late: int(&late, "late")? as u64 })
        })
        .await
    }
}

/// Nothing we have writes such a row, so the tests of the seam cannot; this one breaks it by hand.
#[cfg(test)]
#[tokio::test]
#[allow(clippy::unwrap_used)]
async fn an_open_escalation_without_a_timer_is_found_and_due() {
    let dir = tempfile::tempdir().unwrap();
    let url = Store::sqlite_url(&dir.path().join("audit.db"));
    let store = Store::open(&super::StoreConfig { url, connections_max: 1 }).unwrap();
    store.migrate().await.unwrap();
    let now = Timestamp::from_second(1_900_000_000).unwrap();
    let insert =
        "INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms,
             leased_until_ms, claim, fence, opened_at_ms, expires_at_ms, stopped, pushed)
         VALUES ('acme', 'ana', $1, 1, 'default', 1, 0, NULL, 0, 1, 1, 0, 0, $2, 0)";
    for (alert, stopped) in [("lost", None), ("seen", Some("seen"))] {
        sqlx::query(insert).bind(alert).bind(stopped).execute(&store.write).await.unwrap();
    }
    let audit = store.audit(now, Duration::from_secs(60)).await.unwrap();
    let lost: Vec<&str> = audit.lost.iter().map(|key| key.alert.as_str()).collect();
    assert_eq!((lost, audit.late), (vec!["lost"], 0));
    assert_eq!(store.next_due().await.unwrap(), Some(now));
    assert_eq!(store.audit(now, Duration::from_secs(60)).await.unwrap(), Audit::default(), "mended");
    store.close().await;
}
