//! Steps gather while other steps commit, so that many escalations cost the store one commit. A single step does not wait
//! for others.
//!
//! What holds here:
//! - Whoever steps an escalation either writes a batch into the store, or is told the result by the one who did. Nothing
//!   runs detached: when the one who writes a batch is dropped, those who wait step alone.
//! - No two batches under way are about the same person, because the later one would leave that step out. Steps wait in the queue instead.
//! - A batch may leave a step out: another process works on that person, or a row cannot be read. Such a step goes into
//!   [`BATCHES_TRIED_MAX`] batches at the most, and is then repeated alone, where it waits its turn or gets its error. So is a summary,
//!   and what a store that did not answer may not have taken, at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, oneshot};
use tracing::debug;
use watchbell::{
    domain::{Timestamp, UserKey},
    store::{Ask, EscalationKey, Holder, ProviderAnswer, STEPS_PER_COMMIT_MAX, Stepped, Store, StoreError},
};

use super::decide::StepDecision;

/// Batches on their way into the store at once. While they commit, the next one gathers.
const COMMITS_MAX: usize = 2;
/// Batches that may leave out a step. Mostly another process worked on the person, who has several alerts; alone, each of those
/// steps would be a commit.
const BATCHES_TRIED_MAX: usize = 3;

/// The steps of one process on their way into the store. Holds at most one for each sender.
pub(crate) struct StepBatches {
    store: Store,
    /// How long an escalation stays with whoever steps it.
    lease: Duration,
    queue: Mutex<Queue>,
    commits: Semaphore,
    /// A batch is through, so that steps which waited for its persons may go.
    through: Notify,
}

/// Steps that wait, and whose steps are being written.
#[derive(Default)]
struct Queue {
    waiting: Vec<QueuedStep>,
    under_way: HashSet<UserKey>,
}

/// One step that is to be written.
#[derive(Clone)]
pub(crate) struct StepRequest {
    pub(crate) key: EscalationKey,
    pub(crate) holder: Holder,
    /// What providers answered since the step before.
    pub(crate) answers: Arc<[ProviderAnswer]>,
    pub(crate) now: Timestamp,
    pub(crate) decide: StepDecision,
}

/// A step that waits for whoever writes the next batch.
struct QueuedStep {
    request: StepRequest,
    done: oneshot::Sender<Option<Stepped>>,
}

impl StepBatches {
    pub(crate) fn new(store: Store, lease: Duration) -> Self {
        Self {
            store,
            lease,
            queue: Mutex::default(),
            commits: Semaphore::new(COMMITS_MAX),
            through: Notify::new(),
        }
    }

    /// Writes a step, together with others when there are any.
    ///
    /// # Errors
    /// The store did not answer, or cannot read the escalation.
    pub(crate) async fn step(&self, request: StepRequest) -> Result<Stepped, StoreError> {
        let tries = if request.key.alert.summary().is_some() { 0 } else { BATCHES_TRIED_MAX };
        for _ in 0..tries {
            match self.step_together(request.clone()).await {
                Some(Some(stepped)) => return Ok(stepped),
                Some(None) => {}
                None => break,
            }
        }
        self.store.step(&request.ask(), self.lease).await
    }

    /// `Some(None)`: the step was left out of its batch. `None`: nobody knows what became of the batch.
    async fn step_together(&self, request: StepRequest) -> Option<Option<Stepped>> {
        let (done, mut result) = oneshot::channel();
        self.queue().waiting.push(QueuedStep { request, done });
        loop {
            let turn = tokio::select! {
                biased;
                stepped = &mut result => return stepped.ok(),
                turn = self.commits.acquire() => turn.ok()?, // Never closed.
            };
            let through = self.through.notified();
            let batch = self.queue().take_batch();
            match batch.is_empty() {
                false => self.commit(batch).await,
                // Another task writes this one, or another one of that person.
                true => {
                    drop(turn);
                    tokio::select! {
                        biased;
                        stepped = &mut result => return stepped.ok(),
                        () = through => {}
                    }
                }
            }
        }
    }

    /// Writes a batch into the store, and gives each step its result.
    async fn commit(&self, batch: Vec<QueuedStep>) {
        let _under_way = UnderWay { batches: self, of: persons(&batch) };
        metrics::histogram!("watchbell_fallback_steps_per_commit").record(batch.len() as f64);
        let asks: Vec<Ask<'_>> = batch.iter().map(|queued| queued.request.ask()).collect();
        let stepped = match self.store.steps(&asks, self.lease).await {
            Ok(stepped) => stepped,
            // Whoever waits for one of them is told by the drop.
            Err(error) => {
                return debug!(%error, "A batch of steps could not be written; each is repeated alone");
            }
        };
        drop(asks);
        for (queued, stepped) in batch.into_iter().zip(stepped) {
            // A task that was dropped has lost its claim, and its escalation is claimed again.
            drop(queued.done.send(stepped));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepRequest {
    fn ask(&self) -> Ask<'_> {
        Ask {
            key: &self.key,
            holder: self.holder,
            answers: &self.answers,
            now: self.now,
            decide: &*self.decide,
        }
    }
}

/// The persons of a batch, who are free again once it is written, or whoever wrote it was dropped.
struct UnderWay<'a> {
    batches: &'a StepBatches,
    of: HashSet<UserKey>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.batches.queue().under_way.retain(|person| !self.of.contains(person));
        self.batches.through.notify_waiters();
    }
}

fn persons(batch: &[QueuedStep]) -> HashSet<UserKey> {
    batch.iter().map(|queued| queued.request.key.user.clone()).collect()
}

impl Queue {
    /// The oldest steps whose tasks still wait and of whose persons none is being written, as many as fit into a commit. Their persons
    /// are under way from now on.
    fn take_batch(&mut self) -> Vec<QueuedStep> {
        self.waiting.retain(|queued| !queued.done.is_closed());
        let mut fit = STEPS_PER_COMMIT_MAX;
        let may_go = |queued: &mut QueuedStep| {
            let goes = fit > 0 && !self.under_way.contains(&queued.request.key.user);
            fit -= usize::from(goes);
            goes
        };
        let batch: Vec<QueuedStep> = self.waiting.extract_if(.., may_go).collect();
        self.under_way.extend(persons(&batch));
        batch
    }
}

#[cfg(test)]
#[path = "step_batches_tests.rs"]
mod tests;
