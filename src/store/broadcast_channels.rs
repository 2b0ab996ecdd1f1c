//! Broadcast channels: what the Live Activities of an alert for everyone listen to, one for each app in each environment of Apple's.
//!
//! What holds here:
//! - A channel is a row from when it is wanted until Apple has deleted it, so that none is left behind; what Apple calls it is kept
//!   before any activity is started with it. At most one row of an alert, an app and an environment has not ended.
//! - It has at most one call under way: whoever takes it has it for the length of a lease, and what happens meanwhile wakes it when
//!   that call is kept.
//! - An activity that began to listen with something older than the channel was told has it told once more.
//! - A later version wakes a row for each app, whatever the number of people.
//!
//! Elsewhere: what to do about one, in `domain::broadcast_channel`; the activities that listen, in `live_activities`.

use std::time::Duration;

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    EscalationKey, Failure, Store, StoreError, Tx, int,
    key_rows::AlertRow,
    left_out::is_for_everyone,
    live_activities::{TakenActivity, of_key},
    maybe_int, maybe_text, maybe_time, maybe_word,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time, word,
};
use crate::domain::{
    AlertId, Device, InboxState, PushEnvironment, Severity, StopReason, Tenant, Timestamp,
    broadcast_channel::BroadcastChannel,
    live_activity::{AlertNow, over},
};

/// A channel that somebody took.
#[derive(Debug, Clone)]
pub struct TakenChannel {
    /// Whose alert.
    pub tenant: Tenant,
    /// Which one.
    pub alert: AlertId,
    /// In which of Apple's two worlds.
    pub environment: PushEnvironment,
    /// The bundle id of the app.
    pub app: String,
    /// When it was wanted. With the four above it names the channel.
    pub begun_at: Timestamp,
    /// What Apple calls it; none until it was made.
    pub channel: Option<String>,
    /// How far it has come.
    pub state: BroadcastChannel,
    /// What its alert says; none when that is gone.
    pub now: Option<AlertNow>,
    /// What clients are given of the alert; opaque here.
    pub content: String,
    /// How often it was taken for what it is about to do, this time included.
    pub tries: u32,
}

/// What came of taking a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptChannel {
    /// Apple has made it.
    Made {
        /// What Apple calls it.
        channel: String,
        /// What its activities are started with at the least.
        told: Option<(u32, Severity)>,
    },
    /// Apple did not make it, so that activities do without until it does.
    NotMade {
        /// When to ask again.
        due_at: Timestamp,
    },
    /// It goes on, and is looked at again later.
    Goes {
        /// What it was told; none: as before.
        told: Option<(u32, Severity)>,
        /// When to look at it next.
        due_at: Timestamp,
        /// Whether what it was taken for is still to be done.
        is_to_repeat: bool,
    },
    /// Its activities were ended.
    Ended,
    /// Apple has none any more, or nothing can be done about it.
    Gone,
}

