//! What is left of large audiences: opened in the commit that records an alert's first people, gone through page by page by
//! whoever takes a turn, gone when nobody is left.
//!
//! What holds here:
//! - The rows of a page and the place after it are one commit, so that whoever goes on repeats and skips nobody.
//! - A place belongs to one version of one alert for one audience, and is never used for another.
//! - A holder that vanishes is followed by another when its lease ends. The other learns which page may not have been
//!   told, and what the first still writes moves nothing.
//! - Tenants take turns, and within a tenant the one that has waited longest (I16).
//! - A holder may record one page after the other: each renews the lease, and says that the page before was told. So a page is
//!   one commit, and what it writes of the audience does not grow with the audience.
//!
//! What a page is, and what an alert as published looks like, is its user's business and opaque here.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{
    Any,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{
    Failure, NewAlert, RecordedRow, Rest, Store, StoreError, Tx, int, maybe_text,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time,
};
use crate::domain::{Alert, AlertId, Tenant, Timestamp};

/// What is left of an audience, in the hands of whoever claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    key: ExpansionKey,
    /// Where the people begin who are left; none when nobody is.
    pub next_page: Option<String>,
    /// The page that whoever held this before recorded last, and did not say that the pods were told of it.
    pub untold_page: Option<String>,
    /// When the first people were recorded.
    pub began_at: Timestamp,
    /// The trace that it belongs to, if it is sampled.
    pub trace: Option<Arc<str>>,
    claim: i64,
    lease: Duration,
}

/// A page of an audience that is recorded, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Where it begins.
    pub page: &'a str,
    /// Where the next begins; none after the last.
    pub next_page: Option<&'a str>,
}

/// What became of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPage {
    /// As [`Store::record`] gives them.
    pub rows: Vec<RecordedRow>,
    /// Whether whoever recorded it still holds the audience; otherwise it is somebody else's, or a later version ended it.
    pub is_held: bool,
}

impl Expansion {
    /// Whose alert it is.
    pub fn tenant(&self) -> &Tenant {
        &self.key.tenant
    }

    /// Which alert.
    pub fn alert(&self) -> &AlertId {
        &self.key.alert
    }

    /// Which version of it.
    pub fn version(&self) -> u32 {
        self.key.version
    }

