//! API keys of producers: what each may be used for, until when, and when it was used.
//!
//! What holds here:
//! - A row is one secret, by its hash; nobody can read a secret here. A key that was rotated has several rows with one id.
//! - A key from before there were scopes keeps everything that it could do, and no more.
//! - What happens to a key and its entry in the audit log are one commit.

use std::time::Duration;

use sqlx::{Row as _, any::AnyRow};

use super::{
    AuditedChange, Failure, Store, StoreError, int, maybe_text, maybe_time,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time,
};
use crate::domain::{
    Scopes, Tenant, Timestamp,
    audit::{self, AuditAction},
};

/// Characters of a key's first hash that are its id: no two keys share so many.
pub const KEY_ID_CHARS: usize = 32;

/// What a key may be used for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRights {
    /// Whose alerts and people it reaches.
    pub tenant: Tenant,
    /// What it may do with them.
    pub scopes: Scopes,
    /// Whether it may change and read only alerts that it made.
    pub own_alerts: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl KeyRights {
    /// To publish for this tenant, and to change any of its alerts.
    pub fn of(tenant: Tenant) -> Self {
        Self { tenant, scopes: Scopes::DEFAULT, own_alerts: false, expires_at: None }
    }

    /// The same with other scopes.
    #[must_use]
    pub fn with(self, scopes: Scopes) -> Self {
        Self { scopes, ..self }
    }
}

/// One secret of a key, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What the key is known by: alerts and the audit log remember it. It stays when the key is given another secret.
    pub id: String,
    /// The hash of the secret.
    pub hash: String,
    /// What it may be used for.
    pub rights: KeyRights,
    /// Whether it was made before there were scopes.
    pub is_before_scopes: bool,
    /// What it is for.
    pub name: String,
    /// When the secret was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When the secret ends, because the key was given another one.
    pub replaced_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}

/// Whether a secret works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// It does.
    Works,
    /// Somebody revoked the key.
    Revoked(Timestamp),
    /// The key has ended by itself.
    Expired(Timestamp),
    /// The key has another secret, and the time in which both worked is over.
    Replaced(Timestamp),
}

impl ApiKey {
    /// Whether it works at this time.
    pub fn standing(&self, now: Timestamp) -> KeyStanding {
        let over = |at: Option<Timestamp>| at.filter(|at| *at <= now);
        if let Some(at) = self.revoked_at {
            return KeyStanding::Revoked(at);
        }
        match (over(self.rights.expires_at), over(self.replaced_at)) {
            (Some(at), _) => KeyStanding::Expired(at),
            (None, Some(at)) => KeyStanding::Replaced(at),
            (None, None) => KeyStanding::Works,
        }
    }
}

/// A key that was given another secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Its id.
    pub key: String,
    /// When the secrets of before end.
    pub before_until: Timestamp,
}

