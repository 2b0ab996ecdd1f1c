//! `GET /v1/topics/{topic}/events?limit=`: what was kept of a topic.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use watchbell::{
    domain::{Topic, TopicKey, topic::bounds::KEEP_MAX},
    wire::Problem,
};

use crate::{
    Identity, Socket,
    entry::extract::{Path, Query},
    http::inbox::store_problem,
};

/// Events given when no number is asked for.
const LIMIT_DEFAULT: usize = 50;

#[derive(Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
}

pub(crate) async fn events(
    State(socket): State<Socket>,
    identity: Identity,
    Path(topic): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let events = kept(&socket, &identity, &topic, &page).await?;
    Ok(Json(json!({"topic": topic, "events": events})).into_response())
}

/// A topic that this person may read.
pub(crate) fn key(identity: &Identity, topic: &str) -> Result<TopicKey, Problem> {
    let topic = Topic::parse(topic).map_err(|error| Problem::invalid("topic", error.to_string()))?;
    match identity.may_read(&topic) {
        true => Ok(TopicKey::new(identity.user.tenant.clone(), topic)),
        false => Err(Problem::forbidden("your token does not allow this topic")),
    }
}

/// The last events of a topic, oldest first, for whoever may read it (I8).
pub(crate) async fn kept(
    socket: &Socket,
    identity: &Identity,
    topic: &str,
    page: &Page,
) -> Result<Vec<Box<RawValue>>, Problem> {
    let key = key(identity, topic)?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, KEEP_MAX.into());
    let kept = socket.0.store.topic_events(&key, limit).await.map_err(store_problem)?;
    // `encode_event` wrote them, so they are JSON.
    Ok(kept.iter().filter_map(|event| serde_json::from_str(event).ok()).collect())
}
