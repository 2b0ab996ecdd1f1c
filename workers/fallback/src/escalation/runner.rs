//! Runs one escalation: decides and writes a step, calls the providers that it names, and goes on with what they
//! answered, until the escalation rests.
//!
//! What holds here:
//! - State is read in the transaction that writes the attempts (I5), and attempts are written before a provider is
//!   called (I6).
//! - Nothing waits in memory. A retry is a time in the store, so a restart forgets nothing.
//! - A process that dies costs one lease at most. The next one repeats its calls with the same ids.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::debug;
use watchbell::{
    runtime::Clock,
    store::{EscalationKey, Holder, ProviderAnswer, Stepped, StoreError},
    wire::TraceContext,
};

use super::{
    decide::Decider,
    step_batches::{StepBatches, StepRequest},
};
use crate::delivery::AttemptRunner;

/// The wait between two tries to reach the store.
const STORE_WAIT: Duration = Duration::from_millis(200);

/// Runs escalations that were claimed.
pub struct EscalationRunner {
    batches: StepBatches,
    decider: Arc<Decider>,
    attempts: AttemptRunner,
    clock: Clock,
    lease: Duration,
}

impl EscalationRunner {
    pub(crate) fn new(
        batches: StepBatches,
        decider: Decider,
        attempts: AttemptRunner,
        clock: Clock,
        lease: Duration,
    ) -> Self {
        Self { batches, decider: Arc::new(decider), attempts, clock, lease }
    }

    /// Steps one escalation, by a claim on it, until it rests or another process holds it. Its attempts are part of `trace`.
    ///
    /// # Errors
    /// The store did not answer; the escalation is claimed again when its lease ends.
    pub async fn run(
        &self,
        key: &EscalationKey,
        claim: u64,
        trace: Option<&TraceContext>,
    ) -> Result<(), StoreError> {
        let lease_ends = Instant::now() + self.lease;
        let mut holder = Holder::Claim(claim);
        let mut answers: Arc<[ProviderAnswer]> = Arc::default();
        loop {
            match self.step(key, holder, &answers, lease_ends).await? {
                Stepped::Rested => return Ok(()),
                Stepped::Lost => {
                    metrics::counter!("watchbell_fallback_lost_total").increment(1);
                    return Ok(());
                }
                Stepped::Call { fence, escalation, attempts } => {
                    let calls =
                        attempts.iter().map(|attempt| self.attempts.run(key, &escalation, attempt, trace));
                    answers = join_all(calls).await.into();
                    holder = Holder::Fence(fence);
                }
            }
        }
    }

    /// One step in the store. It is tried until the lease ends, because what a provider answered is worth recording.
    async fn step(
        &self,
        key: &EscalationKey,
        holder: Holder,
        answers: &Arc<[ProviderAnswer]>,
        lease_ends: Instant,
    ) -> Result<Stepped, StoreError> {
        loop {
            let now = self.clock.now();
            let decide = self.decider.for_step(key, now);
            let request = StepRequest { key: key.clone(), holder, answers: Arc::clone(answers), now, decide };
            match self.batches.step(request).await {
                Err(error @ StoreError::Unavailable { .. }) if Instant::now() + STORE_WAIT < lease_ends => {
                    // Readiness reports the outage once; each of many steps comes here several times a second.
                    debug!(%error, "The store does not answer; the step is repeated");
                    sleep(STORE_WAIT).await;
                }
                result => return result,
            }
        }
    }
}
