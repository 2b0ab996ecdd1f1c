//! Presence: who has a session somewhere. It shortens waits and does nothing else (I4).
//!
//! A row says that a user has a session on a pod, and counts while that pod renews its lease. So a pod that vanishes
//! takes its rows with it, and whoever notices ([`Store::sweep_pods`]) treats its users as if they had left.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, Store, StoreError, Tx,
    attempts::Note,
    escalations::key_of,
    int,
    key_rows::UserRow,
    maybe_int, maybe_time,
    row_batch::{Batch, Statement},
    stored_name,
};
use crate::domain::{Tenant, Timestamp, UserId, UserKey};

/// Users of one call at the most.
pub const PRESENCE_BATCH_MAX: usize = 1_000;

/// True where the table `of` names somebody with a session on a living pod; `$1` is now.
///
/// It is asked for each row: as an EXISTS, a planner may read everybody's presence for it.
macro_rules! is_present {
    ($of:literal) => {
        concat!(
            "(SELECT 1 FROM presence JOIN pods ON pods.pod = presence.pod WHERE presence.tenant = ",
            $of,
            ".tenant AND presence.user_id = ",
            $of,
            ".user_id AND pods.leased_until_ms > $1 LIMIT 1) IS NOT NULL"
        )
    };
}
pub(super) use is_present;

impl Store {
    /// Says that a pod lives, for the length of `lease`. `false`: it was thought dead, and its users with it, so say
    /// again who is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_pod(&self, pod: &str, now: Timestamp, lease: Duration) -> Result<bool, StoreError> {
        writing!(self, "renew_pod", |tx| {
            let before = sqlx::query("SELECT leased_until_ms FROM pods WHERE pod = $1")
                .bind(pod.to_owned())
                .fetch_optional(&mut **tx)
                .await?;
            sqlx::query(
                "INSERT INTO pods (pod, leased_until_ms) VALUES ($1, $2)
                 ON CONFLICT (pod) DO UPDATE SET leased_until_ms = excluded.leased_until_ms",
            )
            .bind(pod.to_owned())
            .bind((now + lease).as_millisecond())
            .execute(&mut **tx)
            .await?;
            let leased_until = before.map(|row| maybe_int(&row, "leased_until_ms")).transpose()?.flatten();
            Ok(leased_until.is_some_and(|until| until > now.as_millisecond()))
        })
        .await
    }

    /// These users have a session on this pod now, and so are known from here on.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn arrive(&self, pod: &str, users: &[UserKey], now: Timestamp) -> Result<(), StoreError> {
        static INSERT: Statement<UserRow<'_>> = Statement::new(
            "INSERT INTO presence ({columns}, pod) SELECT {columns}, $1 FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, pod) DO NOTHING",
        );
        writing!(self, "arrive", |tx| {
            self.make_known(tx, users, now).await?;
            let users = Batch::of(self.engine, users.iter().map(UserRow::of))?;
            INSERT.over(&users).bind(pod.to_owned()).execute(&mut **tx).await?;
            Ok(())
        })
        .await
    }

    /// These users have no session on this pod any more. Whoever has none anywhere waits no longer for a screen: their
    /// first waits end now.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn leave(&self, pod: &str, users: &[UserKey], now: Timestamp) -> Result<(), StoreError> {
        writing!(self, "leave", |tx| self.leave_in(tx, pod, users, now).await).await
    }

    async fn leave_in(
        &self,
        tx: &mut Tx,
        pod: &str,
        users: &[UserKey],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static DELETE: Statement<UserRow<'_>> = Statement::new(
            "DELETE FROM presence WHERE pod = $1 AND (tenant, user_id) IN (SELECT {columns} FROM {batch})",
        );
        // Found by the index `escalations_first_wait` (migration 6): only what is open is looked at, not what ever was. Then
        // those whose people are gone, and only then the rows: each step by key, and judged again where it is written. A
        // LEFT JOIN begins at its left, whatever a planner believes of the right.
        static END: Statement<UserRow<'_>> = Statement::new(concat!(
            "WITH waiting AS MATERIALIZED (
                 SELECT e.tenant, e.user_id, e.alert_id FROM {batch} LEFT JOIN escalations e
                     ON e.tenant = batch.tenant AND e.user_id || '' = batch.user_id
                     AND coalesce(e.stopped, '') <= '' AND e.step <= 0 AND coalesce(e.held, '') <= ''
                     AND e.due_at_ms > $1),
             ended AS MATERIALIZED (
                 SELECT waiting.tenant, waiting.user_id, waiting.alert_id FROM waiting
                 WHERE waiting.alert_id IS NOT NULL AND NOT (",
            is_present!("waiting"),
            "))
             UPDATE escalations SET step_due_at_ms = $1, due_at_ms = $1 FROM ended
             WHERE escalations.tenant = ended.tenant AND escalations.user_id = ended.user_id
                 AND escalations.alert_id = ended.alert_id AND escalations.stopped IS NULL AND escalations.step = 0
                 AND escalations.held IS NULL AND escalations.step_due_at_ms > $1 AND escalations.due_at_ms > $1
                 AND escalations.policy <> ''
             RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id,
                 escalations.alert_id AS alert_id",
        ));
        let mut users = users.to_vec();
        users.sort();
        users.dedup();
        // As everybody does who changes several escalations of one person.
        self.lock_users(tx, &users, None).await?;
        let users = Batch::of(self.engine, users.iter().map(UserRow::of))?;
        DELETE.over(&users).bind(pod.to_owned()).execute(&mut **tx).await?;
        let ended = END.over(&users).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        let ended: Vec<EscalationKey> = ended.iter().map(key_of).collect::<Result<_, _>>()?;
        let notes: Vec<Note<'_>> =
            ended.iter().map(|key| (key, "the last session closed: the first wait ends", now)).collect();
        self.write_notes(tx, &notes).await
    }

    /// Lets the users of dead pods leave, up to [`PRESENCE_BATCH_MAX`] of one pod. Returns how many; call it until
    /// there are none.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn sweep_pods(&self, now: Timestamp) -> Result<usize, StoreError> {
        writing!(self, "sweep_pods", |tx| {
            let dead = sqlx::query(
                "SELECT pod FROM pods WHERE leased_until_ms <= $1 ORDER BY leased_until_ms LIMIT 1",
            )
            .bind(now.as_millisecond())
            .fetch_optional(&mut **tx)
            .await?;
            let Some(dead) = dead else { return Ok(0) };
            let pod = super::text(&dead, "pod")?;
            let rows =
                sqlx::query("SELECT tenant, user_id FROM presence WHERE pod = $1 AND user_id <> '' LIMIT $2")
                    .bind(pod.clone())
                    .bind(PRESENCE_BATCH_MAX as i64)
                    .fetch_all(&mut **tx)
                    .await?;
            let mut users = Vec::with_capacity(rows.len());
            for row in &rows {
                users.push(UserKey::new(
                    stored_name!(row, "tenant", Tenant),
                    stored_name!(row, "user_id", UserId),
                ));
            }
            match users.is_empty() {
                true => {
                    // Only if it is still dead: it may have come back and be about to say who is there.
                    sqlx::query("DELETE FROM pods WHERE pod = $1 AND leased_until_ms <= $2")
                        .bind(pod)
                        .bind(now.as_millisecond())
                        .execute(&mut **tx)
                        .await?;
                }
                false => self.leave_in(tx, &pod, &users, now).await?,
            }
            Ok(users.len())
        })
        .await
    }
}

