//! Streams under a team's existing addresses (`[[mount]]`): the parameters of the path become topics.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{FromRef, State},
    response::Response,
    routing::get,
};
use serde::Deserialize;
use watchbell::{
    runtime::http::{Path, Query},
    store::TOPIC_BYTES_MAX,
    wire::Problem,
};

use crate::{
    config::{MountConfig, MountShape},
    entry::{
        query::StreamQuery,
        sign_in::SignIn,
        upgrade::{Opening, Upgrades, no_head},
    },
    feed::inbox::Inbox,
    http::topics,
    session::mount::Mount,
    token::Identity,
};

/// The routes of all mounts.
pub(crate) fn routes<S>(mounts: &[MountConfig]) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Upgrades>: FromRef<S>,
    Inbox: FromRef<S>,
    SignIn: FromRef<S>,
{
    mounts.iter().fold(Router::new(), |routes, config| {
        let config = Arc::new(config.clone());
        let path = config.path.clone();
        match config.shape {
            MountShape::History => routes
                .route(&path, get(move |state, path, query, who| history(config, state, path, query, who))),
            MountShape::Frames | MountShape::Bare => routes.route(
                &path,
                get(move |state, path, query, opening| stream(config, state, path, query, opening))
                    .head(no_head),
            ),
        }
    })
}

async fn stream(
    config: Arc<MountConfig>,
    State(upgrades): State<Arc<Upgrades>>,
    Path(parameters): Path<HashMap<String, String>>,
    Query(query): Query<StreamQuery>,
    opening: Opening,
) -> Result<Response, Problem> {
    let mount = Arc::new(Mount::of(&config, &parameters));
    upgrades.enter_mount(opening, query, mount).await
}

/// How many events are wanted. The address is a team's own, and so are the programs that ask there: other parameters are passed
/// over, and any number is taken for the nearest that is given.
#[derive(Deserialize)]
struct HistoryQuery {
    limit: Option<usize>,
}

/// The kept events of a mount's topics, as a JSON array, oldest first of each. Several topics share the bytes of one.
async fn history(
    config: Arc<MountConfig>,
    State(inbox): State<Inbox>,
    Path(parameters): Path<HashMap<String, String>>,
    Query(page): Query<HistoryQuery>,
    identity: Identity,
) -> Result<Response, Problem> {
    let room = inbox.room_for_a_page(&identity.user).await?;
    let mount = Mount::of(&config, &parameters);
    let share = TOPIC_BYTES_MAX / mount.topics().len().max(1);
    let limit = page.limit.unwrap_or(topics::LIMIT_DEFAULT).clamp(1, topics::LIMIT_MAX);
    let mut kept = Vec::new();
    for topic in mount.topics() {
        kept.extend(topics::kept(&inbox, &identity, topic, limit, share).await?);
    }
    Ok(room.json(&kept))
}
