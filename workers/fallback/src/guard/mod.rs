//! Between the senders and the providers: who may call whom now, and what an answer says of a provider's health.
//!
//! What holds here:
//! - A call needs a place at its provider and in its tenant's share of it (bulkhead), so that a provider that hangs or
//!   a tenant that floods leaves room for the others.
//! - It passes two gates: its provider's and its tenant's at that provider. A gate shuts when there is much trouble, and
//!   opens by a probe and a ramp.
//! - Whoever may not go is told when to ask again. That is a time in the store: nothing waits in memory longer than
//!   [`PLACE_WAIT_MAX`].
//! - Every browser names its own push service, so each of those is a provider of its own.
//!
//! | file | what |
//! |---|---|
//! | `gate.rs` | breaker, ramp, retry budget: pure |
//! | `drops.rs` | whether dead tokens may be dropped: pure |

mod drops;
mod gate;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::{error, info};
use watchbell::{
    domain::{PushService, Tenant},
    runtime::Clock,
};

use drops::Drops;
use gate::Gate;
pub(crate) use gate::Health;

/// How long a call waits for a place; then it is put off.
const PLACE_WAIT_MAX: Duration = Duration::from_millis(500);
/// When one asks again who got no place.
const PLACE_RETRY: Duration = Duration::from_secs(1);
/// Of all senders, the share (in percent) that one provider may keep busy; of those, the share of one tenant.
const PROVIDER_PERCENT: usize = 75;
const TENANT_PERCENT: usize = 75;
/// Calls of the mail relay at once, however many senders there are: a relay takes one mail a connection, and who waits
/// for a connection waits within the call's own deadline.
const EMAIL_CALLS_MAX: usize = 48;
/// Gates that are remembered. A client that names many push services wins nothing: beyond it, a call passes its
/// provider's gate alone.
const GATES_MAX: usize = 10_000;

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Provider {
    /// A push service; for browsers, the host of the one that took the subscription.
    Push(PushService, Option<String>),
    /// The mail relay.
    Email,
}

impl Provider {
    fn label(&self) -> &'static str {
        match self {
            Self::Push(service, _) => service.as_str(),
            Self::Email => "email",
        }
    }
}

/// A gate is a provider's, or a tenant's at a provider.
type Key = (Provider, Option<Tenant>);

struct Place {
    gate: Gate,
    places: Arc<Semaphore>,
}

/// The gates of this process.
pub struct Guard {
    /// The time that gates go by.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Calls of one provider at once.
    provider_calls_max: usize,
    tenant_calls_max: usize,
    gates: Mutex<HashMap<Key, Place>>,
    /// A bulkhead a kind of provider: hosts of browsers share one.
    kinds: Mutex<HashMap<&'static str, Arc<Semaphore>>>,
    drops: Mutex<HashMap<PushService, Drops>>,
}

/// Why a call may not go now, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) wait: Duration,
    pub(crate) why: &'static str,
}

impl Guard {
    /// For a process with so many senders at once.
    pub fn new(in_flight_max: u16) -> Self {
        Self::by(in_flight_max, Instant::now)
    }

    /// The same by a clock that is set by hand, where days pass in milliseconds. A real one may step; then
    /// [`Self::new`] is right.
    pub fn by_clock(in_flight_max: u16, clock: &Clock) -> Self {
        let (clock, begun, begun_at) = (clock.clone(), Instant::now(), clock.now());
        Self::by(in_flight_max, move || {
            begun + Duration::try_from(clock.now().duration_since(begun_at)).unwrap_or_default()
        })
    }

    fn by(in_flight_max: u16, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let share = |all: usize, percent: usize| (all * percent / 100).max(1);
        let provider_calls_max = share(usize::from(in_flight_max), PROVIDER_PERCENT);
        Self {
            now: Box::new(now),
            provider_calls_max,
            tenant_calls_max: share(provider_calls_max, TENANT_PERCENT),
            gates: Mutex::default(),
            kinds: Mutex::default(),
            drops: Mutex::default(),
        }
    }

