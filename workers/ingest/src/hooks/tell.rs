//! What is planned is compared with what is stored, published, and answered for each alert.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};
use tracing::warn;
use watchbell::{
    domain::{
        Alert, AlertId, Status, Tenant,
        publication::{Maker, Publication},
    },
    runtime::http::RETRY_AFTER_S,
    store::LatestAlert,
    wire::{Problem, TraceContext, alert::Defaults, content_of},
};

use super::{
    follow::{self, Before, Next, Now},
    nobody::{self, Unheard},
    plan::{Outcome, Planned, Telling},
    report::{SUPPRESSED_BY, says},
    settle::{self, Sent},
    spread::spread,
};
use crate::{
    Shared,
    auth::Producer,
    count::What,
    known,
    limits::{HOOK_ROUNDS_MAX, READS_PER_REQUEST_MAX},
    patch,
    publish::{self, ReadyMessage},
};

/// What [`SUPPRESSED_BY`] says of an alert that its source suppressed by itself.
const SOURCE: &str = "source";

/// What became of one element of a post.
#[derive(Debug)]
pub struct Answered {
    /// Its place in the post; none for the one that tells of the rest.
    pub index: Option<usize>,
    pub became: Became,
    pub notes: Vec<String>,
    /// Whom of those it names nobody knows.
    pub unheard: Unheard,
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
        let before = Before {
            version: latest.version,
            status: latest.status,
            severity: latest.severity,
            says: says(&content),
            // A time to come back at is something that people set.
            is_suppressed_by_source: content.get("dismissed_until").is_none_or(Value::is_null)
                && content.get("data").is_some_and(|data| data.get(SUPPRESSED_BY) == Some(&SOURCE.into())),
        };
        Self { latest, before }
    }
}

/// One element of a post that is not told yet.
struct Open {
    /// Which element of the post it is.
    place: usize,
    index: Option<usize>,
    telling: Telling,
}

/// Publishes what is news. What another post of the same moment took the version of is compared with what is stored then, and
/// published anew.
///
/// # Errors
/// 503 when the store does not answer, when not all was confirmed, or when others took the versions [`HOOK_ROUNDS_MAX`] times;
/// then repeating the post is safe.
pub async fn tell(
    shared: &Shared,
    producer: &Producer,
    planned: Vec<Planned>,
    trace: Option<&TraceContext>,
) -> Result<Vec<Answered>, Problem> {
    let tenant = &producer.tenant;
    let (mut answers, mut open) = (BTreeMap::new(), Vec::new());
    for (place, Planned { index, outcome }) in planned.into_iter().enumerate() {
        let became = match outcome {
            Outcome::Tell(telling) => {
                open.push(Open { place, index, telling: *telling });
                continue;
            }
            Outcome::Counted(id) => Became::Counted(id),
            Outcome::Passed(why) => Became::Passed(why),
            Outcome::Refused(problem) => Became::Refused(problem),
        };
        answers.insert(place, Answered { index, became, notes: Vec::new(), unheard: Unheard::default() });
    }
    let named: Vec<&Alert> = open.iter().map(|open| &open.telling.alert).collect();
    let nobodies = nobody::ask(shared, tenant, &named).await;
    let unheard: Vec<(usize, Unheard)> =
        open.iter().map(|open| (open.place, nobodies.among(&open.telling.alert.to))).collect();
    for _ in 0..HOOK_ROUNDS_MAX {
        if open.is_empty() {
            break;
        }
        let stored = stored_of(shared, tenant, &open).await?;
        let Round { messages, sent } = round(shared, producer, &open, stored, trace, &mut answers)?;
        if !messages.is_empty() {
            let published = publish::publish(shared, tenant, What::Alert, messages).await;
            published.map_err(to_be_repeated)?;
        }
        // The sender's next post then finds what this one did.
        let lost = settle::lost(&shared.ingest.store, tenant, &sent).await;
        open.retain(|open| lost.contains(&open.place));
    }
    if !open.is_empty() {
        What::Alert.count("conflict", open.len());
        return Err(contended());
    }
    for (place, unheard) in unheard {
        if let Some(answer) = answers.get_mut(&place) {
            answer.unheard = unheard;
        }
    }
    let mut answers: Vec<Answered> = answers.into_values().collect();
    counted_by_what_was_told(&mut answers);
    count(tenant, &answers);
    Ok(answers)
}

/// Senders of hooks repeat what was answered 503, and Alertmanager nothing that was answered 429.
fn to_be_repeated(problem: Problem) -> Problem {
    match problem {
        Problem { status: 429, detail: Some(detail), retry_after_s, .. } => {
            Problem::unavailable(detail, retry_after_s.unwrap_or(RETRY_AFTER_S))
        }
        other => other,
    }
}

fn contended() -> Problem {
    Problem::unavailable(
        "Other posts about the same alerts came at the same moment, each time this one was published: send it again, what was \
         told is not told twice.",
        RETRY_AFTER_S,
    )
}

/// What is to be published at once.
#[derive(Default)]
struct Round {
    messages: Vec<ReadyMessage>,
    sent: Vec<Sent>,
}

