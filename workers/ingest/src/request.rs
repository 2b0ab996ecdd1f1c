//! What the routes for producers accept: the room for bodies, their rules, and values of a query string.
//!
//! What holds here:
//! - Every refusal is a problem document that names what is at fault and repeats no value.
//! - The bodies of all requests together have a bound: without room the producer is asked to come back (I9).
//! - Room is taken by the bytes that have come, in the steps in which they come, and not by what a request announces; a tenant
//!   gets a share of it (I16).
//!
//! Elsewhere: reading a body, a query string and a path in `watchbell::runtime::http`.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Extension, Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use watchbell::{
    domain::{InvalidName, Tenant},
    runtime::http::{BodyRules, RETRY_AFTER_S, body_too_large, name, read_body},
    wire::{Problem, names_of},
};

use crate::{
    App, Shared,
    limits::BODY_BYTES_MAX,
    shares::{NoRoom, Share},
};

/// JSON, and nothing else.
#[derive(Debug)]
pub enum JsonOnly {}

impl BodyRules for JsonOnly {
    const BYTES_MAX: usize = BODY_BYTES_MAX;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

/// JSON, or a JSON merge patch (RFC 7396).
#[derive(Debug)]
pub enum MergePatch {}

impl BodyRules for MergePatch {
    const BYTES_MAX: usize = BODY_BYTES_MAX;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json", "application/merge-patch+json"];
}

/// Makes room for the body as it arrives, and keeps it until the answer is made.
pub async fn admit(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // One that announces too much is not even begun.
    if request.body().size_hint().lower() > u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(body_too_large(BODY_BYTES_MAX));
    }
    let room = Arc::new(Mutex::new(Room { share: shared.body_bytes.share(tenant), refused: None }));
    let for_body = Arc::clone(&room);
    let response = next.run(request.map(|body| charged(body, for_body))).await;
    let refused = room.lock().unwrap_or_else(PoisonError::into_inner).refused;
    // To the handler the body only ended early.
    refused.map_or(Ok(response), |refused| Err(refusal(refused)))
}

/// The whole body of a known tenant's request, and the room that it takes, which is kept until it is dropped.
///
/// # Errors
/// 503 when there is none, and as [`read_body`].
pub async fn body_in_room(
    shared: &Shared,
    tenant: &Tenant,
    body: Body,
    bytes_max: usize,
) -> Result<(Bytes, Share), Problem> {
    let empty = || shared.body_bytes.share(tenant.clone());
    let room = Arc::new(Mutex::new(Room { share: empty(), refused: None }));
    let read = read_body(charged(body, Arc::clone(&room)), bytes_max).await;
    let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
    match room.refused {
        Some(refused) => Err(refusal(refused)),
        None => Ok((read?, std::mem::replace(&mut room.share, empty()))),
    }
}

/// Room for a body that was read before it was known whose it is.
///
/// # Errors
/// 503 when there is none.
pub fn room_for(shared: &Shared, tenant: &Tenant, bytes: usize) -> Result<Share, Problem> {
    let mut share = shared.body_bytes.share(tenant.clone());
    share.take(bytes).map_err(refusal)?;
    Ok(share)
}

fn refusal(why: NoRoom) -> Problem {
    match why {
        NoRoom::ForThisTenant => no_room_for_tenant(),
        NoRoom::ForAnybody => no_room_to_read(),
    }
}

/// The room of one body.
struct Room {
    share: Share,
    /// Why the rest of it was not read.
    refused: Option<NoRoom>,
}

/// The body, which ends with an error where there is no room for more of it.
fn charged(body: Body, room: Arc<Mutex<Room>>) -> Body {
    let charge = move |bytes: Bytes| {
        let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = room.share.take(bytes.len());
        room.refused = room.refused.or(taken.err());
        taken.map(|()| bytes).map_err(|_| axum::Error::new("there is no room for the rest of the body"))
    };
    Body::from_stream(body.into_data_stream().map(move |chunk| chunk.and_then(&charge)))
}

/// The answer when too many bodies are being read.
pub fn no_room_to_read() -> Problem {
    Problem::unavailable("Too many requests are being read: send it again.", RETRY_AFTER_S)
}

/// The answer when the bodies of one tenant have what a tenant may have.
fn no_room_for_tenant() -> Problem {
    Problem::unavailable(
        "Your tenant has its share of the requests that are being read: send it again, fewer at once.",
        RETRY_AFTER_S,
    )
}

/// The answer to a method that the address does not have; axum adds `Allow`.
pub async fn wrong_method() -> Problem {
    Problem::wrong_method("`/openapi.json` lists what there is.")
}

/// The whole body, as it was sent.
///
/// # Errors
/// As [`read_body`].
pub async fn whole_body(body: Body) -> Result<Bytes, Problem> {
    read_body(body, BODY_BYTES_MAX).await
}

/// Names separated by commas, as [`names_of`] reads them. Blanks around them and empty ones do not count.
///
/// # Errors
/// 422 for a text that is no name.
pub fn list<T: FromStr<Err = InvalidName>>(field: &str, text: &str) -> Result<Vec<T>, Problem> {
    let names = names_of(text);
    let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    names.map(|text| name(field, text)).collect()
}
