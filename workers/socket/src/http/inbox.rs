//! The user's HTTP API: inbox and receipts. Keyed by the token's user, so nobody reaches anybody else's (I8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use watchbell::{
    runtime::{
        Clock,
        http::{BodyRules, JsonBody, Query, RETRY_AFTER_S},
    },
    wire::{Problem, frame::ReceiptFrame},
};

use crate::{
    feed::inbox::Inbox,
    pod::receipts::{NotWritten, receipt_of},
    token::Identity,
};

/// Rows of a page when none is asked for, and at the most.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

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

#[derive(Serialize)]
struct InboxRow<'a> {
    seq: u64,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    recorded_at: String,
    alert: &'a RawValue,
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
    let body = json!({
        "seq": head.seq,
        "cursor": epoch.cursor(head.seq),
        "unread": head.unread,
        "next_before": next_before,
        "alerts": alerts,
    });
    Ok(Json(body).into_response())
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
    let mut body = match said {
        Some(said) => {
            let alerts: Vec<String> = said.alerts.iter().map(ToString::to_string).collect();
            json!({"seq": said.seq, "unread": said.unread, "alerts": alerts, "state": state})
        }
        None => json!({"alerts": [], "state": state}),
    };
    if let Some(until) = until {
        body["until"] = until.to_string().into();
    }
    Ok(Json(body).into_response())
}
