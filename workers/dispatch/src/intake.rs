//! A delivery becomes an alert or an event, or is parked with the reason why it cannot.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;
use watchbell::{
    broker::{Address, Delivery, Message},
    domain::{Alert, AlertId, EventId},
    store::NewEvent,
    wire::{
        InvalidAlert, Kind, alert::Defaults, cloudevent::plain_of, content_of, event::EventDefaults,
        event_content_of, kind_of, parse_alert, parse_event, refused,
    },
};

use crate::{Dispatch, PUBLISH_DEADLINE};

/// An alert in hand, with the delivery that is settled when it is recorded.
pub(crate) struct Taken {
    pub(crate) alert: Arc<Alert>,
    pub(crate) content: Arc<str>,
    pub(crate) delivery: Delivery,
}

/// An event in hand, with the delivery that is settled when it is told.
pub(crate) struct TakenEvent {
    pub(crate) new: NewEvent,
    pub(crate) delivery: Delivery,
}

/// What a batch of deliveries holds.
#[derive(Default)]
pub(crate) struct Intake {
    pub(crate) alerts: Vec<Taken>,
    pub(crate) events: Vec<TakenEvent>,
}

impl Dispatch {
    /// Reads deliveries. One that is refused is parked, or back in the queue when it could not be parked.
    pub(crate) async fn take_in(&self, deliveries: Vec<Delivery>, now: Timestamp) -> Intake {
        let mut intake = Intake::default();
        for delivery in deliveries {
            if let Some(unreadable) = &delivery.unreadable {
                let refusal = InvalidAlert::new("properties", unreadable.reason.clone());
                self.park(delivery, &refusal).await;
                continue;
            }
            let Message { message_id, content_type, headers, body } = &delivery.message;
            let plain = match plain_of(content_type, headers, body) {
                Ok(plain) => plain,
                Err(refusal) => {
                    self.park(delivery, &refusal).await;
                    continue;
                }
            };
            match kind_of(&plain) {
                Kind::Alert => match self.read_alert(&plain, message_id, now) {
                    Ok(alert) => {
                        let content = content_of(&alert).into();
                        intake.alerts.push(Taken { alert: Arc::new(alert), content, delivery });
                    }
                    Err(refusal) => self.park(delivery, &refusal).await,
                },
                Kind::Event => match read_event(&plain, message_id, now) {
                    Ok(new) => intake.events.push(TakenEvent { new, delivery }),
                    Err(refusal) => self.park(delivery, &refusal).await,
                },
            }
        }
        intake
    }

    fn read_alert(&self, json: &[u8], message_id: &str, now: Timestamp) -> Result<Alert, InvalidAlert> {
        // Without an id of its own, the alert is told from its redeliveries by the message's.
        let id = AlertId::parse(message_id).ok();
        let alert = parse_alert(json, &Defaults { tenant: None, id, now })?;
        if self.policies.get(&alert.tenant, self.policies.name_for(&alert)).is_none() {
            let known = self.policies.names(&alert.tenant).join(", ");
            return Err(InvalidAlert::new("policy", format!("is not one of the configured ones: {known}")));
        }
        Ok(alert)
    }

    async fn park(&self, delivery: Delivery, refusal: &InvalidAlert) {
        metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "rejected").increment(1);
        warn!(
            message.id = %delivery.message.message_id, field = %refusal.field, problem = %refusal.problem,
            "Refused a message; it is kept in watchbell.rejected"
        );
        let mut message = delivery.message.clone();
        message.headers.insert(refused::REASON.into(), refusal.to_string());
        message.headers.insert(refused::FIELD.into(), refusal.field.clone());
        match self.broker.publish(Address::Rejected, message, PUBLISH_DEADLINE).await {
            Ok(()) => delivery.settle.ack().await,
            Err(error) => {
                warn!(%error, "A refused message could not be parked; it goes back to the queue");
                delivery.settle.requeue().await;
            }
        }
    }
}

fn read_event(json: &[u8], message_id: &str, now: Timestamp) -> Result<NewEvent, InvalidAlert> {
    let id = EventId::parse(message_id).ok();
    let event = parse_event(json, &EventDefaults { tenant: None, topic: None, id, now })?;
    Ok(NewEvent { content: event_content_of(&event).into(), event: Arc::new(event) })
}
