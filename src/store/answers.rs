//! What a person can answer: what the alerts of their inbox say.

use std::{collections::HashMap, time::Duration};

use super::{
    Failure, Store, StoreError,
    acknowledgements::acknowledgement_in,
    key_rows::UserAlertRow,
    maybe_text, maybe_time,
    row_batch::{Batch, Statement},
    stored_name, text,
};
use crate::domain::{Acknowledgement, AlertId, Timestamp, UserKey};

/// How far apart the clocks of whoever records alerts and of whoever writes messages may be, and what a link rounds away.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(2);

/// An alert that a person may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownContent {
    /// What clients are given of it, encoded: of the version that is shown.
    pub content: String,
    /// The action by which the person answered it, if they did.
    pub answered_by: Option<String>,
    /// Who has it, where it is to be acknowledged.
    pub acknowledgement: Option<Acknowledgement>,
    /// Since when the person is told of it as it is: when it first came, fired again, became worse, or came back from a snooze.
    /// None where nobody was to be told.
    pub told_since: Option<Timestamp>,
}

impl ShownContent {
    /// Whether it has begun anew since a message was written at that time, so that the message does not tell of what is shown now.
    pub fn has_begun_anew_since(&self, written_at: Timestamp) -> bool {
        self.told_since.is_some_and(|since| since > written_at + CLOCKS_APART_MAX)
    }
}

impl Store {
    /// What clients are given of these alerts, and what the person answered. Those that are not in the person's inbox
    /// are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn shown_contents(
        &self,
        user: &UserKey,
        alerts: &[AlertId],
    ) -> Result<HashMap<AlertId, ShownContent>, StoreError> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT a.alert_id, a.content, a.first_acknowledges, a.taken_by, a.taken_at_ms, i.answer_action,
                 e.opened_at_ms AS told_since_ms
             FROM {batch} CROSS JOIN inbox i CROSS JOIN alerts a
             LEFT JOIN escalations e ON e.tenant = i.tenant AND e.user_id = i.user_id AND e.alert_id = i.alert_id
             WHERE i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id
                 AND a.tenant = batch.tenant AND a.alert_id = batch.alert_id",
        );
        self.in_time("shown_contents", async {
            let keys = Batch::of(self.engine, alerts.iter().map(|alert| UserAlertRow::of(user, alert)))?;
            let rows = SELECT.over(&keys).fetch_all(&self.read).await?;
            let mut contents = HashMap::with_capacity(rows.len());
            for row in &rows {
                let shown = ShownContent {
                    content: text(row, "content")?,
                    answered_by: maybe_text(row, "answer_action")?,
                    acknowledgement: acknowledgement_in(row)?,
                    told_since: maybe_time(row, "told_since_ms")?,
                };
                contents.insert(stored_name!(row, "alert_id", AlertId), shown);
            }
            Ok::<_, Failure>(contents)
        })
        .await
    }
}
