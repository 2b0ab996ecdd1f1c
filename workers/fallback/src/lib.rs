//! Fallback: what nobody looked at goes out by the next channel (by default the phone, then the mailbox), once, and stops
//! when it is seen.
//!
//! Two loops and an auditor, in one process or many. The escalator claims timers that are due and publishes them as work. Senders
//! take that work, decide on the store's present state, write attempts, call providers, and record what they said.
//!
//! What holds here:
//! - Every decision is made in `escalation/decide.rs` (which asks `watchbell::domain::next_step`); the loops carry it out.
//! - State is read in the same transaction that writes the attempts (I5), and attempts are written before a provider
//!   is called (I6).
//! - Nothing waits in memory: a retry is a time in the store, so a restart forgets nothing.
//! - The auditor alarms when an open walk has no timer, which must never be (I4).
//! - A sender that dies costs at most one lease; the next one repeats its calls with the same ids.
//! - A provider in trouble is left alone and taken up slowly (`guard`), and the others notice nothing.
//!
//! Elsewhere: what is particular to a channel in [`channel`], timers in `watchbell::store`.

pub mod channel;
mod config;
mod delivery;
mod escalation;
mod guard;
mod rates;
mod upkeep;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use watchbell::{
    broker::SharedBroker,
    domain::{policy::Policies, restraint::Restraint},
    runtime::Clock,
    store::Store,
};

pub use channel::Channels;
pub use config::FallbackConfig;
pub use delivery::withdrawals::Withdrawals;
pub use escalation::step_batches::Steps;
pub use guard::Guard;
pub use rates::Rates;

/// The worker's parts. Cheap to clone.
#[derive(Clone)]
pub struct Fallback {
    /// Carries work from the escalator to the senders.
    pub broker: SharedBroker,
    /// The timers and attempts.
    pub store: Store,
    /// Steps on their way into the store.
    pub steps: Arc<Steps>,
    /// The walks.
    pub policies: Arc<Policies>,
    /// Who sends.
    pub channels: Arc<Channels>,
    /// Who may be called now.
    pub guard: Arc<Guard>,
    /// Gathers what is to be taken off one phone.
    pub withdrawals: Arc<Withdrawals>,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub config: FallbackConfig,
    /// How much one person gets at once.
    pub restraint: Restraint,
    /// How much one tenant may send.
    pub rates: Arc<Rates>,
    /// Ids of attempts and the jitter of retries.
    pub chance: Chance,
}

/// Identity and randomness as parameters, so that a run can be repeated.
#[derive(Clone)]
pub struct Chance {
    /// A new attempt's id.
    pub attempt_id: Arc<dyn Fn() -> Uuid + Send + Sync>,
    /// A number in 0..1.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Chance {
    /// Real ones: UUIDv7, because attempts are read in the order they were made.
    pub fn real() -> Self {
        Self { attempt_id: Arc::new(Uuid::now_v7), jitter: Arc::new(rand::random::<f64>) }
    }
}

impl Fallback {
    /// Runs the escalator and the senders until `shutdown`, then waits for calls that have begun.
    pub async fn run(self, shutdown: CancellationToken) {
        let escalator = self.clone().escalate(shutdown.clone());
        let auditor = self.clone().audit(shutdown.clone());
        let pruning = self.clone().prune(shutdown.clone());
        tokio::join!(escalator, auditor, pruning, self.send(shutdown));
    }
}
