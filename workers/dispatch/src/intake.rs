//! A delivery becomes an alert, or is parked with the reason why it cannot.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;
use watchbell::{
    broker::{Address, Delivery, Message},
    domain::{Alert, AlertId},
    wire::{InvalidAlert, alert::Defaults, content_of, parse_alert, refused},
};

use crate::{Dispatch, PUBLISH_DEADLINE};

/// An alert in hand, with the delivery that is settled when it is recorded.
pub(crate) struct Taken {
    pub(crate) alert: Arc<Alert>,
    pub(crate) content: Arc<str>,
    pub(crate) delivery: Delivery,
}

impl Dispatch {
    /// Reads one delivery. `None`: it was refused and is parked, or back in the queue when it could not be parked.
    pub(crate) async fn take_in(&self, delivery: Delivery, now: Timestamp) -> Option<Taken> {
        match self.read(&delivery.message, now) {
            Ok(alert) => {
                let content = content_of(&alert).into();
                Some(Taken { alert: Arc::new(alert), content, delivery })
            }
            Err(refusal) => {
                self.park(delivery, &refusal).await;
                None
            }
        }
    }

    fn read(&self, message: &Message, now: Timestamp) -> Result<Alert, InvalidAlert> {
        if !may_be_alert(&message.content_type) {
            let problem = "must be application/json or left out; CloudEvents are not read yet";
            return Err(InvalidAlert::new("content_type", problem));
        }
        // Without an id of its own, the alert is told from its redeliveries by the message's.
        let id = AlertId::parse(&message.message_id).ok();
        let alert = parse_alert(&message.body, &Defaults { tenant: None, id, now })?;
        if self.policies.get(alert.policy_name()).is_none() {
            let known: Vec<&str> = self.policies.names().collect();
            return Err(InvalidAlert::new(
                "policy",
                format!("is not one of the configured ones: {}", known.join(", ")),
            ));
        }
        Ok(alert)
    }

    async fn park(&self, delivery: Delivery, refusal: &InvalidAlert) {
        metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "rejected").increment(1);
        warn!(
            message.id = %delivery.message.message_id, field = %refusal.field, problem = %refusal.problem,
            "Refused an alert; it is kept in watchbell.rejected"
        );
        let mut message = delivery.message.clone();
        message.headers.insert(refused::REASON.into(), refusal.to_string());
        message.headers.insert(refused::FIELD.into(), refusal.field.clone());
        match self.broker.publish(Address::Rejected, message, PUBLISH_DEADLINE).await {
            Ok(()) => delivery.settle.ack().await,
            Err(error) => {
                warn!(%error, "A refused alert could not be parked; it goes back to the queue");
                delivery.settle.requeue().await;
            }
        }
    }
}

/// Whether a body of this type is read as an alert. Many producers state no type; none states another by accident.
fn may_be_alert(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.is_empty() || essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_json_or_says_nothing_of_its_type() {
        for accepted in ["", "application/json", "Application/JSON", "application/json; charset=utf-8"] {
            assert!(may_be_alert(accepted), "{accepted}");
        }
        for refused in ["text/plain", "application/cloudevents+json", "application/jsonl", "json"] {
            assert!(!may_be_alert(refused), "{refused}");
        }
    }
}
