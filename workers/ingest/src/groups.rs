//! `GET /v1/groups` and `DELETE /v1/groups/{group}`. A group is there for as long as somebody is in it.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio::time::Instant;
use watchbell::{
    domain::{GroupId, Tenant},
    runtime::http::{Name, NameInPath, Query, limit},
    wire::Problem,
};

use crate::{
    App,
    answers::{DeletedGroup, Groups},
    auth::Producer,
    limits::{ERASE_TIME_MAX, GROUPS_PER_PAGE_MAX, MEMBERS_PER_COMMIT_MAX},
    users::{private, room_for_a_list},
};

/// Groups on a page when no limit is given.
pub const GROUPS_PER_PAGE: usize = 100;

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsQuery {
    after: Option<Name<GroupId>>,
    limit: Option<usize>,
}

/// A page of groups, in order.
pub async fn list(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    Query(page): Query<GroupsQuery>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, GROUPS_PER_PAGE, GROUPS_PER_PAGE_MAX)?;
    let after = page.after.map(|Name(after)| after);
    let room = room_for_a_list(&shared, &tenant).await?;
    // One more than asked for, to know whether there is another page.
    let mut groups = shared.ingest.store.groups_after(&tenant, after.as_ref(), limit + 1).await?;
    let more = groups.len() > limit;
    groups.truncate(limit);
    let groups: Vec<String> = groups.iter().map(GroupId::to_string).collect();
    let next = groups.last().filter(|_| more).cloned();
    Ok(private(room, &Groups { groups, next }))
}

/// Takes everybody out of a group, and so the group away. Its members stay.
pub async fn delete(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(group): NameInPath<GroupId>,
) -> Result<Response, Problem> {
    let store = shared.ingest.store.by(producer.actor());
    let until = Instant::now() + ERASE_TIME_MAX;
    let (mut removed, mut complete) = (0, false);
    while !complete && Instant::now() < until {
        let now = shared.ingest.clock.now();
        let gone = store.delete_group(&producer.tenant, &group, MEMBERS_PER_COMMIT_MAX, now).await?;
        removed += gone;
        complete = gone < MEMBERS_PER_COMMIT_MAX as u64;
    }
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(DeletedGroup { removed, complete })).into_response())
}
