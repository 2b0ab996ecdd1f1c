//! The page that `up` serves: people, a screen, a phone and a mailbox side by side, and a form that sends an alert.
//!
//! Its source is `web/demo`; what is in `demo/` is built from it and committed, so that a checkout without Node builds.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Redirect},
    routing::get,
};

use crate::demo_access::DemoAccess;

/// The page is ours alone: it loads nothing from elsewhere and runs nothing that is not in its files.
const POLICY: &str = "default-src 'self'; img-src 'self' https: data:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'";

/// The link to the console, as it stands in the page, and as it is shown.
const HIDDEN_LINK: &str = r#"href="/console" hidden"#;
const SHOWN_LINK: &str = r#"href="/console""#;

/// `/`, its files, its service worker (at the root, which it is to serve), and what `access` opens: `/demo.json`, and the
/// simulator under `/simulator`. The page links to the operators' console if that is at the same address.
pub(crate) fn routes(access: &DemoAccess, simulator: Router, has_console: bool) -> Router {
    let index = include_str!("demo/index.html");
    let index = if has_console { index.replace(HIDDEN_LINK, SHOWN_LINK) } else { index.to_owned() };
    let page = |content_type: &'static str, text: &'static str| {
        get(move || async move { file(content_type, text.to_owned()) })
    };
    Router::new()
        .route("/", get(move || async move { file("text/html; charset=utf-8", index) }))
        .route("/demo/demo.css", page("text/css; charset=utf-8", include_str!("demo/demo.css")))
        .route("/demo/demo.js", page("text/javascript; charset=utf-8", include_str!("demo/demo.js")))
        .route("/push-worker.js", page("text/javascript; charset=utf-8", include_str!("demo/push-worker.js")))
        .route("/favicon.ico", get(|| async { axum::http::StatusCode::NO_CONTENT }))
        .route("/simulator", get(|| async { Redirect::permanent("/simulator/") }))
        .nest("/simulator/", access.guard(simulator))
        .merge(access.routes())
}

fn file(content_type: &'static str, text: String) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}

#[test]
fn the_page_has_the_link_that_is_shown_where_the_console_is() {
    assert_eq!(include_str!("demo/index.html").matches(HIDDEN_LINK).count(), 1);
}
