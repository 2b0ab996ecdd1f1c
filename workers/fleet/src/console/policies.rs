//! Policies on a time line: `GET /console/api/policies`, those that hold; `POST /console/api/policies/check`, one that is being
//! written. Policies live in the configuration file, so nothing is saved here: what was checked is pasted there.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Policy, Severity, Tenant, policy::Policies},
    runtime::{
        Config,
        http::{BodyRules, JsonBody},
    },
    wire::Problem,
};
use watchbell_fallback::{PreviewLine, preview};
use watchbell_ingest::Producer;

use super::shared::{Shared, apart};

/// The policies of a tenant.
#[derive(Serialize)]
pub(super) struct PoliciesAnswer {
    policies: BTreeMap<String, PolicyAnswer>,
    /// The words for channels that there are.
    channels: Vec<&'static str>,
    /// The words for what leaves a step out.
    unless: &'static [&'static str],
}

/// A policy, and what becomes of an alert of each severity.
#[derive(Serialize)]
pub(super) struct PolicyAnswer {
    mandatory: bool,
    expires_after_s: Option<u64>,
    group: &'static str,
    timelines: BTreeMap<&'static str, Vec<Line>>,
}

/// Something that happens.
#[derive(Serialize)]
struct Line {
    after_s: u64,
    channel: Option<&'static str>,
    tells: bool,
    what: String,
}

impl From<PreviewLine> for Line {
    fn from(line: PreviewLine) -> Self {
        let PreviewLine { after, channel, tells, what } = line;
        Self { after_s: after.as_secs(), channel: channel.map(|channel| channel.as_str()), tells, what }
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
) -> Json<PoliciesAnswer> {
    Json(answer_of(&shared, &shared.policies, &operator.tenant))
}

/// A text that may become a part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    toml: String,
}

/// A few policies.
pub(super) enum Written {}

impl BodyRules for Written {
    const BYTES_MAX: usize = 64 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
    JsonBody(draft, _): JsonBody<Draft, Written>,
) -> Result<Json<PoliciesAnswer>, Problem> {
    apart(move || {
        let policies = Config::policies_of_text(&draft.toml);
        let policies = policies.map_err(|error| Problem::invalid("toml", format!("{error:#}")))?;
        Ok(Json(answer_of(&shared, &policies, &operator.tenant)))
    })
    .await
}

fn answer_of(shared: &Shared, policies: &Policies, tenant: &Tenant) -> PoliciesAnswer {
    let all = policies.names(tenant).into_iter().filter_map(|name| Some((name, policies.get(tenant, name)?)));
    PoliciesAnswer {
        policies: all.map(|(name, policy)| (name.to_owned(), policy_answer(shared, policy))).collect(),
        channels: watchbell::domain::Channel::ALL.map(|channel| channel.as_str()).into(),
        unless: watchbell::domain::policy::Unless::WORDS,
    }
}

fn policy_answer(shared: &Shared, policy: &Policy) -> PolicyAnswer {
    let restraint = shared.config.shared.restraint.bounds();
    let expires_after = policy.expires_after.unwrap_or(shared.config.dispatch.expires_after);
    let of =
        |severity| preview(policy, severity, &restraint, expires_after).into_iter().map(Line::from).collect();
    PolicyAnswer {
        mandatory: policy.mandatory,
        expires_after_s: policy.expires_after.map(|after| after.as_secs()),
        group: policy.group.as_str(),
        timelines: [Severity::Info, Severity::Warning, Severity::Critical]
            .into_iter()
            .map(|severity| (severity.as_str(), of(severity)))
            .collect(),
    }
}
