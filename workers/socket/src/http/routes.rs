//! The routes of this worker, each once. `openapi.json` has the same ones; a test compares.
//!
//! A handler asks for the parts that it needs ([`axum::extract::State`]), and gets nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    http::{Method, StatusCode, header},
    routing::{MethodRouter, delete, get, options, post, put},
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use watchbell::runtime::Clock;

use crate::{
    config::MountConfig,
    entry::{
        sign_in::SignIn,
        upgrade::{self, Upgrades},
    },
    feed::inbox::Inbox,
    http::{
        asyncapi,
        devices::{self, Devices},
        inbox, mounts,
        poll::{self, Polls},
        preferences::{self, Preferences},
        topics,
        unsubscribe::{self, UnsubscribeLinks},
    },
};

/// What this worker answers, as OpenAPI 3.1; mounts are an operator's own.
pub const OPENAPI: &str = include_str!("../../openapi.json");

/// How long a browser may remember what it may ask.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// The parts that handlers may ask for. Only the router has all of them.
#[derive(Clone, FromRef)]
pub(crate) struct RouteState {
    pub(crate) upgrades: Arc<Upgrades>,
    pub(crate) polls: Arc<Polls>,
    pub(crate) sign_in: SignIn,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Clock,
    pub(crate) devices: Devices,
    pub(crate) preferences: Preferences,
    pub(crate) unsubscribe: UnsubscribeLinks,
}

/// Every route but the mounts, once.
pub(crate) fn table() -> Vec<(Method, &'static str, MethodRouter<RouteState>)> {
    vec![
        (Method::GET, "/v1/ws", get(upgrade::ws)),
        (Method::GET, "/v1/sse", get(upgrade::sse)),
        (Method::GET, "/v1/poll", get(poll::poll)),
        (Method::GET, "/v1/topics/{topic}/events", get(topics::events)),
        (Method::GET, "/v1/inbox", get(inbox::inbox)),
        (Method::POST, "/v1/inbox/receipts", post(inbox::receipts)),
        (Method::GET, "/v1/preferences", get(preferences::get)),
        (Method::PUT, "/v1/preferences", put(preferences::put)),
        (Method::GET, "/v1/devices", get(devices::list)),
        (Method::GET, "/v1/devices/{device}", get(devices::one)),
        (Method::PUT, "/v1/devices/{device}", put(devices::put)),
        (Method::DELETE, "/v1/devices/{device}", delete(devices::delete)),
        (Method::GET, "/v1/webpush/key", get(devices::webpush_key)),
        (Method::GET, "/v1/unsubscribe/{token}", get(unsubscribe::ask)),
        (Method::POST, "/v1/unsubscribe/{token}", post(unsubscribe::end)),
        (Method::GET, "/asyncapi.json", get(asyncapi::document)),
    ]
}

/// All routes, with the mounts. Pages of `allowed_origins` may read the answers.
pub(crate) fn routes(state: RouteState, mounts: &[MountConfig], allowed_origins: &[String]) -> Router {
    let paths: BTreeSet<&str> = table().into_iter().map(|(_, path, _)| path).collect();
    let routes =
        table().into_iter().fold(Router::new(), |routes, (_, path, handler)| routes.route(path, handler));
    // `OPTIONS` is a method of each, so that CORS, which answers it, is asked before any answer to a wrong method.
    let preflight = || options(|| async { StatusCode::NO_CONTENT });
    paths
        .into_iter()
        .fold(routes, |routes, path| routes.route(path, preflight()))
        .merge(mounts::routes(mounts))
        .layer(cors(allowed_origins))
        .with_state(state)
}

/// Which pages may read our answers: those that may connect.
fn cors(allowed_origins: &[String]) -> CorsLayer {
    let origins = allowed_origins.iter().filter_map(|origin| origin.parse().ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .max_age(PREFLIGHT_MAX_AGE)
}
