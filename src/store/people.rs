//! Who there is, for whoever manages them: people by page, one of them whole, groups by page.
//!
//! Every page is read by key and has a bound. Names are in the order of the database, which is the same from page to page.

use sqlx::any::AnyRow;

use super::{
    AuditedChange, Failure, Store, StoreError,
    addresses::{KnownAddress, kept_of},
    int, maybe_int, maybe_text, maybe_time, stored_name,
    summaries::of_user,
    time,
};
use crate::domain::{
    GroupId, PerChannel, Tenant, Timestamp, UserId, UserKey,
    audit::{self, AuditAction},
};

/// A person on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPerson {
    /// Who.
    pub user: UserId,
    /// Whether they were registered, are or were in a group, or ever signed in. Somebody else was only named by a producer.
    pub known: bool,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// What their badge shows.
    pub unread: u64,
}

/// A person, without what their inbox holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPerson {
    /// What a page says of them.
    pub listed: ListedPerson,
    /// Their address by each channel that goes to one.
    pub addresses: PerChannel<Option<KnownAddress>>,
    /// Where their days are, as their backend says.
    pub time_zone: Option<String>,
    /// What they want where they say nothing, as JSON.
    pub preferences: Option<String>,
    /// Up to when tokens are refused.
    pub sessions_revoked_at: Option<Timestamp>,
    /// The first of their groups.
    pub groups: Vec<GroupId>,
    /// Alerts in their inbox, as far as they were counted.
    pub alerts: u64,
}

impl Store {
    /// People of a tenant in order, from the name `from` on but without `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn people_from(
        &self,
        tenant: &Tenant,
        from: &str,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ListedPerson>, StoreError> {
        self.in_time("people_from", async {
            let rows = sqlx::query(
                "SELECT user_id, named_only, locale, created_at_ms, unread FROM users
                 WHERE tenant = $1 AND user_id >= $2 AND user_id <> $3 ORDER BY user_id LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(from.to_owned())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(listed_of).collect()
        })
        .await
    }

    /// Members of a group, as [`Self::people_from`] tells of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn people_of_group_from(
        &self,
        tenant: &Tenant,
        group: &GroupId,
        from: &str,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ListedPerson>, StoreError> {
        self.in_time("people_of_group_from", async {
            // The members are picked before the people are looked up.
            let rows = sqlx::query(
                "SELECT u.user_id, u.named_only, u.locale, u.created_at_ms, u.unread
                 FROM (SELECT tenant, user_id FROM group_members
                       WHERE tenant = $1 AND group_id = $2 AND user_id >= $3 AND user_id <> $4
                       ORDER BY user_id LIMIT $5) AS member
                 CROSS JOIN users u WHERE u.tenant = member.tenant AND u.user_id = member.user_id ORDER BY u.user_id",
            )
            .bind(tenant.as_str())
            .bind(group.as_str())
            .bind(from.to_owned())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(listed_of).collect()
        })
        .await
    }

    /// Whether names are in the order of their bytes, so that those that begin alike stand together. In the order of a language,
    /// capitals and accents stand between them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names_are_in_byte_order(&self) -> Result<bool, StoreError> {
        self.in_time("names_are_in_byte_order", async {
            // In every language `a` comes before `B`; in bytes, capitals come first.
            let row = sqlx::query("SELECT CAST(CASE WHEN CAST($1 AS TEXT) < CAST($2 AS TEXT) THEN 1 ELSE 0 END AS BIGINT) AS by_language")
                .bind("a")
                .bind("B")
                .fetch_one(&self.read)
                .await?;
            Ok(int(&row, "by_language")? == 0)
        })
        .await
    }

