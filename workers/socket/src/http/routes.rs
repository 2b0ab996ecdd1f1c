//! The routes of this worker, each once, with what the OpenAPI document says of it.
//!
//! A handler asks for the parts that it needs ([`axum::extract::State`]), and gets nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    http::{HeaderValue, Method, StatusCode, header},
    middleware,
    response::Response,
    routing::{MethodRouter, delete, get, options, post, put},
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use watchbell::runtime::{Clock, http::operation::Operation};

use crate::{
    config::MountConfig,
    entry::{
        origin::{OriginCheck, refuse_foreign_pages},
        sign_in::SignIn,
        upgrade::{self, Upgrades},
    },
    feed::inbox::Inbox,
    http::{
        activities,
        answer_links::{self, AnswerLinkReader},
        asyncapi,
        devices::{self, Devices},
        inbox, mounts, openapi,
        poll::{self, Polls},
        preferences::{self, Preferences},
        push_receipts::PushReceiptReader,
        topics,
        unsubscribe::{self, UnsubscribeLinks},
    },
    pod::limits::{ReceiptTurns, SearchTurns},
};

/// How long a browser may remember what it may ask.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// The parts that handlers may ask for. Only the router has all of them.
#[derive(Clone, FromRef)]
pub(crate) struct RouteState {
    pub(crate) upgrades: Arc<Upgrades>,
    pub(crate) polls: Arc<Polls>,
    pub(crate) sign_in: SignIn,
    pub(crate) inbox: Inbox,
    pub(crate) receipt_turns: Arc<ReceiptTurns>,
    pub(crate) search_turns: Arc<SearchTurns>,
    pub(crate) clock: Clock,
    pub(crate) devices: Devices,
    pub(crate) preferences: Preferences,
    pub(crate) unsubscribe: UnsubscribeLinks,
    pub(crate) answer_links: AnswerLinkReader,
    pub(crate) push_receipts: PushReceiptReader,
}

/// One route, with what the OpenAPI document says of it.
struct Route {
    method: Method,
    path: &'static str,
    /// Whether it opens to a user's credentials, which a browser sends along for any page. The others take none.
    has_user: bool,
    handler: MethodRouter<RouteState>,
    operation: Operation,
}

/// What this worker answers, as OpenAPI 3.1; mounts are an operator's own.
pub fn openapi() -> String {
    let routes = table().into_iter();
    let document = routes.fold(openapi::document(), |document, route| {
        document.route(&route.method, route.path, route.operation)
    });
    document.to_json()
}

/// Every route but the mounts, once.
fn table() -> Vec<Route> {
    let route = |method, path, handler, operation| Route { method, path, has_user: true, handler, operation };
    let open = |method, path, handler, operation| Route {
        has_user: false,
        ..route(method, path, handler, operation)
    };
    vec![
        route(Method::GET, "/v1/ws", get(upgrade::ws).head(upgrade::no_head), openapi::ws()),
        route(Method::GET, "/v1/sse", get(upgrade::sse).head(upgrade::no_head), openapi::sse()),
        route(Method::GET, "/v1/poll", get(poll::poll).head(upgrade::no_head), openapi::poll()),
        route(Method::GET, "/v1/topics/{topic}/events", get(topics::events), openapi::events()),
        route(Method::GET, "/v1/inbox", get(inbox::inbox), openapi::inbox()),
        route(Method::GET, "/v1/inbox/categories", get(inbox::categories), openapi::categories()),
        route(Method::POST, "/v1/inbox/receipts", post(inbox::receipts), openapi::receipts()),
        route(Method::GET, "/v1/preferences", get(preferences::get), openapi::preferences()),
        route(Method::PUT, "/v1/preferences", put(preferences::put), openapi::put_preferences()),
        route(Method::GET, "/v1/devices", get(devices::list), openapi::devices()),
        route(Method::GET, "/v1/devices/{device}", get(devices::one), openapi::device()),
        route(Method::PUT, "/v1/devices/{device}", put(devices::put), openapi::put_device()),
        route(Method::DELETE, "/v1/devices/{device}", delete(devices::delete), openapi::delete_device()),
        route(
            Method::PUT,
            "/v1/devices/{device}/activities/{alert}",
            put(activities::put),
            openapi::put_activity(),
        ),
        route(
            Method::DELETE,
            "/v1/devices/{device}/activities/{alert}",
            delete(activities::delete),
            openapi::delete_activity(),
        ),
        route(Method::POST, "/v1/devices/{device}/test", post(devices::test), openapi::test_device()),
        route(Method::GET, "/v1/webpush/key", get(devices::webpush_key), openapi::webpush_key()),
        open(Method::GET, "/v1/unsubscribe/{token}", get(unsubscribe::ask), openapi::ask_to_unsubscribe()),
        open(Method::POST, "/v1/unsubscribe/{token}", post(unsubscribe::end), openapi::unsubscribe()),
        open(Method::GET, "/v1/answers/{token}", get(answer_links::ask), openapi::ask_to_answer()),
        open(Method::POST, "/v1/answers/{token}", post(answer_links::answer), openapi::answer()),
        open(Method::GET, "/asyncapi.json", get(asyncapi::document), openapi::asyncapi()),
    ]
}

/// All routes, with the mounts. Pages of `allowed_origins` may read the answers.
pub(crate) fn routes(
    state: RouteState,
    origins: OriginCheck,
    mounts: &[MountConfig],
    allowed_origins: &[String],
) -> Router {
    let paths: BTreeSet<&str> = table().into_iter().map(|route| route.path).collect();
    let add = |routes: Router<RouteState>, route: Route| routes.route(route.path, route.handler);
    let (of_users, open): (Vec<Route>, Vec<Route>) = table().into_iter().partition(|route| route.has_user);
    let of_users = of_users.into_iter().fold(mounts::routes(mounts), add);
    let of_users = of_users.layer(middleware::from_fn_with_state(Arc::new(origins), refuse_foreign_pages));
    let routes = open.into_iter().fold(of_users, add);
    // `OPTIONS` is a method of each, so that CORS, which answers it, is asked before any answer to a wrong method.
    let preflight = || options(|| async { StatusCode::NO_CONTENT });
    paths
        .into_iter()
        .fold(routes, |routes, path| routes.route(path, preflight()))
        .layer(middleware::map_response(for_one_person))
        .layer(cors(allowed_origins))
        .with_state(state)
}

/// What is one person's is kept by nobody on the way, and is nothing but what we say it is.
async fn for_one_person(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
