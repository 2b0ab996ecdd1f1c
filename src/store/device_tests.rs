//! Tests of devices: a person asks for one, a sender takes it, and what came of it stays with the device.
//!
//! What holds here:
//! - A device has one test at a time, which is a part of its row and goes with it. Another one replaces it.
//! - A test is written before a provider is called, and its attempt keeps its id when it is repeated (I6).
//! - Whoever takes one has it for the length of a lease; if they die, the next one repeats it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    Failure, Store, StoreError, devices::device_of, int, maybe_int, maybe_text, maybe_time, maybe_word,
    stored_name, summaries::of_user, text, time, word,
};
use crate::domain::{
    AttemptId, AttemptKind, AttemptState, Channel, Device, DeviceId, Tenant, Timestamp, UserId, UserKey,
    device_test::{DeviceTest, TestAsked, wait_for_test},
};

/// Attempts of one person that are looked through for the last push to each of their devices.
const ATTEMPTS_LOOKED_AT_MAX: usize = 200;

/// A test that somebody took.
#[derive(Debug, Clone)]
pub struct TakenTest {
    /// Whose device.
    pub user: UserKey,
    /// Which.
    pub device: Device,
    /// What the provider is to know it by.
    pub attempt: AttemptId,
    /// How often it was taken, this time included.
    pub tries: u32,
    /// When the person asked for it.
    pub asked_at: Timestamp,
    /// What their badge shows.
    pub unread: u64,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Where the test stands.
    pub state: AttemptState,
    /// What the provider answered, as a word.
    pub outcome: &'static str,
    /// When it is tried again; none when it has ended.
    pub next_try_at: Option<Timestamp>,
}

/// A device, with what became of the pushes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDevice {
    /// The device.
    pub device: Device,
    /// Its last test, if there was one.
    pub test: Option<DeviceTest>,
    /// When the last push of an alert to it was begun, and where that stands. None: none of the person's last attempts was to it.
    pub last_push: Option<(Timestamp, AttemptState)>,
}

impl Store {
    /// Asks for a test of one device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_for_device_test(
        &self,
        user: &UserKey,
        device: &DeviceId,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Result<TestAsked, StoreError> {
        writing!(self, "ask_for_device_test", |tx| {
            self.lock_users(tx, std::slice::from_ref(user), None).await?;
            let standing = of_user(
                sqlx::query(
                    "SELECT u.device_test_asked_at_ms FROM devices d
                     CROSS JOIN users u
                     WHERE d.tenant = $1 AND d.user_id = $2 AND d.device_id = $3 AND u.tenant = $1 AND u.user_id = $2",
                ),
                user,
            );
            let standing = standing.bind(device.as_str().to_owned()).fetch_optional(&mut **tx).await?;
            let Some(standing) = standing else { return Ok(TestAsked::NoDevice) };
            if let Some(wait) = wait_for_test(maybe_time(&standing, "device_test_asked_at_ms")?, now) {
                return Ok(TestAsked::TooSoon { wait });
            }
            let asked = of_user(
                sqlx::query("UPDATE users SET device_test_asked_at_ms = $3 WHERE tenant = $1 AND user_id = $2"),
                user,
            );
            asked.bind(now.as_millisecond()).execute(&mut **tx).await?;
            let begun = of_user(
                sqlx::query(
                    "UPDATE devices SET test_attempt = $4, test_tries = 0, test_asked_at_ms = $5, test_due_at_ms = $5,
                         test_state = $6, test_outcome = NULL, test_ended_at_ms = NULL
                     WHERE tenant = $1 AND user_id = $2 AND device_id = $3",
                ),
                user,
            );
            begun
                .bind(device.as_str().to_owned())
                .bind(attempt.to_string())
                .bind(now.as_millisecond())
                .bind(AttemptState::Pending.as_str())
                .execute(&mut **tx)
                .await?;
            Ok(TestAsked::Done)
        })
        .await
    }

