//! Events: those that are to be kept are stored, then all are told to the pods, then acknowledged.
//!
//! An event that nobody keeps is worth no commit and waits for none. One that is delivered twice is told twice; its id
//! tells subscribers.

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tracing::error;
use watchbell::{
    broker::{Message, topology::PARTITIONS},
    store::NewEvent,
    wire::live::{LiveTopicEvent, LiveV1},
};

use crate::{
    Dispatch,
    batch::{NotRecorded, Pause},
    intake::TakenEvent,
    live::IN_FLIGHT_MAX,
};

impl Dispatch {
    /// Sees events through to their acknowledgements.
    pub(crate) async fn handle_events(
        &self,
        events: Vec<TakenEvent>,
        now: Timestamp,
        shutdown: &CancellationToken,
    ) {
        let (kept, passing): (Vec<_>, Vec<_>) = events.into_iter().partition(|one| one.new.event.keep > 0);
        self.tell_events(passing, "told").await;
        match self.keep(&kept, now, shutdown).await {
            Ok(()) => self.tell_events(kept, "kept").await,
            Err(NotRecorded::Leaving) => {} // Unsettled, they go back to the queue.
            Err(NotRecorded::Impossible(error)) => {
                error!(%error, events = kept.len(), "Events cannot be stored; they go back to the queue");
                for one in kept {
                    one.delivery.settle.requeue().await;
                }
            }
        }
    }

    async fn keep(
        &self,
        events: &[TakenEvent],
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<(), NotRecorded> {
        let batch: Vec<NewEvent> = events.iter().map(|one| one.new.clone()).collect();
        let mut pause = Pause::default();
        while let Err(error) = self.store.record_events(&batch, now).await {
            pause.after(error, shutdown).await?;
        }
        Ok(())
    }

    /// Publishes them in the order they came, and acknowledges each.
    async fn tell_events(&self, events: Vec<TakenEvent>, outcome: &'static str) {
        metrics::counter!("watchbell_dispatch_events_total", "outcome" => outcome)
            .increment(events.len() as u64);
        let telling = events.into_iter().map(|TakenEvent { new, delivery }| async move {
            if let Some(message) = live_message(&new) {
                self.tell_one(new.event.key.partition(PARTITIONS), message).await;
            }
            delivery.settle.ack().await;
        });
        stream::iter(telling).buffered(IN_FLIGHT_MAX).for_each(std::future::ready).await;
    }
}

fn live_message(new: &NewEvent) -> Option<Message> {
    let event = &new.event;
    let live = LiveV1::Event(LiveTopicEvent {
        tenant: event.key.tenant.to_string(),
        topic: event.key.topic.to_string(),
        kind: event.kind.clone(),
        source: event.source.clone(),
        severity: event.severity.map(|severity| severity.to_string()),
        labels: event.labels.clone(),
        // `event_content_of` wrote it, so it is JSON.
        event: serde_json::from_str::<&RawValue>(&new.content).ok()?,
    });
    Some(Message::json(event.id.to_string(), live.encode()))
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
