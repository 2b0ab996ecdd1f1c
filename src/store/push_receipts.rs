//! Pushes that devices say they have: which push a receipt is of, and that it arrived.

use super::{
    EscalationKey, Failure, Store, StoreError, Tx, maybe_time,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time,
};
use crate::domain::{AlertId, AttemptId, AttemptKind, Channel, Receipt, Tenant, Timestamp, UserId, UserKey};

/// A push as it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPush {
    /// Whose, and of which alert.
    pub key: EscalationKey,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When its device first said that it has it.
    pub reached_at: Option<Timestamp>,
}

impl Store {
    /// The push of an attempt. None when it was deleted since, with its alert or its person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sent_push(&self, attempt: AttemptId) -> Result<Option<SentPush>, StoreError> {
        self.in_time("sent_push", async {
            let row = sqlx::query(
                "SELECT tenant, user_id, alert_id, created_at_ms, reached_at_ms FROM attempts
                 WHERE attempt_id = $1 AND kind = $2 AND channel = $3",
            )
            .bind(attempt.to_string())
            .bind(AttemptKind::Alert.as_str())
            .bind(Channel::Push.as_str())
            .fetch_optional(&self.read)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let user =
                UserKey::new(stored_name!(&row, "tenant", Tenant), stored_name!(&row, "user_id", UserId));
            Ok(Some(SentPush {
                key: EscalationKey { user, alert: stored_name!(&row, "alert_id", AlertId) },
                begun_at: time(&row, "created_at_ms")?,
                reached_at: maybe_time(&row, "reached_at_ms")?,
            }))
        })
        .await
    }

    /// Notes when pushes arrived. The first time counts. After everything else of a batch of receipts: steps hold the rows of attempts
    /// and wait for none that a receipt holds.
    pub(super) async fn write_reached(
        &self,
        tx: &mut Tx,
        receipts: &[Receipt],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<ReachedPush> = Statement::new(
            "UPDATE attempts SET reached_at_ms = $1, priority_lowered = batch.priority_lowered FROM {batch}
             WHERE attempts.attempt_id = batch.attempt_id AND attempts.reached_at_ms IS NULL",
        );
        let pushes = receipts.iter().filter_map(|receipt| receipt.push);
        let rows = pushes.map(|push| ReachedPush {
            attempt_id: push.attempt.to_string(),
            priority_lowered: push.priority_lowered.map(i64::from),
        });
        let batch = Batch::of(self.engine, rows)?;
        if !batch.is_empty() {
            UPDATE.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

batch_row! {
    /// A push that arrived.
    struct ReachedPush {
        attempt_id: String,
        priority_lowered: Option<i64>,
    }
}
