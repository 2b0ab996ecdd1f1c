//! What is old, or too much for one person, is found here, step by bounded step; `deletion.rs` deletes it.
//!
//! Each step is one short transaction, so that nobody who records waits for long; whoever calls pauses between them. Steps go
//! through what they look for in an order of its own and are told where the one before ended, so that what has to stay is
//! passed over once.

use sqlx::any::AnyRow;

use super::{
    Failure, Store, StoreError,
    deletion::{Deleted, Doomed, standing_of_escalation},
    int,
    key_rows::AlertRow,
    maybe_int, maybe_text,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text,
};
use crate::domain::{AlertId, Seq, Tenant, Timestamp, UserId, UserKey};

/// Rows that one step deletes at the most.
pub const DELETED_ROWS_MAX: usize = 200;
/// Alerts that one step looks at, at the most.
const ALERTS_MAX: usize = 200;
/// People whom one step looks at, at the most.
const PEOPLE_MAX: usize = 1_000;
/// Rows of one inbox that are counted beyond those that are kept.
const COUNTED_BEYOND: usize = 10_000;

/// How far the deletion of a tenant's old alerts has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldAlerts {
    tenant: Tenant,
    /// What is older goes.
    before: Timestamp,
    /// The last alert that was dealt with.
    after: (i64, String),
    /// An alert that more people have than one step deletes rows, and the last of them who was dealt with.
    large: Option<(i64, AlertId, Option<UserId>)>,
    /// How many alerts to look at in one step.
    at_once: usize,
}

impl OldAlerts {
    /// Those of a tenant that are older, from the first.
    pub fn of(tenant: Tenant, before: Timestamp) -> Self {
        Self { tenant, before, after: (i64::MIN, String::new()), large: None, at_once: ALERTS_MAX }
    }
}

/// A person whose inbox may have more rows than are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullInbox {
    /// Whose.
    pub user: UserKey,
    seq: Seq,
}

/// How many rows of an inbox are beyond those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// So many, counted up to a bound.
    pub rows: usize,
    /// Whether that is all of them.
    pub is_all: bool,
}

/// A row of an inbox in the order of its changes.
pub type ChangedRow = (Seq, AlertId);
/// An attempt in the order in which they were made.
pub type AttemptPlace = (i64, String);

batch_row! {
    /// An attempt.
    struct AttemptRow<'a> {
        attempt_id: &'a str,
    }
}

batch_row! {
    /// An alert that was deleted.
    struct DeletedAlertRow {
        tenant: String,
        alert_id: String,
    }
}

