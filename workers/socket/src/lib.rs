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
//! | `token.rs` | whose token is believed |
//! | `upgrade.rs` | the handshake: origin, limits, where the token may be |
//! | `session.rs` | one session, from `auth` to close |
//! | `order.rs` | frames in order: pure |
//! | `outbox.rs` | what waits for one session, bounded |
//! | `hub.rs` | who is connected here, and which partitions that needs |
//! | `pump.rs` | live messages to sessions |
//! | `watch.rs` | pings that carry the head, so that whoever missed something heals |
//! | `receipts.rs` | receipts to the store, batched, and to the user's other sessions |
//! | `api.rs` | inbox, receipts and devices over HTTP |

mod api;
mod hub;
mod order;
mod outbox;
mod pump;
mod receipts;
mod session;
pub mod token;
mod upgrade;
mod watch;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use watchbell::{
    broker::SharedBroker,
    domain::DeviceId,
    runtime::{Clock, config::SocketConfig},
    store::{Store, StoreError},
};

use hub::Hub;
use receipts::Receipts;
pub use token::{Authenticator, Identity};

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
    pub(crate) hub: Hub,
    pub(crate) receipts: Receipts,
    /// The store's epoch: part of every cursor.
    pub(crate) epoch: String,
    /// Fires when the pod begins to leave.
    pub(crate) leaving: CancellationToken,
    /// Every session's task.
    pub(crate) sessions: TaskTracker,
}

/// The halves of a started worker.
pub struct Started {
    /// Its routes.
    pub routes: Router,
    /// Its work: runs until the token given to [`start`] fires and the drain is over.
    pub run: futures_util::future::BoxFuture<'static, ()>,
}

/// Starts the worker.
///
/// # Errors
/// The store's epoch cannot be read.
pub async fn start(parts: SocketParts, shutdown: CancellationToken) -> Result<Started, StoreError> {
    let epoch = parts.store.epoch().await?;
    let live = parts.broker.live().await;
    let (receipts, receipt_queue) = Receipts::new();
    let socket = Socket(Arc::new(Inner {
        hub: Hub::new(live.control()),
        broker: parts.broker,
        store: parts.store,
        authenticator: parts.authenticator,
        clock: parts.clock,
        config: parts.config,
        receipts,
        epoch,
        leaving: shutdown.clone(),
        sessions: TaskTracker::new(),
    }));
    let routes = routes(socket.clone());
    let run = async move {
        let stop = CancellationToken::new();
        let helpers = async {
            tokio::join!(
                socket.clone().pump(live, stop.clone()),
                socket.clone().watch(stop.clone()),
                socket.clone().write_receipts(receipt_queue, stop.clone()),
                socket.clone().let_go_of_partitions(stop.clone()),
            );
        };
        let drain = async {
            shutdown.cancelled().await;
            socket.drain().await;
            // Only now: until the last session has left, frames and receipts go on.
            stop.cancel();
        };
        tokio::join!(helpers, drain);
    };
    Ok(Started { routes, run: Box::pin(run) })
}

fn routes(socket: Socket) -> Router {
    Router::new()
        .route("/v1/ws", get(upgrade::ws))
        .route("/v1/inbox", get(api::inbox))
        .route("/v1/inbox/receipts", post(api::receipts))
        .route("/v1/devices", get(api::devices))
        .route("/v1/devices/{device}", get(api::device).put(api::put_device).delete(api::delete_device))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(socket)
}

/// The longest request body of the user's API, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

impl Socket {
    /// Waits until every session has moved to another pod, or the drain window has passed and they are closed.
    async fn drain(&self) {
        let inner = &self.0;
        inner.sessions.close();
        info!(sessions = inner.sessions.len(), "Leaving: sessions are asked to move");
        // Sessions close themselves at the end of the window; a second more for the close to be written.
        let limit = inner.config.drain_window + std::time::Duration::from_secs(2);
        if tokio::time::timeout(limit, inner.sessions.wait()).await.is_err() {
            warn!(sessions = inner.sessions.len(), "Sessions were still open at the end of the drain window");
        }
    }
}

/// A device's id from a path.
pub(crate) fn device_id(raw: &str) -> Result<DeviceId, watchbell::wire::Problem> {
    DeviceId::parse(raw).map_err(|error| watchbell::wire::Problem::invalid("device", error.to_string()))
}
