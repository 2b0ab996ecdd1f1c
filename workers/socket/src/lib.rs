//! Socket: holds sessions, lights screens, replays what was missed, takes receipts, serves the user's HTTP API.
//!
//! What holds here:
//! - A session's frames come in `seq` order without holes: a hole is waited for a moment, then healed from the store (I3).
//! - A user sees their own inbox only: everything is keyed by the user of the token (I8).
//! - Every session's backlog is bounded; one that does not read gets one `resync` (I9).
//! - A pod can vanish: it keeps nothing that is not in the store.
//!
//! | file | what |
//! |---|---|
//! | `token/` | whose token is believed; keys read from an address |
//! | `frames/` | frames as they leave, filtered, gathered, and the epoch of their numbers |
//! | `pod/` | what the sessions of one pod share: the hub, live messages, presence, receipts, leaving |
//! | `feed/` | the changes of one inbox, in order and without gaps |
//! | `session/` | one session over WebSocket or SSE, from its first byte to its close |
//! | `entry/` | what a request must have to become a session |
//! | `http/` | the user's HTTP API, and the same session in single requests |
//! | `config.rs` | `[socket]` and `[[mount]]` |
//! | `fuzzing.rs` | ways in for `fuzz/` |
//! | `properties.rs` | what must hold whatever happens, tried with many seeds |

mod config;
mod entry;
mod feed;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod pod;
#[cfg(test)]
mod properties;
mod session;
pub mod token;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{Method, StatusCode, header},
    routing::{MethodRouter, delete, get, options, post, put},
};
use futures_util::future::BoxFuture;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::cors::{AllowOrigin, CorsLayer};
use watchbell::{
    broker::{LiveControl, SharedBroker},
    domain::{DeviceId, Timestamp},
    runtime::Clock,
    store::Store,
    wire::unsubscribe::Unsubscribe,
};

pub use config::{MountConfig, MountShape, SocketConfig, check_mounts};
use entry::upgrade;
use frames::epoch::Epochs;
use http::{asyncapi, devices, inbox, poll, preferences, topics, unsubscribe};
use pod::{
    heads::Heads,
    hub::Hub,
    leaving::Leaving,
    limits::{Addresses, Turns},
    mailbox::Backlog,
    presence::Presence,
    receipts::Receipts,
};
use session::mount;
pub use token::{Authenticator, Identity, TokenError};

/// What the worker is made of.
pub struct SocketParts {
    /// Carries live frames.
    pub broker: SharedBroker,
    /// The inboxes.
    pub store: Store,
    /// Whose tokens are believed.
    pub authenticator: Authenticator,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub config: SocketConfig,
    /// How long after it is told to leave a pod is still sent new sessions by balancers.
    pub leave_wait: Duration,
    /// Streams under other addresses.
    pub mounts: Vec<MountConfig>,
    /// For browsers that subscribe to pushes; none when they cannot.
    pub webpush: Option<BrowserPush>,
    /// Reads the unsubscribe links of emails; none when emails have none.
    pub unsubscribe: Option<Unsubscribe>,
    /// Ends when the store has the tables that this pod needs, or the process leaves. Until then the store is not told
    /// who is here; whoever asks for a session is turned away as by any store that does not answer.
    pub schema: BoxFuture<'static, ()>,
}

/// What browsers subscribe with, and where their push services may be.
#[derive(Debug, Clone)]
pub struct BrowserPush {
    /// The VAPID public key in base64url: `applicationServerKey`.
    pub public_key: String,
    /// Whether a push service may be in a private network.
    pub private_endpoints: bool,
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) broker: SharedBroker,
    pub(crate) store: Store,
    pub(crate) authenticator: Authenticator,
    pub(crate) clock: Clock,
    pub(crate) config: SocketConfig,
    pub(crate) mounts: Vec<MountConfig>,
    pub(crate) webpush: Option<BrowserPush>,
    pub(crate) unsubscribe: Option<Unsubscribe>,
    pub(crate) hub: Hub,
    pub(crate) heads: Heads,
    pub(crate) receipts: Receipts,
    pub(crate) addresses: Addresses,
    pub(crate) turns: Turns,
    pub(crate) presence: Presence,
    /// Which of the store's histories cursors are of.
    pub(crate) epochs: Epochs,
    pub(crate) started_at: Timestamp,
    pub(crate) leaving: Leaving,
    /// Every session's task, and every request that is to become one.
    pub(crate) sessions: TaskTracker,
}

