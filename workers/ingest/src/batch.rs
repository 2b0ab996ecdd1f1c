//! One, an array or NDJSON: a body taken apart, and the ids of what has none.
//!
//! What has no id gets one from the `Idempotency-Key` (`key`, or `key.0`, `key.1`, … for several), else a new UUIDv7.

use std::{borrow::Cow, fmt, ops::ControlFlow, str::FromStr};

use axum::http::HeaderMap;
use bytes::Bytes;
use percent_encoding::percent_decode;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use watchbell::{
    domain::{AlertId, InvalidName},
    runtime::http::{expect_media_type, expect_no_encoding, media_type, name, not_json},
    wire::{MessageKind, Problem, cloudevent, without_bom},
};

use crate::{NewId, count::What, limits::ALERTS_MAX};

const JSON: &str = "application/json";
/// What lines of JSON are called.
pub const NDJSON: [&str; 2] = ["application/x-ndjson", "application/ndjson"];
/// What attributes among headers begin with
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>, section 3.1.3).
const ATTRIBUTE: &str = "ce-";
/// The one that says that it is a CloudEvent.
const SPECVERSION: &str = "ce-specversion";
/// Those that every CloudEvent has beside it.
const EVENT_ATTRIBUTES: [&str; 3] = ["ce-id", "ce-source", "ce-type"];
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An object, or an array of them.
    Json,
    /// An object a line.
    Lines,
    /// A CloudEvent, or an array of them.
    CloudEvents,
    /// The data of a CloudEvent, whose attributes are headers.
    Binary,
}

impl Form {
    /// What the headers say.
    ///
    /// # Errors
    /// 415 for anything else, and for what is compressed.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        expect_no_encoding(headers)?;
        if NDJSON.contains(&media_type(headers).as_str()) {
            return Ok(Self::Lines);
        }
        if [cloudevent::STRUCTURED, cloudevent::BATCH].contains(&media_type(headers).as_str()) {
            return Ok(Self::CloudEvents);
        }
        if headers.contains_key(SPECVERSION) {
            // A producer may leave out what type its data has.
            if !media_type(headers).is_empty() {
                expect_media_type(headers, &[JSON])?;
            }
            return Ok(Self::Binary);
        }
        // What says that it is an event, and not of which kind, would be taken for an alert without an id.
        if EVENT_ATTRIBUTES.iter().any(|attribute| headers.contains_key(*attribute)) {
            return Err(Problem::invalid(
                "specversion",
                "is missing: send the header ce-specversion: 1.0, or no header that begins with ce-"
                    .to_owned(),
            ));
        }
        expect_media_type(headers, &[JSON, NDJSON[0], cloudevent::STRUCTURED, cloudevent::BATCH])?;
        Ok(Self::Json)
    }

    /// The body without what is around it: of a CloudEvent in binary mode the plain form, of any other what it was.
    ///
    /// # Errors
    /// 422 for attributes that are none.
    pub fn unwrapped(
        self,
        headers: &HeaderMap,
        body: Bytes,
        kind: MessageKind,
    ) -> Result<(Self, Bytes), Problem> {
        if self != Self::Binary {
            return Ok((self, body));
        }
        let attributes = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().strip_prefix(ATTRIBUTE)?, value)))
            .map(|(name, value)| (name.to_owned(), attribute_of(value.as_bytes())))
            .collect();
        let plain = cloudevent::plain_of_binary(&attributes, &body, kind);
        let plain = plain.map_err(|error| Problem::invalid(error.field, error.problem))?;
        Ok((Self::Json, plain.into()))
    }

    /// One of the body's items in the plain form. `kind` is what a CloudEvent is when it does not say.
    ///
    /// # Errors
    /// 422 for what is no CloudEvent.
    pub fn plain(self, raw: &str, kind: MessageKind) -> Result<Cow<'_, str>, Problem> {
        match self {
            Self::Json | Self::Lines | Self::Binary => Ok(Cow::Borrowed(raw)),
            Self::CloudEvents => {
                let plain = cloudevent::plain_of_structured(raw.as_bytes(), kind);
                let plain = plain.map_err(|error| Problem::invalid(error.field, error.problem))?;
                // It is JSON that was just written, so it is UTF-8.
                Ok(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
            }
        }
    }
}

