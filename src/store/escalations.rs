//! The timers: claimed when due, stepped under their lock, answered by whoever still holds them.
//!
//! A due row is handed out by [`Store::claim_due`] for the length of a lease (`claim` counts up). Whoever works on
//! it calls [`Store::step`], which reads everything again in the same transaction that writes the attempts (I5, I6).
//! A holder with an old claim or fence gets [`Stepped::Lost`]; what its provider answered is kept all the same.

use std::time::Duration;

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    Failure, Store, StoreError, Tx,
    attempts::write_notes,
    int, maybe_time, stored_name,
    summaries::{Hold, Told},
    walk::{Walk, read_walk},
};
use crate::domain::{
    AlertId, AttemptId, AttemptKind, AttemptState, Channel, DeviceId, StopReason, Tenant, Timestamp, UserId,
    UserKey, restraint::Lately,
};

/// The walk of one alert for one user.
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
}

/// By what right a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A claim just received.
    Claim(u64),
    /// The fence of the step before.
    Fence(u64),
}

/// What to do about a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The step that is next, or under way.
    pub step: usize,
    /// When that step is, or became, due.
    pub step_due_at: Timestamp,
    /// What to do about it.
    pub act: Act,
    /// What the person got lately, when that changes.
    pub lately: Option<(Channel, Lately)>,
    /// For the timeline.
    pub notes: Vec<String>,
    /// For the walks that waited for this summary, once it was answered.
    pub told: Option<Told>,
}

/// What to do about a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Write these attempts, new ones and ones whose next try begins, and hold the row for the lease while the
    /// providers are called.
    Attempt(Vec<NewAttempt>),
    /// It is due, but has to wait; nothing to call.
    Hold(Hold),
    /// Nothing to call now: look again then.
    Rest(Timestamp),
    /// Nothing is left to do; why, unless the row says so already.
    End(StopReason),
}

impl Decision {
    /// To do so about a step, and nothing besides.
    pub fn new(step: usize, step_due_at: Timestamp, act: Act) -> Self {
        Self { step, step_due_at, act, lately: None, notes: Vec::new(), told: None }
    }
}

/// An attempt to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// The id it had, or a new one.
    pub id: AttemptId,
    /// To show, or to take away.
    pub kind: AttemptKind,
    /// By which channel.
    pub channel: Channel,
    /// To which device.
    pub device: Option<DeviceId>,
    /// Which try this is, from 1.
    pub tries: u32,
}

/// What a provider answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// To which attempt.
    pub id: AttemptId,
    /// Where it stands now.
    pub state: AttemptState,
    /// Not before then, when it is to be tried again.
    pub next_try_at: Option<Timestamp>,
    /// Whether it may be on the phone.
    pub maybe_shown: bool,
    /// What was said.
    pub reason: Option<String>,
    /// Whether the provider was called at all: a try that was put off before it does not count.
    pub was_called: bool,
}

/// What a step came to.
#[derive(Debug, Clone)]
pub enum Stepped {
    /// The attempts are committed: call the providers, then step again with the answers and this fence.
    Call {
        /// The right to the next step.
        fence: u64,
        /// What it was decided on.
        walk: Box<Walk>,
        /// What to call.
        attempts: Vec<NewAttempt>,
    },
    /// Nothing to call; the row is released.
    Rested,
    /// Somebody else holds it now.
    Lost,
}

