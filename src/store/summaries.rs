//! Summaries: one push, or one mail, that tells of several alerts.
//!
//! A person's summary is an escalation of its own, under [`AlertId::summary_by`], with attempts, retries and a fence like any
//! other. The escalations that wait for it (`held`) keep their own timers a little later, so that they go on when it does
//! not come (I4). When it was answered, they go on as if it had been theirs.
//!
//! `user_id || ''` is what the indexes of what waits and of what was told of are by (migration 6): a person's escalations are
//! many, and those few.
//!
//! Lock order of a step: the person ([`Store::lock_person`]), their inbox for a summary, the escalation, other escalations of theirs.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    EscalationKey, Failure, Store, Tx, int,
    key_rows::UserAlertRow,
    maybe_int,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text,
};
use crate::domain::{
    AlertId, Channel, LAST_MOMENT, StopReason, Timestamp, UserKey,
    restraint::{Held, Lately},
};

/// Alerts that a summary shows by name; it counts the rest.
pub const BUNDLE_SHOWN_MAX: usize = 20;
/// How long after its summary was due a held escalation looks after itself.
const SUMMARY_SLACK: Duration = Duration::from_secs(60);
/// The numbers of our advisory locks begin so, apart from what else uses the database.
const PERSON_LOCKS: i64 = 0x7762;
/// How long a summary may be tried and shown.
const SUMMARY_EXPIRES: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a summary tells of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Alerts it tells of, or told of, that nobody has seen yet.
    pub open: u64,
    /// Whether one of them may break a silence.
    pub mandatory: bool,
    /// The newest of those that wait for it, at most [`BUNDLE_SHOWN_MAX`].
    pub shown: Vec<(AlertId, Arc<str>)>,
}

/// What became of a summary, for the escalations that waited for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryOutcome {
    /// Whether a provider took it. If not, they go on to their next step at once.
    pub reached: bool,
    /// For their timelines.
    pub note: String,
}

/// How an escalation is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub held: Held,
    /// Until when.
    pub until: Timestamp,
    /// How long after being told the next step is due; none when this is the last.
    pub following: Option<Duration>,
    /// Whether it may break a silence.
    pub mandatory: bool,
}

/// What a summary has to tell: what waits for it before it was sent, what it told of after.
pub(super) async fn read(
    tx: &mut Tx,
    key: &EscalationKey,
    channel: Channel,
    round: u32,
    step: usize,
) -> Result<Bundle, Failure> {
    let held = Held::Summary(channel);
    if step > 0 {
        let row = of_user(
            sqlx::query(
                "SELECT count(e.alert_id) AS open FROM told t LEFT JOIN escalations e
                     ON e.tenant = t.tenant AND e.user_id = t.user_id AND e.alert_id = t.alert_id
                     AND e.opened_at_ms = t.opened_at_ms AND (e.stopped IS NULL OR e.stopped IN ('exhausted', 'acknowledged'))
                 WHERE t.tenant = $1 AND t.user_id || '' = $2 AND t.channel = $3 AND t.summary_round = $4
                     AND t.summary_round > 0",
            ),
            &key.user,
        )
        .bind(channel.as_str())
        .bind(i64::from(round))
        .fetch_one(&mut **tx)
        .await?;
        return Ok(Bundle { open: int(&row, "open")? as u64, ..Bundle::default() });
    }
    let counts = of_user(
        sqlx::query(
            "SELECT count(*) AS open, max(held_mandatory) AS mandatory FROM escalations
             WHERE tenant = $1 AND user_id || '' = $2 AND held = $3 AND stopped IS NULL",
        ),
        &key.user,
    )
    .bind(held.as_str())
    .fetch_one(&mut **tx)
    .await?;
    let shown = of_user(
        sqlx::query(
            "SELECT e.alert_id, a.content FROM escalations e JOIN alerts a ON a.tenant = e.tenant AND a.alert_id = e.alert_id
             WHERE e.tenant = $1 AND e.user_id || '' = $2 AND e.held = $3 AND e.stopped IS NULL
             ORDER BY e.opened_at_ms DESC, e.alert_id LIMIT $4",
        ),
        &key.user,
    )
    .bind(held.as_str())
    .bind(BUNDLE_SHOWN_MAX as i64)
    .fetch_all(&mut **tx)
    .await?;
    let shown_of = |row: &AnyRow| {
        Ok::<_, Failure>((stored_name!(row, "alert_id", AlertId), text(row, "content")?.into()))
    };
    Ok(Bundle {
        open: int(&counts, "open")? as u64,
        mandatory: maybe_int(&counts, "mandatory")? == Some(1),
        shown: shown.iter().map(shown_of).collect::<Result<_, _>>()?,
    })
}

