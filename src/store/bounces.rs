//! What came back of mails that a relay had taken.
//!
//! What holds here:
//! - A report counts once, however often it comes; a graver one about the same mail counts as well.
//! - It says something of the address that it was sent to, and of no later one (I7).
//! - A mail that came back was not delivered: its attempt is failed, so steps that wait for "a mail was sent" go on. The same holds for
//!   every alert that a summary told of, whose attempt is the summary's.

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    AuditedChange, Failure, Store, StoreError, Tx, attempts::storable, int, maybe_int, maybe_text,
    maybe_time, summaries::of_user, text, time,
};
use crate::domain::{
    AlertId, AttemptId, Channel, Secret, Tenant, Timestamp, UserId, UserKey,
    audit::{AuditAction, user_object},
    bounce::{Bounce, BounceKind, SoftBounces},
    email::is_digest_of,
};

/// How the reason of an attempt begins whose mail came back.
const CAME_BACK: &str = "came back: ";
/// The same of a mail that its reader called spam.
const COMPLAINED: &str = "called spam: ";

/// What a report of a mail that came back changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceRecorded {
    /// No such mail is known any more, or it was counted before.
    Nothing,
    /// It was counted, and the address goes on.
    Counted,
    /// Nothing is sent to the address any more.
    Suppressed,
}

/// The alert that a mail was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailedAlert {
    /// Whose mail it was.
    pub user: UserKey,
    /// Which alert.
    pub alert: AlertId,
    /// When the mail was written.
    pub written_at: Timestamp,
    /// Whether the alert has begun anew since, as something that the mail does not tell of: it fires again, is worse, or came back
    /// from a snooze.
    pub has_begun_anew: bool,
}

