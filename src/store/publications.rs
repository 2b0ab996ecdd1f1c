//! What is known of alerts before one is published, and what is noted of those that came too late.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{
    Failure, Store, StoreError, Tx, int,
    key_rows::AlertRow,
    maybe_text,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text,
};
use crate::domain::{
    AlertId, Tenant, Timestamp, UserKey,
    publication::{Fingerprint, Known, VersionFingerprints},
};

impl Store {
    /// What is recorded of these alerts of a tenant; those that are not are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_alerts(
        &self,
        tenant: &Tenant,
        alerts: &[AlertId],
    ) -> Result<HashMap<AlertId, Known>, StoreError> {
        // What a program of an earlier version recorded says it in its content alone.
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.alert_id, a.version, a.said, a.maker, a.policy,
                 CASE WHEN a.said IS NULL THEN a.content ELSE '' END AS content
             FROM {batch} JOIN alerts a USING (tenant, alert_id)",
        );
        self.in_time("known_alerts", async {
            let keys = Batch::of(self.engine, alerts.iter().map(|alert| AlertRow::of(tenant, alert)))?;
            let found = SELECT.over(&keys).fetch_all(&self.read).await?;
            found.iter().map(|row| Ok((stored_name!(row, "alert_id", AlertId), known_of(row)?))).collect()
        })
        .await
    }

    /// Tells the timelines of these people which version came too late, once however often it comes.
    pub(super) async fn note_late(
        &self,
        tx: &mut Tx,
        late: &[LateVersion<'_>],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static INSERT: Statement<LateNoteValues<'_>> = Statement::new(
            "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what)
             SELECT DISTINCT batch.tenant, batch.user_id, batch.alert_id, $1, batch.what FROM {batch}
             WHERE (SELECT 1 FROM notes n WHERE n.tenant = batch.tenant AND n.alert_id = batch.alert_id
                 AND n.user_id = batch.user_id AND n.what = batch.what LIMIT 1) IS NULL",
        );
        if late.is_empty() {
            return Ok(());
        }
        let values = late.iter().map(|LateVersion { user, alert, version, shown }| LateNoteValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            what: format!("version {version} came after version {shown}, which is shown"),
        });
        let values = Batch::of(self.engine, values)?;
        INSERT.over(&values).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }
}

batch_row! {
    /// A line for the timeline of somebody who holds a later version.
    struct LateNoteValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        what: String,
    }
}

/// A version that came too late for somebody.
pub(super) struct LateVersion<'a> {
    pub(super) user: UserKey,
    pub(super) alert: &'a AlertId,
    pub(super) version: u32,
    /// The version that was there.
    pub(super) shown: u32,
}

/// What is known of an alert: of a row with `version`, `said`, `maker`, and with `content` and `policy` where `said` is
/// null.
pub(super) fn known_of(row: &AnyRow) -> Result<Known, Failure> {
    let version = u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
    let said = match maybe_text(row, "said")? {
        Some(said) => VersionFingerprints::read(&said),
        None => {
            let fingerprint = Fingerprint::of(&text(row, "content")?, maybe_text(row, "policy")?.as_deref());
            let mut said = VersionFingerprints::default();
            said.add(version, fingerprint);
            said
        }
    };
    Ok(Known { version, said, maker: maybe_text(row, "maker")?.map(Into::into) })
}
