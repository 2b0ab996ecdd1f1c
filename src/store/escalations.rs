//! The timers: claimed when due, stepped under their lock, answered by whoever still holds them.
//!
//! A due row is handed out by [`Store::claim_due`] for the length of a lease (`claim` counts up). Whoever works on
//! it calls [`Store::step`], which reads everything again in the same transaction that writes the attempts (I5, I6).
//! A holder with an old claim or fence gets [`Stepped::Lost`]; what its provider answered is kept all the same.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    Failure, Store, StoreError, Tx,
    attempts::{attempt_of, small, write_notes},
    devices::device_of,
    int, maybe_int, maybe_text, maybe_time, stored_name, text, time,
};
use crate::domain::{
    AlertId, AttemptId, AttemptKind, AttemptState, Channel, Device, DeviceId, Progress, Reach, Secret,
    Tenant, Timestamp, UserId, UserKey,
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

/// Everything a decision looks at, read under the row's lock.
#[derive(Debug, Clone)]
pub struct Walk {
    /// How far it has come.
    pub progress: Progress,
    /// The policy's name.
    pub policy: String,
    /// What clients are given; opaque here.
    pub content: Arc<str>,
    /// The user's devices.
    pub devices: Vec<Device>,
    /// Their address, if it takes mail.
    pub email: Option<Secret>,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// What their badge shows.
    pub unread: u64,
}

impl Walk {
    /// By what the user can be reached.
    pub fn reach(&self) -> Reach {
        Reach {
            devices: self.devices.iter().map(|device| device.id.clone()).collect(),
            email: self.email.is_some(),
        }
    }
}

/// What to do about a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write these attempts and hold the row for `lease` while the providers are called.
    Attempt {
        /// New rows, and rows whose next try begins.
        attempts: Vec<NewAttempt>,
        /// The step they belong to, when skipping led to a later one.
        step: usize,
        /// When that step became due.
        step_due_at: Timestamp,
        /// For the timeline.
        notes: Vec<String>,
    },
    /// Nothing to call now: look again at `due_at`, or never.
    Rest {
        /// The step that is next.
        step: usize,
        /// When it is due.
        step_due_at: Timestamp,
        /// When to look again; `None` when nothing is left to do.
        due_at: Option<Timestamp>,
        /// For the timeline.
        notes: Vec<String>,
    },
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
            // The lock comes before the answers, in every step, so that no two steps wait for each other.
            let locked = self.lock_escalation(tx, key).await?;
            let held = locked.filter(|locked| locked.is_held_by(holder));
            self.write_answers(tx, answers, held.is_some(), now).await?;
            let Some(locked) = held else { return Ok(Stepped::Lost) };
            let Some(walk) = read_walk(tx, key, &locked.row).await? else { return Ok(Stepped::Lost) };
            match decide(&walk) {
                Decision::Attempt { attempts, step, step_due_at, notes } => {
                    write_notes(tx, key, &notes, now).await?;
                    self.write_attempts(tx, key, walk.progress.round, step, &attempts, now).await?;
                    let pushed = i64::from(attempts.iter().any(|attempt| attempt.channel == Channel::Push));
                    let fence = locked.fence + 1;
                    sqlx::query(
                        "UPDATE escalations SET fence = $4, leased_until_ms = $5, step = $6, step_due_at_ms = $7,
                             due_at_ms = $8, pushed = CASE WHEN $9 = 1 THEN 1 ELSE pushed END
                         WHERE tenant = $1 AND user_id = $2 AND alert_id = $3",
                    )
                    .bind(key.user.tenant.as_str())
                    .bind(key.user.user.as_str())
                    .bind(key.alert.as_str())
                    .bind(fence as i64)
                    .bind((now + lease).as_millisecond())
                    .bind(step as i64)
                    .bind(step_due_at.as_millisecond())
                    .bind(now.as_millisecond())
                    .bind(pushed)
                    .execute(&mut **tx)
                    .await?;
                    Ok(Stepped::Call { fence, walk: Box::new(walk), attempts })
                }
                Decision::Rest { step, step_due_at, due_at, notes } => {
                    write_notes(tx, key, &notes, now).await?;
                    sqlx::query(
                        "UPDATE escalations SET fence = fence + 1, leased_until_ms = 0, step = $4, step_due_at_ms = $5,
                             due_at_ms = $6, stopped = CASE WHEN stopped IS NULL AND $6 IS NULL AND expires_at_ms <= $7
                                 THEN 'expired' ELSE stopped END
                         WHERE tenant = $1 AND user_id = $2 AND alert_id = $3",
                    )
                    .bind(key.user.tenant.as_str())
                    .bind(key.user.user.as_str())
                    .bind(key.alert.as_str())
                    .bind(step as i64)
                    .bind(step_due_at.as_millisecond())
                    .bind(due_at.map(Timestamp::as_millisecond))
                    .bind(now.as_millisecond())
                    .execute(&mut **tx)
                    .await?;
                    Ok(Stepped::Rested)
                }
            }
        })
        .await
    }

    async fn lock_escalation(&self, tx: &mut Tx, key: &EscalationKey) -> Result<Option<Locked>, Failure> {
        let sql = format!(
            "SELECT e.round, e.policy, e.step, e.step_due_at_ms, e.claim, e.fence, e.expires_at_ms, e.stopped
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
    let user = UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
    let key = EscalationKey { user, alert: stored_name!(row, "alert_id", AlertId) };
    Ok(Claim { key, number: int(row, "claim")? as u64 })
}

async fn read_walk(tx: &mut Tx, key: &EscalationKey, row: &AnyRow) -> Result<Option<Walk>, Failure> {
    let content = sqlx::query("SELECT content FROM alerts WHERE tenant = $1 AND alert_id = $2")
        .bind(key.user.tenant.as_str())
        .bind(key.alert.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(content) = content else { return Ok(None) };
    let attempts = keyed(
        sqlx::query("SELECT * FROM attempts WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 ORDER BY created_at_ms, attempt_id"),
        key,
    )
    .fetch_all(&mut **tx)
    .await?;
    let devices = sqlx::query("SELECT * FROM devices WHERE tenant = $1 AND user_id = $2 ORDER BY device_id")
        .bind(key.user.tenant.as_str())
        .bind(key.user.user.as_str())
        .fetch_all(&mut **tx)
        .await?;
    let contact = sqlx::query(
        "SELECT email, email_refused_at_ms, locale, unread FROM users WHERE tenant = $1 AND user_id = $2",
    )
    .bind(key.user.tenant.as_str())
    .bind(key.user.user.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let (email, locale, unread) = match &contact {
        Some(contact) => {
            let refused = maybe_int(contact, "email_refused_at_ms")?.is_some();
            let email = maybe_text(contact, "email")?.filter(|_| !refused).map(Secret::from);
            (email, maybe_text(contact, "locale")?, int(contact, "unread")? as u64)
        }
        None => (None, None, 0),
    };
    let stopped = maybe_text(row, "stopped")?.map(|word| word.parse()).transpose();
    let progress = Progress {
        stopped: stopped.map_err(|_| Failure::Unreadable("stopped"))?,
        expires_at: time(row, "expires_at_ms")?,
        round: small(row, "round")?,
        step: small(row, "step")? as usize,
        step_due_at: time(row, "step_due_at_ms")?,
        attempts: attempts.iter().map(attempt_of).collect::<Result<_, _>>()?,
    };
    Ok(Some(Walk {
        progress,
        policy: text(row, "policy")?,
        content: text(&content, "content")?.into(),
        devices: devices.iter().map(device_of).collect::<Result<_, _>>()?,
        email,
        locale,
        unread,
    }))
}
