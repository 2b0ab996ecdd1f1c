//! Streams under a team's existing addresses (`[[mount]]`): path parameters become topics.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;
use watchbell::{domain::Topic, runtime::http::ClientAddress, wire::Problem};

use crate::{
    Identity, Socket,
    config::{MountConfig, MountShape},
    entry::{
        extract::{Path, Query},
        upgrade::{self, StreamQuery},
    },
    http::topics,
};

/// One mount, for one request: its path parameters are filled in.
pub(crate) struct Mount {
    topics: Vec<String>,
    shape: MountShape,
}

impl Mount {
    fn of(config: &MountConfig, parameters: &HashMap<String, String>) -> Self {
        let fill = |topic: &String| {
            parameters
                .iter()
                .fold(topic.clone(), |topic, (name, value)| topic.replace(&format!("{{{name}}}"), value))
        };
        Self { topics: config.topics.iter().map(fill).collect(), shape: config.shape }
    }

    /// What its sessions subscribe to.
    pub(crate) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Whether events go out as they were published, without our envelope.
    pub(crate) fn is_bare(&self) -> bool {
        self.shape == MountShape::Bare
    }

    /// Whether this person may read all of its topics (I8).
    pub(crate) fn may_be_read_by(&self, identity: &Identity) -> bool {
        self.topics.iter().all(|topic| Topic::parse(topic).is_ok_and(|topic| identity.may_read(&topic)))
    }

    /// Old clients ask for the present state in words of their own: `refresh`, or an object whose `type`, `command` or
    /// `action` is that.
    pub(crate) fn means_refresh(&self, line: &str) -> bool {
        if !self.is_bare() {
            return false;
        }
        let line = line.trim();
        let said: Value = serde_json::from_str(line).unwrap_or_default();
        line == "refresh"
            || said == "refresh"
            || ["type", "command", "action"]
                .iter()
                .any(|field| said.get(field).is_some_and(|word| word == "refresh"))
    }
}

/// The routes of all mounts.
pub(crate) fn routes(mounts: &[MountConfig]) -> Router<Socket> {
    mounts.iter().fold(Router::new(), |routes, config| {
        let config = Arc::new(config.clone());
        let path = config.path.clone();
        match config.shape {
            MountShape::History => routes
                .route(&path, get(move |state, path, query, who| history(config, state, path, query, who))),
            MountShape::Frames | MountShape::Bare => routes.route(
                &path,
                get(move |state, client, path, query, headers| {
                    stream(config, state, client, path, query, headers)
                }),
            ),
        }
    })
}

async fn stream(
    config: Arc<MountConfig>,
    State(socket): State<Socket>,
    Extension(client): Extension<ClientAddress>,
    Path(parameters): Path<HashMap<String, String>>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mount = Arc::new(Mount::of(&config, &parameters));
    upgrade::mounted(&socket, client, query, &headers, mount).await
}

/// The kept events of a mount's topics, as a JSON array, oldest first.
async fn history(
    config: Arc<MountConfig>,
    State(socket): State<Socket>,
    Path(parameters): Path<HashMap<String, String>>,
    Query(page): Query<topics::Page>,
    identity: Identity,
) -> Result<Response, Problem> {
    let mut kept = Vec::new();
    for topic in Mount::of(&config, &parameters).topics() {
        kept.extend(topics::kept(&socket, &identity, topic, &page).await?);
    }
    Ok(Json(kept).into_response())
}
