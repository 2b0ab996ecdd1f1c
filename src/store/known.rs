//! Who is known: registered by a producer, a member of a group, or once signed in. Everybody else in `users` was only
//! named by a producer, perhaps misspelt, and is not part of everyone.

use std::collections::HashSet;

use super::{
    Failure, Store, StoreError, Tx, int,
    key_rows::UserRow,
    row_batch::{Batch, Statement},
    stored_name,
};
use crate::domain::{Tenant, Timestamp, UserId, UserKey};

impl Store {
    /// Those of these people who are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_users(
        &self,
        tenant: &Tenant,
        users: &[UserId],
    ) -> Result<HashSet<UserId>, StoreError> {
        static SELECT: Statement<UserRow<'_>> = Statement::new(
            "SELECT u.user_id, u.named_only FROM {batch} JOIN users u USING (tenant, user_id)",
        );
        self.in_time("known_users", async {
            let keys = users.iter().map(|user| UserRow { tenant: tenant.as_str(), user_id: user.as_str() });
            let keys = Batch::of(self.engine, keys)?;
            // Told apart here: a condition would let the planner take the index of everyone, and read all of them.
            let mut known = HashSet::new();
            for row in &SELECT.over(&keys).fetch_all(&self.read).await? {
                if int(row, "named_only")? == 0 {
                    known.insert(stored_name!(row, "user_id", UserId));
                }
            }
            Ok(known)
        })
        .await
    }

    /// Everyone: the known users of a tenant in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn everyone_after(
        &self,
        tenant: &Tenant,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        self.in_time("everyone_after", async {
            // `user_id || ''` and `named_only < 1` name the index `users_everyone` (migration 11): those who are only
            // named are not read over.
            let rows = sqlx::query(
                "SELECT user_id FROM users WHERE tenant = $1 AND user_id || '' > $2 AND named_only < 1
                 ORDER BY user_id || '' LIMIT $3",
            )
            .bind(tenant.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(|row| Ok(stored_name!(row, "user_id", UserId))).collect()
        })
        .await
    }

    /// Makes these people known. Costs one look by key when they are, as nearly always.
    pub(super) async fn make_known(
        &self,
        tx: &mut Tx,
        users: &[UserKey],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static SELECT: Statement<UserRow<'_>> = Statement::new(
            "SELECT batch.tenant, batch.user_id FROM {batch} LEFT JOIN users u
                 ON u.tenant = batch.tenant AND u.user_id = batch.user_id
             WHERE u.user_id IS NULL OR u.named_only > 0",
        );
        static UPDATE: Statement<UserRow<'_>> = Statement::new(
            "UPDATE users SET named_only = 0
             FROM {batch} WHERE users.tenant = batch.tenant AND users.user_id = batch.user_id",
        );
        if users.is_empty() {
            return Ok(());
        }
        let keys = Batch::of(self.engine, users.iter().map(UserRow::of))?;
        let found = SELECT.over(&keys).fetch_all(&mut **tx).await?;
        let mut unknown = Vec::with_capacity(found.len());
        for row in &found {
            unknown.push(UserKey::new(
                stored_name!(row, "tenant", Tenant),
                stored_name!(row, "user_id", UserId),
            ));
        }
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort();
        unknown.dedup();
        self.lock_users(tx, &unknown, Some(now)).await?;
        let unknown = Batch::of(self.engine, unknown.iter().map(UserRow::of))?;
        UPDATE.over(&unknown).execute(&mut **tx).await?;
        Ok(())
    }
}
