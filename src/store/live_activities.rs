//! Live Activities: which alerts Apple devices show on their lock screens, and what those say.
//!
//! What holds here:
//! - An activity is a row from when it is wanted until it has ended, and has at most one call under way: whoever takes it has it for
//!   the length of a lease, and what happens meanwhile wakes it when that call is kept.
//! - What its alert says, what its person did and whether its device is theirs are read in the commit that takes it (I5).
//! - A token of Apple's is dropped only if it is still the one that was refused, and older than Apple's proof (I7).
//! - Waking costs a statement for a batch of inbox rows that change, and a row for each activity that is open and has a token of its own. One
//!   that listens to the channel of its alert is not woken: a row of `broadcast_channels` is.
//!
//! Elsewhere: what to do about one, in `domain::live_activity`; the channels, in `broadcast_channels`.

use std::time::Duration;

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    EscalationKey, Failure, Store, StoreError, Tx, int,
    key_rows::UserAlertRow,
    maybe_int, maybe_text, maybe_time, maybe_word,
    row_batch::{Batch, Statement, batch_row},
    stored_name,
    summaries::of_user,
    time, word,
};
use crate::domain::{
    AlertId, Device, DeviceId, PushEnvironment, PushService, Secret, Severity, StopReason, Tenant, Timestamp,
    UserId, UserKey,
    live_activity::{ACTIVITIES_PER_USER_MAX, Activity, AlertNow, Hears, over},
};

/// An activity that is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct WantedActivity<'a> {
    /// Of which alert, and for whom.
    pub key: &'a EscalationKey,
    /// On which device.
    pub device: &'a Device,
    /// The bundle id of the app in whose channel it is to listen, if its alert is for everyone; none: it gets a token of its own.
    pub listens_in: Option<&'a str>,
}

/// The channel that an activity listens to, or is to listen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenedChannel {
    /// The bundle id of its app.
    pub app: String,
    /// What Apple calls it; none while it was not made, or is not made.
    pub channel: Option<String>,
}

/// An activity that somebody took.
#[derive(Debug, Clone)]
pub struct TakenActivity {
    /// Of which alert, and for whom.
    pub key: EscalationKey,
    /// On which device.
    pub device: DeviceId,
    /// Which of Apple's two worlds the device lives in.
    pub environment: PushEnvironment,
    /// The bundle id of its app; none where it was not told.
    pub bound_to: Option<String>,
    /// What Apple starts activities with there.
    pub start_token: Option<Secret>,
    /// What Apple updates and ends it by.
    pub token: Option<Secret>,
    /// When that was registered.
    pub token_at: Option<Timestamp>,
    /// When the device was last registered.
    pub registered_at: Option<Timestamp>,
    /// The channel of its alert, where it has no token of its own.
    pub listens: Option<ListenedChannel>,
    /// How far it has come.
    pub activity: Activity,
    /// What its alert says; none when that is gone.
    pub alert: Option<AlertNow>,
    /// What clients are given of the alert; opaque here.
    pub content: String,
    /// What the person's badge shows.
    pub unread: u64,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// How often it was taken for what it is about to do, this time included.
    pub tries: u32,
}

/// What came of taking an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptActivity {
    /// The activity goes on, and is looked at again later.
    Goes {
        /// What its device shows from now on; none: as before.
        told: Option<(u32, Severity)>,
        /// When to look at it next.
        due_at: Timestamp,
        /// Whether what it was taken for is still to be done.
        is_to_repeat: bool,
    },
    /// It was started, and listens from now on: nobody has to look at it again before a system ends it.
    Listens {
        /// To which channel.
        channel: String,
        /// What its device shows until the channel is told something.
        told: (u32, Severity),
        /// When to look at it next.
        due_at: Timestamp,
    },
    /// Nothing is shown, so the activity is forgotten, unless something changed meanwhile.
    Over,
    /// Its device was told the end, so the activity is forgotten.
    Ended,
    /// Apple says that the token is gone which it was called by.
    TokenGone {
        /// What was registered later is still good.
        unless_registered_after: Option<Timestamp>,
    },
}

/// What became of the token of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityRegistered {
    /// It is registered.
    Done,
    /// The person has no such device of Apple's.
    NoDevice,
    /// The alert is not in the person's inbox.
    NoAlert,
    /// The person has as many as they may.
    TooMany,
}

