//! From an accepted alert or event to a confirmed one.
//!
//! What holds here:
//! - [`ready`] and [`ready_event`] read back what they encoded, as dispatch will: what is accepted here is not
//!   rejected there (I1).
//! - [`publish`] answers `Ok` only when all were confirmed. After anything else some may have been, which the same
//!   ids make harmless (I2).

use std::{borrow::Cow, time::Duration};

use futures_util::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use tracing::{debug, error};
use watchbell::{
    broker::{Address, Message, PublishError},
    domain::{
        Alert, Event, Tenant, alert::bounds::ALERT_BYTES_MAX, publication::Maker,
        topic::bounds::EVENT_BYTES_MAX,
    },
    runtime::{
        health::Seen,
        http::{Failure as _, RETRY_AFTER_S},
        rate_limit::TooSoon,
    },
    wire::{
        Problem, TraceContext,
        alert::{Defaults, encode_alert},
        event::{EventDefaults, encode_event},
        parse_alert, parse_event, published,
    },
};

use crate::{
    Shared,
    count::What,
    limits::{EVERYONE_COUNTS_AS, GROUP_COUNTS_AS, HOLDERS_COUNT_AS, PUBLISHES_PER_REQUEST_MAX},
    trace,
};

/// AMQP carries a message id as a short string.
const MESSAGE_ID_BYTES_MAX: usize = 255;

/// A message that dispatch will accept.
#[derive(Debug)]
pub struct ReadyMessage {
    message: Message,
    /// How many recipients are charged for it.
    recipients: usize,
}

impl ReadyMessage {
    /// How long its body is.
    pub fn bytes(&self) -> usize {
        self.message.body.len()
    }
}

/// The message of an alert that dispatch will accept.
///
/// # Errors
/// 413 and 422, for what only shows once defaults are filled in.
pub fn ready(alert: &Alert, by: &Maker, trace: Option<&TraceContext>) -> Result<ReadyMessage, Problem> {
    let body = encode_alert(alert);
    if body.len() > ALERT_BYTES_MAX {
        return Err(What::Alert.too_large(body.len()));
    }
    let defaults = Defaults { tenant: None, id: None, now: alert.occurred_at };
    parse_alert(&body, &defaults).map_err(|error| Problem::invalid(error.field, error.problem))?;
    let mut message = Message::json(message_id(alert), body);
    let mut say = |name: &str, value: &str| message.headers.insert(name.to_owned(), value.to_owned());
    say(published::KEY, &by.key);
    if by.own_alerts {
        say(published::OWN_ALERTS, "true");
    }
    if !alert.is_dated {
        say(published::UNDATED, "true");
    }
    Ok(ReadyMessage { message: traced(message, trace), recipients: recipients_of(alert) })
}

/// How many recipients an alert is charged for: those that it names, and a fixed number for those that only dispatch knows.
fn recipients_of(alert: &Alert) -> usize {
    let everyone = if alert.to.everyone { EVERYONE_COUNTS_AS } else { 0 };
    let holders = if alert.version > 1 { HOLDERS_COUNT_AS } else { 0 };
    alert.to.users.len() + alert.to.groups.len() * GROUP_COUNTS_AS + everyone + holders
}

/// The message of an event that dispatch will accept.
///
/// # Errors
/// 413 and 422, as for an alert.
pub fn ready_event(event: &Event, trace: Option<&TraceContext>) -> Result<ReadyMessage, Problem> {
    let body = encode_event(event);
    if body.len() > EVENT_BYTES_MAX {
        return Err(What::Event.too_large(body.len()));
    }
    let defaults = EventDefaults { tenant: None, topic: None, id: None, now: event.occurred_at };
    parse_event(&body, &defaults).map_err(|error| Problem::invalid(error.field, error.problem))?;
    let plain = format!("{}/{}/{}", event.key.tenant, event.key.topic, event.id);
    let message_id = match plain.len() {
        0..=MESSAGE_ID_BYTES_MAX => plain,
        _ => format!("{}/sha256:{:x}", event.key.tenant, Sha256::digest(plain)),
    };
    Ok(ReadyMessage { message: traced(Message::json(message_id, body), trace), recipients: 0 })
}

fn traced(mut message: Message, trace: Option<&TraceContext>) -> Message {
    trace::carry(trace, &mut message.headers);
    message
}

/// What everything downstream dedups on: `tenant/id/version`, with the hash of an id that would not fit.
fn message_id(alert: &Alert) -> String {
    let Alert { tenant, id, version, .. } = alert;
    let plain = format!("{tenant}/{id}/{version}");
    match plain.len() {
        0..=MESSAGE_ID_BYTES_MAX => plain,
        _ => format!("{tenant}/sha256:{:x}/{version}", Sha256::digest(id.as_str())),
    }
}

