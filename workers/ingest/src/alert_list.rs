//! `GET /v1/alerts`: the alerts of a tenant, or of one person, by page and filtered.
//!
//! A key for its own alerts sees no others.
//!
//! Pages are read along an index by time, or by change in a person's inbox. The other filters are asked of what was read, so a request
//! looks at [`ALERTS_LOOKED_AT_MAX`] alerts at the most: a page may be short, or empty, and yet not the last.

use std::str::FromStr;

use axum::{Extension, extract::State, response::Response};
use serde::Deserialize;
use serde_json::Value;
use watchbell::{
    domain::{AlertId, Severity, Status, Timestamp, UserId, UserKey, alert::UnknownWord},
    runtime::http::{Name, Query, limit},
    store::{AlertPlace, ListedAlert, Store, StoreError},
    wire::{Problem, time::time_of},
};

use crate::{
    App,
    answers::{AlertOnPage, Alerts},
    auth::Producer,
    limits::{ALERTS_LOOKED_AT_MAX, ALERTS_PER_PAGE_MAX, ALERTS_READ_AT_ONCE, PAGE_BYTES_MAX},
    users::{private, room_for_a_list},
};

/// Alerts on a page when no limit is given.
pub const ALERTS_PER_PAGE: usize = 50;

/// Which alerts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsQuery {
    user: Option<Name<UserId>>,
    status: Option<String>,
    severity: Option<String>,
    source: Option<String>,
    label: Option<String>,
    since: Option<String>,
    until: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of alerts, newest first.
pub async fn list(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    Query(query): Query<AlertsQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit, ALERTS_PER_PAGE, ALERTS_PER_PAGE_MAX)?;
    let wanted = Wanted::of(producer, &query)?;
    let after = query.after.as_deref().map(place_of).transpose()?;
    let room = room_for_a_list(&shared, &wanted.producer.tenant).await?;
    let (alerts, next) = wanted.page(&shared.ingest.store, after, limit).await?;
    Ok(private(room, &Alerts { alerts, next: next.map(|place| text_of(&place)) }))
}

/// Which alerts are asked for.
struct Wanted {
    producer: Producer,
    user: Option<UserKey>,
    status: Option<Status>,
    severity: Option<Severity>,
    source: Option<String>,
    label: Option<(String, String)>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    fn of(producer: Producer, query: &AlertsQuery) -> Result<Self, Problem> {
        let user = query.user.clone().map(|Name(user)| UserKey::new(producer.tenant.clone(), user));
        let label = query.label.as_deref().map(|label| match label.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Problem::invalid("label", "must be a name and a value: env=prod")),
        });
        let (since, until) = (time("since", query.since.as_deref())?, time("until", query.until.as_deref())?);
        in_order(since, until)?;
        Ok(Self {
            producer,
            user,
            status: word("status", query.status.as_deref())?,
            severity: word("severity", query.severity.as_deref())?,
            source: query.source.clone(),
            label: label.transpose()?,
            since,
            until,
        })
    }

    async fn page(
        &self,
        store: &Store,
        after: Option<AlertPlace>,
        limit: usize,
    ) -> Result<(Vec<AlertOnPage>, Option<AlertPlace>), StoreError> {
        let newest = || match (&self.user, self.until) {
            (None, Some(until)) => AlertPlace::until(until),
            _ => AlertPlace::first(),
        };
        let mut place = after.unwrap_or_else(newest);
        let (mut alerts, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
        loop {
            let read = match &self.user {
                Some(user) => store.alerts_page_of(user, &place, ALERTS_READ_AT_ONCE).await?,
                None => {
                    store.alerts_page(&self.producer.tenant, &place, self.since, ALERTS_READ_AT_ONCE).await?
                }
            };
            let is_end = read.len() < ALERTS_READ_AT_ONCE;
            for listed in read {
                if alerts.len() == limit || looked_at == ALERTS_LOOKED_AT_MAX || bytes >= PAGE_BYTES_MAX {
                    return Ok((alerts, Some(place)));
                }
                looked_at += 1;
                place = listed.place.clone();
                // Written by `content_of`; should it ever not be JSON, that is the store's problem, not the producer's.
                let content: Value = serde_json::from_str(&listed.content)
                    .map_err(|_| StoreError::Unreadable { what: "content" })?;
                if self.has(&listed, &content) {
                    bytes += content.to_string().len();
                    let recorded_at = listed.recorded_at.to_string();
                    alerts.push(AlertOnPage { alert: content, recorded_at });
                }
            }
            if is_end {
                return Ok((alerts, None));
            }
        }
    }

    fn has(&self, listed: &ListedAlert, content: &Value) -> bool {
        self.producer.may_touch(listed.maker.as_ref())
            && self.status.is_none_or(|status| listed.status == status)
            && self.severity.is_none_or(|severity| listed.severity == severity)
            && self.since.is_none_or(|since| listed.recorded_at >= since)
            && self.until.is_none_or(|until| listed.recorded_at <= until)
            && self.source.as_deref().is_none_or(|source| content["source"].as_str() == Some(source))
            && self.label.as_ref().is_none_or(|(name, value)| content["labels"][name].as_str() == Some(value))
    }
}

/// A parameter that is one of a few words.
pub fn word<T: FromStr<Err = UnknownWord>>(field: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse().map_err(|error: UnknownWord| Problem::invalid(field, error.to_string())))
        .transpose()
}

/// A parameter that is a time.
pub fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    text.map(time_of).transpose().map_err(|error| Problem::invalid(field, error.to_string()))
}

/// Refuses times between which there is nothing.
pub fn in_order(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<(), Problem> {
    match (since, until) {
        (Some(since), Some(until)) if since > until => {
            Err(Problem::invalid("since", "must not be later than `until`: nothing is in between"))
        }
        _ => Ok(()),
    }
}

/// A place as `next` says it, for `after`: its number and the alert before it.
pub fn text_of(place: &AlertPlace) -> String {
    format!("{}.{}", place.number, place.alert)
}

/// The place that a `next` names.
pub fn place_of(text: &str) -> Result<AlertPlace, Problem> {
    let place = text.split_once('.').and_then(|(number, alert)| {
        let alert = AlertId::parse(alert).ok()?;
        Some(AlertPlace { number: number.parse().ok()?, alert: alert.to_string() })
    });
    place.ok_or_else(|| Problem::invalid("after", "must be the `next` of the page before"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for (number, alert) in [(1_764_489_600_000, "disk.db-1"), (7, "a"), (1, "~push")] {
            let place = AlertPlace { number, alert: alert.to_owned() };
            assert_eq!(place_of(&text_of(&place)).unwrap(), place);
        }
        for text in ["", "7", "7.", ".a", "x.a", "7.a b"] {
            assert_eq!(place_of(text).unwrap_err().field.as_deref(), Some("after"), "{text}");
        }
    }
}
