//! Who there is: users and their groups. Their addresses are in `addresses`, their devices in `devices`; the keys of
//! producers are in `api_keys`.

use super::{
    AuditedChange, Store, StoreError,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time,
};
use crate::domain::{
    GroupId, Tenant, Timestamp, UserId, UserKey,
    audit::{self, AuditAction},
};

/// What a revocation of somebody's sessions did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Tokens that were issued up to then are refused: the latest of all revocations.
    pub at: Timestamp,
    /// Devices that were registered with such tokens and were taken out now.
    pub devices: u64,
}

impl Store {
    /// Refuses tokens of this user that were issued up to now, and takes out the devices that were registered with them.
    /// Makes the user known, because the refusal has to outlast the process that asked for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_sessions(&self, user: &UserKey, now: Timestamp) -> Result<Revocation, StoreError> {
        writing!(self, "revoke_sessions", |tx| {
            let row = sqlx::query(
                "INSERT INTO users (tenant, user_id, seq, unread, created_at_ms, sessions_revoked_at_ms)
                 VALUES ($1, $2, 0, 0, $3, $3)
                 ON CONFLICT (tenant, user_id) DO UPDATE SET sessions_revoked_at_ms =
                     CASE WHEN users.sessions_revoked_at_ms > excluded.sessions_revoked_at_ms
                     THEN users.sessions_revoked_at_ms ELSE excluded.sessions_revoked_at_ms END
                 RETURNING sessions_revoked_at_ms",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(now.as_millisecond())
            .fetch_one(&mut **tx)
            .await?;
            let at = time(&row, "sessions_revoked_at_ms")?;
            let devices = self.end_devices(tx, user, at).await?;
            let object = audit::user_object(&user.user);
            let change = AuditedChange::done(&user.tenant, AuditAction::SessionsRevoked, object);
            let outcome = format!("done, with {devices} devices");
            self.write_audit(tx, &change.with_outcome(outcome), now).await?;
            Ok(Revocation { at, devices })
        })
        .await
    }

    /// Adds members to a group, who are known from here on, and takes others out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_members(
        &self,
        tenant: &Tenant,
        group: &GroupId,
        add: &[UserId],
        remove: &[UserId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // All three columns of a key come from the batch: with two of them given, a planner without statistics would go
        // through the whole group.
        static DELETE: Statement<MemberRow<'_>> = Statement::new(
            "DELETE FROM group_members WHERE (tenant, group_id, user_id) IN (SELECT {columns} FROM {batch})",
        );
        static INSERT: Statement<MemberRow<'_>> = Statement::new(
            "INSERT INTO group_members ({columns}) SELECT {columns} FROM {batch} WHERE true ORDER BY user_id
             ON CONFLICT (tenant, group_id, user_id) DO NOTHING",
        );
        writing!(self, "change_members", |tx| {
            let members: Vec<_> = add.iter().map(|user| UserKey::new(tenant.clone(), user.clone())).collect();
            self.make_known(tx, &members, now).await?;
            for (statement, users) in [(&DELETE, remove), (&INSERT, add)] {
                let rows = users.iter().map(|user| MemberRow {
                    tenant: tenant.as_str(),
                    group_id: group.as_str(),
                    user_id: user.as_str(),
                });
                if !users.is_empty() {
                    statement.over(&Batch::of(self.engine, rows)?).execute(&mut **tx).await?;
                }
            }
            let asked = format!("{} to be in it, {} not to be", add.len(), remove.len());
            let change = AuditedChange::done(tenant, AuditAction::GroupChanged, audit::group_object(group));
            self.write_audit(tx, &change.with_outcome(asked), now).await
        })
        .await
    }

    /// Members of a group in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn members_after(
        &self,
        tenant: &Tenant,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        self.in_time("members_after", async {
            let store = self;
            let rows = sqlx::query(
                "SELECT user_id FROM group_members WHERE tenant = $1 AND group_id = $2 AND user_id > $3
                 ORDER BY user_id LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(group.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&store.read)
            .await?;
            rows.iter().map(|row| Ok(stored_name!(row, "user_id", UserId))).collect()
        })
        .await
    }
}

batch_row! {
    /// A member of a group.
    struct MemberRow<'a> {
        tenant: &'a str,
        group_id: &'a str,
        user_id: &'a str,
    }
}