/// What a pod holds, told with its lease so that pods can share sessions evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodLoad {
    /// Sessions it has.
    pub sessions: u64,
    /// Sessions it may have.
    pub sessions_max: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it said so.
    pub told_at: Timestamp,
    /// Whether it was told to leave.
    pub leaving: bool,
}

impl Store {
    /// Says what a pod holds. Counts for as long as its lease.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn tell_load(&self, pod: &str, load: &PodLoad) -> Result<(), StoreError> {
        writing!(self, "tell_load", |tx| {
            sqlx::query(
                "UPDATE pods
                 SET sessions = $2, sessions_max = $3, started_at_ms = $4, told_at_ms = $5, leaving = $6
                 WHERE pod = $1",
            )
            .bind(pod.to_owned())
            .bind(load.sessions as i64)
            .bind(load.sessions_max as i64)
            .bind(load.started_at.as_millisecond())
            .bind(load.told_at.as_millisecond())
            .bind(i64::from(load.leaving))
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }

    /// What every other living pod holds; `None` for one of an earlier version, which does not say.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn other_pods(&self, pod: &str, now: Timestamp) -> Result<Vec<Option<PodLoad>>, StoreError> {
        self.in_time("other_pods", async {
            let rows = sqlx::query(
                "SELECT sessions, sessions_max, started_at_ms, told_at_ms, leaving FROM pods
                 WHERE pod <> $1 AND leased_until_ms > $2",
            )
            .bind(pod.to_owned())
            .bind(now.as_millisecond())
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(load).collect()
        })
        .await
    }
}

fn load(row: &AnyRow) -> Result<Option<PodLoad>, Failure> {
    let (sessions, sessions_max) = (maybe_int(row, "sessions")?, maybe_int(row, "sessions_max")?);
    let (started_at, told_at) = (maybe_time(row, "started_at_ms")?, maybe_time(row, "told_at_ms")?);
    let (Some(sessions), Some(sessions_max), Some(started_at), Some(told_at)) =
        (sessions, sessions_max, started_at, told_at)
    else {
        return Ok(None);
    };
    Ok(Some(PodLoad {
        sessions: sessions.unsigned_abs(),
        sessions_max: sessions_max.unsigned_abs(),
        started_at,
        told_at,
        leaving: int(row, "leaving")? != 0,
    }))
}
