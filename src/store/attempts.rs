//! What a step leaves behind: attempts, which are written before the provider is called (I6), what the providers
//! answered, and notes for whoever asks later.

use serde_json::json;
use sqlx::{AssertSqlSafe, any::AnyRow};
use uuid::Uuid;

use super::{
    Act, Answer, EscalationKey, Failure, NewAttempt, Store, Tx, batch_of, int, maybe_text, maybe_time,
    maybe_word, steps::Move, text, time, word,
};
use crate::domain::{Attempt, AttemptKind, DeviceId, Severity, Timestamp};

impl Store {
    /// Keeps what providers answered. A final answer stays: a late one does not undo it. Answers of somebody who no
    /// longer holds the row count too, but cannot tell that a later try is not on the phone.
    pub(super) async fn write_answers(&self, tx: &mut Tx, answers: &[Answered<'_>]) -> Result<(), Failure> {
        if answers.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = answers.iter().map(Answered::row).collect();
        let sql = format!(
            "UPDATE attempts SET state = batch.state, next_try_at_ms = batch.next_try_at_ms,
                 maybe_shown = CASE WHEN batch.is_held = 0 AND attempts.maybe_shown = 1 THEN 1 ELSE batch.maybe_shown END,
                 reason = batch.reason, message_id = coalesce(batch.message_id, attempts.message_id), answered_at_ms = batch.answered_at_ms, tries = attempts.tries - batch.put_off
             FROM {} WHERE attempts.attempt_id = batch.attempt_id AND attempts.state NOT IN ('accepted', 'failed')",
            self.engine.rows(
                "attempt_id text, state text, next_try_at_ms bigint, maybe_shown bigint, reason text, message_id text,
                 put_off bigint, is_held bigint, answered_at_ms bigint"
            )
        );
        sqlx::query(AssertSqlSafe(sql)).bind(batch_of(values)?).execute(&mut **tx).await?;
        Ok(())
    }

    /// Writes the attempts that these walks are about to make.
    pub(super) async fn write_attempts(&self, tx: &mut Tx, moves: &[Move<'_>]) -> Result<(), Failure> {
        let values: Vec<_> = moves.iter().flat_map(attempt_rows).collect();
        if values.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO attempts (tenant, user_id, alert_id, attempt_id, kind, round, opening, step, channel, device_id,
                 state, tries, maybe_shown, severity, created_at_ms)
             SELECT tenant, user_id, alert_id, attempt_id, kind, round, opening, step, channel, device_id, 'pending', tries,
                 maybe_shown, severity, created_at_ms
             FROM {} WHERE true
             ON CONFLICT (attempt_id) DO UPDATE SET state = 'pending', tries = excluded.tries,
                 maybe_shown = excluded.maybe_shown, severity = excluded.severity",
            self.engine.rows(
                "tenant text, user_id text, alert_id text, attempt_id text, kind text, round bigint, opening bigint, step bigint,
                 channel text, device_id text, tries bigint, maybe_shown bigint, severity text, created_at_ms bigint"
            )
        );
        sqlx::query(AssertSqlSafe(sql)).bind(batch_of(values)?).execute(&mut **tx).await?;
        Ok(())
    }

    /// Lines for timelines.
    pub(super) async fn write_notes(&self, tx: &mut Tx, notes: &[Note<'_>]) -> Result<(), Failure> {
        if notes.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = notes
            .iter()
            .map(|(key, what, at)| {
                json!({
                    "tenant": key.user.tenant.as_str(), "user_id": key.user.user.as_str(),
                    "alert_id": key.alert.as_str(), "at_ms": at.as_millisecond(), "what": storable(what),
                })
            })
            .collect();
        let sql = format!(
            "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what)
             SELECT tenant, user_id, alert_id, at_ms, what FROM {}",
            self.engine.rows("tenant text, user_id text, alert_id text, at_ms bigint, what text")
        );
        sqlx::query(AssertSqlSafe(sql)).bind(batch_of(values)?).execute(&mut **tx).await?;
        Ok(())
    }
}

/// A line for the timeline of a walk.
pub(super) type Note<'a> = (&'a EscalationKey, &'a str, Timestamp);

/// What a provider answered, to somebody who may still hold the walk.
pub(super) struct Answered<'a> {
    pub(super) answer: &'a Answer,
    pub(super) is_held: bool,
    pub(super) at: Timestamp,
}

impl Answered<'_> {
    fn row(&self) -> serde_json::Value {
        json!({
            "attempt_id": self.answer.id.to_string(), "state": self.answer.state.as_str(),
            "next_try_at_ms": self.answer.next_try_at.map(Timestamp::as_millisecond),
            "maybe_shown": i64::from(self.answer.maybe_shown),
            "reason": self.answer.reason.as_deref().map(storable),
            "message_id": self.answer.message_id.as_deref().map(storable),
            "put_off": i64::from(!self.answer.was_called),
            "is_held": i64::from(self.is_held), "answered_at_ms": self.at.as_millisecond(),
        })
    }
}

fn attempt_rows<'a>(moved: &'a Move<'_>) -> impl Iterator<Item = serde_json::Value> + use<'a> {
    let attempts: &[NewAttempt] = match &moved.decision.act {
        Act::Attempt(attempts) => attempts,
        Act::Hold(_) | Act::Rest(_) | Act::End(_) => &[],
    };
    let key = moved.ask.key;
    attempts.iter().map(move |attempt| {
        let shows = attempt.channel.can_remove() && attempt.kind == AttemptKind::Alert;
        json!({
            "tenant": key.user.tenant.as_str(), "user_id": key.user.user.as_str(), "alert_id": key.alert.as_str(),
            "attempt_id": attempt.id.to_string(), "kind": attempt.kind.as_str(),
            "round": moved.walk.progress.round, "opening": moved.walk.progress.opening, "step": moved.decision.step,
            "channel": attempt.channel.as_str(), "device_id": attempt.device.as_ref().map(DeviceId::as_str),
            "tries": attempt.tries, "maybe_shown": i64::from(shows),
            "severity": moved.walk.severity.map(Severity::as_str),
            "created_at_ms": moved.ask.now.as_millisecond(),
        })
    })
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
        opening: small(row, "opening")?,
        step: small(row, "step")? as usize,
        channel: word(row, "channel")?,
        device: device.map_err(|_| Failure::Unreadable("device_id"))?,
        state: word(row, "state")?,
        tries: small(row, "tries")?,
        next_try_at: maybe_time(row, "next_try_at_ms")?,
        maybe_shown: int(row, "maybe_shown")? == 1,
        reason: maybe_text(row, "reason")?,
        severity: maybe_word(row, "severity")?,
        message_id: maybe_text(row, "message_id")?,
        created_at: time(row, "created_at_ms")?,
        answered_at: maybe_time(row, "answered_at_ms")?,
    })
}

/// A stored version, round, step or count.
pub(super) fn small(row: &AnyRow, column: &'static str) -> Result<u32, Failure> {
    u32::try_from(int(row, column)?).map_err(|_| Failure::Unreadable(column))
}
