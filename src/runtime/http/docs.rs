//! `/docs` and `/docs/session`: one page that shows this process's OpenAPI and AsyncAPI documents to people.
//!
//! What holds here: the page is one file without external parts. It fetches this process's own documents and puts what they say
//! on screen as text only; its policy lets nothing run but the script in it, by the script's hash.

use std::sync::LazyLock;

use axum::{
    Router,
    http::header,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

/// The HTTP API.
pub(super) const HTTP: &str = "/docs";
/// Frames of sessions, and messages on the broker.
pub(super) const SESSION: &str = "/docs/session";

const PAGE: &str = include_str!("docs.html");

/// What the page may do.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (hash_of("style"), hash_of("script"));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The source expression for what stands in the page's one element of this name
/// (<https://www.w3.org/TR/CSP3/#grammardef-hash-source>).
fn hash_of(element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let inside = PAGE.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let inside = inside.map_or("", |(inside, _)| inside);
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(inside)))
}

pub(super) fn routes() -> Router {
    let without_slash = |path: &'static str| get(move || async move { Redirect::permanent(path) });
    Router::new()
        .route(HTTP, get(page))
        .route(SESSION, get(page))
        .route("/docs/", without_slash(HTTP))
        .route("/docs/session/", without_slash(SESSION))
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(PAGE)).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn an_address_with_a_slash_leads_to_the_one_without() {
        for page in [HTTP, SESSION] {
            let request = Request::get(format!("{page}/")).body(Body::empty()).unwrap();
            let answer = routes().oneshot(request).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
                (308, page)
            );
        }
    }

    #[test]
    fn the_page_is_one_file_whose_policy_names_what_is_in_it() {
        for element in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert_ne!(hash_of(element), hash_of("no such element"), "{element} is not empty");
        }
        for outside in ["http://", "https://", " src=", "<link", "@import", "innerHTML", "style=", " onclick"]
        {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
