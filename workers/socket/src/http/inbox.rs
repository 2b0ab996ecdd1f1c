//! The user's HTTP API: inbox and receipts. Keyed by the token's user, so nobody reaches anybody else's (I8).

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use percent_encoding::percent_decode_str;
use tokio::sync::SemaphorePermit;
use watchbell::{
    domain::{InboxState, Severity},
    runtime::{
        Clock,
        http::{BodyRules, JsonBody, Query, RETRY_AFTER_S, limit, name},
        rate_limit::TooSoon,
    },
    store::{InboxPage as StoredPage, InboxSearch, PageStart, SEARCHED_ROWS_MAX},
    wire::{Problem, action::AnswerV1, content::with_acknowledgement, frame::ReceiptFrame, sayings},
};

use crate::{
    feed::inbox::{Inbox, NotCompleted},
    http::{
        answers::{CategoryList, InboxPage, InboxRow, NextBefore, ReceiptWritten},
        inbox_query::InboxQuery,
        push_receipts::ReceiptSpeaker,
    },
    pod::{
        limits::{ReceiptTurns, SearchTurns},
        receipts::{CompleteReceipt, NotWritten, ReadReceipt, cost_of, receipt_of},
    },
    token::Identity,
};

/// Rows of a page when none is asked for, and at the most.
pub(crate) const PAGE_DEFAULT: usize = 50;
pub(crate) const PAGE_MAX: usize = 200;

/// The bodies of the user's API: JSON, whatever their content type says.
#[derive(Debug)]
pub(crate) enum UserBodies {}

impl BodyRules for UserBodies {
    const BYTES_MAX: usize = 64 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &[];
}

/// `GET /v1/inbox?before=&limit=`: newest change first; with conditions, of the alerts that meet them all.
pub(crate) async fn inbox(
    State(inbox): State<Inbox>,
    State(turns): State<Arc<SearchTurns>>,
    identity: Identity,
    Query(asked): Query<InboxQuery>,
) -> Result<Response, Problem> {
    let limit = limit(asked.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let start = asked.before.as_deref().map(page_start).transpose()?;
    let filter = asked.filter()?;
    let is_search = !filter.is_empty();
    // Held until the search is over.
    let _place = match is_search {
        true => Some(turn_to_search(&turns, &identity).await?),
        false => None,
    };
    let room = inbox.room_for_a_page(&identity.user).await?;
    let epoch = inbox.epoch();
    let wanted = InboxSearch {
        start: start.as_ref(),
        states: filter.states(),
        severities: &filter.severities,
        limit,
        looked_at_max: SEARCHED_ROWS_MAX,
    };
    let StoredPage { head, rows, next } = match is_search {
        true => {
            let takes = |content: &str| sayings::takes(&filter, content);
            inbox.store.search_inbox(&identity.user, &wanted, &takes).await?
        }
        false => inbox.store.inbox_page(&identity.user, start.as_ref(), limit).await?,
    };
    let shown: Vec<Cow<'_, str>> =
        rows.iter().map(|row| with_acknowledgement(&row.content, row.acknowledgement.as_ref())).collect();
    let alerts: Vec<InboxRow<'_>> = rows
        .iter()
        .zip(&shown)
        .filter_map(|(row, shown)| {
            let alert = serde_json::from_str(shown).ok()?; // `content_of` wrote it.
            Some(InboxRow {
                seq: row.seq,
                state: row.state.as_str(),
                until: row.until.map(|until| until.to_string()),
                answer: row.answer.as_ref().map(AnswerV1::of),
                recorded_at: row.recorded_at.to_string(),
                alert,
            })
        })
        .collect();
    Ok(room.json(&InboxPage {
        seq: head.seq,
        cursor: epoch.cursor(head.seq),
        unread: head.unread,
        deleted_to: head.deleted_to,
        next_before: next.map(NextBefore::of),
        alerts,
    }))
}

/// Categories that a person is told of.
pub(crate) const CATEGORIES_TOLD_MAX: usize = 200;

/// `GET /v1/inbox/categories`: those of the newest alerts, by name.
pub(crate) async fn categories(
    State(inbox): State<Inbox>,
    State(turns): State<Arc<SearchTurns>>,
    identity: Identity,
) -> Result<Response, Problem> {
    let _place = turn_to_search(&turns, &identity).await?;
    let room = inbox.room_for_a_page(&identity.user).await?;
    let found = Mutex::new(BTreeSet::new());
    // Nothing is taken but the name.
    let look = |content: &str| {
        let category = sayings::category_of(content).filter(|category| !category.is_empty());
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than are told, so that it is known whether these are all.
        if found.len() <= CATEGORIES_TOLD_MAX {
            found.extend(category);
        }
        false
    };
    let (states, severities): (&[InboxState], &[Severity]) = (&[], &[]);
    let wanted = InboxSearch { start: None, states, severities, limit: 1, looked_at_max: SEARCHED_ROWS_MAX };
    let page = inbox.store.search_inbox(&identity.user, &wanted, &look).await?;
    let mut categories: Vec<String> =
        found.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    let complete = page.next.is_none() && categories.len() <= CATEGORIES_TOLD_MAX;
    categories.truncate(CATEGORIES_TOLD_MAX);
    Ok(room.json(&CategoryList { categories, complete }))
}

/// A search reads more than a page, so each person has so many a second.
async fn turn_to_search<'a>(
    turns: &'a SearchTurns,
    identity: &Identity,
) -> Result<SemaphorePermit<'a>, Problem> {
    turns.take(&identity.user).await.map_err(|TooSoon { wait }| {
        Problem::too_many("more is searched for than is read: search again later", seconds(wait))
    })
}

