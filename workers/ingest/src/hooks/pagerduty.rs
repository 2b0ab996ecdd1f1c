//! `POST /v1/hooks/pagerduty`: PagerDuty's Events API, version 2
//! (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>).
//!
//! Programs that speak it know one secret, `routing_key`, and no headers; so our API key may stand there. One in the
//! headers wins, and then `routing_key` says nothing. Many of them let only a base address be set and put `/v2/enqueue`
//! behind it, so the hook has that address, too.
//!
//! What holds here:
//! - A key in the headers is looked at first, so that such a request has its tenant's room. One whose key may be in the
//!   body has a place among strangers, which cannot be kept from others.
//! - `dedup_key` is the alert's id, or what the id is made from.
//! - A `resolve` or an `acknowledge` needs only the key. Whatever stands in its payload never refuses it.
//! - An event for a key that is not stored is published all the same: its trigger may still be on its way, and must
//!   not fire for ever.

use std::net::Ipv4Addr;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tracing::Instrument as _;
use uuid::Uuid;
use watchbell::{
    domain::{Scope, Secret, Severity, Status},
    runtime::http::{ClientAddress, read_body_within},
    wire::Problem,
};

use super::{
    accept::{expect_json, json_of, tell_of},
    fit,
    lenient::{self, at, first_text, first_time, text},
    report::{Key, Post, Report},
    shape,
    tell::Became,
};
use crate::{
    App, Shared,
    answers::PagerDutyAccepted,
    auth::{Producer, has_key},
    count::What,
    limits::{HOOK_BODY_BYTES_MAX, NAMELESS_BODY_TIMEOUT},
    request, trace,
};

/// What ids are made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d35_1c0a_6b92_4f4e_a1c8_03de_5f96_b274);

/// Accepts one event, and answers as PagerDuty does.
pub async fn accept(State(shared): App, uri: Uri, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    expect_json(&parts.headers)?;
    let keys = &shared.ingest.keys;
    let (event, producer, _room) = if has_key(&parts.headers) {
        let producer = keys.producer_of(&parts.headers, None, Scope::Alerts).await?;
        let (body, room) =
            request::body_in_room(&shared, &producer.tenant, body, HOOK_BODY_BYTES_MAX).await?;
        (take_key(json_of(&parts.headers, &body)?)?.0, producer, room)
    } else {
        let body = nameless_body(&shared, parts.extensions.get(), body).await?;
        let (event, in_body) = take_key(json_of(&parts.headers, &body)?)?;
        let producer = keys.producer_of(&parts.headers, in_body, Scope::Alerts).await?;
        let room = request::room_for(&shared, &producer.tenant, body.len())?;
        (event, producer, room)
    };
    let mut span = trace::begin(&mut parts);
    let answer = accept_event(&shared, &producer, &event, &uri, &parts.headers).instrument(span.log()).await;
    trace::end(&mut span, answer.as_ref().map_or_else(|problem| problem.status, |it| it.status().as_u16()));
    answer
}

/// The same, once it is known whose it is.
async fn accept_event(
    shared: &Shared,
    producer: &Producer,
    event: &Value,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    shape::expect("pagerduty", event)?;
    let dedup_key = key_of(event);
    let made = || (shared.ingest.new_id)().to_string();
    let post = read(event, dedup_key.as_deref(), made).inspect_err(|_| What::Alert.count("invalid", 1))?;
    let (dedup_key, report) = post;
    let answers = tell_of(shared, producer, "pagerduty", uri, headers, Post::one(report)).await?;
    let mut notes = Vec::new();
    for answered in answers {
        if let Became::Refused(problem) = answered.became {
            return Err(problem);
        }
        notes = answered.notes;
    }
    let answer = PagerDutyAccepted { status: "success", message: "Event processed", dedup_key, notes };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// A body of which it is not known yet whose it is: nobody else's room is taken for it, it has little time, and gives way
/// when others come.
async fn nameless_body(
    shared: &Shared,
    client: Option<&ClientAddress>,
    body: Body,
) -> Result<Bytes, Problem> {
    // Without a listener there is no address.
    let address = client.map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0);
    let waiter = shared.nameless_bodies.enter(address);
    tokio::select! {
        body = read_body_within(body, HOOK_BODY_BYTES_MAX, NAMELESS_BODY_TIMEOUT) => body,
        () = waiter.has_to_go() => Err(request::no_room_to_read()),
    }
}

