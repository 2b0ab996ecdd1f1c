//! What the routes for producers accept: the room for bodies, their rules, and values of a query string.
//!
//! What holds here:
//! - Every refusal is a problem document that names what is at fault and repeats no value.
//! - The bodies of all requests together have a bound: without room the producer is asked to come back (I9).
//!
//! Elsewhere: reading a body, a query string and a path in `watchbell::runtime::http`.

use std::{str::FromStr, sync::Arc};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use watchbell::{
    domain::InvalidName,
    runtime::http::{BodyRules, RETRY_AFTER_S, body_too_large, name, read_body},
    wire::{Problem, names_of},
};

use crate::{App, limits::BODY_BYTES_MAX};

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

/// Makes room for the body, until the answer is made.
pub async fn admit(State(shared): App, request: Request, next: Next) -> Result<Response, Problem> {
    // A body of unknown length is taken for the longest one.
    let len = request
        .body()
        .size_hint()
        .upper()
        .map_or(BODY_BYTES_MAX, |len| usize::try_from(len).unwrap_or(usize::MAX));
    if len > BODY_BYTES_MAX {
        return Err(body_too_large(BODY_BYTES_MAX));
    }
    let permits = u32::try_from(len).unwrap_or(u32::MAX);
    let Ok(_room) = Arc::clone(&shared.body_bytes).try_acquire_many_owned(permits) else {
        return Err(no_room_to_read());
    };
    Ok(next.run(request).await)
}

/// The answer when too many bodies are being read.
pub fn no_room_to_read() -> Problem {
    Problem::unavailable("Too many requests are being read: send it again.", RETRY_AFTER_S)
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

/// The parameter `limit`: from 1 to `max`, or `default`.
///
/// # Errors
/// 422 for any other number.
pub fn limit(given: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match given.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("limit", format!("must be a number from 1 to {max}"))),
    }
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
