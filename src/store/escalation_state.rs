//! Everything a decision looks at, read under the escalation's lock, for many escalations at once.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, Tx,
    acknowledgements::acknowledgement_in,
    addresses::{StoredAddress, kept_of},
    attempts::{attempt_of, small},
    devices::device_of,
    dialect::Engine,
    int,
    key_rows::PlacedEscalationRow,
    maybe_int, maybe_text, maybe_time, maybe_word,
    preferences::holding_of,
    row_batch::{Batch, Statement},
    summaries::{self, Bundle},
    text, time, word,
};
use crate::domain::{
    Acknowledgement, Channel, Device, GroupRule, PerChannel, Progress, Secret, Severity, StopReason,
    Timestamp, UserId,
    restraint::{Held, Lately},
};

/// Everything a decision looks at, read under the row's lock.
#[derive(Debug, Clone)]
pub struct Escalation {
    /// How far it has come.
    pub progress: Progress,
    /// The name of the policy whose steps it goes through.
    pub policy: String,
    /// The name of the policy of the version that is shown, where that was noted.
    pub policy_shown: Option<String>,
    /// How bad the version is that is shown; none for a summary.
    pub severity: Option<Severity>,
    /// What clients are given; opaque here, and empty for a summary.
    pub content: Arc<str>,
    /// The user's devices.
    pub devices: Vec<Device>,
    /// Where they can be written to by the channels that go to an address, as far as it takes messages.
    pub addresses: PerChannel<Option<Secret>>,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// What their badge shows.
    pub unread: u64,
    /// What holds for them; opaque here.
    pub preferences: Option<String>,
    /// What they got lately.
    pub lately: PerChannel<Lately>,
    /// Why it waited, if it did.
    pub held: Option<Held>,
    /// Who else has it, and under which rule, when that stops it for all.
    pub taken: Option<(UserId, GroupRule)>,
    /// What a summary tells of; none for the escalation of one alert.
    pub bundle: Option<Bundle>,
}

/// Reads the escalations with these rows, in their order, with one statement for each kind of thing. `None`: its alert is gone.
pub(super) async fn read_escalations(
    engine: Engine,
    tx: &mut Tx,
    rows: &[(&EscalationKey, &AnyRow)],
) -> Result<Vec<Result<Option<Escalation>, Failure>>, Failure> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
    let batch = Batch::of(engine, PlacedEscalationRow::all(&keys))?;
    let alerts = fetch(tx, &ALERTS, &batch, rows.len()).await?;
    let attempts = fetch(tx, &ATTEMPTS, &batch, rows.len()).await?;
    let devices = fetch(tx, &DEVICES, &batch, rows.len()).await?;
    let told = fetch(tx, &TOLD, &batch, rows.len()).await?;
    let people = fetch(tx, &PEOPLE, &batch, rows.len()).await?;
    let addresses = fetch(tx, &ADDRESSES, &batch, rows.len()).await?;
    let mut escalations = Vec::with_capacity(rows.len());
    for (place, (key, row)) in rows.iter().enumerate() {
        let about = match key.alert.summary() {
            Some(channel) => read_summary(tx, key, channel, row).await.map(Some),
            None => alerts[place].first().map(|alert| about_alert(&key.user.user, alert, row)).transpose(),
        };
        let parts = EscalationRows {
            attempts: &attempts[place],
            devices: &devices[place],
            told: &told[place],
            person: &people[place],
            addresses: &addresses[place],
        };
        escalations
            .push(about.and_then(|about| about.map(|about| escalation_of(row, about, &parts)).transpose()));
    }
    Ok(escalations)
}

/// A statement that finds the rows of many escalations, each with the place of its escalation.
type SelectByEscalation = Statement<PlacedEscalationRow<'static>>;

