//! Errors over HTTP: RFC 9457 problem documents (<https://www.rfc-editor.org/rfc/rfc9457>).

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What went wrong and what to do about it. Served as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(description = "RFC 9457. Never repeats a value that was sent.")]
pub struct Problem {
    /// The kind of problem, stable for programs: `urn:watchbell:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people, in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, with the remedy. Never a value that was sent, and of the name of a field only the beginning.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "short")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// The field at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "short")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// Which element of an array or line of NDJSON it was, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index: Option<usize>,
    /// Come back after this many seconds; also sent as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_s: Option<u32>,
}

/// The longest text of a problem, in characters: parsers repeat the name of an unknown field, however long it is.
const TEXT_CHARS_MAX: usize = 1_000;

/// The last part of the kind of [`Problem::compressed`].
const COMPRESSED: &str = "unsupported-content-encoding";

/// Cuts a text that is too long.
fn short<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text.as_deref().unwrap_or_default();
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => serializer.serialize_str(text),
        Some((end, _)) => serializer.collect_str(&format_args!("{}…", &text[..end])),
    }
}

impl Problem {
    fn new(status: u16, slug: &str, title: &'static str, detail: Option<String>) -> Self {
        let kind = format!("urn:watchbell:problem:{slug}");
        Self { kind, title, status, detail, field: None, index: None, retry_after_s: None }
    }

    /// 400: the body is not what was expected at all.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", "The request cannot be read", Some(detail.into()))
    }

    /// 401: no credentials, or none that we know.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, "unauthorized", "Credentials are missing or not valid", Some(detail.into()))
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "forbidden", "Not allowed", Some(detail.into()))
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not-found", "Not found", Some(detail.into()))
    }

    /// 405: the address is there, and does not have this method.
    pub fn wrong_method(detail: impl Into<String>) -> Self {
        Self::new(405, "method-not-allowed", "The address does not have this method", Some(detail.into()))
    }

    /// 409: it would contradict what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "conflict", "Contradicts what is stored", Some(detail.into()))
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "too-large", "The request is too large", Some(detail.into()))
    }

    /// 415: the body is in another type than is read here.
    pub fn wrong_type(detail: impl Into<String>) -> Self {
        let title = "The content type is not one that is read here";
        Self::new(415, "unsupported-media-type", title, Some(detail.into()))
    }

    /// 415: the body is compressed, which is read nowhere. The answer says so in `Accept-Encoding`, too.
    pub fn compressed() -> Self {
        let title = "The content encoding is not one that is read here";
        let detail = "The body is compressed, or `Content-Encoding` says that it is. Send it as it is, without that header: set the \
                      sender to no compression.";
        Self::new(415, COMPRESSED, title, Some(detail.into()))
    }

    /// Whether it is about how the body is compressed, and nothing else.
    pub fn is_of_encoding(&self) -> bool {
        self.kind.ends_with(COMPRESSED)
    }

    /// 421: whoever it is for, it is not this process.
    pub fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(421, "misdirected", "Not for this process", Some(detail.into()))
    }

    /// 422: well formed, with a field that is not acceptable.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let problem = Self::new(422, "invalid", "A field is not acceptable", Some(detail.into()));
        Self { field: Some(field.into()), ..problem }
    }

    /// 422: every field is acceptable by itself, and yet it cannot be stored. Sending it again changes nothing.
    pub fn not_storable(detail: impl Into<String>) -> Self {
        Self::new(422, "not-storable", "The request cannot be stored", Some(detail.into()))
    }

    /// 500: ours to mend. Sending it again changes nothing until somebody has.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(500, "internal", "The fault is on this side", Some(detail.into()))
    }

    /// 429: this client has enough of it. Not for load in general.
    pub fn too_many(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let problem = Self::new(429, "too-many", "Too many at once", Some(detail.into()));
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// 503: nothing was accepted, come back. Never 429 for load: Alertmanager would not retry that.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let problem = Self::new(503, "unavailable", "Not available at the moment", Some(detail.into()));
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// The same problem of one element of an array.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }
}

#[test]
fn a_problem_does_not_repeat_more_than_the_beginning_of_a_name() {
    let problem = Problem::invalid("é".repeat(5_000), "x".repeat(TEXT_CHARS_MAX));
    let said = serde_json::to_value(&problem).unwrap_or_default();
    let chars = |name: &str| said[name].as_str().map(|text| text.chars().count());
    assert_eq!(chars("field"), Some(TEXT_CHARS_MAX + 1), "cut, and marked so");
    assert_eq!(chars("detail"), Some(TEXT_CHARS_MAX), "as it is");
}
