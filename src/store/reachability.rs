//! Whether a person can be told at all, at this moment: what is stored of their sessions, devices, addresses and wishes.

use sqlx::any::AnyRow;

use super::{
    Failure, Store, StoreError, addresses::kept_of, int, maybe_int, maybe_text, maybe_time,
    preferences::holding_of, summaries::of_user, text, time,
};
use crate::domain::{
    Channel, GroupId, PerChannel, Timestamp, UserKey,
    obstacles::{AddressState, Reachability},
};

/// What is stored of how a person can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReachability {
    /// What decides, but for what they want.
    pub reachability: Reachability,
    /// What holds for them, as JSON that is not looked into here.
    pub preferences: Option<String>,
    /// Since when they are stored; none of nobody.
    pub since: Option<Timestamp>,
    /// Rows were deleted from their inbox whose alerts were recorded up to then.
    pub deleted_before: Option<Timestamp>,
}

impl StoredReachability {
    fn of_nobody() -> Self {
        Self { reachability: Reachability::default(), preferences: None, since: None, deleted_before: None }
    }
}

impl Store {
    /// Whether this person can be told, as far as the store knows at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reachability(
        &self,
        user: &UserKey,
        now: Timestamp,
    ) -> Result<StoredReachability, StoreError> {
        self.in_time("reachability", async {
            let person = of_user(
                sqlx::query(
                    "SELECT u.named_only, u.created_at_ms, u.email, u.email_refused_at_ms, u.sessions_revoked_at_ms,
                         u.devices_ended_at_ms, u.devices_ended, u.deleted_before_ms, u.preferences, u.preference_defaults,
                         u.time_zone,
                         (SELECT count(*) FROM devices d WHERE d.tenant = u.tenant AND d.user_id = u.user_id) AS devices,
                         (SELECT count(*) FROM presence p CROSS JOIN pods
                          WHERE p.tenant = u.tenant AND p.user_id = u.user_id AND pods.pod = p.pod
                              AND pods.leased_until_ms > $3) AS sessions
                     FROM users u WHERE u.tenant = $1 AND u.user_id = $2",
                ),
                user,
            );
            let person = person.bind(now.as_millisecond()).fetch_optional(&self.read).await?;
            let Some(row) = person else { return Ok(StoredReachability::of_nobody()) };
            let addresses = of_user(
                sqlx::query(
                    "SELECT channel, address, refused_at_ms, refused_because FROM addresses WHERE tenant = $1 AND user_id = $2",
                ),
                user,
            );
            let rows = addresses.fetch_all(&self.read).await?;
            let addresses = kept_of(&rows, &row)?;
            let ended = maybe_time(&row, "devices_ended_at_ms")?;
            let number = maybe_int(&row, "devices_ended")?.unwrap_or_default().max(0) as u64;
            let reachability = Reachability {
                is_stored: true,
                is_known: int(&row, "named_only")? == 0,
                has_session: int(&row, "sessions")? > 0,
                devices: int(&row, "devices")?.max(0) as usize,
                devices_ended: ended.map(|at| (at, number)),
                sessions_revoked_at: maybe_time(&row, "sessions_revoked_at_ms")?,
                refused_because: refusals_of(&rows)?,
                addresses: states(addresses.map(|kept| kept.map(|kept| kept.known().is_refused))),
                ..Reachability::default()
            };
            Ok(StoredReachability {
                reachability,
                preferences: holding_of(&row)?,
                since: Some(time(&row, "created_at_ms")?),
                deleted_before: Some(time(&row, "deleted_before_ms")?)
                    .filter(|at| *at > Timestamp::UNIX_EPOCH),
            })
        })
        .await
    }

    /// The first groups of this person, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn groups_of(&self, user: &UserKey, limit: usize) -> Result<Vec<GroupId>, StoreError> {
        self.in_time("groups_of", async { self.groups_of_person(user, limit).await }).await
    }
}

/// Why addresses take no messages, where that was noted.
fn refusals_of(rows: &[AnyRow]) -> Result<PerChannel<Option<String>>, Failure> {
    let mut because = PerChannel::of(|_| None);
    for row in rows {
        if let Ok(channel) = text(row, "channel")?.parse::<Channel>() {
            because[channel] = maybe_text(row, "refused_because")?;
        }
    }
    Ok(because)
}

/// Whether each channel can write to them, by whether its address refused messages.
fn states(is_refused: PerChannel<Option<bool>>) -> PerChannel<AddressState> {
    is_refused.map(|is_refused| match is_refused {
        None => AddressState::Absent,
        Some(false) => AddressState::Usable,
        Some(true) => AddressState::Refused,
    })
}