/// What a body holds, each with its place: the element of the array, or the line.
#[derive(Debug)]
pub struct Batch<'a> {
    pub items: Vec<(usize, &'a RawValue)>,
    /// A single object, which is answered as one. An array of one is several.
    pub is_one: bool,
}

impl<'a> Batch<'a> {
    /// Takes a body apart. The parts are JSON and not looked into.
    ///
    /// # Errors
    /// It is not JSON, or there are more than [`ALERTS_MAX`].
    pub fn read(what: What, form: Form, body: &'a [u8]) -> Result<Self, Problem> {
        match form {
            Form::Json | Form::CloudEvents | Form::Binary => split_json(what, body),
            Form::Lines => split_lines(what, body),
        }
    }
}

/// The text of an attribute: a header has it in quotes, or percent-encoded where it is not ASCII.
fn attribute_of(value: &[u8]) -> String {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    percent_decode(quoted.unwrap_or(value)).decode_utf8_lossy().into_owned()
}

fn split_json(what: What, body: &[u8]) -> Result<Batch<'_>, Problem> {
    if !body.trim_ascii_start().starts_with(b"[") {
        let one = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
        return Ok(Batch { items: vec![(0, one)], is_one: true });
    }
    let Elements(elements) = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    match elements {
        ControlFlow::Continue(elements) => {
            Ok(Batch { items: elements.into_iter().enumerate().collect(), is_one: false })
        }
        ControlFlow::Break(TooMany) => Err(too_many(what)),
    }
}

fn split_lines(what: What, body: &[u8]) -> Result<Batch<'_>, Problem> {
    let mut items = Vec::new();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        // Files that were put together have a mark in their midst.
        let line = without_bom(line);
        if line.trim_ascii().is_empty() {
            continue; // A line break at the end, or one too many.
        }
        if items.len() == ALERTS_MAX {
            return Err(too_many(what));
        }
        items.push((at, serde_json::from_slice(line).map_err(|error| not_json(&error).at_index(at))?));
    }
    match items.is_empty() {
        true => Err(Problem::malformed(format!("The body has no line with an {what}."))),
        false => Ok(Batch { items, is_one: false }),
    }
}

fn too_many(what: What) -> Problem {
    Problem::too_large(format!("A request has at most {ALERTS_MAX} {what}s: send several."))
}

/// The elements of an array, unread. Beyond [`ALERTS_MAX`] they are not even kept.
struct Elements<'a>(ControlFlow<TooMany, Vec<&'a RawValue>>);
struct TooMany;

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < ALERTS_MAX {
                    match array.next_element()? {
                        Some(element) => kept.push(element),
                        None => return Ok(Elements(ControlFlow::Continue(kept))),
                    }
                }
                let mut more = 0_usize;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    more += 1;
                }
                Ok(Elements(if more == 0 {
                    ControlFlow::Continue(kept)
                } else {
                    ControlFlow::Break(TooMany)
                }))
            }
        }
        from.deserialize_seq(Collect)
    }
}

/// What the request as a whole is called.
///
/// # Errors
/// 422 when it is not one, or makes no id.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    // The draft standard writes it as a string in quotes; most clients do not.
    let text = given.to_str().map(|text| text.trim().trim_matches('"'));
    let text = text.map_err(|_| Problem::invalid("Idempotency-Key", "must be ASCII"))?;
    // Also where nothing is named by it: the next request may be refused for what this one got away with.
    name::<AlertId>("Idempotency-Key", text)?;
    Ok(Some(text))
}

/// The id of one that has none; `index` when it is one of several.
///
/// # Errors
/// 422 when the key does not make an id.
pub fn id_of<T: FromStr<Err = InvalidName>>(
    key: Option<&str>,
    index: Option<usize>,
    new_id: &NewId,
) -> Result<T, Problem> {
    let text = match (key, index) {
        (Some(key), None) => key.to_owned(),
        (Some(key), Some(at)) => format!("{key}.{at}"),
        (None, _) => new_id().to_string(),
    };
    name("Idempotency-Key", &text)
}

/// The same problem, with its place when it is one of several.
pub fn at_index(problem: Problem, index: Option<usize>) -> Problem {
    match index {
        Some(index) => problem.at_index(index),
        None => problem,
    }
}