impl Store {
    /// Notes that an alert is to be shown on a device: due at once. One that is there already is looked at again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn want_activity(&self, wanted: WantedActivity<'_>, now: Timestamp) -> Result<(), StoreError> {
        let WantedActivity { key, device, listens_in } = wanted;
        writing!(self, "want_activity", |tx| {
            let listens_in = match listens_in {
                Some(app) => self.listener_of(tx, key, device, app, now).await?,
                None => None,
            };
            sqlx::query(
                "INSERT INTO live_activities (tenant, user_id, alert_id, device_id, environment, bound_to, begun_at_ms, due_at_ms,
                     started, tries, leased, woken, listens_in)
                 SELECT d.tenant, d.user_id, $4, d.device_id, d.environment, d.bound_to, CAST($5 AS BIGINT), CAST($5 AS BIGINT), 0, 0, 0, 0,
                     CAST($7 AS TEXT)
                 FROM devices d WHERE d.tenant = $1 AND d.user_id = $2 AND d.device_id = $3
                     AND (SELECT count(*) FROM live_activities l WHERE l.tenant = $1 AND l.user_id = $2) < $6
                 ON CONFLICT (tenant, user_id, alert_id, device_id) DO UPDATE SET woken = 1,
                     due_at_ms = CASE WHEN live_activities.leased = 1 THEN live_activities.due_at_ms ELSE excluded.due_at_ms END
                 WHERE live_activities.channel IS NULL",
            )
            .bind(key.user.tenant.as_str())
            .bind(key.user.user.as_str())
            .bind(device.id.as_str())
            .bind(key.alert.as_str())
            .bind(now.as_millisecond())
            .bind(ACTIVITIES_PER_USER_MAX as i64)
            .bind(listens_in)
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }

