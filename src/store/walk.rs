//! Everything a decision looks at, read under the walk's lock.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, Tx,
    attempts::{attempt_of, small},
    devices::device_of,
    escalations::keyed,
    int, maybe_int, maybe_text, maybe_time,
    summaries::{self, Bundle},
    text, time,
};
use crate::domain::{
    Channel, Device, Progress, Reach, Secret, StopReason, UserId,
    restraint::{Held, Lately},
};

/// Everything a decision looks at, read under the row's lock.
#[derive(Debug, Clone)]
pub struct Walk {
    /// How far it has come.
    pub progress: Progress,
    /// The policy's name.
    pub policy: String,
    /// What clients are given; opaque here, and empty for a summary.
    pub content: Arc<str>,
    /// The user's devices.
    pub devices: Vec<Device>,
    /// Their address, if it takes mail.
    pub email: Option<Secret>,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// What their badge shows.
    pub unread: u64,
    /// What they want; opaque here.
    pub preferences: Option<String>,
    /// What they were pushed lately.
    pub push_lately: Lately,
    /// What they were mailed lately.
    pub email_lately: Lately,
    /// Why it waited, if it did.
    pub held: Option<Held>,
    /// Who saw it first, when that stops it for all.
    pub taken_by: Option<UserId>,
    /// What a summary tells of; none for the walk of one alert.
    pub bundle: Option<Bundle>,
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

/// Reads the walk whose row is `row`. `None`: its alert is gone.
pub(super) async fn read_walk(
    tx: &mut Tx,
    key: &EscalationKey,
    row: &AnyRow,
) -> Result<Option<Walk>, Failure> {
    let round: u32 = small(row, "round")?;
    let step = small(row, "step")? as usize;
    let about = match key.alert.summary() {
        Some(channel) => About::summary(summaries::read(tx, key, channel, round, step).await?),
        None => match read_alert(tx, key, round).await? {
            Some(about) => about,
            None => return Ok(None),
        },
    };
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
    let person = read_person(tx, key).await?;
    let stopped = maybe_text(row, "stopped")?.map(|word| word.parse()).transpose();
    let stopped: Option<StopReason> = stopped.map_err(|_| Failure::Unreadable("stopped"))?;
    let held = maybe_text(row, "held")?.map(|word| word.parse()).transpose();
    let told = |column, channel| Ok::<_, Failure>((int(row, column)? > 0).then_some(channel));
    let progress = Progress {
        stopped: stopped.or(about.stopped),
        opened_at: time(row, "opened_at_ms")?,
        expires_at: time(row, "expires_at_ms")?,
        round,
        step,
        step_due_at: time(row, "step_due_at_ms")?,
        attempts: attempts.iter().map(attempt_of).collect::<Result<_, _>>()?,
        told_by: [told("told_push", Channel::Push)?, told("told_email", Channel::Email)?]
            .into_iter()
            .flatten()
            .collect(),
    };
    Ok(Some(Walk {
        progress,
        policy: text(row, "policy")?,
        content: about.content,
        devices: devices.iter().map(device_of).collect::<Result<_, _>>()?,
        email: person.email,
        locale: person.locale,
        unread: person.unread,
        preferences: person.preferences,
        push_lately: person.push,
        email_lately: person.mail,
        held: held.map_err(|_| Failure::Unreadable("held"))?,
        taken_by: about.taken_by,
        bundle: about.bundle,
    }))
}

/// What a walk is about.
struct About {
    content: Arc<str>,
    bundle: Option<Bundle>,
    taken_by: Option<UserId>,
    /// Why nobody needs to hear of it, for a reason that is not in the walk's own row.
    stopped: Option<StopReason>,
}

impl About {
    fn summary(bundle: Bundle) -> Self {
        // Whatever it was to tell of is seen, or over: nothing is sent, and what is shown goes.
        let stopped = (bundle.open == 0).then_some(StopReason::Seen);
        Self { content: "".into(), bundle: Some(bundle), taken_by: None, stopped }
    }
}

async fn read_alert(tx: &mut Tx, key: &EscalationKey, round: u32) -> Result<Option<About>, Failure> {
    let row = sqlx::query(
        "SELECT content, first_stops_all, taken_by, taken_version FROM alerts WHERE tenant = $1 AND alert_id = $2",
    )
    .bind(key.user.tenant.as_str())
    .bind(key.alert.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let counts = int(&row, "first_stops_all")? == 1
        && maybe_int(&row, "taken_version")?.is_some_and(|version| version >= i64::from(round));
    let taken_by = match maybe_text(&row, "taken_by")?.filter(|_| counts) {
        Some(user) => Some(UserId::parse(user).map_err(|_| Failure::Unreadable("taken_by"))?),
        None => None,
    };
    let stopped = taken_by.as_ref().map(|_| StopReason::Acknowledged);
    Ok(Some(About { content: text(&row, "content")?.into(), bundle: None, taken_by, stopped }))
}

#[derive(Default)]
struct StoredPerson {
    email: Option<Secret>,
    locale: Option<String>,
    unread: u64,
    preferences: Option<String>,
    push: Lately,
    mail: Lately,
}

async fn read_person(tx: &mut Tx, key: &EscalationKey) -> Result<StoredPerson, Failure> {
    let row = sqlx::query(
        "SELECT u.email, u.email_refused_at_ms, u.locale, u.unread, u.preferences,
             p.window_began_ms AS push_window, p.sent AS push_sent, p.hour_began_ms AS push_hour, p.sent_in_hour AS push_in_hour,
             e.window_began_ms AS mail_window, e.sent AS mail_sent, e.hour_began_ms AS mail_hour, e.sent_in_hour AS mail_in_hour
         FROM users u
         LEFT JOIN lately p ON p.tenant = u.tenant AND p.user_id = u.user_id AND p.channel = 'push'
         LEFT JOIN lately e ON e.tenant = u.tenant AND e.user_id = u.user_id AND e.channel = 'email'
         WHERE u.tenant = $1 AND u.user_id = $2",
    )
    .bind(key.user.tenant.as_str())
    .bind(key.user.user.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(StoredPerson::default()) };
    let refused = maybe_int(&row, "email_refused_at_ms")?.is_some();
    Ok(StoredPerson {
        email: maybe_text(&row, "email")?.filter(|_| !refused).map(Secret::from),
        locale: maybe_text(&row, "locale")?,
        unread: int(&row, "unread")? as u64,
        preferences: maybe_text(&row, "preferences")?,
        push: lately_of(&row, ["push_window", "push_sent", "push_hour", "push_in_hour"])?,
        mail: lately_of(&row, ["mail_window", "mail_sent", "mail_hour", "mail_in_hour"])?,
    })
}

fn lately_of(row: &AnyRow, [window, sent, hour, in_hour]: [&'static str; 4]) -> Result<Lately, Failure> {
    let count =
        |column| Ok::<_, Failure>(maybe_int(row, column)?.unwrap_or(0).clamp(0, i64::from(u32::MAX)) as u32);
    Ok(Lately {
        window_began: maybe_time(row, window)?,
        sent: count(sent)?,
        hour_began: maybe_time(row, hour)?,
        sent_in_hour: count(in_hour)?,
    })
}
