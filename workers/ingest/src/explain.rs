//! `GET /v1/users/{user}/explain`: what a person got and did not get, and why.
//!
//! A key for its own alerts is told of no others.

use std::time::Duration;

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use watchbell::{
    domain::{UserId, UserKey},
    runtime::http::{NameInPath, PAGE_BYTES_TAKEN, Query, limit},
    wire::Problem,
};

use crate::{
    App,
    alert_list::{in_order, place_of, time, word},
    auth::Producer,
    explanation::{Question, explain},
    limits::EXPLAINED_PER_PAGE_MAX,
};

/// Alerts on a page when no limit is given.
pub const EXPLAINED_PER_PAGE: usize = 20;
/// How far it is looked back when no time is given.
pub const EXPLAINED_SINCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Which alerts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    since: Option<String>,
    until: Option<String>,
    severity: Option<String>,
    not_seen: Option<bool>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of a person's alerts, each with what became of it.
pub async fn explain_user(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
    Query(query): Query<ExplainQuery>,
) -> Result<Response, Problem> {
    let now = shared.ingest.clock.now();
    let since = time("since", query.since.as_deref())?.unwrap_or(now - EXPLAINED_SINCE);
    let until = time("until", query.until.as_deref())?;
    // Without `until` a clock that is a little ahead asks for what is still to come.
    in_order(Some(since), until)?;
    let question = Question {
        since,
        until: until.unwrap_or(now),
        severity: word("severity", query.severity.as_deref())?,
        not_seen: query.not_seen.unwrap_or_default(),
        after: query.after.as_deref().map(place_of).transpose()?,
        limit: limit(query.limit, EXPLAINED_PER_PAGE, EXPLAINED_PER_PAGE_MAX)?,
    };
    let room = shared.ingest.answers.take(&producer.tenant, PAGE_BYTES_TAKEN).await?;
    let user = UserKey::new(producer.tenant.clone(), user);
    let may_read = |maker: Option<&_>| producer.may_touch(maker);
    let explanation = explain(&shared.ingest.store, &user, &question, &may_read, now).await?;
    let mut answer = room.json(&explanation);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
