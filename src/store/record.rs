//! Alerts into inboxes: rows, change numbers, badges and timers in one commit.

use std::collections::HashMap;

use super::{
    Failure, GONE_TRIES_MAX, NewAlert, RecordedBatch, RecordedRow, Store, StoreError, Tx,
    alerts::LockedAlert,
    dialect::Engine,
    inbox_rows::{Existing, Rows},
    int,
    key_rows::{UserAlertRow, UserRow},
    publications::LateVersion,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time,
    together::Together,
};
use crate::domain::{
    InboxState, Seq, Status, Tenant, Timestamp, UserId, UserKey,
    inbox::{Recorded, record, record_expired},
    publication::Meets,
};

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
        let rows = batch.iter().map(|new| new.recipients.len()).sum();
        writing!(self, "record", |tx| {
            tx.is_batch_of(rows);
            self.record_in(tx, batch, now).await
        })
        .await
    }

    pub(super) async fn record_in(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<RecordedBatch, Failure> {
        let mut heads = self.lock_heads(tx, batch, Some(now)).await?;
        let mut alerts = self.lock_alerts(tx, batch, now).await?;
        // Nobody holds an alert that was not stored: it is forgotten only when nobody does.
        let is_stored = |new: &&NewAlert| {
            let held = alerts.get(&(new.alert.tenant.clone(), new.alert.id.clone()));
            held.is_some_and(LockedAlert::was_stored)
        };
        let mut rows = self.existing_rows(tx, batch.iter().filter(is_stored)).await?;
        let mut chases = self.lock_chases(tx, batch, &rows, &alerts, now).await?;

        let mut recorded = Vec::new();
        let (mut met, mut late) = (Vec::with_capacity(batch.len()), Vec::new());
        let (mut written, mut acknowledged) = (Rows::new(), Vec::new());
        let mut later = Vec::new();
        for (by, new) in batch.iter().enumerate() {
            // What is neither stored nor can begin an alert was not locked.
            let Some(held) = alerts.get_mut(&(new.alert.tenant.clone(), new.alert.id.clone())) else {
                met.push(Meets::TooFarAhead);
                continue;
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
            // What was deleted does not come back because it is delivered once more; a later version does.
            if held.is_deleted {
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
                let existing = rows.get(&key).cloned();
                // The same for one person, whose inbox may have had it.
                let is_old = held.by.is_none() && head.deleted_before.is_some_and(|at| held.latest_at <= at);
                if existing.is_none() && is_old {
                    continue;
                }
                let chase = chases.of(&key, &held.rules, now);
                let known = existing.as_ref().map(|existing| (existing.row, chase));
                let has_expired = held.rules.expires_at <= now;
                let decide = if has_expired { record_expired } else { record };
                let (now_held, changed) = match decide(known, held.stand) {
                    Recorded::Unchanged => (existing.ok_or(Failure::Unreadable("inbox"))?, false),
                    Recorded::Changed { row, unread_by, escalation } => {
                        head.seq += 1;
                        head.unread += unread_by;
                        head.changed = true;
                        // The time of a snooze stays while the snooze does.
                        let until = existing.as_ref().and_then(|existing| existing.until);
                        let until = until.filter(|_| row.state == InboxState::Snoozed);
                        let answer = existing.as_ref().and_then(|existing| existing.answer.clone());
                        let stored = Existing { row, seq: head.seq, until, answer };
                        rows.insert(key.clone(), stored.clone());
                        chases.follow(&key, escalation, held.stand, &held.rules, now);
                        let before = existing.as_ref().map(|existing| existing.row.status);
                        if let Some(by) = held
                            .acknowledged_by
                            .as_ref()
                            .filter(|_| self.is_telling() && turns(before, row.status))
                        {
                            acknowledged.push((key.clone(), row.version, by.clone()));
                        }
                        if existing.is_some() {
                            later.push(key.clone());
                        }
                        written.insert(key, stored.clone());
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
                    answer: now_held.answer,
                    acknowledgement: held.acknowledgement.clone(),
                    version: held.stand.version,
                    content: held.content.clone(),
                    changed,
                });
            }
        }

        self.write_alerts(tx, batch, &alerts, now).await?;
        self.note_late(tx, &late, now).await?;
        let is_deleted = |new: &NewAlert| {
            let key = (new.alert.tenant.clone(), new.alert.id.clone());
            alerts.get(&key).is_some_and(|held| held.is_deleted)
        };
        let told = batch.iter().zip(&met).filter(|(new, met)| !met.is_refused() && !is_deleted(new));
        let told = told.map(|(new, _)| new);
        self.open_expansions(tx, told, now).await?;
        let mut together = Together::on(self.engine);
        self.write_rows(&mut together, &written, now)?;
        self.write_heads(&mut together, &heads)?;
        self.open_timers(&mut together, &chases, now)?;
        together.execute(tx).await?;
        self.tell_acknowledged(tx, &acknowledged, now).await?;
        self.write_chases(tx, &chases, now).await?;
        let later = later.iter().map(|(user, alert)| UserAlertRow::of(user, alert));
        self.wake_activities(tx, &Batch::of(self.engine, later)?, now).await?;
        Ok(RecordedBatch { rows: recorded, met })
    }

    pub(super) async fn lock_heads(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        create_at: Option<Timestamp>,
    ) -> Result<HashMap<UserKey, LockedHead>, Failure> {
        let mut users: Vec<UserKey> = batch
            .iter()
            .flat_map(|new| {
                new.recipients.iter().map(|user| UserKey::new(new.alert.tenant.clone(), user.clone()))
            })
            .collect();
        users.sort();
        users.dedup();
        self.lock_users(tx, &users, create_at).await
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
            "SELECT u.tenant, u.user_id, u.seq, u.unread, u.deleted_before_ms
             FROM {batch} JOIN users u USING (tenant, user_id)
             ORDER BY u.tenant, u.user_id {lock:u}",
        );
        // Both at once, the rows that are added first. What somebody else adds meanwhile is in neither part, and is found by the next try.
        static INSERT_AND_SELECT: Statement<UserRow<'_>> = Statement::new(
            "WITH added AS (
                 INSERT INTO users ({columns}, seq, unread, created_at_ms, named_only)
                 SELECT {columns}, 0, 0, $1, 1 FROM {batch} WHERE true ON CONFLICT (tenant, user_id) DO NOTHING
                 RETURNING tenant, user_id, seq, unread, deleted_before_ms)
             SELECT * FROM added UNION ALL
             SELECT * FROM (SELECT u.tenant, u.user_id, u.seq, u.unread, u.deleted_before_ms
                 FROM {batch} JOIN users u USING (tenant, user_id) ORDER BY u.tenant, u.user_id {lock:u}) AS stored",
        );
        let batch = Batch::of(self.engine, users.iter().map(UserRow::of))?;
        let mut tries = 0;
        let found = loop {
            tries += 1;
            // New users are added before any lock is taken: a transaction that waits here for somebody else's new user holds no
            // lock that the other one could wait for.
            let found = match (create_at, self.engine) {
                (None, _) => SELECT.over(&batch).fetch_all(&mut **tx).await?,
                (Some(now), Engine::Postgres) => {
                    INSERT_AND_SELECT.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await?
                }
                // It has no statement that both writes and reads.
                (Some(now), Engine::Sqlite) => {
                    INSERT.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
                    SELECT.over(&batch).fetch_all(&mut **tx).await?
                }
            };
            // One who was erased while this waited for their lock is added anew.
            let is_whole = create_at.is_none() || found.len() >= users.len();
            if is_whole || tries == GONE_TRIES_MAX {
                break found;
            }
        };
        let mut heads = HashMap::with_capacity(found.len());
        for row in &found {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            let (seq, unread) = (int(row, "seq")?, int(row, "unread")?);
            let deleted_before =
                Some(time(row, "deleted_before_ms")?).filter(|at| *at > Timestamp::UNIX_EPOCH);
            heads.insert(user, LockedHead { seq, unread, deleted_before, changed: false });
        }
        Ok(heads)
    }

    /// Writes back the heads that changed.
    pub(super) fn write_heads(
        &self,
        together: &mut Together,
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
        together.add(&UPDATE, Batch::of(self.engine, values)?, &[]);
        Ok(())
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

/// Whether a row that comes to stand so is acknowledged from now on.
fn turns(before: Option<Status>, now: Status) -> bool {
    now == Status::Acknowledged && before != Some(Status::Acknowledged)
}

/// A user's head under lock.
pub(super) struct LockedHead {
    pub(super) seq: i64,
    pub(super) unread: i64,
    /// What was deleted from this inbox was recorded no later; none when nothing was.
    pub(super) deleted_before: Option<Timestamp>,
    pub(super) changed: bool,
}
