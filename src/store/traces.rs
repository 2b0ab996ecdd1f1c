//! The traces that alerts belong to, for whoever goes on with them later. Only sampled alerts have one.

use std::collections::HashMap;

use super::{
    Failure, Store, StoreError,
    key_rows::AlertRow,
    row_batch::{Batch, Statement},
    stored_name, text,
};
use crate::domain::{AlertId, Tenant};

impl Store {
    /// The traces of those of these alerts that have one, as `TraceContext::stored` wrote them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn traces_of<'a>(
        &self,
        alerts: impl Iterator<Item = (&'a Tenant, &'a AlertId)>,
    ) -> Result<HashMap<(Tenant, AlertId), String>, StoreError> {
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.tenant, a.alert_id, a.trace FROM {batch} JOIN alerts a USING (tenant, alert_id)
             WHERE a.trace IS NOT NULL",
        );
        let keys = Batch::of(self.engine, alerts.map(|(tenant, alert)| AlertRow::of(tenant, alert)));
        self.in_time("traces_of", async {
            let keys = keys?;
            if keys.is_empty() {
                return Ok(HashMap::new());
            }
            let found = SELECT.over(&keys).fetch_all(&self.read).await?;
            let trace = |row| {
                let key = (stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId));
                Ok::<_, Failure>((key, text(row, "trace")?))
            };
            found.iter().map(trace).collect()
        })
        .await
    }
}
