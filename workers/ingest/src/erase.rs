//! `DELETE /v1/users/{user}`: erases a person, everywhere.
//!
//! What holds here:
//! - Their sessions end and their tokens are refused before anything is erased, so that nothing is written about them meanwhile.
//! - It works in small commits, within [`ERASE_TIME_MAX`] a request. Of a person with more than fits, the answer says that it is not
//!   complete, and the request is repeated.
//! - The receipt names nobody, so it may be kept. So does the entry in the audit log, and those of before lose the name.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tracing::{info, warn};
use watchbell::{
    domain::{UserId, UserKey},
    runtime::http::NameInPath,
    store::{ERASED_ROWS_PER_COMMIT_MAX, StoreError},
    wire::Problem,
};

use crate::{App, Shared, answers::Erased, auth::Producer, limits::ERASE_TIME_MAX, people::end_sessions};

/// Erases a person. Safe to repeat: whoever is not there is erased with an empty receipt.
pub async fn erase(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
) -> Result<Response, Problem> {
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    let erased_at = shared.ingest.clock.now();
    let issued_until = shared.ingest.store.refuse_erased_sessions(&user, erased_at).await?;
    let detail = "Nothing was erased, and open sessions may not have ended: send the request again.";
    end_sessions(&shared, &user, issued_until, detail).await?;
    let mut rows = BTreeMap::new();
    let complete = match erase_rows(&shared, &user, &mut rows).await {
        Ok(complete) => complete,
        Err(error) if rows.is_empty() => return Err(error.into()),
        // What went is gone: the receipt says so.
        Err(error) => {
            warn!(%error, "An erasure stopped on its way; it goes on when the request is repeated");
            false
        }
    };
    let id = (shared.ingest.new_id)().to_string();
    info!(receipt.id = %id, complete, "A person was erased");
    let outcome = format!("receipt {id}, {}", if complete { "complete" } else { "not complete yet" });
    // The receipt says what went, also where it cannot be noted.
    if let Err(error) = store.note_erasure(&user, outcome, erased_at).await {
        warn!(%error, receipt.id = %id, "An erasure is not in the audit log");
    }
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    let receipt = Erased { id, erased_at: erased_at.to_string(), complete, rows };
    Ok((status, Json(receipt)).into_response())
}

/// Erases for as long as one request may, and counts by table. Says whether nothing is left.
async fn erase_rows(
    shared: &Shared,
    user: &UserKey,
    rows: &mut BTreeMap<&'static str, u64>,
) -> Result<bool, StoreError> {
    let until = Instant::now() + ERASE_TIME_MAX;
    loop {
        let batch = shared.ingest.store.erase_batch(user, ERASED_ROWS_PER_COMMIT_MAX).await?;
        for (table, erased) in batch.rows {
            *rows.entry(table).or_default() += erased;
        }
        if batch.is_over || Instant::now() >= until {
            return Ok(batch.is_over);
        }
    }
}
