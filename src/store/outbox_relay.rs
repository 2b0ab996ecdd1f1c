//! How outcomes leave the outbox: route by route, those that wait longest first.
//!
//! What holds here:
//! - One relay works on a route at a time, by a lease. When it dies, the next one tells the same again: every outcome is told
//!   at least once, and twice with one id.
//! - An outcome is deleted only after it was told, or because it is dropped; both are the relay's word.
//! - What is read is bounded, however much waits.

use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{
    Failure, Store, StoreError,
    attempts::small,
    int, maybe_text, maybe_time, maybe_word,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time, word,
};
use crate::domain::{AlertId, Answer, Outcome, OutcomeRoute, Tenant, Timestamp, UserId, UserKey};

/// An outcome that waits to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingOutcome {
    /// What is to be told.
    pub outcome: Outcome,
    /// How often that has failed.
    pub tries: u32,
    /// From when it may be told: part of its key.
    ready_at: Timestamp,
}

batch_row! {
    /// The key of an outcome that waits, in the order of the table's key.
    struct OutboxKey {
        route: String,
        ready_at_ms: Timestamp,
        outcome_id: String,
    }
}

batch_row! {
    /// An outcome that waits, and until when it is to wait now.
    struct PostponedValues {
        route: String,
        ready_at_ms: Timestamp,
        outcome_id: String,
        next_ms: Timestamp,
    }
}

/// How much waits for one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many; counted up to the bound that was asked for.
    pub waiting: u64,
    /// Since when the first of them could have been told.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// Whether anything may be told now. Cheap enough to be asked all the time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outcomes_wait(&self, route: &OutcomeRoute, now: Timestamp) -> Result<bool, StoreError> {
        self.in_time("outcomes_wait", async {
            let row = sqlx::query("SELECT 1 FROM outbox WHERE route = $1 AND ready_at_ms <= $2 LIMIT 1")
                .bind(route.to_string())
                .bind(now.as_millisecond())
                .fetch_optional(&self.read)
                .await?;
            Ok(row.is_some())
        })
        .await
    }

    /// Takes a route for `holder` until then, unless somebody else has it or it rests.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_route(
        &self,
        route: &OutcomeRoute,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "claim_route", |tx| {
            let claimed = sqlx::query(
                "INSERT INTO outbox_routes (route, holder, leased_until_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (route) DO UPDATE SET holder = excluded.holder, leased_until_ms = excluded.leased_until_ms
                 WHERE outbox_routes.leased_until_ms <= $4 OR outbox_routes.holder = excluded.holder",
            )
            .bind(route.to_string())
            .bind(holder.to_owned())
            .bind(until.as_millisecond())
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(claimed.rows_affected() > 0)
        })
        .await
    }

    /// Gives a route back, which rests until then; only by whoever holds it.
    ///
    /// # Errors
    /// [`StoreError`]; the lease ends by itself.
    pub async fn free_route(
        &self,
        route: &OutcomeRoute,
        holder: &str,
        rests_until: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "free_route", |tx| {
            sqlx::query(
                "UPDATE outbox_routes SET holder = '', leased_until_ms = $3 WHERE route = $1 AND holder = $2",
            )
            .bind(route.to_string())
            .bind(holder.to_owned())
            .bind(rests_until.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }

    /// The first `limit` that may be told now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting_outcomes(
        &self,
        route: &OutcomeRoute,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<WaitingOutcome>, StoreError> {
        self.in_time("waiting_outcomes", async {
            let rows = sqlx::query(
                "SELECT ready_at_ms, outcome_id, tenant, user_id, alert_id, version, outcome, channel, reason, attempt_id,
                     by_whom, until_ms, action, action_title, answer, at_ms, tries
                 FROM outbox WHERE route = $1 AND ready_at_ms <= $2 ORDER BY ready_at_ms, outcome_id LIMIT $3",
            )
            .bind(route.to_string())
            .bind(now.as_millisecond())
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(waiting_of).collect()
        })
        .await
    }

    /// Forgets what was told, and lets what could not be told wait until the time beside it.
    ///
    /// # Errors
    /// [`StoreError`]; what was told is told again, with the same id.
    pub async fn settle_outcomes(
        &self,
        route: &OutcomeRoute,
        told: &[&WaitingOutcome],
        later: &[(&WaitingOutcome, Timestamp)],
    ) -> Result<(), StoreError> {
        static DELETE: Statement<OutboxKey> = Statement::new(
            "DELETE FROM outbox WHERE (route, ready_at_ms, outcome_id) IN (SELECT {columns} FROM {batch})",
        );
        static POSTPONE: Statement<PostponedValues> = Statement::new(
            "UPDATE outbox SET ready_at_ms = batch.next_ms, tries = outbox.tries + 1 FROM {batch}
             WHERE outbox.route = batch.route AND outbox.ready_at_ms = batch.ready_at_ms
                 AND outbox.outcome_id = batch.outcome_id",
        );
        let route = route.to_string();
        writing!(self, "settle_outcomes", |tx| {
            let keys = told.iter().map(|waiting| OutboxKey {
                route: route.clone(),
                ready_at_ms: waiting.ready_at,
                outcome_id: waiting.outcome.id.to_string(),
            });
            let keys = Batch::of(self.engine, keys)?;
            if !keys.is_empty() {
                DELETE.over(&keys).execute(&mut **tx).await?;
            }
            let postponed = later.iter().map(|(waiting, next)| PostponedValues {
                route: route.clone(),
                ready_at_ms: waiting.ready_at,
                outcome_id: waiting.outcome.id.to_string(),
                next_ms: *next,
            });
            let postponed = Batch::of(self.engine, postponed)?;
            if !postponed.is_empty() {
                POSTPONE.over(&postponed).execute(&mut **tx).await?;
            }
            Ok(())
        })
        .await
    }

    /// How much waits for a route, counted up to `count_max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outcome_backlog(&self, route: &OutcomeRoute, count_max: u64) -> Result<Backlog, StoreError> {
        self.in_time("outcome_backlog", async {
            let row = sqlx::query(
                "SELECT count(*) AS waiting, min(ready_at_ms) AS oldest FROM
                 (SELECT ready_at_ms FROM outbox WHERE route = $1 ORDER BY ready_at_ms LIMIT $2) AS first",
            )
            .bind(route.to_string())
            .bind(i64::try_from(count_max).unwrap_or(i64::MAX))
            .fetch_one(&self.read)
            .await?;
            Ok(Backlog { waiting: int(&row, "waiting")? as u64, oldest: maybe_time(&row, "oldest")? })
        })
        .await
    }

    /// Drops up to `limit` of those that could have been told since before then. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_outcomes(
        &self,
        route: &OutcomeRoute,
        ready_before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        writing!(self, "drop_outcomes", |tx| {
            let dropped = sqlx::query(
                "DELETE FROM outbox WHERE (route, ready_at_ms, outcome_id) IN
                 (SELECT route, ready_at_ms, outcome_id FROM outbox
                  WHERE route = $1 AND ready_at_ms < $2 ORDER BY ready_at_ms LIMIT $3)",
            )
            .bind(route.to_string())
            .bind(ready_before.as_millisecond())
            .bind(limit as i64)
            .execute(&mut **tx)
            .await?;
            Ok(dropped.rows_affected())
        })
        .await
    }

    /// The first route, in the order of its text, after this one that something waits for, whether it is configured or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outcome_route_after(
        &self,
        after: Option<&OutcomeRoute>,
    ) -> Result<Option<OutcomeRoute>, StoreError> {
        self.in_time("outcome_route_after", async {
            let row = sqlx::query("SELECT min(route) AS route FROM outbox WHERE route > $1")
                .bind(after.map(ToString::to_string).unwrap_or_default())
                .fetch_one(&self.read)
                .await?;
            maybe_word(&row, "route")
        })
        .await
    }
}

