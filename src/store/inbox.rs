//! Reading inboxes: heads, "everything changed after", and pages.

use std::{collections::HashMap, sync::Arc};

use sqlx::any::AnyRow;

use super::{
    Failure, Store, StoreError,
    acknowledgements::acknowledgement_in,
    inbox_rows::{answer_in, standing_of},
    int, maybe_int, maybe_time,
    preferences::holding_of,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time,
};
use crate::domain::{
    Acknowledgement, AlertId, Answered, InboxState, Seq, Tenant, Timestamp, UserId, UserKey, device::is_void,
};

/// Where a user's inbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Its change number; 0 for somebody who never got anything.
    pub seq: Seq,
    /// Its badge.
    pub unread: u64,
    /// When its sessions were last revoked, if ever.
    pub revoked_at: Option<Timestamp>,
    /// The number of the last change that deleted something; 0 when nothing ever was. Whoever knows the inbox up to a lower
    /// number fetches it anew.
    pub deleted_to: Seq,
}

impl Head {
    /// Whether a token is refused: it was issued before its user's sessions were revoked, or does not say when.
    pub fn refuses(&self, issued_at: Option<Timestamp>) -> bool {
        is_void(issued_at, self.revoked_at)
    }
}

/// One row with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// The number of its last change.
    pub seq: Seq,
    /// Which alert.
    pub alert: AlertId,
    /// What the person did.
    pub state: InboxState,
    /// Until when it is snoozed; only then.
    pub until: Option<Timestamp>,
    /// What the person answered, if they did.
    pub answer: Option<Answered>,
    /// Who has it, where it is to be acknowledged.
    pub acknowledgement: Option<Acknowledgement>,
    /// What clients are given, encoded.
    pub content: Arc<str>,
    /// When it came.
    pub recorded_at: Timestamp,
}

/// Bytes of what alerts say that one page holds, of an inbox or of its changes. An alert that is longer comes alone.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Part of what changed, in the order of its change numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Rows changed after the asked number. Rows of one receipt share a number.
    pub rows: Vec<InboxRow>,
    /// The head when it was read.
    pub head: Head,
    /// Whether `rows` is all of it.
    pub complete: bool,
    /// Whether the next change alone is more than [`PAGE_BYTES_MAX`]: nothing is read of it, because a change is never
    /// split here. [`Store::inbox_page`] has it in parts.
    pub too_long: bool,
}

/// Where a page of an inbox begins: before a change, or within one that fills more than a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageStart {
    /// The number of that change.
    pub seq: Seq,
    /// The alert of that change after which the page begins; `None`: before the change.
    pub after: Option<AlertId>,
}

impl PageStart {
    /// Before a change.
    pub fn before(seq: Seq) -> Self {
        Self { seq, after: None }
    }
}

/// A page of an inbox, newest change first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    /// The head when it was read.
    pub head: Head,
    /// The alerts of one change in the order of their names.
    pub rows: Vec<InboxRow>,
    /// Where the next page begins, if there may be one.
    pub next: Option<PageStart>,
}

/// The heads of many users, with what they want where that is asked for.
macro_rules! select_heads {
    ($preferences:literal) => {
        concat!(
            "SELECT batch.tenant, batch.user_id, u.seq, u.unread, u.sessions_revoked_at_ms, u.deleted_to, e.issued_until_ms, ",
            $preferences,
            " FROM {batch} LEFT JOIN users u ON u.tenant = batch.tenant AND u.user_id = batch.user_id
             LEFT JOIN erased_sessions e ON e.tenant = batch.tenant AND e.user_hash = batch.user_hash
             WHERE u.user_id IS NOT NULL OR e.user_hash IS NOT NULL"
        )
    };
}

