//! Receipts to the store, batched, and then to all of the user's sessions, wherever they are.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use watchbell::{
    broker::{Address, Message, topology::PARTITIONS},
    domain::Receipt,
    store::{Said, StoreError},
    wire::live::{LiveReceipt, LiveV1},
};

use crate::Socket;

/// Receipts that wait to be written at the most; a session that says more waits.
const QUEUE_MAX: usize = 4_096;
/// Receipts of one commit.
const BATCH_MAX: usize = 256;
/// How long a batch waits for more.
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// The wait between two tries to reach the store.
const STORE_WAIT: Duration = Duration::from_millis(200);
/// How long the live message of a receipt may take; it is a hint.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
/// How long receipts that were said may still take to be written after the last session has left.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The way in.
pub(crate) struct Receipts {
    queue: mpsc::Sender<Waiting>,
}

/// A receipt on its way, with whoever waits for what came of it.
pub(crate) struct Waiting {
    receipt: Receipt,
    answer: Option<oneshot::Sender<Answer>>,
}

/// What came of a receipt: what it changed, if anything.
type Answer = Result<Option<Said>, NotSaid>;

/// Why a receipt was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSaid {
    /// The pod stopped first: say it to another one.
    Leaving,
    /// The store refuses it, and would refuse it again.
    Impossible,
}

impl Receipts {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { queue }, receiver)
    }

    /// Takes a receipt; its frame tells the session when it is written. Waits when the store is behind.
    pub(crate) async fn say(&self, receipt: Receipt) {
        // Closed only when the pod has stopped, and then no session is left to say anything.
        let _ = self.queue.send(Waiting { receipt, answer: None }).await;
    }

    /// Takes a receipt and waits for what came of it.
    pub(crate) async fn say_and_wait(&self, receipt: Receipt) -> Answer {
        let (answer, answered) = oneshot::channel();
        let queued = self.queue.send(Waiting { receipt, answer: Some(answer) }).await;
        queued.map_err(|_| NotSaid::Leaving)?;
        answered.await.unwrap_or(Err(NotSaid::Leaving))
    }
}

impl Socket {
    /// Writes until `stop`, and then what is still waiting.
    pub(crate) async fn write_receipts(self, mut queue: mpsc::Receiver<Waiting>, stop: CancellationToken) {
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

    async fn write_batch(
        &self,
        first: Waiting,
        queue: &mut mpsc::Receiver<Waiting>,
        give_up: Option<Instant>,
    ) {
        let until = Instant::now() + BATCH_WAIT;
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            match timeout_at(until, queue.recv()).await {
                Ok(Some(next)) => batch.push(next),
                Ok(None) | Err(_) => break,
            }
        }
        let (receipts, answers): (Vec<Receipt>, Vec<_>) =
            batch.into_iter().map(|said| (said.receipt, said.answer)).unzip();
        let said = self.apply(&receipts, give_up).await;
        let written = said.iter().filter(|said| said.is_ok()).count();
        metrics::counter!("watchbell_socket_receipts_total").increment(written as u64);
        let changed = |said: &'_ Answer| said.as_ref().ok().and_then(Option::as_ref).cloned();
        let told = receipts.iter().zip(&said).filter_map(|(receipt, said)| Some((receipt, changed(said)?)));
        futures_util::future::join_all(told.map(|(receipt, said)| self.tell(receipt, said))).await;
        for (answer, said) in answers.into_iter().zip(said) {
            if let Some(answer) = answer {
                let _ = answer.send(said); // Whoever asked may have gone.
            }
        }
    }

    /// What came of each. One that the store refuses does not take the others of its batch with it.
    async fn apply(&self, receipts: &[Receipt], give_up: Option<Instant>) -> Vec<Answer> {
        match self.insist(receipts, give_up).await {
            Ok(said) => said.into_iter().map(Ok).collect(),
            Err(NotSaid::Impossible) if receipts.len() > 1 => {
                let mut said = Vec::with_capacity(receipts.len());
                for receipt in receipts {
                    let one = self.insist(std::slice::from_ref(receipt), give_up).await;
                    said.push(one.map(|mut one| one.pop().flatten()));
                }
                said
            }
            Err(why) => vec![Err(why); receipts.len()],
        }
    }

    /// Insists: a receipt that was said stops an escalation, so it must not be lost to a store that restarts.
    async fn insist(
        &self,
        receipts: &[Receipt],
        give_up: Option<Instant>,
    ) -> Result<Vec<Option<Said>>, NotSaid> {
        loop {
            match self.0.store.apply_receipts(receipts, self.0.clock.now()).await {
                Ok(said) => return Ok(said),
                Err(error @ StoreError::Unavailable { .. }) => {
                    if give_up.is_some_and(|until| Instant::now() >= until) {
                        warn!(%error, receipts = receipts.len(), "Receipts could not be written before the end");
                        return Err(NotSaid::Leaving);
                    }
                    warn!(%error, receipts = receipts.len(), "Receipts wait for the store");
                    sleep(STORE_WAIT).await;
                }
                Err(error @ (StoreError::Refused { .. } | StoreError::Unreadable { .. })) => {
                    warn!(%error, receipts = receipts.len(), "Receipts could not be written");
                    return Err(NotSaid::Impossible);
                }
            }
        }
    }

    async fn tell(&self, receipt: &Receipt, said: Said) {
        let live = LiveV1::Receipt(LiveReceipt {
            tenant: receipt.user.tenant.to_string(),
            user: receipt.user.user.to_string(),
            seq: said.seq,
            unread: said.unread,
            alerts: said.alerts.iter().map(ToString::to_string).collect(),
            state: receipt.state.to_string(),
            until: receipt.until.map(|until| until.to_string()),
            by: receipt.by.clone(),
            op: receipt.op.clone(),
        });
        let to = Address::Live(receipt.user.partition(PARTITIONS));
        let id = format!("{}/{}/{}", receipt.user.tenant, receipt.user.user, said.seq);
        if let Err(error) =
            self.0.broker.publish(to, Message::json(id, live.encode()), PUBLISH_DEADLINE).await
        {
            debug!(%error, "A live receipt was not confirmed; sessions heal from the store");
        }
    }
}
