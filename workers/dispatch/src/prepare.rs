//! Takes deliveries from the queue, and prepares what they hold for the commit, tenant by tenant.
//!
//! What holds here:
//! - Everything that the broker hands out is read at once and waits for the turn of its tenant ([`crate::turns`]). Behind the
//!   turn there is room for `dispatch.batch_max` rows, so that whoever's turn comes next does not wait behind a long line.
//! - The room is given back when a commit begins, so that the next batch is prepared meanwhile.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Consumer, Delivery},
    domain::UserId,
};

use crate::{
    Dispatch,
    audience::{self, Position},
    intake::{Refused, TakenAlert, TakenEvent},
    patience::{NotStored, patiently},
    turns::{Turns, cost_of},
};

/// An alert with the first of its people.
pub(crate) struct Prepared {
    pub(crate) taken: TakenAlert,
    pub(crate) recipients: Vec<UserId>,
    pub(crate) then: AfterRecording,
    /// Given back when its commit begins.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// What comes once an alert is recorded for these people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterRecording {
    /// Nothing: it was for nobody else.
    Settle,
    /// Whom an earlier version reached is looked for.
    Earlier,
    /// The others of a large audience, who begin here, are left to whoever takes the next turn.
    Expand(Position),
}

/// The first stage.
pub(crate) struct Preparer<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) prepared: mpsc::Sender<Prepared>,
    /// A permit for each row that waits for its commit.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) events: mpsc::Sender<TakenEvent>,
    pub(crate) refused: mpsc::Sender<Refused>,
}

/// What was taken from the queue and waits for the turn of its tenant: no more than the broker hands out at once.
struct Waiting {
    alerts: Turns<TakenAlert>,
    events: Turns<TakenEvent>,
}

impl Preparer<'_> {
    /// Until `shutdown`, or until nobody takes what it prepares. What waits for its turn then goes back to the queue.
    pub(crate) async fn run(self, consumer: &mut dyn Consumer, shutdown: &CancellationToken) {
        let mut waiting = Waiting { alerts: Turns::new(), events: Turns::new() };
        loop {
            let goes_on = tokio::select! {
                () = shutdown.cancelled() => None,
                first = consumer.next() => match first {
                    Some(first) => self.take_in(first, consumer, &mut waiting).await,
                    None => None,
                },
                place = self.events.reserve(), if !waiting.events.is_empty() => {
                    place.ok().map(|place| hand_on_event(place, &mut waiting.events))
                }
                room = self.room.clone().acquire_owned(), if !waiting.alerts.is_empty() => match room {
                    Ok(room) => self.hand_on_alert(room, &mut waiting.alerts, shutdown).await,
                    Err(_) => None,
                },
            };
            if goes_on.is_none() {
                return;
            }
        }
    }

    /// Reads what has come, and has it wait for its turn. `None`: this is the end.
    async fn take_in(
        &self,
        first: Delivery,
        consumer: &mut dyn Consumer,
        waiting: &mut Waiting,
    ) -> Option<()> {
        let deliveries = fill(first, consumer, self.dispatch.config.batch_max);
        let intake = self.dispatch.take_in(deliveries, self.dispatch.clock.now());
        for event in intake.events {
            let tenant = event.new.event.key.tenant.clone();
            waiting.events.put(&tenant, event);
        }
        for alert in intake.alerts {
            let tenant = alert.alert.tenant.clone();
            waiting.alerts.put(&tenant, alert);
        }
        for refused in intake.refused {
            self.refused.send(refused).await.ok()?;
        }
        Some(())
    }

    /// Hands on the alert whose turn it is, with the first page of its people. `None`: this is the end.
    async fn hand_on_alert(
        &self,
        mut room: OwnedSemaphorePermit,
        alerts: &mut Turns<TakenAlert>,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let Some((tenant, taken)) = alerts.take() else { return Some(()) };
        let page = {
            let (alert, store) = (&taken.alert, &self.dispatch.store);
            patiently(shutdown, || audience::page(alert, &Position::BEGINNING, store)).await
        };
        let bytes = taken.delivery.message.body.len();
        match page {
            Ok(page) => {
                let cost = cost_of(page.recipients.len(), bytes);
                alerts.pay(&tenant, cost);
                // As much as there is: one that costs more than that is not kept waiting for it.
                let more = usize::try_from(cost - 1).unwrap_or(usize::MAX).min(self.room.available_permits());
                let more = u32::try_from(more).unwrap_or(u32::MAX);
                if let Ok(more) = self.room.clone().try_acquire_many_owned(more) {
                    room.merge(more);
                }
                let then = after_recording(page.next);
                let prepared = Prepared { taken, recipients: page.recipients, then, room: Some(room) };
                self.prepared.send(prepared).await.ok()
            }
            Err(NotStored::Leaving) => None,
            Err(NotStored::Refused(error)) => {
                alerts.pay(&tenant, cost_of(0, bytes));
                self.refused.send(Refused::by_store(taken.delivery, &error)).await.ok()
            }
        }
    }
}

/// Hands on the event whose turn it is.
fn hand_on_event(place: mpsc::Permit<'_, TakenEvent>, events: &mut Turns<TakenEvent>) {
    if let Some((tenant, event)) = events.take() {
        events.pay(&tenant, cost_of(0, event.delivery.message.body.len()));
        place.send(event);
    }
}

/// What comes after a page of an audience.
pub(crate) fn after_recording(next: Position) -> AfterRecording {
    match next {
        next if next.is_done() => AfterRecording::Settle,
        Position::EARLIER => AfterRecording::Earlier,
        next => AfterRecording::Expand(next),
    }
}

/// What has come already.
fn fill(first: Delivery, consumer: &mut dyn Consumer, batch_max: usize) -> Vec<Delivery> {
    let mut deliveries = vec![first];
    while deliveries.len() < batch_max
        && let Some(Some(delivery)) = consumer.next().now_or_never()
    {
        deliveries.push(delivery);
    }
    deliveries
}

/// The next batch for a stage: what has come while it was busy with the one before, or comes within `wait` of the first; a
/// commit costs the same for one as for many. Empty when nothing comes any more.
pub(crate) async fn next_batch<T>(from: &mut mpsc::Receiver<T>, batch_max: usize, wait: Duration) -> Vec<T> {
    let mut batch = Vec::new();
    from.recv_many(&mut batch, batch_max).await;
    let until = Instant::now() + wait;
    while !batch.is_empty() && batch.len() < batch_max {
        let room = batch_max - batch.len();
        match timeout_at(until, from.recv_many(&mut batch, room)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    batch
}
