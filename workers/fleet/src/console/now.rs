//! Who is signed in, and what happens now: `GET /console/api/session` and `/console/api/now`.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use watchbell::{domain::Scope, runtime::health::Report};
use watchbell_ingest::Producer;

use super::{
    process_name::ProcessName,
    samples::{Charts, SAMPLE_EVERY},
    sessions::{Credential, Operator},
    shared::Shared,
};

/// Who is signed in, and what they may do.
#[derive(Serialize)]
pub(super) struct SessionAnswer {
    /// What their key is called, or the person.
    name: String,
    /// The id of the key; empty where somebody signed in without one.
    key: String,
    /// Who they are in the audit log.
    actor: String,
    /// Whether they may look at all tenants, and at what is of the whole installation.
    everywhere: bool,
    scopes: Vec<&'static str>,
    /// The tenant of the operators.
    operators: String,
    /// The tenant that is looked at.
    tenant: String,
    process: ProcessName,
}

pub(super) async fn session(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    Extension(producer): Extension<Producer>,
) -> Json<SessionAnswer> {
    Json(SessionAnswer {
        key: match &operator.credential {
            Credential::Key { .. } => producer.maker.key.to_string(),
            Credential::Person { .. } => String::new(),
        },
        everywhere: match &operator.credential {
            Credential::Key { .. } => true,
            Credential::Person { rights, .. } => rights.everywhere().has(Scope::Operations),
        },
        name: operator.name,
        actor: producer.actor().to_string(),
        scopes: producer.scopes().iter().map(|scope| scope.as_str()).collect(),
        operators: shared.tenant.to_string(),
        tenant: producer.tenant.to_string(),
        process: shared.process.clone(),
    })
}

/// What this process does.
#[derive(Serialize)]
pub(super) struct NowAnswer {
    process: ProcessName,
    every_s: u64,
    charts: Charts,
    readiness: Report,
}

pub(super) async fn now(State(shared): State<Arc<Shared>>) -> Json<NowAnswer> {
    Json(NowAnswer {
        process: shared.process.clone(),
        every_s: SAMPLE_EVERY.as_secs(),
        charts: shared.samples.charts(),
        readiness: shared.health.report(),
    })
}
