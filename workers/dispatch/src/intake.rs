//! A delivery becomes an alert or an event, or is parked with the reason why it cannot.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::{sync::mpsc, time::sleep};
use tracing::{Instrument as _, warn};
use watchbell::{
    broker::{Address, Delivery, Message, Refusal, WorkQueue, parked},
    domain::{
        Alert, AlertId, EventId, Untrusted,
        producers::NotAllowed,
        publication::{Maker, Meets, Publication, TooFarAhead},
    },
    runtime::{log_limit::LogLimit, traces::Span},
    store::{NewEvent, StoreError},
    wire::{
        InvalidAlert, MessageKind, alert::Defaults, cloudevent::plain_of, content_of, event::EventDefaults,
        event_content_of, kind_of, parse_alert, parse_event, published, refused,
    },
};

use crate::{Dispatch, PUBLISH_DEADLINE, trace};

/// Refused messages on their way to where they are parked, at once: as many as a publisher has unconfirmed.
const PARKING_MAX: usize = 256;

/// A producer may send any number of messages that are refused. Each is parked and counted.
static REFUSALS: LogLimit = LogLimit::per_minute(20);

/// Before one that could not be parked goes back to the queue.
const PARK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An alert in hand, with the delivery that is settled when it is recorded.
pub(crate) struct TakenAlert {
    pub(crate) alert: Arc<Alert>,
    pub(crate) content: Arc<str>,
    pub(crate) publication: Publication,
    /// When ingest took it; unknown for what came over AMQP.
    pub(crate) accepted_at: Option<Timestamp>,
    pub(crate) delivery: Delivery,
    /// Until it is settled.
    pub(crate) span: Span,
}

/// An event in hand, with the delivery that is settled when it is told.
pub(crate) struct TakenEvent {
    pub(crate) new: NewEvent,
    pub(crate) delivery: Delivery,
    /// Until it is settled.
    pub(crate) span: Span,
}

/// A delivery that is no use to anybody here, with the reason: it is parked, and settled after that.
pub(crate) struct Refused {
    pub(crate) delivery: Delivery,
    pub(crate) refusal: InvalidAlert,
    /// Until it is settled.
    pub(crate) span: Span,
}

/// What a delivery holds.
pub(crate) enum Intake {
    Alert(TakenAlert),
    Event(TakenEvent),
    /// For [`Dispatch::park`], which nobody else has to wait for.
    Refused(Refused),
}

/// What the body of a delivery is.
enum Read {
    Alert(Box<Alert>),
    Event(NewEvent),
}

impl Dispatch {
    /// Reads a delivery. Waits for nothing.
    pub(crate) fn take_in(&self, delivery: Delivery, now: Timestamp) -> Intake {
        let accepted_at = self.accepted_at(&delivery.message, now);
        let mut span = trace::taken(&delivery.message);
        match self.read(&delivery, now) {
            Ok(Read::Alert(alert)) => {
                trace::alert(&mut span, &alert);
                let content: Arc<str> = content_of(&alert).into();
                let publication = Publication {
                    is_redelivered: delivery.redelivered,
                    ..Publication::of(&alert, &content, self.maker_of(&delivery.message))
                };
                Intake::Alert(TakenAlert {
                    alert: Arc::new(*alert),
                    content,
                    publication,
                    accepted_at,
                    delivery,
                    span,
                })
            }
            Ok(Read::Event(new)) => Intake::Event(TakenEvent { new, delivery, span }),
            Err(refusal) => Intake::Refused(Refused { delivery, refusal, span }),
        }
    }

    /// Parks what is refused, up to [`PARKING_MAX`] at once, and settles each once it is parked (I11), until nothing more
    /// can come: a confirm takes milliseconds, and thousands one after the other would be many seconds. One that could not
    /// be parked goes back.
    pub(crate) async fn park(&self, refused: mpsc::Receiver<Refused>) {
        let refused =
            stream::unfold(refused, |mut refused| async { refused.recv().await.map(|one| (one, refused)) });
        refused.for_each_concurrent(PARKING_MAX, |one| self.park_one(one)).await;
    }

    fn read(&self, delivery: &Delivery, now: Timestamp) -> Result<Read, InvalidAlert> {
        if let Some(unreadable) = &delivery.unreadable {
            return Err(InvalidAlert::new("properties", unreadable.reason.clone()));
        }
        let Message { message_id, content_type, headers, body, .. } = &delivery.message;
        let bytes_max = WorkQueue::Dispatch.body_bytes_max();
        let bytes = delivery.cut.as_ref().map_or(body.len() as u64, |cut| cut.bytes);
        if bytes > bytes_max as u64 {
            let problem = format!("is {bytes} bytes long, at most {bytes_max} are read");
            return Err(InvalidAlert::new("body", problem));
        }
        let publisher = self.publisher_of(&delivery.message);
        self.producers.knows(publisher).map_err(not_allowed)?;
        let plain = plain_of(content_type, headers, body)?;
        match kind_of(&plain) {
            MessageKind::Alert => {
                // Without an id of its own, the alert is told from its redeliveries by the message's.
                let id = AlertId::parse(message_id).ok();
                let mut alert = parse_alert(&plain, &Defaults { tenant: None, id, now })?;
                self.producers.allows(publisher, &alert.tenant).map_err(not_allowed)?;
                self.check_policy(&alert)?;
                alert.is_dated &= !headers.contains_key(published::UNDATED);
                Ok(Read::Alert(Box::new(alert)))
            }
            MessageKind::Event => {
                let new = read_event(&plain, message_id, now)?;
                self.producers.allows(publisher, &new.event.key.tenant).map_err(not_allowed)?;
                Ok(Read::Event(new))
            }
        }
    }

