//! Reading what a producer sent: bodies, objects, query strings and names in addresses.
//!
//! What holds here:
//! - Every refusal is a problem document that names what is at fault and repeats no value.
//! - The bodies of all requests together have a bound: without room the producer is asked to come back (I9).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Path, Query, Request, State, rejection::PathRejection},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use tokio::time::timeout;
use watchbell::{
    domain::InvalidName,
    wire::{Problem, names_of, without_bom},
};

use crate::{
    App,
    limits::{BODY_BYTES_MAX, BODY_TIMEOUT, RETRY_AFTER_S},
};

/// A name in an address, before it was looked at.
pub type RawPath = Result<Path<String>, PathRejection>;

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
        return Err(Problem::unavailable("Too many requests are being read: send it again.", RETRY_AFTER_S));
    };
    Ok(next.run(request).await)
}

/// The answer to a method that the address does not have; axum adds `Allow`.
pub async fn wrong_method() -> Problem {
    Problem::wrong_method("`/openapi.json` lists what there is.")
}

/// The type of the body, without parameters, in small letters. Empty when it is not given.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is not of one of these types.
pub fn expect_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    if accepted.contains(&media_type(headers).as_str()) {
        return Ok(());
    }
    Err(Problem {
        kind: "urn:watchbell:problem:unsupported-media-type".into(),
        title: "The content type is not one that is read here",
        status: 415,
        ..Problem::malformed(format!("Send the body with `Content-Type: {}`.", accepted.join("` or `")))
    })
}

/// The whole body, within [`BODY_BYTES_MAX`] and [`BODY_TIMEOUT`].
pub async fn body(body: Body) -> Result<Bytes, Problem> {
    body_within(body, BODY_BYTES_MAX).await
}

/// The whole body, within so many bytes and [`BODY_TIMEOUT`].
pub async fn body_within(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let read = async {
        let mut stream = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Problem::malformed("The body ended before its end."))?;
            if whole.len() + chunk.len() > bytes_max {
                return Err(body_too_large(bytes_max));
            }
            whole.extend_from_slice(&chunk);
        }
        let begin = whole.len() - without_bom(&whole).len();
        Ok(Bytes::from(whole).slice(begin..))
    };
    let late = || Problem {
        kind: "urn:watchbell:problem:timeout".into(),
        title: "The body took too long",
        status: 408,
        ..Problem::malformed(format!("The body has to arrive within {} s.", BODY_TIMEOUT.as_secs()))
    };
    timeout(BODY_TIMEOUT, read).await.unwrap_or_else(|_| Err(late()))
}

fn body_too_large(bytes_max: usize) -> Problem {
    Problem::too_large(format!("A body has at most {bytes_max} bytes: send several requests."))
}

/// A body that is a JSON object of these fields. What is misspelt is refused, or it would be lost in silence.
pub async fn object(
    request: Request,
    accepted: &[&str],
    fields: &[&str],
) -> Result<Map<String, Value>, Problem> {
    expect_type(request.headers(), accepted)?;
    let bytes = body(request.into_body()).await?;
    // Reading into `Value` fails on syntax only, and such messages give line and column, no text.
    let value = serde_json::from_slice(&bytes).map_err(|error| not_json(&error))?;
    let Value::Object(object) = value else {
        return Err(Problem::malformed("The body must be a JSON object."));
    };
    match object.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => {
            Err(Problem::invalid(key, format!("is not known here: accepted are {}", fields.join(", "))))
        }
        None => Ok(object),
    }
}

/// The answer to what is not JSON.
pub fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("The body is not JSON: {error}"))
}

/// A field that is text, or absent.
pub fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Problem> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::invalid(field, "has the wrong type: expected a string")),
    }
}

/// A field that is a list of names, or absent.
pub fn names<T>(
    object: &Map<String, Value>,
    field: &str,
    parse: fn(&str) -> Result<T, InvalidName>,
) -> Result<Vec<T>, Problem> {
    let list = match object.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Problem::invalid(field, "has the wrong type: expected a list of names")),
    };
    let name = |(at, value): (usize, &Value)| {
        let at = format!("{field}[{at}]");
        let Some(text) = value.as_str() else {
            return Err(Problem::invalid(at, "has the wrong type: expected a string"));
        };
        parse(text).map_err(|error| Problem::invalid(at, error.to_string()))
    };
    list.iter().enumerate().map(name).collect()
}

/// A query string of these parameters, each at most once. Those without a value are absent.
pub fn query(uri: &Uri, known: &[&str]) -> Result<BTreeMap<String, String>, Problem> {
    let unreadable = |_| Problem::malformed("The query string cannot be read.");
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(unreadable)?;
    let mut found = BTreeMap::new();
    for (name, value) in pairs {
        // The name is not repeated either: people put keys into addresses.
        if !known.contains(&name.as_str()) {
            let accepted = known.join(", ");
            return Err(Problem::invalid(
                "query",
                format!("has a parameter that is not known: accepted are {accepted}"),
            ));
        }
        if found.contains_key(&name) {
            return Err(Problem::invalid(name, "is given more than once: separate names by commas"));
        }
        if !value.is_empty() {
            found.insert(name, value);
        }
    }
    Ok(found)
}

/// The parameter `limit`: from 1 to `max`, or `default`.
pub fn limit(query: &BTreeMap<String, String>, default: usize, max: usize) -> Result<usize, Problem> {
    let Some(given) = query.get("limit") else { return Ok(default) };
    match given.parse() {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("limit", format!("must be a number from 1 to {max}"))),
    }
}

/// Names separated by commas, as `watchbell::wire::names_of` reads them. Blanks around them and empty ones do not count.
pub fn list<T>(
    field: &str,
    text: &str,
    parse: fn(&str) -> Result<T, InvalidName>,
) -> Result<Vec<T>, Problem> {
    let names = names_of(text);
    let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    names.map(|name| self::name(field, name, parse)).collect()
}

/// One name.
pub fn name<T>(field: &str, text: &str, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, Problem> {
    parse(text).map_err(|error| Problem::invalid(field, error.to_string()))
}

/// The name in the address.
pub fn path<T>(field: &str, path: RawPath, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, Problem> {
    match path {
        Ok(Path(text)) => name(field, &text, parse),
        Err(_) => Err(Problem::invalid(field, "is not UTF-8 after decoding the address")),
    }
}