/// Publishes all of them within one deadline.
///
/// # Errors
/// 503 when not all were confirmed, when too many are under way already, or when this tenant publishes too many; 429 when
/// its alerts had too many recipients.
pub async fn publish(
    shared: &Shared,
    tenant: &Tenant,
    what: What,
    messages: Vec<ReadyMessage>,
) -> Result<(), Problem> {
    let asked = messages.len();
    let recipients: usize = messages.iter().map(|ready| ready.recipients).sum();
    charge(shared, tenant, what, asked, Some(recipients).filter(|recipients| *recipients > 0))?;
    wait_for_others(shared, tenant, what, asked).await?;
    let mut room = shared.publishes.share(tenant.clone());
    if room.take(asked).is_err() {
        what.count("busy", asked);
        return Err(Problem::unavailable(
            format!("Too many {what}s are being published: none of these was. Send them again."),
            RETRY_AFTER_S,
        ));
    };
    let deadline = Instant::now() + shared.publish_deadline;
    let accepted_at = shared.ingest.clock.now().as_millisecond().to_string();
    let publish_one = |ReadyMessage { mut message, .. }: ReadyMessage| {
        message.headers.insert(published::ACCEPTED_AT.to_owned(), accepted_at.clone());
        let span = trace::publishing(&mut message);
        async move {
            let outcome = publish_by(shared, message, deadline).await;
            trace::published(span, &outcome);
            outcome
        }
    };
    let outcomes: Vec<_> =
        stream::iter(messages).map(publish_one).buffer_unordered(PUBLISHES_PER_REQUEST_MAX).collect().await;
    answer(what, &outcomes, &waits_for(shared, &outcomes).await)
}

/// Where several tenants publish alerts, each waits for a moment who would fill the queue before the others (`pace.rs`).
async fn wait_for_others(shared: &Shared, tenant: &Tenant, what: What, asked: usize) -> Result<(), Problem> {
    if what != What::Alert {
        return Ok(());
    }
    match shared.pace.take(tenant, asked, Instant::now()) {
        Ok(wait) => sleep(wait).await,
        Err(TooSoon { .. }) => {
            what.count("busy", asked);
            return Err(Problem::unavailable(
                "Other tenants publish, too, and yours sends more alerts than can be taken in turn: none of these was published. \
                 Send them again after `Retry-After`.",
                RETRY_AFTER_S,
            ));
        }
    }
    Ok(())
}

/// Publishes one, if there is time left.
async fn publish_by(shared: &Shared, message: Message, deadline: Instant) -> Result<(), PublishError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(PublishError::Unavailable(shared.publish_deadline));
    }
    shared.ingest.broker.publish(Address::Alerts, message, left).await
}

/// Whether the tenant may publish alerts now. It is asked before a body is read, because all that a large one costs would be for
/// nothing otherwise.
///
/// # Errors
/// As [`publish`], for a tenant that is beyond a rate already.
pub fn may_publish(shared: &Shared, tenant: &Tenant) -> Result<(), Problem> {
    charge(shared, tenant, What::Alert, 0, Some(0))
}

/// Takes so many alerts or events, and recipients, from what the tenant may publish. `recipients: None`: they are not charged.
fn charge(
    shared: &Shared,
    tenant: &Tenant,
    what: What,
    asked: usize,
    recipients: Option<usize>,
) -> Result<(), Problem> {
    let now = Instant::now();
    let taken = shared.rate.as_ref().map(|rate| rate.take(tenant, asked, now, Duration::ZERO));
    if let Some(Err(TooSoon { wait })) = taken {
        what.count("rate", asked.max(1));
        return Err(Problem::unavailable(
            format!(
                "Your tenant publishes more {what}s than it may (`ingest.rate_per_tenant`): none of these was."
            ),
            u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX),
        ));
    }
    let charged = shared.recipients.as_ref().zip(recipients);
    let taken = charged.map(|(rate, recipients)| rate.take(tenant, recipients, now, Duration::ZERO));
    if let Some(Err(TooSoon { wait })) = taken {
        what.count("recipients", asked.max(1));
        return Err(too_many_recipients(what, wait));
    }
    Ok(())
}

/// The answer to a tenant whose alerts had more recipients than it may reach.
fn too_many_recipients(what: What, wait: Duration) -> Problem {
    let detail = format!(
        "Your tenant's {what}s have more recipients than they may (`ingest.recipients_per_tenant`): none of these was published. \
         Send them again after `Retry-After`, or name groups in place of their members."
    );
    Problem::too_many(detail, u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX))
}

/// What did not answer in time. Where a publish is confirmed only once it is recorded, that is the store.
async fn waits_for(shared: &Shared, outcomes: &[Result<(), PublishError>]) -> Cow<'static, str> {
    let is_late = outcomes.iter().any(|outcome| matches!(outcome, Err(PublishError::Unavailable(_))));
    if !is_late || !shared.ingest.broker.confirms_what_is_recorded() {
        return "The broker".into();
    }
    match shared.ingest.store.look().await.store {
        Seen::Failing(fault) => format!("The store does not work ({}) and", fault.cause).into(),
        _ => "The store".into(),
    }
}