impl Store {
    /// The heads of these users; the unknown ones are left out. One who was erased has a head as well, for as long as their tokens
    /// are refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heads(&self, users: &[UserKey]) -> Result<HashMap<UserKey, Head>, StoreError> {
        static SELECT: Statement<HeadRow<'_>> = Statement::new(select_heads!(
            "NULL AS preferences, NULL AS preference_defaults, NULL AS time_zone"
        ));
        let heads = self.read_heads(users, &SELECT).await?;
        Ok(heads.into_iter().map(|(user, (head, _))| (user, head)).collect())
    }

    /// The same for those who join, with what holds for them, as JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heads_and_preferences(
        &self,
        users: &[UserKey],
    ) -> Result<HashMap<UserKey, (Head, Option<String>)>, StoreError> {
        static SELECT: Statement<HeadRow<'_>> =
            Statement::new(select_heads!("u.preferences, u.preference_defaults, u.time_zone"));
        self.read_heads(users, &SELECT).await
    }

    async fn read_heads(
        &self,
        users: &[UserKey],
        select: &'static Statement<HeadRow<'static>>,
    ) -> Result<HashMap<UserKey, (Head, Option<String>)>, StoreError> {
        self.in_time("heads", async {
            let mut keys = Vec::with_capacity(users.len());
            for user in users {
                let (tenant, user_id) = (user.tenant.as_str(), user.user.as_str());
                keys.push(HeadRow { tenant, user_id, user_hash: self.pseudonym_in(user).await? });
            }
            let keys = Batch::of(self.engine, keys)?;
            let rows = select.over(&keys).fetch_all(&self.read).await?;
            let mut heads = HashMap::with_capacity(rows.len());
            for row in &rows {
                let user =
                    UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
                let revoked_at = maybe_time(row, "sessions_revoked_at_ms")?;
                let head = Head {
                    // Of one who was erased there is no row.
                    seq: maybe_int(row, "seq")?.unwrap_or_default() as Seq,
                    unread: maybe_int(row, "unread")?.unwrap_or_default().max(0) as u64,
                    revoked_at: revoked_at.max(maybe_time(row, "issued_until_ms")?),
                    deleted_to: maybe_int(row, "deleted_to")?.unwrap_or_default() as Seq,
                };
                heads.insert(user, (head, holding_of(row)?));
            }
            Ok(heads)
        })
        .await
    }

    /// What changed in this inbox after `after`, at most about `limit` rows and [`PAGE_BYTES_MAX`] (never splitting a
    /// change number).
    ///
    /// Head and rows are of one moment, so they are read in one statement: the badge of a head belongs to its number,
    /// and whatever is told live from then on is about a row that was given here or before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn changes_after(
        &self,
        user: &UserKey,
        after: Seq,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.in_time("changes_after", async {
            let store = self;
            // The last number read may be shared by more rows than fit: read it whole. `user_id || ''` and
            // `seq > 0` name the index `inbox_by_change` (migration 6), and a join by user would name another.
            // What is longer than a page is measured and not read.
            let found = sqlx::query(
                "SELECT u.seq AS head, u.unread, u.sessions_revoked_at_ms, u.deleted_to, changes.seq, changes.alert_id,
                        changes.state, changes.snoozed_until_ms, changes.answer_action, changes.answered_at_ms,
                        changes.recorded_at_ms, changes.content,
                        changes.first_acknowledges, changes.taken_by, changes.taken_at_ms,
                        changes.bytes, changes.through, changes.found
                 FROM users u LEFT JOIN (
                     SELECT measured.seq, measured.alert_id, measured.state, measured.snoozed_until_ms,
                         measured.answer_action, measured.answered_at_ms, measured.recorded_at_ms, measured.bytes, measured.through, measured.found, a.content,
                         a.first_acknowledges, a.taken_by, a.taken_at_ms
                     FROM (
                         SELECT i.tenant, i.seq, i.alert_id, i.state, i.snoozed_until_ms, i.answer_action,
                             i.answered_at_ms, i.recorded_at_ms,
                             sum(octet_length(a.content)) OVER (ORDER BY i.seq) AS bytes,
                             count(*) OVER (ORDER BY i.seq) AS through,
                             row_number() OVER (ORDER BY i.seq, i.alert_id) AS place, count(*) OVER () AS found
                         FROM inbox i JOIN alerts a ON a.tenant = i.tenant AND a.alert_id = i.alert_id
                         WHERE i.tenant = $1 AND i.user_id || '' = $2 AND i.seq > 0 AND i.seq > $3 AND i.seq <= coalesce(
                             (SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq > $3
                              ORDER BY seq LIMIT 1 OFFSET $4), $5)
                     ) AS measured JOIN alerts a ON a.tenant = measured.tenant AND a.alert_id = measured.alert_id
                     WHERE measured.bytes <= $6 OR measured.place = 1
                 ) changes ON 1 = 1
                 WHERE u.tenant = $1 AND u.user_id = $2
                 ORDER BY changes.seq, changes.alert_id",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(after as i64)
            .bind(limit.saturating_sub(1) as i64)
            .bind(i64::MAX)
            .bind(PAGE_BYTES_MAX as i64)
            .fetch_all(&store.read)
            .await?;
            let Some(first) = found.first() else {
                // Nobody that is known.
                return Ok(Changes { rows: Vec::new(), head: Head::default(), complete: true, too_long: false });
            };
            let head = head_beside(first)?;
            // A head without changes is one row with nothing of an alert in it.
            let number = |column| Ok::<_, Failure>(maybe_int(first, column)?.unwrap_or_default());
            let changed = number("found")? as usize;
            if number("bytes")? > PAGE_BYTES_MAX as i64 && number("through")? > 1 {
                return Ok(Changes { rows: Vec::new(), head, complete: false, too_long: true });
            }
            let rows = found.iter().take(changed).map(row_of).collect::<Result<Vec<_>, _>>()?;
            let is_whole = rows.len() == changed;
            let complete = is_whole && (changed < limit || rows.last().is_some_and(|row| row.seq >= head.seq));
            Ok(Changes { rows, head, complete, too_long: false })
        })
        .await
    }

    /// A page of an inbox, newest change first, from `start` on when given: at most about `limit` rows (never splitting a
    /// change number for that), and of those the first that have [`PAGE_BYTES_MAX`] together, but at least one. Head and rows are of
    /// one moment, as in [`Store::changes_after`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_page(
        &self,
        user: &UserKey,
        start: Option<&PageStart>,
        limit: usize,
    ) -> Result<InboxPage, StoreError> {
        let (seq, after) = first_of(start);
        self.in_time("inbox_page", async {
            let store = self;
            // `found` is how many rows the page would have without its bound in bytes. `through` is how many of them there are
            // up to the end of the change that the row belongs to.
            let found = sqlx::query(
                "SELECT u.seq AS head, u.unread, u.sessions_revoked_at_ms, u.deleted_to, page.seq, page.alert_id,
                     page.state, page.snoozed_until_ms, page.answer_action, page.answered_at_ms, page.recorded_at_ms,
                     page.found, page.through, page.content, page.first_acknowledges, page.taken_by, page.taken_at_ms
                 FROM users u LEFT JOIN (
                     SELECT measured.seq, measured.alert_id, measured.state, measured.snoozed_until_ms,
                         measured.answer_action, measured.answered_at_ms, measured.recorded_at_ms, measured.found, measured.through, a.content,
                         a.first_acknowledges, a.taken_by, a.taken_at_ms
                     FROM (
                         SELECT i.tenant, i.seq, i.alert_id, i.state, i.snoozed_until_ms, i.answer_action, i.answered_at_ms,
                             i.recorded_at_ms, sum(octet_length(a.content)) OVER in_order AS bytes, row_number() OVER in_order AS place,
                             count(*) OVER (ORDER BY i.seq DESC) AS through, count(*) OVER () AS found
                         FROM inbox i JOIN alerts a ON a.tenant = i.tenant AND a.alert_id = i.alert_id
                         WHERE i.tenant = $1 AND i.user_id || '' = $2 AND i.seq > 0 AND i.seq <= $3
                             AND (i.seq < $3 OR i.alert_id > $4) AND i.seq >= coalesce(
                             (SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq <= $3
                                  AND (seq < $3 OR alert_id > $4)
                              ORDER BY seq DESC LIMIT 1 OFFSET $5), 0)
                         WINDOW in_order AS (ORDER BY i.seq DESC, i.alert_id)
                     ) AS measured JOIN alerts a ON a.tenant = measured.tenant AND a.alert_id = measured.alert_id
                     WHERE measured.bytes <= $6 OR measured.place = 1
                 ) page ON 1 = 1
                 WHERE u.tenant = $1 AND u.user_id = $2
                 ORDER BY page.seq DESC, page.alert_id",
            )
            .bind(user.tenant.as_str())
            .bind(user.user.as_str())
            .bind(seq)
            .bind(after)
            .bind(limit.saturating_sub(1) as i64)
            .bind(PAGE_BYTES_MAX as i64)
            .fetch_all(&store.read)
            .await?;
            let Some(first) = found.first() else {
                // Nobody that is known.
                return Ok(InboxPage { head: Head::default(), rows: Vec::new(), next: None });
            };
            let head = head_beside(first)?;
            // A head without a page is one row with nothing of an alert in it.
            if maybe_int(first, "found")?.is_none() {
                return Ok(InboxPage { head, rows: Vec::new(), next: None });
            }
            let rows = found.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
            let next = match found.last() {
                Some(last) => next_page(last, rows.len(), limit)?,
                None => None,
            };
            Ok(InboxPage { head, rows, next })
        })
        .await
    }
}

