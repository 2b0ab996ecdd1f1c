//! Rows of inboxes are deleted, with everything that belongs to them, and the alerts that nobody holds any more.
//!
//! What holds here:
//! - What goes from one inbox goes in one change of it, under the next number and its person's lock: the badge, and the number
//!   up to which something was deleted ([`super::Head::deleted_to`]), are written in the same commit (I3).
//! - What is decided on is read under that lock. A person whom somebody else has locked is passed over, so that
//!   deleting never waits for recording.
//! - What was deleted does not come back when it is delivered once more. The alert's row stays for a while without its text,
//!   and each inbox knows how late what was deleted from it had been recorded.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::AnyRow;

use super::{
    Failure, Store, Tx,
    inbox_rows::standing_of,
    int,
    key_rows::{AlertRow, UserAlertRow, UserRow},
    maybe_int, maybe_text, maybe_time,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time,
};
use crate::domain::{
    AlertId, Tenant, Timestamp, UserId, UserKey,
    restraint::Held,
    retention::{EscalationStanding, KeptRow, may_go},
};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Rows of inboxes.
    pub rows: u64,
    /// Rows that had to stay: what they are about still goes on, or somebody was writing to the inbox.
    pub stayed: u64,
    /// Alerts that nobody holds any more.
    pub alerts: u64,
}

impl std::ops::AddAssign for Deleted {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.stayed += more.stayed;
        self.alerts += more.alerts;
    }
}

/// The rows of inboxes that are to go, if they may.
pub(super) struct Doomed<'a> {
    pub(super) rows: &'a [(UserKey, AlertId)],
    /// Alerts that may be held by nobody; those of `rows` are looked at besides.
    pub(super) alerts: &'a [(Tenant, AlertId)],
    /// Only what is older.
    pub(super) before: Option<Timestamp>,
    /// Only what has not changed since this number.
    pub(super) seq_max: i64,
}

/// What goes from one inbox.
struct Inbox {
    seq: i64,
    unread: i64,
    deleted_before: Timestamp,
    /// The alerts whose rows go.
    rows: Vec<AlertId>,
}

impl Store {
    /// Deletes what of it may go.
    pub(super) async fn delete_in(
        &self,
        tx: &mut Tx,
        doomed: &Doomed<'_>,
        now: Timestamp,
    ) -> Result<Deleted, Failure> {
        let mut inboxes = self.lock_free_inboxes(tx, doomed.rows).await?;
        let free = doomed.rows.iter().filter(|(user, _)| inboxes.contains_key(user));
        let keys = Batch::of(self.engine, free.map(|(user, alert)| UserAlertRow::of(user, alert)))?;
        self.pick_rows(tx, &keys, doomed, &mut inboxes).await?;

        let going =
            || inboxes.iter().flat_map(|(user, inbox)| inbox.rows.iter().map(move |alert| (user, alert)));
        let keys = Batch::of(self.engine, going().map(|(user, alert)| UserAlertRow::of(user, alert)))?;
        let rows = self.delete_keyed(tx, &keys).await?;
        // What is on a lock screen of them ends.
        self.wake_activities(tx, &keys, now).await?;
        self.write_deletions(tx, &inboxes).await?;
        let stayed = (doomed.rows.len() as u64).saturating_sub(rows);

        let left: BTreeSet<_> = doomed
            .alerts
            .iter()
            .cloned()
            .chain(going().map(|(user, alert)| (user.tenant.clone(), alert.clone())))
            .collect();
        let alerts = self.delete_unheld(tx, &left, doomed.before, now).await?;
        Ok(Deleted { rows, stayed, alerts })
    }

