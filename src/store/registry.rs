//! Who there is: API keys of producers; users and their groups. Their addresses are in `addresses`, their devices in
//! `devices`.

use sqlx::Row as _;

use super::{
    Store, StoreError, int, maybe_time,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time,
};
use crate::domain::{GroupId, Tenant, Timestamp, UserId, UserKey};

/// A producer's key, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// The hash it is known by.
    pub hash: String,
    /// Whose alerts it may publish.
    pub tenant: Tenant,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped working, if it did.
    pub revoked_at: Option<Timestamp>,
    /// Whether it may change only alerts that it made.
    pub own_alerts: bool,
}

/// What a working key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRights {
    /// Whose alerts it may publish.
    pub tenant: Tenant,
    /// Whether it may change only alerts that it made.
    pub own_alerts: bool,
}

impl KeyRights {
    /// To publish alerts of this tenant, and to change any of them.
    pub fn of(tenant: Tenant) -> Self {
        Self { tenant, own_alerts: false }
    }
}

impl Store {
    /// Keeps the hash of a new key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_api_key(
        &self,
        hash: &str,
        rights: &KeyRights,
        name: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "add_api_key", |tx| {
            sqlx::query(
                "INSERT INTO api_keys (key_hash, tenant, name, created_at_ms, own_alerts) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (key_hash) DO NOTHING",
            )
            .bind(hash)
            .bind(rights.tenant.as_str())
            .bind(name)
            .bind(now.as_millisecond())
            .bind(i64::from(rights.own_alerts))
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }

    /// What the key with this hash is for, while it works.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rights_of_key(&self, hash: &str) -> Result<Option<KeyRights>, StoreError> {
        self.in_time("rights_of_key", async {
            // All columns: in a store that is behind, alerts are accepted too, and no key there has the narrower right.
            let row = sqlx::query("SELECT * FROM api_keys WHERE key_hash = $1 AND revoked_at_ms IS NULL")
                .bind(hash)
                .fetch_optional(&self.read)
                .await?;
            row.map(|row| {
                let tenant = stored_name!(&row, "tenant", Tenant);
                let own_alerts = match row.try_column("own_alerts") {
                    Ok(_) => int(&row, "own_alerts")? != 0,
                    Err(_) => false,
                };
                Ok(KeyRights { tenant, own_alerts })
            })
            .transpose()
        })
        .await
    }

    /// Every key, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_keys(&self) -> Result<Vec<ApiKeyInfo>, StoreError> {
        self.in_time("api_keys", async {
            let store = self;
            let rows = sqlx::query("SELECT * FROM api_keys ORDER BY created_at_ms, key_hash")
                .fetch_all(&store.read)
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(ApiKeyInfo {
                        hash: text(row, "key_hash")?,
                        tenant: stored_name!(row, "tenant", Tenant),
                        name: text(row, "name")?,
                        created_at: time(row, "created_at_ms")?,
                        revoked_at: maybe_time(row, "revoked_at_ms")?,
                        own_alerts: int(row, "own_alerts")? != 0,
                    })
                })
                .collect()
        })
        .await
    }

    /// Makes the keys whose hash begins so stop working; an empty beginning names none. Returns how many did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_api_key(&self, hash_prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        writing!(self, "revoke_api_key", |tx| {
            let done = sqlx::query(
                "UPDATE api_keys SET revoked_at_ms = $2 WHERE substr(key_hash, 1, $3) = $1 AND $3 > 0 AND revoked_at_ms IS NULL",
            )
            .bind(hash_prefix)
            .bind(now.as_millisecond())
            .bind(i32::try_from(hash_prefix.len()).unwrap_or(i32::MAX))
            .execute(&mut **tx)
            .await?;
            Ok(done.rows_affected())
        })
        .await
    }

    /// Refuses tokens of this user that were issued up to now, and returns up to when: the latest of all revocations.
    /// Makes the user known, because the refusal has to outlast the process that asked for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_sessions(&self, user: &UserKey, now: Timestamp) -> Result<Timestamp, StoreError> {
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
            time(&row, "sessions_revoked_at_ms")
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
            Ok(())
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