/// The first change of a page, and the alert of it after which the page begins; no alert has an empty name.
pub(super) fn first_of(start: Option<&PageStart>) -> (i64, &str) {
    let number = |seq: Seq| i64::try_from(seq).unwrap_or(i64::MAX);
    match start {
        None => (i64::MAX, ""),
        Some(PageStart { seq, after: None }) => (number(*seq).saturating_sub(1), ""),
        Some(PageStart { seq, after: Some(after) }) => (number(*seq), after.as_str()),
    }
}

/// Where the page after this one begins, by its last row and how many it has.
fn next_page(last: &AnyRow, rows: usize, limit: usize) -> Result<Option<PageStart>, Failure> {
    let (seq, found, through) = (int(last, "seq")? as Seq, int(last, "found")?, int(last, "through")?);
    if rows < through as usize {
        return Ok(Some(PageStart { seq, after: Some(stored_name!(last, "alert_id", AlertId)) }));
    }
    let has_more = rows < found as usize || rows >= limit;
    Ok(has_more.then(|| PageStart::before(seq)))
}

batch_row! {
    /// A person, and by what they are known once they were erased.
    struct HeadRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        user_hash: String,
    }
}

/// The head in a row that has an alert's change number beside it.
pub(super) fn head_beside(row: &AnyRow) -> Result<Head, Failure> {
    Ok(Head {
        seq: int(row, "head")? as Seq,
        unread: int(row, "unread")?.max(0) as u64,
        revoked_at: maybe_time(row, "sessions_revoked_at_ms")?,
        deleted_to: int(row, "deleted_to")? as Seq,
    })
}

pub(super) fn row_of(row: &AnyRow) -> Result<InboxRow, Failure> {
    let standing = standing_of(row)?;
    Ok(InboxRow {
        seq: int(row, "seq")? as Seq,
        alert: stored_name!(row, "alert_id", AlertId),
        state: standing.state,
        until: standing.until,
        answer: answer_in(row)?,
        acknowledgement: acknowledgement_in(row)?,
        content: text(row, "content")?.into(),
        recorded_at: time(row, "recorded_at_ms")?,
    })
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_token_older_than_the_revocation_is_refused() {
    let at = |ms| Timestamp::from_millisecond(ms).unwrap();
    let revoked = Head { revoked_at: Some(at(10_500)), ..Head::default() };
    for (why, head, issued_at, expected) in [
        ("nothing was revoked", Head::default(), Some(at(0)), false),
        ("nothing was revoked, and it does not say", Head::default(), None, false),
        ("issued before", revoked, Some(at(9_000)), true),
        ("in the same second, of which nobody knows the order", revoked, Some(at(10_000)), true),
        ("issued after", revoked, Some(at(11_000)), false),
        ("it does not say", revoked, None, true),
    ] {
        assert_eq!(head.refuses(issued_at), expected, "{why}");
    }
}
