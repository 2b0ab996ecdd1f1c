//! What happened to an alert: pieced together from the rows that the work left behind. Its words are in `domain::explanation`.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{
    Failure, LatestAlert, Store, StoreError, acknowledgements::acknowledgement_in, attempts::attempt_of,
    inbox_rows::standing_of, int, latest_alert::latest_of, maybe_int, maybe_text, maybe_time, stored_name,
    text, time, word,
};
use crate::domain::{
    Acknowledgement, AlertId, Attempt, AttemptState, Channel, Seq, Tenant, Timestamp, UserId,
    explanation::{self, Recipient, TimelineEntry},
    receipt::place_of,
    restraint::Held,
};

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The version shown.
    pub version: u32,
    /// What clients are given, encoded.
    pub content: String,
    /// When its first version was recorded.
    pub recorded_at: Timestamp,
    /// How many inboxes hold it.
    pub recipients: u64,
    /// In how many of them it was seen, read or dismissed.
    pub seen: u64,
    /// The API key that made it, if that is known.
    pub maker: Option<Arc<str>>,
    /// Who has it, where one of its recipients is to acknowledge it.
    pub acknowledgement: Option<Acknowledgement>,
}

/// How an alert fares with all its recipients. Delivery and engagement are two axes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inboxes that hold it.
    pub recipients: u64,
    /// People of whom a screen or a phone said that it has it.
    pub delivered: u64,
    /// People of whom a device said that it has the push.
    pub reached: u64,
    /// People who saw it.
    pub seen: u64,
    /// People who opened it.
    pub read: u64,
    /// People who put it away.
    pub dismissed: u64,
    /// People by channel and by where the attempts to tell them stand; one with two phones may count in two states.
    pub attempts: Vec<(Channel, AttemptState, u64)>,
    /// People whom a summary told of it together with others, by channel.
    pub in_summary: Vec<(Channel, u64)>,
    /// People whom a message told of it alone, after it had waited for others and none came, by channel.
    pub alone: Vec<(Channel, u64)>,
    /// People whose escalation waits, by why.
    pub held: Vec<(Held, u64)>,
}

/// Versions of an alert that are told of, the newest.
const VERSIONS_TOLD_MAX: usize = 100;
/// Attempts, and notes, of one recipient that are told of, the newest of each.
const ENTRIES_TOLD_MAX: usize = 500;
/// What is told of an alert that a client said it has.
const ON_A_SCREEN: &str = "delivered to a screen";
/// Bytes of the entries of one answer.
pub const TIMELINE_BYTES_MAX: usize = 1024 * 1024;
/// What an entry has besides its words: its time, and what stands around both.
const ENTRY_BYTES: usize = 64;

impl Store {
    /// The alert, if it is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alert(&self, tenant: &Tenant, alert: &AlertId) -> Result<Option<StoredAlert>, StoreError> {
        self.in_time("alert", async {
            let store = self;
            let row = sqlx::query(
                "SELECT version, content, recorded_at_ms, maker, first_acknowledges, taken_by, taken_at_ms FROM alerts
                 WHERE tenant = $1 AND alert_id = $2",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .fetch_optional(&store.read)
            .await?;
            // A deleted one has no text.
            let Some(row) = row.filter(|row| text(row, "content").is_ok_and(|content| !content.is_empty())) else {
                return Ok(None);
            };
            let counts = sqlx::query(
                "SELECT count(*) AS recipients,
                     count(CASE WHEN state <> 'new' AND snoozed_until_ms IS NULL AND seen_at_ms IS NOT NULL THEN 1 END)
                         AS seen
                 FROM inbox WHERE tenant = $1 AND alert_id = $2",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .fetch_one(&store.read)
            .await?;
            Ok(Some(StoredAlert {
                version: int(&row, "version")? as u32,
                content: text(&row, "content")?,
                recorded_at: time(&row, "recorded_at_ms")?,
                recipients: int(&counts, "recipients")? as u64,
                seen: int(&counts, "seen")? as u64,
                maker: maybe_text(&row, "maker")?.map(Into::into),
                acknowledgement: acknowledgement_in(&row)?,
            }))
        })
        .await
    }

    /// The alert's latest version, without counting who holds it; none of one that was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest(&self, tenant: &Tenant, alert: &AlertId) -> Result<Option<LatestAlert>, StoreError> {
        let latest = self.latest_or_deleted(tenant, alert).await?;
        Ok(latest.filter(|latest| !latest.is_deleted()))
    }