    /// A pass for one call, which has to be ended with what the provider answered.
    pub(crate) async fn enter(
        &self,
        provider: Provider,
        tenant: &Tenant,
        is_retry: bool,
        chance: f64,
    ) -> Result<Pass<'_>, Later> {
        let keys = [(provider.clone(), None), (provider.clone(), Some(tenant.clone()))];
        // Asked before a place is waited for, so that nobody waits for nothing.
        let places = self.ask(&keys, is_retry, chance)?;
        let kind = self.kind(&provider);
        let deadline = Instant::now() + PLACE_WAIT_MAX;
        let mut held = Vec::with_capacity(places.len() + 1);
        for places in places.into_iter().chain([kind]) {
            match timeout_at(deadline, places.acquire_owned()).await {
                Ok(Ok(place)) => held.push(place),
                _ => {
                    metrics::counter!("watchbell_fallback_put_off_total", "provider" => provider.label(), "why" => "busy")
                        .increment(1);
                    let wait = PLACE_RETRY.mul_f64(1.0 + chance);
                    return Err(Later { wait, why: "every place at this provider is taken" });
                }
            }
        }
        // And again after it: the gate may have shut meanwhile.
        self.ask(&keys, is_retry, chance)?;
        let now = (self.now)();
        let mut gates = self.gates();
        for key in &keys {
            if let Some(place) = gates.get_mut(key) {
                place.gate.begin(is_retry, now);
            }
        }
        Ok(Pass { guard: self, keys, chance, is_ended: false, _places: held })
    }

    /// The places of both gates, when both would let a call go.
    fn ask(&self, keys: &[Key; 2], is_retry: bool, chance: f64) -> Result<Vec<Arc<Semaphore>>, Later> {
        let now = (self.now)();
        let mut gates = self.gates();
        let mut places = Vec::with_capacity(keys.len());
        let mut wait = None;
        for key in keys {
            if gates.len() >= GATES_MAX && !gates.contains_key(key) {
                gates.retain(|_, place| !place.gate.is_idle(now) || place.places.available_permits() == 0);
            }
            if gates.len() >= GATES_MAX && !gates.contains_key(key) {
                continue;
            }
            let calls_max = self.calls_max(&key.0, key.1.is_some());
            let place = gates.entry(key.clone()).or_insert_with(|| Place {
                gate: Gate::new(now),
                places: Arc::new(Semaphore::new(calls_max)),
            });
            wait = wait.max(place.gate.wait(is_retry, now, chance));
            places.push(Arc::clone(&place.places));
        }
        match wait {
            None => Ok(places),
            Some(wait) => {
                metrics::counter!("watchbell_fallback_put_off_total", "provider" => keys[0].0.label(), "why" => "gate")
                    .increment(1);
                Err(Later { wait, why: "the provider is in trouble, or recovering from it" })
            }
        }
    }

    fn end(&self, keys: &[Key; 2], health: Option<Health>, chance: f64) {
        let now = (self.now)();
        let mut gates = self.gates();
        for key in keys {
            let Some(place) = gates.get_mut(key) else { continue };
            let was_shut = place.gate.is_shut();
            place.gate.end(health, now, chance);
            if key.1.is_none() && was_shut != place.gate.is_shut() {
                let (provider, shut) = (key.0.label(), place.gate.is_shut());
                metrics::gauge!("watchbell_fallback_gate_shut", "provider" => provider).set(if shut {
                    1.0
                } else {
                    0.0
                });
                match shut {
                    true => error!(provider, ?health, "Calls to {provider} are held back: it is in trouble"),
                    false => info!(provider, "Calls to {provider} begin again"),
                }
            }
        }
    }

    /// Takes note of what a push service said of a token. Says whether dead ones may be dropped now.
    pub(crate) fn may_drop(&self, service: PushService, is_dead: bool) -> bool {
        let now = (self.now)();
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let may = drops.entry(service).or_insert_with(|| Drops::new(now)).note(is_dead, now);
        let suspended =
            metrics::gauge!("watchbell_fallback_token_drops_suspended", "service" => service.as_str());
        suspended.set(if may { 0.0 } else { 1.0 });
        if is_dead && !may {
            metrics::counter!("watchbell_fallback_token_drops_withheld_total", "service" => service.as_str())
                .increment(1);
            error!(service = %service, "So many tokens are refused at once that none is dropped: is this the right key, topic and environment?");
        }
        may
    }

    fn kind(&self, provider: &Provider) -> Arc<Semaphore> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let places = || Arc::new(Semaphore::new(self.calls_max(provider, false)));
        Arc::clone(kinds.entry(provider.label()).or_insert_with(places))
    }

    fn calls_max(&self, provider: &Provider, of_tenant: bool) -> usize {
        let calls_max = if of_tenant { self.tenant_calls_max } else { self.provider_calls_max };
        match provider {
            Provider::Push(..) => calls_max,
            Provider::Email if of_tenant => calls_max.min(EMAIL_CALLS_MAX * TENANT_PERCENT / 100),
            Provider::Email => calls_max.min(EMAIL_CALLS_MAX),
        }
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one call, and its place.
pub(crate) struct Pass<'a> {
    guard: &'a Guard,
    keys: [Key; 2],
    chance: f64,
    is_ended: bool,
    _places: Vec<OwnedSemaphorePermit>,
}

impl Pass<'_> {
    /// The provider has answered, or did not in time.
    pub(crate) fn end(mut self, health: Health) {
        self.is_ended = true;
        self.guard.end(&self.keys, Some(health), self.chance);
    }
}

/// Dropped with its walk at a shutdown: it says nothing of the provider.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.guard.end(&self.keys, None, self.chance);
        }
    }
}

#[cfg(test)]
mod tests;
