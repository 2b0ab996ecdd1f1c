//! What a receipt does to an alert that several people have: somebody takes it on, passes it on, or gives it back.
//!
//! It is part of the commit of the receipt. What follows for the others, who may be many, is left to [`super::group_receipts`].

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    EscalationKey, Failure, Store, Tx,
    attempts::{Note, small},
    escalations::key_of,
    group_receipts::{GroupReceipt, GroupReceiptRow},
    int,
    key_rows::{AlertRow, UserAlertRow},
    receipts::Written,
    row_batch::{Batch, Statement, batch_row},
    stored_name,
};
use crate::domain::{AlertId, ReceiptState, Tenant, Timestamp, UserId, UserKey, explanation};

batch_row! {
    /// Somebody who may have an alert from now on.
    struct TakingRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        acknowledges: bool,
    }
}

batch_row! {
    /// Somebody who says that an alert is not for them.
    struct PassedOnRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        releases: bool,
    }
}

/// Inbox rows that receipts change.
type WrittenRows = HashMap<(UserKey, AlertId), Written>;

impl Store {
    /// An alert whose policy says so is taken: by the first who looks, or by the first who acknowledges it. Nobody else is chased:
    /// their escalations find that out when they come due.
    pub(super) async fn take(
        &self,
        tx: &mut Tx,
        written: &WrittenRows,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<TakingRow<'_>> = Statement::new(
            "UPDATE alerts SET taken_by = batch.user_id, taken_version = alerts.version,
                 taken_at_ms = CASE WHEN alerts.first_acknowledges = 1 THEN $1 END
             FROM {batch} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id
                 AND (alerts.first_stops_all = 1 AND coalesce(alerts.taken_version, 0) < alerts.version
                     OR alerts.first_acknowledges = 1 AND batch.acknowledges = 1 AND alerts.taken_at_ms IS NULL
                         AND alerts.status = 'firing')
             RETURNING alerts.tenant AS tenant, alerts.alert_id AS alert_id, alerts.taken_by AS taken_by,
                 alerts.taken_version AS taken_version, alerts.first_acknowledges AS first_acknowledges",
        );
        static INSERT: Statement<GroupReceiptRow<'_>> = Statement::new(
            "INSERT INTO group_receipts ({columns}, ready_at_ms, after_user_id) SELECT {columns}, $1, '' FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, alert_id, said, version) DO UPDATE SET after_user_id = ''",
        );
        let takers = written.iter().filter(|(_, written)| written.takes);
        let takers = takers.map(|((user, alert), written)| TakingRow {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            acknowledges: written.acknowledges,
        });
        let batch = Batch::of(self.engine, takers)?;
        if batch.is_empty() {
            return Ok(());
        }
        let taken = UPDATE.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        self.tell_taken(tx, &taken, now).await?;
        let mut ended = BTreeSet::new();
        for row in &taken {
            ended.insert((stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId)));
        }
        let ended = ended.iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        self.wake_channels(tx, &Batch::of(self.engine, ended)?, now).await?;
        let mut receipts = Vec::new();
        for row in &taken {
            if int(row, "first_acknowledges")? == 1 {
                receipts.push(GroupReceipt {
                    by: UserKey::new(
                        stored_name!(row, "tenant", Tenant),
                        stored_name!(row, "taken_by", UserId),
                    ),
                    alert: stored_name!(row, "alert_id", AlertId),
                    said: ReceiptState::Acknowledged,
                    version: small(row, "taken_version")?,
                });
            }
        }
        let batch = Batch::of(self.engine, receipts.iter().map(GroupReceiptRow::of))?;
        if batch.is_empty() {
            return Ok(());
        }
        INSERT.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
        let said = receipts
            .iter()
            .map(|receipt| EscalationKey { user: receipt.by.clone(), alert: receipt.alert.clone() });
        self.note_said(tx, said.collect(), written, explanation::acknowledged, now).await
    }

    /// Alerts that these people pass on: those that nobody has, each version once, and those that they have themselves, which are
    /// anybody's again. Before the rows are written, which say that it was.
    pub(super) async fn pass_on(
        &self,
        tx: &mut Tx,
        written: &WrittenRows,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static HAD: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT a.tenant, batch.user_id, a.alert_id FROM {batch} JOIN alerts a
                 ON a.tenant = batch.tenant AND a.alert_id = batch.alert_id AND a.taken_by = batch.user_id
             WHERE a.first_acknowledges = 1 AND a.taken_at_ms IS NOT NULL AND a.status = 'firing' {lock:a}",
        );
        static RELEASE: Statement<AlertRow<'_>> = Statement::new(
            "UPDATE alerts SET taken_by = NULL, taken_version = NULL, taken_at_ms = NULL
             FROM {batch} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id",
        );
        // Who goes through the others begins anew, where an earlier word of the same person is under way.
        static INSERT: Statement<PassedOnRow<'_>> = Statement::new(
            "INSERT INTO group_receipts (tenant, user_id, alert_id, said, version, ready_at_ms, after_user_id, releases)
             SELECT batch.tenant, batch.user_id, batch.alert_id, 'passed_on', i.version, $1, '', batch.releases
             FROM {batch} CROSS JOIN inbox i CROSS JOIN alerts a
             WHERE i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id
                 AND a.tenant = batch.tenant AND a.alert_id = batch.alert_id
                 AND a.first_acknowledges = 1 AND a.taken_at_ms IS NULL AND a.status = 'firing'
                 AND (batch.releases = 1 OR coalesce(i.passed_on_version, 0) < i.version)
             ON CONFLICT (tenant, user_id, alert_id, said, version) DO UPDATE SET after_user_id = '',
                 releases = CASE WHEN excluded.releases = 1 THEN 1 ELSE group_receipts.releases END
             RETURNING tenant, user_id, alert_id",
        );
        let passed: Vec<_> = written.iter().filter(|(_, written)| written.passes_on).collect();
        let batch =
            Batch::of(self.engine, passed.iter().map(|((user, alert), _)| UserAlertRow::of(user, alert)))?;
        if batch.is_empty() {
            return Ok(());
        }
        let released = HAD.over(&batch).fetch_all(&mut **tx).await?;
        let released = released.iter().map(key_of).collect::<Result<HashSet<_>, _>>()?;
        let alerts: BTreeSet<_> = released.iter().map(|key| (&key.user.tenant, &key.alert)).collect();
        let alerts = alerts.into_iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        let alerts = Batch::of(self.engine, alerts)?;
        if !alerts.is_empty() {
            RELEASE.over(&alerts).execute(&mut **tx).await?;
            self.wake_channels(tx, &alerts, now).await?;
        }
        let rows = passed.iter().map(|((user, alert), _)| PassedOnRow {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            releases: released.contains(&EscalationKey { user: user.clone(), alert: alert.clone() }),
        });
        let batch = Batch::of(self.engine, rows)?;
        let passed = INSERT.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        let keys = passed.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
        let (given_back, passed): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| released.contains(key));
        self.note_said(tx, given_back, written, explanation::given_back, now).await?;
        self.note_said(tx, passed, written, explanation::passed_on, now).await
    }

    /// Leaves a note of what each of these people said, with where they said it.
    async fn note_said(
        &self,
        tx: &mut Tx,
        said: Vec<EscalationKey>,
        written: &WrittenRows,
        words: fn(&str) -> String,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut notes = Vec::with_capacity(said.len());
        for key in said {
            let row = (key.user, key.alert);
            let by = written.get(&row).and_then(|written| written.by.as_deref()).unwrap_or_default();
            notes.push((EscalationKey { user: row.0, alert: row.1 }, words(by)));
        }
        let notes: Vec<Note<'_>> = notes.iter().map(|(key, words)| (key, words.as_str(), now)).collect();
        self.write_notes(tx, &notes).await
    }
}
