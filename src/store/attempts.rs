//! What a step leaves behind: attempts, which are written before the provider is called (I6), what the providers
//! answered, and notes for whoever asks later.

use serde_json::json;
use sqlx::{AssertSqlSafe, any::AnyRow};
use uuid::Uuid;

use super::{
    Answer, EscalationKey, Failure, NewAttempt, Store, Tx, escalations::keyed, int, maybe_text, maybe_time,
    text, time, word,
};
use crate::domain::{Attempt, AttemptKind, Channel, DeviceId, Timestamp};

impl Store {
    /// Keeps what providers answered. A final answer stays: a late one does not undo it. Answers of somebody who no
    /// longer holds the row (`is_held`) count too, but cannot tell that a later try is not on the phone.
    pub(super) async fn write_answers(
        &self,
        tx: &mut Tx,
        answers: &[Answer],
        is_held: bool,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if answers.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = answers
            .iter()
            .map(|answer| {
                json!({
                    "attempt_id": answer.id.to_string(), "state": answer.state.as_str(),
                    "next_try_at_ms": answer.next_try_at.map(Timestamp::as_millisecond),
                    "maybe_shown": i64::from(answer.maybe_shown),
                    "reason": answer.reason.as_deref().map(storable),
                    "put_off": i64::from(!answer.was_called),
                })
            })
            .collect();
        let sql = format!(
            "UPDATE attempts SET state = batch.state, next_try_at_ms = batch.next_try_at_ms,
                 maybe_shown = CASE WHEN $3 = 0 AND attempts.maybe_shown = 1 THEN 1 ELSE batch.maybe_shown END,
                 reason = batch.reason, answered_at_ms = $2, tries = attempts.tries - batch.put_off
             FROM {} WHERE attempts.attempt_id = batch.attempt_id AND attempts.state NOT IN ('accepted', 'failed')",
            self.engine.rows(
                "attempt_id text, state text, next_try_at_ms bigint, maybe_shown bigint, reason text, put_off bigint"
            )
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(json!(values).to_string())
            .bind(now.as_millisecond())
            .bind(i64::from(is_held))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    pub(super) async fn write_attempts(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        round: u32,
        step: usize,
        attempts: &[NewAttempt],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if attempts.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = attempts
            .iter()
            .map(|attempt| {
                let shows = attempt.channel == Channel::Push && attempt.kind == AttemptKind::Alert;
                json!({
                    "attempt_id": attempt.id.to_string(), "kind": attempt.kind.as_str(),
                    "channel": attempt.channel.as_str(), "device_id": attempt.device.as_ref().map(DeviceId::as_str),
                    "tries": attempt.tries, "maybe_shown": i64::from(shows),
                })
            })
            .collect();
        let sql = format!(
            "INSERT INTO attempts (tenant, user_id, alert_id, attempt_id, kind, round, step, channel, device_id, state,
                 tries, maybe_shown, created_at_ms)
             SELECT $2, $3, $4, attempt_id, kind, $5, $6, channel, device_id, 'pending', tries, maybe_shown, $7
             FROM {} WHERE true
             ON CONFLICT (attempt_id) DO UPDATE SET state = 'pending', tries = excluded.tries, maybe_shown = excluded.maybe_shown",
            self.engine.rows(
                "attempt_id text, kind text, channel text, device_id text, tries bigint, maybe_shown bigint"
            )
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(json!(values).to_string())
            .bind(key.user.tenant.as_str())
            .bind(key.user.user.as_str())
            .bind(key.alert.as_str())
            .bind(i64::from(round))
            .bind(step as i64)
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// A walk has a handful of notes, so they are written one by one.
pub(super) async fn write_notes(
    tx: &mut Tx,
    key: &EscalationKey,
    notes: &[String],
    now: Timestamp,
) -> Result<(), Failure> {
    const INSERT: &str =
        "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what) VALUES ($1, $2, $3, $4, $5)";
    for what in notes {
        let insert = keyed(sqlx::query(INSERT), key);
        insert.bind(now.as_millisecond()).bind(storable(what)).execute(&mut **tx).await?;
    }
    Ok(())
}

/// A text from outside without its NUL characters, which PostgreSQL does not store.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

pub(super) fn attempt_of(row: &AnyRow) -> Result<Attempt, Failure> {
    let device = maybe_text(row, "device_id")?.map(DeviceId::parse).transpose();
    Ok(Attempt {
        id: Uuid::parse_str(&text(row, "attempt_id")?).map_err(|_| Failure::Unreadable("attempt_id"))?,
        kind: word(row, "kind")?,
        round: small(row, "round")?,
        step: small(row, "step")? as usize,
        channel: word(row, "channel")?,
        device: device.map_err(|_| Failure::Unreadable("device_id"))?,
        state: word(row, "state")?,
        tries: small(row, "tries")?,
        next_try_at: maybe_time(row, "next_try_at_ms")?,
        maybe_shown: int(row, "maybe_shown")? == 1,
        reason: maybe_text(row, "reason")?,
        created_at: time(row, "created_at_ms")?,
        answered_at: maybe_time(row, "answered_at_ms")?,
    })
}

/// A stored version, round, step or count.
pub(super) fn small(row: &AnyRow, column: &'static str) -> Result<u32, Failure> {
    u32::try_from(int(row, column)?).map_err(|_| Failure::Unreadable(column))
}
