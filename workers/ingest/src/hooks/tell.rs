//! What is planned is compared with what is stored, published, and answered for each alert.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};
use tracing::warn;
use watchbell::{
    broker::Message,
    domain::{Alert, AlertId, Severity, Status, Tenant, publication::Maker},
    store::LatestAlert,
    wire::{Problem, alert::Defaults, content_of},
};

use super::{
    follow::{self, Before, Next, Now},
    plan::{Outcome, Planned, Telling},
    report::says,
    spread::spread,
};
use crate::{
    Shared, auth::Producer, count::What, known, limits::READS_PER_REQUEST_MAX, patch, publish, store_problem,
};

/// What became of one element of a post.
#[derive(Debug)]
pub struct Answered {
    /// Its place in the post; none for the one that tells of the rest.
    pub index: Option<usize>,
    pub became: Became,
    pub notes: Vec<String>,
}

/// What became of it.
#[derive(Debug)]
pub enum Became {
    /// Published as this version.
    Accepted(AlertId, u32, Status),
    /// Known already, as this version.
    Unchanged(AlertId, u32, Status),
    /// One of those that this alert counts.
    Counted(AlertId),
    /// Nothing to tell.
    Passed(&'static str),
    /// Nobody can be told.
    Refused(Problem),
}

/// What the store has of an alert, or will have once this post is recorded.
struct Stored {
    latest: LatestAlert,
    before: Before,
}

impl Stored {
    fn of(latest: LatestAlert) -> Self {
        // Written by `content_of`; should it ever not be JSON, everything is news.
        let content: Map<String, Value> = serde_json::from_str(&latest.content).unwrap_or_default();
        let word = |field: &str| content.get(field).and_then(Value::as_str).unwrap_or_default();
        let before = Before {
            version: latest.version,
            status: word("status").parse().unwrap_or(Status::Firing),
            severity: word("severity").parse().unwrap_or(Severity::Info),
            says: says(&content),
        };
        Self { latest, before }
    }
}

/// Publishes what is news.
///
/// # Errors
/// 503 when the store does not answer or not all was confirmed; then repeating the post is safe.
pub async fn tell(
    shared: &Shared,
    producer: &Producer,
    planned: Vec<Planned>,
    trace: Option<&str>,
) -> Result<Vec<Answered>, Problem> {
    let tenant = &producer.tenant;
    let mut stored = stored_of(shared, tenant, &planned).await?;
    let mut answers = Vec::with_capacity(planned.len());
    let (mut messages, mut last) = (Vec::new(), None);
    for Planned { index, outcome } in planned {
        let telling = match outcome {
            Outcome::Tell(telling) => *telling,
            Outcome::Counted(id) => {
                answers.push(Answered { index, became: Became::Counted(id), notes: Vec::new() });
                continue;
            }
            Outcome::Passed(why) => {
                answers.push(Answered { index, became: Became::Passed(why), notes: Vec::new() });
                continue;
            }
            Outcome::Refused(problem) => {
                answers.push(Answered { index, became: Became::Refused(problem), notes: Vec::new() });
                continue;
            }
        };
        let (id, notes) = (telling.alert.id.clone(), telling.notes.clone());
        if let Some(known) = stored.get(&id)
            && !producer.may_change(known.latest.maker.as_ref())
        {
            answers.push(Answered { index, became: Became::Refused(known::not_its_own()), notes });
            continue;
        }
        let became = match next_of(telling, stored.get(&id), shared) {
            Ok(Step::Publish(alert)) => match ready(&alert, &producer.maker, trace) {
                Ok(ready) => {
                    messages.extend(ready);
                    let became = Became::Accepted(id.clone(), alert.version, alert.status);
                    // The next one of the same post builds on this one.
                    let latest = LatestAlert {
                        version: alert.version,
                        content: content_of(&alert),
                        policy: alert.policy.clone(),
                        maker: stored.get(&id).map_or_else(
                            || Some(producer.maker.key.clone()),
                            |before| before.latest.maker.clone(),
                        ),
                    };
                    stored.insert(id, Stored::of(latest));
                    last = Some(*alert);
                    became
                }
                Err(problem) => Became::Refused(problem),
            },
            Ok(Step::Leave(version, status)) => Became::Unchanged(id, version, status),
            Ok(Step::Pass(why)) => Became::Passed(why),
            Err(problem) if problem.status >= 500 => return Err(problem),
            Err(problem) => Became::Refused(problem),
        };
        answers.push(Answered { index, became, notes });
    }
    counted_by_what_was_told(&mut answers);
    if let Some(last) = last {
        publish::publish(shared, tenant, What::Alert, messages).await?;
        // The sender's next post then finds what this one did.
        patch::recorded(&shared.ingest.store, &last).await;
    }
    count(tenant, &answers);
    Ok(answers)
}

/// Those that are only counted were told of only if the alert that counts them was.
fn counted_by_what_was_told(answers: &mut [Answered]) {
    let refused = answers.iter().find_map(|answer| match (&answer.became, answer.index) {
        (Became::Refused(problem), None) => Some(problem.clone()),
        _ => None,
    });
    let Some(problem) = refused else { return };
    for answer in answers {
        if matches!(answer.became, Became::Counted(_)) {
            answer.became = Became::Refused(problem.clone());
        }
    }
}

/// The messages of an alert: one, or more where it is for more people than fit one.
fn ready(alert: &Alert, maker: &Maker, trace: Option<&str>) -> Result<Vec<Message>, Problem> {
    spread(alert.clone()).iter().map(|copy| publish::ready(copy, maker, trace)).collect()
}

/// What is stored of every alert of a post, read once each.
async fn stored_of(
    shared: &Shared,
    tenant: &Tenant,
    planned: &[Planned],
) -> Result<BTreeMap<AlertId, Stored>, Problem> {
    let ids: BTreeSet<AlertId> = planned
        .iter()
        .filter_map(|planned| match &planned.outcome {
            Outcome::Tell(telling) => Some(telling.alert.id.clone()),
            Outcome::Counted(_) | Outcome::Passed(_) | Outcome::Refused(_) => None,
        })
        .collect();
    let store = &shared.ingest.store;
    let reads = stream::iter(ids).map(|id| async move {
        let latest = store.latest(tenant, &id).await.map_err(|error| store_problem(&error))?;
        Ok(latest.map(|latest| (id, Stored::of(latest))))
    });
    let found: Vec<Option<(AlertId, Stored)>> = reads.buffered(READS_PER_REQUEST_MAX).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// What is done about one alert.
enum Step {
    Publish(Box<Alert>),
    /// It is stored as this version, with this status.
    Leave(u32, Status),
    Pass(&'static str),
}

fn next_of(telling: Telling, stored: Option<&Stored>, shared: &Shared) -> Result<Step, Problem> {
    let Telling { alert, is_change, needs_stored, .. } = telling;
    let content: Map<String, Value> = serde_json::from_str(&content_of(&alert)).unwrap_or_default();
    let said = says(&content);
    let now = Now { status: alert.status, severity: alert.severity, says: &said, is_change, needs_stored };
    let next = follow::next(now, stored.map(|stored| &stored.before));
    let Some(Stored { latest, before }) = stored else {
        return Ok(match next {
            Next::Told(version, status) => Step::Publish(Box::new(Alert { version, status, ..alert })),
            _ => Step::Pass("nothing of it is stored that could end"),
        });
    };
    let kept = |version: u32, status: Status| {
        let change = Map::from_iter([("status".to_owned(), status.as_str().into())]);
        let defaults = Defaults {
            tenant: Some(alert.tenant.clone()),
            id: Some(alert.id.clone()),
            now: shared.ingest.clock.now(),
        };
        patch::with(latest, &change, version, &alert.to, &defaults)
    };
    let publish = |alert: Alert| Step::Publish(Box::new(alert));
    match next {
        Next::Told(version, status) => {
            // What was put off by hand stays so until its time.
            let dismissed_until = match status {
                Status::Suppressed => kept(version, status)?.dismissed_until,
                _ => None,
            };
            Ok(publish(Alert { version, status, dismissed_until, ..alert }))
        }
        Next::Changed(version, status) => kept(version, status).map(publish),
        Next::Again if alert.to.is_empty() => Ok(Step::Leave(before.version, before.status)),
        Next::Again => kept(before.version, before.status).map(publish),
        Next::Unchanged | Next::Unknown => Ok(Step::Leave(before.version, before.status)),
    }
}

/// Metrics, and the log for what somebody has to mend: most senders show their people no answer.
fn count(tenant: &Tenant, answers: &[Answered]) {
    let refused = answers.iter().filter_map(|answer| match &answer.became {
        Became::Refused(problem) => Some(problem),
        _ => None,
    });
    let number = refused.clone().count();
    let Some(first) = refused.into_iter().next() else { return };
    What::Alert.count("invalid", number);
    let (field, reason) = (first.field.as_deref(), first.detail.as_deref());
    warn!(%tenant, number, field, reason, "{number} alerts of a hook could not be told to anybody");
}