    /// The pods were told of this page, which is recorded.
    pub fn told(&mut self, step: Step<'_>) {
        (self.next_page, self.untold_page) = (step.next_page.map(str::to_owned), None);
    }
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
            "INSERT INTO expansions ({columns}, published, began_at_ms, ready_at_ms, claim)
             SELECT {columns}, '', $1, $1, 0 FROM {batch} WHERE true
             ON CONFLICT (tenant, alert_id, version, audience) DO NOTHING RETURNING audience, alert_id, version, tenant",
        );
        static INSERT_TEXTS: Statement<PublishedText<'_>> = Statement::new(
            "INSERT INTO expansion_texts ({columns}) SELECT {columns} FROM {batch} WHERE true",
        );
        let rests: Vec<_> = batch.filter_map(|new| new.rest.as_ref().map(|rest| (new, rest))).collect();
        let values: Vec<_> = rests.iter().map(|(new, rest)| ExpansionValues::of(new, rest)).collect();
        let batch = Batch::of(self.engine, values.iter().cloned())?;
        if batch.is_empty() {
            return Ok(());
        }
        DELETE.over(&batch).execute(&mut **tx).await?;
        let mut opened = HashSet::new();
        for row in &INSERT.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await? {
            opened.insert(ExpansionKey::stored(row)?);
        }
        // Each once, also where one batch has the same twice.
        let mut is_opened = |new: &_, audience: &_| opened.remove(&ExpansionKey::of(new, audience));
        let texts = rests.iter().zip(&values).filter(|((new, _), values)| is_opened(new, &values.audience));
        let texts = texts.map(|((_, rest), values)| PublishedText::of(values, rest));
        let texts = Batch::of(self.engine, texts)?;
        if !texts.is_empty() {
            INSERT_TEXTS.over(&texts).execute(&mut **tx).await?;
        }
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
        // Looked for without a lock first: most of the time there is none.
        let Some(found) = self.next_expansion(after, now).await? else { return Ok(None) };
        writing!(self, "claim_expansion", |tx| hold(tx, &found, now, lease).await).await
    }

    /// Lets go of an audience as [`Store::release_expansion`] does and takes the next, in one commit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pass_on_expansion(
        &self,
        held: &Expansion,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Expansion>, StoreError> {
        let found = self.next_expansion(Some(&held.key.tenant), now).await?;
        writing!(self, "pass_on_expansion", |tx| {
            let_go(tx, held, now).await?;
            match &found {
                Some(found) => hold(tx, found, now, lease).await,
                None => Ok(None),
            }
        })
        .await
    }

    /// Whose audience would be claimed next: one that somebody holds does not wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn whose_expansion_waits(
        &self,
        after: &Tenant,
        now: Timestamp,
    ) -> Result<Option<Tenant>, StoreError> {
        Ok(self.next_expansion(Some(after), now).await?.map(|found| found.tenant))
    }

    async fn next_expansion(
        &self,
        after: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<Option<ExpansionKey>, StoreError> {
        let after = after.map_or("", Tenant::as_str);
        match self.waiting_expansion(after, now).await? {
            None if !after.is_empty() => self.waiting_expansion("", now).await,
            found => Ok(found),
        }
    }

    async fn waiting_expansion(
        &self,
        after: &str,
        now: Timestamp,
    ) -> Result<Option<ExpansionKey>, StoreError> {
        self.in_time("waiting_expansion", async {
            let row = sqlx::query(
                "SELECT tenant, alert_id, version, audience FROM expansions
                 WHERE tenant > $1 AND ready_at_ms <= $2 ORDER BY tenant, ready_at_ms LIMIT 1",
            )
            .bind(after)
            .bind(now.as_millisecond())
            .fetch_optional(&self.read)
            .await?;
            row.as_ref().map(ExpansionKey::stored).transpose()
        })
        .await
    }

    /// The alert whose audience it is, as it was published. `None`: the audience is gone through, or a later version for the same
    /// people came.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expanded_alert(&self, held: &Expansion) -> Result<Option<Arc<str>>, StoreError> {
        self.in_time("expanded_alert", async {
            // A program from before migration 41 opened it with the text beside its place.
            let query = sqlx::query(
                "SELECT coalesce(nullif(e.published, ''), (SELECT t.published FROM expansion_texts t
                     WHERE t.tenant = $1 AND t.alert_id = $2 AND t.version = $3 AND t.audience = $4)) AS published
                 FROM expansions e WHERE e.tenant = $1 AND e.alert_id = $2 AND e.version = $3 AND e.audience = $4",
            );
            let row = held.key.bound_to(query).fetch_optional(&self.read).await?;
            row.as_ref().map(|row| Ok(text(row, "published")?.into())).transpose()
        })
        .await
    }

    /// Records the next page of an audience, `new`, together with the place after it, and renews the lease: whoever goes on
    /// with the next page has told the pods of this one.
    ///
    /// # Errors
    /// [`StoreError`]; as for [`Store::record`].
    pub async fn record_page(
        &self,
        held: &Expansion,
        new: &NewAlert,
        step: Step<'_>,
        now: Timestamp,
    ) -> Result<RecordedPage, StoreError> {
        writing!(self, "record_page", |tx| {
            let rows = self.record_in(tx, std::slice::from_ref(new), now).await?.rows;
            let query = sqlx::query(
                "UPDATE expansions SET next_page = $6, untold_page = $7, ready_at_ms = $8
                 WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND claim = $5",
            );
            let query = held.key.bound_to(query).bind(held.claim).bind(step.next_page).bind(step.page);
            let moved = query.bind((now + held.lease).as_millisecond()).execute(&mut **tx).await?;
            Ok(RecordedPage { rows, is_held: moved.rows_affected() > 0 })
        })
        .await
    }

    /// Lets go of an audience whose recorded page was told: it is forgotten when nobody is left, and otherwise it waits for
    /// its next turn. Nothing happens when somebody else holds it by now.
    ///
    /// # Errors
    /// [`StoreError`]; without an answer it waits until the lease ends.
    pub async fn release_expansion(&self, held: &Expansion, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, "release_expansion", |tx| let_go(tx, held, now).await).await
    }
}

