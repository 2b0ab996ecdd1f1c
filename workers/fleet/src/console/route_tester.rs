//! Which route a sample takes, whom it is for and by which policy: `POST /console/api/routes/try`. It publishes nothing.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell::{
    runtime::http::{BodyRules, JsonBody},
    wire::Problem,
};
use watchbell_ingest::{Producer, Setting, routes_of_sample, try_out as try_hook};

use super::shared::{Shared, apart};

/// A sample.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    /// The hook that it would be posted to; none: it is an alert, or only its labels.
    hook: Option<String>,
    /// What would stand behind the hook's address.
    #[serde(default)]
    query: String,
    /// The body, as it would be posted.
    body: String,
}

/// As long as a post that somebody pastes into a page.
pub(super) enum Pasted {}

impl BodyRules for Pasted {
    const BYTES_MAX: usize = 1024 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

/// What it would become.
#[derive(Serialize)]
pub(super) struct Tried {
    /// What each alert of a hook's post would become.
    alerts: Vec<Value>,
    /// A line for each route that was looked at, and for what follows; for a sample without a hook.
    lines: Vec<String>,
}

pub(super) async fn try_out(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
    JsonBody(sample, _): JsonBody<Sample, Pasted>,
) -> Result<Json<Tried>, Problem> {
    apart(move || tried(&shared, &operator, &sample).map(Json)).await
}

fn tried(shared: &Shared, operator: &Producer, sample: &Sample) -> Result<Tried, Problem> {
    let setting = Setting {
        hooks: &shared.hooks,
        routes: &shared.routes,
        policies: &shared.policies,
        tenant: &operator.tenant,
        query: sample.query.strip_prefix('?').unwrap_or(&sample.query),
        now: Timestamp::now(),
    };
    let body = sample.body.as_bytes();
    Ok(match sample.hook.as_deref().filter(|hook| !hook.is_empty()) {
        Some(hook) => Tried { alerts: try_hook(hook, body, setting)?, lines: Vec::new() },
        None => Tried { alerts: Vec::new(), lines: routes_of_sample(body, setting)? },
    })
}
