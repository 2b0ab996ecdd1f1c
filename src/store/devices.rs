//! Devices: push registrations, which come from phones and go when their provider proves them gone (I7).

use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

use super::{EscalationKey, Failure, Store, StoreError, int, stored_name, text, time, word};
use crate::domain::{Device, DeviceId, PushService, Secret, Timestamp, UserKey};

impl Store {
    /// Registers a device or registers it again, which always renews `registered_at` (I7). A token belongs to one
    /// phone: whoever had it before, on this phone, loses it (I8), even
    /// when the answer is `false`: the user has as many devices as they may.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_device(
        &self,
        user: &UserKey,
        device: &Device,
        devices_max: usize,
    ) -> Result<bool, StoreError> {
        writing!(self, "put_device", |tx| {
            // The user's row is the lock: two of their phones at once do not both become the last one allowed.
            self.make_known(tx, std::slice::from_ref(user), device.registered_at).await?;
            self.lock_users(tx, std::slice::from_ref(user), None).await?;
            let token_hash = hash_of(&device.token);
            sqlx::query(
                "DELETE FROM devices WHERE service = $1 AND token_hash = $2
                 AND NOT (tenant = $3 AND user_id = $4 AND device_id = $5)",
            )
            .bind(device.service.as_str())
            .bind(&token_hash)
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .execute(&mut **tx)
            .await?;
            let others = sqlx::query(
                "SELECT count(*) AS others FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id <> $3",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .fetch_one(&mut **tx)
            .await?;
            if int(&others, "others")? >= devices_max as i64 {
                return Ok(false);
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
            .bind(&token_hash)
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "INSERT INTO devices (tenant, user_id, device_id, service, environment, token, token_hash, registered_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (service, token_hash) DO UPDATE SET tenant = excluded.tenant, user_id = excluded.user_id,
                     device_id = excluded.device_id, environment = excluded.environment, token = excluded.token,
                     registered_at_ms = excluded.registered_at_ms",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(device.id.as_str())
            .bind(device.service.as_str())
            .bind(device.environment.as_str())
            .bind(device.token.expose())
            .bind(&token_hash)
            .bind(device.registered_at.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(true)
        })
        .await
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
    pub async fn delete_device(&self, user: &UserKey, device: &DeviceId) -> Result<bool, StoreError> {
        writing!(self, "delete_device", |tx| {
            let done =
                sqlx::query("DELETE FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3")
                    .bind(user.tenant.as_str())
                    .bind(user.user.as_str())
                    .bind(device.as_str())
                    .execute(&mut **tx)
                    .await?;
            Ok(done.rows_affected() > 0)
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
        registered_at: time(row, "registered_at_ms")?,
    })
}

fn hash_of(token: &Secret) -> String {
    let digest = Sha256::digest(token.expose());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
