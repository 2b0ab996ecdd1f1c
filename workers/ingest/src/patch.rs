//! `PATCH /v1/alerts/{id}`: a later version of a stored alert, for everybody who holds it.
//!
//! Versions are numbers that the producers of an alert agree on, and publishing is asynchronous: two changes made at
//! once may take the same number, of which dispatch keeps one. So after the confirm this looks whether its own was
//! recorded, and answers 409 to the other. When nothing was recorded within [`RECORDED_WAIT`] it answers 202 as
//! for any alert; the conflict, should there be one, then shows in `GET`.
//!
//! A change that was made already is no second one: under the version that it names, it is answered as a duplicate.

use std::{slice, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use watchbell::{
    domain::{
        Alert, AlertId, Audience, Status,
        publication::{Publication, is_near, meets},
    },
    runtime::http::{JsonBody, NameInPath},
    store::{LatestAlert, Store, StoreError},
    wire::{Problem, alert::Defaults, content_of, number::whole, parse_alert},
};

use crate::{
    App, alerts,
    answers::{Accepted, Remarks},
    auth::Producer,
    count::What,
    known, publish,
    request::MergePatch,
    trace::trace_of,
};

/// What may be changed.
pub const FIELDS: [&str; 12] = [
    "status",
    "severity",
    "title",
    "body",
    "body_format",
    "url",
    "image",
    "actions",
    "group_key",
    "expires_at",
    "dismissed_until",
    "version",
];
/// Fields that `null` takes away; the others always have a value, and `null` leaves it as it is.
const CLEARABLE: [&str; 7] =
    ["body", "url", "image", "actions", "group_key", "expires_at", "dismissed_until"];
/// How long to look for the record of what was confirmed.
const RECORDED_WAIT: Duration = Duration::from_secs(1);
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(5);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(100);

/// Publishes the stored alert with these fields changed.
pub async fn patch(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(id): NameInPath<AlertId>,
    headers: HeaderMap,
    JsonBody(change, _): JsonBody<Map<String, Value>, MergePatch>,
) -> Result<Response, Problem> {
    check_fields(&change)?;
    let store = &shared.ingest.store;
    let stored = store.latest(&producer.tenant, &id).await?;
    let stored = stored.ok_or_else(alerts::unknown)?;
    if !producer.may_touch(stored.maker.as_ref()) {
        What::Alert.count("forbidden", 1);
        return Err(known::not_its_own());
    }
    let stored_id = id.to_string();
    let defaults = Defaults { tenant: Some(producer.tenant), id: Some(id), now: shared.ingest.clock.now() };
    if says_nothing_new(&stored, &change, &defaults) {
        let remarks = Remarks { duplicate: true, ..Remarks::default() };
        let answer = Accepted::of(&stored_id, stored.version, remarks);
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    let alert = merged(&stored, &change, &defaults).inspect_err(|_| What::Alert.count("invalid", 1))?;
    let message = publish::ready(&alert, &producer.maker, trace_of(&headers).as_ref())
        .inspect_err(|_| What::Alert.count("invalid", 1))?;
    publish::publish(&shared, &alert.tenant, What::Alert, vec![message]).await?;
    if !is_recorded(store, &alert, &change).await {
        What::Alert.count("conflict", 1);
        return Err(taken(alert.version));
    }
    let answer = Accepted::of(alert.id.as_str(), alert.version, Remarks::default());
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Refuses a field that cannot be changed: what is misspelt would be lost in silence.
fn check_fields(change: &Map<String, Value>) -> Result<(), Problem> {
    match change.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        Some(key) => {
            Err(Problem::invalid(key, format!("is not known here: accepted are {}", FIELDS.join(", "))))
        }
        None => Ok(()),
    }
}

/// Whether a change is what is stored: made a second time under the version that it names, or the acknowledgement of what
/// is over, which does not bring that back (hooks answer it the same way).
fn says_nothing_new(stored: &LatestAlert, change: &Map<String, Value>, defaults: &Defaults) -> bool {
    let is_status_alone = change.keys().all(|field| field == "status" || field == "version");
    if is_status_alone && acknowledges_what_is_over(stored.status, change) {
        return next_version(stored.version, change.get("version")).is_ok();
    }
    let Ok(content) = serde_json::from_str::<Map<String, Value>>(&stored.content) else { return false };
    let given = change.get("version").and_then(Value::as_number).and_then(whole);
    given == Some(u64::from(stored.version))
        && with(stored, change, stored.version, &Audience::default(), defaults).is_ok_and(|alert| {
            serde_json::from_str(&content_of(&alert)).is_ok_and(|same: Map<_, _>| same == content)
        })
}

fn acknowledges_what_is_over(stored: Status, change: &Map<String, Value>) -> bool {
    changes_status_to(change, Status::Acknowledged) && stored == Status::Resolved
}

fn changes_status_to(change: &Map<String, Value>, status: Status) -> bool {
    change.get("status").and_then(Value::as_str) == Some(status.as_str())
}

/// The stored alert with the change in it, checked as if it had been published whole.
pub fn merged(
    stored: &LatestAlert,
    change: &Map<String, Value>,
    defaults: &Defaults,
) -> Result<Alert, Problem> {
    let version = next_version(stored.version, change.get("version"))?;
    if acknowledges_what_is_over(stored.status, change) {
        let detail = "The alert is resolved: change the rest of it without acknowledging it, or let it fire again first.";
        return Err(Problem { field: Some("status".into()), ..Problem::conflict(detail) });
    }
    // Dispatch adds everybody who holds it.
    with(stored, change, version, &Audience::default(), defaults)
}

/// The stored alert with the change in it, as this version, for those who hold it and for `to`.
pub fn with(
    stored: &LatestAlert,
    change: &Map<String, Value>,
    version: u32,
    to: &Audience,
    defaults: &Defaults,
) -> Result<Alert, Problem> {
    let mut whole: Map<String, Value> =
        serde_json::from_str(&stored.content).map_err(|_| StoreError::Unreadable { what: "content" })?;
    // It says how long the status lasts that it came with, and nothing of the next one.
    let names_status = change.get("status").is_some_and(|status| !status.is_null());
    if names_status && !changes_status_to(change, stored.status) {
        whole.remove("dismissed_until");
    }
    for (field, value) in change {
        match value {
            Value::Null if CLEARABLE.contains(&field.as_str()) => drop(whole.remove(field)),
            Value::Null => {}
            value => drop(whole.insert(field.clone(), value.clone())),
        }
    }
    whole.insert("version".into(), version.into());
    let users: Vec<&str> = to.users.iter().map(|user| user.as_str()).collect();
    let groups: Vec<&str> = to.groups.iter().map(|group| group.as_str()).collect();
    whole.insert("to".into(), json!({"users": users, "groups": groups, "everyone": to.everyone}));
    if let Some(policy) = &stored.policy {
        whole.insert("policy".into(), policy.as_str().into());
    }
    let whole = Value::Object(whole).to_string();
    parse_alert(whole.as_bytes(), defaults).map_err(|error| Problem::invalid(error.field, error.problem))
}

/// The version that follows `stored`, or the given one if it is higher.
fn next_version(stored: u32, given: Option<&Value>) -> Result<u32, Problem> {
    let number = || Problem::invalid("version", format!("must be a number from 1 to {}", u32::MAX));
    let last = || Problem::conflict("The alert has had its last version: publish another one.");
    match given.filter(|given| !given.is_null()) {
        None => stored.checked_add(1).ok_or_else(last),
        Some(given) => match given
            .as_number()
            .and_then(whole)
            .and_then(|given| u32::try_from(given).ok())
            .ok_or_else(number)?
        {
            0 => Err(number()),
            given if given <= stored => Err(taken(given)),
            given if !is_near(stored, given) => Err(known::too_far_ahead()),
            given => Ok(given),
        },
    }
}

fn taken(version: u32) -> Problem {
    let detail =
        format!("Version {version} is taken by another change: read the alert and send what still applies.");
    Problem { field: Some("version".into()), ..Problem::conflict(detail) }
}

/// Whether this change is in the store, or may still come there. `false`: another one took its version.
async fn is_recorded(store: &Store, alert: &Alert, change: &Map<String, Value>) -> bool {
    let Some(stored) = recorded(store, alert).await else { return true };
    agrees(&stored.content, alert, change)
        || stored.version > alert.version && was_overtaken(store, alert).await
}

/// Whether this version was recorded before the later one. That there is a later one says nothing: it may follow what another
/// change made of this version.
async fn was_overtaken(store: &Store, alert: &Alert) -> bool {
    let publication = Publication::of(alert, &content_of(alert), None);
    let Ok(known) = store.known_alerts(&alert.tenant, slice::from_ref(&alert.id)).await else { return true };
    !meets(known.get(&alert.id), alert.version, &publication).is_refused()
}

/// What is stored once this version, or a later one, is. `None` when it was not within [`RECORDED_WAIT`], or the store
/// does not answer: what was confirmed is durable all the same.
async fn recorded(store: &Store, alert: &Alert) -> Option<LatestAlert> {
    let mut looks = Looks::begin();
    loop {
        let stored = store.latest(&alert.tenant, &alert.id).await.ok()?;
        if let Some(stored) = stored.filter(|stored| stored.version >= alert.version) {
            return Some(stored);
        }
        if !looks.again().await {
            return None;
        }
    }
}

/// When to look again for the record of what was confirmed, within [`RECORDED_WAIT`].
pub struct Looks {
    until: Instant,
    wait: Duration,
}

impl Looks {
    pub fn begin() -> Self {
        Self { until: Instant::now() + RECORDED_WAIT, wait: FIRST_LOOK_AFTER }
    }

    /// Waits for the next look; `false` when the time is over.
    pub async fn again(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LOOK_EVERY_MAX);
        true
    }
}

/// Whether every changed field is as this change wanted it.
fn agrees(stored: &str, alert: &Alert, change: &Map<String, Value>) -> bool {
    let [Ok(stored), Ok(wanted)] =
        [stored, &content_of(alert)].map(serde_json::from_str::<Map<String, Value>>)
    else {
        return true;
    };
    change.keys().all(|field| stored.get(field) == wanted.get(field))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::Tenant;

    use super::*;

    #[test]
    fn a_version_follows_the_stored_one() {
        for (why, stored, given, expected) in [
            ("none given", 3, None, Ok(4)),
            ("the next", 3, Some(json!(4)), Ok(4)),
            ("numbers may be left out", 3, Some(json!(9)), Ok(9)),
            ("as far ahead as may be", 3, Some(json!(1_000_003)), Ok(1_000_003)),
            ("the last word on an alert", 3, Some(json!(u32::MAX)), Err(409)),
            ("the same is taken", 3, Some(json!(3)), Err(409)),
            ("a lower one is taken", 3, Some(json!(1)), Err(409)),
            ("they count from 1", 3, Some(json!(0)), Err(422)),
            ("not a number", 3, Some(json!("4")), Err(422)),
            ("null is absent", 3, Some(json!(null)), Ok(4)),
            ("written with a point", 3, Some(json!(4.0)), Ok(4)),
            ("not a whole one", 3, Some(json!(4.5)), Err(422)),
            ("more than there are", 3, Some(json!(1_u64 << 32)), Err(422)),
            ("none is left", u32::MAX, None, Err(409)),
        ] {
            let next = next_version(stored, given.as_ref()).map_err(|problem| problem.status);
            assert_eq!(next, expected, "{why}");
        }
    }

    #[test]
    fn only_the_changed_fields_have_to_agree() {
        let defaults = Defaults {
            tenant: Tenant::parse("acme").ok(),
            id: AlertId::parse("a").ok(),
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let alert = parse_alert(br#"{"to": {"users": ["ana"]}, "title": "mine"}"#, &defaults).unwrap();
        let change = |change: Value| change.as_object().cloned().unwrap();
        for (why, stored, changed, expected) in [
            ("as wanted", r#"{"title": "mine"}"#, json!({"title": "mine"}), true),
            ("somebody else's", r#"{"title": "theirs"}"#, json!({"title": "mine"}), false),
            ("cleared, as wanted", r#"{"title": "theirs"}"#, json!({"body": null}), true),
            ("cleared, but there", r#"{"body": "theirs"}"#, json!({"body": null}), false),
        ] {
            assert_eq!(agrees(stored, &alert, &change(changed)), expected, "{why}");
        }
    }
}
