//! `POST /v1/hooks/pagerduty`: PagerDuty's Events API, version 2
//! (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>).
//!
//! Programs that speak it know one secret, `routing_key`, and no headers; so our API key may stand there. One in the
//! headers wins, and then `routing_key` says nothing.
//!
//! What holds here:
//! - `dedup_key` is the alert's id. A trigger while it is not resolved changes nothing, as at PagerDuty; one after that
//!   is its next version, and everybody is chased anew.
//! - The answer waits a moment for the record, so that a producer's next event finds what this one did.
//! - An event for a key that is not stored is published all the same: its trigger may still be on its way, and must
//!   not fire for ever.
//!
//! Elsewhere: how an event is translated in [`translate`].

mod translate;

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchbell::{
    domain::{Alert, Secret, Status, Tenant},
    store::LatestAlert,
    wire::{Problem, alert::Defaults},
};

use crate::{
    App, Shared, alerts, auth,
    count::What,
    hook::Query,
    limits::{HOOK_BODY_BYTES_MAX, RETRY_AFTER_S},
    patch, publish, request, store_problem,
};
use translate::{Action, Context, Event};

/// Accepts one event, and answers as PagerDuty does.
pub async fn accept(State(shared): App, uri: Uri, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    request::expect_type(&parts.headers, &["application/json"])?;
    let Ok(room) = shared.hook_bodies.try_acquire() else {
        return Err(Problem::unavailable("Too many requests are being read: send it again.", RETRY_AFTER_S));
    };
    let body = request::body_within(body, HOOK_BODY_BYTES_MAX).await?;
    drop(room);
    let (event, in_body) = take_key(&body)?;
    let tenant = auth::tenant_of_either(&shared, &parts.headers, in_body).await?;
    let mut event = read(event).inspect_err(|_| What::Alert.count("invalid", 1))?;

    let dedup_key = match event.dedup_key.take().filter(|key| !key.is_empty()) {
        Some(key) => key,
        None if event.action == Action::Trigger => (shared.ingest.new_id)().to_string(),
        None => return Err(Problem::invalid("dedup_key", "is missing: it says which trigger is meant")),
    };
    let next = next(&shared, tenant, &uri, &event, &dedup_key).await;
    let next = next.inspect_err(|problem| {
        if problem.status < 500 {
            What::Alert.count("invalid", 1);
        }
    })?;
    if let Some(alert) = next {
        let message = publish::ready(&alert, publish::trace_of(&parts.headers))?;
        publish::publish(&shared, &alert.tenant, What::Alert, vec![message]).await?;
        patch::recorded(&shared.ingest.store, &alert).await;
    }
    let answer = json!({"status": "success", "message": "Event processed", "dedup_key": dedup_key});
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// The event, and apart from it the key, so that nothing else can hold it.
fn take_key(body: &[u8]) -> Result<(Value, Option<Secret>), Problem> {
    #[derive(Deserialize)]
    struct Keyed {
        routing_key: Option<String>,
        #[serde(flatten)]
        event: Map<String, Value>,
    }
    let keyed: Keyed = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        // The reader's own words would repeat values.
        true => Problem::malformed("The body must be an event: a JSON object, whose routing_key is text."),
        false => request::not_json(&error),
    })?;
    let key = keyed.routing_key.filter(|key| !key.is_empty()).map(Secret::from);
    Ok((Value::Object(keyed.event), key))
}

fn read(event: Value) -> Result<Event, Problem> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "event_action".to_owned() } else { path };
        let detail = "is not what an event of the Events API, version 2, has there, or is missing";
        Problem::invalid(field, detail)
    })
}

/// The alert to publish; none when the event changes nothing.
async fn next(
    shared: &Shared,
    tenant: Tenant,
    uri: &Uri,
    event: &Event,
    dedup_key: &str,
) -> Result<Option<Alert>, Problem> {
    let query = Query::of(uri)?;
    alerts::check_policy(&tenant, query.policy.as_deref(), &shared.ingest.policies)?;
    if query.audience.is_empty() {
        let detail =
            "Nobody is named. Add ?users=ana,ben, ?groups=ops or ?everyone=true to the address of the hook.";
        return Err(Problem::invalid("to", detail));
    }
    let now = shared.ingest.clock.now();
    let id = translate::id_of(dedup_key)?;
    let context = Context { tenant: &tenant, query: &query, dedup_key, now };
    // Before the store is asked, so that a trigger that is wrong is told so also when it changes nothing.
    let told = translate::alert_of(&context, event, id.clone())?;
    let stored = shared.ingest.store.latest(&tenant, &id).await.map_err(|error| store_problem(&error))?;
    let before = stored.as_ref().map(|stored| (stored.version, status_of(stored)));
    let Some(version) = translate::next_version(event.action, before) else { return Ok(None) };
    match stored {
        // They say what happened to the alert, not what it is.
        Some(stored) if event.action != Action::Trigger => {
            let change = Map::from_iter([("status".to_owned(), event.action.status().as_str().into())]);
            patch::merged(&stored, &change, &Defaults { tenant: Some(tenant), id: Some(id), now }).map(Some)
        }
        Some(_) | None => Ok(Some(Alert { version, ..told })),
    }
}

/// What is stored was written by us; should it not be, it is taken to fire, and then it can be resolved.
fn status_of(stored: &LatestAlert) -> Status {
    #[derive(Deserialize)]
    struct Content {
        status: String,
    }
    let content = serde_json::from_str::<Content>(&stored.content).ok();
    content.and_then(|content| content.status.parse().ok()).unwrap_or(Status::Firing)
}
