//! HTTP for producers: validates, authenticates, publishes with confirms, answers 202.
//!
//! What holds here:
//! - 202 means that the broker confirmed every alert of the request (I1). Anything else means "nothing, or nobody
//!   knows", and repeating it with the same ids is safe (I2).
//! - All of a request is validated before any of it is published, by the parser dispatch will use (I11).
//! - The tenant comes from the API key and from nowhere else (I8); a key is neither logged nor answered (I12).
//! - Which scope a key needs stands in the row of its route, once.
//! - Overload is 503, never 429: Alertmanager would not repeat that. 429 is for a tenant whose alerts have more recipients than
//!   it may reach, and hooks hear 503 of that, too.
//! - No tenant takes the whole of what all share ([`shares`]), and nobody takes any of it by what it only announces (I16).
//!
//! Elsewhere: the alert's format and its bounds in `watchbell::wire`, the OpenAPI document in `openapi`.

mod alert_list;
mod alerts;
mod answers;
mod api_keys;
mod audit;
mod auth;
mod batch;
mod config;
mod count;
mod erase;
mod events;
mod explain;
mod explanation;
mod export;
#[doc(hidden)] // For `fuzz/`.
pub mod fuzzing;
mod groups;
mod hooks;
pub mod key;
mod key_uses;
mod known;
mod limits;
mod mail_events;
mod metric_table;
mod openapi;
mod pace;
mod patch;
mod people;
mod publish;
mod questions;
mod request;
mod shares;
#[cfg(test)]
mod tests;
mod trace;
mod users;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    handler::Handler,
    http::Method,
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use uuid::Uuid;
use watchbell::{
    broker::SharedBroker,
    domain::{Scope, Tenant, policy::Policies},
    runtime::{
        Clock,
        http::{AnswerBudget, operation::Operation},
        memory::MemoryBudgets,
        rate_limit::{Rate, RateLimiter},
        traces,
        waiting_room::WaitingRoom,
    },
    store::Store,
};

pub use alert_list::place_of;
pub use api_keys::ApiKeys;
pub use auth::Producer;
pub use config::IngestConfig;
pub use explanation::{ExplainedAlert, Explanation, LeftOutAlert, MayRead, Question, ToldObstacle, explain};
pub use hooks::{
    ConfiguredHooks, HookAudienceConfig, HookConfig, NOTES, OneOrSeveral, RouteConfig, Routes, Setting,
    check_hooks, routes_of_sample, try_out,
};
pub use limits::EXPLAINED_PER_PAGE_MAX;
pub use mail_events::{signatures::MailSignatures, sns::Sns};
pub use metric_table::METRICS;

use hooks::HOOKS;
use limits::Limits;
use pace::Pace;
use questions::Questions;
use shares::Shares;

/// What this worker needs.
#[derive(Clone)]
pub struct Ingest {
    /// Where alerts go.
    pub broker: SharedBroker,
    /// People and stored alerts.
    pub store: Store,
    /// Who may ask.
    pub keys: Arc<ApiKeys>,
    /// The names an alert may give as its policy.
    pub policies: Arc<Policies>,
    /// For alerts that do not say when they happened.
    pub clock: Clock,
    /// For alerts without an id.
    pub new_id: NewId,
    /// Other products' alerts, read by an operator's expressions.
    pub hooks: Arc<ConfiguredHooks>,
    /// Whom the alerts of hooks are for, by their labels.
    pub routes: Arc<Routes>,
    /// Alerts and events that one tenant may publish each second; `None`: any number.
    pub rate_per_tenant: Option<NonZeroU32>,
    /// Recipients that the alerts of one tenant may have each second; `None`: any number.
    pub recipients_per_tenant: Option<NonZeroU32>,
    /// How many bytes of bodies may be held.
    pub memory: MemoryBudgets,
    /// Memory for pages.
    pub answers: AnswerBudget,
    /// Whose keys may tell of every tenant's mails that came back: whom the account at the mail provider belongs to.
    pub mail_events_tenant: Option<Tenant>,
    /// Opens what Amazon posts.
    pub sns: Arc<Sns>,
    /// Checks what the other mail providers sign.
    pub mail_signatures: Arc<MailSignatures>,
}

/// Makes the id of an alert that has none. A parameter, so that tests know it beforehand.
pub type NewId = Arc<dyn Fn() -> Uuid + Send + Sync>;