    /// Takes tests that are due, each for the length of `lease`.
    ///
    /// # Errors
    /// [`StoreError`]; none was taken.
    pub async fn take_device_tests(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<TakenTest>, StoreError> {
        writing!(self, "take_device_tests", |tx| {
            // MATERIALIZED: the rows are picked once, however the planner joins them.
            let sql = format!(
                "WITH due AS MATERIALIZED (
                     SELECT tenant, user_id, device_id FROM devices
                     WHERE test_due_at_ms <= $1 ORDER BY test_due_at_ms LIMIT $3 {})
                 UPDATE devices SET test_due_at_ms = $2, test_tries = test_tries + 1
                 FROM due WHERE devices.tenant = due.tenant AND devices.user_id = due.user_id
                     AND devices.device_id = due.device_id
                 RETURNING devices.tenant AS tenant, devices.user_id AS user_id, devices.device_id AS device_id,
                     devices.service AS service, devices.environment AS environment, devices.token AS token,
                     devices.registered_at_ms AS registered_at_ms, devices.issued_at_s AS issued_at_s,
                     devices.bound_to AS bound_to, devices.start_token AS start_token,
                     devices.test_attempt AS test_attempt, devices.test_tries AS test_tries,
                     devices.test_asked_at_ms AS test_asked_at_ms,
                     (SELECT unread FROM users u WHERE u.tenant = devices.tenant AND u.user_id = devices.user_id) AS unread,
                     (SELECT locale FROM users u WHERE u.tenant = devices.tenant AND u.user_id = devices.user_id) AS locale",
                self.engine.skip_locked()
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(now.as_millisecond())
                .bind((now + lease).as_millisecond())
                .bind(limit as i64)
                .fetch_all(&mut **tx)
                .await?;
            rows.iter().map(taken_of).collect()
        })
        .await
    }

    /// Keeps what came of a test, unless another one has begun meanwhile or the device is gone.
    ///
    /// # Errors
    /// [`StoreError`]; when the lease has ended, the test is repeated.
    pub async fn keep_test_result(
        &self,
        test: &TakenTest,
        result: &TestResult,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "keep_test_result", |tx| {
            let ended_at = result.next_try_at.is_none().then_some(now);
            let kept = of_user(
                sqlx::query(
                    "UPDATE devices SET test_state = $5, test_outcome = $6, test_due_at_ms = $7, test_ended_at_ms = $8
                     WHERE tenant = $1 AND user_id = $2 AND device_id = $3 AND test_attempt = $4",
                ),
                &test.user,
            );
            kept.bind(test.device.id.as_str().to_owned())
                .bind(test.attempt.to_string())
                .bind(result.state.as_str())
                .bind(result.outcome)
                .bind(result.next_try_at.map(Timestamp::as_millisecond))
                .bind(ended_at.map(Timestamp::as_millisecond))
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// The user's devices, each with what became of the last push and of the last test.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn devices_with_pushes(&self, user: &UserKey) -> Result<Vec<SeenDevice>, StoreError> {
        self.in_time("devices_with_pushes", async {
            let devices = of_user(
                sqlx::query("SELECT * FROM devices WHERE tenant = $1 AND user_id = $2 ORDER BY device_id"),
                user,
            );
            let devices = devices.fetch_all(&self.read).await?;
            if devices.is_empty() {
                return Ok(Vec::new());
            }
            // Ids of attempts are in the order in which they were made. What is wanted of them is looked at here, because a condition
            // would have the person's whole past gone through.
            let attempts = of_user(
                sqlx::query(
                    "SELECT device_id, kind, channel, state, created_at_ms FROM attempts
                     WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' ORDER BY attempt_id DESC LIMIT $3",
                ),
                user,
            );
            let attempts = attempts.bind(ATTEMPTS_LOOKED_AT_MAX as i64).fetch_all(&self.read).await?;
            let mut seen = devices.iter().map(seen_of).collect::<Result<Vec<_>, Failure>>()?;
            for attempt in attempts.iter().rev() {
                let shows = word::<AttemptKind>(attempt, "kind")? == AttemptKind::Alert;
                let to = maybe_text(attempt, "device_id")?;
                if !shows || word::<Channel>(attempt, "channel")? != Channel::Push {
                    continue;
                }
                let device = seen.iter_mut().find(|seen| Some(seen.device.id.as_str()) == to.as_deref());
                let Some(device) = device else { continue };
                device.last_push = Some((time(attempt, "created_at_ms")?, word(attempt, "state")?));
            }
            Ok(seen)
        })
        .await
    }
}

fn seen_of(row: &AnyRow) -> Result<SeenDevice, Failure> {
    let test = match (maybe_time(row, "test_asked_at_ms")?, maybe_word(row, "test_state")?) {
        (Some(asked_at), Some(state)) => Some(DeviceTest {
            asked_at,
            state,
            outcome: maybe_text(row, "test_outcome")?,
            ended_at: maybe_time(row, "test_ended_at_ms")?,
        }),
        _ => None,
    };
    Ok(SeenDevice { device: device_of(row)?, test, last_push: None })
}

fn taken_of(row: &AnyRow) -> Result<TakenTest, Failure> {
    Ok(TakenTest {
        user: UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId)),
        device: device_of(row)?,
        attempt: text(row, "test_attempt")?.parse().map_err(|_| Failure::Unreadable("test_attempt"))?,
        tries: u32::try_from(int(row, "test_tries")?).map_err(|_| Failure::Unreadable("test_tries"))?,
        asked_at: time(row, "test_asked_at_ms")?,
        unread: maybe_int(row, "unread")?.unwrap_or_default().max(0) as u64,
        locale: maybe_text(row, "locale")?,
    })
}
