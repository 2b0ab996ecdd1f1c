//! The dead letters of `up` over HTTP, for whoever has its producer key.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use watchbell::{broker::SharedBroker, domain::Secret, wire::alert::read};

use super::{LOOK_MAX, Request, act, look, show};

/// The longest list of ids in one request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// `GET` looks, `POST` acts.
pub(crate) fn routes(broker: SharedBroker, key: Secret) -> Router {
    Router::new()
        .route("/operations/dead", get(list).post(post))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state((broker, key))
}

type Shared = State<(SharedBroker, Secret)>;

/// Which letters to look at: those of a name, whole, or the first so many.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) id: Option<String>,
    pub(crate) limit: Option<u64>,
}

async fn list(State((broker, key)): Shared, headers: HeaderMap, Query(wanted): Query<Wanted>) -> Response {
    if !is_operator(&headers, &key) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    answer(match wanted.id {
        Some(name) => show(&broker, &name).await,
        None => look(&broker, wanted.limit.unwrap_or(LOOK_MAX)).await,
    })
}

async fn post(State((broker, key)): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if !is_operator(&headers, &key) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let request: Request = match read("body", &body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    };
    answer(act(&broker, &request, |_, _| {}).await)
}

fn answer(outcome: anyhow::Result<impl Serialize>) -> Response {
    match outcome {
        Ok(outcome) => Json(outcome).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
    }
}

fn is_operator(headers: &HeaderMap, key: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|given| given == key.expose())
}
