//! `GET /v1/audit`: who changed what in this tenant, the newest first.

use axum::{Extension, extract::State, response::Response};
use jiff::Timestamp;
use serde::Deserialize;
use watchbell::{
    domain::{Tenant, audit::as_logged},
    runtime::http::{Query, limit},
    store::{AuditEntry, AuditQuery},
    wire::Problem,
};

use crate::{
    App,
    alert_list::time,
    answers::{AuditLogEntry, AuditLogPage},
    limits::AUDIT_ENTRIES_PER_PAGE_MAX,
    users::{private, room_for_a_list},
};

/// Digits of a time in milliseconds since 1970, until the year 5138.
const TIME_DIGITS_MAX: usize = 14;
/// Entries on a page when no limit is given.
pub const AUDIT_ENTRIES_PER_PAGE: usize = 100;

/// Which entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLogQuery {
    since: Option<String>,
    actor: Option<String>,
    object: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of the log.
pub async fn entries(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    Query(page): Query<AuditLogQuery>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, AUDIT_ENTRIES_PER_PAGE, AUDIT_ENTRIES_PER_PAGE_MAX)?;
    let room = room_for_a_list(&shared, &tenant).await?;
    let wanted = AuditQuery {
        tenant: Some(tenant),
        since: time("since", given(page.since).as_deref())?,
        actor: given(page.actor).as_deref().map(as_logged),
        object: given(page.object).as_deref().map(as_logged),
        before: given(page.after).as_deref().map(place_of).transpose()?,
        // One more than asked for, to know whether there is another page.
        limit: limit + 1,
    };
    let mut found = shared.ingest.store.audit_entries(&wanted).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(place_after);
    Ok(private(room, &AuditLogPage { entries: found.into_iter().map(answer_of).collect(), next }))
}

/// A parameter without a value counts as left out.
fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|text| !text.is_empty())
}

/// Where a page begins: the time and the id of the entry before.
fn place_of(text: &str) -> Result<(Timestamp, String), Problem> {
    let place = text.split_once('.').and_then(|(at, id)| {
        let is_time = at.len() <= TIME_DIGITS_MAX && at.bytes().all(|b| b.is_ascii_digit());
        let is_id = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
        (is_time && is_id).then(|| (at, id.to_owned()))
    });
    place.ok_or_else(|| Problem::invalid("after", "must be the `next` of the page before"))
}

fn place_after(entry: &AuditEntry) -> String {
    format!("{}.{}", entry.at.as_millisecond(), entry.id)
}

fn answer_of(entry: AuditEntry) -> AuditLogEntry {
    let AuditEntry { at, actor, action, object, outcome, .. } = entry;
    AuditLogEntry { at: at.to_string(), actor, action, object, outcome }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_ended_and_nowhere_else() {
        let id = "0193a7c2f00d7000800000000000abcd";
        let at = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
        assert_eq!(place_of(&format!("1800000000123.{id}")).unwrap(), (at, id.to_owned()));
        for text in
            ["", "1", ".", &format!("x.{id}"), "1.short", &format!("9999999999999999999.{id}"), "1.'; DROP"]
        {
            assert_eq!(place_of(text).unwrap_err().field.as_deref(), Some("after"), "{text}");
        }
    }
}