    /// Whom the broker says a message is from.
    fn publisher_of<'a>(&self, message: &'a Message) -> Option<&'a str> {
        let first = message.headers.get(refused::USER).map(String::as_str);
        self.producers.publisher(message.envelope.user(), first)
    }

    /// Which API key a message came with: ingest says so, and nobody else is believed.
    fn maker_of(&self, message: &Message) -> Option<Maker> {
        if !self.producers.is_trusted(message.envelope.user()) {
            return None;
        }
        let key = message.headers.get(published::KEY)?.as_str().into();
        Some(Maker { key, own_alerts: message.headers.contains_key(published::OWN_ALERTS) })
    }

    /// When ingest took a message: it says so, and nobody else is believed.
    fn accepted_at(&self, message: &Message, now: Timestamp) -> Option<Timestamp> {
        let at = message.headers.get(published::ACCEPTED_AT)?.parse().ok()?;
        let at = Timestamp::from_millisecond(at).ok()?;
        self.producers.is_trusted(message.envelope.user()).then(|| at.min(now))
    }

    fn check_policy(&self, alert: &Alert) -> Result<(), InvalidAlert> {
        if self.policies.get(&alert.tenant, self.policies.name_for(alert)).is_none() {
            let known = self.policies.names(&alert.tenant).join(", ");
            return Err(InvalidAlert::new("policy", format!("is not one of the configured ones: {known}")));
        }
        Ok(())
    }

    async fn park_one(&self, Refused { delivery, refusal, mut span }: Refused) {
        trace::refused(&mut span, &refusal.field);
        let log = span.log();
        self.park_delivery(delivery, refusal).instrument(log).await;
    }

    async fn park_delivery(&self, delivery: Delivery, refusal: InvalidAlert) {
        metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "rejected").increment(1);
        if let Some(left_out) = REFUSALS.admit(self.clock.now()) {
            warn!(
                message.id = %Untrusted(&delivery.message.message_id), field = %Untrusted(&refusal.field),
                problem = %Untrusted(&refusal.problem), left_out,
                "Refused a message; it is kept in watchbell.rejected"
            );
        }
        let refusal = Refusal { reason: refusal.to_string(), field: Some(refusal.field.clone()), from: None };
        let copy = parked(&delivery, &refusal);
        match self.broker.publish(Address::Rejected, copy, PUBLISH_DEADLINE).await {
            Ok(()) => delivery.settle.ack().await,
            Err(error) => {
                warn!(%error, "A refused message could not be parked; it goes back to the queue");
                // Not at once: the same would happen again, and each time counts towards its delivery limit.
                sleep(PARK_AGAIN_AFTER).await;
                delivery.settle.requeue().await;
            }
        }
    }
}

impl Refused {
    /// What contradicts what is recorded; `None` for what does not.
    pub(crate) fn by_meeting(taken: TakenAlert, met: Meets) -> Option<Self> {
        let TakenAlert { delivery, span, .. } = taken;
        if met == Meets::TooFarAhead {
            return Some(Self { delivery, refusal: InvalidAlert::new("version", TooFarAhead), span });
        }
        let (reason, problem) = match met {
            Meets::Conflict => (
                "conflict",
                "an alert of this id and version is recorded, and says something else: nobody was shown this one",
            ),
            Meets::NotItsOwn => (
                "forbidden",
                "the alert of this id was made by another producer, and the API key may change only its own",
            ),
            Meets::Stale => (
                "stale",
                "a later version of this id is recorded, and what this one said is not known: nobody was shown anything. \
                 If it is the same alert, publish its newest version to these people",
            ),
            Meets::Nothing | Meets::Earlier | Meets::Same | Meets::Later | Meets::TooFarAhead => return None,
        };
        Some(Self { delivery, refusal: InvalidAlert::new(reason, problem), span })
    }

    /// What the store refuses. The operator reads by which rule, and nothing of what the message holds.
    pub(crate) fn by_store(delivery: Delivery, span: Span, error: &StoreError) -> Self {
        Self { delivery, refusal: refusal_of(error), span }
    }
}

/// The reason for what its publisher may not publish: the property that names the publisher is at fault.
fn not_allowed(why: NotAllowed) -> InvalidAlert {
    InvalidAlert::new("user_id", why)
}

/// The reason for what the store refuses.
pub(crate) fn refusal_of(error: &StoreError) -> InvalidAlert {
    InvalidAlert::new("store", error)
}

fn read_event(json: &[u8], message_id: &str, now: Timestamp) -> Result<NewEvent, InvalidAlert> {
    let id = EventId::parse(message_id).ok();
    let event = parse_event(json, &EventDefaults { tenant: None, topic: None, id, now })?;
    Ok(NewEvent { content: event_content_of(&event).into(), event: Arc::new(event) })
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