/// The halves of a started worker.
pub struct Started {
    /// Its routes.
    pub routes: Router,
    /// Returns when the pod was told to leave and everybody has left. HTTP is to be served until then.
    pub leave: BoxFuture<'static, ()>,
    /// What sessions and requests need: runs until HTTP is not served any more.
    pub run: BoxFuture<'static, ()>,
    /// Knows whether it hears live frames.
    pub live: Arc<dyn LiveControl>,
}

/// Starts the worker. It needs nothing of the store yet: sessions that begin before the store is there are turned away.
/// `leaving` tells it to leave; `served` says that the last request was answered.
pub async fn start(parts: SocketParts, leaving: CancellationToken, served: CancellationToken) -> Started {
    let live = parts.broker.live().await;
    let control = live.control();
    let (receipts, receipt_queue) = Receipts::new();
    let (heads, heads_queue) = Heads::new();
    let turns = Turns::per_second(parts.config.accepts_per_second);
    let (started_at, leave_wait, schema) = (parts.clock.now(), parts.leave_wait, parts.schema);
    let socket = Socket(Arc::new(Inner {
        hub: Hub::new(
            live.control(),
            Backlog {
                frames_max: parts.config.backlog_frames_max,
                bytes_max: parts.config.backlog_bytes_max,
            },
        ),
        broker: parts.broker,
        store: parts.store,
        authenticator: parts.authenticator,
        clock: parts.clock,
        config: parts.config,
        mounts: parts.mounts,
        heads,
        webpush: parts.webpush,
        unsubscribe: parts.unsubscribe,
        receipts,
        addresses: Addresses::default(),
        turns,
        presence: Presence::default(),
        epochs: Epochs::default(),
        started_at,
        leaving: Leaving::when(leaving.clone()),
        sessions: TaskTracker::new(),
    }));
    let routes = routes(socket.clone());
    let leaver = socket.clone();
    let leave = async move { leaver.leave(leave_wait).await };
    let run = async move {
        tokio::join!(
            socket.clone().pump(live, served.clone()),
            socket.clone().watch(served.clone()),
            socket.clone().watch_epoch(served.clone()),
            socket.clone().read_heads(heads_queue, served.clone()),
            socket.clone().write_receipts(receipt_queue, served.clone()),
            async {
                schema.await;
                socket.clone().tell_presence(served.clone()).await;
            },
            socket.clone().let_go_of_partitions(served.clone()),
            socket.clone().rebalance(leaving),
            socket.0.authenticator.keep_keys(&served),
        );
    };
    Started { routes, leave: Box::pin(leave), run: Box::pin(run), live: control }
}

/// What this worker answers, as OpenAPI 3.1; mounts are an operator's own.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// Every route but the mounts, once. `openapi.json` has the same ones; a test compares.
fn table() -> Vec<(Method, &'static str, MethodRouter<Socket>)> {
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

fn routes(socket: Socket) -> Router {
    let paths: BTreeSet<&str> = table().into_iter().map(|(_, path, _)| path).collect();
    let routes =
        table().into_iter().fold(Router::new(), |routes, (_, path, handler)| routes.route(path, handler));
    // `OPTIONS` is a method of each, so that CORS, which answers it, is asked before any answer to a wrong method.
    let preflight = || options(|| async { StatusCode::NO_CONTENT });
    paths
        .into_iter()
        .fold(routes, |routes, path| routes.route(path, preflight()))
        .merge(mount::routes(&socket.0.mounts))
        .layer(cors(&socket.0.config))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(socket)
}

/// Which pages may read our answers: those that may connect.
fn cors(config: &SocketConfig) -> CorsLayer {
    let origins = config.allowed_origins.iter().filter_map(|origin| origin.parse().ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .max_age(PREFLIGHT_MAX_AGE)
}

/// How long a browser may remember what it may ask.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);
/// The longest request body of the user's API, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A device's id from a path.
pub(crate) fn device_id(raw: &str) -> Result<DeviceId, watchbell::wire::Problem> {
    DeviceId::parse(raw).map_err(|error| watchbell::wire::Problem::invalid("device", error.to_string()))
}