impl Store {
    /// Takes channels that are due, each for the length of `lease`, with what their alerts say now.
    ///
    /// # Errors
    /// [`StoreError`]; none was taken.
    pub async fn take_channels(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<TakenChannel>, StoreError> {
        static SELECT: Statement<PlacedChannelRow<'_>> = Statement::new(
            "SELECT batch.place, a.content, a.version, a.severity, a.status, a.expires_at_ms, a.deleted_at_ms,
                 a.first_acknowledges, a.first_stops_all, a.taken_at_ms, a.taken_version
             FROM {batch} LEFT JOIN alerts a ON a.tenant = batch.tenant AND a.alert_id = batch.alert_id",
        );
        writing!(self, "take_channels", |tx| {
            // MATERIALIZED: the rows are picked once, however the planner joins them.
            let sql = format!(
                "WITH due AS MATERIALIZED (
                     SELECT tenant, alert_id, environment, app, begun_at_ms FROM broadcast_channels
                     WHERE due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3 {})
                 UPDATE broadcast_channels SET due_at_ms = $2, tries = tries + 1, leased = 1, woken = 0
                 FROM due WHERE broadcast_channels.tenant = due.tenant AND broadcast_channels.alert_id = due.alert_id
                     AND broadcast_channels.environment = due.environment AND broadcast_channels.app = due.app
                     AND broadcast_channels.begun_at_ms = due.begun_at_ms
                 RETURNING broadcast_channels.tenant AS tenant, broadcast_channels.alert_id AS alert_id,
                     broadcast_channels.environment AS environment, broadcast_channels.app AS app,
                     broadcast_channels.begun_at_ms AS begun_at_ms, broadcast_channels.channel AS channel,
                     broadcast_channels.told_version AS told_version, broadcast_channels.told_severity AS told_severity,
                     broadcast_channels.missed AS missed, broadcast_channels.ended_at_ms AS ended_at_ms,
                     broadcast_channels.tries AS tries",
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
            let keys = (0..).zip(&taken).map(|(place, taken)| PlacedChannelRow {
                place,
                tenant: taken.tenant.as_str(),
                alert_id: taken.alert.as_str(),
            });
            for row in &SELECT.over(&Batch::of(self.engine, keys)?).fetch_all(&mut **tx).await? {
                let place = int(row, "place")? as usize;
                let Some(taken) = taken.get_mut(place) else { return Err(Failure::Unreadable("place")) };
                read_now(taken, row, now)?;
            }
            Ok(taken)
        })
        .await
    }