/// Where a page begins, as `next_before` said it: `394`, or `394:disk-db-1` within a change.
fn page_start(text: &str) -> Result<PageStart, Problem> {
    let (seq, after) = text.split_once(':').map_or((text, None), |(seq, after)| (seq, Some(after)));
    let is_number = seq.bytes().all(|byte| byte.is_ascii_digit());
    let seq = is_number.then(|| seq.parse().ok()).flatten();
    let seq = seq.ok_or_else(|| Problem::invalid("before", "must be the `next_before` of a page"))?;
    // A client that encodes it once more has it encoded still; no name has a `%`.
    let after = after.map(|after| percent_decode_str(after).decode_utf8_lossy());
    Ok(PageStart { seq, after: after.map(|after| name("before", &after)).transpose()? })
}

/// A wait in whole seconds, for `Retry-After`.
pub(crate) fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX)
}

/// `POST /v1/inbox/receipts`: the same as a receipt frame, and charged as one is; answers when it is written. A device may say by the
/// token of a push that it has it.
pub(crate) async fn receipts(
    State(inbox): State<Inbox>,
    State(turns): State<Arc<ReceiptTurns>>,
    State(clock): State<Clock>,
    speaker: ReceiptSpeaker,
    JsonBody(mut frame, _): JsonBody<ReceiptFrame, UserBodies>,
) -> Result<Response, Problem> {
    let state = frame.state.clone();
    let priority_lowered = frame.priority_lowered.take_if(|_| speaker.is_device());
    let now = clock.now();
    let invalid = |(field, problem)| Problem::invalid(field, problem);
    let read = receipt_of(speaker.user(), speaker.by(), frame, now).map_err(invalid)?;
    let read = ReadReceipt { receipt: speaker.may_say(read.receipt, priority_lowered)?, ..read };
    let cost = cost_of(read.receipt.alerts.len());
    turns.take(speaker.user(), cost).await.map_err(|TooSoon { wait }| {
        Problem::too_many("this user says more than is read: say it again later", seconds(wait))
    })?;
    let CompleteReceipt { receipt, .. } = inbox.completed(read).await.map_err(|why| match why {
        NotCompleted::NoSuchAction(problem) => invalid(("action", problem)),
        NotCompleted::Unavailable(error) => error.into(),
    })?;
    let (until, action) = (receipt.until, receipt.action().map(str::to_owned));
    let said = inbox.receipts.write(receipt).await.map_err(|why| match why {
        NotWritten::Leaving => Problem::unavailable("this pod is leaving; say it again", RETRY_AFTER_S),
        NotWritten::Impossible => Problem::internal("the store does not take this receipt"),
    })?;
    speaker.was_written(priority_lowered, now);
    let until = until.map(|until| until.to_string());
    let written = match said {
        Some(said) => ReceiptWritten {
            seq: Some(said.seq),
            unread: Some(said.unread),
            alerts: said.alerts.iter().map(ToString::to_string).collect(),
            state,
            until,
            action,
        },
        None => ReceiptWritten { seq: None, unread: None, alerts: Vec::new(), state, until, action },
    };
    Ok(Json(written).into_response())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_said() {
        for (text, expected) in [
            ("394", Some((394, None))),
            ("0", Some((0, None))),
            ("394:disk-db-1", Some((394, Some("disk-db-1")))),
            ("394:host:disk", Some((394, Some("host:disk")))),
            ("394:a%2Bb", Some((394, Some("a+b")))),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("18446744073709551616", None),
            ("394:", None),
            ("disk-db-1", None),
        ] {
            let found = page_start(text).ok();
            let seen = found.as_ref().map(|start| (start.seq, start.after.as_ref().map(|id| id.as_str())));
            assert_eq!(seen, expected, "{text}");
            assert_eq!(
                page_start(&text.replace("%2B", "+")).ok(),
                found,
                "{text}, as it comes out of a query"
            );
            if let Some(start) = found {
                let said = serde_json::to_value(NextBefore::of(start)).unwrap();
                assert_eq!(said.to_string().trim_matches('"'), text, "it is said as it is read");
            }
        }
    }
}
