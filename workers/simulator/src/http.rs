//! The simulator's own interface: `/arrivals`, `/faults` and the page; and small helpers for all of HTTP.
//!
//! What holds here: the page is one file without external parts, works under any prefix, and puts
//! what arrived on screen as text only.
//!
//! Elsewhere: the providers' interfaces, in `apns`, `oauth` and `fcm`.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::Shared;
use crate::arrivals::{Filter, SentMail};
use crate::extensions::RelayOffer;
use crate::faults::{Fault, FaultLists};

/// The longest body of `PUT /faults`.
const FAULTS_BODY_MAX: usize = 1024 * 1024;
/// The longest body read from a sender: far over what a provider takes, so that it can be refused properly.
const PUSH_BODY_MAX: usize = 64 * 1024;
/// Nothing is loaded from anywhere else; the page's own style and script are in it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";

/// What an email says may be anything: it is shown with its own style, runs nothing, and loads nothing but pictures that it brings.
const MAIL_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/arrivals", get(list_arrivals).delete(clear_arrivals))
        .route("/mail/{name}", get(mail))
        .route("/mail/{name}/source", get(mail_source))
        .route("/faults", get(list_faults).put(put_faults))
        .route("/relay", get(relay_offer).put(put_relay_offer))
        .layer(DefaultBodyLimit::max(FAULTS_BODY_MAX))
        .with_state(shared)
}

async fn page() -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, PAGE_POLICY), (header::CACHE_CONTROL, "no-store")];
    (policy, Html(include_str!("page.html"))).into_response()
}

/// How many were dropped for room is in the header `x-arrivals-dropped`.
async fn list_arrivals(
    State(shared): State<Arc<Shared>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Response {
    let filter = match filter {
        Ok(Query(filter)) => filter,
        Err(rejection) => return problem("That is not a filter", &rejection.body_text()),
    };
    let (list, dropped) = {
        let arrivals = shared.arrivals();
        (arrivals.list(&filter), arrivals.dropped())
    };
    ([("x-arrivals-dropped", dropped.to_string())], Json(list)).into_response()
}

/// How an email looks, at the address that its entry in `/arrivals` names.
async fn mail(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    of_mail(&shared, &name, |mail| Html(mail.html().to_owned()).into_response())
}

/// An email as it came over the wire, at the address that its entry in `/arrivals` names.
async fn mail_source(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    // As plain text, which a browser shows.
    let plain = [(header::CONTENT_TYPE, "text/plain"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    of_mail(&shared, &name, |mail| (plain, mail.bytes().clone()).into_response())
}

fn of_mail(shared: &Shared, name: &str, shown: impl FnOnce(&SentMail) -> Response) -> Response {
    let mail = shared.arrivals().mail_at(&format!("mail/{name}"));
    let policy = [(header::CONTENT_SECURITY_POLICY, MAIL_POLICY), (header::CACHE_CONTROL, "no-store")];
    match mail {
        Some(mail) => (policy, shown(&mail)).into_response(),
        None => (StatusCode::NOT_FOUND, policy, "There is no such email, or not any more.").into_response(),
    }
}

async fn clear_arrivals(State(shared): State<Arc<Shared>>) -> StatusCode {
    *shared.arrivals() = Default::default();
    StatusCode::NO_CONTENT
}

async fn list_faults(State(shared): State<Arc<Shared>>) -> Json<FaultLists> {
    Json(shared.faults.list())
}

async fn put_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match shared.faults.put(&body) {
        Ok(()) => Json(shared.faults.list()).into_response(),
        Err(why) => problem("Those are not faults", &why),
    }
}

/// What the mail relay offers.
async fn relay_offer(State(shared): State<Arc<Shared>>) -> Json<RelayOffer> {
    Json(shared.relay_offer.get())
}

/// For connections from now on.
async fn put_relay_offer(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<RelayOffer>(&body) {
        Ok(offer) => {
            shared.relay_offer.put(offer);
            Json(shared.relay_offer.get()).into_response()
        }
        Err(error) => problem("That is not an offer of a relay", &error.to_string()),
    }
}

/// A 400 as RFC 9457 has it.
pub(crate) fn problem(title: &str, detail: &str) -> Response {
    let body = json!({"type": "about:blank", "title": title, "status": 400, "detail": detail});
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string())
        .into_response()
}

/// A sender's body; none if it is longer than [`PUSH_BODY_MAX`] or breaks off.
pub(crate) async fn read_body(body: Body) -> Option<Bytes> {
    to_bytes(body, PUSH_BODY_MAX).await.ok()
}

/// What a load balancer in front of a provider answers: not the JSON that a sender may expect.
pub(crate) fn html_page(fault: &Fault) -> Response {
    let status =
        fault.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en><title>Error {status}</title>\n<p><b>{status}</b> Try again later.\n"
    );
    with_retry_after(fault, (status, Html(page)).into_response())
}

pub(crate) fn with_retry_after(fault: &Fault, mut response: Response) -> Response {
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
