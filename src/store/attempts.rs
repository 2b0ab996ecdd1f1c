//! What a step leaves behind: attempts, which are written before the provider is called (I6), what the providers
//! answered, and notes for whoever asks later.

use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{
    EscalationKey, Failure, Store, Tx, int, maybe_int, maybe_text, maybe_time, maybe_word,
    row_batch::{Batch, Statement, batch_row},
    text, time, word,
};
use crate::domain::{Attempt, AttemptId, AttemptKind, AttemptState, Channel, DeviceId, Timestamp};

/// An attempt to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// The id it had, or a new one.
    pub id: AttemptId,
    /// To show, or to take away.
    pub kind: AttemptKind,
    /// By which channel.
    pub channel: Channel,
    /// To which device; none for the person's address.
    pub device: Option<DeviceId>,
    /// Which try this is, from 1.
    pub tries: u32,
}

/// What a provider answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAnswer {
    /// To which attempt.
    pub id: AttemptId,
    /// Where it stands now.
    pub state: AttemptState,
    /// Not before then, when it is to be tried again.
    pub next_try_at: Option<Timestamp>,
    /// Whether it may be shown.
    pub maybe_shown: bool,
    /// What the provider calls the message, once it took it.
    pub message_id: Option<String>,
    /// What was said.
    pub reason: Option<String>,
    /// Whether the provider was called at all: a try that was put off before it does not count.
    pub was_called: bool,
}

impl Store {
    /// Keeps what providers answered. A final answer stays: a late one does not undo it. Answers of somebody who no
    /// longer holds the row count too, but cannot tell that a later try is not on the phone.
    pub(super) async fn write_answers(
        &self,
        tx: &mut Tx,
        answers: &[ReceivedAnswer<'_>],
    ) -> Result<(), Failure> {
        static UPDATE: Statement<AnswerValues> = Statement::new(
            "UPDATE attempts SET state = batch.state, next_try_at_ms = batch.next_try_at_ms,
                 maybe_shown = CASE WHEN batch.is_held = 0 AND attempts.maybe_shown = 1 THEN 1 ELSE batch.maybe_shown END,
                 reason = batch.reason, message_id = coalesce(batch.message_id, attempts.message_id),
                 answered_at_ms = batch.answered_at_ms, tries = attempts.tries - batch.put_off
             FROM {batch} WHERE attempts.attempt_id = batch.attempt_id AND attempts.state NOT IN ('accepted', 'failed')",
        );
        if answers.is_empty() {
            return Ok(());
        }
        let batch = Batch::of(self.engine, answers.iter().map(AnswerValues::of))?;
        UPDATE.over(&batch).execute(&mut **tx).await?;
        Ok(())
    }

    /// Writes attempts that are about to be made.
    pub(super) async fn write_attempts(
        &self,
        tx: &mut Tx,
        attempts: impl Iterator<Item = AttemptValues<'_>>,
    ) -> Result<(), Failure> {
        static INSERT: Statement<AttemptValues<'_>> = Statement::new(
            "INSERT INTO attempts ({columns}, state) SELECT {columns}, 'pending' FROM {batch} WHERE true
             ON CONFLICT (attempt_id) DO UPDATE SET state = 'pending', tries = excluded.tries,
                 maybe_shown = excluded.maybe_shown, severity = excluded.severity",
        );
        let batch = Batch::of(self.engine, attempts)?;
        if !batch.is_empty() {
            INSERT.over(&batch).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// A line for the timeline of an escalation, if it is still there: its person may have been erased.
    pub(super) async fn write_note_of_escalation(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        what: &str,
        at: Timestamp,
    ) -> Result<(), Failure> {
        sqlx::query(
            "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what)
             SELECT tenant, user_id, alert_id, CAST($4 AS BIGINT), $5 FROM escalations
             WHERE tenant = $1 AND user_id = $2 AND alert_id = $3",
        )
        .bind(key.user.tenant.as_str())
        .bind(key.user.user.as_str())
        .bind(key.alert.as_str())
        .bind(at.as_millisecond())
        .bind(storable(what))
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Lines for timelines.
    pub(super) async fn write_notes(&self, tx: &mut Tx, notes: &[Note<'_>]) -> Result<(), Failure> {
        static INSERT: Statement<NoteValues<'_>> =
            Statement::new("INSERT INTO notes ({columns}) SELECT {columns} FROM {batch}");
        if notes.is_empty() {
            return Ok(());
        }
        let values = notes.iter().map(|(key, what, at)| NoteValues {
            tenant: key.user.tenant.as_str(),
            user_id: key.user.user.as_str(),
            alert_id: key.alert.as_str(),
            at_ms: *at,
            what: storable(what),
        });
        INSERT.over(&Batch::of(self.engine, values)?).execute(&mut **tx).await?;
        Ok(())
    }
}

batch_row! {
    /// A line for a timeline.
    struct NoteValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        at_ms: Timestamp,
        what: String,
    }
}

/// A line for the timeline of an escalation.
pub(super) type Note<'a> = (&'a EscalationKey, &'a str, Timestamp);

/// What a provider answered, to somebody who may still hold the escalation.
pub(super) struct ReceivedAnswer<'a> {
    pub(super) answer: &'a ProviderAnswer,
    pub(super) is_held: bool,
    pub(super) at: Timestamp,
}

batch_row! {
    struct AnswerValues {
        attempt_id: String,
        state: &'static str,
        next_try_at_ms: Option<Timestamp>,
        maybe_shown: bool,
        reason: Option<String>,
        message_id: Option<String>,
        put_off: bool,
        is_held: bool,
        answered_at_ms: Timestamp,
    }
}

impl AnswerValues {
    fn of(answered: &ReceivedAnswer<'_>) -> Self {
        let answer = answered.answer;
        Self {
            attempt_id: answer.id.to_string(),
            state: answer.state.as_str(),
            next_try_at_ms: answer.next_try_at,
            maybe_shown: answer.maybe_shown,
            reason: answer.reason.as_deref().map(storable),
            message_id: answer.message_id.as_deref().map(storable),
            put_off: !answer.was_called,
            is_held: answered.is_held,
            answered_at_ms: answered.at,
        }
    }
}

batch_row! {
    /// An attempt that is about to be made.
    pub(super) struct AttemptValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        attempt_id: String,
        kind: &'a str,
        round: u32,
        opening: u32,
        step: i64,
        channel: &'a str,
        device_id: Option<&'a str>,
        tries: u32,
        maybe_shown: bool,
        severity: Option<&'a str>,
        created_at_ms: Timestamp,
    }
}

/// A text from outside without its NUL characters, which PostgreSQL does not store.
pub(super) fn storable(text: &str) -> String {
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
        reached_at: maybe_time(row, "reached_at_ms")?,
        priority_lowered: maybe_int(row, "priority_lowered")? == Some(1),
    })
}

/// A stored version, round, step or count.
pub(super) fn small(row: &AnyRow, column: &'static str) -> Result<u32, Failure> {
    u32::try_from(int(row, column)?).map_err(|_| Failure::Unreadable(column))
}
