//! Outcomes on their way to producers: from the store's outbox to the exchange `watchbell.outcomes` and to the tenants'
//! webhooks.
//!
//! It is part of fallback because fallback is the worker that calls out, with clients that keep out of private networks.
//!
//! What holds here:
//! - Each route has a loop of its own, so that a tenant's dead address holds up nobody else.
//! - One process works on a route at a time, by a lease. An outcome is deleted after the broker has confirmed it, or the
//!   address has answered 2xx; a process that dies in between has it told again, with the same id.
//! - What cannot be told waits in the store, for so long and so many as are configured. More is dropped, and said (`sweep`).
//!
//! Elsewhere: what is written when, in `src/store/outbox.rs`; one webhook's calls in [`webhook`].

mod not_told;
mod sweep;
mod webhook;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;
use watchbell::{
    broker::{Address, Message, SharedBroker},
    domain::{OutcomeRoute, Untrusted, next_step::retry_wait},
    runtime::{
        Clock, Current,
        config::{OutcomeBounds, Outcomes},
    },
    store::{Store, StoreError, WaitingOutcome},
    wire::outcome::OutcomeV1,
};

use crate::channel::SetupError;
use not_told::NotTold;
use webhook::Webhook;

/// How often a route is looked at when nothing waited.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a route is held without being renewed, and so how long it stands still when its holder is killed. Longer than
/// it takes to tell some at once and to settle them, whatever the other end does.
const LEASE: Duration = Duration::from_secs(30);
/// Outcomes read at once.
const BATCH_MAX: usize = 256;
/// Outcomes on their way to the broker at once: as many as it may leave unconfirmed.
const QUEUE_AT_ONCE_MAX: usize = 256;
/// Calls to one tenant's address at once.
const CALLS_AT_ONCE_MAX: usize = 8;
/// How long the broker may take to confirm one.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a route rests whose other end does not answer: from the first, doubling, to the second.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// Tells outcomes, for one process.
pub struct OutcomeRelay {
    outbox: Outbox,
    ends: Current<Ends>,
    /// Says that there are other ends.
    changed: Arc<Notify>,
    bounds: OutcomeBounds,
    /// A number in 0..1, for the jitter of waits.
    jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// Where outcomes go, by route.
type Ends = Vec<(OutcomeRoute, Arc<End>)>;

/// The tenants' addresses, and what signs the calls to them, as one relay has them.
pub struct OutcomeAddresses {
    ends: Current<Ends>,
    changed: Arc<Notify>,
}

impl OutcomeAddresses {
    /// From now on these are called, and calls are signed with these secrets. What is being told is finished first.
    ///
    /// # Errors
    /// An address cannot be called; then everything stays as it was.
    pub fn replace(&self, outcomes: &Outcomes) -> Result<(), SetupError> {
        let queue =
            self.ends.get().iter().filter(|(route, _)| *route == OutcomeRoute::Queue).cloned().collect();
        self.ends.replace(with_webhooks(queue, outcomes)?);
        self.changed.notify_one();
        Ok(())
    }
}

fn with_webhooks(mut ends: Ends, outcomes: &Outcomes) -> Result<Ends, SetupError> {
    for (tenant, target) in &outcomes.webhooks {
        let webhook = End::Webhook(Box::new(Webhook::new(target)?));
        ends.push((OutcomeRoute::Webhook(tenant.clone()), Arc::new(webhook)));
    }
    Ok(ends)
}

/// What waits in the store, as one process works on it.
struct Outbox {
    store: Store,
    clock: Clock,
    /// Who holds this process' leases.
    holder: String,
}

/// Where a route ends.
enum End {
    Queue(SharedBroker),
    Webhook(Box<Webhook>),
}

/// What a look at a route came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing waits, or somebody else has it.
    Idle,
    /// There may be more.
    More,
    /// Nothing could be told.
    Failed,
}

impl OutcomeRelay {
    /// Checks the addresses; calls them when there is something to tell.
    ///
    /// # Errors
    /// An address cannot be called; the error names the tenant.
    pub fn new(
        (broker, store, clock): (SharedBroker, Store, Clock),
        outcomes: &Outcomes,
        jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
    ) -> Result<Self, SetupError> {
        let mut queue = Ends::new();
        if !outcomes.routes.queue.is_empty() {
            queue.push((OutcomeRoute::Queue, Arc::new(End::Queue(broker))));
        }
        let ends = Current::new(with_webhooks(queue, outcomes)?);
        let outbox = Outbox { store, clock, holder: Uuid::new_v4().to_string() };
        Ok(Self { outbox, ends, changed: Arc::default(), bounds: outcomes.bounds, jitter })
    }

    /// The tenants' addresses, to be replaced while this runs.
    pub fn addresses(&self) -> OutcomeAddresses {
        OutcomeAddresses { ends: self.ends.clone(), changed: Arc::clone(&self.changed) }
    }

