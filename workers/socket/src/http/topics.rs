//! `GET /v1/topics/{topic}/events?limit=`: what was kept of a topic.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use watchbell::{
    domain::{Topic, TopicKey, topic::bounds::KEEP_MAX},
    runtime::http::{Path, Query, limit, name},
    store::TOPIC_BYTES_MAX,
    wire::Problem,
};

use crate::{feed::inbox::Inbox, http::answers::KeptEvents, token::Identity};

/// Events given when no number is asked for.
pub(crate) const LIMIT_DEFAULT: usize = 50;
/// Events given at the most: no topic keeps more.
pub(crate) const LIMIT_MAX: usize = KEEP_MAX as usize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    limit: Option<usize>,
}

pub(crate) async fn events(
    State(inbox): State<Inbox>,
    identity: Identity,
    Path(topic): Path<String>,
    Query(page): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let room = inbox.room_for_a_page(&identity.user).await?;
    let events = kept(&inbox, &identity, &topic, limit, TOPIC_BYTES_MAX).await?;
    Ok(room.json(&KeptEvents { topic, events }))
}

/// A topic that this person may read.
pub(crate) fn key(identity: &Identity, topic: &str) -> Result<TopicKey, Problem> {
    let topic: Topic = name("topic", topic)?;
    match identity.may_read(&topic) {
        true => Ok(TopicKey::new(identity.user.tenant.clone(), topic)),
        false => Err(Problem::forbidden("your token does not allow this topic")),
    }
}

/// The last events of a topic, oldest first, for whoever may read it (I8): the newest that have `bytes_max` together.
pub(crate) async fn kept(
    inbox: &Inbox,
    identity: &Identity,
    topic: &str,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Box<RawValue>>, Problem> {
    let key = key(identity, topic)?;
    let kept = inbox.kept_events(&key, limit, bytes_max).await?;
    Ok(kept.json().map(ToOwned::to_owned).collect())
}