/// What the alerts say.
static ALERTS: SelectByEscalation = Statement::new(
    "SELECT batch.place, a.content, a.severity, a.chased_under, a.first_stops_all, a.taken_by, a.taken_version,
         a.first_acknowledges, a.taken_at_ms
     FROM {batch} CROSS JOIN alerts a WHERE a.tenant = batch.tenant AND a.alert_id = batch.alert_id",
);
static ATTEMPTS: SelectByEscalation = Statement::new(
    "SELECT batch.place, a.* FROM {batch} CROSS JOIN attempts a
     WHERE a.tenant = batch.tenant AND a.user_id = batch.user_id AND a.alert_id = batch.alert_id
     ORDER BY a.created_at_ms, a.attempt_id",
);
static DEVICES: SelectByEscalation = Statement::new(
    "SELECT batch.place, d.* FROM {batch} CROSS JOIN devices d
     WHERE d.tenant = batch.tenant AND d.user_id = batch.user_id ORDER BY d.device_id",
);
/// The summaries that told of an escalation.
static TOLD: SelectByEscalation = Statement::new(
    "SELECT batch.place, t.channel, t.opened_at_ms FROM {batch} CROSS JOIN told t
     WHERE t.tenant = batch.tenant AND t.user_id = batch.user_id AND t.alert_id = batch.alert_id",
);
/// The person, in as many rows as there are channels by which they got something.
static PEOPLE: SelectByEscalation = Statement::new(
    "SELECT batch.place, u.email, u.email_refused_at_ms, u.locale, u.unread, u.preferences, u.preference_defaults, u.time_zone,
         l.channel, l.window_began_ms, l.sent, l.hour_began_ms, l.sent_in_hour
     FROM {batch} CROSS JOIN users u
     LEFT JOIN lately l ON l.tenant = u.tenant AND l.user_id = u.user_id
     WHERE u.tenant = batch.tenant AND u.user_id = batch.user_id",
);
static ADDRESSES: SelectByEscalation = Statement::new(
    "SELECT batch.place, a.channel, a.address, a.refused_at_ms FROM {batch} CROSS JOIN addresses a
     WHERE a.tenant = batch.tenant AND a.user_id = batch.user_id",
);

/// The rows of each escalation of the batch.
async fn fetch(
    tx: &mut Tx,
    select: &'static SelectByEscalation,
    batch: &Batch<PlacedEscalationRow<'_>>,
    escalations: usize,
) -> Result<Vec<Vec<AnyRow>>, Failure> {
    let found = select.over(batch).fetch_all(&mut **tx).await?;
    let mut rows: Vec<Vec<AnyRow>> = (0..escalations).map(|_| Vec::new()).collect();
    for row in found {
        let place = int(&row, "place")? as usize;
        rows[place].push(row);
    }
    Ok(rows)
}

/// The rows of one escalation.
struct EscalationRows<'a> {
    attempts: &'a [AnyRow],
    devices: &'a [AnyRow],
    told: &'a [AnyRow],
    person: &'a [AnyRow],
    addresses: &'a [AnyRow],
}

fn escalation_of(row: &AnyRow, about: About, parts: &EscalationRows<'_>) -> Result<Escalation, Failure> {
    let person = person_of(parts.person, parts.addresses)?;
    let opened_at = time(row, "opened_at_ms")?;
    let stopped = maybe_text(row, "stopped")?.map(|word| word.parse()).transpose();
    let stopped: Option<StopReason> = stopped.map_err(|_| Failure::Unreadable("stopped"))?;
    let held = maybe_text(row, "held")?.map(|word| word.parse()).transpose();
    let progress = Progress {
        stopped: stopped.or(about.stopped),
        opened_at,
        expires_at: time(row, "expires_at_ms")?,
        round: small(row, "round")?,
        opening: small(row, "opening")?,
        step: small(row, "step")? as usize,
        step_due_at: time(row, "step_due_at_ms")?,
        attempts: parts.attempts.iter().map(attempt_of).collect::<Result<_, _>>()?,
        told_by: told_by(parts.told, opened_at)?,
        summarized: maybe_word(row, "summarized")?,
        sent_before: maybe_word(row, "sent_before")?,
    };
    Ok(Escalation {
        progress,
        policy: text(row, "policy")?,
        policy_shown: about.policy,
        severity: about.severity,
        content: about.content,
        devices: parts.devices.iter().map(device_of).collect::<Result<_, _>>()?,
        addresses: person.addresses,
        locale: person.locale,
        unread: person.unread,
        preferences: person.preferences,
        lately: person.lately,
        held: held.map_err(|_| Failure::Unreadable("held"))?,
        taken: about.taken,
        bundle: about.bundle,
    })
}

