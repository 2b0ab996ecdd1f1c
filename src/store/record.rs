//! Alerts into inboxes: rows, change numbers, badges and timers in one commit.

use std::{collections::HashMap, sync::Arc};

use super::{
    Failure, Rest, Store, StoreError, Tx, int,
    key_rows::{UserAlertRow, UserRow},
    maybe_int, maybe_word,
    publications::LateVersion,
    row_batch::{Batch, Statement, batch_row},
    snoozes::{standing_of, stored_state},
    stored_name, word,
};
use crate::domain::{
    Alert, AlertId, InboxState, Seq, Severity, Tenant, Timestamp, UserId, UserKey,
    inbox::{Recorded, Row, record, record_expired},
    publication::{Meets, Publication},
};

/// One alert with the people it goes to, at most [`super::ROWS_PER_COMMIT_MAX`] rows a call in all.
#[derive(Debug, Clone)]
pub struct NewAlert {
    /// What decides.
    pub alert: Arc<Alert>,
    /// What clients are given, encoded.
    pub content: Arc<str>,
    /// Whom it is for, each once.
    pub recipients: Vec<UserId>,
    /// The policy's name.
    pub policy: Arc<str>,
    /// Whether the first who sees it stops it for all.
    pub first_stops_all: bool,
    /// When the policy's first step is due; none for a policy without steps.
    pub first_due_at: Option<Timestamp>,
    /// When it is due for somebody without a session anywhere; the same when none.
    pub absent_due_at: Option<Timestamp>,
    /// When nobody is told any more.
    pub expires_at: Timestamp,
    /// Whether it fires again by itself because its `dismissed_until` has passed: the timeline says so.
    pub returns: bool,
    /// What is left of a large audience, for whoever takes the next turn: [`Store::claim_expansion`].
    pub rest: Option<Rest>,
    /// What is compared with what is recorded; none for more people of an alert that was compared before.
    pub publication: Option<Publication>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBatch {
    /// The rows of its recipients, in the order of the batch. An alert that was refused has none.
    pub rows: Vec<RecordedRow>,
    /// How each of its alerts met what was recorded.
    pub met: Vec<Meets>,
}

/// What became of one alert for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRow {
    /// Which alert: its place in the batch.
    pub alert: usize,
    /// Whose inbox.
    pub user: UserId,
    /// The change number it stands under.
    pub seq: Seq,
    /// The user's badge.
    pub unread: u64,
    /// What the user did with it.
    pub state: InboxState,
    /// Until when it is snoozed; only then.
    pub until: Option<Timestamp>,
    /// The version their inbox holds: a later one than the batch's when that came too late.
    pub version: u32,
    /// What clients are given of that version; of two contents of one version, the one that came first.
    pub content: Arc<str>,
    /// False when it was there before: published twice, or delivered twice.
    pub changed: bool,
}

/// What inboxes hold of the alerts of a batch.
pub(super) type Rows = HashMap<(UserKey, AlertId), Existing>;

/// An inbox row as it is stored, or to be written.
#[derive(Clone, Copy)]
pub(super) struct Existing {
    pub(super) row: Row,
    pub(super) seq: i64,
    /// Until when it is snoozed; only then.
    pub(super) until: Option<Timestamp>,
}

impl Store {
    /// [`Store::record_batch`], for whom only the rows matter.
    ///
    /// # Errors
    /// As for [`Store::record_batch`].
    pub async fn record(&self, batch: &[NewAlert], now: Timestamp) -> Result<Vec<RecordedRow>, StoreError> {
        Ok(self.record_batch(batch, now).await?.rows)
    }

