//! Receipts on their way to the store: the queue that sessions and requests put them into, and how one is read.

use tokio::sync::{mpsc, oneshot};
use watchbell::{
    domain::{
        AlertId, Receipt, Timestamp, UserKey, alert::UnknownWord, receipt::RECEIPT_ALERTS_MAX,
        snooze::until_of,
    },
    store::AppliedReceipt,
    wire::frame::ReceiptFrame,
};

/// Receipts that wait to be written at the most; a session that sends more waits.
const QUEUE_MAX: usize = 4_096;

/// A receipt of more alerts than this costs as much as several: each of them is a row that is changed, and told to every session.
const ALERTS_OF_ONE_MESSAGE: usize = 50;

/// What a receipt of so many alerts costs, in messages of `socket.messages_per_second`.
pub(crate) fn cost_of(alerts: usize) -> usize {
    alerts.div_ceil(ALERTS_OF_ONE_MESSAGE).max(1)
}

/// Where receipts are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receipts {
    queue: mpsc::Sender<QueuedReceipt>,
}

/// The receipts that wait, for the one that writes them.
pub(crate) type ReceiptQueue = mpsc::Receiver<QueuedReceipt>;

/// A receipt on its way, with whoever waits for its outcome.
pub(crate) struct QueuedReceipt {
    pub(crate) receipt: Receipt,
    pub(crate) waiting: Option<oneshot::Sender<ReceiptOutcome>>,
}

/// What a receipt changed, if anything, or why it was not written.
pub(crate) type ReceiptOutcome = Result<Option<AppliedReceipt>, NotWritten>;

/// Why a receipt was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// The pod stopped first: send it to another one.
    Leaving,
    /// The store refuses it, and would refuse it again.
    Impossible,
}

impl Receipts {
    pub(crate) fn new() -> (Self, ReceiptQueue) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { queue }, receiver)
    }

    /// Takes a receipt; its frame tells the session when it is written. Waits when the store is behind.
    pub(crate) async fn put(&self, receipt: Receipt) {
        // Closed only when the pod has stopped, and then no session is left to send anything.
        let _ = self.queue.send(QueuedReceipt { receipt, waiting: None }).await;
    }

    /// Takes a receipt and waits for its outcome.
    pub(crate) async fn write(&self, receipt: Receipt) -> ReceiptOutcome {
        let (outcome, written) = oneshot::channel();
        let queued = self.queue.send(QueuedReceipt { receipt, waiting: Some(outcome) }).await;
        queued.map_err(|_| NotWritten::Leaving)?;
        written.await.unwrap_or(Err(NotWritten::Leaving))
    }
}

/// Reads a receipt that `by` (a session) gives for the user. The error names the field and the remedy.
pub(crate) fn receipt_of(
    user: &UserKey,
    by: &str,
    frame: ReceiptFrame,
    now: Timestamp,
) -> Result<Receipt, (&'static str, String)> {
    if frame.alerts.is_empty() || frame.alerts.len() > RECEIPT_ALERTS_MAX {
        return Err(("alerts", format!("must name 1 to {RECEIPT_ALERTS_MAX} alerts")));
    }
    if frame.op.as_ref().is_some_and(|op| op.len() > AlertId::LEN_MAX) {
        return Err(("op", format!("must have at most {} bytes", AlertId::LEN_MAX)));
    }
    let alerts = frame.alerts.iter().map(AlertId::parse).collect::<Result<Vec<_>, _>>();
    let state = frame.state.parse().map_err(|error: UnknownWord| ("state", error.to_string()))?;
    let until = frame
        .until
        .map(|until| until.parse::<Timestamp>())
        .transpose()
        .map_err(|_| ("until", "must be an RFC 3339 time such as 2026-11-21T12:00:00Z".to_owned()))?;
    Ok(Receipt {
        user: user.clone(),
        alerts: alerts.map_err(|error| ("alerts", error.to_string()))?,
        state,
        until: until_of(state, until, now).map_err(|problem| ("until", problem))?,
        op: frame.op,
        by: by.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_costs_by_its_alerts() {
        for (alerts, expected) in [(0, 1), (1, 1), (50, 1), (51, 2), (RECEIPT_ALERTS_MAX, 10)] {
            assert_eq!(cost_of(alerts), expected, "{alerts} alerts");
        }
    }
}