impl Ingest {
    /// With UUIDv7 for alerts without an id: they sort by time, which databases like.
    pub fn new(broker: SharedBroker, store: Store, policies: Arc<Policies>, clock: Clock) -> Self {
        Self {
            broker,
            keys: Arc::new(ApiKeys::new(store.clone(), clock.clone())),
            store,
            policies,
            clock,
            new_id: Arc::new(Uuid::now_v7),
            hooks: Arc::default(),
            routes: Arc::default(),
            rate_per_tenant: None,
            recipients_per_tenant: None,
            memory: MemoryBudgets::default(),
            answers: AnswerBudget::default(),
            mail_events_tenant: None,
            sns: Arc::default(),
            mail_signatures: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The routes of this worker, to be served or merged with others'.
pub fn router(ingest: Ingest) -> Router {
    let limits = Limits::within(&ingest.memory);
    router_within(ingest, limits, Entrance::Key)
}

/// The same routes, without those of hooks and of events, for whoever was let in already: a request has its [`Producer`] as an
/// extension, and no key of its own is looked at. For the operators' console.
pub fn router_for_known(ingest: Ingest) -> Router {
    let limits = Limits::within(&ingest.memory);
    router_within(ingest, limits, Entrance::Known)
}

/// How those who ask are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    /// By the key of their request.
    Key,
    /// Somebody before the routes has found out.
    Known,
}

fn router_within(ingest: Ingest, limits: Limits, entrance: Entrance) -> Router {
    let shared = Arc::new(Shared {
        publishes: Shares::new(limits.publishes_in_flight_max),
        nameless_bodies: WaitingRoom::new(limits::HOOK_BODIES_MAX, limits::HOOK_BODIES_SHARE),
        body_bytes: Shares::new(limits.body_bytes_in_flight_max),
        publish_deadline: limits.publish_deadline,
        questions: Questions::default(),
        rate: rate_limiter(ingest.rate_per_tenant, limits::RATE_AHEAD_MAX),
        recipients: rate_limiter(ingest.recipients_per_tenant, limits::RECIPIENTS_AHEAD_MAX),
        pace: Pace::new(ingest.recipients_per_tenant),
        ingest,
    });
    let mut router = Router::new();
    for Route { path, access, scope, handler, .. } in routes() {
        if entrance == Entrance::Known {
            if access == Access::ApiKey && scope != Scope::Events {
                let admitted = handler.route_layer(from_fn_with_state(Arc::clone(&shared), request::admit));
                router =
                    router.route(path, admitted.route_layer(from_fn_with_state(scope, auth::enter_known)));
            }
            continue;
        }
        let lock = auth::Lock { shared: Arc::clone(&shared), scope };
        // Outermost last: measured, then authenticated, then let in, then traced where anybody wants that.
        let with_key = |handler: MethodRouter<Arc<Shared>>| {
            let handler = match traces::is_on() {
                true => handler.route_layer(from_fn(trace::follow)),
                false => handler,
            };
            handler
                .route_layer(from_fn_with_state(Arc::clone(&shared), request::admit))
                .route_layer(from_fn_with_state(lock, auth::enter))
        };
        let handler = match access {
            Access::ApiKey => with_key(handler),
            Access::InAddress => with_key(handler).route_layer(from_fn(hooks::accept::key_from_address)),
            Access::RoutingKey => handler.route_layer(from_fn(hooks::accept::key_from_address)),
        };
        router = router.route(path, handler.route_layer(from_fn(measure)));
    }
    router.method_not_allowed_fallback(request::wrong_method).with_state(shared)
}

/// An account for each tenant; `None` where any number may be taken.
fn rate_limiter(per_second: Option<NonZeroU32>, ahead_max: Duration) -> Option<TenantRates> {
    let rate = Rate::per_second(per_second?.get()).ahead(ahead_max);
    Some(RateLimiter::new(rate, limits::RATE_TENANTS_MAX))
}

type TenantRates = RateLimiter<Tenant, tokio::time::Instant>;

/// What the handlers share.
struct Shared {
    ingest: Ingest,
    /// How much each tenant may publish; `None`: any number.
    rate: Option<TenantRates>,
    /// How many recipients its alerts may have; `None`: any number.
    recipients: Option<TenantRates>,
    /// How fast a tenant's alerts go to the broker beside those of others.
    pace: Pace,
    /// A permit for each alert that is being published.
    publishes: Arc<Shares>,
    /// A place for each body that is read before its key is known.
    nameless_bodies: Arc<WaitingRoom>,
    /// A permit for each byte of body that is being read or worked on.
    body_bytes: Arc<Shares>,
    /// Who may ask the store about alerts before they are published.
    questions: Questions,
    publish_deadline: Duration,
}

type App = State<Arc<Shared>>;

/// One route, with what the OpenAPI document says of it.
struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    /// What the key must be for.
    scope: Scope,
    handler: MethodRouter<Arc<Shared>>,
    operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The producer's key, and so a tenant.
    ApiKey,
    /// The same, or the key is in the address.
    InAddress,
    /// The same, or the key is in the body: the handler looks.
    RoutingKey,
}

/// Every route, once.
fn routes() -> Vec<Route> {
    let of_product = |product: &'static hooks::Hook| {
        let accept =
            move |shared, tenant, uri, request| hooks::accept::accept(product, shared, tenant, uri, request);
        hook(Access::InAddress, product.path, accept, openapi::hooks::of_product(product))
    };
    let others = vec![
        keyed(Scope::Alerts, Method::POST, "/v1/alerts", alerts::accept, openapi::alerts::publish()),
        keyed(Scope::Read, Method::GET, "/v1/alerts", alert_list::list, openapi::alerts::list()),
        keyed(Scope::Read, Method::GET, "/v1/alerts/{id}", alerts::show, openapi::alerts::show()),
        keyed(Scope::Alerts, Method::PATCH, "/v1/alerts/{id}", patch::patch, openapi::alerts::patch()),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/alerts/{id}/timeline",
            alerts::timeline,
            openapi::alerts::timeline(),
        ),
        keyed(
            Scope::Events,
            Method::POST,
            "/v1/topics/{topic}/events",
            events::accept,
            openapi::alerts::publish_events(),
        ),
        hook(
            Access::RoutingKey,
            "/v1/hooks/pagerduty",
            hooks::pagerduty::accept,
            openapi::hooks::pagerduty("pagerduty", ""),
        ),
        hook(
            Access::RoutingKey,
            "/v1/hooks/pagerduty/v2/enqueue",
            hooks::pagerduty::accept,
            openapi::hooks::pagerduty(
                "pagerdutyEnqueue",
                " For clients that put this path behind a base address.",
            ),
        ),
        hook(
            Access::InAddress,
            "/v1/hooks/{hook}",
            hooks::accept::accept_configured,
            openapi::hooks::configured(),
        ),
        Route {
            access: Access::InAddress,
            ..keyed(
                Scope::People,
                Method::POST,
                "/v1/mail-events/{provider}",
                mail_events::accept,
                openapi::people::mail_events(),
            )
        },
        keyed(Scope::Read, Method::GET, "/v1/users", users::list, openapi::people::list_users()),
        keyed(Scope::Read, Method::GET, "/v1/users/{user}", users::show, openapi::people::show_user()),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/users/{user}/export",
            export::export,
            openapi::people::export_user(),
        ),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/users/{user}/explain",
            explain::explain_user,
            openapi::people::explain_user(),
        ),
        keyed(Scope::People, Method::PUT, "/v1/users/{user}", people::put_user, openapi::people::put_user()),
        keyed(Scope::People, Method::DELETE, "/v1/users/{user}", erase::erase, openapi::people::erase_user()),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/users/{user}/sessions",
            people::revoke_sessions,
            openapi::people::revoke_sessions(),
        ),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/users/{user}/devices",
            users::devices,
            openapi::people::user_devices(),
        ),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/users/{user}/devices",
            users::remove_devices,
            openapi::people::remove_user_devices(),
        ),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/users/{user}/devices/{device}",
            users::device,
            openapi::people::user_device(),
        ),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/users/{user}/devices/{device}",
            users::remove_device,
            openapi::people::remove_user_device(),
        ),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/users/{user}/addresses/{channel}/refusal",
            users::lift_refusal,
            openapi::people::lift_refusal(),
        ),
        keyed(Scope::Read, Method::GET, "/v1/groups", groups::list, openapi::people::list_groups()),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/groups/{group}",
            groups::delete,
            openapi::people::delete_group(),
        ),
        keyed(
            Scope::Read,
            Method::GET,
            "/v1/groups/{group}/members",
            people::members,
            openapi::people::members(),
        ),
        keyed(
            Scope::People,
            Method::PUT,
            "/v1/groups/{group}/members",
            people::change_members,
            openapi::people::change_members(),
        ),
        keyed(
            Scope::People,
            Method::DELETE,
            "/v1/groups/{group}/members",
            people::remove_members,
            openapi::people::remove_members(),
        ),
        keyed(Scope::Operations, Method::GET, "/v1/audit", audit::entries, openapi::audit::entries()),
    ];
    others.into_iter().chain(HOOKS.iter().map(of_product)).collect()
}

/// A route of a hook: it publishes alerts, and its key may stand elsewhere than in a header.
fn hook<H, T>(access: Access, path: &'static str, handler: H, operation: Operation) -> Route
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    Route { access, ..keyed(Scope::Alerts, Method::POST, path, handler, operation) }
}

/// A route that is reached with a key which has the scope.
fn keyed<H, T>(scope: Scope, method: Method, path: &'static str, handler: H, operation: Operation) -> Route
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("a method HTTP itself defines");
    let operation = operation.needs_scope(scope);
    Route { method, path, access: Access::ApiKey, scope, handler: on(filter, handler), operation }
}

/// The contract of the routes, as OpenAPI 3.1.
pub fn openapi() -> String {
    let routes = routes().into_iter();
    let document = routes.fold(openapi::document(), |document, route| {
        document.route(&route.method, route.path, route.operation)
    });
    document.to_json()
}

/// How long each request took. Labels of few values only: the route's pattern, never its address.
async fn measure(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str).to_owned();
    let status = response.status().as_u16().to_string();
    metrics::histogram!("watchbell_ingest_seconds", "route" => route, "status" => status)
        .record(begun.elapsed().as_secs_f64());
    response
}