impl Store {
    /// The first tenant after this one, in the order of their names, of whom something is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tenant_after(&self, after: Option<&Tenant>) -> Result<Option<Tenant>, StoreError> {
        self.in_time("tenant_after", async {
            // Alerts may have reached nobody, and people may have got none.
            let row = sqlx::query(
                "SELECT min(first.tenant) AS tenant FROM (
                     SELECT (SELECT u.tenant FROM users u WHERE u.tenant > $1 ORDER BY u.tenant LIMIT 1) AS tenant
                     UNION ALL
                     SELECT (SELECT a.tenant FROM alerts a WHERE a.tenant > $1 AND a.deleted_at_ms IS NULL
                             ORDER BY a.tenant LIMIT 1) AS tenant) AS first",
            )
            .bind(after.map_or("", Tenant::as_str))
            .fetch_one(&self.read)
            .await?;
            match maybe_text(&row, "tenant")? {
                Some(_) => Ok(Some(stored_name!(&row, "tenant", Tenant))),
                None => Ok(None),
            }
        })
        .await
    }

    /// Deletes the next of a tenant's old alerts, at most [`DELETED_ROWS_MAX`] rows of inboxes. `None`: there was nothing left.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn delete_old_alerts(
        &self,
        place: &mut OldAlerts,
        now: Timestamp,
    ) -> Result<Option<Deleted>, StoreError> {
        if let Some((at_ms, alert, after)) = place.large.take() {
            return self.delete_large(place, (at_ms, alert, after), now).await.map(Some);
        }
        loop {
            let found = self.old_alerts(place).await?;
            let Some(last) = found.last().cloned() else { return Ok(None) };
            let alerts: Vec<AlertId> = found.iter().map(|(_, alert)| alert.clone()).collect();
            let holders = self.holders_of(&place.tenant, &alerts).await?;
            if holders.len() <= DELETED_ROWS_MAX {
                let deleted = self.delete_old_rows(place, &holders, &alerts, now).await?;
                place.after = (last.0, last.1.to_string());
                place.at_once = (place.at_once * 2).min(ALERTS_MAX);
                return Ok(Some(deleted));
            }
            if let [(at_ms, alert)] = &found[..] {
                return self.delete_large(place, (*at_ms, alert.clone(), None), now).await.map(Some);
            }
            place.at_once = found.len() / 2;
        }
    }

    /// A page of the people who have one alert.
    async fn delete_large(
        &self,
        place: &mut OldAlerts,
        (at_ms, alert, after): (i64, AlertId, Option<UserId>),
        now: Timestamp,
    ) -> Result<Deleted, StoreError> {
        let users = self.recipients_after(&place.tenant, &alert, after.as_ref(), DELETED_ROWS_MAX).await?;
        let is_last = users.len() < DELETED_ROWS_MAX;
        let holders: Vec<_> = users
            .iter()
            .map(|user| (UserKey::new(place.tenant.clone(), user.clone()), alert.clone()))
            .collect();
        let deleted = self.delete_old_rows(place, &holders, std::slice::from_ref(&alert), now).await?;
        match is_last {
            true => place.after = (at_ms, alert.to_string()),
            false => place.large = Some((at_ms, alert, users.last().cloned())),
        }
        Ok(deleted)
    }

    async fn old_alerts(&self, place: &OldAlerts) -> Result<Vec<(i64, AlertId)>, StoreError> {
        self.in_time("old_alerts", async {
            let found = sqlx::query(
                "SELECT alert_id, coalesce(latest_at_ms, recorded_at_ms) AS latest_at_ms FROM alerts
                 WHERE tenant = $1 AND deleted_at_ms IS NULL AND coalesce(latest_at_ms, recorded_at_ms) < $2
                     AND coalesce(latest_at_ms, recorded_at_ms) >= $3
                     AND (coalesce(latest_at_ms, recorded_at_ms) > $3 OR alert_id > $4)
                 ORDER BY coalesce(latest_at_ms, recorded_at_ms), alert_id LIMIT $5",
            )
            .bind(place.tenant.as_str())
            .bind(place.before.as_millisecond())
            .bind(place.after.0)
            .bind(place.after.1.as_str())
            .bind(place.at_once as i64)
            .fetch_all(&self.read)
            .await?;
            found
                .iter()
                .map(|row| Ok((int(row, "latest_at_ms")?, stored_name!(row, "alert_id", AlertId))))
                .collect()
        })
        .await
    }

    /// Who has these alerts: all of them, or more than one step deletes.
    async fn holders_of(
        &self,
        tenant: &Tenant,
        alerts: &[AlertId],
    ) -> Result<Vec<(UserKey, AlertId)>, StoreError> {
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT i.user_id, i.alert_id FROM {batch} CROSS JOIN inbox i
             WHERE i.tenant = batch.tenant AND i.alert_id = batch.alert_id LIMIT $1",
        );
        self.in_time("holders_of", async {
            let keys = Batch::of(self.engine, alerts.iter().map(|alert| AlertRow::of(tenant, alert)))?;
            let found = SELECT.over(&keys).bind(DELETED_ROWS_MAX as i64 + 1).fetch_all(&self.read).await?;
            let holder = |row: &AnyRow| {
                let user = UserKey::new(tenant.clone(), stored_name!(row, "user_id", UserId));
                Ok((user, stored_name!(row, "alert_id", AlertId)))
            };
            found.iter().map(holder).collect()
        })
        .await
    }

    async fn delete_old_rows(
        &self,
        place: &OldAlerts,
        rows: &[(UserKey, AlertId)],
        alerts: &[AlertId],
        now: Timestamp,
    ) -> Result<Deleted, StoreError> {
        let alerts: Vec<_> = alerts.iter().map(|alert| (place.tenant.clone(), alert.clone())).collect();
        let doomed = Doomed { rows, alerts: &alerts, before: Some(place.before), seq_max: i64::MAX };
        writing!(self, "delete_old_alerts", |tx| self.delete_in(tx, &doomed, now).await).await
    }

    /// A page of a tenant's people, in order, after `after`: those of them whose inbox may have more than `max` rows, and the
    /// last one of the page. No last one: nobody is left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn full_inboxes(
        &self,
        tenant: &Tenant,
        after: Option<&UserId>,
        max: u32,
    ) -> Result<(Vec<FullInbox>, Option<UserId>), StoreError> {
        self.in_time("full_inboxes", async {
            let found = sqlx::query(
                "SELECT user_id, seq, vacant FROM users WHERE tenant = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
            )
            .bind(tenant.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(PEOPLE_MAX as i64)
            .fetch_all(&self.read)
            .await?;
            let (mut full, mut last) = (Vec::new(), None);
            for row in &found {
                let user = stored_name!(row, "user_id", UserId);
                last = Some(user.clone());
                let seq = int(row, "seq")?;
                if seq - int(row, "vacant")? > i64::from(max) {
                    full.push(FullInbox { user: UserKey::new(tenant.clone(), user), seq: seq as Seq });
                }
            }
            Ok((full, last))
        })
        .await
    }

    /// Counts what an inbox has beyond `max` rows; when that is nothing, it is not counted again until so much has changed that
    /// it could be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn overflow(&self, full: &FullInbox, max: u32) -> Result<Overflow, StoreError> {
        let (tenant, user) = (full.user.tenant.as_str(), full.user.user.as_str());
        let most = max as usize + COUNTED_BEYOND;
        let rows = self
            .in_time("overflow", async {
                let row = sqlx::query(
                    "SELECT count(*) AS rows_kept FROM (SELECT 1 FROM inbox
                     WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 LIMIT $3) AS few",
                )
                .bind(tenant)
                .bind(user)
                .bind(most as i64)
                .fetch_one(&self.read)
                .await?;
                Ok(int(&row, "rows_kept")? as usize)
            })
            .await?;
        if rows <= max as usize {
            // Right as long as nothing has changed since the number was read.
            writing!(self, "note_vacant", |tx| {
                sqlx::query(
                    "UPDATE users SET vacant = seq - $4 WHERE tenant = $1 AND user_id = $2 AND seq = $3",
                )
                .bind(tenant)
                .bind(user)
                .bind(full.seq as i64)
                .bind(rows as i64)
                .execute(&mut **tx)
                .await?;
                Ok(())
            })
            .await?;
        }
        Ok(Overflow { rows: rows.saturating_sub(max as usize), is_all: rows < most })
    }

    /// Deletes of an inbox the rows that changed longest ago, after `after`, at most `limit`. Answers the last of those that it
    /// looked at; none when there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn trim_inbox(
        &self,
        user: &UserKey,
        after: Option<&ChangedRow>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Deleted, Option<ChangedRow>), StoreError> {
        let oldest = self
            .in_time("oldest_rows", async {
                let found = sqlx::query(
                    "SELECT seq, alert_id FROM inbox
                     WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq >= $3 AND (seq > $3 OR alert_id > $4)
                     ORDER BY seq, alert_id LIMIT $5",
                )
                .bind(user.tenant.as_str())
                .bind(user.user.as_str())
                .bind(after.map_or(0, |(seq, _)| *seq as i64))
                .bind(after.map_or("", |(_, alert)| alert.as_str()))
                .bind(limit.min(DELETED_ROWS_MAX) as i64)
                .fetch_all(&self.read)
                .await?;
                let row = |row: &AnyRow| Ok((int(row, "seq")? as Seq, stored_name!(row, "alert_id", AlertId)));
                found.iter().map(row).collect::<Result<Vec<ChangedRow>, Failure>>()
            })
            .await?;
        let Some(last) = oldest.last().cloned() else { return Ok((Deleted::default(), None)) };
        let rows: Vec<_> = oldest.into_iter().map(|(_, alert)| (user.clone(), alert)).collect();
        let doomed = Doomed { rows: &rows, alerts: &[], before: None, seq_max: last.0 as i64 };
        let deleted = writing!(self, "trim_inbox", |tx| self.delete_in(tx, &doomed, now).await).await?;
        Ok((deleted, Some(last)))
    }

    /// Deletes a tenant's attempts that are older, after `after`, at most [`DELETED_ROWS_MAX`], but for those of escalations that
    /// are not over. Answers how many went, and the last that it looked at; none when there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn delete_old_attempts(
        &self,
        tenant: &Tenant,
        before: Timestamp,
        after: Option<&AttemptPlace>,
    ) -> Result<(u64, Option<AttemptPlace>), StoreError> {
        static DELETE: Statement<AttemptRow<'_>> =
            Statement::new("DELETE FROM attempts WHERE attempt_id IN (SELECT attempt_id FROM {batch})");
        let found = self
            .in_time("old_attempts", async {
                Ok(sqlx::query(
                    "SELECT old.attempt_id, old.created_at_ms, e.fence, e.stopped, e.due_at_ms, e.held
                     FROM (SELECT attempt_id, tenant, user_id, alert_id, created_at_ms FROM attempts
                         WHERE tenant = $1 AND created_at_ms > 0 AND created_at_ms < $2 AND created_at_ms >= $3
                             AND (created_at_ms > $3 OR attempt_id > $4)
                         ORDER BY created_at_ms, attempt_id LIMIT $5) AS old
                     LEFT JOIN escalations e
                         ON e.tenant = old.tenant AND e.user_id = old.user_id AND e.alert_id = old.alert_id
                     ORDER BY old.created_at_ms, old.attempt_id",
                )
                .bind(tenant.as_str())
                .bind(before.as_millisecond())
                .bind(after.map_or(0, |(at_ms, _)| *at_ms))
                .bind(after.map_or("", |(_, attempt)| attempt.as_str()))
                .bind(DELETED_ROWS_MAX as i64)
                .fetch_all(&self.read)
                .await?)
            })
            .await?;
        let (over, last) = attempts_of_what_is_over(&found)?;
        if over.is_empty() {
            return Ok((0, last));
        }
        let deleted = writing!(self, "delete_old_attempts", |tx| {
            let keys = Batch::of(self.engine, over.iter().map(|attempt_id| AttemptRow { attempt_id }))?;
            Ok(DELETE.over(&keys).execute(&mut **tx).await?.rows_affected())
        })
        .await?;
        Ok((deleted, last))
    }

    /// Deletes lines of a tenant's timelines that are older, and when versions of alerts arrived that did: about
    /// [`DELETED_ROWS_MAX`] of each. Nothing is decided by them. 0: there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn delete_old_lines(&self, tenant: &Tenant, before: Timestamp) -> Result<u64, StoreError> {
        writing!(self, "delete_old_lines", |tx| {
            let mut deleted = 0;
            for sql in [
                "DELETE FROM notes WHERE tenant = $1 AND at_ms > 0 AND at_ms < $2 AND at_ms <= coalesce(
                     (SELECT at_ms FROM notes WHERE tenant = $1 AND at_ms > 0 AND at_ms < $2
                      ORDER BY at_ms LIMIT 1 OFFSET $3), $2)",
                "DELETE FROM versions WHERE tenant = $1 AND recorded_at_ms > 0 AND recorded_at_ms < $2
                     AND recorded_at_ms <= coalesce(
                     (SELECT recorded_at_ms FROM versions WHERE tenant = $1 AND recorded_at_ms > 0 AND recorded_at_ms < $2
                      ORDER BY recorded_at_ms LIMIT 1 OFFSET $3), $2)",
            ] {
                let done = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(before.as_millisecond())
                    .bind(DELETED_ROWS_MAX as i64 - 1)
                    .execute(&mut **tx)
                    .await?;
                deleted += done.rows_affected();
            }
            Ok(deleted)
        })
        .await
    }

    /// Forgets alerts that were deleted before then, at most [`DELETED_ROWS_MAX`]: their ids begin anew. 0: there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn forget_deleted_alerts(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Said once more in other words: one that is published anew meanwhile is another row than the one that was found, and it
        // is not to be searched for by when it was deleted.
        static DELETE: Statement<DeletedAlertRow> = Statement::new(
            "DELETE FROM alerts WHERE (tenant, alert_id) IN (SELECT {columns} FROM {batch})
                 AND coalesce(deleted_at_ms, $1) < $1",
        );
        writing!(self, "forget_deleted_alerts", |tx| {
            let found = sqlx::query(
                "SELECT tenant, alert_id FROM alerts WHERE deleted_at_ms < $1 ORDER BY deleted_at_ms LIMIT $2",
            )
            .bind(before.as_millisecond())
            .bind(DELETED_ROWS_MAX as i64)
            .fetch_all(&mut **tx)
            .await?;
            let row = |row| Ok(DeletedAlertRow { tenant: text(row, "tenant")?, alert_id: text(row, "alert_id")? });
            let rows = found.iter().map(row).collect::<Result<Vec<_>, Failure>>()?;
            let keys = Batch::of(self.engine, rows)?;
            if keys.is_empty() {
                return Ok(0);
            }
            Ok(DELETE.over(&keys).bind(before.as_millisecond()).execute(&mut **tx).await?.rows_affected())
        })
        .await
    }
}

/// The attempts of these rows that may go, and the place of the last row.
fn attempts_of_what_is_over(rows: &[AnyRow]) -> Result<(Vec<String>, Option<AttemptPlace>), StoreError> {
    let (mut over, mut last) = (Vec::new(), None);
    for row in rows {
        let attempt = text(row, "attempt_id")?;
        let is_over = match maybe_int(row, "fence")? {
            Some(_) => standing_of_escalation(row)?.is_over(),
            None => true,
        };
        last = Some((int(row, "created_at_ms")?, attempt.clone()));
        if is_over {
            over.push(attempt);
        }
    }
    Ok((over, last))
}