/// What follows for each that is open, given what is stored. Those of one post build on each other.
fn round(
    shared: &Shared,
    producer: &Producer,
    open: &[Open],
    mut stored: BTreeMap<AlertId, Stored>,
    trace: Option<&TraceContext>,
    answers: &mut BTreeMap<usize, Answered>,
) -> Result<Round, Problem> {
    let mut round = Round::default();
    for Open { place, index, telling } in open {
        let id = telling.alert.id.clone();
        let before = stored.get(&id);
        let became = match before {
            Some(before) if !producer.may_touch(before.latest.maker.as_ref()) => {
                Became::Refused(known::not_its_own())
            }
            _ => match next_of(telling, before, shared) {
                Ok(Step::Publish(alert)) => match ready(&alert, &producer.maker, trace) {
                    Ok(messages) => {
                        round.messages.extend(messages);
                        let content = content_of(&alert);
                        round.sent.push(Sent {
                            place: *place,
                            id: id.clone(),
                            version: alert.version,
                            publication: Publication::of(&alert, &content, Some(producer.maker.clone())),
                        });
                        let own = || Some(producer.maker.key.clone());
                        let maker = before.map_or_else(own, |before| before.latest.maker.clone());
                        let latest = LatestAlert {
                            version: alert.version,
                            severity: alert.severity,
                            status: alert.status,
                            content,
                            policy: alert.policy.clone(),
                            maker,
                        };
                        stored.insert(id.clone(), Stored::of(latest));
                        Became::Accepted(id, alert.version, alert.status)
                    }
                    Err(problem) => Became::Refused(problem),
                },
                Ok(Step::Leave(version, status)) => Became::Unchanged(id, version, status),
                Ok(Step::Pass(why)) => Became::Passed(why),
                Err(problem) if problem.status >= 500 => return Err(problem),
                Err(problem) => Became::Refused(problem),
            },
        };
        let (notes, unheard) = (telling.notes.clone(), Unheard::default());
        answers.insert(*place, Answered { index: *index, became, notes, unheard });
    }
    Ok(round)
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
fn ready(alert: &Alert, maker: &Maker, trace: Option<&TraceContext>) -> Result<Vec<ReadyMessage>, Problem> {
    spread(alert.clone()).iter().map(|copy| publish::ready(copy, maker, trace)).collect()
}

/// What is stored of every alert of a post, read once each.
async fn stored_of(
    shared: &Shared,
    tenant: &Tenant,
    open: &[Open],
) -> Result<BTreeMap<AlertId, Stored>, Problem> {
    let ids: BTreeSet<AlertId> = open.iter().map(|open| open.telling.alert.id.clone()).collect();
    let store = &shared.ingest.store;
    let reads = stream::iter(ids).map(|id| async move {
        // One that was deleted is known by its version, after which it begins anew.
        let latest = store.latest_or_deleted(tenant, &id).await?;
        Ok::<_, Problem>(latest.map(|latest| (id, Stored::of(latest))))
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

fn next_of(telling: &Telling, stored: Option<&Stored>, shared: &Shared) -> Result<Step, Problem> {
    let Telling { alert, is_change, needs_stored, .. } = telling;
    let content: Map<String, Value> = serde_json::from_str(&content_of(alert)).unwrap_or_default();
    let said = says(&content);
    let now = Now {
        status: alert.status,
        severity: alert.severity,
        says: &said,
        is_change: *is_change,
        needs_stored: *needs_stored,
    };
    let next = follow::next(now, stored.map(|stored| &stored.before));
    let publish = |next: Alert| Step::Publish(Box::new(by_source(next, alert.status)));
    const NOTHING: Step = Step::Pass("nothing of it is stored that could end");
    let Some(Stored { latest, before }) = stored else {
        return Ok(match next {
            Next::Told(version, status) => publish(Alert { version, status, ..alert.clone() }),
            _ => NOTHING,
        });
    };
    if latest.is_deleted() && (*is_change || *needs_stored) {
        return Ok(NOTHING);
    }
    let kept = |version: u32, status: Status| {
        let change = Map::from_iter([("status".to_owned(), status.as_str().into())]);
        let defaults = Defaults {
            tenant: Some(alert.tenant.clone()),
            id: Some(alert.id.clone()),
            now: shared.ingest.clock.now(),
        };
        patch::with(latest, &change, version, &alert.to, &defaults)
    };
    match next {
        Next::Told(version, status) => {
            // What was put off by hand stays so until its time.
            let dismissed_until = match status {
                Status::Suppressed => kept(version, status)?.dismissed_until,
                _ => None,
            };
            Ok(publish(Alert { version, status, dismissed_until, ..alert.clone() }))
        }
        Next::Changed(version, status) => kept(version, status).map(publish),
        Next::Again if alert.to.is_empty() => Ok(Step::Leave(before.version, before.status)),
        Next::Again => kept(before.version, before.status).map(|again| Step::Publish(Box::new(again))),
        Next::Unchanged | Next::Unknown => Ok(Step::Leave(before.version, before.status)),
        Next::NoneLeft => Err(none_left()),
    }
}

/// Says in an alert whether it was its source that suppressed it: what people put off has no such mark.
fn by_source(mut alert: Alert, reported: Status) -> Alert {
    alert.data.remove(SUPPRESSED_BY);
    if (alert.status, reported) == (Status::Suppressed, Status::Suppressed) {
        alert.data.insert(SUPPRESSED_BY.into(), SOURCE.into());
    }
    alert
}

fn none_left() -> Problem {
    let detail = "The alert has had its last version, so nothing can change it any more: let its source give it another name.";
    Problem { field: Some("version".into()), ..Problem::conflict(detail) }
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
