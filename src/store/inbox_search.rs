//! Searching an inbox: the newest alerts of one person that meet a condition, page by page.
//!
//! What holds here:
//! - A page is read along `inbox_by_change`, newest change first, and looks at a bounded number of rows whatever is searched for
//!   (I15). Where that is not enough for a full page, the page is short, or empty, and says where the next one begins.
//! - The head is of the moment of the first rows, and every later part of a page is of older changes: no row is newer than the head,
//!   and what changed meanwhile comes after it.
//! - Nothing is kept for it: no index and no column, so that an alert costs nothing more because it may be searched for.
//! - What alerts say is not looked into: whoever asks says which will do.

use tokio::task::coop::consume_budget;

use super::{
    Failure, InboxPage, InboxRow, PAGE_BYTES_MAX, PageStart, Store, StoreError,
    inbox::{Head, first_of, head_beside, row_of},
    maybe_int,
    summaries::of_user,
};
use crate::domain::{InboxState, Seq, Severity, UserKey};

/// Rows of an inbox that one page looks at, at the most; and those of one more receipt, because a change is never split here.
pub const SEARCHED_ROWS_MAX: usize = 2_000;
/// Rows that are looked at before what they say is given back: [`PAGE_BYTES_MAX`] is read of them at the most.
const WINDOW_ROWS_MAX: usize = 500;

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub struct InboxSearch<'a> {
    /// Where the page begins; `None`: with the newest change.
    pub start: Option<&'a PageStart>,
    /// One of these states; empty: any.
    pub states: &'a [InboxState],
    /// One of these severities; empty: any.
    pub severities: &'a [Severity],
    /// Alerts of the page, at the most.
    pub limit: usize,
    /// Rows that are looked at, at the most; no more than [`SEARCHED_ROWS_MAX`].
    pub looked_at_max: usize,
}

/// Some rows of an inbox, one after the other.
struct Window {
    /// Where the inbox stood when they were read.
    head: Head,
    rows: Vec<InboxRow>,
    /// Where the next one begins; none behind the oldest row.
    next: Option<PageStart>,
}

impl Store {
    /// A page of the alerts in an inbox that meet `wanted`, and of which `takes` says by their content that they will do. Newest
    /// change first, at most [`PAGE_BYTES_MAX`] of what they say, but at least one if there is one within the bound.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn search_inbox(
        &self,
        user: &UserKey,
        wanted: &InboxSearch<'_>,
        takes: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<InboxPage, StoreError> {
        self.in_time("search_inbox", async {
            let (mut head, mut rows, mut bytes) = (None, Vec::new(), 0);
            let mut next = Some(wanted.start.cloned().unwrap_or(PageStart::before(Seq::MAX)));
            let looked_at_max = wanted.looked_at_max.clamp(1, SEARCHED_ROWS_MAX);
            for _ in 0..looked_at_max.div_ceil(WINDOW_ROWS_MAX) {
                // A page that is full at the end of a window goes on with the next one.
                if rows.len() >= wanted.limit {
                    break;
                }
                let Some(start) = next.take() else { break };
                let window =
                    self.inbox_window(user, wanted, &start, looked_at_max.min(WINDOW_ROWS_MAX)).await?;
                next = window.next;
                let head = *head.get_or_insert(window.head);
                for row in window.rows {
                    // Reading long texts takes time, which others want as well.
                    consume_budget().await;
                    if !takes(&row.content) {
                        continue;
                    }
                    let is_full = rows.len() >= wanted.limit || bytes + row.content.len() > PAGE_BYTES_MAX;
                    if let Some(last) = rows.last().filter(|_| is_full) {
                        let next = Some(behind(last));
                        return Ok(InboxPage { head, rows, next });
                    }
                    bytes += row.content.len();
                    rows.push(row);
                }
            }
            Ok(InboxPage { head: head.unwrap_or_default(), rows, next })
        })
        .await
    }

