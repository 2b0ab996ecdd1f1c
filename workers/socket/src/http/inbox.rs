//! The user's HTTP API: inbox and receipts. Keyed by the token's user, so nobody reaches anybody else's (I8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use watchbell::{
    runtime::{
        Clock,
        http::{BodyRules, JsonBody, Query, RETRY_AFTER_S},
    },
    wire::{Problem, frame::ReceiptFrame},
};

use crate::{
    feed::inbox::Inbox,
    http::answers::{InboxPage, InboxRow, ReceiptWritten},
    pod::receipts::{NotWritten, receipt_of},
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

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/inbox?before=&limit=`: newest change first.
pub(crate) async fn inbox(
    State(inbox): State<Inbox>,
    identity: Identity,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let epoch = inbox.epoch();
    let (head, rows) = inbox.store.inbox_page(&identity.user, page.before, limit).await?;
    let alerts: Vec<InboxRow<'_>> = rows
        .iter()
        .filter_map(|row| {
            let alert = serde_json::from_str(&row.content).ok()?; // `content_of` wrote it.
            Some(InboxRow {
                seq: row.seq,
                state: row.state.as_str(),
                until: row.until.map(|until| until.to_string()),
                recorded_at: row.recorded_at.to_string(),
                alert,
            })
        })
        .collect();
    // A page is longer when the last change is about many alerts.
    let next_before = (rows.len() >= limit).then(|| rows.last().map(|row| row.seq)).flatten();
    let (seq, unread) = (head.seq, head.unread);
    Ok(Json(InboxPage { seq, cursor: epoch.cursor(seq), unread, next_before, alerts }).into_response())
}

/// `POST /v1/inbox/receipts`: the same as a receipt frame; answers when it is written.
pub(crate) async fn receipts(
    State(inbox): State<Inbox>,
    State(clock): State<Clock>,
    identity: Identity,
    JsonBody(frame, _): JsonBody<ReceiptFrame, UserBodies>,
) -> Result<Response, Problem> {
    let state = frame.state.clone();
    let now = clock.now();
    let receipt = receipt_of(&identity.user, "http", frame, now)
        .map_err(|(field, problem)| Problem::invalid(field, problem))?;
    let until = receipt.until;
    let said = inbox.receipts.write(receipt).await.map_err(|why| match why {
        NotWritten::Leaving => Problem::unavailable("this pod is leaving; say it again", RETRY_AFTER_S),
        NotWritten::Impossible => Problem::internal("the store does not take this receipt"),
    })?;
    let until = until.map(|until| until.to_string());
    let written = match said {
        Some(said) => ReceiptWritten {
            seq: Some(said.seq),
            unread: Some(said.unread),
            alerts: said.alerts.iter().map(ToString::to_string).collect(),
            state,
            until,
        },
        None => ReceiptWritten { seq: None, unread: None, alerts: Vec::new(), state, until },
    };
    Ok(Json(written).into_response())
}
