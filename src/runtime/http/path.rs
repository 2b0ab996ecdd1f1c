//! The parameters of an address's path, and the names of our domain as text. What is wrong with one is a problem
//! document that names it.

use std::str::FromStr;

use axum::{
    extract::{self, FromRequestParts, path::ErrorKind, rejection::PathRejection},
    http::request::Parts,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{domain::InvalidName, wire::Problem};

/// The parameters of a path, as text.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = extract::Path::from_request_parts(parts, state).await;
        read.map(|extract::Path(parameters)| Self(parameters)).map_err(|rejection| problem_of(&rejection))
    }
}

fn problem_of(rejection: &PathRejection) -> Problem {
    match rejection {
        PathRejection::FailedToDeserializePathParams(error) => match error.kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => {
                Problem::invalid(key, "is not UTF-8 after decoding the address: percent-encode UTF-8")
            }
            _ => Problem::malformed("The address cannot be read: see `/openapi.json`."),
        },
        _ => Problem::malformed("The address cannot be read: see `/openapi.json`."),
    }
}

/// The one parameter of a path, which is a name: `/v1/users/{user}`.
#[derive(Debug, Clone)]
pub struct NameInPath<T>(pub T);

impl<T: FromStr<Err = InvalidName>, S: Send + Sync> FromRequestParts<S> for NameInPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(parameters) = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let Some((field, text)) = parameters.first() else {
            return Err(Problem::internal("The route of this address has no parameter."));
        };
        name(field, text).map(Self)
    }
}

/// A name in a query string or in a body, checked while it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<T>(pub T);

impl<'de, T: FromStr<Err = InvalidName>> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A text as the name of something.
///
/// # Errors
/// 422 that names the field and says what is wrong with it.
pub fn name<T: FromStr<Err = InvalidName>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: InvalidName| Problem::invalid(field, error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::{Router, body::Body, http::Request, routing::get};
    use tower::ServiceExt as _;

    use super::*;
    use crate::domain::AlertId;

    async fn ask(path: &str) -> (u16, String) {
        let shown = |NameInPath(id): NameInPath<AlertId>| async move { id.to_string() };
        let routes = Router::new().route("/v1/alerts/{id}", get(shown));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_name_in_a_path_is_checked_and_a_problem_names_it() {
        assert_eq!(ask("/v1/alerts/disk-7").await, (200, "disk-7".to_owned()));
        for (why, path) in [
            ("not of the alphabet", "/v1/alerts/a%20b"),
            ("too long", &format!("/v1/alerts/{}", "a".repeat(AlertId::LEN_MAX + 1))),
            ("not UTF-8", "/v1/alerts/%FF"),
        ] {
            let (status, body) = ask(path).await;
            assert_eq!(status, 422, "{why}: {body}");
            assert!(body.contains(r#""field":"id""#), "{why}: {body}");
        }
    }
}