    /// The inboxes of these rows that nobody else has locked, in the order in which everybody locks them.
    async fn lock_free_inboxes(
        &self,
        tx: &mut Tx,
        rows: &[(UserKey, AlertId)],
    ) -> Result<BTreeMap<UserKey, Inbox>, Failure> {
        static SELECT: Statement<UserRow<'_>> = Statement::new(
            "SELECT u.tenant, u.user_id, u.seq, u.unread, u.deleted_before_ms
             FROM {batch} JOIN users u USING (tenant, user_id)
             ORDER BY u.tenant, u.user_id {skip_locked:u}",
        );
        let users: BTreeSet<&UserKey> = rows.iter().map(|(user, _)| user).collect();
        let batch = Batch::of(self.engine, users.into_iter().map(UserRow::of))?;
        let found = SELECT.over(&batch).fetch_all(&mut **tx).await?;
        let mut inboxes = BTreeMap::new();
        for row in &found {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            let inbox = Inbox {
                seq: int(row, "seq")?,
                unread: int(row, "unread")?,
                deleted_before: time(row, "deleted_before_ms")?,
                rows: Vec::new(),
            };
            inboxes.insert(user, inbox);
        }
        Ok(inboxes)
    }

    /// Reads the rows under their people's locks, and notes which of them go.
    async fn pick_rows(
        &self,
        tx: &mut Tx,
        keys: &Batch<UserAlertRow<'_>>,
        doomed: &Doomed<'_>,
        inboxes: &mut BTreeMap<UserKey, Inbox>,
    ) -> Result<(), Failure> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT i.tenant, i.user_id, i.alert_id, i.seq, i.state, i.snoozed_until_ms,
                 coalesce(a.latest_at_ms, a.recorded_at_ms) AS latest_at_ms, a.returns_at_ms,
                 e.fence, e.stopped, e.due_at_ms, e.held
             FROM {batch} CROSS JOIN inbox i
             LEFT JOIN alerts a ON a.tenant = i.tenant AND a.alert_id = i.alert_id
             LEFT JOIN escalations e ON e.tenant = i.tenant AND e.user_id = i.user_id AND e.alert_id = i.alert_id
             WHERE i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id",
        );
        if keys.is_empty() {
            return Ok(());
        }
        for row in &SELECT.over(keys).fetch_all(&mut **tx).await? {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            let Some(inbox) = inboxes.get_mut(&user) else { continue }; // Only what was asked for is found.
            let kept = kept_of(row)?;
            if int(row, "seq")? <= doomed.seq_max && may_go(kept, doomed.before) {
                inbox.unread -= i64::from(standing_of(row)?.state.is_unread());
                inbox.deleted_before =
                    inbox.deleted_before.max(kept.latest_at.unwrap_or(Timestamp::UNIX_EPOCH));
                inbox.rows.push(stored_name!(row, "alert_id", AlertId));
            }
        }
        Ok(())
    }

    /// Deletes rows of inboxes and what belongs to them alone.
    async fn delete_keyed(&self, tx: &mut Tx, keys: &Batch<UserAlertRow<'_>>) -> Result<u64, Failure> {
        static ESCALATIONS: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM escalations WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        static TOLD: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM told WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        static ATTEMPTS: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM attempts WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        static NOTES: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM notes WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        static INBOX: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM inbox WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        if keys.is_empty() {
            return Ok(0);
        }
        for delete in [&ESCALATIONS, &TOLD, &ATTEMPTS, &NOTES] {
            delete.over(keys).execute(&mut **tx).await?;
        }
        Ok(INBOX.over(keys).execute(&mut **tx).await?.rows_affected())
    }

    /// One change of each inbox that lost something.
    async fn write_deletions(&self, tx: &mut Tx, inboxes: &BTreeMap<UserKey, Inbox>) -> Result<(), Failure> {
        // The new number has no row, and neither have those of the rows that went.
        static UPDATE: Statement<DeletionValues<'_>> = Statement::new(
            "UPDATE users SET seq = batch.seq, deleted_to = batch.seq, unread = batch.unread,
                 deleted_before_ms = batch.deleted_before_ms, vacant = users.vacant + batch.vacated
             FROM {batch} WHERE users.tenant = batch.tenant AND users.user_id = batch.user_id",
        );
        let changed = inboxes.iter().filter(|(_, inbox)| !inbox.rows.is_empty());
        let values = changed.map(|(user, inbox)| DeletionValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            seq: inbox.seq + 1,
            unread: inbox.unread.max(0),
            deleted_before_ms: inbox.deleted_before,
            vacated: inbox.rows.len() as i64 + 1,
        });
        let batch = Batch::of(self.engine, values)?;
        if !batch.is_empty() {
            UPDATE.over(&batch).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Deletes those of these alerts that nobody holds, that nobody is being given, and that do not come back by themselves.
    /// What is left of each is its id, its versions' fingerprints and who made it.
    async fn delete_unheld(
        &self,
        tx: &mut Tx,
        alerts: &BTreeSet<(Tenant, AlertId)>,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        // Locked first: whoever is recording one of them has it locked, and its rows are seen once that is committed. What it
        // has to be is looked at here, because a condition would have it searched by its age.
        static LOCK: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.tenant, a.alert_id, a.deleted_at_ms, a.returns_at_ms,
                 coalesce(a.latest_at_ms, a.recorded_at_ms) AS latest_at_ms
             FROM {batch} JOIN alerts a USING (tenant, alert_id)
             ORDER BY a.tenant, a.alert_id {skip_locked:a}",
        );
        static UPDATE: Statement<AlertRow<'_>> = Statement::new(
            "UPDATE alerts SET deleted_at_ms = $1, content = '', status = 'resolved', said = coalesce(said, ''),
                 policy = NULL, taken_by = NULL, taken_at_ms = NULL, acknowledged_by = NULL, audience = NULL,
                 latest_at_ms = coalesce(latest_at_ms, recorded_at_ms)
             FROM {batch} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id
                 AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = batch.tenant AND i.alert_id = batch.alert_id LIMIT 1)
                 AND NOT EXISTS (SELECT 1 FROM expansions x WHERE x.tenant = batch.tenant AND x.alert_id = batch.alert_id LIMIT 1)
             RETURNING alerts.tenant AS tenant, alerts.alert_id AS alert_id",
        );
        static VERSIONS: Statement<AlertRow<'_>> = Statement::new(
            "DELETE FROM versions WHERE (tenant, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        if alerts.is_empty() {
            return Ok(0);
        }
        let rows = alerts.iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        let mut locked = LOCK.over(&Batch::of(self.engine, rows)?).fetch_all(&mut **tx).await?;
        let before = before.unwrap_or(Timestamp::MAX);
        locked.retain(|row| may_end(row, before).unwrap_or(false));
        let locked = alerts_of(&locked)?;
        let rows = Batch::of(self.engine, locked.iter().map(|(tenant, alert)| AlertRow::of(tenant, alert)))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let deleted = UPDATE.over(&rows).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        let deleted = alerts_of(&deleted)?;
        let rows = deleted.iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        let rows = Batch::of(self.engine, rows)?;
        VERSIONS.over(&rows).execute(&mut **tx).await?;
        self.wake_channels(tx, &rows, now).await?;
        Ok(deleted.len() as u64)
    }
}