    /// Works until `shutdown`; what is being told then is finished first.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.follow_all(&shutdown), self.sweep(&shutdown));
    }

    /// Follows every route, and begins anew whenever there are others.
    async fn follow_all(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let ends = self.ends.get();
            if !ends.is_empty() {
                info!(routes = ends.len(), "Outcomes are told to producers");
            }
            let these = shutdown.child_token();
            let until_changed = async {
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = shutdown.cancelled() => {}
                }
                these.cancel();
            };
            let loops = join_all(ends.iter().map(|(route, end)| self.follow(route, end, &these)));
            tokio::join!(loops, until_changed);
        }
    }

    async fn follow(&self, route: &OutcomeRoute, end: &End, shutdown: &CancellationToken) {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let wait = match self.relay(route, end, failures, shutdown).await {
                Ok(Turn::Failed) => {
                    if failures == 0 {
                        warn!(%route, "Outcomes cannot be told at the moment; they wait in the store");
                    }
                    failures += 1;
                    LOOK_EVERY
                }
                Ok(turn) => {
                    if turn == Turn::More && failures > 0 {
                        info!(%route, "Outcomes are told again");
                        failures = 0;
                    }
                    if turn == Turn::More { Duration::ZERO } else { LOOK_EVERY }
                }
                Err(error) => {
                    // Readiness tells of the store, once.
                    debug!(%error, %route, "Outcomes have to wait for the store");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Tells what waits for a route, up to a batch.
    async fn relay(
        &self,
        route: &OutcomeRoute,
        end: &End,
        failures: u32,
        shutdown: &CancellationToken,
    ) -> Result<Turn, StoreError> {
        if !self.outbox.store.outcomes_wait(route, self.outbox.clock.now()).await?
            || !self.outbox.claim(route).await?
        {
            return Ok(Turn::Idle);
        }
        // Whoever did not answer is asked with one: what failed before may have reached others, who get a copy each time.
        let limit = if failures == 0 { BATCH_MAX } else { 1 };
        let told = self.tell_batch(route, end, limit, shutdown).await;
        let rest = match told {
            Ok(Turn::Failed) => rest_after(failures, (self.jitter)()),
            Ok(Turn::Idle | Turn::More) | Err(_) => Duration::ZERO,
        };
        let Outbox { store, clock, holder } = &self.outbox;
        store.free_route(route, holder, clock.now() + rest).await?;
        told
    }

    async fn tell_batch(
        &self,
        route: &OutcomeRoute,
        end: &End,
        limit: usize,
        shutdown: &CancellationToken,
    ) -> Result<Turn, StoreError> {
        let waiting = self.outbox.store.waiting_outcomes(route, self.outbox.clock.now(), limit).await?;
        let at_once = match end {
            End::Queue(_) => QUEUE_AT_ONCE_MAX,
            End::Webhook(_) => CALLS_AT_ONCE_MAX,
        };
        for (number, some) in waiting.chunks(at_once).enumerate() {
            let goes_on = number == 0 || self.outbox.claim(route).await?;
            if shutdown.is_cancelled() || !goes_on {
                break;
            }
            if !self.tell_some(route, end, some).await? {
                return Ok(Turn::Failed);
            }
        }
        Ok(if waiting.is_empty() { Turn::Idle } else { Turn::More })
    }

    /// Whether any of them was told, or is done with otherwise.
    async fn tell_some(
        &self,
        route: &OutcomeRoute,
        end: &End,
        some: &[WaitingOutcome],
    ) -> Result<bool, StoreError> {
        let now = self.outbox.clock.now();
        let (old, young): (Vec<_>, Vec<_>) =
            some.iter().partition(|waiting| waiting.outcome.at + self.bounds.kept_for <= now);
        note_dropped(route, old.len() as u64, "it was too old");
        let answers = join_all(young.iter().map(|waiting| tell_one(end, waiting, now))).await;
        let mut gone = old;
        let mut later = Vec::new();
        for (waiting, answer) in young.iter().zip(answers) {
            let outcome = if answer.is_ok() { "told" } else { "failed" };
            metrics::counter!("watchbell_outcomes_told_total", "route" => route.label(), "outcome" => outcome)
                .increment(1);
            match answer {
                Ok(()) => gone.push(waiting),
                Err(not_told) => {
                    let (id, reason) = (waiting.outcome.id, Untrusted(&not_told.reason));
                    debug!(outcome.id = %id, %route, %reason, "Outcome {id} was not told: {reason}");
                    // The broker's trouble is nobody's in particular, and the order stays.
                    if matches!(end, End::Webhook(_)) {
                        let wait = retry_wait(waiting.tries + 1, not_told.wait_min, (self.jitter)());
                        later.push((*waiting, self.outbox.clock.now() + wait));
                    }
                }
            }
        }
        self.outbox.store.settle_outcomes(route, &gone, &later).await?;
        Ok(!gone.is_empty())
    }
}

impl Outbox {
    /// Takes a route for as long as a lease, or renews it. False: another process has it, or it rests.
    async fn claim(&self, route: &OutcomeRoute) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.store.claim_route(route, &self.holder, now, now + LEASE).await
    }
}

async fn tell_one(end: &End, waiting: &WaitingOutcome, now: Timestamp) -> Result<(), NotTold> {
    let body = OutcomeV1::new(&waiting.outcome).encode();
    let id = waiting.outcome.id.to_string();
    match end {
        End::Queue(broker) => {
            let told = broker.publish(Address::Outcomes, Message::json(id, body), PUBLISH_DEADLINE).await;
            told.map_err(|error| NotTold { wait_min: Duration::ZERO, reason: error.to_string() })
        }
        End::Webhook(webhook) => webhook.post(&id, body, now).await,
    }
}

fn note_dropped(route: &OutcomeRoute, number: u64, why: &'static str) {
    if number > 0 {
        let labels = [("route", route.label()), ("why", why)];
        metrics::counter!("watchbell_outcomes_dropped_total", &labels).increment(number);
        warn!(%route, number, "{number} outcomes were dropped: {why}");
    }
}

/// How long a route rests after it failed for the time number `failures + 1`; `chance` in 0..1 jitters it.
fn rest_after(failures: u32, chance: f64) -> Duration {
    let longest = REST_MIN.saturating_mul(1 << failures.min(10)).min(REST_MAX);
    longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