/// Which of the audiences that are gone through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ExpansionKey {
    tenant: Tenant,
    alert: AlertId,
    version: u32,
    audience: String,
}

impl ExpansionKey {
    fn of(new: &NewAlert, audience: &str) -> Self {
        let alert = &new.alert;
        Self {
            tenant: alert.tenant.clone(),
            alert: alert.id.clone(),
            version: alert.version,
            audience: audience.to_owned(),
        }
    }

    fn stored(row: &AnyRow) -> Result<Self, Failure> {
        Ok(Self {
            tenant: stored_name!(row, "tenant", Tenant),
            alert: stored_name!(row, "alert_id", AlertId),
            version: u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?,
            audience: text(row, "audience")?,
        })
    }

    /// As the first four parameters of a statement.
    fn bound_to<'q>(&'q self, query: AnyQuery<'q>) -> AnyQuery<'q> {
        query
            .bind(self.tenant.as_str())
            .bind(self.alert.as_str())
            .bind(i64::from(self.version))
            .bind(self.audience.as_str())
    }
}

type AnyQuery<'q> = Query<'q, Any, AnyArguments>;

batch_row! {
    /// What is left of an audience.
    struct ExpansionValues<'a> {
        tenant: &'a str,
        alert_id: &'a str,
        version: u32,
        audience: String,
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
            next_page: &rest.next_page,
            trace: new.trace.as_deref(),
        }
    }
}

batch_row! {
    /// What an audience is gone through for.
    struct PublishedText<'a> {
        tenant: &'a str,
        alert_id: &'a str,
        version: u32,
        audience: &'a str,
        published: &'a str,
    }
}

impl<'a> PublishedText<'a> {
    fn of(values: &'a ExpansionValues<'_>, rest: &'a Rest) -> Self {
        Self {
            tenant: values.tenant,
            alert_id: values.alert_id,
            version: values.version,
            audience: &values.audience,
            published: &rest.published,
        }
    }
}

/// `None`: somebody else was quicker.
async fn hold(
    tx: &mut Tx,
    found: &ExpansionKey,
    now: Timestamp,
    lease: Duration,
) -> Result<Option<Expansion>, Failure> {
    let query = sqlx::query(
        "UPDATE expansions SET claim = claim + 1, ready_at_ms = $6
         WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND ready_at_ms <= $5
         RETURNING next_page, untold_page, began_at_ms, trace, claim",
    );
    let query = found.bound_to(query).bind(now.as_millisecond()).bind((now + lease).as_millisecond());
    let Some(row) = query.fetch_optional(&mut **tx).await? else { return Ok(None) };
    Ok(Some(Expansion {
        key: found.clone(),
        next_page: maybe_text(&row, "next_page")?,
        untold_page: maybe_text(&row, "untold_page")?,
        began_at: time(&row, "began_at_ms")?,
        trace: maybe_text(&row, "trace")?.map(Into::into),
        claim: int(&row, "claim")?,
        lease,
    }))
}

async fn let_go(tx: &mut Tx, held: &Expansion, now: Timestamp) -> Result<(), Failure> {
    // Its text goes with it (migration 41).
    let delete =
        "DELETE FROM expansions WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4
                      AND claim = $5 AND next_page IS NULL";
    let deleted = held.key.bound_to(sqlx::query(delete)).bind(held.claim).execute(&mut **tx).await?;
    if deleted.rows_affected() == 0 {
        let update = "UPDATE expansions SET untold_page = NULL, ready_at_ms = $6
                      WHERE tenant = $1 AND alert_id = $2 AND version = $3 AND audience = $4 AND claim = $5";
        let query = held.key.bound_to(sqlx::query(update)).bind(held.claim);
        query.bind(now.as_millisecond()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// What tells one audience from another.
fn audience_of(alert: &Alert) -> String {
    let users: Vec<&str> = alert.to.users.iter().map(|user| user.as_str()).collect();
    let groups: Vec<&str> = alert.to.groups.iter().map(|group| group.as_str()).collect();
    let digest = Sha256::digest(json!([users, groups, alert.to.everyone]).to_string());
    format!("{digest:x}")
}