batch_row! {
    /// What a deletion changes of a person.
    struct DeletionValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        seq: i64,
        unread: i64,
        deleted_before_ms: Timestamp,
        vacated: i64,
    }
}

/// Whether an alert that nobody holds may be deleted.
fn may_end(row: &AnyRow, before: Timestamp) -> Result<bool, Failure> {
    let is_there = maybe_time(row, "deleted_at_ms")?.is_none();
    Ok(is_there && maybe_time(row, "returns_at_ms")?.is_none() && time(row, "latest_at_ms")? < before)
}

fn alerts_of(rows: &[AnyRow]) -> Result<Vec<(Tenant, AlertId)>, Failure> {
    rows.iter()
        .map(|row| Ok((stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId))))
        .collect()
}

fn kept_of(row: &AnyRow) -> Result<KeptRow, Failure> {
    let escalation = match maybe_int(row, "fence")? {
        Some(_) => Some(standing_of_escalation(row)?),
        None => None,
    };
    Ok(KeptRow {
        latest_at: maybe_time(row, "latest_at_ms")?,
        is_snoozed: maybe_time(row, "snoozed_until_ms")?.is_some(),
        returns: maybe_time(row, "returns_at_ms")?.is_some(),
        escalation,
    })
}

/// Where an escalation stands: of a row with `stopped`, `due_at_ms` and `held`.
pub(super) fn standing_of_escalation(row: &AnyRow) -> Result<EscalationStanding, Failure> {
    Ok(EscalationStanding {
        has_ended: maybe_text(row, "stopped")?.is_some(),
        has_timer: maybe_int(row, "due_at_ms")?.is_some(),
        is_set_aside: maybe_text(row, "held")?.as_deref() == Some(Held::SetAside.as_str()),
    })
}