    /// Registers the token of an activity that a device shows, whoever started it. It is due at once. A token is one activity's, so it
    /// is taken from any other alert it was registered for on this device: two alerts would write over each other on one screen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_activity(
        &self,
        key: &EscalationKey,
        device: &DeviceId,
        token: &Secret,
        now: Timestamp,
    ) -> Result<ActivityRegistered, StoreError> {
        writing!(self, "put_activity", |tx| {
            // Two at once are not both the last one allowed.
            self.lock_users(tx, std::slice::from_ref(&key.user), None).await?;
            let standing = sqlx::query(
                "SELECT (SELECT count(*) FROM devices WHERE tenant = $1 AND user_id = $2 AND device_id = $3 AND service = $5) AS devices,
                     (SELECT count(*) FROM inbox WHERE tenant = $1 AND user_id = $2 AND alert_id = $4) AS alerts,
                     (SELECT count(*) FROM live_activities WHERE tenant = $1 AND user_id = $2
                         AND NOT (alert_id = $4 AND device_id = $3)) AS others",
            )
            .bind(key.user.tenant.as_str())
            .bind(key.user.user.as_str())
            .bind(device.as_str())
            .bind(key.alert.as_str())
            .bind(PushService::Apns.as_str())
            .fetch_one(&mut **tx)
            .await?;
            if int(&standing, "devices")? == 0 {
                return Ok(ActivityRegistered::NoDevice);
            }
            if int(&standing, "alerts")? == 0 {
                return Ok(ActivityRegistered::NoAlert);
            }
            let moved = of_key(
                sqlx::query(
                    "DELETE FROM live_activities WHERE tenant = $1 AND user_id = $2 AND alert_id <> $3 AND device_id = $4 AND token = $5",
                ),
                key,
                device,
            );
            let moved = moved.bind(token.expose().to_owned()).execute(&mut **tx).await?.rows_affected();
            if int(&standing, "others")? - moved as i64 >= ACTIVITIES_PER_USER_MAX as i64 {
                return Ok(ActivityRegistered::TooMany);
            }
            sqlx::query(
                "INSERT INTO live_activities (tenant, user_id, alert_id, device_id, environment, bound_to, token, token_at_ms, begun_at_ms,
                     due_at_ms, started, tries, leased, woken)
                 SELECT d.tenant, d.user_id, $4, d.device_id, d.environment, d.bound_to, $5, CAST($6 AS BIGINT), CAST($6 AS BIGINT),
                     CAST($6 AS BIGINT), 1, 0, 0, 0
                 FROM devices d WHERE d.tenant = $1 AND d.user_id = $2 AND d.device_id = $3
                 ON CONFLICT (tenant, user_id, alert_id, device_id) DO UPDATE SET token = excluded.token,
                     token_at_ms = excluded.token_at_ms, started = 1, woken = 1, listens_in = NULL, channel = NULL,
                     due_at_ms = CASE WHEN live_activities.leased = 1 THEN live_activities.due_at_ms ELSE excluded.due_at_ms END",
            )
            .bind(key.user.tenant.as_str())
            .bind(key.user.user.as_str())
            .bind(device.as_str())
            .bind(key.alert.as_str())
            .bind(token.expose())
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(ActivityRegistered::Done)
        })
        .await
    }

    /// Forgets an activity, because its device says that it has ended. `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_activity(&self, key: &EscalationKey, device: &DeviceId) -> Result<bool, StoreError> {
        writing!(self, "delete_activity", |tx| {
            let gone = of_key(sqlx::query(DELETE), key, device).execute(&mut **tx).await?;
            Ok(gone.rows_affected() > 0)
        })
        .await
    }

    /// Takes activities that are due, each for the length of `lease`, with what their alerts say now.
    ///
    /// # Errors
    /// [`StoreError`]; none was taken.
    pub async fn take_activities(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<TakenActivity>, StoreError> {
        static SELECT: Statement<PlacedActivityRow<'_>> = Statement::new(
            "SELECT batch.place, a.content, a.version, a.severity, a.status, a.expires_at_ms, a.deleted_at_ms, i.state,
                 e.stopped, e.expires_at_ms AS escalated_until_ms, d.start_token, d.registered_at_ms, u.unread, u.locale,
                 c.channel, c.refused
             FROM {batch}
             LEFT JOIN alerts a ON a.tenant = batch.tenant AND a.alert_id = batch.alert_id
             LEFT JOIN inbox i ON i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id
             LEFT JOIN escalations e ON e.tenant = batch.tenant AND e.user_id = batch.user_id AND e.alert_id = batch.alert_id
             LEFT JOIN devices d ON d.tenant = batch.tenant AND d.user_id = batch.user_id AND d.device_id = batch.device_id
             LEFT JOIN users u ON u.tenant = batch.tenant AND u.user_id = batch.user_id
             LEFT JOIN broadcast_channels c ON c.tenant = batch.tenant AND c.alert_id = batch.alert_id
                 AND c.environment = batch.environment AND c.app = batch.app AND c.ended_at_ms IS NULL",
        );
        writing!(self, "take_activities", |tx| {
            // MATERIALIZED: the rows are picked once, however the planner joins them.
            let sql = format!(
                "WITH due AS MATERIALIZED (
                     SELECT tenant, user_id, alert_id, device_id FROM live_activities
                     WHERE due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3 {})
                 UPDATE live_activities SET due_at_ms = $2, tries = tries + 1, leased = 1, woken = 0
                 FROM due WHERE live_activities.tenant = due.tenant AND live_activities.user_id = due.user_id
                     AND live_activities.alert_id = due.alert_id AND live_activities.device_id = due.device_id
                 RETURNING live_activities.tenant AS tenant, live_activities.user_id AS user_id,
                     live_activities.alert_id AS alert_id, live_activities.device_id AS device_id,
                     live_activities.environment AS environment, live_activities.bound_to AS bound_to,
                     live_activities.token AS token, live_activities.token_at_ms AS token_at_ms,
                     live_activities.begun_at_ms AS begun_at_ms, live_activities.started AS started,
                     live_activities.told_version AS told_version, live_activities.told_severity AS told_severity,
                     live_activities.tries AS tries, live_activities.listens_in AS listens_in",
                self.engine.skip_locked()
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(now.as_millisecond())
                .bind((now + lease).as_millisecond())
                .bind(limit as i64)
                .fetch_all(&mut **tx)
                .await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let mut taken = rows.iter().map(taken_of).collect::<Result<Vec<_>, Failure>>()?;
            let keys = (0..).zip(&taken).map(|(place, taken)| PlacedActivityRow {
                place,
                tenant: taken.key.user.tenant.as_str(),
                user_id: taken.key.user.user.as_str(),
                alert_id: taken.key.alert.as_str(),
                device_id: taken.device.as_str(),
                environment: taken.environment.as_str(),
                app: taken.listens.as_ref().map(|listens| listens.app.as_str()),
            });
            let found = SELECT.over(&Batch::of(self.engine, keys)?).fetch_all(&mut **tx).await?;
            for row in &found {
                let place = int(row, "place")? as usize;
                let Some(taken) = taken.get_mut(place) else { return Err(Failure::Unreadable("place")) };
                read_now(taken, row, now)?;
            }
            Ok(taken)
        })
        .await
    }

    /// Keeps what came of an activity, with a line for the timeline of its alert.
    ///
    /// # Errors
    /// [`StoreError`]; when the lease has ended, the call is repeated.
    pub async fn keep_activity(
        &self,
        taken: &TakenActivity,
        kept: &KeptActivity,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "keep_activity", |tx| {
            let (key, device) = (&taken.key, &taken.device);
            match kept {
                KeptActivity::Goes { told, due_at, is_to_repeat } => {
                    let (version, severity) = told.unzip();
                    of_key(
                        sqlx::query(
                            // What is told by itself does not listen.
                            "UPDATE live_activities SET leased = 0, started = CASE WHEN $5 IS NULL THEN started ELSE 1 END,
                                 listens_in = CASE WHEN $5 IS NULL THEN listens_in END,
                                 told_version = coalesce(CAST($5 AS BIGINT), told_version), told_severity = coalesce($6, told_severity),
                                 tries = CASE WHEN $7 = 1 THEN tries ELSE 0 END,
                                 due_at_ms = CASE WHEN woken = 1 THEN CAST($9 AS BIGINT) ELSE CAST($8 AS BIGINT) END
                             WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4",
                        ),
                        key,
                        device,
                    )
                    .bind(version.map(i64::from))
                    .bind(severity.map(Severity::as_str))
                    .bind(i64::from(*is_to_repeat))
                    .bind(due_at.as_millisecond())
                    .bind(now.as_millisecond())
                    .execute(&mut **tx)
                    .await?;
                }
                KeptActivity::Listens { channel, told, due_at } => {
                    self.keep_listener(tx, taken, channel, *told, (*due_at, now)).await?;
                }
                KeptActivity::Over => self.let_activity_go(tx, taken, now).await?,
                KeptActivity::Ended => {
                    of_key(sqlx::query(DELETE), key, device).execute(&mut **tx).await?;
                }
                KeptActivity::TokenGone { unless_registered_after } => {
                    let before = unless_registered_after.map_or(i64::MAX, Timestamp::as_millisecond);
                    match (&taken.token, &taken.start_token) {
                        (Some(token), _) => self.drop_activity_token(tx, taken, token, before, now).await?,
                        (None, Some(token)) => self.drop_start_token(tx, taken, token, before, now).await?,
                        (None, None) => self.let_activity_go(tx, taken, now).await?,
                    }
                }
            }
            if let Some(note) = note {
                self.write_note_of_escalation(tx, key, note, now).await?;
            }
            Ok(())
        })
        .await
    }

    /// Gone, unless something changed since it was taken: then it is looked at again.
    async fn let_activity_go(
        &self,
        tx: &mut Tx,
        taken: &TakenActivity,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let delete = "DELETE FROM live_activities WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4
             AND woken = 0";
        of_key(sqlx::query(delete), &taken.key, &taken.device).execute(&mut **tx).await?;
        self.release_activity(tx, taken, now).await
    }

    async fn release_activity(
        &self,
        tx: &mut Tx,
        taken: &TakenActivity,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let release = "UPDATE live_activities SET leased = 0, tries = 0, due_at_ms = $5
             WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4";
        of_key(sqlx::query(release), &taken.key, &taken.device)
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn drop_activity_token(
        &self,
        tx: &mut Tx,
        taken: &TakenActivity,
        token: &Secret,
        before: i64,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let delete = "DELETE FROM live_activities WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4
             AND token = $5 AND token_at_ms < $6";
        of_key(sqlx::query(delete), &taken.key, &taken.device)
            .bind(token.expose().to_owned())
            .bind(before)
            .execute(&mut **tx)
            .await?;
        // A newer token is still good.
        self.release_activity(tx, taken, now).await
    }

    async fn drop_start_token(
        &self,
        tx: &mut Tx,
        taken: &TakenActivity,
        token: &Secret,
        before: i64,
        now: Timestamp,
    ) -> Result<(), Failure> {
        of_user(
            sqlx::query(
                "UPDATE devices SET start_token = NULL WHERE tenant = $1 AND user_id = $2 AND device_id = $3 AND start_token = $4
                     AND registered_at_ms < $5",
            ),
            &taken.key.user,
        )
        .bind(taken.device.as_str().to_owned())
        .bind(token.expose().to_owned())
        .bind(before)
        .execute(&mut **tx)
        .await?;
        self.let_activity_go(tx, taken, now).await
    }

    /// Has the activities of these alerts of people looked at now.
    pub(super) async fn wake_activities(
        &self,
        tx: &mut Tx,
        keys: &Batch<UserAlertRow<'_>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE live_activities SET woken = 1, due_at_ms = CASE WHEN leased = 1 THEN due_at_ms ELSE $1 END
             FROM {batch} WHERE live_activities.tenant = batch.tenant AND live_activities.user_id = batch.user_id
                 AND live_activities.alert_id = batch.alert_id AND live_activities.channel IS NULL",
        );
        if !keys.is_empty() {
            UPDATE.over(keys).bind(now.as_millisecond()).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// The same for all activities of a person, whose devices changed.
    pub(super) async fn wake_activities_of(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let wake = of_user(
            sqlx::query(
                "UPDATE live_activities SET woken = 1, due_at_ms = CASE WHEN leased = 1 THEN due_at_ms ELSE $3 END
                 WHERE tenant = $1 AND user_id = $2",
            ),
            user,
        );
        wake.bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }
}

const DELETE: &str =
    "DELETE FROM live_activities WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4";

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// The first four parameters of a statement about one activity.
pub(super) fn of_key(query: Query, key: &EscalationKey, device: &DeviceId) -> Query {
    of_user(query, &key.user).bind(key.alert.as_str().to_owned()).bind(device.as_str().to_owned())
}

batch_row! {
    /// The key of an activity with its place in the batch.
    struct PlacedActivityRow<'a> {
        place: i64,
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        device_id: &'a str,
        environment: &'a str,
        app: Option<&'a str>,
    }
}