    /// Records a batch. Rows come back in the order of the batch and its recipients, the unchanged ones too (with
    /// the number they stand under), so that a caller who lost the answer can publish again.
    ///
    /// An alert whose version is older than the recorded one is recorded for its recipients as that, when it says what that
    /// version is known to have said. One that says something else, or of which nobody knows, is recorded for nobody.
    /// Recipients of an earlier version get the later one only if it
    /// names them: [`Store::holders_after`] finds the others. Asked for after this returned, it finds them all: nobody is
    /// reached by the earlier version any more, whoever else is recording.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch was recorded, or nobody knows: record it again.
    pub async fn record_batch(
        &self,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<RecordedBatch, StoreError> {
        writing!(self, "record", |tx| self.record_in(tx, batch, now).await).await
    }

    pub(super) async fn record_in(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<RecordedBatch, Failure> {
        let mut heads = self.lock_heads(tx, batch, now).await?;
        let mut rows = self.existing_rows(tx, batch).await?;
        let mut alerts = self.lock_alerts(tx, batch, now).await?;

        let mut chases = self.lock_chases(tx, batch, &rows, &alerts, now).await?;

        let mut recorded = Vec::new();
        let (mut met, mut late) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut written = Rows::new();
        for (by, new) in batch.iter().enumerate() {
            let Some(held) = alerts.get_mut(&(new.alert.tenant.clone(), new.alert.id.clone())) else {
                return Err(Failure::Unreadable("alerts")); // `lock_alerts` made a row for each.
            };
            let meets = held.meet(by, new, now);
            met.push(meets);
            let is_redelivered =
                new.publication.as_ref().is_some_and(|publication| publication.is_redelivered);
            let is_late = matches!(meets, Meets::Later | Meets::Stale) && !is_redelivered;
            let (version, shown) = (new.alert.version, held.stand.version);
            let too_late = |user| LateVersion { user, alert: &new.alert.id, version, shown };
            if meets.is_refused() {
                // Whoever holds the alert may read that there was one more version; nobody else learns of it.
                let user_keys =
                    new.recipients.iter().map(|user| UserKey::new(new.alert.tenant.clone(), user.clone()));
                let holders =
                    user_keys.filter(|user| rows.contains_key(&(user.clone(), new.alert.id.clone())));
                late.extend(holders.filter(|_| is_late).map(too_late));
                continue;
            }
            for user in &new.recipients {
                let user_key = UserKey::new(new.alert.tenant.clone(), user.clone());
                if is_late {
                    late.push(too_late(user_key.clone()));
                }
                let Some(head) = heads.get_mut(&user_key) else {
                    return Err(Failure::Unreadable("users")); // `lock_heads` made a row for each.
                };
                let key = (user_key, new.alert.id.clone());
                let existing = rows.get(&key).copied();
                let chase = chases.of(&key, &held.rules, now);
                let known = existing.map(|existing| (existing.row, chase));
                let has_expired = held.rules.expires_at <= now;
                let decide = if has_expired { record_expired } else { record };
                let (now_held, changed) = match decide(known, held.stand) {
                    Recorded::Unchanged => (existing.ok_or(Failure::Unreadable("inbox"))?, false),
                    Recorded::Changed { row, unread_by, escalation } => {
                        head.seq += 1;
                        head.unread += unread_by;
                        head.changed = true;
                        // The time of a snooze stays while the snooze does.
                        let until = existing.and_then(|existing| existing.until);
                        let until = until.filter(|_| row.state == InboxState::Snoozed);
                        let stored = Existing { row, seq: head.seq, until };
                        rows.insert(key.clone(), stored);
                        chases.follow(&key, escalation, held.stand, &held.rules, now);
                        written.insert(key, stored);
                        (stored, true)
                    }
                };
                let unread = head.unread.max(0) as u64;
                recorded.push(RecordedRow {
                    alert: by,
                    user: user.clone(),
                    seq: now_held.seq as Seq,
                    unread,
                    state: now_held.row.state,
                    until: now_held.until,
                    version: held.stand.version,
                    content: held.content.clone(),
                    changed,
                });
            }
        }

        self.write_alerts(tx, batch, &alerts, now).await?;
        self.note_late(tx, &late, now).await?;
        let told = batch.iter().zip(&met).filter(|(_, met)| !met.is_refused()).map(|(new, _)| new);
        self.open_expansions(tx, told, now).await?;
        self.write_rows(tx, &written, now).await?;
        self.write_heads(tx, &heads).await?;
        self.write_chases(tx, &chases, now).await?;
        Ok(RecordedBatch { rows: recorded, met })
    }

    pub(super) async fn lock_heads(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<HashMap<UserKey, LockedHead>, Failure> {
        let mut users: Vec<UserKey> = batch
            .iter()
            .flat_map(|new| {
                new.recipients.iter().map(|user| UserKey::new(new.alert.tenant.clone(), user.clone()))
            })
            .collect();
        users.sort();
        users.dedup();
        self.lock_users(tx, &users, Some(now)).await
    }

    pub(super) async fn existing_rows(&self, tx: &mut Tx, batch: &[NewAlert]) -> Result<Rows, Failure> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT i.tenant, i.user_id, i.alert_id, i.seq, i.version, i.state, i.severity, i.status, i.looked,
                 i.snoozed_until_ms, i.seen_at_ms
             FROM {batch} JOIN inbox i USING (tenant, user_id, alert_id)",
        );
        let keys = Batch::of(self.engine, keys_of(batch))?;
        let found = SELECT.over(&keys).fetch_all(&mut **tx).await?;
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
            let existing = Existing { row: value, seq: int(row, "seq")?, until: standing.until };
            rows.insert((user, stored_name!(row, "alert_id", AlertId)), existing);
        }
        Ok(rows)
    }