/// Why a key was not given another secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRotated {
    /// No key has an id that begins so.
    #[error("no key has an id that begins so")]
    Unknown,
    /// Several have.
    #[error("several keys have an id that begins so: give more of it")]
    Several,
    /// It does not work any more.
    #[error("the key does not work any more: make another one")]
    Over,
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
            let added = sqlx::query(
                "INSERT INTO api_keys (key_hash, tenant, name, created_at_ms, own_alerts, scopes, expires_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_hash) DO NOTHING",
            )
            .bind(hash)
            .bind(rights.tenant.as_str())
            .bind(name)
            .bind(now.as_millisecond())
            .bind(i64::from(rights.own_alerts))
            .bind(rights.scopes.to_string())
            .bind(rights.expires_at.map(Timestamp::as_millisecond))
            .execute(&mut **tx)
            .await?;
            if added.rows_affected() == 0 {
                return Ok(()); // It was there.
            }
            let object = audit::key_object(&id_of(hash));
            let change = AuditedChange::done(&rights.tenant, AuditAction::KeyCreated, object);
            self.write_audit(tx, &change.with_outcome(in_words(rights)), now).await
        })
        .await
    }

    /// The key whose secret has this hash, whether it works or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_key(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.in_time("api_key", async {
            // All columns: in a store that is behind, alerts are accepted too, and its keys have none of the newer ones.
            let row = sqlx::query("SELECT * FROM api_keys WHERE key_hash = $1")
                .bind(hash)
                .fetch_optional(&self.read)
                .await?;
            row.as_ref().map(key_of).transpose()
        })
        .await
    }

    /// Every secret of every key, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.in_time("api_keys", async {
            let rows = sqlx::query("SELECT * FROM api_keys ORDER BY created_at_ms, key_hash")
                .fetch_all(&self.read)
                .await?;
            rows.iter().map(key_of).collect()
        })
        .await
    }

    /// Gives the key whose id begins so another secret. The secrets it has go on working for `overlap`, but not
    /// beyond the end of the key. The new one ends when the key does, or at `expires_at`, which is the end of the key then.
    ///
    /// # Errors
    /// [`StoreError`]; within it why it was not done.
    pub async fn rotate_api_key(
        &self,
        id_prefix: &str,
        hash: &str,
        overlap: Duration,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Result<Rotated, NotRotated>, StoreError> {
        writing!(self, "rotate_api_key", |tx| {
            let rows = sqlx::query(
                "SELECT * FROM api_keys WHERE substr(coalesce(key_id, key_hash), 1, $2) = $1 AND $2 > 0
                 ORDER BY created_at_ms, key_hash",
            )
            .bind(id_prefix)
            .bind(chars_of(id_prefix))
            .fetch_all(&mut **tx)
            .await?;
            let secrets = rows.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
            let key = match to_rotate(&secrets, now) {
                Ok(key) => key,
                Err(why) => return Ok(Err(why)),
            };
            let key_ends_at = expires_at.or(key.rights.expires_at);
            // What ends the key ends all its secrets, whatever the overlap; and no secret lives longer because of a new one.
            let ends = [Some(now + overlap), expires_at, key.rights.expires_at];
            let ends_at = ends.into_iter().flatten().min().unwrap_or(now);
            sqlx::query(
                "UPDATE api_keys SET replaced_at_ms = $2 WHERE substr(coalesce(key_id, key_hash), 1, $3) = $1
                     AND (replaced_at_ms IS NULL OR replaced_at_ms > $2)",
            )
            .bind(&key.id)
            .bind(ends_at.as_millisecond())
            .bind(chars_of(&key.id))
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "INSERT INTO api_keys (key_hash, tenant, name, created_at_ms, own_alerts, scopes, expires_at_ms, key_id)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(hash)
            .bind(key.rights.tenant.as_str())
            .bind(&key.name)
            .bind(now.as_millisecond())
            .bind(i64::from(key.rights.own_alerts))
            .bind((!key.is_before_scopes).then(|| key.rights.scopes.to_string()))
            .bind(key_ends_at.map(Timestamp::as_millisecond))
            .bind(&key.id)
            .execute(&mut **tx)
            .await?;
            let object = audit::key_object(&key.id);
            let change = AuditedChange::done(&key.rights.tenant, AuditAction::KeyRotated, object);
            let outcome = format!("the secret of before works until {ends_at}");
            self.write_audit(tx, &change.with_outcome(outcome), now).await?;
            Ok(Ok(Rotated { key: key.id.clone(), before_until: ends_at }))
        })
        .await
    }

    /// Makes the keys whose id begins so stop working, with every secret; an empty beginning names none. Returns how many
    /// keys did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_api_key(&self, id_prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        writing!(self, "revoke_api_key", |tx| {
            let rows = sqlx::query(
                "UPDATE api_keys SET revoked_at_ms = $2 WHERE substr(coalesce(key_id, key_hash), 1, $3) = $1 AND $3 > 0
                     AND revoked_at_ms IS NULL
                 RETURNING *",
            )
            .bind(id_prefix)
            .bind(now.as_millisecond())
            .bind(chars_of(id_prefix))
            .fetch_all(&mut **tx)
            .await?;
            let mut revoked = rows.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
            revoked.sort_by(|one, other| one.id.cmp(&other.id));
            revoked.dedup_by(|one, other| one.id == other.id);
            for key in &revoked {
                let object = audit::key_object(&key.id);
                let change = AuditedChange::done(&key.rights.tenant, AuditAction::KeyRevoked, object);
                self.write_audit(tx, &change, now).await?;
            }
            Ok(revoked.len() as u64)
        })
        .await
    }

    /// Notes when secrets were last used. A time that is older than the noted one changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        static UPDATE: Statement<KeyUseRow<'_>> = Statement::new(
            "UPDATE api_keys SET last_used_at_ms = b.used_at_ms FROM (SELECT {columns} FROM {batch}) b
             WHERE api_keys.key_hash = b.key_hash
                 AND (api_keys.last_used_at_ms IS NULL OR api_keys.last_used_at_ms < b.used_at_ms)",
        );
        let rows = || {
            uses.iter()
                .map(|(hash, at)| KeyUseRow { key_hash: hash.as_str(), used_at_ms: at.as_millisecond() })
        };
        writing!(self, "note_key_uses", |tx| {
            UPDATE.over(&Batch::of(self.engine, rows())?).execute(&mut **tx).await?;
            Ok(())
        })
        .await
    }
}

batch_row! {
    /// When a secret was used.
    struct KeyUseRow<'a> {
        key_hash: &'a str,
        used_at_ms: i64,
    }
}

