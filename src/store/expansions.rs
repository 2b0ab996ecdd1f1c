//! What is left of large audiences: opened in the commit that records an alert's first people, gone through page by page by
//! whoever takes a turn, gone when nobody is left.
//!
//! What holds here:
//! - The rows of a page and the place after it are one commit, so that whoever goes on repeats and skips nobody.
//! - A place belongs to one version of one alert for one audience, and is never used for another.
//! - A holder that vanishes is followed by another when its lease ends. The other learns which page may not have been
//!   told, and what the first still writes moves nothing.
//! - Tenants take turns, and within a tenant the one that has waited longest (I16).
//!
//! What a page is, and what an alert as published looks like, is its user's business and opaque here.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Failure, NewAlert, RecordedRow, Rest, Store, StoreError, Tx, int, maybe_text,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time,
};
use crate::domain::{Alert, AlertId, Tenant, Timestamp};

/// What is left of an audience, in the hands of whoever claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// Whose alert it is.
    pub tenant: Tenant,
    /// Which alert.
    pub alert: AlertId,
    /// Which version of it.
    pub version: u32,
    /// The alert as published, with its audience.
    pub published: Arc<str>,
    /// Where the people begin who are left; none when nobody is.
    pub next_page: Option<String>,
    /// The page that whoever held this before recorded last, and did not say that the pods were told of it.
    pub untold_page: Option<String>,
    /// When the first people were recorded.
    pub began_at: Timestamp,
    /// The trace that it belongs to, if it is sampled.
    pub trace: Option<Arc<str>>,
    audience: String,
    claim: i64,
}

/// A page of an audience that was recorded, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Where it begins.
    pub page: &'a str,
    /// Where the next begins; none after the last.
    pub next_page: Option<&'a str>,
}

impl Store {
    /// Opens what is left of the audiences in a batch, which is being recorded. What is open already stays where it is; an
    /// older version's expansion of the same audience ends, because the new one meets everybody whom that one would.
    pub(super) async fn open_expansions(
        &self,
        tx: &mut Tx,
        batch: impl Iterator<Item = &NewAlert>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static DELETE: Statement<ExpansionValues<'_>> = Statement::new(
            "DELETE FROM expansions WHERE EXISTS (SELECT 1 FROM {batch} WHERE batch.tenant = expansions.tenant
                 AND batch.alert_id = expansions.alert_id AND batch.audience = expansions.audience
                 AND batch.version > expansions.version)",
        );
        static INSERT: Statement<ExpansionValues<'_>> = Statement::new(
            "INSERT INTO expansions ({columns}, began_at_ms, ready_at_ms, claim)
             SELECT {columns}, $1, $1, 0 FROM {batch} WHERE true
             ON CONFLICT (tenant, alert_id, version, audience) DO NOTHING",
        );
        let rests = batch.filter_map(|new| new.rest.as_ref().map(|rest| (new, rest)));
        let opened = Batch::of(self.engine, rests.map(|(new, rest)| ExpansionValues::of(new, rest)))?;
        if opened.is_empty() {
            return Ok(());
        }
        DELETE.over(&opened).execute(&mut **tx).await?;
        INSERT.over(&opened).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }

    /// Takes the audience whose turn it is, for the length of a lease: of the tenant after `after`, the one that has waited
    /// longest. `None` when there is none, or when others took what there was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_expansion(
        &self,
        after: Option<&Tenant>,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Expansion>, StoreError> {
        let after = after.map_or("", Tenant::as_str);
        // Looked for without a lock first: most of the time there is none.
        let found = match self.waiting_expansion(after, now).await? {
            None if !after.is_empty() => self.waiting_expansion("", now).await?,
            found => found,
        };
        let Some(found) = found else { return Ok(None) };
        writing!(self, "claim_expansion", |tx| hold(tx, &found, now, lease).await).await
    }

    async fn waiting_expansion(&self, after: &str, now: Timestamp) -> Result<Option<Expansion>, StoreError> {
        self.in_time("waiting_expansion", async {
            let row = sqlx::query(
                "SELECT * FROM expansions WHERE tenant > $1 AND ready_at_ms <= $2 ORDER BY tenant, ready_at_ms LIMIT 1",
            )
            .bind(after)
            .bind(now.as_millisecond())
            .fetch_optional(&self.read)
            .await?;
            row.as_ref().map(expansion_of).transpose()
        })
        .await
    }

    /// Records the next page of an audience, `new`, together with the place after it.
    ///
    /// # Errors
    /// [`StoreError`]; as for [`Store::record`].
    pub async fn record_page(
        &self,
        held: &Expansion,
        new: &NewAlert,
        step: Step<'_>,
        now: Timestamp,
    ) -> Result<Vec<RecordedRow>, StoreError> {
        writing!(self, "record_page", |tx| {
            let rows = self.record_in(tx, std::slice::from_ref(new), now).await?.rows;
            sqlx::query(
                "UPDATE expansions SET next_page = $6, untold_page = $7
                 WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND claim = $5",
            )
            .bind(held.tenant.as_str())
            .bind(held.alert.as_str())
            .bind(i64::from(held.version))
            .bind(&held.audience)
            .bind(held.claim)
            .bind(step.next_page)
            .bind(step.page)
            .execute(&mut **tx)
            .await?;
            Ok(rows)
        })
        .await
    }

    /// Lets go of an audience whose recorded page was told: it is forgotten when nobody is left, and otherwise it waits for
    /// its next turn. Nothing happens when somebody else holds it by now.
    ///
    /// # Errors
    /// [`StoreError`]; without an answer it waits until the lease ends.
    pub async fn release_expansion(&self, held: &Expansion, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, "release_expansion", |tx| {
            for sql in [
                "DELETE FROM expansions WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4
                     AND claim = $5 AND next_page IS NULL AND $6 = $6",
                "UPDATE expansions SET untold_page = NULL, ready_at_ms = $6
                 WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND claim = $5",
            ] {
                sqlx::query(sql)
                    .bind(held.tenant.as_str())
                    .bind(held.alert.as_str())
                    .bind(i64::from(held.version))
                    .bind(&held.audience)
                    .bind(held.claim)
                    .bind(now.as_millisecond())
                    .execute(&mut **tx)
                    .await?;
            }
            Ok(())
        })
        .await
    }
}

