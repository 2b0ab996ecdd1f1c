//! `POST /v1/alerts`, and what became of an alert.
//!
//! One alert, an array or NDJSON go the same way: split, validate all, publish all. An alert without an id gets one
//! from the `Idempotency-Key` (`key`, or `key.0`, `key.1`, … for several), else a new UUIDv7.

use std::{fmt, ops::ControlFlow};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{
    json,
    value::{RawValue, Value},
};
use watchbell::{
    domain::{Alert, AlertId, Tenant, UserId, alert::bounds::ALERT_BYTES_MAX, policy::Policies},
    store::{Recipient, StoreError},
    wire::{Problem, alert::Defaults, parse_alert},
};

use crate::{
    App, Shared, count,
    limits::{ALERTS_MAX, TIMELINE_RECIPIENTS_MAX},
    publish, request,
    request::RawPath,
    store_problem,
};

const JSON: &str = "application/json";
const NDJSON: [&str; 2] = ["application/x-ndjson", "application/ndjson"];
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Recipients in a timeline when no limit is given.
const TIMELINE_RECIPIENTS: usize = 20;

/// Accepts one alert, an array or NDJSON. 202 when the broker has confirmed all of them.
pub async fn accept(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let by_line = NDJSON.contains(&request::media_type(&parts.headers).as_str());
    if !by_line {
        request::expect_type(&parts.headers, &[JSON, NDJSON[0]])?;
    }
    let body = request::body(body).await?;
    let read = || {
        let batch = if by_line { split_lines(&body)? } else { split_json(&body)? };
        alerts_of(&shared, &tenant, &parts.headers, &batch).map(|alerts| (batch.is_one, alerts))
    };
    let (is_one, alerts) = read().inspect_err(|_| count("invalid", 1))?;
    let trace = publish::trace_of(&parts.headers);
    let ready = |(alert, index): &(Alert, Option<usize>)| {
        publish::ready(alert, trace).map_err(|problem| at_index(problem, *index))
    };
    let messages = alerts.iter().map(ready).collect::<Result<_, _>>().inspect_err(|_| count("invalid", 1))?;
    publish::publish(&shared, messages).await?;

    let named = |alert: &Alert| json!({"id": alert.id.as_str(), "version": alert.version});
    let answer = match alerts.as_slice() {
        [(alert, _)] if is_one => {
            json!({"id": alert.id.as_str(), "version": alert.version, "status": "accepted"})
        }
        _ => {
            let all: Vec<Value> = alerts.iter().map(|(alert, _)| named(alert)).collect();
            json!({"accepted": all.len(), "alerts": all})
        }
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// What a body holds, each with its place: the element of the array, or the line.
#[derive(Debug)]
struct Batch<'a> {
    alerts: Vec<(usize, &'a RawValue)>,
    /// A single object, which is answered as one. An array of one is several.
    is_one: bool,
}

fn split_json(body: &[u8]) -> Result<Batch<'_>, Problem> {
    if !body.trim_ascii_start().starts_with(b"[") {
        let one = serde_json::from_slice(body).map_err(|error| request::not_json(&error))?;
        return Ok(Batch { alerts: vec![(0, one)], is_one: true });
    }
    let Elements(elements) = serde_json::from_slice(body).map_err(|error| request::not_json(&error))?;
    match elements {
        ControlFlow::Continue(elements) => {
            Ok(Batch { alerts: elements.into_iter().enumerate().collect(), is_one: false })
        }
        ControlFlow::Break(TooMany) => Err(too_many()),
    }
}

fn split_lines(body: &[u8]) -> Result<Batch<'_>, Problem> {
    let mut alerts = Vec::new();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue; // A line break at the end, or one too many.
        }
        if alerts.len() == ALERTS_MAX {
            return Err(too_many());
        }
        alerts.push((
            at,
            serde_json::from_slice(line).map_err(|error| request::not_json(&error).at_index(at))?,
        ));
    }
    match alerts.is_empty() {
        true => Err(Problem::malformed("The body has no line with an alert.")),
        false => Ok(Batch { alerts, is_one: false }),
    }
}