impl Store {
    /// The one alert that the mail of this attempt told of; `None` when it is not known any more, or the mail told of several.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mailed_alert(&self, attempt: AttemptId) -> Result<Option<MailedAlert>, StoreError> {
        self.in_time("mailed_alert", async {
            let row = sqlx::query(
                "SELECT a.tenant, a.user_id, a.alert_id, a.created_at_ms, a.round,
                     CASE WHEN e.opened_at_ms > a.created_at_ms AND (e.round <> a.round OR e.opening <> a.opening)
                         THEN 1 ELSE 0 END AS is_anew
                 FROM attempts a LEFT JOIN escalations e
                     ON e.tenant = a.tenant AND e.user_id = a.user_id AND e.alert_id = a.alert_id
                 WHERE a.attempt_id = $1 AND a.channel = 'email'",
            )
            .bind(attempt.to_string())
            .fetch_optional(&self.read)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let (user, alert, round) = (user_of(&row)?, alert_of(&row)?, int(&row, "round")?);
            let (alert, has_begun_anew) = match alert.summary() {
                None => (alert, int(&row, "is_anew")? == 1),
                Some(_) => match self.only_told(&user, round).await? {
                    Some(only) => only,
                    None => return Ok(None),
                },
            };
            Ok(Some(MailedAlert { user, alert, written_at: time(&row, "created_at_ms")?, has_begun_anew }))
        })
        .await
    }

    /// The only alert that this summary by mail told of, and whether it has begun anew since.
    async fn only_told(&self, user: &UserKey, round: i64) -> Result<Option<(AlertId, bool)>, Failure> {
        let rows = of_user(
            sqlx::query(
                "SELECT t.alert_id, t.opened_at_ms, e.opened_at_ms AS opened_now_ms
                 FROM told t LEFT JOIN escalations e
                     ON e.tenant = t.tenant AND e.user_id = t.user_id AND e.alert_id = t.alert_id
                 WHERE t.tenant = $1 AND t.user_id || '' = $2 AND t.channel = 'email' AND t.summary_round = $3
                     AND t.summary_round > 0 LIMIT 2",
            ),
            user,
        )
        .bind(round)
        .fetch_all(&self.read)
        .await?;
        let [row] = rows.as_slice() else { return Ok(None) };
        let opened_at = int(row, "opened_at_ms")?;
        let has_begun_anew = maybe_int(row, "opened_now_ms")?.is_some_and(|now| now != opened_at);
        Ok(Some((alert_of(row)?, has_begun_anew)))
    }

    /// Records that a mail came back, if it is one of this tenant's; of any tenant's without one.
    ///
    /// # Errors
    /// [`StoreError`]; saying it again is safe.
    pub async fn record_bounce(
        &self,
        bounce: &Bounce,
        tenant: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<BounceRecorded, StoreError> {
        writing!(self, "record_bounce", |tx| {
            let Some(user) = self.mark_attempt(tx, bounce, tenant, now).await? else {
                return Ok(BounceRecorded::Nothing);
            };
            let Some((address, soft)) = address_of(tx, &user, bounce).await? else {
                return Ok(BounceRecorded::Counted);
            };
            let soft = match bounce.kind {
                BounceKind::Soft => soft.and_one(now),
                BounceKind::Hard | BounceKind::Policy | BounceKind::Complaint => soft,
            };
            let ends = match bounce.kind {
                BounceKind::Hard | BounceKind::Complaint => true,
                BounceKind::Soft => soft.are_too_many(),
                BounceKind::Policy => false,
            };
            if ends {
                let because = format!("{}{}", prefix_of(bounce.kind), bounce.reason);
                self.suppress_in(tx, &user, Channel::Email, &address, &because, now).await?;
                let object = user_object(&user.user);
                let change = AuditedChange::done(&user.tenant, AuditAction::AddressRefused, object);
                let change = change.with_outcome(outcome_of(bounce.kind));
                self.write_audit(tx, &change, now).await?;
                return Ok(BounceRecorded::Suppressed);
            }
            if bounce.kind == BounceKind::Soft {
                count_soft(tx, &user, soft).await?;
            }
            Ok(BounceRecorded::Counted)
        })
        .await
    }

    /// Writes to the attempt what came of its mail, and answers whose it was. `None`: it is not known, or what was said before is as grave.
    async fn mark_attempt(
        &self,
        tx: &mut Tx,
        bounce: &Bounce,
        tenant: Option<&Tenant>,
        now: Timestamp,
    ) -> Result<Option<UserKey>, Failure> {
        let reason = format!("{}{}", prefix_of(bounce.kind), storable(&bounce.reason));
        // A mail that was called spam did arrive.
        let state = match bounce.kind {
            BounceKind::Complaint => "accepted",
            BounceKind::Hard | BounceKind::Soft | BounceKind::Policy => "failed",
        };
        let row = sqlx::query(
            "UPDATE attempts SET state = $2, reason = $3, bounced = $6,
                 maybe_shown = CASE WHEN $2 = 'failed' THEN 0 ELSE maybe_shown END
             WHERE attempt_id = $1 AND channel = 'email' AND ($5 = '' OR tenant = $5)
                 AND (bounced < $6
                     OR bounced IS NULL AND state = 'accepted' AND (reason IS NULL OR reason NOT LIKE $4))
             RETURNING tenant, user_id, alert_id, round",
        )
        .bind(bounce.attempt.to_string())
        .bind(state)
        .bind(reason.clone())
        .bind(format!("{}%", prefix_of(bounce.kind)))
        .bind(tenant.map_or("", Tenant::as_str).to_owned())
        .bind(gravity_of(bounce.kind))
        .fetch_optional(&mut **tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (user, alert) = (user_of(&row)?, alert_of(&row)?);
        let note = format!("email: the mail {reason}");
        if alert.summary().is_some() {
            let (round, came_back) = (int(&row, "round")?, state == "failed");
            self.mark_told(tx, &user, round, came_back, &note, now).await?;
            return Ok(Some(user));
        }
        of_user(
            sqlx::query(
                "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what) VALUES ($1, $2, $3, $4, $5)",
            ),
            &user,
        )
        .bind(alert.as_str().to_owned())
        .bind(now.as_millisecond())
        .bind(note)
        .execute(&mut **tx)
        .await?;
        Ok(Some(user))
    }

    /// Writes what came of a summary's mail to each alert that it told of. When it came back, it told nobody: they count as they would
    /// after a mail of their own that came back.
    async fn mark_told(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        round: i64,
        came_back: bool,
        note: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        const OF_MAIL: &str =
            "t.tenant = $1 AND t.user_id || '' = $2 AND t.channel = 'email' AND t.summary_round = $3
             AND t.summary_round > 0";
        // Before their escalations, as receipts and summaries do.
        self.lock_users(tx, std::slice::from_ref(user), None).await?;
        let notes = format!(
            "INSERT INTO notes (tenant, user_id, alert_id, at_ms, what)
             SELECT t.tenant, t.user_id, t.alert_id, $4, $5 FROM told t WHERE {OF_MAIL}"
        );
        of_user(sqlx::query(AssertSqlSafe(notes)), user)
            .bind(round)
            .bind(now.as_millisecond())
            .bind(note.to_owned())
            .execute(&mut **tx)
            .await?;
        if !came_back {
            return Ok(());
        }
        // What another summary told stays told.
        let untold = format!(
            "UPDATE escalations SET summarized = NULL FROM told t
             WHERE {OF_MAIL} AND escalations.tenant = t.tenant AND escalations.user_id = t.user_id
                 AND escalations.alert_id = t.alert_id AND escalations.opened_at_ms = t.opened_at_ms
                 AND NOT EXISTS (SELECT 1 FROM told other WHERE other.tenant = t.tenant AND other.user_id = t.user_id
                     AND other.alert_id = t.alert_id AND other.channel <> 'email' AND other.opened_at_ms = t.opened_at_ms)"
        );
        let forgotten = format!("DELETE FROM told AS t WHERE {OF_MAIL}");
        for sql in [untold, forgotten] {
            of_user(sqlx::query(AssertSqlSafe(sql)), user).bind(round).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

/// What the audit log says of it.
fn outcome_of(kind: BounceKind) -> &'static str {
    match kind {
        BounceKind::Complaint => "a mail was called spam",
        BounceKind::Hard | BounceKind::Soft | BounceKind::Policy => "mails came back",
    }
}

/// How grave a report is, as `bounced` has it: what passes or is about us, what is for good, and what a person said.
fn gravity_of(kind: BounceKind) -> i64 {
    match kind {
        BounceKind::Soft | BounceKind::Policy => 1,
        BounceKind::Hard => 2,
        BounceKind::Complaint => 3,
    }
}

fn prefix_of(kind: BounceKind) -> &'static str {
    match kind {
        BounceKind::Complaint => COMPLAINED,
        BounceKind::Hard | BounceKind::Soft | BounceKind::Policy => CAME_BACK,
    }
}

fn user_of(row: &AnyRow) -> Result<UserKey, Failure> {
    let tenant = Tenant::parse(text(row, "tenant")?).map_err(|_| Failure::Unreadable("tenant"))?;
    let user = UserId::parse(text(row, "user_id")?).map_err(|_| Failure::Unreadable("user_id"))?;
    Ok(UserKey::new(tenant, user))
}

fn alert_of(row: &AnyRow) -> Result<AlertId, Failure> {
    AlertId::parse(text(row, "alert_id")?).map_err(|_| Failure::Unreadable("alert_id"))
}

/// The address that the mail went to, and what came back of it lately; `None` when they have another one by now.
async fn address_of(
    tx: &mut Tx,
    user: &UserKey,
    bounce: &Bounce,
) -> Result<Option<(Secret, SoftBounces)>, Failure> {
    let row = sqlx::query(
        "SELECT address, soft_bounces, soft_since_ms, refused_because FROM addresses
         WHERE tenant = $1 AND user_id = $2 AND channel = 'email'",
    )
    .bind(user.tenant.as_str().to_owned())
    .bind(user.user.as_str().to_owned())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let address = Secret::from(text(&row, "address")?);
    if !is_digest_of(&bounce.address_digest, &address) || maybe_text(&row, "refused_because")?.is_some() {
        return Ok(None);
    }
    let count = u32::try_from(int(&row, "soft_bounces")?).unwrap_or(u32::MAX);
    Ok(Some((address, SoftBounces { count, since: maybe_time(&row, "soft_since_ms")? })))
}

async fn count_soft(tx: &mut Tx, user: &UserKey, soft: SoftBounces) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE addresses SET soft_bounces = $3, soft_since_ms = $4
         WHERE tenant = $1 AND user_id = $2 AND channel = 'email'",
    )
    .bind(user.tenant.as_str().to_owned())
    .bind(user.user.as_str().to_owned())
    .bind(i64::from(soft.count))
    .bind(soft.since.map(Timestamp::as_millisecond))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
