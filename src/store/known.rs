//! Who is known: registered by a producer, a member of a group, or once signed in. Everybody else in `users` was only
//! named by a producer, perhaps misspelt, and is not part of everyone.

use std::collections::HashSet;

use super::{
    Failure, Store, StoreError, Tx, int,
    key_rows::UserRow,
    maybe_time,
    row_batch::{Batch, Statement},
    stored_name,
};
use crate::domain::{Tenant, Timestamp, UserId, UserKey, device::is_void};

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

    /// Locks the row of somebody who writes about themselves with a token that was issued then, and makes them known. `false`, and
    /// nobody is made known by it, when the sessions of that token have ended. A request is let in before its body has come, so
    /// only here, where sessions that end wait for the lock, is it certain that they have not. `user_hash` is that of
    /// [`Store::user_hash`].
    pub(super) async fn lock_signed_in(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        user_hash: &str,
        issued_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let this_one = std::slice::from_ref(user);
        let is_there = !self.lock_users(tx, this_one, None).await?.is_empty();
        let row = sqlx::query(
            "SELECT (SELECT sessions_revoked_at_ms FROM users WHERE tenant = $1 AND user_id = $2) AS revoked_at_ms,
                 (SELECT issued_until_ms FROM erased_sessions WHERE tenant = $1 AND user_hash = $3) AS issued_until_ms",
        )
        .bind(user.tenant.as_str())
        .bind(user.user.as_str())
        .bind(user_hash)
        .fetch_one(&mut **tx)
        .await?;
        let ended_at = maybe_time(&row, "revoked_at_ms")?.max(maybe_time(&row, "issued_until_ms")?);
        if is_void(issued_at, ended_at) {
            return Ok(false);
        }
        self.make_known(tx, this_one, now).await?;
        if !is_there {
            self.lock_users(tx, this_one, None).await?;
        }
        Ok(true)
    }
}
