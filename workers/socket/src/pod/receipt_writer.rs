//! Writes receipts to the store in batches, and then tells all of the user's sessions, wherever they are.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use watchbell::{
    broker::{Announcement, Announcer},
    domain::Receipt,
    runtime::Clock,
    store::{AppliedReceipt, Store, StoreError},
};

use crate::pod::receipts::{NotWritten, QueuedReceipt, ReceiptOutcome, ReceiptQueue};

/// Receipts of one commit.
const BATCH_MAX: usize = 256;
/// How long a batch waits for more.
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// The wait between two tries to reach the store.
const STORE_WAIT: Duration = Duration::from_millis(200);
/// How long the broker may take to confirm the live message of a receipt, which is a hint.
pub(crate) const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
/// How long receipts that wait may still take to be written after the last session has left.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Writes the receipts of a pod.
pub(crate) struct ReceiptWriter {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) clock: Clock,
}

impl ReceiptWriter {
    /// Writes until `stop`, and then what is still waiting.
    pub(crate) async fn run(self, mut queue: ReceiptQueue, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                first = queue.recv() => first,
                () = stop.cancelled() => break,
            };
            let Some(first) = first else { return };
            self.write_batch(first, &mut queue, None).await;
        }
        queue.close();
        let until = Instant::now() + LAST_WRITES;
        while let Some(first) = queue.recv().await {
            self.write_batch(first, &mut queue, Some(until)).await;
        }
    }

    async fn write_batch(&self, first: QueuedReceipt, queue: &mut ReceiptQueue, give_up: Option<Instant>) {
        let until = Instant::now() + BATCH_WAIT;
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            match timeout_at(until, queue.recv()).await {
                Ok(Some(next)) => batch.push(next),
                Ok(None) | Err(_) => break,
            }
        }
        let (receipts, waiting): (Vec<Receipt>, Vec<_>) =
            batch.into_iter().map(|queued| (queued.receipt, queued.waiting)).unzip();
        let outcomes = self.apply(&receipts, give_up).await;
        let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        metrics::counter!("watchbell_socket_receipts_total").increment(written as u64);
        let changes = receipts
            .iter()
            .zip(&outcomes)
            .filter_map(|(receipt, outcome)| Some((receipt, outcome.as_ref().ok()?.as_ref()?)));
        futures_util::future::join_all(changes.map(|(receipt, said)| self.tell(receipt, said))).await;
        for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
            if let Some(waiting) = waiting {
                let _ = waiting.send(outcome); // Whoever asked may have gone.
            }
        }
    }

    /// The outcome of each. One that the store refuses does not take the others of its batch with it.
    async fn apply(&self, receipts: &[Receipt], give_up: Option<Instant>) -> Vec<ReceiptOutcome> {
        match self.insist(receipts, give_up).await {
            Ok(changes) => changes.into_iter().map(Ok).collect(),
            Err(NotWritten::Impossible) if receipts.len() > 1 => {
                let mut outcomes = Vec::with_capacity(receipts.len());
                for receipt in receipts {
                    let one = self.insist(std::slice::from_ref(receipt), give_up).await;
                    outcomes.push(one.map(|mut one| one.pop().flatten()));
                }
                outcomes
            }
            Err(why) => vec![Err(why); receipts.len()],
        }
    }

    /// Tries until the store answers: a receipt stops an escalation, so it must not be lost to a store that restarts.
    async fn insist(
        &self,
        receipts: &[Receipt],
        give_up: Option<Instant>,
    ) -> Result<Vec<Option<AppliedReceipt>>, NotWritten> {
        loop {
            match self.store.apply_receipts(receipts, self.clock.now()).await {
                Ok(said) => return Ok(said),
                Err(error @ StoreError::Unavailable { .. }) => {
                    if give_up.is_some_and(|until| Instant::now() >= until) {
                        warn!(%error, receipts = receipts.len(), "Receipts could not be written before the end");
                        return Err(NotWritten::Leaving);
                    }
                    // Readiness tells of it.
                    debug!(%error, receipts = receipts.len(), "Receipts wait for the store");
                    sleep(STORE_WAIT).await;
                }
                Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                    warn!(%error, receipts = receipts.len(), "Receipts could not be written");
                    return Err(NotWritten::Impossible);
                }
            }
        }
    }

    async fn tell(&self, receipt: &Receipt, said: &AppliedReceipt) {
        let announcement = Announcement::receipt(receipt, said.seq, said.unread, &said.alerts);
        if let Err(error) = self.announcer.publish(announcement).await {
            debug!(%error, "A live receipt was not confirmed; sessions heal from the store");
        }
    }
}
