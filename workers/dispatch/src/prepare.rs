//! Takes deliveries from the queue, and prepares what they hold for the commit, tenant by tenant.
//!
//! What holds here:
//! - Everything that the broker hands out is read at once and waits for the turn of its tenant ([`crate::turns`]), and for
//!   room behind it ([`crate::room`]).
//! - The room is given back when a commit begins, so that the next batch is prepared meanwhile.

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Consumer, Delivery},
    domain::{Tenant, UserId},
    runtime::contention::Contention,
};

use crate::{
    Dispatch,
    audience::{self, PAGE_ROWS_MAX, Position},
    intake::{Intake, Refused, TakenAlert, TakenEvent},
    patience::{NotStored, patiently},
    queues::LastTaken,
    room::{Place, Room},
    turns::{Turns, cost_of},
};

/// What takes so long to read that the other stages are let in between, in bytes.
const LONG_BODY_BYTES: usize = 16 * 1024;

/// An alert with the first of its people.
pub(crate) struct Prepared {
    pub(crate) taken: TakenAlert,
    pub(crate) recipients: Vec<UserId>,
    pub(crate) then: AfterRecording,
    /// Until it is recorded.
    pub(crate) place: Option<Place>,
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
    pub(crate) room: Arc<Room>,
    pub(crate) contention: Arc<Contention>,
    /// Deliveries that the broker hands out at once.
    pub(crate) prefetch: usize,
    pub(crate) events: mpsc::Sender<TakenEvent>,
    pub(crate) refused: mpsc::Sender<Refused>,
    /// Told of what is taken.
    pub(crate) last_taken: &'a LastTaken,
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
            let has_place = waiting.alerts.has_any_of(self.has_place(waiting.alerts.len()));
            let goes_on = tokio::select! {
                () = shutdown.cancelled() => None,
                first = consumer.next() => match first {
                    Some(first) => self.take_in(first, consumer, &mut waiting).await,
                    None => None,
                },
                place = self.events.reserve(), if !waiting.events.is_empty() => {
                    place.ok().map(|place| hand_on_event(place, &mut waiting.events))
                }
                () = ready(()), if has_place => self.hand_on_alert(&mut waiting.alerts, shutdown).await,
                () = self.room.freed(), if !has_place && !waiting.alerts.is_empty() => Some(()),
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
        let now = self.dispatch.clock.now();
        for delivery in deliveries {
            let is_long = delivery.message.body.len() > LONG_BODY_BYTES;
            match self.dispatch.take_in(delivery, now) {
                Intake::Alert(alert) => {
                    if let Some(accepted_at) = alert.accepted_at {
                        self.last_taken.note(accepted_at);
                    }
                    let tenant = alert.alert.tenant.clone();
                    self.contention.note(&tenant, Instant::now());
                    waiting.alerts.put(&tenant, alert);
                }
                Intake::Event(event) => {
                    let tenant = event.new.event.key.tenant.clone();
                    waiting.events.put(&tenant, event);
                }
                Intake::Refused(refused) => self.refused.send(refused).await.ok()?,
            }
            if is_long {
                yield_now().await;
            }
        }
        Some(())
    }

    /// Whose alerts may be prepared now, while so many wait.
    fn has_place(&self, waiting: usize) -> impl Fn(&Tenant) -> bool {
        let takes_turns =
            self.contention.has_several(Instant::now()) && !hides_others(waiting, self.prefetch);
        move |tenant| self.room.has_place_for(tenant, takes_turns)
    }

    /// Hands on the alert whose turn it is, with the first page of its people. `None`: this is the end.
    async fn hand_on_alert(
        &self,
        alerts: &mut Turns<TakenAlert>,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let Some((tenant, taken)) = alerts.take_of(self.has_place(alerts.len())) else { return Some(()) };
        let page = {
            let (alert, store) = (&taken.alert, &self.dispatch.store);
            patiently(shutdown, || audience::page(alert, &Position::BEGINNING, PAGE_ROWS_MAX, store)).await
        };
        let bytes = taken.delivery.message.body.len();
        match page {
            Ok(page) => {
                let cost = cost_of(page.recipients.len(), bytes);
                alerts.pay(&tenant, cost);
                let place = self.room.take(tenant, usize::try_from(cost).unwrap_or(usize::MAX));
                let then = after_recording(page.next);
                let prepared = Prepared { taken, recipients: page.recipients, then, place: Some(place) };
                self.prepared.send(prepared).await.ok()
            }
            Err(NotStored::Leaving) => None,
            Err(NotStored::Refused(error)) => {
                alerts.pay(&tenant, cost_of(0, bytes));
                self.refused.send(Refused::by_store(taken.delivery, taken.span, &error)).await.ok()
            }
        }
    }
}

/// Whether so much waits here that the broker hands out little more. Whoever comes next is then behind all that in the queue, where
/// nobody takes turns: what helps them is that it is soon gone, and large commits are faster.
fn hides_others(waiting: usize, prefetch: usize) -> bool {
    waiting >= (prefetch - prefetch / 4).max(1)
}

#[test]
fn what_fills_the_prefetch_hides_others() {
    for (why, waiting, prefetch, expected) in [
        ("nothing waits", 0, 1_024, false),
        ("a part of it", 767, 1_024, false),
        ("most of it", 768, 1_024, true),
        ("of two, one may be on its way", 1, 2, false),
        ("of one", 1, 1, true),
        ("and nothing", 0, 1, false),
    ] {
        assert_eq!(hides_others(waiting, prefetch), expected, "{why}");
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
    if wait.is_zero() {
        return batch; // A timer would wait for its next tick, a millisecond.
    }
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