    /// The next rows, with what those say that have one of the states and severities, and the head: in one statement, because they have
    /// to be of one moment.
    async fn inbox_window(
        &self,
        user: &UserKey,
        wanted: &InboxSearch<'_>,
        start: &PageStart,
        rows_max: usize,
    ) -> Result<Window, Failure> {
        let (seq, after) = first_of(Some(start));
        // `user_id || ''` and `seq > 0` name the index `inbox_by_change` (migration 6). The change of the last row is looked at whole.
        // The rows are picked before the alerts are looked up. What would be too much is measured and not read.
        let found = of_user(
            sqlx::query(
                "WITH edge AS MATERIALIZED (
                     SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq <= $3
                         AND (seq < $3 OR alert_id > $4)
                     ORDER BY seq DESC LIMIT 1 OFFSET $5
                 )
                 SELECT u.seq AS head, u.unread, u.sessions_revoked_at_ms, u.deleted_to, (SELECT seq FROM edge) AS last,
                     page.seq, page.alert_id, page.state, page.snoozed_until_ms, page.answer_action, page.answered_at_ms,
                     page.recorded_at_ms, page.found, page.content, page.first_acknowledges, page.taken_by, page.taken_at_ms
                 FROM users u LEFT JOIN (
                     SELECT measured.seq, measured.alert_id, measured.state, measured.snoozed_until_ms,
                         measured.answer_action, measured.answered_at_ms, measured.recorded_at_ms, measured.found, a.content,
                         a.first_acknowledges, a.taken_by, a.taken_at_ms
                     FROM (
                         SELECT looked.tenant, looked.seq, looked.alert_id, looked.state, looked.snoozed_until_ms,
                             looked.answer_action, looked.answered_at_ms, looked.recorded_at_ms,
                             sum(octet_length(a.content)) OVER in_order AS bytes,
                             row_number() OVER in_order AS place, count(*) OVER () AS found
                         FROM (SELECT tenant, seq, alert_id, state, snoozed_until_ms, answer_action, answered_at_ms, recorded_at_ms FROM inbox
                               WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq <= $3
                                   AND (seq < $3 OR alert_id > $4) AND seq >= coalesce((SELECT seq FROM edge), 0)
                                   AND $6 LIKE '%,' || CASE WHEN state = 'dismissed' AND snoozed_until_ms IS NOT NULL
                                       THEN 'snoozed' ELSE state END || ',%') AS looked
                         CROSS JOIN alerts a WHERE a.tenant = looked.tenant AND a.alert_id = looked.alert_id
                             AND $7 LIKE '%,' || a.severity || ',%'
                         WINDOW in_order AS (ORDER BY looked.seq DESC, looked.alert_id)
                     ) AS measured JOIN alerts a ON a.tenant = measured.tenant AND a.alert_id = measured.alert_id
                     WHERE measured.bytes <= $8 OR measured.place = 1
                 ) page ON 1 = 1
                 WHERE u.tenant = $1 AND u.user_id = $2
                 ORDER BY page.seq DESC, page.alert_id",
            ),
            user,
        );
        let found = found
            .bind(seq)
            .bind(after)
            .bind(rows_max.saturating_sub(1) as i64)
            .bind(listed(wanted.states.iter().map(|state| state.as_str()), InboxState::WORDS))
            .bind(listed(wanted.severities.iter().map(|severity| severity.as_str()), Severity::WORDS))
            .bind(PAGE_BYTES_MAX as i64)
            .fetch_all(&self.read)
            .await?;
        let Some(first) = found.first() else {
            // Nobody that is known.
            return Ok(Window { head: Head::default(), rows: Vec::new(), next: None });
        };
        let (head, last) = (head_beside(first)?, maybe_int(first, "last")?);
        // A head without rows is one row with nothing of an alert in it.
        let count = maybe_int(first, "found")?.unwrap_or_default() as usize;
        let rows = found.iter().take(count).map(row_of).collect::<Result<Vec<_>, _>>()?;
        let next = match rows.last() {
            Some(row) if rows.len() < count => Some(behind(row)),
            _ => last.map(|last| PageStart::before(last as Seq)),
        };
        Ok(Window { head, rows, next })
    }
}

/// Right behind a row.
fn behind(row: &InboxRow) -> PageStart {
    PageStart { seq: row.seq, after: Some(row.alert.clone()) }
}

/// Words between commas, as a statement compares them; all of them when none is given.
fn listed<'a>(words: impl ExactSizeIterator<Item = &'a str>, all: &[&'a str]) -> String {
    let words: Vec<&str> = if words.len() == 0 { all.to_vec() } else { words.collect() };
    format!(",{},", words.join(","))
}
