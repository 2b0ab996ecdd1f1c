//! `POST /v1/alerts`, and what became of an alert.
//!
//! One alert, an array or NDJSON go the same way: split, validate all, publish all.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::yield_now;
use watchbell::{
    domain::{Alert, AlertId, Channel, Tenant, UserId, alert::bounds::ALERT_BYTES_MAX, policy::Policies},
    runtime::http::{Name, NameInPath, Query, limit},
    store::{Counts, Recipient, StoreError},
    wire::{MessageKind, Problem, alert::Defaults, content::with_acknowledgement, parse_alert},
};

use crate::{
    App, Shared,
    answers::{
        Accepted, AcceptedSeveral, OneOfSeveral, Recorded, Remarks, Timeline, TimelineCounts, TimelineEntry,
        TimelineRecipient,
    },
    auth::Producer,
    batch::{self, Batch, Form, at_index},
    count::What,
    hooks,
    known::{self, Verdict},
    limits::{BYTES_AT_A_STRETCH_MAX, TIMELINE_RECIPIENTS_MAX},
    publish, request,
    trace::trace_of,
    users::room_for_a_list,
};

/// Recipients in a timeline when no limit is given.
pub const TIMELINE_RECIPIENTS: usize = 20;

/// Accepts one alert, an array or NDJSON. 202 when the broker has confirmed all that were published: each of several that
/// contradicts what is recorded answers for itself.
pub async fn accept(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    request: Request,
) -> Result<Response, Problem> {
    publish::may_publish(&shared, &producer.tenant)?;
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let body = request::whole_body(body).await?;
    let (form, body) = form
        .unwrapped(&parts.headers, body, MessageKind::Alert)
        .inspect_err(|_| What::Alert.count("invalid", 1))?;
    let trace = trace_of(&parts.headers);
    let mut stretch = Stretch::default();
    let read = async {
        let batch = Batch::read(What::Alert, form, &body)?;
        let alerts = alerts_of(&shared, &producer.tenant, &parts.headers, form, &batch, &mut stretch).await?;
        let mut messages = Vec::with_capacity(alerts.len());
        for (alert, index) in &alerts {
            let ready = publish::ready(alert, &producer.maker, trace.as_ref());
            let ready = ready.map_err(|problem| at_index(problem, *index))?;
            stretch.worked_on(ready.bytes()).await;
            messages.push(ready);
        }
        Ok((batch.is_one, alerts, messages))
    };
    let read = read.await.inspect_err(|_: &Problem| What::Alert.count("invalid", 1));
    let (is_one, alerts, messages) = read?;
    let asked: Vec<&Alert> = alerts.iter().map(|(alert, _)| alert).collect();
    let mut known = known::ask(&shared, &producer, &asked).await;
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(asked.len());
    for (alert, message) in asked.iter().zip(&messages) {
        verdicts.push(known.verdict(&producer, alert));
        stretch.worked_on(message.bytes()).await;
    }
    let refused: Vec<_> = alerts
        .iter()
        .zip(&verdicts)
        .filter_map(|((_, at), verdict)| Some((at, verdict.refused.as_ref()?)))
        .collect();
    for (_, problem) in &refused {
        What::Alert.count(if problem.status == 409 { "conflict" } else { "forbidden" }, 1);
    }
    if let Some((index, problem)) = refused.first()
        && refused.len() == alerts.len()
    {
        return Err(at_index((*problem).clone(), **index));
    }
    let messages = messages.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.refused.is_none());
    let messages = messages.map(|(message, _)| message).collect();
    publish::publish(&shared, &producer.tenant, What::Alert, messages).await?;
    Ok(answer(is_one, &asked, verdicts))
}

/// How many bytes of a request were worked on since it last let others have the processor: one of half a megabyte keeps a thread for
/// a hundredth of a second, and everything else on that thread waits, step by step.
#[derive(Debug, Default)]
struct Stretch(usize);

impl Stretch {
    /// One alert of so many bytes was worked on.
    async fn worked_on(&mut self, bytes: usize) {
        self.0 += bytes;
        if self.0 >= BYTES_AT_A_STRETCH_MAX {
            self.0 = 0;
            yield_now().await;
        }
    }
}

