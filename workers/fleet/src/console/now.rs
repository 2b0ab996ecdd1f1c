//! Who is signed in, and what happens now: `GET /console/api/session` and `/console/api/now`.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use watchbell::runtime::health::Report;
use watchbell_ingest::Producer;

use super::{
    process_name::ProcessName,
    samples::{Charts, SAMPLE_EVERY},
    sessions::Operator,
    shared::Shared,
};

/// Who is signed in, and what they may do.
#[derive(Serialize)]
pub(super) struct SessionAnswer {
    /// What their key is called.
    name: String,
    /// Its id: the audit log has `key:ID`.
    key: String,
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
        name: operator.name,
        key: producer.maker.key.to_string(),
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