fn too_many() -> Problem {
    Problem::too_large(format!("A request has at most {ALERTS_MAX} alerts: send several."))
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
                f.write_str("an array of alerts")
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

/// Validates all. An alert of several keeps its place, for the problem that names it.
fn alerts_of(
    shared: &Shared,
    tenant: &Tenant,
    headers: &HeaderMap,
    batch: &Batch<'_>,
) -> Result<Vec<(Alert, Option<usize>)>, Problem> {
    let key = idempotency_key(headers)?;
    let now = shared.ingest.clock.now();
    let mut alerts = Vec::with_capacity(batch.alerts.len());
    for &(at, raw) in &batch.alerts {
        let index = (!batch.is_one).then_some(at);
        let id = match (key, index) {
            (Some(key), None) => id_of(key)?,
            (Some(key), Some(at)) => id_of(&format!("{key}.{at}"))?,
            (None, _) => id_of(&(shared.ingest.new_id)().to_string())?,
        };
        let defaults = Defaults { tenant: Some(tenant.clone()), id: Some(id), now };
        let alert = alert_of(raw.get(), &defaults, &shared.ingest.policies);
        alerts.push((alert.map_err(|problem| at_index(problem, index))?, index));
    }
    Ok(alerts)
}

fn alert_of(json: &str, defaults: &Defaults, policies: &Policies) -> Result<Alert, Problem> {
    if json.len() > ALERT_BYTES_MAX {
        return Err(publish::alert_too_large(json.len()));
    }
    let alert = parse_alert(json.as_bytes(), defaults)
        .map_err(|error| Problem::invalid(error.field, error.problem))?;
    check_policy(alert.policy.as_deref(), policies)?;
    Ok(alert)
}

/// Refuses a policy that does not exist: under another one people would be told too late.
pub fn check_policy(name: Option<&str>, policies: &Policies) -> Result<(), Problem> {
    match name {
        Some(name) if policies.get(name).is_none() => {
            let known: Vec<&str> = policies.names().collect();
            Err(Problem::invalid("policy", format!("must be one of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    // The draft standard writes it as a string in quotes; most clients do not.
    let text = given.to_str().map(|text| text.trim().trim_matches('"'));
    text.map(Some).map_err(|_| Problem::invalid("Idempotency-Key", "must be ASCII"))
}

fn id_of(text: &str) -> Result<AlertId, Problem> {
    request::name("Idempotency-Key", text, |text| AlertId::parse(text))
}

fn at_index(problem: Problem, index: Option<usize>) -> Problem {
    match index {
        Some(index) => problem.at_index(index),
        None => problem,
    }
}

/// The alert as clients are shown it, and how many hold it. An alert that was accepted a moment ago may not be
/// recorded yet.
pub async fn show(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    path: RawPath,
) -> Result<Response, Problem> {
    let id = request::path("id", path, |text| AlertId::parse(text))?;
    let stored = shared.ingest.store.alert(&tenant, &id).await.map_err(|error| store_problem(&error))?;
    let stored = stored.ok_or_else(unknown)?;
    // Written by `content_of`; should it ever not be JSON, that is the store's problem, not the producer's.
    let content: Value = serde_json::from_str(&stored.content)
        .map_err(|_| store_problem(&StoreError::Unreadable { what: "content" }))?;
    let answer = json!({
        "alert": content,
        "recorded_at": stored.recorded_at.to_string(),
        "recipients": stored.recipients,
        "seen": stored.seen,
    });
    Ok(Json(answer).into_response())
}

/// The answer to an id that is not there, or not this tenant's, which must look the same (I8).
pub fn unknown() -> Problem {
    Problem::not_found(
        "No alert of this id is recorded for this API key. One accepted a moment ago may be soon.",
    )
}

/// What happened to an alert, for one user or for the first of its recipients.
pub async fn timeline(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    path: RawPath,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = request::path("id", path, |text| AlertId::parse(text))?;
    let query = request::query(&uri, &["user", "limit"])?;
    let limit = request::limit(&query, TIMELINE_RECIPIENTS, TIMELINE_RECIPIENTS_MAX)?;
    let user =
        query.get("user").map(|user| request::name("user", user, |text| UserId::parse(text))).transpose()?;
    let store = &shared.ingest.store;
    let stored = store.latest(&tenant, &id).await.map_err(|error| store_problem(&error))?;
    stored.ok_or_else(unknown)?;
    let recipients =
        store.timeline(&tenant, &id, user.as_ref(), limit).await.map_err(|error| store_problem(&error))?;
    let recipients: Vec<Value> = recipients.iter().map(recipient_json).collect();
    Ok(Json(json!({ "recipients": recipients })).into_response())
}

fn recipient_json(recipient: &Recipient) -> Value {
    let entry =
        |entry: &watchbell::store::TimelineEntry| json!({"at": entry.at.to_string(), "what": entry.what});
    json!({
        "user": recipient.user.as_str(),
        "state": recipient.state.as_str(),
        "seq": recipient.seq,
        "stopped": recipient.stopped,
        "due_at": recipient.due_at.map(|at| at.to_string()),
        "entries": recipient.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
