//! What every process serves over HTTP: the listener, the operations endpoints; how requests are read, and what is
//! answered to those that cannot be served.

mod address_prefix;
mod answer_budget;
mod body;
mod client_address;
mod client_scheme;
mod docs;
mod failure;
#[doc(hidden)] // For `fuzz/`.
pub mod fuzzing;
mod host;
mod listener;
mod metrics_page;
mod openapi;
pub mod operation;
mod path;
#[doc(hidden)] // For `fuzz/`.
pub mod proxy_protocol;
mod query;

pub use address_prefix::{AddressPrefix, ShareBounds};
pub use answer_budget::{
    ANSWER_BYTES_MAX, ANSWER_BYTES_MIN, AnswerBudget, AnswerBytes, NoRoom, PAGE_ANSWER_BYTES_MAX,
    PAGE_BYTES_TAKEN,
};
pub use body::{
    BodyRules, JsonBody, body_too_large, expect_media_type, expect_no_encoding, json_of, media_type,
    not_json, read_body, read_body_within,
};
pub use client_address::{ClientAddress, ClientAddressSource, Network};
pub use client_scheme::ClientScheme;
pub use failure::{Failure, FailureKind, RETRY_AFTER_S};
pub use host::{AllowedHosts, Host, only_for_hosts};
pub use listener::{
    ConnectionPlace, GivenBack, LateBody, Listening, NoPlace, Patience, Place, Places, Share, Shutdown,
    Standing as ConnectionStanding, Taken, serve, take_over,
};
pub use openapi::{merged as merged_openapi, routes as openapi};
pub use path::{Name, NameInPath, Path, name};
pub use query::{Query, limit, unreadable_query};

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use self::metrics_page::{METRICS_BYTES_MAX, within};
use super::health::{Health, Report, Standing};
use crate::{runtime::telemetry::Metrics, wire::Problem};

/// `/healthz`: the process runs. `/readyz`: it should get traffic, and if not, why (JSON). `/metrics`: Prometheus text of at most
/// 4 MiB.
pub fn operations(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(move || async move { ready(&health.report()) }))
        .route("/metrics", get(move || async move { within(metrics.render(), METRICS_BYTES_MAX) }))
}

/// 200 for whoever should get traffic, which a process that is degraded should.
fn ready(report: &Report) -> Response {
    let status = match report.status {
        Standing::Ready | Standing::Degraded => StatusCode::OK,
        Standing::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

/// Routes with an answer for everything else: what is not there is a problem document too.
pub fn with_fallbacks(routes: Router) -> Router {
    let address = || async { Problem::not_found("nothing is served at this address by this process") };
    let method = || async { Problem::wrong_method("the `Allow` header of this answer names those it has") };
    // Only where a worker did not choose an answer of its own.
    routes.method_not_allowed_fallback(method).fallback(address)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Text and numbers always serialize.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            // A 404 or 405 may be kept by whoever likes to, unless it says otherwise (RFC 9110, section 15.1).
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let mut response = (status, headers, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Only where that is what is wrong (RFC 9110, section 15.5.16).
        if self.is_of_encoding() {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        // The rest of the body is not read, so the connection cannot carry another request, and the client has to know.
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_not_there_is_a_problem_document() {
        let routes = Router::new().route("/there", get(|| async { "yes" }));
        for (method, path, status, allow) in [
            ("GET", "/there", 200, None),
            ("GET", "/elsewhere", 404, None),
            ("PUT", "/there", 405, Some("GET,HEAD")),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let answer = with_fallbacks(routes.clone()).oneshot(request).await.unwrap();
            let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!((answer.status().as_u16(), header(header::ALLOW)), (status, allow), "{method} {path}");
            let is_problem = header(header::CONTENT_TYPE) == Some("application/problem+json");
            assert_eq!(is_problem, status != 200, "{method} {path}");
        }
    }

    #[test]
    fn an_answer_to_a_body_that_is_not_read_closes_the_connection() {
        for (why, problem, closes) in [
            ("too long", body_too_large(1), true),
            ("read, and refused", Problem::invalid("title", "is missing"), false),
        ] {
            let answer = problem.into_response();
            let connection = answer.headers().get(header::CONNECTION).map(|value| value.to_str().unwrap());
            assert_eq!(connection, closes.then_some("close"), "{why}");
        }
    }
}
