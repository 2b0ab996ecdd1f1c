//! What people want, as JSON: what they said, over what their backend says of whoever said nothing.

use sqlx::any::AnyRow;

use super::{Failure, Store, StoreError, Tx, maybe_text, summaries::of_user};
use crate::domain::{Channel, Timestamp, UserKey, preferences::holding, restraint::Held};

/// What holds for a person, of a row with the three columns that decide it.
pub(super) fn holding_of(row: &AnyRow) -> Result<Option<String>, Failure> {
    let [own, defaults, zone] =
        ["preferences", "preference_defaults", "time_zone"].map(|column| maybe_text(row, column));
    Ok(holding(own?.as_deref(), defaults?.as_deref(), zone?.as_deref()))
}

impl Store {
    /// What holds for this person, if they or their backend ever said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn preferences(&self, user: &UserKey) -> Result<Option<String>, StoreError> {
        self.in_time("preferences", async {
            let row = of_user(
                sqlx::query(
                    "SELECT preferences, preference_defaults, time_zone FROM users WHERE tenant = $1 AND user_id = $2",
                ),
                user,
            )
            .fetch_optional(&self.read)
            .await?;
            Ok(row.map(|row| holding_of(&row)).transpose()?.flatten())
        })
        .await
    }

    /// Replaces what this person said by what `change` makes of it, under their lock, and has everything looked at
    /// again that waits for the end of a silence or for their digest: it may be over, or have moved. Returns what holds now. `change` is
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
        writing!(self, "change_preferences", |tx| {
            self.make_known(tx, std::slice::from_ref(user), now).await?;
            self.lock_users(tx, std::slice::from_ref(user), None).await?;
            self.change_in(tx, user, now, change).await
        })
        .await
    }

    /// The same by the person's own token, which was issued then. `None`, and nothing is changed, when its sessions have ended.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn change_own_preferences(
        &self,
        user: &UserKey,
        issued_at: Option<Timestamp>,
        now: Timestamp,
        change: &(dyn Fn(Option<&str>) -> String + Send + Sync),
    ) -> Result<Option<String>, StoreError> {
        let user_hash = self.user_hash(user).await?;
        writing!(self, "change_own_preferences", |tx| {
            match self.lock_signed_in(tx, user, &user_hash, issued_at, now).await? {
                true => self.change_in(tx, user, now, change).await.map(Some),
                false => Ok(None),
            }
        })
        .await
    }

    /// Under the person's lock.
    async fn change_in(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        now: Timestamp,
        change: &(dyn Fn(Option<&str>) -> String + Send + Sync),
    ) -> Result<String, Failure> {
        let before = of_user(
            sqlx::query(
                "SELECT preferences, preference_defaults, time_zone FROM users WHERE tenant = $1 AND user_id = $2",
            ),
            user,
        )
        .fetch_one(&mut **tx)
        .await?;
        let after = change(maybe_text(&before, "preferences")?.as_deref());
        let [defaults, zone] = ["preference_defaults", "time_zone"].map(|column| maybe_text(&before, column));
        let holds = holding(Some(&after), defaults?.as_deref(), zone?.as_deref());
        of_user(sqlx::query("UPDATE users SET preferences = $3 WHERE tenant = $1 AND user_id = $2"), user)
            .bind(after.clone())
            .execute(&mut **tx)
            .await?;
        self.end_silences(tx, user, now).await?;
        Ok(holds.unwrap_or(after))
    }

    /// Has everything of this person looked at again that waits for the end of a silence, or for their digest. What a summary that is
    /// under way tells of is left to it.
    pub(super) async fn end_silences(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        now: Timestamp,
    ) -> Result<(), Failure> {
        of_user(
            sqlx::query(
                "UPDATE escalations SET due_at_ms = $3 WHERE tenant = $1 AND user_id || '' = $2 AND held IN ($4, $5)
                     AND bundled_round = 0 AND stopped IS NULL AND due_at_ms > $3",
            ),
            user,
        )
        .bind(now.as_millisecond())
        .bind(Held::Quiet.as_str())
        .bind(Held::Summary(Channel::Email).as_str())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
