//! Which alerts are to be acknowledged, and who has them.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{
    Failure, Store, Tx, int,
    key_rows::AlertRow,
    maybe_text, maybe_time,
    row_batch::{Batch, Statement},
    stored_name,
};
use crate::domain::{Acknowledgement, AlertId, Tenant, UserId};

/// The rule and the taker of an alert, of a row with `first_acknowledges`, `taken_by` and `taken_at_ms`; none where nothing is to
/// be acknowledged.
pub(super) fn acknowledgement_in(row: &AnyRow) -> Result<Option<Acknowledgement>, Failure> {
    if int(row, "first_acknowledges")? == 0 {
        return Ok(None);
    }
    let (by, at) = (maybe_text(row, "taken_by")?, maybe_time(row, "taken_at_ms")?);
    Ok(Some(match by.zip(at) {
        Some((by, at)) => {
            let by = UserId::parse(by).map_err(|_| Failure::Unreadable("taken_by"))?;
            Acknowledgement::Taken { by, at }
        }
        None => Acknowledgement::Open,
    }))
}

/// Alerts that are to be acknowledged, by their key.
pub(super) type Acknowledgements = HashMap<(Tenant, AlertId), Acknowledgement>;

/// Alerts that somebody is to acknowledge, with who has them; nobody, where they are anybody's.
pub(super) type Takers = HashMap<(Tenant, AlertId), Option<UserId>>;

impl Store {
    /// Those of these alerts that somebody is to acknowledge, with who has them.
    pub(super) async fn takers(&self, tx: &mut Tx, alerts: &Batch<AlertRow<'_>>) -> Result<Takers, Failure> {
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.tenant, a.alert_id, a.first_acknowledges, a.taken_by, a.taken_at_ms
             FROM {batch} JOIN alerts a USING (tenant, alert_id)
             WHERE a.first_acknowledges = 1 AND a.status = 'firing'",
        );
        let mut takers = Takers::new();
        if alerts.is_empty() {
            return Ok(takers);
        }
        for row in &SELECT.over(alerts).fetch_all(&mut **tx).await? {
            let taker = match acknowledgement_in(row)? {
                Some(Acknowledgement::Taken { by, .. }) => Some(by),
                Some(Acknowledgement::Open) | None => None,
            };
            let key = (stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId));
            takers.insert(key, taker);
        }
        Ok(takers)
    }

    /// Which of these alerts are to be acknowledged, and who has them.
    pub(super) async fn acknowledgements<'a>(
        &self,
        tx: &mut Tx,
        alerts: impl Iterator<Item = (&'a Tenant, &'a AlertId)>,
    ) -> Result<Acknowledgements, Failure> {
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.tenant, a.alert_id, a.first_acknowledges, a.taken_by, a.taken_at_ms
             FROM {batch} JOIN alerts a USING (tenant, alert_id)",
        );
        let keys = Batch::of(self.engine, alerts.map(|(tenant, alert)| AlertRow::of(tenant, alert)))?;
        let mut all = Acknowledgements::new();
        if keys.is_empty() {
            return Ok(all);
        }
        for row in &SELECT.over(&keys).fetch_all(&mut **tx).await? {
            if let Some(acknowledgement) = acknowledgement_in(row)? {
                let key = (stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId));
                all.insert(key, acknowledgement);
            }
        }
        Ok(all)
    }
}
