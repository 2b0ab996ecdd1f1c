//! The timers: claimed when due.
//!
//! A due row is handed out by [`Store::claim_due`] for the length of a lease (`claim` counts up). Whoever works on
//! it steps it (`steps.rs`), which reads everything again in the same transaction that writes the attempts (I5, I6).
//! A holder with an old claim or fence is told that the escalation is lost; what its provider answered is kept all the same.

use std::time::Duration;

use sqlx::{AssertSqlSafe, any::AnyRow};
use tracing::warn;

use super::{Failure, Store, StoreError, int, maybe_time, stored_name, time};
use crate::domain::{AlertId, Tenant, Timestamp, UserId, UserKey, restraint::Held};

/// Due rows that cannot be handed out, tried at the most in one look.
const PASSED_OVER_MAX: i64 = 100;
/// Rows that are handed out before others may write who wait for the one writer.
const CLAIMS_AT_A_STRETCH_MAX: usize = 64;

/// The escalation of one alert for one user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EscalationKey {
    /// Whose.
    pub user: UserKey,
    /// Of what.
    pub alert: AlertId,
}

/// A due row, handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub key: EscalationKey,
    /// The number of this handing-out; a later one makes it void.
    pub number: u64,
    /// When it was due.
    pub due_at: Timestamp,
}

impl Store {
    /// Hands out up to `limit` due rows, fewer while others wait for the one writer, each for the length of `lease`. One that cannot be handed out is passed over: it
    /// holds up nobody else's.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was handed out.
    pub async fn claim_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claim>, StoreError> {
        match self.claim(now, lease, limit, 0).await {
            Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) => {
                self.claim_one_by_one(now, lease, limit).await
            }
            claimed => claimed,
        }
    }

    async fn claim_one_by_one(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claim>, StoreError> {
        let (mut claims, mut passed_over) = (Vec::new(), 0);
        while claims.len() < limit && passed_over < PASSED_OVER_MAX {
            match self.claim(now, lease, 1, passed_over).await {
                Ok(claimed) if claimed.is_empty() => break,
                Ok(claimed) => claims.extend(claimed),
                Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                    warn!(%error, "A due escalation cannot be handed out; it is passed over");
                    passed_over += 1;
                }
                Err(error @ StoreError::Unavailable { .. }) if claims.is_empty() => return Err(error),
                // Those that were handed out are carried on.
                Err(StoreError::Unavailable { .. }) => break,
            }
        }
        Ok(claims)
    }

    /// Hands out due rows, but for the first few, `passed_over`, which were tried before.
    async fn claim(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
        passed_over: i64,
    ) -> Result<Vec<Claim>, StoreError> {
        let stretch = self.line.stretch(limit, CLAIMS_AT_A_STRETCH_MAX);
        writing!(self, "claim_due", |tx| {
            // MATERIALIZED: the rows are picked once, however the planner joins them.
            let sql = format!(
                "WITH ready AS MATERIALIZED (
                     SELECT tenant, user_id, alert_id FROM escalations
                     WHERE ready_at_ms <= $1 ORDER BY ready_at_ms LIMIT $3 OFFSET $4 {})
                 UPDATE escalations SET claim = claim + 1, leased_until_ms = $2
                 FROM ready WHERE escalations.tenant = ready.tenant AND escalations.user_id = ready.user_id
                     AND escalations.alert_id = ready.alert_id
                 RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id,
                     escalations.alert_id AS alert_id, escalations.claim AS claim,
                     escalations.due_at_ms AS due_at_ms",
                self.engine.skip_locked()
            );
            let mut claims = Vec::new();
            while claims.len() < limit {
                let some = stretch.min(limit - claims.len());
                let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                    .bind(now.as_millisecond())
                    .bind((now + lease).as_millisecond())
                    .bind(some as i64)
                    .bind(passed_over)
                    .fetch_all(&mut **tx)
                    .await?;
                for row in &rows {
                    claims.push(claim_of(row)?);
                }
                if rows.len() < some || self.line.others_wait() {
                    break;
                }
            }
            tx.is_batch_of(claims.len());
            Ok(claims)
        })
        .await
    }

    /// Makes every lease end now. Only for a process that knows nobody else works on this store (`watchbell up`):
    /// whoever held them is dead.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_leases(&self) -> Result<(), StoreError> {
        writing!(self, "release_leases", |tx| {
            // What has a timer is in the index of what is ready.
            sqlx::query(
                "UPDATE escalations SET leased_until_ms = 0 WHERE leased_until_ms > 0 AND ready_at_ms IS NOT NULL",
            )
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }

    /// Lets an escalation rest that cannot be carried on, until its work is replayed or the alert changes. It is set aside, not
    /// lost: the auditor passes it over. Only by whoever holds this claim.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rest_escalation(
        &self,
        key: &EscalationKey,
        claim: u64,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "rest_escalation", |tx| {
            let rest = "UPDATE escalations SET due_at_ms = NULL, leased_until_ms = 0, held = $5
                 WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND claim = $4";
            let rest = keyed(sqlx::query(rest), key).bind(claim as i64).bind(Held::SetAside.as_str());
            if rest.execute(&mut **tx).await?.rows_affected() > 0 {
                self.tell_dead(tx, key, claim, now).await?;
            }
            self.write_note_of_escalation(tx, key, &format!("set aside: {why}"), now).await
        })
        .await
    }

    /// When the next row may be handed out, if any ever: it is due then, or the lease on it ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.in_time("next_due", async {
            let store = self;
            let row = sqlx::query(
                "SELECT min(ready_at_ms) AS ready_at_ms FROM escalations WHERE ready_at_ms IS NOT NULL",
            )
            .fetch_one(&store.read)
            .await?;
            maybe_time(&row, "ready_at_ms")
        })
        .await
    }
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

fn keyed(query: Query, key: &EscalationKey) -> Query {
    query
        .bind(key.user.tenant.as_str().to_owned())
        .bind(key.user.user.as_str().to_owned())
        .bind(key.alert.as_str().to_owned())
}

fn claim_of(row: &AnyRow) -> Result<Claim, Failure> {
    Ok(Claim { key: key_of(row)?, number: int(row, "claim")? as u64, due_at: time(row, "due_at_ms")? })
}

pub(super) fn key_of(row: &AnyRow) -> Result<EscalationKey, Failure> {
    let user = UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
    Ok(EscalationKey { user, alert: stored_name!(row, "alert_id", AlertId) })
}