/// What the producer hears when something was published.
fn answer(is_one: bool, alerts: &[&Alert], verdicts: Vec<Verdict>) -> Response {
    let refused = verdicts.iter().filter(|verdict| verdict.refused.is_some()).count();
    let mut all = alerts.iter().zip(verdicts);
    if is_one && let Some((alert, verdict)) = all.next() {
        let accepted = Accepted::of(alert.id.as_str(), alert.version, verdict.remarks);
        return (StatusCode::ACCEPTED, Json(accepted)).into_response();
    }
    let alerts: Vec<OneOfSeveral> = all.map(|(alert, verdict)| one_of_several(alert, verdict)).collect();
    let accepted = AcceptedSeveral { accepted: alerts.len() - refused, refused, alerts };
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

fn one_of_several(alert: &Alert, Verdict { refused, remarks }: Verdict) -> OneOfSeveral {
    OneOfSeveral {
        id: alert.id.to_string(),
        version: alert.version,
        status: refused.as_ref().map(|_| "refused"),
        remarks: if refused.is_some() { Remarks::default() } else { remarks },
        problem: refused,
    }
}

/// Validates all. An alert of several keeps its place, for the problem that names it.
async fn alerts_of(
    shared: &Shared,
    tenant: &Tenant,
    headers: &HeaderMap,
    form: Form,
    batch: &Batch<'_>,
    stretch: &mut Stretch,
) -> Result<Vec<(Alert, Option<usize>)>, Problem> {
    let key = batch::idempotency_key(headers)?;
    let now = shared.ingest.clock.now();
    let mut alerts = Vec::with_capacity(batch.items.len());
    for &(at, raw) in &batch.items {
        let index = (!batch.is_one).then_some(at);
        let id = batch::id_of(key, index, &shared.ingest.new_id)?;
        let defaults = Defaults { tenant: Some(tenant.clone()), id: Some(id), now };
        let plain = form.plain(raw.get(), MessageKind::Alert).map_err(|problem| at_index(problem, index))?;
        let alert = alert_of(&plain, &defaults, &shared.ingest.policies);
        alerts.push((alert.map_err(|problem| at_index(problem, index))?, index));
        stretch.worked_on(raw.get().len()).await;
    }
    Ok(alerts)
}

fn alert_of(json: &str, defaults: &Defaults, policies: &Policies) -> Result<Alert, Problem> {
    if json.len() > ALERT_BYTES_MAX {
        return Err(What::Alert.too_large(json.len()));
    }
    let alert = parse_alert(json.as_bytes(), defaults)
        .map_err(|error| Problem::invalid(error.field, error.problem))?;
    check_policy(&alert.tenant, alert.policy.as_deref(), policies)?;
    Ok(alert)
}

/// Refuses a policy that does not exist: under another one people would be told too late.
pub fn check_policy(tenant: &Tenant, name: Option<&str>, policies: &Policies) -> Result<(), Problem> {
    match name {
        Some(name) if policies.get(tenant, name).is_none() => {
            Err(Problem::invalid("policy", format!("must be one of {}", policies.names(tenant).join(", "))))
        }
        _ => Ok(()),
    }
}

/// The alert as clients are shown it, and how many hold it. An alert that was accepted a moment ago may not be
/// recorded yet.
pub async fn show(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(id): NameInPath<AlertId>,
) -> Result<Response, Problem> {
    let room = room_for_a_list(&shared, &producer.tenant).await?;
    let stored = shared.ingest.store.alert(&producer.tenant, &id).await?;
    let stored = stored.ok_or_else(unknown)?;
    if !producer.may_touch(stored.maker.as_ref()) {
        return Err(known::not_its_own());
    }
    // Written by `content_of`; should it ever not be JSON, that is the store's problem, not the producer's.
    let shown = with_acknowledgement(&stored.content, stored.acknowledgement.as_ref());
    let content: Value =
        serde_json::from_str(&shown).map_err(|_| StoreError::Unreadable { what: "content" })?;
    let answer = Recorded {
        alert: content,
        recorded_at: stored.recorded_at.to_string(),
        recipients: stored.recipients,
        seen: stored.seen,
    };
    Ok(room.json(&answer))
}

/// The answer to an id that is not there, or not this tenant's, which must look the same (I8).
pub fn unknown() -> Problem {
    Problem::not_found(
        "No alert of this id is recorded for this API key. One accepted a moment ago may be soon.",
    )
}

/// Whose timeline, or of how many recipients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    user: Option<Name<UserId>>,
    after: Option<Name<UserId>>,
    limit: Option<usize>,
}