/// What the producer hears. One that is not confirmed decides for all.
fn answer(what: What, outcomes: &[Result<(), PublishError>], who: &str) -> Result<(), Problem> {
    let confirmed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.len() - confirmed;
    what.count("accepted", confirmed);
    let Some(worst) =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).max_by_key(|error| rank(error))
    else {
        return Ok(());
    };
    let detail = match (confirmed, outcomes.len()) {
        (_, 1) => format!(
            "{who} did not confirm the {what} in time, it may have arrived. Send it again with the same id or \
             `Idempotency-Key`: a copy changes nothing."
        ),
        (confirmed, all) => format!(
            "{who} confirmed {confirmed} of {all} {what}s in time. Send all of them again with the same ids or \
             `Idempotency-Key`: copies change nothing."
        ),
    };
    match worst {
        PublishError::Unavailable(_) | PublishError::Refused => {
            what.count("unavailable", refused);
            // Readiness tells of it once, and metrics count.
            debug!(refused, confirmed, "{who} did not confirm {refused} {what}s in time");
            Err(Problem { detail: Some(detail), ..worst.kind().problem() })
        }
        PublishError::Unroutable => {
            what.count("unroutable", refused);
            error!(refused, "No queue takes {what}s: run `watchbell topology apply`");
            Err(Problem { detail: Some(detail), ..worst.kind().problem() })
        }
        PublishError::TooLarge { len } => {
            what.count("too_large", refused);
            Err(what.too_large(*len))
        }
    }
}

/// What will not get better by itself outranks what may.
fn rank(error: &PublishError) -> u8 {
    match error {
        PublishError::Unavailable(_) | PublishError::Refused => 0,
        PublishError::Unroutable => 1,
        PublishError::TooLarge { .. } => 2,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::AlertId;

    use super::*;

    #[test]
    fn one_that_is_not_confirmed_decides_for_all() {
        let (ok, late) = (Ok(()), Err(PublishError::Unavailable(Duration::from_secs(5))));
        let (lost, long) = (Err(PublishError::Unroutable), Err(PublishError::TooLarge { len: 9 }));
        let one = "The broker did not confirm the alert in time";
        for (why, outcomes, expected) in [
            ("nothing to do", vec![], None),
            ("all confirmed", vec![ok.clone(), ok.clone()], None),
            ("one alone", vec![late.clone()], Some((503, one))),
            (
                "some",
                vec![ok.clone(), late.clone()],
                Some((503, "The broker confirmed 1 of 2 alerts in time")),
            ),
            ("no queue is 503 too", vec![lost], Some((503, one))),
            ("never accepted", vec![ok, late, long], Some((413, "The alert has 9 bytes"))),
        ] {
            let answer = answer(What::Alert, &outcomes, "The broker").err();
            assert_eq!(
                answer.as_ref().map(|problem| problem.status),
                expected.map(|(status, _)| status),
                "{why}"
            );
            if let (Some(problem), Some((_, detail))) = (answer, expected) {
                assert!(problem.detail.unwrap().starts_with(detail), "{why}");
            }
        }
    }

    #[test]
    fn whom_only_dispatch_knows_costs_a_fixed_number() {
        for (why, to, version, expected) in [
            ("one", r#"{"users": ["ana"]}"#, 1, 1),
            ("a group", r#"{"groups": ["ops"]}"#, 1, 20),
            ("everyone", r#"{"everyone": true}"#, 1, 1_000),
            ("all of it", r#"{"users": ["a", "b"], "groups": ["c", "d"], "everyone": true}"#, 1, 1_042),
            ("whoever holds an earlier version", r#"{"users": ["ana"]}"#, 2, 21),
        ] {
            let json = format!(r#"{{"tenant": "acme", "to": {to}, "title": "t", "version": {version}}}"#);
            let id = AlertId::parse("a").ok();
            let defaults = Defaults { tenant: None, id, now: jiff::Timestamp::UNIX_EPOCH };
            assert_eq!(recipients_of(&parse_alert(json.as_bytes(), &defaults).unwrap()), expected, "{why}");
        }
    }

    #[test]
    fn a_message_id_fits_an_amqp_short_string() {
        let tenant = "t".repeat(Tenant::LEN_MAX);
        let json = br#"{"to": {"users": ["ana"]}, "title": "t"}"#;
        let id = |text: String| AlertId::parse(text).unwrap();
        let with = |id| Defaults {
            tenant: Tenant::parse(&tenant).ok(),
            id: Some(id),
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let short = parse_alert(json, &with(id("a".into()))).unwrap();
        assert_eq!(message_id(&short), format!("{tenant}/a/1"));
        let long = parse_alert(json, &with(id("a".repeat(AlertId::LEN_MAX)))).unwrap();
        assert!(message_id(&long).len() <= MESSAGE_ID_BYTES_MAX);
        let other = parse_alert(json, &with(id(format!("{}b", "a".repeat(AlertId::LEN_MAX - 1))))).unwrap();
        assert_ne!(message_id(&long), message_id(&other));
    }
}