    /// Keeps what came of a channel. `false`: it is not kept, because somebody else has made one meanwhile, or ended it.
    ///
    /// # Errors
    /// [`StoreError`]; when the lease has ended, the call is repeated.
    pub async fn keep_channel(
        &self,
        taken: &TakenChannel,
        kept: &KeptChannel,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "keep_channel", |tx| {
            let now = now.as_millisecond();
            let query = match kept {
                KeptChannel::Made { channel, told } => {
                    let (version, severity) = told.unzip();
                    of_channel(
                        "UPDATE broadcast_channels SET channel = $6, refused = 0, told_version = CAST($7 AS BIGINT), told_severity = $8,
                             leased = 0, tries = 0, due_at_ms = $9
                         WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND begun_at_ms = $5 AND channel IS NULL",
                        taken,
                    )
                    .bind(channel.clone())
                    .bind(version.map(i64::from))
                    .bind(severity.map(Severity::as_str))
                    .bind(now)
                }
                KeptChannel::NotMade { due_at } => of_channel(
                    "UPDATE broadcast_channels SET refused = 1, leased = 0,
                         due_at_ms = CASE WHEN woken = 1 THEN CAST($7 AS BIGINT) ELSE CAST($6 AS BIGINT) END
                     WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND begun_at_ms = $5",
                    taken,
                )
                .bind(due_at.as_millisecond())
                .bind(now),
                KeptChannel::Goes { told, due_at, is_to_repeat } => {
                    let (version, severity) = told.unzip();
                    // Whoever began to listen while this was told may have missed it.
                    of_channel(
                        "UPDATE broadcast_channels SET leased = 0, told_version = coalesce(CAST($6 AS BIGINT), told_version),
                             told_severity = coalesce($7, told_severity), tries = CASE WHEN $8 = 1 THEN tries ELSE 0 END,
                             missed = CASE WHEN $6 IS NULL OR woken = 1 THEN missed ELSE 0 END,
                             due_at_ms = CASE WHEN woken = 1 THEN CAST($10 AS BIGINT) ELSE CAST($9 AS BIGINT) END
                         WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND begun_at_ms = $5",
                        taken,
                    )
                    .bind(version.map(i64::from))
                    .bind(severity.map(Severity::as_str))
                    .bind(i64::from(*is_to_repeat))
                    .bind(due_at.as_millisecond())
                    .bind(now)
                }
                KeptChannel::Ended => of_channel(
                    "UPDATE broadcast_channels SET leased = 0, tries = 0, ended_at_ms = $6, due_at_ms = $6,
                         missed = CASE WHEN woken = 1 THEN missed ELSE 0 END
                     WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND begun_at_ms = $5",
                    taken,
                )
                .bind(now),
                KeptChannel::Gone => of_channel(
                    "DELETE FROM broadcast_channels
                     WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND begun_at_ms = $5",
                    taken,
                ),
            };
            Ok(query.execute(&mut **tx).await?.rows_affected() > 0)
        })
        .await
    }

    /// The app in whose channel this activity is to listen, whose channel is wanted then. What listened to a channel that has ended is
    /// not shown any more, and is forgotten.
    pub(super) async fn listener_of<'a>(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        device: &Device,
        app: &'a str,
        now: Timestamp,
    ) -> Result<Option<&'a str>, Failure> {
        let place = (device.environment, app);
        if !self.want_channel(tx, (&key.user.tenant, &key.alert), place, now).await? {
            return Ok(None);
        }
        let delete = "DELETE FROM live_activities WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4
             AND channel IS NOT NULL AND NOT EXISTS (SELECT 1 FROM broadcast_channels c WHERE c.tenant = $1 AND c.alert_id = $3
                 AND c.environment = live_activities.environment AND c.app = live_activities.listens_in
                 AND c.channel = live_activities.channel AND c.ended_at_ms IS NULL)";
        of_key(sqlx::query(delete), key, &device.id).execute(&mut **tx).await?;
        Ok(Some(app))
    }

    /// Keeps that an activity was started and listens.
    pub(super) async fn keep_listener(
        &self,
        tx: &mut Tx,
        taken: &TakenActivity,
        channel: &str,
        (version, severity): (u32, Severity),
        (due_at, now): (Timestamp, Timestamp),
    ) -> Result<(), Failure> {
        let update = "UPDATE live_activities SET leased = 0, started = 1, tries = 0, channel = $5, told_version = $6, told_severity = $7,
                 due_at_ms = CASE WHEN woken = 1 THEN CAST($9 AS BIGINT) ELSE CAST($8 AS BIGINT) END
             WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND device_id = $4";
        of_key(sqlx::query(update), &taken.key, &taken.device)
            .bind(channel.to_owned())
            .bind(i64::from(version))
            .bind(severity.as_str())
            .bind(due_at.as_millisecond())
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
        let Some(listens) = &taken.listens else { return Ok(()) };
        let place = (taken.environment, listens.app.as_str(), channel);
        self.began_to_listen(tx, (&taken.key.user.tenant, &taken.key.alert), place, version, now).await
    }

    /// Notes that an activity is to listen to the channel of its alert, if the alert is for everyone: that channel is due at once, unless
    /// it is there. Before the activity is wanted.
    async fn want_channel(
        &self,
        tx: &mut Tx,
        (tenant, alert): (&Tenant, &AlertId),
        (environment, app): (PushEnvironment, &str),
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let audience = sqlx::query("SELECT audience FROM alerts WHERE tenant = $1 AND alert_id = $2")
            .bind(tenant.as_str().to_owned())
            .bind(alert.as_str().to_owned())
            .fetch_optional(&mut **tx)
            .await?;
        let audience = audience.as_ref().map(|row| maybe_text(row, "audience")).transpose()?.flatten();
        if !audience.is_some_and(|audience| is_for_everyone(&audience)) {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO broadcast_channels (tenant, alert_id, environment, app, begun_at_ms, due_at_ms, refused, missed, tries, leased, woken)
             VALUES ($1, $2, $3, $4, $5, $5, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        )
        .bind(tenant.as_str().to_owned())
        .bind(alert.as_str().to_owned())
        .bind(environment.as_str())
        .bind(app.to_owned())
        .bind(now.as_millisecond())
        .execute(&mut **tx)
        .await?;
        Ok(true)
    }

    /// An activity that listens was started with this version. If its channel was told a later one meanwhile, or is being told, it is
    /// told once more: nobody knows whether the activity heard it.
    async fn began_to_listen(
        &self,
        tx: &mut Tx,
        (tenant, alert): (&Tenant, &AlertId),
        (environment, app, channel): (PushEnvironment, &str, &str),
        version: u32,
        now: Timestamp,
    ) -> Result<(), Failure> {
        sqlx::query(
            "UPDATE broadcast_channels SET missed = 1, woken = 1, due_at_ms = CASE WHEN leased = 1 THEN due_at_ms ELSE $7 END
             WHERE tenant = $1 AND alert_id = $2 AND environment = $3 AND app = $4 AND channel = $5
                 AND (told_version > $6 OR ended_at_ms IS NOT NULL
                     OR leased = 1 AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.tenant = $1 AND a.alert_id = $2
                         AND a.version <= $6 AND a.expires_at_ms > $7 AND a.deleted_at_ms IS NULL AND a.taken_version IS NULL))",
        )
        .bind(tenant.as_str().to_owned())
        .bind(alert.as_str().to_owned())
        .bind(environment.as_str())
        .bind(app.to_owned())
        .bind(channel.to_owned())
        .bind(i64::from(version))
        .bind(now.as_millisecond())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Has the channels of these alerts looked at now. The alerts are in order, each once.
    pub(super) async fn wake_channels(
        &self,
        tx: &mut Tx,
        alerts: &Batch<AlertRow<'_>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<AlertRow<'_>> = Statement::new(
            "UPDATE broadcast_channels SET woken = 1, due_at_ms = CASE WHEN leased = 1 THEN due_at_ms ELSE $1 END
             FROM {batch} WHERE broadcast_channels.tenant = batch.tenant AND broadcast_channels.alert_id = batch.alert_id
                 AND broadcast_channels.ended_at_ms IS NULL",
        );
        if !alerts.is_empty() {
            UPDATE.over(alerts).bind(now.as_millisecond()).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// A statement about one channel, with its first five parameters.
fn of_channel(sql: &'static str, taken: &TakenChannel) -> Query {
    sqlx::query(sql)
        .bind(taken.tenant.as_str().to_owned())
        .bind(taken.alert.as_str().to_owned())
        .bind(taken.environment.as_str())
        .bind(taken.app.clone())
        .bind(taken.begun_at.as_millisecond())
}

batch_row! {
    /// The alert of a channel with its place in the batch.
    struct PlacedChannelRow<'a> {
        place: i64,
        tenant: &'a str,
        alert_id: &'a str,
    }
}

fn taken_of(row: &AnyRow) -> Result<TakenChannel, Failure> {
    let channel = maybe_text(row, "channel")?;
    let version = maybe_int(row, "told_version")?.and_then(|version| u32::try_from(version).ok());
    let state = BroadcastChannel {
        is_made: channel.is_some(),
        told: version.zip(maybe_word(row, "told_severity")?),
        has_missed: int(row, "missed")? == 1,
        ended_at: maybe_time(row, "ended_at_ms")?,
    };
    Ok(TakenChannel {
        tenant: stored_name!(row, "tenant", Tenant),
        alert: stored_name!(row, "alert_id", AlertId),
        environment: word(row, "environment")?,
        app: maybe_text(row, "app")?.unwrap_or_default(),
        begun_at: time(row, "begun_at_ms")?,
        channel,
        state,
        now: None,
        content: String::new(),
        tries: u32::try_from(int(row, "tries")?).map_err(|_| Failure::Unreadable("tries"))?,
    })
}

/// Adds what the alert says now.
fn read_now(taken: &mut TakenChannel, row: &AnyRow, now: Timestamp) -> Result<(), Failure> {
    let (Some(content), None) = (maybe_text(row, "content")?, maybe_int(row, "deleted_at_ms")?) else {
        return Ok(());
    };
    taken.content = content;
    let version = u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
    let expires_at = maybe_time(row, "expires_at_ms")?.unwrap_or(Timestamp::MAX);
    // What one did for all of them.
    let is_taken = match int(row, "first_acknowledges")? {
        1 => maybe_int(row, "taken_at_ms")?.is_some(),
        _ => {
            int(row, "first_stops_all")? == 1
                && maybe_int(row, "taken_version")?.is_some_and(|taken| taken >= i64::from(version))
        }
    };
    let stopped = is_taken.then_some(StopReason::Acknowledged);
    taken.now = Some(AlertNow {
        version,
        severity: word(row, "severity")?,
        over: over(stopped, InboxState::New, word(row, "status")?, expires_at, now),
        expires_at,
    });
    Ok(())
}
