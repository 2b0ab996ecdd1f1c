//! `POST /v1/topics/{topic}/events`: short-lived facts for whoever subscribed.

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use watchbell::{
    domain::{Event, Tenant, Topic, topic::bounds::EVENT_BYTES_MAX},
    runtime::http::NameInPath,
    wire::{MessageKind, Problem, event::EventDefaults, parse_event},
};

use crate::{
    App, Shared,
    answers::{AcceptedEvent, AcceptedEvents, EventName},
    batch::{self, Batch, Form, at_index},
    count::What,
    publish::{self, ReadyMessage},
    request,
    trace::trace_of,
};

/// Accepts one event, an array or NDJSON for one topic. 202 when the broker has confirmed all of them.
pub async fn accept(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    NameInPath(topic): NameInPath<Topic>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let body = request::whole_body(body).await?;
    let (form, body) = form
        .unwrapped(&parts.headers, body, MessageKind::Event)
        .inspect_err(|_| What::Event.count("invalid", 1))?;
    let read = || {
        let batch = Batch::read(What::Event, form, &body)?;
        let defaults = EventDefaults {
            tenant: Some(tenant.clone()),
            topic: Some(topic),
            id: None,
            now: shared.ingest.clock.now(),
        };
        Ok((batch.is_one, events_of(&shared, &parts.headers, form, &batch, &defaults)?))
    };
    let (is_one, events) = read().inspect_err(|_: &Problem| What::Event.count("invalid", 1))?;
    let (events, messages): (Vec<Event>, Vec<ReadyMessage>) = events.into_iter().unzip();
    publish::publish(&shared, &tenant, What::Event, messages).await?;

    let answer = match events.as_slice() {
        [event] if is_one => {
            Json(AcceptedEvent { id: event.id.to_string(), status: "accepted" }).into_response()
        }
        _ => {
            let events: Vec<EventName> =
                events.iter().map(|event| EventName { id: event.id.to_string() }).collect();
            Json(AcceptedEvents { accepted: events.len(), events }).into_response()
        }
    };
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

/// Validates all, each with the message it becomes.
fn events_of(
    shared: &Shared,
    headers: &HeaderMap,
    form: Form,
    batch: &Batch<'_>,
    defaults: &EventDefaults,
) -> Result<Vec<(Event, ReadyMessage)>, Problem> {
    let key = batch::idempotency_key(headers)?;
    let trace = trace_of(headers);
    let mut events = Vec::with_capacity(batch.items.len());
    for &(at, raw) in &batch.items {
        let index = (!batch.is_one).then_some(at);
        let id = batch::id_of(key, index, &shared.ingest.new_id)?;
        let plain = form.plain(raw.get(), MessageKind::Event).map_err(|problem| at_index(problem, index))?;
        let event = event_of(&plain, &EventDefaults { id: Some(id), ..defaults.clone() });
        let event = event.map_err(|problem| at_index(problem, index))?;
        let message =
            publish::ready_event(&event, trace.as_ref()).map_err(|problem| at_index(problem, index))?;
        events.push((event, message));
    }
    Ok(events)
}

fn event_of(json: &str, defaults: &EventDefaults) -> Result<Event, Problem> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(What::Event.too_large(json.len()));
    }
    parse_event(json.as_bytes(), defaults).map_err(|error| Problem::invalid(error.field, error.problem))
}
