//! The pages that links in messages lead to: a form and a style, and nothing else may run in them.

use axum::{
    http::header,
    response::{Html, IntoResponse as _, Response},
};

/// What a browser may do with such a page.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";

/// A page with this title and content. Both are HTML: what is not ours in them is escaped.
pub(crate) fn page(title: &str, content: &str) -> Response {
    let style = "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}button{font:inherit;padding:.5rem 1rem}";
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title><style>{style}</style><h1>{title}</h1>{content}</html>"
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(html)).into_response()
}