/// What was answered, of an outcome that tells of an answer.
fn answer_of(row: &AnyRow) -> Result<Option<Answer>, Failure> {
    let part = |column| maybe_text(row, column);
    let (action, title, text) = (part("action")?, part("action_title")?, part("answer")?);
    Ok(action.zip(title).zip(text).map(|((action, title), text)| Answer { action, title, text }))
}

fn waiting_of(row: &AnyRow) -> Result<WaitingOutcome, Failure> {
    let uuid = |text: &str, column| Uuid::parse_str(text).map_err(|_| Failure::Unreadable(column));
    let attempt = maybe_text(row, "attempt_id")?;
    let user = UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
    Ok(WaitingOutcome {
        outcome: Outcome {
            id: uuid(&text(row, "outcome_id")?, "outcome_id")?,
            user,
            alert: stored_name!(row, "alert_id", AlertId),
            version: small(row, "version")?,
            kind: word(row, "outcome")?,
            channel: maybe_text(row, "channel")?,
            reason: maybe_text(row, "reason")?,
            attempt: attempt.map(|attempt| uuid(&attempt, "attempt_id")).transpose()?,
            by: maybe_word(row, "by_whom")?,
            until: maybe_time(row, "until_ms")?,
            answer: answer_of(row)?,
            at: time(row, "at_ms")?,
        },
        tries: small(row, "tries")?,
        ready_at: time(row, "ready_at_ms")?,
    })
}