batch_row! {
    /// What is left of an audience.
    struct ExpansionValues<'a> {
        tenant: &'a str,
        alert_id: &'a str,
        version: u32,
        audience: String,
        published: &'a str,
        next_page: &'a str,
        trace: Option<&'a str>,
    }
}

impl<'a> ExpansionValues<'a> {
    fn of(new: &'a NewAlert, rest: &'a Rest) -> Self {
        Self {
            tenant: new.alert.tenant.as_str(),
            alert_id: new.alert.id.as_str(),
            version: new.alert.version,
            audience: audience_of(&new.alert),
            published: &rest.published,
            next_page: &rest.next_page,
            trace: new.trace.as_deref(),
        }
    }
}

/// `None`: somebody else was quicker.
async fn hold(
    tx: &mut Tx,
    found: &Expansion,
    now: Timestamp,
    lease: Duration,
) -> Result<Option<Expansion>, Failure> {
    let row = sqlx::query(
        "UPDATE expansions SET claim = claim + 1, ready_at_ms = $6
         WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND ready_at_ms <= $5 RETURNING *",
    )
    .bind(found.tenant.as_str())
    .bind(found.alert.as_str())
    .bind(i64::from(found.version))
    .bind(&found.audience)
    .bind(now.as_millisecond())
    .bind((now + lease).as_millisecond())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(expansion_of).transpose()
}

fn expansion_of(row: &sqlx::any::AnyRow) -> Result<Expansion, Failure> {
    Ok(Expansion {
        tenant: stored_name!(row, "tenant", Tenant),
        alert: stored_name!(row, "alert_id", AlertId),
        version: u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?,
        published: text(row, "published")?.into(),
        next_page: maybe_text(row, "next_page")?,
        untold_page: maybe_text(row, "untold_page")?,
        began_at: time(row, "began_at_ms")?,
        trace: maybe_text(row, "trace")?.map(Into::into),
        audience: text(row, "audience")?,
        claim: int(row, "claim")?,
    })
}

/// What tells one audience from another.
fn audience_of(alert: &Alert) -> String {
    let users: Vec<&str> = alert.to.users.iter().map(|user| user.as_str()).collect();
    let groups: Vec<&str> = alert.to.groups.iter().map(|group| group.as_str()).collect();
    let digest = Sha256::digest(json!([users, groups, alert.to.everyone]).to_string());
    format!("{digest:x}")
}