impl Store {
    /// Hands out up to `limit` due rows, each for the length of `lease`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claim>, StoreError> {
        writing!(self, "claim_due", |tx| {
            // MATERIALIZED: the rows are picked once, however the planner joins them.
            let sql = format!(
                "WITH ready AS MATERIALIZED (
                     SELECT tenant, user_id, alert_id FROM escalations
                     WHERE ready_at_ms <= $1 ORDER BY ready_at_ms LIMIT $3 {})
                 UPDATE escalations SET claim = claim + 1, leased_until_ms = $2
                 FROM ready WHERE escalations.tenant = ready.tenant AND escalations.user_id = ready.user_id
                     AND escalations.alert_id = ready.alert_id
                 RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id,
                     escalations.alert_id AS alert_id, escalations.claim AS claim",
                self.engine.skip_locked()
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(now.as_millisecond())
                .bind((now + lease).as_millisecond())
                .bind(limit as i64)
                .fetch_all(&mut **tx)
                .await?;
            rows.iter().map(claim_of).collect()
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
            sqlx::query("UPDATE escalations SET leased_until_ms = 0 WHERE leased_until_ms > 0 AND due_at_ms IS NOT NULL")
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// Lets a walk rest that cannot be carried on, until its work is replayed or the alert changes. Only by whoever
    /// holds this claim.
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
            let rest = "UPDATE escalations SET due_at_ms = NULL, leased_until_ms = 0
                 WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND claim = $4";
            keyed(sqlx::query(rest), key).bind(claim as i64).execute(&mut **tx).await?;
            write_notes(tx, key, &[format!("set aside: {why}")], now).await?;
            Ok(())
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

    /// Keeps the answers, then decides on what the row says now and carries the decision into the store, all in one
    /// commit. `decide` is pure and may run again when the commit lost a race.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it with the same arguments.
    pub async fn step(
        &self,
        key: &EscalationKey,
        holder: Holder,
        answers: &[Answer],
        now: Timestamp,
        lease: Duration,
        decide: &(dyn Fn(&Walk) -> Decision + Send + Sync),
    ) -> Result<Stepped, StoreError> {
        writing!(self, "step", |tx| {
            // The locks come before the answers, in every step, so that no two steps wait for each other.
            self.lock_person(tx, key).await?;
            let locked = self.lock_escalation(tx, key).await?;
            let held = locked.filter(|locked| locked.is_held_by(holder));
            self.write_answers(tx, answers, held.is_some(), now).await?;
            let Some(locked) = held else { return Ok(Stepped::Lost) };
            let Some(walk) = read_walk(tx, key, &locked.row).await? else { return Ok(Stepped::Lost) };
            let decision = decide(&walk);
            write_notes(tx, key, &decision.notes, now).await?;
            if let Some((channel, lately)) = decision.lately {
                self.write_lately(tx, &key.user, channel, lately).await?;
            }
            self.write_step(tx, key, &decision, now, lease).await?;
            let round = walk.progress.round;
            if let (Some(channel), Some(told)) = (key.alert.summary(), &decision.told) {
                self.release(tx, key, channel, round, told, now).await?;
            }
            match decision.act {
                Act::Attempt(attempts) => {
                    self.write_attempts(tx, key, round, decision.step, &attempts, now).await?;
                    if let Some(channel) = key.alert.summary().filter(|_| decision.step == 0) {
                        self.count_in(tx, key, channel, round).await?;
                    }
                    Ok(Stepped::Call { fence: locked.fence + 1, walk: Box::new(walk), attempts })
                }
                Act::Hold(hold) => {
                    self.hold(tx, key, &hold, now).await?;
                    Ok(Stepped::Rested)
                }
                Act::Rest(_) | Act::End(_) => Ok(Stepped::Rested),
            }
        })
        .await
    }

    /// The walk's own row after a decision; what a hold adds is written by [`Store::hold`].
    async fn write_step(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        decision: &Decision,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), Failure> {
        let (due_at, leased_until, pushed, stopped) = match &decision.act {
            Act::Attempt(attempts) => {
                let pushed = attempts.iter().any(|attempt| attempt.channel == Channel::Push);
                (Some(now), (now + lease).as_millisecond(), pushed, None)
            }
            Act::Hold(hold) => (Some(hold.until), 0, false, None),
            Act::Rest(at) => (Some(*at), 0, false, None),
            Act::End(reason) => (None, 0, false, Some(reason.as_str())),
        };
        keyed(
            sqlx::query(
                "UPDATE escalations SET fence = fence + 1, leased_until_ms = $4, step = $5, step_due_at_ms = $6,
                     due_at_ms = $7, pushed = CASE WHEN $8 = 1 THEN 1 ELSE pushed END,
                     stopped = coalesce(stopped, $9), held = NULL
                 WHERE tenant = $1 AND user_id = $2 AND alert_id = $3",
            ),
            key,
        )
        .bind(leased_until)
        .bind(decision.step as i64)
        .bind(decision.step_due_at.as_millisecond())
        .bind(due_at.map(Timestamp::as_millisecond))
        .bind(i64::from(pushed))
        .bind(stopped)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn lock_escalation(&self, tx: &mut Tx, key: &EscalationKey) -> Result<Option<Locked>, Failure> {
        let sql = format!(
            "SELECT e.round, e.policy, e.step, e.step_due_at_ms, e.claim, e.fence, e.opened_at_ms, e.expires_at_ms,
                 e.stopped, e.held, e.told_push, e.told_email
             FROM escalations e WHERE e.tenant = $1 AND e.user_id = $2 AND e.alert_id = $3 {}",
            self.engine.lock("e")
        );
        let row = keyed(sqlx::query(AssertSqlSafe(sql)), key).fetch_optional(&mut **tx).await?;
        row.map(|row| {
            Ok(Locked { claim: int(&row, "claim")? as u64, fence: int(&row, "fence")? as u64, row })
        })
        .transpose()
    }
}

struct Locked {
    row: AnyRow,
    claim: u64,
    fence: u64,
}

impl Locked {
    fn is_held_by(&self, holder: Holder) -> bool {
        match holder {
            Holder::Claim(number) => self.claim == number,
            Holder::Fence(number) => self.fence == number,
        }
    }
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

pub(super) fn keyed(query: Query, key: &EscalationKey) -> Query {
    query
        .bind(key.user.tenant.as_str().to_owned())
        .bind(key.user.user.as_str().to_owned())
        .bind(key.alert.as_str().to_owned())
}

fn claim_of(row: &AnyRow) -> Result<Claim, Failure> {
    Ok(Claim { key: key_of(row)?, number: int(row, "claim")? as u64 })
}

pub(super) fn key_of(row: &AnyRow) -> Result<EscalationKey, Failure> {
    let user = UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
    Ok(EscalationKey { user, alert: stored_name!(row, "alert_id", AlertId) })
}
