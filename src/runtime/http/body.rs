//! The body of a request: read within its bounds, and as JSON into a struct. What is wrong with it is a problem document
//! that names the field and the remedy.
//!
//! What holds here:
//! - A body has a bound of bytes (I9), and is read into memory only as far as that. Its bound of time is the connection's
//!   (`listener/`), for whoever reads it; here is what is answered when it is over.
//! - What is compressed is 415, whatever it holds: nothing is unpacked, so that no small body becomes a large one.
//! - What is no JSON is 400; JSON that says what cannot be used is 422 with the field. No value is repeated (I12).

use std::{error::Error, iter::successors, marker::PhantomData, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::timeout;

use super::LateBody;
use crate::wire::{Problem, alert::read as read_fields, without_bom};

/// What a route accepts as a body.
pub trait BodyRules: Send + Sync + 'static {
    /// The longest one, in bytes.
    const BYTES_MAX: usize;
    /// The media types that it may have; empty for any, whatever the header says.
    const MEDIA_TYPES: &'static [&'static str];
}

/// A JSON body.
#[derive(Debug)]
pub struct JsonBody<T, R>(pub T, pub PhantomData<R>);

impl<T: DeserializeOwned, R: BodyRules, S: Send + Sync> FromRequest<S> for JsonBody<T, R> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        expect_no_encoding(request.headers())?;
        if !R::MEDIA_TYPES.is_empty() {
            expect_media_type(request.headers(), R::MEDIA_TYPES)?;
        }
        let bytes = read_body(request.into_body(), R::BYTES_MAX).await?;
        Ok(Self(json_of(&bytes)?, PhantomData))
    }
}

/// [`read_body`], for whoever may take less time than others.
///
/// # Errors
/// As [`read_body`].
pub async fn read_body_within(body: Body, bytes_max: usize, limit: Duration) -> Result<Bytes, Problem> {
    timeout(limit, read_body(body, bytes_max)).await.unwrap_or_else(|_| Err(body_too_late()))
}

/// The whole body, within so many bytes, without a byte order mark.
///
/// # Errors
/// 413; 408 for a body that came too slowly for its connection, 400 for one that was cut off, and 415 for one that is
/// compressed without saying so.
pub async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    // Not even begun when it says that it is too long.
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(body_too_large(bytes_max));
    }
    let mut stream = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| match is_late(&error) {
            true => body_too_late(),
            false => Problem::malformed("The body ended before its end."),
        })?;
        if whole.len() + chunk.len() > bytes_max {
            return Err(body_too_large(bytes_max));
        }
        whole.extend_from_slice(&chunk);
    }
    if whole.starts_with(GZIP) {
        return Err(Problem::compressed());
    }
    let begin = whole.len() - without_bom(&whole).len();
    Ok(Bytes::from(whole).slice(begin..))
}

/// Whether the connection gave the body up, below what extractors and layers put around its error.
fn is_late(error: &axum::Error) -> bool {
    let outer: &(dyn Error + 'static) = error;
    successors(Some(outer), |&error| error.source()).any(|error| error.is::<LateBody>())
}

/// The answer to a body that did not come in time.
fn body_too_late() -> Problem {
    Problem {
        kind: "urn:watchbell:problem:timeout".into(),
        title: "The body took too long",
        status: 408,
        ..Problem::malformed("The body has to arrive in time: send it again, or in several requests.")
    }
}

/// The answer to a body that is too long.
pub fn body_too_large(bytes_max: usize) -> Problem {
    Problem::too_large(format!("A body has at most {bytes_max} bytes: send several requests."))
}

/// JSON, read into a struct.
///
/// # Errors
/// 400 for what is no JSON, 422 for a field that cannot be used.
pub fn json_of<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    read_fields("body", bytes).map_err(|error| {
        match serde_json::from_slice::<IgnoredAny>(without_bom(bytes)) {
            Err(syntax) => not_json(&syntax),
            Ok(IgnoredAny) => Problem::invalid(error.field, error.problem),
        }
    })
}

/// The answer to what is no JSON. Errors of syntax give line and column, and no text.
pub fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("The body is not JSON: {error}"))
}

