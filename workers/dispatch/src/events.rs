//! Events: those that are to be kept are stored, then all are told to the pods, then acknowledged.
//!
//! An event that nobody keeps is worth no commit and waits for none. One that is delivered twice is told twice; its id
//! tells subscribers. Events of a topic are told in the order they came.

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use watchbell::{broker::Announcement, store::NewEvent};

use crate::{
    Dispatch,
    announce::{AnnouncementStage, IN_FLIGHT_MAX},
    intake::{Refused, TakenEvent},
    patience::{NotStored, patiently},
    prepare::next_batch,
    search::Parts,
};

/// The stage of events.
pub(crate) struct Keeper<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) announcements: &'a AnnouncementStage,
    pub(crate) refused: mpsc::Sender<Refused>,
}

impl Keeper<'_> {
    /// Until no event comes any more, or, the store being down, until `shutdown`.
    pub(crate) async fn run(self, mut events: mpsc::Receiver<TakenEvent>, shutdown: &CancellationToken) {
        let config = &self.dispatch.config;
        loop {
            let batch = next_batch(&mut events, config.batch_max, config.batch_wait).await;
            if batch.is_empty() || self.see_through(batch, shutdown).await.is_none() {
                return;
            }
        }
    }

    /// `None`: shutdown came while the store was waited for. What is unsettled goes back to the queue.
    async fn see_through(&self, events: Vec<TakenEvent>, shutdown: &CancellationToken) -> Option<()> {
        let (kept, passing): (Vec<_>, Vec<_>) = events.into_iter().partition(|one| one.new.event.keep > 0);
        self.tell(passing, "told").await;
        let mut parts = Parts::of(kept);
        while let Some(part) = parts.next() {
            let batch: Vec<NewEvent> = part.iter().map(|one| one.new.clone()).collect();
            let now = self.dispatch.clock.now();
            match patiently(shutdown, || self.dispatch.store.record_events(&batch, now)).await {
                Ok(()) => self.tell(part, "kept").await,
                Err(NotStored::Leaving) => return None,
                Err(NotStored::Refused(error)) => {
                    if let Some(culprit) = parts.refused(part) {
                        self.refused
                            .send(Refused::by_store(culprit.delivery, culprit.span, &error))
                            .await
                            .ok()?;
                    }
                }
            }
        }
        Some(())
    }

    /// Publishes them in the order they came, and acknowledges each.
    async fn tell(&self, events: Vec<TakenEvent>, outcome: &'static str) {
        metrics::counter!("watchbell_dispatch_events_total", "outcome" => outcome)
            .increment(events.len() as u64);
        let telling = events.into_iter().map(|TakenEvent { new, delivery, span }| async move {
            if let Some(announcement) = Announcement::event(&new.event, &new.content) {
                self.announcements.announce(announcement.traced(span.context())).await;
            }
            delivery.settle.ack().await;
            drop(span);
        });
        stream::iter(telling).buffered(IN_FLIGHT_MAX).for_each(std::future::ready).await;
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
