//! What a request brings: query, path and body. What is wrong with one is told as a problem document that names it.

use std::error::Error as _;

use axum::{
    body::Bytes,
    extract::{self, FromRequest, FromRequestParts, Request, rejection::QueryRejection},
    http::{StatusCode, Uri, request::Parts},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use watchbell::wire::{Problem, alert::read as read_object};

/// The longest request body of the user's API, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The parameters of a request. Those that are not known are passed over.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl<T: DeserializeOwned> Query<T> {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let read = extract::Query::try_from_uri(uri);
        read.map(|extract::Query(query)| Self(query)).map_err(|rejection| problem_of(&rejection))
    }
}

/// The message is read for the parameter only, and only one of ours: it is never repeated, people put keys into
/// addresses (I12). Every parameter that is not a text is a number.
fn problem_of(rejection: &QueryRejection) -> Problem {
    let told = rejection.source().map(ToString::to_string).unwrap_or_default();
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let twice = told.split_once("duplicate field `").and_then(|(_, rest)| rest.split('`').next());
    let wrong = told.split_once(": ").map(|(name, _)| name);
    match (twice.filter(is_name), wrong.filter(is_name)) {
        (Some(name), _) => Problem::invalid(name, "is given more than once"),
        (None, Some(name)) => Problem::invalid(name, "must be a whole number, 0 or more"),
        (None, None) => Problem::malformed("the query string cannot be read"),
    }
}

/// The parameters of an address's path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Its parameters are all texts, so there is one thing that can be wrong with them.
        let read = extract::Path::from_request_parts(parts, state).await;
        let read = read.map_err(|_| Problem::malformed("the address is not UTF-8 after decoding"));
        read.map(|extract::Path(parameters)| Self(parameters))
    }
}

/// A JSON body, whatever its content type says.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    Problem::too_large(format!("a body has at most {BODY_BYTES_MAX} bytes"))
                }
                _ => Problem::malformed("the body did not arrive whole"),
            })?;
        match read_object("body", &read) {
            Ok(read) => Ok(Self(read)),
            Err(error) if serde_json::from_slice::<IgnoredAny>(&read).is_err() => {
                Err(Problem::malformed(format!("the body is not JSON: {}", error.problem)))
            }
            Err(error) => Err(Problem::invalid(error.field, error.problem)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Parameters {
        before: Option<u64>,
        token: Option<String>,
    }

    async fn read(query: &str) -> Result<Parameters, Problem> {
        let uri = format!("/v1/inbox?{query}");
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        Query::from_request_parts(&mut parts, &()).await.map(|Query(read)| read)
    }

    /// Also that axum's message still begins with the parameter.
    #[tokio::test]
    async fn a_problem_names_the_parameter() {
        let number = |name| Problem::invalid(name, "must be a whole number, 0 or more");
        for (why, query, expected) in [
            ("negative", "before=-5", number("before")),
            ("no number", "token=a&before=x:y", number("before")),
            ("nothing", "before=", number("before")),
            ("too many digits", "before=99999999999999999999", number("before")),
            ("two of them", "token=canary&token=b", Problem::invalid("token", "is given more than once")),
        ] {
            assert_eq!(read(query).await.err(), Some(expected), "{why}");
        }
    }

    #[tokio::test]
    async fn whatever_else_is_there_is_passed_over() {
        for query in ["", "before=5&later=1", "token=%ff&before=5", "&&=&"] {
            let read = read(query).await.unwrap();
            assert!(
                read.before.is_none_or(|before| before == 5) && read.token.is_none_or(|token| token != "5")
            );
        }
    }
}
