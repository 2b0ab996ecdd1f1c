//! What each alert says: the content that came first of its highest version. Every recipient's row says the same (I2).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;
use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{Failure, NewAlert, Store, StoreError, Tx, batch_of, int, stored_name, text, word};
use crate::domain::{AlertId, Tenant, Timestamp, UserId, inbox::Stand};

/// What an alert says while a batch is recorded, by its key; sorted, so that all lock in one order.
pub(super) type HeldAlerts = BTreeMap<(Tenant, AlertId), Held>;

/// What an alert says now.
pub(super) struct Held {
    pub(super) stand: Stand,
    pub(super) content: Arc<str>,
    /// The place in the batch of the alert that says it; none when it was stored before.
    pub(super) by: Option<usize>,
    /// Whether the batch changed what is stored.
    changed: bool,
}

impl Held {
    fn of(by: usize, new: &NewAlert, changed: bool) -> Self {
        let (stand, content) = (Stand::of(&new.alert), new.content.clone());
        Self { stand, content, by: Some(by), changed }
    }

    /// Takes in the next alert of the batch: a later version is what it says from here on, any other changes nothing.
    pub(super) fn meet(&mut self, by: usize, new: &NewAlert) {
        if new.alert.version > self.stand.version {
            *self = Self::of(by, new, true);
        }
    }
}

impl Store {
    /// Locks the alerts of a batch, those that are new to the store as their first in the batch says.
    pub(super) async fn lock_alerts(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<HeldAlerts, Failure> {
        let mut held = HeldAlerts::new();
        for (by, new) in batch.iter().enumerate() {
            let key = (new.alert.tenant.clone(), new.alert.id.clone());
            held.entry(key).or_insert_with(|| Held::of(by, new, false));
        }
        let values: Vec<_> = held.values().filter_map(|held| held.by).map(|by| value(&batch[by])).collect();
        let sql = format!(
            "INSERT INTO alerts (tenant, alert_id, version, severity, status, content, policy, first_stops_all,
                 recorded_at_ms)
             SELECT tenant, alert_id, version, severity, status, content, policy, first_stops_all, $2
             FROM {} WHERE true ON CONFLICT (tenant, alert_id) DO NOTHING RETURNING tenant, alert_id",
            self.engine.rows(COLUMNS)
        );
        let inserted = sqlx::query(AssertSqlSafe(sql))
            .bind(batch_of(values)?)
            .bind(now.as_millisecond())
            .fetch_all(&mut **tx)
            .await?;
        if inserted.len() < held.len() {
            let mut known: BTreeSet<_> = held.keys().cloned().collect();
            for row in &inserted {
                known.remove(&(stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId)));
            }
            self.lock_known(tx, &known, &mut held).await?;
        }
        Ok(held)
    }

    async fn lock_known(
        &self,
        tx: &mut Tx,
        known: &BTreeSet<(Tenant, AlertId)>,
        held: &mut HeldAlerts,
    ) -> Result<(), Failure> {
        let keys: Vec<_> = known
            .iter()
            .map(|(tenant, alert)| json!({"tenant": tenant.as_str(), "alert_id": alert.as_str()}))
            .collect();
        let sql = format!(
            "SELECT a.tenant, a.alert_id, a.version, a.severity, a.status, a.content
             FROM {} JOIN alerts a USING (tenant, alert_id) ORDER BY a.tenant, a.alert_id {}",
            self.engine.rows("tenant text, alert_id text"),
            self.engine.lock("a")
        );
        let found = sqlx::query(AssertSqlSafe(sql)).bind(batch_of(keys)?).fetch_all(&mut **tx).await?;
        for row in &found {
            let version = u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
            let stand = Stand { version, severity: word(row, "severity")?, status: word(row, "status")? };
            let content = text(row, "content")?.into();
            held.insert(
                (stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId)),
                Held { stand, content, by: None, changed: false },
            );
        }
        Ok(())
    }

    /// Writes what the batch changed of its alerts, which are locked.
    pub(super) async fn write_alerts(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        held: &HeldAlerts,
    ) -> Result<(), Failure> {
        let changed = held.values().filter(|held| held.changed).filter_map(|held| held.by);
        let values: Vec<_> = changed.map(|by| value(&batch[by])).collect();
        if values.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE alerts SET version = batch.version, severity = batch.severity, status = batch.status,
                 content = batch.content, policy = batch.policy, first_stops_all = batch.first_stops_all
             FROM {} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id",
            self.engine.rows(COLUMNS)
        );
        sqlx::query(AssertSqlSafe(sql)).bind(batch_of(values)?).execute(&mut **tx).await?;
        Ok(())
    }

    /// The people an alert reached already, in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recipients_after(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        let holders = self.holders_after(tenant, alert, after, limit).await?;
        Ok(holders.into_iter().map(|(user, _)| user).collect())
    }

    /// The people an alert reached already, in order, after `after`, each with the version they hold: a later one goes to
    /// them as well.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn holders_after(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u32)>, StoreError> {
        self.in_time("holders_after", async {
            let found = sqlx::query(
                "SELECT user_id, version FROM inbox
                 WHERE tenant = $1 AND alert_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            let holder = |row: &AnyRow| {
                let version =
                    u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
                Ok((stored_name!(row, "user_id", UserId), version))
            };
            found.iter().map(holder).collect()
        })
        .await
    }
}

/// One row of `alerts`, in [`COLUMNS`].
fn value(new: &NewAlert) -> serde_json::Value {
    json!({
        "tenant": new.alert.tenant.as_str(), "alert_id": new.alert.id.as_str(), "version": new.alert.version,
        "severity": new.alert.severity.as_str(), "status": new.alert.status.as_str(), "content": &*new.content,
        "policy": new.alert.policy, "first_stops_all": i64::from(new.first_stops_all),
    })
}

const COLUMNS: &str = "tenant text, alert_id text, version bigint, severity text, status text, content text,
    policy text, first_stops_all bigint";