    /// The same, also of one that was deleted and is still known: [`LatestAlert::is_deleted`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_or_deleted(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
    ) -> Result<Option<LatestAlert>, StoreError> {
        self.in_time("latest", async {
            let store = self;
            let row = sqlx::query(
                "SELECT version, severity, status, content, policy, maker FROM alerts WHERE tenant = $1 AND alert_id = $2",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .fetch_optional(&store.read)
            .await?;
            row.as_ref().map(latest_of).transpose()
        })
        .await
    }

    /// What happened to an alert for one user, or for the first `limit` of its recipients.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn timeline(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Recipient>, StoreError> {
        match user {
            Some(user) => self.recipients(tenant, alert, vec![user.clone()]).await,
            None => self.timeline_after(tenant, alert, None, limit).await,
        }
    }

    /// What happened to an alert for its recipients after `after`, in the order of their names: at most `limit`, and of
    /// those the first that have [`TIMELINE_BYTES_MAX`] together, but at least one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn timeline_after(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Recipient>, StoreError> {
        let users = self.recipients_after(tenant, alert, after, limit).await?;
        self.recipients(tenant, alert, users).await
    }

    /// What happened for these users, one after the other until they have [`TIMELINE_BYTES_MAX`] together.
    async fn recipients(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        users: Vec<UserId>,
    ) -> Result<Vec<Recipient>, StoreError> {
        let versions = self.versions(tenant, alert, VERSIONS_TOLD_MAX).await?;
        let (mut recipients, mut bytes) = (Vec::new(), 0);
        for user in users {
            let Some(recipient) = self.recipient(tenant, alert, user, &versions, ENTRIES_TOLD_MAX).await?
            else {
                continue;
            };
            bytes += recipient.entries.iter().map(|entry| ENTRY_BYTES + entry.what.len()).sum::<usize>();
            if bytes > TIMELINE_BYTES_MAX && !recipients.is_empty() {
                break;
            }
            recipients.push(recipient);
        }
        Ok(recipients)
    }

    /// When each later version arrived, and what it changed: the last `told_max`.
    pub(super) async fn versions(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        told_max: usize,
    ) -> Result<Vec<TimelineEntry>, StoreError> {
        self.in_time("versions", async {
            let rows = sqlx::query(
                "SELECT version, severity, status, severity_before, status_before, recorded_at_ms FROM versions
                 WHERE tenant = $1 AND alert_id = $2 ORDER BY version DESC LIMIT $3",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .bind(told_max as i64)
            .fetch_all(&self.read)
            .await?;
            let entry = |row: &AnyRow| {
                let stand = |severity, status| Ok::<_, Failure>((word(row, severity)?, word(row, status)?));
                let (before, after) = (stand("severity_before", "status_before")?, stand("severity", "status")?);
                let what = explanation::version_arrived(int(row, "version")?, before, after);
                Ok(TimelineEntry::new(time(row, "recorded_at_ms")?, what))
            };
            rows.iter().rev().map(entry).collect()
        })
        .await
    }

    /// How an alert fares with all its recipients.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counts(&self, tenant: &Tenant, alert: &AlertId) -> Result<Counts, StoreError> {
        self.in_time("counts", async {
            let store = self;
            let ask = |sql: &'static str| sqlx::query(sql).bind(tenant.as_str()).bind(alert.as_str());
            let inbox = ask(
                "SELECT count(*) AS recipients, count(delivered_at_ms) AS delivered, count(seen_at_ms) AS seen,
                     count(read_at_ms) AS was_read, count(dismissed_at_ms) AS dismissed
                 FROM inbox WHERE tenant = $1 AND alert_id = $2",
            )
            .fetch_one(&store.read)
            .await?;
            let attempts = ask(
                "SELECT channel, state, count(DISTINCT user_id) AS people FROM attempts
                 WHERE tenant = $1 AND alert_id = $2 AND kind = 'alert' GROUP BY channel, state ORDER BY channel, state",
            )
            .fetch_all(&store.read)
            .await?;
            let reached = ask(
                "SELECT count(DISTINCT user_id) AS people FROM attempts
                 WHERE tenant = $1 AND alert_id = $2 AND kind = 'alert' AND reached_at_ms IS NOT NULL",
            )
            .fetch_one(&store.read)
            .await?;
            let escalations = ask(
                "SELECT e.held AS held, count(*) AS people
                 FROM inbox i LEFT JOIN escalations e
                     ON e.tenant = i.tenant AND e.user_id = i.user_id AND e.alert_id = i.alert_id
                 WHERE i.tenant = $1 AND i.alert_id = $2 GROUP BY e.held ORDER BY e.held",
            )
            .fetch_all(&store.read)
            .await?;
            let told = ask(
                // What another alert of the same message left: none where it was deleted, or told of again since.
                "SELECT channel, with_others, count(*) AS people FROM (
                     SELECT t.channel AS channel, CAST(CASE WHEN EXISTS (
                         SELECT 1 FROM told o WHERE o.tenant = t.tenant AND o.user_id || '' = t.user_id || ''
                             AND o.channel = t.channel AND o.summary_round = t.summary_round AND o.summary_round > 0
                             AND o.alert_id <> t.alert_id) THEN 1 ELSE 0 END AS BIGINT) AS with_others
                     FROM inbox i LEFT JOIN escalations e
                         ON e.tenant = i.tenant AND e.user_id = i.user_id AND e.alert_id = i.alert_id
                     LEFT JOIN told t ON t.tenant = i.tenant AND t.user_id = i.user_id AND t.alert_id = i.alert_id
                         AND t.opened_at_ms = e.opened_at_ms
                     WHERE i.tenant = $1 AND i.alert_id = $2) AS each_told
                 GROUP BY channel, with_others ORDER BY channel, with_others",
            )
            .fetch_all(&store.read)
            .await?;
            let count = |row: &AnyRow, column| Ok::<_, Failure>(int(row, column)? as u64);
            let mut counts = Counts {
                recipients: count(&inbox, "recipients")?,
                delivered: count(&inbox, "delivered")?,
                reached: count(&reached, "people")?,
                seen: count(&inbox, "seen")?,
                read: count(&inbox, "was_read")?,
                dismissed: count(&inbox, "dismissed")?,
                ..Counts::default()
            };
            for row in &attempts {
                counts.attempts.push((word(row, "channel")?, word(row, "state")?, count(row, "people")?));
            }
            for row in &told {
                if maybe_text(row, "channel")?.is_some() {
                    let told = match int(row, "with_others")? {
                        0 => &mut counts.alone,
                        _ => &mut counts.in_summary,
                    };
                    told.push((word(row, "channel")?, count(row, "people")?));
                }
            }
            for row in &escalations {
                if maybe_text(row, "held")?.is_some() {
                    counts.held.push((word(row, "held")?, count(row, "people")?));
                }
            }
            Ok(counts)
        })
        .await
    }

    /// What happened for this user, with the last `told_max` attempts and as many notes.
    pub(super) async fn recipient(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        user: UserId,
        versions: &[TimelineEntry],
        told_max: usize,
    ) -> Result<Option<Recipient>, StoreError> {
        self.in_time("timeline", async {
            let store = self;
            let ask = |sql: &'static str| {
                sqlx::query(sql).bind(tenant.as_str()).bind(user.as_str()).bind(alert.as_str())
            };
            let row = ask(
                "SELECT i.*, a.returned_at_ms, a.chased_under, u.devices_ended_at_ms, u.devices_ended,
                     (SELECT d.device_id FROM devices d WHERE d.tenant = i.tenant AND d.user_id = i.user_id LIMIT 1) AS device
                 FROM inbox i
                 LEFT JOIN alerts a ON a.tenant = i.tenant AND a.alert_id = i.alert_id
                 LEFT JOIN users u ON u.tenant = i.tenant AND u.user_id = i.user_id
                 WHERE i.tenant = $1 AND i.user_id = $2 AND i.alert_id = $3",
            )
            .fetch_optional(&store.read)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let version = int(&row, "version")?;
            let said_by = maybe_text(&row, "said_by")?.map(|by| format!(" (last {})", place_of(&by))).unwrap_or_default();
            // Whoever is told that it came knows that it is recorded.
            let recorded = format!("recorded in the inbox; version {version} is shown");
            let mut entries = vec![TimelineEntry::detail(time(&row, "recorded_at_ms")?, recorded)];
            for (column, what) in [
                ("returned_at_ms", "came back: dismissed_until passed".to_owned()),
                ("delivered_at_ms", ON_A_SCREEN.to_owned()),
                ("seen_at_ms", format!("seen{said_by}")),
                ("read_at_ms", format!("read{said_by}")),
                ("dismissed_at_ms", format!("dismissed{said_by}")),
            ] {
                entries.extend(maybe_time(&row, column)?.map(|at| TimelineEntry::new(at, what)));
            }
            if let (Some(at), Some(title)) = (maybe_time(&row, "answered_at_ms")?, maybe_text(&row, "answer_title")?) {
                let text = maybe_text(&row, "answer_text")?.unwrap_or_default();
                entries.push(TimelineEntry::new(at, explanation::answered(&title, &text)));
            }
            // What came before this person was among its recipients did not come to them.
            let recorded_at = time(&row, "recorded_at_ms")?;
            let ended = ended_devices(&row)?.filter(|(entry, is_why)| *is_why || entry.at >= recorded_at);
            entries.extend(ended.map(|(entry, _)| entry));
            entries.extend(versions.iter().filter(|entry| entry.at >= recorded_at).cloned());
            // Read before what happened to it: whoever is told that it ended also reads the entry that says why.
            let escalation =
                ask("SELECT stopped, due_at_ms, opened_at_ms, absent, held, policy FROM escalations WHERE tenant = $1 AND user_id = $2 AND alert_id = $3")
                    .fetch_optional(&store.read)
                    .await?;
            let attempts = store.last_attempts(tenant, &user, alert, told_max).await?;
            // Where a phone had it first, no screen said so: its push is told.
            let delivered_at = maybe_time(&row, "delivered_at_ms")?;
            let on_a_screen_at =
                delivered_at.filter(|_| !attempts.iter().any(|attempt| attempt.reached_at == delivered_at));
            if on_a_screen_at.is_none() {
                entries.retain(|entry| entry.what != ON_A_SCREEN);
            }
            for attempt in &attempts {
                entries.extend(explanation::attempt_made(attempt));
            }
            let notes = ask("SELECT at_ms, what FROM notes WHERE tenant = $1 AND user_id = $2 AND alert_id = $3 ORDER BY at_ms DESC LIMIT $4")
                .bind(told_max as i64)
                .fetch_all(&store.read)
                .await?;
            for note in &notes {
                entries.push(TimelineEntry::new(time(note, "at_ms")?, text(note, "what")?));
            }
            let (stopped, due_at, held, policy) = match &escalation {
                Some(row) => (
                    maybe_text(row, "stopped")?,
                    maybe_time(row, "due_at_ms")?,
                    maybe_text(row, "held")?.map(|_| word(row, "held")).transpose()?,
                    maybe_text(row, "policy")?,
                ),
                None => (None, None, None, None),
            };
            // Without an escalation it is told by the policy that the alert has now.
            let policy = policy.or(maybe_text(&row, "chased_under")?);
            let looked = ["seen_at_ms", "read_at_ms"].map(|column| maybe_time(&row, column));
            let was_on_screen = on_a_screen_at.is_some() || looked.into_iter().any(|at| at.is_ok_and(|at| at.is_some()));
            if let Some(row) = escalation.as_ref().filter(|row| int(row, "absent").is_ok_and(|absent| absent == 1)) {
                let what = "no session anywhere: the first wait is skipped";
                entries.push(TimelineEntry::new(time(row, "opened_at_ms")?, what));
            }
            if let (Some(Held::Summary(channel)), Some(row)) = (held, &escalation)
                && let Some(summary) = AlertId::summary_by(channel)
            {
                let opened_at = time(row, "opened_at_ms")?;
                let tried = store.last_attempts(tenant, &user, &summary, told_max).await?;
                let since = tried.iter().filter(|attempt| attempt.created_at >= opened_at);
                entries.extend(since.flat_map(explanation::told_with_others));
            }
            entries.sort_by_key(|entry| entry.at);
            let standing = standing_of(&row)?;
            Ok::<_, Failure>(Some(Recipient {
                user: stored_name!(&row, "user_id", UserId),
                state: standing.state,
                until: standing.until,
                seq: int(&row, "seq")? as Seq,
                policy,
                was_on_screen,
                stopped,
                due_at,
                held,
                entries,
            }))
        })
        .await
    }
}

impl Store {
    /// The last attempts about one alert of one person, the newest first.
    async fn last_attempts(
        &self,
        tenant: &Tenant,
        user: &UserId,
        alert: &AlertId,
        max: usize,
    ) -> Result<Vec<Attempt>, Failure> {
        let rows = sqlx::query(
            "SELECT * FROM attempts WHERE tenant = $1 AND user_id = $2 AND alert_id = $3
             ORDER BY created_at_ms DESC LIMIT $4",
        )
        .bind(tenant.as_str())
        .bind(user.as_str())
        .bind(alert.as_str())
        .bind(max as i64)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(attempt_of).collect()
    }
}

/// That the person's devices were taken out with their sessions, and whether that is why they have none now.
fn ended_devices(row: &AnyRow) -> Result<Option<(TimelineEntry, bool)>, Failure> {
    let Some(at) = maybe_time(row, "devices_ended_at_ms")? else { return Ok(None) };
    let number = maybe_int(row, "devices_ended")?.unwrap_or_default().max(0);
    let entry = TimelineEntry::new(at, explanation::devices_ended(number as u64));
    Ok(Some((entry, maybe_text(row, "device")?.is_none())))
}
