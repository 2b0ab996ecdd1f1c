//! The dead letters: `GET` and `POST /console/api/dead`.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use watchbell::{
    runtime::http::{BodyRules, JsonBody, Query},
    wire::Problem,
};
use watchbell_ingest::Producer;

use super::shared::Shared;
use crate::dead::{self, Done, Listed, Request, Wanted};

/// A list of ids.
pub(super) enum Orders {}

impl BodyRules for Orders {
    const BYTES_MAX: usize = 1024 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed>, Problem> {
    dead::listed(&shared.broker, wanted).await.map(Json)
}

pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Extension(producer): Extension<Producer>,
    JsonBody(request, _): JsonBody<Request, Orders>,
) -> Result<Json<Done>, Problem> {
    dead::acted(&shared.broker, &shared.store, &producer, &shared.tenant, &request).await.map(Json)
}
