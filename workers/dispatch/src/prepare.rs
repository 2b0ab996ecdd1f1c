//! Takes deliveries from the queue, and prepares what they hold for the commit.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
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
    intake::{Intake, Refused, TakenAlert, TakenEvent},
    patience::{NotStored, patiently},
};

/// An alert with the first of its people.
pub(crate) struct Prepared {
    pub(crate) taken: TakenAlert,
    pub(crate) recipients: Vec<UserId>,
    pub(crate) then: AfterRecording,
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
    pub(crate) events: mpsc::Sender<TakenEvent>,
    pub(crate) refused: mpsc::Sender<Refused>,
}

impl Preparer<'_> {
    /// Until `shutdown`, or until nobody takes what it prepares.
    pub(crate) async fn run(self, consumer: &mut dyn Consumer, shutdown: &CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                first = consumer.next() => match first {
                    Some(first) => first,
                    None => break,
                },
            };
            let deliveries = fill(first, consumer, self.dispatch.config.batch_max);
            let intake = self.dispatch.take_in(deliveries, self.dispatch.clock.now());
            if self.hand_on(intake, shutdown).await.is_none() {
                break;
            }
        }
    }

    /// `None`: this is the end.
    async fn hand_on(&self, intake: Intake, shutdown: &CancellationToken) -> Option<()> {
        for refused in intake.refused {
            self.refused.send(refused).await.ok()?;
        }
        for event in intake.events {
            self.events.send(event).await.ok()?;
        }
        for taken in intake.alerts {
            let page = {
                let (alert, store) = (&taken.alert, &self.dispatch.store);
                patiently(shutdown, || audience::page(alert, &Position::BEGINNING, store)).await
            };
            match page {
                Ok(page) => {
                    let prepared =
                        Prepared { taken, recipients: page.recipients, then: after_recording(page.next) };
                    self.prepared.send(prepared).await.ok()?;
                }
                Err(NotStored::Leaving) => return None,
                Err(NotStored::Refused(error)) => {
                    self.refused.send(Refused::by_store(taken.delivery, &error)).await.ok()?;
                }
            }
        }
        Some(())
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
