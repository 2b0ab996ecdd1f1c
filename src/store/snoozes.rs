//! Snoozed rows: found when their time has come, and woken.
//!
//! What holds here:
//! - The time is a column of the row it is about, so it outlives every process.
//! - A row is woken under its person's lock, by whoever comes first: what it says then decides, not what was found before.

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, LatestAlert, NewAlert, RecordedRow, Store, StoreError, Tx,
    alert_batch::keys_of,
    alerts::Rules,
    chase::Chases,
    escalations::key_of,
    inbox_rows::{Existing, Rows as InboxRows},
    key_rows::UserAlertRow,
    latest_alert::latest_of,
    row_batch::{Batch, Statement},
    together::Together,
};
use crate::domain::{
    GroupRule, InboxState, Seq, Timestamp, UserKey,
    inbox::{Row, Stand},
    snooze::{Woken, wake},
};

/// Snoozed rows that are found, and woken, at a time.
pub const WAKES_MAX: usize = 500;

/// A snoozed row whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSnooze {
    /// Whose row of what.
    pub key: EscalationKey,
    /// What the alert says by now.
    pub latest: LatestAlert,
}

impl Store {
    /// The first rows whose snooze is over, at most [`WAKES_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_snoozes(&self, now: Timestamp) -> Result<Vec<DueSnooze>, StoreError> {
        self.in_time("due_snoozes", async {
            // The rows are picked before the alerts are looked up: by one index, in its order.
            let found = sqlx::query(
                "SELECT due.tenant, due.user_id, due.alert_id, a.version, a.severity, a.status, a.content, a.policy, a.maker
                 FROM (SELECT tenant, user_id, alert_id, snoozed_until_ms FROM inbox
                       WHERE snoozed_until_ms <= $1 ORDER BY snoozed_until_ms LIMIT $2) AS due
                 CROSS JOIN alerts a WHERE a.tenant = due.tenant AND a.alert_id = due.alert_id
                 ORDER BY due.snoozed_until_ms",
            )
            .bind(now.as_millisecond())
            .bind(WAKES_MAX as i64)
            .fetch_all(&self.read)
            .await?;
            let due = |row: &AnyRow| Ok(DueSnooze { key: key_of(row)?, latest: latest_of(row)? });
            found.iter().map(due).collect()
        })
        .await
    }

    /// Ends snoozes: each row that is still snoozed, and was due by `now`, becomes what [`wake`] says, under the next change
    /// number, and its escalation opens as `new` says. Answers what changed; a row that somebody else woke, that was put
    /// off again, or whose alert has a later version than `new`, is left as it is.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn wake(&self, batch: &[NewAlert], now: Timestamp) -> Result<Vec<RecordedRow>, StoreError> {
        writing!(self, "wake", |tx| self.wake_in(tx, batch, now).await).await
    }

    async fn wake_in(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<Vec<RecordedRow>, Failure> {
        // Nobody is made known by a row that they had: one who was erased meanwhile has none.
        let mut heads = self.lock_heads(tx, batch, None).await?;
        let rows = self.existing_rows(tx, batch).await?;
        let acknowledged = batch.iter().filter(|new| new.group == GroupRule::FirstAcknowledges);
        let acknowledgements =
            self.acknowledgements(tx, acknowledged.map(|new| (&new.alert.tenant, &new.alert.id))).await?;
        let mut recorded = Vec::new();
        let (mut written, mut chases) = (InboxRows::new(), Chases::default());
        let mut notes = Vec::new();
        for (by, new) in batch.iter().enumerate() {
            let rules = Rules::of(new, now);
            let acknowledgement = acknowledgements.get(&(new.alert.tenant.clone(), new.alert.id.clone()));
            for user in &new.recipients {
                let user_key = UserKey::new(new.alert.tenant.clone(), user.clone());
                let key = (user_key.clone(), new.alert.id.clone());
                let (Some(head), Some(existing)) = (heads.get_mut(&user_key), rows.get(&key)) else {
                    continue;
                };
                let is_due = existing.until.is_some_and(|until| until <= now);
                if !is_due || existing.row.version > new.alert.version {
                    continue;
                }
                let Woken { state, unread_by, escalation } =
                    wake(existing.row, new.alert.expires_at.is_some_and(|at| at <= now));
                head.seq += 1;
                head.unread += unread_by;
                head.changed = true;
                // What comes back is told as if nobody had looked.
                let looked = existing.row.looked.filter(|_| state != InboxState::New);
                let row = Row { state, looked, ..existing.row };
                let Row { version, severity, status, .. } = row;
                chases.follow(&key, escalation, Stand { version, severity, status }, &rules, now);
                let answer = existing.answer.clone();
                written.insert(key, Existing { row, seq: head.seq, until: None, answer: answer.clone() });
                let note = match state {
                    InboxState::New => "came back: the snooze is over",
                    _ => "the snooze is over, and so is the alert: it is no news any more",
                };
                notes.push((EscalationKey { user: user_key, alert: new.alert.id.clone() }, note));
                recorded.push(RecordedRow {
                    alert: by,
                    user: user.clone(),
                    seq: head.seq as Seq,
                    unread: head.unread.max(0) as u64,
                    state,
                    until: None,
                    answer,
                    acknowledgement: acknowledgement.cloned(),
                    version: row.version,
                    content: new.content.clone(),
                    changed: true,
                });
            }
        }
        let asked: usize = batch.iter().map(|new| new.recipients.len()).sum();
        if recorded.len() < asked {
            self.forget_stale_snoozes(tx, batch).await?;
        }
        let mut together = Together::on(self.engine);
        self.write_rows(&mut together, &written, now)?;
        self.write_heads(&mut together, &heads)?;
        self.open_timers(&mut together, &chases, now)?;
        together.execute(tx).await?;
        self.write_chases(tx, &chases, now).await?;
        let notes: Vec<_> = notes.iter().map(|(key, note)| (key, *note, now)).collect();
        self.write_notes(tx, &notes).await?;
        Ok(recorded)
    }

    /// Takes the time from rows that are not snoozed: a version that knows no snooze leaves it where it was.
    async fn forget_stale_snoozes(&self, tx: &mut Tx, batch: &[NewAlert]) -> Result<(), Failure> {
        // A snoozed row is stored as dismissed (`inbox_rows.rs`).
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE inbox SET snoozed_until_ms = NULL FROM {batch} WHERE inbox.tenant = batch.tenant
                 AND inbox.user_id = batch.user_id AND inbox.alert_id = batch.alert_id AND inbox.state <> 'dismissed'",
        );
        let keys = Batch::of(self.engine, keys_of(batch))?;
        UPDATE.over(&keys).execute(&mut **tx).await?;
        Ok(())
    }

    /// Puts snoozes off that cannot be ended: they are tried again at `until`, and hold up nobody else's meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_off_snoozes(
        &self,
        keys: &[EscalationKey],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE inbox SET snoozed_until_ms = $2 FROM {batch} WHERE inbox.tenant = batch.tenant
                 AND inbox.user_id = batch.user_id AND inbox.alert_id = batch.alert_id AND inbox.snoozed_until_ms <= $1",
        );
        writing!(self, "put_off_snoozes", |tx| {
            let rows = keys.iter().map(|key| UserAlertRow::of(&key.user, &key.alert));
            let batch = Batch::of(self.engine, rows)?;
            UPDATE
                .over(&batch)
                .bind(now.as_millisecond())
                .bind(until.as_millisecond())
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
        .await
    }
}
