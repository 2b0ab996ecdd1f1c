//! Steps gather while others commit: many walks cost the store one commit, and one alone does not wait for company.
//!
//! What holds here:
//! - Whoever steps a walk either carries a batch into the store itself, or is told by the one who did. Nothing runs
//!   detached: when the one who carries it is gone, those who wait step alone.
//! - A step that its batch left out (somebody works on that person, a summary, a row that cannot be read, a store that
//!   does not answer) is taken alone, where it waits its turn or hears why not.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};
use tracing::debug;
use watchbell::{
    domain::Timestamp,
    store::{
        Answer, Ask, Decision, EscalationKey, Holder, STEPS_PER_COMMIT_MAX, Stepped, Store, StoreError, Walk,
    },
};

/// Batches on their way into the store at once. While they commit, the next one gathers.
const BATCHES_MAX: usize = 2;

/// Steps of one process on their way into the store. Holds at most one for each sender.
pub struct Steps {
    waiting: Mutex<Vec<Waiting>>,
    batches: Semaphore,
}

/// A step, to be carried into the store by whoever comes first.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) key: EscalationKey,
    pub(crate) holder: Holder,
    pub(crate) answers: Arc<[Answer]>,
    pub(crate) now: Timestamp,
    pub(crate) decide: Arc<dyn Fn(&Walk) -> Decision + Send + Sync>,
}

struct Waiting {
    step: Step,
    done: oneshot::Sender<Option<Stepped>>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { waiting: Mutex::default(), batches: Semaphore::new(BATCHES_MAX) }
    }
}

impl Steps {
    /// Takes a step.
    ///
    /// # Errors
    /// The store did not answer, or cannot read the walk.
    pub(crate) async fn take(
        &self,
        store: &Store,
        step: Step,
        lease: Duration,
    ) -> Result<Stepped, StoreError> {
        let together = match step.key.alert.summary() {
            None => self.take_together(store, step.clone(), lease).await,
            Some(_) => None,
        };
        match together {
            Some(stepped) => Ok(stepped),
            None => store.step(&step.ask(), lease).await,
        }
    }

    async fn take_together(&self, store: &Store, step: Step, lease: Duration) -> Option<Stepped> {
        let (done, mut told) = oneshot::channel();
        self.waiting().push(Waiting { step, done });
        loop {
            let turn = tokio::select! {
                biased;
                told = &mut told => return told.ok().flatten(),
                turn = self.batches.acquire() => turn.ok()?, // Never closed.
            };
            let batch = take_batch(&mut self.waiting());
            if batch.is_empty() {
                // Somebody else carries this one.
                drop(turn);
                return told.await.ok().flatten();
            }
            carry(batch, store, lease).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries a batch into the store, and tells everybody what it came to.
async fn carry(batch: Vec<Waiting>, store: &Store, lease: Duration) {
    metrics::histogram!("watchbell_fallback_steps_per_commit").record(batch.len() as f64);
    let asks: Vec<Ask<'_>> = batch.iter().map(|waiting| waiting.step.ask()).collect();
    let stepped = store.steps(&asks, lease).await.unwrap_or_else(|error| {
        debug!(%error, "A batch of steps did not get into the store: each is taken alone");
        Vec::new()
    });
    drop(asks);
    let mut stepped = stepped.into_iter();
    for waiting in batch {
        // Whoever is gone has lost its claim, and the walk is claimed again.
        drop(waiting.done.send(stepped.next().flatten()));
    }
}

impl Step {
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

/// Those who came first, as many as fit into a commit.
fn take_batch(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    waiting.retain(|one| !one.done.is_closed());
    let fit = waiting.len().min(STEPS_PER_COMMIT_MAX);
    waiting.drain(..fit).collect()
}

#[cfg(test)]
#[path = "step_batches_tests.rs"]
mod tests;
