//! Devices: push registrations, which come from phones and go when their provider proves them gone (I7).

use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

use super::{
    AuditedChange, EscalationKey, Failure, Store, StoreError, Tx, int, maybe_int, maybe_text, stored_name,
    text, time, word,
};
use crate::domain::{
    Device, DeviceId, PushService, Secret, Tenant, Timestamp, UserKey,
    audit::{self, AuditAction},
    device::Registration,
};

impl Store {
    /// Registers a device or registers it again, which always renews `registered_at` (I7). Within a tenant a token belongs to
    /// one phone: whoever had it before, on this phone, loses it (I8). Another tenant's registration stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_device(
        &self,
        user: &UserKey,
        device: &Device,
        devices_max: usize,
    ) -> Result<Registration, StoreError> {
        let user_hash = self.user_hash(user).await?;
        writing!(self, "put_device", |tx| {
            // Two of their phones at once do not both become the last one allowed.
            if !self.lock_signed_in(tx, user, &user_hash, device.issued_at, device.registered_at).await? {
                return Ok(Registration::SessionEnded);
            }
            let token = TokenHashes::of(&user.tenant, &device.token);
            let standing = sqlx::query(
                "SELECT count(*) AS others FROM devices d
                 WHERE d.tenant = $1 AND d.user_id = $2 AND d.device_id <> $3
                     AND NOT (d.service = $4 AND d.token_hash IN ($5, $6))",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .bind(device.service.as_str())
            .bind(&token.in_tenant)
            .bind(&token.alone)
            .fetch_one(&mut **tx)
            .await?;
            if int(&standing, "others")? >= devices_max as i64 {
                return Ok(Registration::TooMany);
            }
            // One statement a hash: a planner without statistics reads all tokens of the service for two.
            for hash in [&token.in_tenant, &token.alone] {
                sqlx::query(
                    "DELETE FROM devices WHERE service = $1 AND token_hash = $2 AND tenant = $3
                     AND NOT (user_id = $4 AND device_id = $5)",
                )
                .bind(device.service.as_str())
                .bind(hash)
                .bind(user.tenant.as_str())
                .bind(user.user.as_str())
                .bind(device.id.as_str())
                .execute(&mut **tx)
                .await?;
            }
            // Its old token goes first. Then two users who register one token at the same time meet at its index
            // and the later one takes the row over; a delete alone does not see what is not committed yet.
            sqlx::query(
                "DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3
                 AND NOT (service = $4 AND token_hash = $5)",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .bind(device.service.as_str())
            .bind(&token.in_tenant)
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "INSERT INTO devices (tenant, user_id, device_id, service, environment, token, token_hash, registered_at_ms,
                     issued_at_s, bound_to, start_token)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (service, token_hash) DO UPDATE SET tenant = excluded.tenant, user_id = excluded.user_id,
                     device_id = excluded.device_id, environment = excluded.environment, token = excluded.token,
                     registered_at_ms = excluded.registered_at_ms, issued_at_s = excluded.issued_at_s,
                     bound_to = excluded.bound_to, start_token = excluded.start_token",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .bind(device.service.as_str())
            .bind(device.environment.as_str())
            .bind(device.token.expose())
            .bind(&token.in_tenant)
            .bind(device.registered_at.as_millisecond())
            .bind(device.issued_at.map(Timestamp::as_second))
            .bind(device.bound_to.as_deref())
            .bind(device.start_token.as_ref().map(Secret::expose))
            .execute(&mut **tx)
            .await?;
            Ok(Registration::Done)
        })
        .await
    }

    /// Takes out the devices of a user that were registered with tokens which are void since `revoked_at`, and notes how many
    /// those were for the timelines. For [`Store::revoke_sessions`], which has locked the user.
    pub(super) async fn end_devices(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        revoked_at: Timestamp,
    ) -> Result<u64, Failure> {
        let ended = sqlx::query(
            "DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND (issued_at_s IS NULL OR issued_at_s <= $3)",
        )
        .bind(user.tenant.as_str())
        .bind(user.user.as_str())
        .bind(revoked_at.as_second())
        .execute(&mut **tx)
        .await?
        .rows_affected();
        if ended > 0 {
            self.wake_activities_of(tx, user, revoked_at).await?;
            sqlx::query(
                "UPDATE users SET devices_ended_at_ms = $3, devices_ended = $4 WHERE tenant = $1 AND user_id = $2",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(revoked_at.as_millisecond())
            .bind(ended as i64)
            .execute(&mut **tx)
            .await?;
        }
        Ok(ended)
    }

    /// The user's devices.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn devices(&self, user: &UserKey) -> Result<Vec<Device>, StoreError> {
        self.in_time("devices", async {
            let store = self;
            let rows =
                sqlx::query("SELECT * FROM devices WHERE tenant = $1 AND user_id = $2 ORDER BY device_id")
                    .bind(user.tenant.as_str())
                    .bind(user.user.as_str())
                    .fetch_all(&store.read)
                    .await?;
            rows.iter().map(device_of).collect()
        })
        .await
    }

    /// Takes a device out. `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_device(
        &self,
        user: &UserKey,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "delete_device", |tx| {
            let gone =
                sqlx::query("DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3")
                    .bind(user.tenant.as_str())
                    .bind(user.user.as_str())
                    .bind(device.as_str())
                    .execute(&mut **tx)
                    .await?
                    .rows_affected();
            if gone > 0 {
                self.wake_activities_of(tx, user, now).await?;
            }
            Ok(gone > 0)
        })
        .await
    }

    /// Takes a device of the user out on their behalf, or all of them, and leaves an entry in the audit log if there was one. Returns
    /// how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_devices(
        &self,
        user: &UserKey,
        only: Option<&DeviceId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        writing!(self, "delete_devices", |tx| {
            let delete = match only {
                Some(_) => "DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3",
                None => "DELETE FROM devices WHERE tenant = $1 AND user_id = $2",
            };
            let delete =
                sqlx::query(delete).bind(user.tenant.as_str().to_owned()).bind(user.user.as_str().to_owned());
            let delete = match only {
                Some(device) => delete.bind(device.as_str().to_owned()),
                None => delete,
            };
            let gone = delete.execute(&mut **tx).await?.rows_affected();
            if gone > 0 {
                self.wake_activities_of(tx, user, now).await?;
                let object = audit::user_object(&user.user);
                let change = AuditedChange::done(&user.tenant, AuditAction::DeviceDeleted, object);
                let outcome = match only {
                    Some(device) => format!("device {device}"),
                    None => format!("all devices: {gone}"),
                };
                self.write_audit(tx, &change.with_outcome(outcome), now).await?;
            }
            Ok(gone)
        })
        .await
    }

    /// Drops the devices of one service that were last registered before that, `limit` at the most. Says how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_devices(
        &self,
        service: PushService,
        registered_before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        writing!(self, "prune_devices", |tx| {
            // Judged again where it is deleted: one that registers meanwhile stays.
            let done = sqlx::query(
                "DELETE FROM devices WHERE registered_at_ms < $2 AND (service, token_hash) IN
                 (SELECT service, token_hash FROM devices
                  WHERE service = $1 AND registered_at_ms < $2 AND registered_at_ms > 0 LIMIT $3)",
            )
            .bind(service.as_str())
            .bind(registered_before.as_millisecond())
            .bind(limit as i64)
            .execute(&mut **tx)
            .await?;
            Ok(done.rows_affected())
        })
        .await
    }

    /// Drops a token that its provider says is gone, if it is still the one registered and, where the provider
    /// gave its time (`unless_registered_after`), was registered before that (I7). Notes it in the timeline of the alert that found out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_token(
        &self,
        key: &EscalationKey,
        device: &Device,
        unless_registered_after: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "forget_token", |tx| {
            let done = sqlx::query(
                "DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3 AND token = $4
                 AND registered_at_ms < $5",
            )
            .bind(key.user.tenant.as_str())
            .bind(key.user.user.as_str())
            .bind(device.id.as_str())
            .bind(device.token.expose())
            .bind(unless_registered_after.map_or(i64::MAX, Timestamp::as_millisecond))
            .execute(&mut **tx)
            .await?;
            let forgotten = done.rows_affected() > 0;
            let note = match forgotten {
                true => format!("device {}: the provider says its token is gone; it was dropped", device.id),
                false => format!(
                    "device {}: the provider says an older token is gone; the newer one stays",
                    device.id
                ),
            };
            self.write_note_of_escalation(tx, key, &note, now).await?;
            Ok::<_, Failure>(forgotten)
        })
        .await
    }
}

pub(super) fn device_of(row: &AnyRow) -> Result<Device, Failure> {
    Ok(Device {
        id: stored_name!(row, "device_id", DeviceId),
        service: word(row, "service")?,
        token: Secret::from(text(row, "token")?),
        environment: word(row, "environment")?,
        bound_to: maybe_text(row, "bound_to")?,
        start_token: maybe_text(row, "start_token")?.map(Secret::from),
        registered_at: time(row, "registered_at_ms")?,
        issued_at: maybe_int(row, "issued_at_s")?.and_then(|second| Timestamp::from_second(second).ok()),
    })
}

/// What a token is found by.
struct TokenHashes {
    /// Within its tenant.
    in_tenant: String,
    /// As pods of the version before write it, during a rollout.
    alone: String,
}

impl TokenHashes {
    fn of(tenant: &Tenant, token: &Secret) -> Self {
        let digest = Sha256::digest(token.expose());
        let alone: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { in_tenant: format!("{tenant}:{alone}"), alone }
    }
}