/// So much later. Some silences end with the last moment there is, and nothing is later than that.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).map_or(LAST_MOMENT, |later| later.min(LAST_MOMENT))
}

impl Store {
    /// One decision a person at a time, so that two senders cannot both send "the fifth push".
    pub(super) async fn lock_person(&self, tx: &mut Tx, key: &EscalationKey) -> Result<(), Failure> {
        if let Some(sql) = self.engine.lock_by_number() {
            sqlx::query(sql).bind(lock_of(&key.user)).execute(&mut **tx).await?;
        }
        if key.alert.summary().is_some() {
            // A summary ends many escalations, as a receipt does: in the same order, behind the same lock.
            self.lock_users(tx, std::slice::from_ref(&key.user), None).await?;
        }
        Ok(())
    }

    /// Remembers what people got lately.
    pub(super) async fn write_lately(
        &self,
        tx: &mut Tx,
        lately: &[(&UserKey, Channel, Lately)],
    ) -> Result<(), Failure> {
        static INSERT: Statement<LatelyValues<'_>> = Statement::new(
            "INSERT INTO lately ({columns}) SELECT {columns} FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, channel) DO UPDATE SET window_began_ms = excluded.window_began_ms,
                 sent = excluded.sent, hour_began_ms = excluded.hour_began_ms, sent_in_hour = excluded.sent_in_hour",
        );
        if lately.is_empty() {
            return Ok(());
        }
        let values = lately.iter().map(|(user, channel, lately)| LatelyValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            channel: channel.as_str(),
            window_began_ms: lately.window_began,
            sent: lately.sent,
            hour_began_ms: lately.hour_began,
            sent_in_hour: lately.sent_in_hour,
        });
        INSERT.over(&Batch::of(self.engine, values)?).execute(&mut **tx).await?;
        Ok(())
    }

    /// Puts an escalation aside, and sees to it that the summary it waits for comes.
    pub(super) async fn hold(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        hold: &Hold,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let summary = hold.held.summary();
        let look_again = later(hold.until, summary.map_or(Duration::ZERO, |_| SUMMARY_SLACK));
        of_user(
            sqlx::query(
                "UPDATE escalations SET held = $4, held_after_ms = $5, held_mandatory = $6, bundled_round = 0, due_at_ms = $7
                 WHERE tenant = $1 AND user_id = $2 AND alert_id = $3",
            ),
            &key.user,
        )
        .bind(key.alert.as_str())
        .bind(hold.held.as_str())
        .bind(hold.following.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2)))
        .bind(i64::from(hold.mandatory))
        .bind(look_again.as_millisecond())
        .execute(&mut **tx)
        .await?;
        match summary.and_then(AlertId::summary_by) {
            Some(summary) => self.open_summary(tx, &key.user, &summary, hold.until, now).await,
            None => Ok(()),
        }
    }

    /// Makes the summary due at `due_at`, unless one is already on its way by then.
    async fn open_summary(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        summary: &AlertId,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Failure> {
        of_user(
            sqlx::query(
                "INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms,
                     leased_until_ms, claim, fence, opened_at_ms, expires_at_ms, stopped, pushed)
                 VALUES ($1, $2, $3, 1, '', 0, $4, $4, 0, 0, 0, $5, $6, NULL, 0)
                 ON CONFLICT (tenant, user_id, alert_id) DO UPDATE SET
                     round = escalations.round + 1, step = 0, step_due_at_ms = excluded.due_at_ms,
                     due_at_ms = excluded.due_at_ms, leased_until_ms = 0, claim = escalations.claim + 1,
                     fence = escalations.fence + 1, opened_at_ms = excluded.opened_at_ms,
                     expires_at_ms = excluded.expires_at_ms, stopped = NULL, held = NULL
                 WHERE escalations.stopped IS NOT NULL OR escalations.step > 0",
            ),
            user,
        )
        .bind(summary.as_str())
        .bind(due_at.as_millisecond())
        .bind(now.as_millisecond())
        .bind(later(due_at, SUMMARY_EXPIRES).as_millisecond())
        .execute(&mut **tx)
        .await?;
        self.bring_forward(tx, user, summary, due_at).await
    }

    /// Has a summary that waits come at `due_at` already. It tells of everything that waits for it: a person who has their mails
    /// gathered for a day gets one mail, and not two, when something may not wait so long.
    async fn bring_forward(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        summary: &AlertId,
        due_at: Timestamp,
    ) -> Result<(), Failure> {
        of_user(
            sqlx::query(
                "UPDATE escalations SET step_due_at_ms = $4, due_at_ms = $4
                 WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 AND stopped IS NULL AND step = 0
                     AND step_due_at_ms > $4",
            ),
            user,
        )
        .bind(summary.as_str())
        .bind(due_at.as_millisecond())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Counts in what waits for a summary that is about to be sent, as told of what it says now: what comes later is for
    /// the next.
    pub(super) async fn count_in(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        channel: Channel,
        round: u32,
    ) -> Result<(), Failure> {
        let held = Held::Summary(channel);
        of_user(
            sqlx::query(
                "UPDATE escalations SET bundled_round = $4, begun = 1,
                     summarized = (SELECT a.severity FROM alerts a
                         WHERE a.tenant = escalations.tenant AND a.alert_id = escalations.alert_id),
                     sent = (SELECT CASE WHEN 'critical' IN (a.severity, coalesce(escalations.sent, '')) THEN 'critical'
                             WHEN 'warning' IN (a.severity, coalesce(escalations.sent, '')) THEN 'warning' ELSE 'info' END
                         FROM alerts a WHERE a.tenant = escalations.tenant AND a.alert_id = escalations.alert_id)
                 WHERE tenant = $1 AND user_id || '' = $2 AND held = $3 AND stopped IS NULL",
            ),
            &key.user,
        )
        .bind(held.as_str())
        .bind(i64::from(round))
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Lets the escalations go on that a summary told of, or could not tell of. What came after it was sent gets a summary of
    /// its own.
    pub(super) async fn release(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        channel: Channel,
        round: u32,
        told: &SummaryOutcome,
        now: Timestamp,
    ) -> Result<(), Failure> {
        const COUNTED: &str =
            "tenant = $1 AND user_id || '' = $2 AND held = $3 AND bundled_round = $4 AND stopped IS NULL";
        let held = Held::Summary(channel);
        self.tell_summary(tx, (key, channel, held.as_str()), round, told, now).await?;
        let notes = format!(
            "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what)
             SELECT tenant, user_id, alert_id, $5, $6 FROM escalations WHERE {COUNTED}"
        );
        of_user(sqlx::query(AssertSqlSafe(notes)), &key.user)
            .bind(held.as_str())
            .bind(i64::from(round))
            .bind(now.as_millisecond())
            .bind(told.note.clone())
            .execute(&mut **tx)
            .await?;
        if told.reached {
            self.write_told(tx, key, channel, round).await?;
        }
        let go_on = match told.reached {
            // As after an accepted attempt: the next step waits its turn. After the last, what is on a phone stays
            // until it expires.
            true => format!(
                "step_due_at_ms = $5 + coalesce(held_after_ms, 0),
                 due_at_ms = CASE WHEN held_after_ms IS NOT NULL THEN $5 + held_after_ms WHEN pushed = 1 THEN expires_at_ms END,
                 stopped = CASE WHEN held_after_ms IS NULL AND pushed = 0 THEN '{}' END",
                StopReason::Exhausted
            ),
            // What it told nobody of is taken back with their next step, which is now.
            false => "step_due_at_ms = $5, due_at_ms = $5, summarized = NULL".to_owned(),
        };
        let update = format!(
            "UPDATE escalations SET held = NULL, step = step + 1, claim = claim + 1, fence = fence + 1,
                 leased_until_ms = 0, {go_on} WHERE {COUNTED} RETURNING stopped"
        );
        let told_of = of_user(sqlx::query(AssertSqlSafe(update)), &key.user)
            .bind(held.as_str())
            .bind(i64::from(round))
            .bind(now.as_millisecond())
            .fetch_all(&mut **tx)
            .await?;
        tx.end_as_stored(&told_of)?;
        let rest = of_user(
            sqlx::query(
                "SELECT min(due_at_ms) AS due FROM escalations
                 WHERE tenant = $1 AND user_id || '' = $2 AND held = $3 AND stopped IS NULL",
            ),
            &key.user,
        )
        .bind(held.as_str())
        .fetch_one(&mut **tx)
        .await?;
        match maybe_int(&rest, "due")?.map(super::moment).transpose() {
            Ok(Some(due)) => {
                self.open_summary(tx, &key.user, &key.alert, (due - SUMMARY_SLACK).max(now), now).await
            }
            Ok(None) => Ok(()),
            Err(_) => Err(Failure::Unreadable("due_at_ms")),
        }
    }

    /// Notes that a summary told of the escalations that it counted in.
    async fn write_told(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        channel: Channel,
        round: u32,
    ) -> Result<(), Failure> {
        of_user(
            sqlx::query(
                "INSERT INTO told (tenant, user_id, alert_id, channel, opened_at_ms, summary_round)
                 SELECT tenant, user_id, alert_id, $5, opened_at_ms, $4 FROM escalations
                 WHERE tenant = $1 AND user_id || '' = $2 AND held = $3 AND bundled_round = $4 AND stopped IS NULL
                 ON CONFLICT (tenant, user_id, alert_id, channel) DO UPDATE SET
                     opened_at_ms = excluded.opened_at_ms, summary_round = excluded.summary_round",
            ),
            &key.user,
        )
        .bind(Held::Summary(channel).as_str())
        .bind(i64::from(round))
        .bind(channel.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Has these people's summaries looked at that can be taken away: what they told of may all be seen now. After the escalations
    /// themselves are stopped, so that nobody who holds a summary waits for whoever is here.
    pub(super) async fn wake_summaries<'a>(
        &self,
        tx: &mut Tx,
        users: impl Iterator<Item = &'a UserKey>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE escalations SET due_at_ms = $1 FROM {batch}
             WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id AND escalations.pushed = 1 AND escalations.step > 0
                 AND escalations.stopped IS NULL AND escalations.due_at_ms > $1",
        );
        let summaries = Channel::ALL.into_iter().filter(|channel| channel.can_remove());
        let summaries: Vec<AlertId> = summaries.filter_map(AlertId::summary_by).collect();
        let keys =
            users.flat_map(|user| summaries.iter().map(move |summary| UserAlertRow::of(user, summary)));
        let batch = Batch::of(self.engine, keys)?;
        UPDATE.over(&batch).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }
}

batch_row! {
    /// What a person got lately by a channel.
    struct LatelyValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        channel: &'a str,
        window_began_ms: Option<Timestamp>,
        sent: u32,
        hour_began_ms: Option<Timestamp>,
        sent_in_hour: u32,
    }
}

/// The number of a person's lock. Two people with one number wait for each other now and then; nothing else.
pub(super) fn lock_of(user: &UserKey) -> i64 {
    let name = format!("{}/{}", user.tenant, user.user.as_str());
    PERSON_LOCKS << 32 | i64::from(crc32fast::hash(name.as_bytes()))
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

pub(super) fn of_user(query: Query, user: &UserKey) -> Query {
    query.bind(user.tenant.as_str().to_owned()).bind(user.user.as_str().to_owned())
}
