//! The dead letters of `up` over HTTP, for whoever has a key with the scope `operations`.
//!
//! There is one queue of them for all tenants, so the key must be of the tenant that runs this `up`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, FromRequestParts, State},
    http::request::Parts,
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;
use watchbell::{
    broker::SharedBroker,
    domain::{Scope, Tenant},
    runtime::http::{BodyRules, FailureKind, JsonBody, Query, limit},
    store::Store,
    wire::Problem,
};
use watchbell_ingest::{ApiKeys, Producer};

use super::{Done, LOOK_MAX, Listed, Request, act, look, show};

/// A list of ids.
enum Orders {}

impl BodyRules for Orders {
    const BYTES_MAX: usize = 1024 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &[];
}

/// `GET` looks, `POST` acts.
pub(crate) fn routes(broker: SharedBroker, store: Store, keys: Arc<ApiKeys>, tenant: Tenant) -> Router {
    let shared = Shared { broker, store, keys, tenant };
    Router::new().route("/operations/dead", get(list).post(post)).with_state(shared)
}

#[derive(Clone)]
struct Shared {
    broker: SharedBroker,
    store: Store,
    keys: Arc<ApiKeys>,
    tenant: Tenant,
}

impl FromRef<Shared> for SharedBroker {
    fn from_ref(shared: &Shared) -> Self {
        shared.broker.clone()
    }
}

/// Whoever asks may look after the dead letters.
struct Operator(Producer);

impl FromRequestParts<Shared> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let producer = shared.keys.producer_of(&parts.headers, None, Scope::Operations).await?;
        match producer.tenant == shared.tenant {
            true => Ok(Self(producer)),
            false => Err(Problem::forbidden(format!(
                "Dead letters are of all tenants: only a key of the tenant `{}` may look after them.",
                shared.tenant
            ))),
        }
    }
}

/// Which letters to look at: those of a name, whole, or the first so many.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) id: Option<String>,
    pub(crate) limit: Option<u64>,
}

async fn list(
    _: Operator,
    State(broker): State<SharedBroker>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed>, Problem> {
    listed(&broker, wanted).await.map(Json)
}

/// The letters that are wanted.
///
/// # Errors
/// The number is out of bounds, or the broker cannot say.
pub(crate) async fn listed(broker: &SharedBroker, wanted: Wanted) -> Result<Listed, Problem> {
    let found = match wanted.id {
        Some(name) => show(broker, &name).await,
        None => look(broker, limit(wanted.limit, LOOK_MAX, LOOK_MAX)?).await,
    };
    found.map_err(|error| problem_of(&error))
}

async fn post(
    Operator(producer): Operator,
    State(shared): State<Shared>,
    JsonBody(request, _): JsonBody<Request, Orders>,
) -> Result<Json<Done>, Problem> {
    acted(&shared.broker, &shared.store, &producer, &shared.tenant, &request).await.map(Json)
}

/// Acts on letters, and leaves the entry of it in the audit log of the operators' tenant.
///
/// # Errors
/// The broker cannot be asked.
pub(crate) async fn acted(
    broker: &SharedBroker,
    store: &Store,
    operator: &Producer,
    tenant: &Tenant,
    request: &Request,
) -> Result<Done, Problem> {
    let done = act(broker, request, |_, _| {}).await.map_err(|error| problem_of(&error))?;
    let change = done.audited(request.action, Some(tenant));
    // What was done is done: it is answered, also where it cannot be noted.
    if let Err(error) = store.by(operator.actor()).note_change(&change, Timestamp::now()).await {
        warn!(%error, "What was done about dead letters is not in the audit log");
    }
    Ok(done)
}

/// Only the broker can fail here. An operator is told what it said.
fn problem_of(error: &anyhow::Error) -> Problem {
    Problem { detail: Some(format!("{error:#}")), ..FailureKind::BrokerUnavailable.problem() }
}