    /// One person, with the first `groups_max` of their groups, and their alerts counted up to `alerts_max`; `None` for somebody
    /// unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn person(
        &self,
        user: &UserKey,
        groups_max: usize,
        alerts_max: usize,
    ) -> Result<Option<StoredPerson>, StoreError> {
        self.in_time("person", async {
            let row = of_user(
                sqlx::query(
                    "SELECT user_id, named_only, locale, created_at_ms, unread, email, email_refused_at_ms,
                         sessions_revoked_at_ms, time_zone, preference_defaults FROM users WHERE tenant = $1 AND user_id = $2",
                ),
                user,
            );
            let Some(row) = row.fetch_optional(&self.read).await? else { return Ok(None) };
            let addresses = of_user(
                sqlx::query(
                    "SELECT channel, address, refused_at_ms FROM addresses WHERE tenant = $1 AND user_id = $2",
                ),
                user,
            );
            let addresses = kept_of(&addresses.fetch_all(&self.read).await?, &row)?;
            let groups = self.groups_of_person(user, groups_max).await?;
            let counted = of_user(
                sqlx::query(
                    "SELECT count(*) AS alerts FROM (SELECT seq FROM inbox
                     WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 LIMIT $3) AS first",
                ),
                user,
            );
            let counted = counted.bind(alerts_max as i64).fetch_one(&self.read).await?;
            Ok(Some(StoredPerson {
                listed: listed_of(&row)?,
                addresses: addresses.map(|kept| kept.map(|kept| kept.known())),
                time_zone: maybe_text(&row, "time_zone")?,
                preferences: maybe_text(&row, "preference_defaults")?,
                sessions_revoked_at: maybe_time(&row, "sessions_revoked_at_ms")?,
                groups,
                alerts: int(&counted, "alerts")?.max(0) as u64,
            }))
        })
        .await
    }

    pub(super) async fn groups_of_person(
        &self,
        user: &UserKey,
        limit: usize,
    ) -> Result<Vec<GroupId>, Failure> {
        let groups = of_user(
            sqlx::query(
                "SELECT group_id FROM group_members WHERE tenant || '' = $1 AND user_id || '' = $2
                 ORDER BY group_id LIMIT $3",
            ),
            user,
        );
        let rows = groups.bind(limit as i64).fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok(stored_name!(row, "group_id", GroupId))).collect()
    }

    /// Groups of a tenant that somebody is in, in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn groups_after(
        &self,
        tenant: &Tenant,
        after: Option<&GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupId>, StoreError> {
        self.in_time("groups_after", async {
            // From one group to the next by the index, so that members cost nothing, however many.
            let rows = sqlx::query(
                "WITH RECURSIVE known(group_id, place) AS (
                     SELECT first.group_id, 1 FROM (SELECT group_id FROM group_members
                         WHERE tenant = $1 AND group_id > $2 ORDER BY group_id LIMIT 1) AS first
                     UNION ALL
                     SELECT (SELECT group_id FROM group_members
                             WHERE tenant = $1 AND group_id > known.group_id ORDER BY group_id LIMIT 1), known.place + 1
                     FROM known WHERE known.group_id IS NOT NULL AND known.place < $3)
                 SELECT group_id FROM known WHERE group_id IS NOT NULL ORDER BY place",
            )
            .bind(tenant.as_str())
            .bind(after.map_or("", GroupId::as_str))
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(|row| Ok(stored_name!(row, "group_id", GroupId))).collect()
        })
        .await
    }

    /// Takes up to `limit` members out of a group, and leaves an entry in the audit log if there were any. Returns how many; call it
    /// until there are none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_group(
        &self,
        tenant: &Tenant,
        group: &GroupId,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        writing!(self, "delete_group", |tx| {
            let done = sqlx::query(
                "DELETE FROM group_members WHERE (tenant, group_id, user_id) IN
                 (SELECT tenant, group_id, user_id FROM group_members
                  WHERE tenant = $1 AND group_id = $2 ORDER BY user_id LIMIT $3)",
            )
            .bind(tenant.as_str())
            .bind(group.as_str())
            .bind(limit as i64)
            .execute(&mut **tx)
            .await?;
            let gone = done.rows_affected();
            if gone > 0 {
                let change =
                    AuditedChange::done(tenant, AuditAction::GroupDeleted, audit::group_object(group));
                let outcome = format!("{gone} members were taken out");
                self.write_audit(tx, &change.with_outcome(outcome), now).await?;
            }
            Ok(gone)
        })
        .await
    }
}

fn listed_of(row: &AnyRow) -> Result<ListedPerson, Failure> {
    Ok(ListedPerson {
        user: stored_name!(row, "user_id", UserId),
        known: int(row, "named_only")? == 0,
        locale: maybe_text(row, "locale")?,
        created_at: time(row, "created_at_ms")?,
        unread: maybe_int(row, "unread")?.unwrap_or_default().max(0) as u64,
    })
}