    pub(super) async fn write_rows(
        &self,
        tx: &mut Tx,
        written: &Rows,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static INSERT: Statement<InboxValues<'_>> = Statement::new(
            "INSERT INTO inbox ({columns}, recorded_at_ms) SELECT {columns}, $1 FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, alert_id) DO UPDATE SET
                 seq = excluded.seq, version = excluded.version, state = excluded.state, severity = excluded.severity,
                 status = excluded.status, looked = excluded.looked, snoozed_until_ms = excluded.snoozed_until_ms",
        );
        if written.is_empty() {
            return Ok(());
        }
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
        INSERT.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }

    /// Locks the heads of these users (sorted, each once), in one order everywhere so that no two transactions wait
    /// for each other. Users who are not there are added when `create_at` is given, as those who are only named
    /// (`known.rs`); otherwise they are left out.
    pub(super) async fn lock_users(
        &self,
        tx: &mut Tx,
        users: &[UserKey],
        create_at: Option<Timestamp>,
    ) -> Result<HashMap<UserKey, LockedHead>, Failure> {
        static INSERT: Statement<UserRow<'_>> = Statement::new(
            "INSERT INTO users ({columns}, seq, unread, created_at_ms, named_only)
             SELECT {columns}, 0, 0, $1, 1 FROM {batch} WHERE true ON CONFLICT (tenant, user_id) DO NOTHING",
        );
        static SELECT: Statement<UserRow<'_>> = Statement::new(
            "SELECT u.tenant, u.user_id, u.seq, u.unread FROM {batch} JOIN users u USING (tenant, user_id)
             ORDER BY u.tenant, u.user_id {lock:u}",
        );
        let batch = Batch::of(self.engine, users.iter().map(UserRow::of))?;
        if let Some(now) = create_at {
            // Before any lock is taken: whoever waits here for another's new user holds nothing that one could want.
            INSERT.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
        }
        let found = SELECT.over(&batch).fetch_all(&mut **tx).await?;
        let mut heads = HashMap::with_capacity(found.len());
        for row in &found {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            heads.insert(
                user,
                LockedHead { seq: int(row, "seq")?, unread: int(row, "unread")?, changed: false },
            );
        }
        Ok(heads)
    }

    /// Writes back the heads that changed.
    pub(super) async fn write_heads(
        &self,
        tx: &mut Tx,
        heads: &HashMap<UserKey, LockedHead>,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<HeadValues<'_>> = Statement::new(
            "UPDATE users SET seq = batch.seq, unread = batch.unread
             FROM {batch} WHERE users.tenant = batch.tenant AND users.user_id = batch.user_id",
        );
        let changed = heads.iter().filter(|(_, head)| head.changed);
        let values = changed.map(|(user, head)| HeadValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            seq: head.seq,
            unread: head.unread.max(0),
        });
        let batch = Batch::of(self.engine, values)?;
        if !batch.is_empty() {
            UPDATE.over(&batch).execute(&mut **tx).await?;
        }
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

batch_row! {
    /// The head of an inbox.
    struct HeadValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        seq: i64,
        unread: i64,
    }
}

/// The keys of the rows of a batch.
pub(super) fn keys_of(batch: &[NewAlert]) -> impl Iterator<Item = UserAlertRow<'_>> {
    batch.iter().flat_map(|new| {
        new.recipients.iter().map(|user| UserAlertRow {
            tenant: new.alert.tenant.as_str(),
            user_id: user.as_str(),
            alert_id: new.alert.id.as_str(),
        })
    })
}

/// A user's head under lock.
pub(super) struct LockedHead {
    pub(super) seq: i64,
    pub(super) unread: i64,
    pub(super) changed: bool,
}