/// The event, and apart from it the key, so that nothing else can hold it.
fn take_key(event: Value) -> Result<(Value, Option<Secret>), Problem> {
    let Value::Object(mut event) = event else {
        return Err(Problem::malformed("The body must be an event: a JSON object."));
    };
    let key = match event.remove("routing_key") {
        Some(Value::String(key)) if !key.is_empty() => Some(Secret::from(key)),
        _ => None,
    };
    Ok((Value::Object(event), key))
}

/// Any text is a key, blanks too; none is no key.
pub(super) fn key_of(event: &Value) -> Option<String> {
    match at(event, "dedup_key").or_else(|| at(event, "incident_key"))? {
        Value::String(key) => (!key.is_empty()).then(|| key.clone()),
        other => lenient::text_of(other),
    }
}

/// What an event says, and the key of its alert; `made` makes one for a trigger without.
///
/// # Errors
/// 422 for an event that says neither which alert it is about nor anything to tell.
pub(super) fn read(
    event: &Value,
    dedup_key: Option<&str>,
    made: impl FnOnce() -> String,
) -> Result<(String, Report), Problem> {
    let status = status_of(event)?;
    let dedup_key = match (dedup_key, status) {
        (Some(key), _) => key.to_owned(),
        (None, Status::Firing) => made(),
        (None, _) => return Err(Problem::invalid("dedup_key", "is missing: it says which trigger is meant")),
    };
    let key = Key::named(&dedup_key, &NAMESPACE);
    let given = |name: &str| first_text(event, &[&format!("payload.{name}"), name]);
    let summary = given("summary").or_else(|| text(event, "description"));
    let (source, class) = (given("source"), given("class"));
    let title = summary.or_else(|| class.clone()).or_else(|| source.clone());
    let title = match (title, status) {
        (Some(title), _) => title,
        (None, Status::Firing) => {
            return Err(Problem::invalid("payload.summary", "is missing: a trigger has it"));
        }
        (None, _) => dedup_key.clone(),
    };
    let severity = match (given("severity"), status) {
        (Some(word), _) => lenient::severity(&word),
        // PagerDuty calls people at once for a trigger that does not say.
        (None, Status::Firing) => Severity::Critical,
        (None, _) => Severity::Warning,
    };
    let mut report = Report::new(key, status, severity, title);
    let client_url = fit::url(text(event, "client_url"));
    let details = at(event, "payload.custom_details").or_else(|| at(event, "details"));
    report.source = text(event, "client").or_else(|| source.clone());
    report.category = class.clone();
    report.occurred_at = first_time(event, &["payload.timestamp", "timestamp"]);
    let links = lenient::list(event, "links").iter().filter_map(|link| fit::url(text(link, "href")));
    report.url = links.chain(client_url.clone()).next();
    report.links = lenient::list(event, "links").iter().filter_map(named_link).collect();
    let mut images = lenient::list(event, "images").iter().filter_map(|image| fit::url(text(image, "src")));
    report.image = images.find(|image| image.starts_with("https://"));
    report.body = details.and_then(lenient::text_of);
    report.data = vec![
        ("client_url", json!(client_url)),
        ("custom_details", details.filter(|_| report.body.is_none()).cloned().unwrap_or_default()),
    ];
    for (label, value) in
        [("source", source), ("component", given("component")), ("group", given("group")), ("class", class)]
    {
        if let Some(value) = value {
            report.labels.insert(label.into(), value);
        }
    }
    report.is_change = status != Status::Firing;
    Ok((dedup_key, report))
}

/// A link with what its button says. One without a text has no button; the first is the alert's link all the same.
fn named_link(link: &Value) -> Option<(String, String)> {
    Some((text(link, "text")?, fit::url(text(link, "href"))?))
}

/// A trigger is what says nothing else; a word that PagerDuty does not have is taken for the nearest.
fn status_of(event: &Value) -> Result<Status, Problem> {
    let word = first_text(event, &["event_action", "event_type"]);
    match word {
        Some(word) => Ok(lenient::status(&word)),
        None if at(event, "payload").is_some() || at(event, "description").is_some() => Ok(Status::Firing),
        None => Err(Problem::invalid("event_action", "must be trigger, acknowledge or resolve")),
    }
}

#[cfg(test)]
#[path = "pagerduty_tests.rs"]
mod tests;