/// The id of a key whose first secret has this hash.
fn id_of(hash: &str) -> String {
    hash.chars().take(KEY_ID_CHARS).collect()
}

/// What a new key may do, for its entry in the audit log.
fn in_words(rights: &KeyRights) -> String {
    let own = if rights.own_alerts { ", its own alerts only" } else { "" };
    let end = rights.expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
    format!("{}{own}{end}", rights.scopes)
}

fn chars_of(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

/// The newest secret of the one key that these are of, while it works.
fn to_rotate(secrets: &[ApiKey], now: Timestamp) -> Result<&ApiKey, NotRotated> {
    let newest = secrets.last().ok_or(NotRotated::Unknown)?;
    if secrets.iter().any(|secret| secret.id != newest.id) {
        return Err(NotRotated::Several);
    }
    match newest.standing(now) {
        KeyStanding::Works => Ok(newest),
        KeyStanding::Revoked(_) | KeyStanding::Expired(_) | KeyStanding::Replaced(_) => Err(NotRotated::Over),
    }
}

fn key_of(row: &AnyRow) -> Result<ApiKey, Failure> {
    // A store that is behind has none of the newer columns.
    let has = |column: &str| row.try_column(column).is_ok();
    let maybe_text_of = |column| if has(column) { maybe_text(row, column) } else { Ok(None) };
    let maybe_time_of = |column| if has(column) { maybe_time(row, column) } else { Ok(None) };
    let hash = text(row, "key_hash")?;
    let scopes = maybe_text_of("scopes")?;
    Ok(ApiKey {
        id: maybe_text_of("key_id")?.unwrap_or_else(|| id_of(&hash)),
        rights: KeyRights {
            tenant: stored_name!(row, "tenant", Tenant),
            scopes: scopes.as_deref().map_or(Scopes::BEFORE_SCOPES, Scopes::read),
            own_alerts: has("own_alerts") && int(row, "own_alerts")? != 0,
            expires_at: maybe_time_of("expires_at_ms")?,
        },
        is_before_scopes: scopes.is_none(),
        name: text(row, "name")?,
        created_at: time(row, "created_at_ms")?,
        revoked_at: maybe_time(row, "revoked_at_ms")?,
        replaced_at: maybe_time_of("replaced_at_ms")?,
        last_used_at: maybe_time_of("last_used_at_ms")?,
        hash,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn secret(id: &str, expires: Option<i64>, replaced: Option<i64>, revoked: Option<i64>) -> ApiKey {
        let rights = KeyRights::of(Tenant::parse("acme").unwrap());
        ApiKey {
            id: id.to_owned(),
            hash: format!("{id}-hash"),
            rights: KeyRights { expires_at: expires.map(at), ..rights },
            is_before_scopes: false,
            name: String::new(),
            created_at: at(0),
            revoked_at: revoked.map(at),
            replaced_at: replaced.map(at),
            last_used_at: None,
        }
    }

    #[test]
    fn a_secret_works_until_the_first_of_its_ends() {
        for (why, key, expected) in [
            ("nothing ends it", secret("a", None, None, None), KeyStanding::Works),
            ("not yet", secret("a", Some(11), Some(11), None), KeyStanding::Works),
            ("from that millisecond on", secret("a", Some(10), None, None), KeyStanding::Expired(at(10))),
            ("the overlap is over", secret("a", Some(11), Some(10), None), KeyStanding::Replaced(at(10))),
            (
                "both: the key itself is over",
                secret("a", Some(9), Some(8), None),
                KeyStanding::Expired(at(9)),
            ),
            ("revoked, whatever else", secret("a", Some(9), Some(8), Some(20)), KeyStanding::Revoked(at(20))),
        ] {
            assert_eq!(key.standing(at(10)), expected, "{why}");
        }
    }

    #[test]
    fn one_key_that_works_is_rotated() {
        let (old, new) = (secret("a", None, Some(5), None), secret("a", None, None, None));
        for (why, secrets, expected) in [
            ("none", vec![], Err(NotRotated::Unknown)),
            ("one", vec![new.clone()], Ok("a")),
            ("again, by its newest secret", vec![old.clone(), new.clone()], Ok("a")),
            ("two keys", vec![new, secret("b", None, None, None)], Err(NotRotated::Several)),
            ("revoked", vec![old, secret("a", None, None, Some(7))], Err(NotRotated::Over)),
            ("expired", vec![secret("a", Some(10), None, None)], Err(NotRotated::Over)),
        ] {
            let found = to_rotate(&secrets, at(10)).map(|key| key.id.as_str());
            assert_eq!(found, expected, "{why}");
        }
    }
}
