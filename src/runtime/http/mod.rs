//! What every process serves over HTTP: the listener, the operations endpoints, problems as answers.

mod client_address;
mod listener;
mod openapi;
mod proxy_protocol;

pub use client_address::{ClientAddress, Network};
pub use listener::{Listening, Taken, serve, take_over};
pub use openapi::{merged as merged_openapi, routes as openapi};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;

use super::Health;
use crate::wire::Problem;

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