/// The type of the body, without parameters, in small letters. Empty when it is not given.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is not of one of these types.
///
/// # Errors
/// 415 that names them.
pub fn expect_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    if accepted.contains(&media_type(headers).as_str()) {
        return Ok(());
    }
    Err(Problem::wrong_type(format!("Send the body with `Content-Type: {}`.", accepted.join("` or `"))))
}

/// How a gzip stream begins (RFC 1952). No JSON does.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Refuses a body that is compressed (RFC 9110, section 8.4).
///
/// # Errors
/// 415 that names the header.
pub fn expect_no_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    let mut codings = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    match codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Problem::compressed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::response::IntoResponse as _;
    use futures_util::stream;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        alerts: Vec<String>,
    }

    struct Small;
    impl BodyRules for Small {
        const BYTES_MAX: usize = 40;
        const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
    }

    async fn read(media_type: &str, body: Body) -> Result<Vec<String>, (u16, Option<String>)> {
        let request = Request::builder().header(header::CONTENT_TYPE, media_type).body(body).unwrap();
        let read = JsonBody::<Asked, Small>::from_request(request, &()).await;
        read.map(|JsonBody(asked, _)| asked.alerts).map_err(|problem| (problem.status, problem.field))
    }

    #[tokio::test]
    async fn a_problem_says_what_is_wrong_with_a_body() {
        let json = "application/json";
        let field = |name: &str| Some(name.to_owned());
        for (why, media_type, body, expected) in [
            ("right", "Application/JSON; charset=utf-8", r#"{"alerts": ["a"]}"#, Ok(vec!["a".to_owned()])),
            ("with a byte order mark", json, "\u{feff}{\"alerts\": []}", Ok(vec![])),
            ("no JSON", json, r#"{"alerts": ["#, Err((400, None))),
            ("nothing", json, "", Err((400, None))),
            ("another type of body", "text/plain", r#"{"alerts": []}"#, Err((415, None))),
            ("a field of another type", json, r#"{"alerts": ["a", 1]}"#, Err((422, field("alerts[1]")))),
            ("a field is missing", json, "{}", Err((422, field("alerts")))),
            ("not an object", json, "[]", Err((422, field("body")))),
            ("too long", json, r#"{"alerts": ["0123456789012345678901234"]}"#, Err((413, None))),
        ] {
            assert_eq!(read(media_type, Body::from(body)).await, expected, "{why}");
        }
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused_with_the_header_that_says_so() {
        for (why, lines, is_read) in [
            ("nothing said", &[][..], true),
            ("as it is", &["identity"], true),
            ("nothing", &[""], true),
            ("gzip", &["gzip"], false),
            ("capital letters", &["GZIP"], false),
            ("another", &["br"], false),
            ("two on one line", &["identity, gzip"], false),
            ("two lines", &["identity", "zstd"], false),
        ] {
            let mut request = Request::builder()
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(r#"{"alerts": []}"#))
                .unwrap();
            for line in lines {
                request.headers_mut().append(header::CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            let refused = JsonBody::<Asked, Small>::from_request(request, &()).await.err();
            assert_eq!(refused.is_none(), is_read, "{why}");
            let Some(problem) = refused else { continue };
            assert!(problem.detail.as_ref().unwrap().contains("`Content-Encoding`"), "{why}");
            let answer = problem.into_response();
            assert_eq!(answer.status().as_u16(), 415, "{why}");
            assert_eq!(answer.headers()["accept-encoding"], "identity", "{why}");
        }
        let other_type =
            expect_media_type(&HeaderMap::new(), &["application/json"]).unwrap_err().into_response();
        assert!(!other_type.headers().contains_key("accept-encoding"), "it is about something else");
        let unsaid = read("application/json", Body::from(&b"\x1f\x8b\x08"[..])).await;
        assert_eq!(unsaid, Err((415, None)), "gzip that is not said");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let late = read_body_within(never(), 10, Duration::from_secs(3)).await;
        assert_eq!(late.unwrap_err().status, 408);
        for (why, error, status) in [
            ("its connection gave it up", axum::BoxError::from(LateBody), 408),
            ("its connection broke", "gone".into(), 400),
        ] {
            let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(error)]));
            assert_eq!(read("application/json", broken).await, Err((status, None)), "{why}");
        }
    }
}
