//! Searching an inbox: the newest alerts of one person that meet a condition, page by page.
//!
//! What holds here:
//! - A page is read along `inbox_by_change`, newest change first, and looks at a bounded number of rows whatever is searched for
//!   (I15). Where that is not enough for a full page, the page is short, or empty, and says where the next one begins.
//! - Nothing is kept for it: no index and no column, so that an alert costs nothing more because it may be searched for.
//! - What alerts say is not looked into: whoever asks says which will do.

use tokio::task::coop::consume_budget;

use super::{
    Failure, InboxPage, InboxRow, PAGE_BYTES_MAX, PageStart, Store, StoreError,
    inbox::{HEAD, first_of, head_of, row_of},
    int,
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
            let head = of_user(sqlx::query(HEAD), user).fetch_optional(&self.read).await?;
            let head = head.as_ref().map(head_of).transpose()?.unwrap_or_default();
            let (mut rows, mut bytes) = (Vec::new(), 0);
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
            Ok(InboxPage { head, rows, next })
        })
        .await
    }

    /// The next rows, with what those say that have one of the states and severities.
    async fn inbox_window(
        &self,
        user: &UserKey,
        wanted: &InboxSearch<'_>,
        start: &PageStart,
        rows_max: usize,
    ) -> Result<Window, Failure> {
        let (seq, after) = first_of(Some(start));
        // `user_id || ''` and `seq > 0` name the index `inbox_by_change` (migration 6). The change of the last row is looked at whole.
        let last = of_user(
            sqlx::query(
                "SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq <= $3
                     AND (seq < $3 OR alert_id > $4)
                 ORDER BY seq DESC LIMIT 1 OFFSET $5",
            ),
            user,
        );
        let last = last.bind(seq).bind(after).bind(rows_max.saturating_sub(1) as i64);
        let last = last.fetch_optional(&self.read).await?;
        let last = last.as_ref().map(|row| int(row, "seq")).transpose()?;
        // The rows are picked before the alerts are looked up. What would be too much is measured and not read.
        let rows = of_user(
            sqlx::query(
                "SELECT measured.seq, measured.alert_id, measured.state, measured.snoozed_until_ms,
                     measured.answer_action, measured.answered_at_ms, measured.recorded_at_ms, measured.found, a.content,
                     a.first_acknowledges, a.taken_by, a.taken_at_ms
                 FROM (
                     SELECT looked.tenant, looked.seq, looked.alert_id, looked.state, looked.snoozed_until_ms,
                         looked.answer_action, looked.answered_at_ms, looked.recorded_at_ms, sum(octet_length(a.content)) OVER in_order AS bytes,
                         row_number() OVER in_order AS place, count(*) OVER () AS found
                     FROM (SELECT tenant, seq, alert_id, state, snoozed_until_ms, answer_action, answered_at_ms, recorded_at_ms FROM inbox
                           WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq <= $3
                               AND (seq < $3 OR alert_id > $4) AND seq >= $5
                               AND $6 LIKE '%,' || CASE WHEN state = 'dismissed' AND snoozed_until_ms IS NOT NULL
                                   THEN 'snoozed' ELSE state END || ',%') AS looked
                     CROSS JOIN alerts a WHERE a.tenant = looked.tenant AND a.alert_id = looked.alert_id
                         AND $7 LIKE '%,' || a.severity || ',%'
                     WINDOW in_order AS (ORDER BY looked.seq DESC, looked.alert_id)
                 ) AS measured JOIN alerts a ON a.tenant = measured.tenant AND a.alert_id = measured.alert_id
                 WHERE measured.bytes <= $8 OR measured.place = 1
                 ORDER BY measured.seq DESC, measured.alert_id",
            ),
            user,
        );
        let rows = rows
            .bind(seq)
            .bind(after)
            .bind(last.unwrap_or_default())
            .bind(listed(wanted.states.iter().map(|state| state.as_str()), InboxState::WORDS))
            .bind(listed(wanted.severities.iter().map(|severity| severity.as_str()), Severity::WORDS))
            .bind(PAGE_BYTES_MAX as i64)
            .fetch_all(&self.read)
            .await?;
        let found = rows.first().map(|row| int(row, "found")).transpose()?.unwrap_or_default();
        let rows = rows.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
        let next = match rows.last() {
            Some(row) if rows.len() < found as usize => Some(behind(row)),
            _ => last.map(|last| PageStart::before(last as Seq)),
        };
        Ok(Window { rows, next })
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
