//! The page of the console. Its source is `web/console`; what is in `page/` is built from it and committed, so that a checkout
//! without Node builds.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Redirect},
    routing::get,
};

/// The page loads nothing from elsewhere and runs nothing that is not in its files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// `/console` and its files, which are for everybody and say nothing.
pub(super) fn routes() -> Router {
    let file =
        |content_type: &'static str, text: &'static str| get(move || async move { file(content_type, text) });
    Router::new()
        .route("/console", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/console/", get(|| async { Redirect::permanent("/console") }))
        .route("/console/console.css", file("text/css; charset=utf-8", include_str!("page/console.css")))
        .route("/console/console.js", file("text/javascript; charset=utf-8", include_str!("page/console.js")))
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}
