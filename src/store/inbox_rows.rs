//! Rows of inboxes while a batch of alerts is recorded or woken: how they are read, stored and written back.
//!
//! A snoozed row is stored as `dismissed` with a time, for programs of a version that knows no snooze.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{
    Failure, NewAlert, Store, Tx,
    alert_batch::keys_of,
    int,
    key_rows::UserAlertRow,
    maybe_int, maybe_text, maybe_time, maybe_word,
    row_batch::{Batch, Statement, batch_row},
    stored_name,
    together::Together,
    word,
};
use crate::domain::{
    AlertId, Answered, InboxState, Severity, Tenant, Timestamp, UserId, UserKey, inbox::Row, snooze::Standing,
};

/// What inboxes hold of the alerts of a batch.
pub(super) type Rows = HashMap<(UserKey, AlertId), Existing>;

/// An inbox row as it is stored, or to be written.
#[derive(Clone)]
pub(super) struct Existing {
    pub(super) row: Row,
    pub(super) seq: i64,
    /// Until when it is snoozed; only then.
    pub(super) until: Option<Timestamp>,
    /// What the person answered, if they did: recording an alert leaves it as it is.
    pub(super) answer: Option<Answered>,
}

impl Store {
    /// The rows that the recipients of a batch have already.
    pub(super) async fn existing_rows(
        &self,
        tx: &mut Tx,
        batch: impl IntoIterator<Item = &NewAlert>,
    ) -> Result<Rows, Failure> {
        let keys = Batch::of(self.engine, keys_of(batch))?;
        self.rows_of(tx, &keys).await
    }

    /// The rows of these inboxes that are there.
    pub(super) async fn rows_of(&self, tx: &mut Tx, keys: &Batch<UserAlertRow<'_>>) -> Result<Rows, Failure> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT i.tenant, i.user_id, i.alert_id, i.seq, i.version, i.state, i.severity, i.status, i.looked,
                 i.snoozed_until_ms, i.seen_at_ms, i.answer_action, i.answered_at_ms
             FROM {batch} JOIN inbox i USING (tenant, user_id, alert_id)",
        );
        if keys.is_empty() {
            return Ok(Rows::new());
        }
        let found = SELECT.over(keys).fetch_all(&mut **tx).await?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in &found {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            let version = u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
            let (standing, severity): (_, Severity) = (standing_of(row)?, word(row, "severity")?);
            let state = standing.state;
            // A row of a program that did not note it yet: whoever looked, looked at what it says. What had expired when it
            // came is read without that.
            let has_looked = match state {
                InboxState::New => false,
                InboxState::Read => maybe_int(row, "seen_at_ms")?.is_some(),
                InboxState::Seen | InboxState::Dismissed | InboxState::Snoozed => true,
            };
            let looked = maybe_word(row, "looked")?.or(has_looked.then_some(severity));
            let value = Row { version, state, severity, status: word(row, "status")?, looked };
            let existing = Existing {
                row: value,
                seq: int(row, "seq")?,
                until: standing.until,
                answer: answer_in(row)?,
            };
            rows.insert((user, stored_name!(row, "alert_id", AlertId)), existing);
        }
        Ok(rows)
    }

    /// Writes rows that changed, with the change numbers that they have.
    pub(super) fn write_rows(
        &self,
        together: &mut Together,
        written: &Rows,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static INSERT: Statement<InboxValues<'_>> = Statement::new(
            "INSERT INTO inbox ({columns}, recorded_at_ms, came_at_ms) SELECT {columns}, $1, $1 FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, alert_id) DO UPDATE SET
                 seq = excluded.seq, version = excluded.version, state = excluded.state, severity = excluded.severity,
                 status = excluded.status, looked = excluded.looked, snoozed_until_ms = excluded.snoozed_until_ms,
                 came_at_ms = CASE WHEN excluded.status = 'firing' THEN excluded.came_at_ms ELSE inbox.came_at_ms END",
        );
        let values = written.iter().map(|((user, alert), write)| InboxValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            seq: write.seq,
            version: write.row.version,
            state: stored_state(write.row.state),
            severity: write.row.severity.as_str(),
            status: write.row.status.as_str(),
            looked: write.row.looked.map(Severity::as_str),
            snoozed_until_ms: write.until,
        });
        let batch = Batch::of(self.engine, values)?;
        together.add(&INSERT, batch, &[now.as_millisecond()]);
        Ok(())
    }
}

batch_row! {
    /// What is written of an inbox row when its alert is recorded.
    struct InboxValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        seq: i64,
        version: u32,
        state: &'a str,
        severity: &'a str,
        status: &'a str,
        looked: Option<&'a str>,
        snoozed_until_ms: Option<Timestamp>,
    }
}

/// What a person did with an alert, as a row has it in `state` and `snoozed_until_ms`.
pub(super) fn standing_of(row: &AnyRow) -> Result<Standing, Failure> {
    let state = word(row, "state")?;
    let until = maybe_time(row, "snoozed_until_ms")?;
    // A version that knows no snooze leaves the time where it was when it changes the state.
    Ok(match (state, until) {
        (InboxState::Dismissed, Some(_)) => Standing { state: InboxState::Snoozed, until },
        (state, _) => Standing { state, until: None },
    })
}

/// What a person answered, as a row has it in `answer_action` and `answered_at_ms`.
pub(super) fn answer_in(row: &AnyRow) -> Result<Option<Answered>, Failure> {
    let (action, at) = (maybe_text(row, "answer_action")?, maybe_time(row, "answered_at_ms")?);
    Ok(action.zip(at).map(|(action, at)| Answered { action, at }))
}

/// How a state is stored: a snoozed row is known by its time.
pub(super) fn stored_state(state: InboxState) -> &'static str {
    match state {
        InboxState::Snoozed => InboxState::Dismissed.as_str(),
        state => state.as_str(),
    }
}
