//! The audit log: who changed what. Written in the commit of the change, read page by page, and deleted when it is old.
//!
//! What holds here:
//! - A change that is made through a store which knows by whom ([`Store::by`]) leaves its entry in the same commit, or neither is
//!   there. What workers do on their own account leaves none.
//! - An entry is not changed, but for the name of a person who is erased. It goes when it is old, whoever's it is.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{Failure, Store, StoreError, Tx, stored_name, text, time};
use crate::domain::{
    Tenant, Timestamp,
    audit::{Actor, AuditAction},
};

/// Entries that one step deletes at the most.
pub const AUDIT_DELETED_MAX: usize = 200;

/// A change, as its entry tells it.
#[derive(Debug, Clone)]
pub struct AuditedChange<'a> {
    /// Whose; `None`: it concerns the whole installation.
    pub tenant: Option<&'a Tenant>,
    /// What was done.
    pub action: AuditAction,
    /// To what, by a function of `domain::audit`.
    pub object: String,
    /// What came of it, in a few words. It holds nobody's address and no secret.
    pub outcome: String,
}

impl<'a> AuditedChange<'a> {
    /// A change of something of this tenant that was made.
    pub fn done(tenant: &'a Tenant, action: AuditAction, object: String) -> Self {
        Self { tenant: Some(tenant), action, object, outcome: "done".to_owned() }
    }

    /// The same with more about what came of it.
    #[must_use]
    pub fn with_outcome(self, outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), ..self }
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id, for [`AuditQuery::before`].
    pub id: String,
    /// Whose; `None`: it concerns the whole installation.
    pub tenant: Option<Tenant>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// What came of it.
    pub outcome: String,
}

/// Which entries: the newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Of this tenant; `None`: of all, and of the whole installation.
    pub tenant: Option<Tenant>,
    /// Not older than that.
    pub since: Option<Timestamp>,
    /// By this actor, as the log has it.
    pub actor: Option<String>,
    /// About this object, as the log has it.
    pub object: Option<String>,
    /// Older than this entry.
    pub before: Option<(Timestamp, String)>,
    /// At the most so many.
    pub limit: usize,
}

impl Store {
    /// The same store for what this one does: each of their changes leaves an entry.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self { actor: Some(Arc::new(actor)), ..self.clone() }
    }

    /// Writes the entry of a change that was made elsewhere than in the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_change(&self, change: &AuditedChange<'_>, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, "note_change", |tx| self.write_audit(tx, change, now).await).await
    }

    /// Writes the entry of a change in its commit. A store that does not know by whom writes none.
    pub(super) async fn write_audit(
        &self,
        tx: &mut Tx,
        change: &AuditedChange<'_>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some(actor) = &self.actor else { return Ok(()) };
        sqlx::query(
            "INSERT INTO audit_log (entry_id, tenant, at_ms, actor, action, object, outcome)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(uuid::Uuid::now_v7().simple().to_string())
        .bind(change.tenant.map_or("", Tenant::as_str))
        .bind(now.as_millisecond())
        .bind(actor.to_string())
        .bind(change.action.as_str())
        .bind(change.object.as_str())
        .bind(change.outcome.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Entries of the log, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_entries(&self, wanted: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let of_all = "SELECT entry_id, tenant, at_ms, actor, action, object, outcome FROM audit_log
             WHERE (at_ms, entry_id) < ($1, $2) AND at_ms >= $3 AND ($4 = '' OR actor = $4) AND ($5 = '' OR object = $5)
             ORDER BY at_ms DESC, entry_id DESC LIMIT $6";
        let of_tenant = "SELECT entry_id, tenant, at_ms, actor, action, object, outcome FROM audit_log
             WHERE tenant = $7 AND (at_ms, entry_id) < ($1, $2) AND at_ms >= $3
                 AND ($4 = '' OR actor = $4) AND ($5 = '' OR object = $5)
             ORDER BY at_ms DESC, entry_id DESC LIMIT $6";
        let (before_ms, before_id) = match &wanted.before {
            Some((at, id)) => (at.as_millisecond(), id.as_str()),
            None => (i64::MAX, ""),
        };
        self.in_time("audit_entries", async {
            let query = sqlx::query(if wanted.tenant.is_some() { of_tenant } else { of_all })
                .bind(before_ms)
                .bind(before_id)
                .bind(wanted.since.map_or(i64::MIN, Timestamp::as_millisecond))
                .bind(wanted.actor.as_deref().unwrap_or_default())
                .bind(wanted.object.as_deref().unwrap_or_default())
                .bind(wanted.limit as i64);
            let query = match &wanted.tenant {
                Some(tenant) => query.bind(tenant.as_str()),
                None => query,
            };
            let rows = query.fetch_all(&self.read).await?;
            rows.iter().map(entry_of).collect()
        })
        .await
    }

    /// Deletes the oldest entries of those that are older, at most [`AUDIT_DELETED_MAX`]. 0: there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; the step can be taken again.
    pub async fn delete_old_audit_entries(&self, before: Timestamp) -> Result<u64, StoreError> {
        writing!(self, "delete_old_audit_entries", |tx| {
            let deleted = sqlx::query(
                "DELETE FROM audit_log WHERE entry_id IN
                 (SELECT entry_id FROM audit_log WHERE at_ms < $1 ORDER BY at_ms, entry_id LIMIT $2)",
            )
            .bind(before.as_millisecond())
            .bind(AUDIT_DELETED_MAX as i64)
            .execute(&mut **tx)
            .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}

fn entry_of(row: &AnyRow) -> Result<AuditEntry, Failure> {
    let tenant = text(row, "tenant")?;
    Ok(AuditEntry {
        id: text(row, "entry_id")?,
        tenant: if tenant.is_empty() { None } else { Some(stored_name!(row, "tenant", Tenant)) },
        at: time(row, "at_ms")?,
        actor: text(row, "actor")?,
        action: text(row, "action")?,
        object: text(row, "object")?,
        outcome: text(row, "outcome")?,
    })
}