fn taken_of(row: &AnyRow) -> Result<TakenActivity, Failure> {
    let user = UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
    let token = maybe_text(row, "token")?.map(Secret::from);
    let version = maybe_int(row, "told_version")?.and_then(|version| u32::try_from(version).ok());
    let activity = Activity {
        begun_at: time(row, "begun_at_ms")?,
        is_started: int(row, "started")? == 1,
        has_token: token.is_some(),
        has_device: false,
        can_start: false,
        told: version.zip(maybe_word(row, "told_severity")?),
        hears: Hears::ByToken,
    };
    Ok(TakenActivity {
        key: EscalationKey { user, alert: stored_name!(row, "alert_id", AlertId) },
        device: stored_name!(row, "device_id", DeviceId),
        environment: word(row, "environment")?,
        bound_to: maybe_text(row, "bound_to")?,
        start_token: None,
        token,
        token_at: maybe_time(row, "token_at_ms")?,
        registered_at: None,
        listens: maybe_text(row, "listens_in")?.map(|app| ListenedChannel { app, channel: None }),
        activity,
        alert: None,
        content: String::new(),
        unread: 0,
        locale: None,
        tries: u32::try_from(int(row, "tries")?).map_err(|_| Failure::Unreadable("tries"))?,
    })
}

/// Adds what the alert, its person and the device say now.
fn read_now(taken: &mut TakenActivity, row: &AnyRow, now: Timestamp) -> Result<(), Failure> {
    taken.registered_at = maybe_time(row, "registered_at_ms")?;
    taken.activity.has_device = taken.registered_at.is_some();
    taken.start_token = maybe_text(row, "start_token")?.map(Secret::from);
    taken.activity.can_start = taken.start_token.is_some();
    if let Some(listens) = &mut taken.listens {
        listens.channel = maybe_text(row, "channel")?;
        taken.activity.hears = match (&listens.channel, maybe_int(row, "refused")?) {
            (Some(_), _) => Hears::ByChannel,
            (None, Some(1)) => Hears::ByToken,
            (None, _) => Hears::ByComingChannel,
        };
    }
    taken.unread = maybe_int(row, "unread")?.unwrap_or_default().max(0) as u64;
    taken.locale = maybe_text(row, "locale")?;
    let (Some(content), Some(state), None) =
        (maybe_text(row, "content")?, maybe_word(row, "state")?, maybe_int(row, "deleted_at_ms")?)
    else {
        return Ok(());
    };
    taken.content = content;
    // An escalation that was begun by a later version has its own.
    let expires_at = maybe_time(row, "escalated_until_ms")?.or(maybe_time(row, "expires_at_ms")?);
    let expires_at = expires_at.unwrap_or(Timestamp::MAX);
    let stopped: Option<StopReason> = maybe_word(row, "stopped")?;
    taken.alert = Some(AlertNow {
        version: u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?,
        severity: word(row, "severity")?,
        over: over(stopped, state, word(row, "status")?, expires_at, now),
        expires_at,
    });
    Ok(())
}