/// What an escalation is about.
struct About {
    content: Arc<str>,
    severity: Option<Severity>,
    policy: Option<String>,
    bundle: Option<Bundle>,
    taken: Option<(UserId, GroupRule)>,
    /// Why nobody needs to hear of it, for a reason that is not in the escalation's own row.
    stopped: Option<StopReason>,
}

impl About {
    fn summary(bundle: Bundle) -> Self {
        // Whatever it was to tell of is seen, or over: nothing is sent, and what is shown goes.
        let stopped = (bundle.open == 0).then_some(StopReason::Seen);
        Self { content: "".into(), severity: None, policy: None, bundle: Some(bundle), taken: None, stopped }
    }
}

async fn read_summary(
    tx: &mut Tx,
    key: &EscalationKey,
    channel: Channel,
    row: &AnyRow,
) -> Result<About, Failure> {
    let (round, step) = (small(row, "round")?, small(row, "step")? as usize);
    Ok(About::summary(summaries::read(tx, key, channel, round, step).await?))
}

/// Whoever took an alert on and snoozed it later wants to hear of it again: nobody takes it from themselves.
fn about_alert(user: &UserId, alert: &AnyRow, row: &AnyRow) -> Result<About, Failure> {
    let taken = match acknowledgement_in(alert)? {
        Some(Acknowledgement::Taken { by, .. }) => Some((by, GroupRule::FirstAcknowledges)),
        Some(Acknowledgement::Open) => None,
        None => seen_first(alert, int(row, "round")?)?.map(|by| (by, GroupRule::FirstStopsAll)),
    };
    let taken = taken.filter(|(by, _)| by != user);
    let stopped = taken.as_ref().map(|_| StopReason::Acknowledged);
    let (severity, policy) = (Some(word(alert, "severity")?), maybe_text(alert, "chased_under")?);
    Ok(About { content: text(alert, "content")?.into(), severity, policy, bundle: None, taken, stopped })
}

/// Who looked first at an alert that this stops for all, in this round or a later one.
fn seen_first(alert: &AnyRow, round: i64) -> Result<Option<UserId>, Failure> {
    let counts = int(alert, "first_stops_all")? == 1
        && maybe_int(alert, "taken_version")?.is_some_and(|version| version >= round);
    let taken_by = maybe_text(alert, "taken_by")?.filter(|_| counts).map(UserId::parse);
    taken_by.transpose().map_err(|_| Failure::Unreadable("taken_by"))
}

#[derive(Default)]
struct StoredPerson {
    addresses: PerChannel<Option<Secret>>,
    locale: Option<String>,
    unread: u64,
    preferences: Option<String>,
    lately: PerChannel<Lately>,
}

/// A channel that this version does not know was told by a newer one; nothing asks for it here.
fn told_by(rows: &[AnyRow], opened_at: Timestamp) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::with_capacity(rows.len());
    for row in rows {
        if time(row, "opened_at_ms")? == opened_at {
            channels.extend(text(row, "channel")?.parse::<Channel>().ok());
        }
    }
    channels.sort();
    Ok(channels)
}

fn person_of(rows: &[AnyRow], addresses: &[AnyRow]) -> Result<StoredPerson, Failure> {
    let Some(row) = rows.first() else { return Ok(StoredPerson::default()) };
    let addresses = kept_of(addresses, row)?.map(|kept| kept.and_then(StoredAddress::usable));
    let mut lately = PerChannel::default();
    for row in rows {
        let channel = maybe_text(row, "channel")?.and_then(|word| word.parse::<Channel>().ok());
        if let Some(channel) = channel {
            lately[channel] = lately_of(row)?;
        }
    }
    Ok(StoredPerson {
        addresses,
        locale: maybe_text(row, "locale")?,
        unread: int(row, "unread")? as u64,
        preferences: holding_of(row)?,
        lately,
    })
}

fn lately_of(row: &AnyRow) -> Result<Lately, Failure> {
    let count = |column| Ok::<_, Failure>(int(row, column)?.clamp(0, i64::from(u32::MAX)) as u32);
    Ok(Lately {
        window_began: maybe_time(row, "window_began_ms")?,
        sent: count("sent")?,
        hour_began: maybe_time(row, "hour_began_ms")?,
        sent_in_hour: count("sent_in_hour")?,
    })
}
