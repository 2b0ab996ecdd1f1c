//! The dead letters of `up` over HTTP, for whoever has its producer key.

use axum::{
    Json, Router,
    extract::{FromRef, FromRequestParts, State},
    http::{header, request::Parts},
    routing::get,
};
use serde::{Deserialize, Serialize};
use watchbell::{
    broker::SharedBroker,
    domain::Secret,
    runtime::http::{BodyRules, FailureKind, JsonBody, Query},
    wire::Problem,
};

use super::{Done, LOOK_MAX, Listed, Request, act, look, show};

/// A list of ids.
enum Orders {}

impl BodyRules for Orders {
    const BYTES_MAX: usize = 1024 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &[];
}

/// `GET` looks, `POST` acts.
pub(crate) fn routes(broker: SharedBroker, key: Secret) -> Router {
    Router::new().route("/operations/dead", get(list).post(post)).with_state(Shared { broker, key })
}

#[derive(Clone)]
struct Shared {
    broker: SharedBroker,
    key: Secret,
}

impl FromRef<Shared> for SharedBroker {
    fn from_ref(shared: &Shared) -> Self {
        shared.broker.clone()
    }
}

/// Whoever asks has the producer key.
struct Operator;

impl FromRequestParts<Shared> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given.and_then(|given| given.strip_prefix("Bearer ")) {
            Some(given) if given == shared.key.expose() => Ok(Self),
            _ => Err(Problem::unauthorized(
                "Give the producer key of this `up`: `Authorization: Bearer wbk_…`. It is in `demo.json`.",
            )),
        }
    }
}

/// Which letters to look at: those of a name, whole, or the first so many.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) id: Option<String>,
    pub(crate) limit: Option<u64>,
}

async fn list(
    _: Operator,
    State(broker): State<SharedBroker>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed>, Problem> {
    let found = match wanted.id {
        Some(name) => show(&broker, &name).await,
        None => look(&broker, wanted.limit.unwrap_or(LOOK_MAX)).await,
    };
    found.map(Json).map_err(|error| problem_of(&error))
}

async fn post(
    _: Operator,
    State(broker): State<SharedBroker>,
    JsonBody(request, _): JsonBody<Request, Orders>,
) -> Result<Json<Done>, Problem> {
    let done = act(&broker, &request, |_, _| {}).await;
    done.map(Json).map_err(|error| problem_of(&error))
}

/// Only the broker can fail here. An operator is told what it said.
fn problem_of(error: &anyhow::Error) -> Problem {
    Problem { detail: Some(format!("{error:#}")), ..FailureKind::BrokerUnavailable.problem() }
}