/// What happened to an alert, for one user or for a page of its recipients.
pub async fn timeline(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(id): NameInPath<AlertId>,
    Query(wanted): Query<TimelineQuery>,
) -> Result<Response, Problem> {
    let limit = limit(wanted.limit, TIMELINE_RECIPIENTS, TIMELINE_RECIPIENTS_MAX)?;
    let (user, after) = (wanted.user.map(|Name(user)| user), wanted.after.map(|Name(after)| after));
    let room = room_for_a_list(&shared, &producer.tenant).await?;
    let store = &shared.ingest.store;
    let tenant = &producer.tenant;
    let stored = store.latest(tenant, &id).await?.ok_or_else(unknown)?;
    if !producer.may_touch(stored.maker.as_ref()) {
        return Err(known::not_its_own());
    }
    let notes = notes_of(&stored.content);
    let recipients = match &user {
        Some(user) => store.timeline(tenant, &id, Some(user), limit).await?,
        None => store.timeline_after(tenant, &id, after.as_ref(), limit).await?,
    };
    let last = recipients.last().filter(|_| user.is_none()).map(|recipient| recipient.user.clone());
    let next = match &last {
        Some(last) => store
            .recipients_after(tenant, &id, Some(last), 1)
            .await?
            .first()
            .and(last.as_str().to_owned().into()),
        None => None,
    };
    let counts = store.counts(tenant, &id).await?;
    let recipients = recipients.into_iter().map(recipient_of).collect();
    Ok(room.json(&Timeline { counts: counts_of(&counts), notes, recipients, next }))
}

/// What a hook noted about how it read the alert; `null` for any other alert.
fn notes_of(content: &str) -> Value {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    content["data"][hooks::NOTES].clone()
}

/// Delivery is what providers and screens said, engagement what people did.
fn counts_of(counts: &Counts) -> TimelineCounts {
    let by_channel = |channel: Channel| {
        let alone = counts.alone.iter().map(|told| ("alone", told));
        let told = counts.in_summary.iter().map(|told| ("in_summary", told)).chain(alone);
        let told = told.filter(|(_, (by, _))| *by == channel).map(|(how, (_, people))| (how, *people));
        let of_channel = counts.attempts.iter().filter(|(by, ..)| *by == channel);
        let reached =
            Some(("reached", counts.reached)).filter(|(_, people)| channel == Channel::Push && *people > 0);
        let states = of_channel.map(|(_, state, people)| (state.as_str(), *people));
        states.chain(told).chain(reached).collect::<BTreeMap<_, _>>()
    };
    let waiting = counts.held.iter().map(|(held, people)| (held.as_str(), *people)).collect();
    let mut delivery = BTreeMap::from([("live", BTreeMap::from([("delivered", counts.delivered)]))]);
    delivery.extend(Channel::ALL.map(|channel| (channel.as_str(), by_channel(channel))));
    TimelineCounts {
        recipients: counts.recipients,
        delivery,
        engagement: [("seen", counts.seen), ("read", counts.read), ("dismissed", counts.dismissed)].into(),
        waiting,
    }
}

fn recipient_of(recipient: Recipient) -> TimelineRecipient {
    let entry =
        |entry: watchbell::store::TimelineEntry| TimelineEntry { at: entry.at.to_string(), what: entry.what };
    TimelineRecipient {
        user: recipient.user.as_str().to_owned(),
        state: recipient.state.as_str(),
        until: recipient.until.map(|until| until.to_string()),
        seq: recipient.seq,
        stopped: recipient.stopped,
        due_at: recipient.due_at.map(|at| at.to_string()),
        entries: recipient.entries.into_iter().map(entry).collect(),
    }
}
