//! What people want, as JSON that is not looked into here.

use super::{Failure, Store, StoreError, Tx, maybe_text, summaries::of_user};
use crate::domain::{Timestamp, UserKey, restraint::Held};

impl Store {
    /// What this person wants, if they ever said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn preferences(&self, user: &UserKey) -> Result<Option<String>, StoreError> {
        self.in_time("preferences", async {
            let row = of_user(
                sqlx::query("SELECT preferences FROM users WHERE tenant = $1 AND user_id = $2"),
                user,
            )
            .fetch_optional(&self.read)
            .await?;
            Ok(row.map(|row| maybe_text(&row, "preferences")).transpose()?.flatten())
        })
        .await
    }

    /// Replaces what this person wants by what `change` makes of it, under their lock, and has everything looked at
    /// again that waits for the end of a silence: it may be over, or have moved. Returns what they want now. `change` is
    /// pure and may run again.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn change_preferences(
        &self,
        user: &UserKey,
        now: Timestamp,
        change: &(dyn Fn(Option<&str>) -> String + Send + Sync),
    ) -> Result<String, StoreError> {
        writing!(self, "change_preferences", |tx| self.change_in(tx, user, now, change).await).await
    }

    async fn change_in(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        now: Timestamp,
        change: &(dyn Fn(Option<&str>) -> String + Send + Sync),
    ) -> Result<String, Failure> {
        self.make_known(tx, std::slice::from_ref(user), now).await?;
        self.lock_users(tx, std::slice::from_ref(user), None).await?;
        let before =
            of_user(sqlx::query("SELECT preferences FROM users WHERE tenant = $1 AND user_id = $2"), user)
                .fetch_one(&mut **tx)
                .await?;
        let after = change(maybe_text(&before, "preferences")?.as_deref());
        of_user(sqlx::query("UPDATE users SET preferences = $3 WHERE tenant = $1 AND user_id = $2"), user)
            .bind(after.clone())
            .execute(&mut **tx)
            .await?;
        of_user(
            sqlx::query(
                "UPDATE escalations SET due_at_ms = $3 WHERE tenant = $1 AND user_id || '' = $2 AND held = $4
                     AND stopped IS NULL AND due_at_ms > $3",
            ),
            user,
        )
        .bind(now.as_millisecond())
        .bind(Held::Quiet.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(after)
    }
}
