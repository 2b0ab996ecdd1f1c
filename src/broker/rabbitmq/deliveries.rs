//! Deliveries on their way from a connection to the worker, and answers on their way back.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::Acker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::RabbitConfig;
use crate::broker::{CutBody, Message, Settle, Unreadable, WorkQueue};

/// What is consumed, and who takes the deliveries.
pub(super) struct Task {
    pub(super) config: Arc<RabbitConfig>,
    pub(super) queue: WorkQueue,
    pub(super) prefetch: u16,
    pub(super) to_worker: mpsc::Sender<ReceivedDelivery>,
    pub(super) shutdown: CancellationToken,
}

impl Task {
    /// Nobody wants more deliveries.
    pub(super) async fn stopped(&self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.to_worker.closed() => {}
        }
    }
}

/// A delivery on its way to the worker.
pub(super) struct ReceivedDelivery {
    pub(super) message: Message,
    pub(super) redelivered: bool,
    pub(super) unreadable: Option<Unreadable>,
    pub(super) cut: Option<CutBody>,
    pub(super) unsettled: Unsettled,
}

/// What becomes of a delivery.
pub(super) enum Settlement {
    Ack,
    Requeue,
}

/// An answer on its way to the broker: the delivery's tag, what gives the answer, and which it is.
pub(super) type PendingSettlement = (u64, Acker, Settlement);

/// Unbounded, and yet at most `prefetch` long: there are no more unsettled deliveries than that.
pub(super) type SettlementSender = mpsc::UnboundedSender<PendingSettlement>;

/// Settles one delivery, once.
pub(super) struct Unsettled {
    tag: u64,
    /// Taken when it is settled.
    acker: Option<Acker>,
    answers: SettlementSender,
}

impl Unsettled {
    pub(super) fn new(tag: u64, acker: Acker, answers: SettlementSender) -> Self {
        Self { tag, acker: Some(acker), answers }
    }

    /// Whether its connection is lost: then it is delivered again.
    pub(super) fn is_lost(&self) -> bool {
        self.answers.is_closed()
    }

    fn answer(&mut self, answer: Settlement) {
        if let Some(acker) = self.acker.take() {
            // Fails when the connection is lost: then it is delivered again.
            let _ = self.answers.send((self.tag, acker, answer));
        }
    }
}

#[async_trait]
impl Settle for Unsettled {
    async fn ack(mut self: Box<Self>) {
        self.answer(Settlement::Ack);
    }

    async fn requeue(mut self: Box<Self>) {
        self.answer(Settlement::Requeue);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.answer(Settlement::Requeue);
    }
}
