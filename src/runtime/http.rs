//! The HTTP listener every worker's routes hang on, and the operations endpoints.

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Health;
use crate::wire::Problem;

/// How long open requests may take to end after the listener closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// `/healthz`: the process runs. `/readyz`: it should get traffic. `/metrics`: Prometheus text.
pub fn operations(health: Health, metrics: PrometheusHandle) -> Router {
    let ready = move || {
        let health = health.clone();
        async move {
            match health.obstacles().await.as_slice() {
                [] => (StatusCode::OK, "ready\n".to_owned()),
                obstacles => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", obstacles.join("\n"))),
            }
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }))
}

/// Serves `routes` until `shutdown`, then lets open requests end within [`CLOSE_TIMEOUT`]. Handlers may ask for
/// `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    info!(%address, "HTTP listens on {address}");
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let listener = axum::serve::ListenerExt::tap_io(listener, |tcp| {
        // Frames are small and late ones are worthless: never wait to fill a packet.
        if let Err(error) = tcp.set_nodelay(true) {
            warn!(%error, "A connection keeps Nagle's delay");
        }
    });
    let stopping = shutdown.clone();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { stopping.cancelled().await });
    within_after(serving.into_future(), shutdown, CLOSE_TIMEOUT).await.unwrap_or(Ok(()))
}

/// `work`, cut off `limit` after `shutdown` fired.
async fn within_after<T>(
    work: impl Future<Output = T>,
    shutdown: CancellationToken,
    limit: Duration,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = async { shutdown.cancelled().await; tokio::time::sleep(limit).await } => None,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Text and numbers always serialize.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
