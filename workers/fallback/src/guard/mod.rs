//! The guard stands between the senders and the providers: it decides who may be called now, and learns from each call how a
//! provider is.
//!
//! What holds here:
//! - A call needs a place at its provider and in its tenant's share of it (a bulkhead), so that a provider that hangs or
//!   a tenant that floods leaves room for the others.
//! - A call passes two gates: its provider's, and its tenant's at that provider. Apple's two environments and every push
//!   service that a browser names are providers of their own. A gate shuts when too many calls fail, and opens by a probe
//!   and a ramp.
//! - A refusal of one device is taken for that device's trouble, and the device rests alone, until several people are
//!   refused (`evidence.rs`).
//! - A call that may not go is told when to ask again. That is a time in the store: nothing waits in memory longer than
//!   [`PLACE_WAIT_MAX`].
//!
//! | file | what it is |
//! |---|---|
//! | `call.rs` | one call: to which provider, for which tenant, person and device |
//! | `outcome.rs` | what a call came to, as far as it says something of the provider: pure |
//! | `put_off.rs` | why a call may not go now |
//! | `bulkheads.rs` | the places at each provider and for each tenant |
//! | `health.rs` | all gates and suspects: admits calls and learns from them |
//! | `gates.rs` | the gates that exist, and their bounds: pure |
//! | `gate.rs` | one gate: evidence and a breaker: pure |
//! | `evidence.rs` | whether a refusal concerns one device or everybody: pure |
//! | `breaker.rs` | the circuit breaker, its ramp and its budget for retries: pure |
//! | `suspects.rs` | devices that rest alone: pure |
//! | `token_drops.rs` | whether dead tokens may be dropped: pure |

mod breaker;
mod bulkheads;
mod call;
mod evidence;
mod gate;
mod gates;
mod health;
mod outcome;
mod put_off;
mod suspects;
mod token_drops;

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tracing::error;
use watchbell::{
    domain::{Secret, Tenant, UserKey},
    runtime::Clock,
};

use crate::channel::Provider;
use bulkheads::Bulkheads;
use call::GuardedCall;
use evidence::Witness;
use health::{ProviderHealth, count_put_off};
pub(crate) use outcome::CallOutcome;
pub(crate) use put_off::PutOff;
use token_drops::TokenDrops;

/// How long a call waits for a place; then it is put off.
const PLACE_WAIT_MAX: Duration = Duration::from_millis(500);
/// When a call asks again that got no place.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// The guard of this process.
pub struct Guard {
    /// The time that gates go by.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Makes the numbers that stand for people and devices. Each process makes other numbers.
    numbers: RandomState,
    health: Mutex<ProviderHealth>,
    bulkheads: Bulkheads,
    /// By the label of a provider that knows devices by tokens.
    token_drops: Mutex<HashMap<&'static str, TokenDrops>>,
}

impl Guard {
    /// For a process with this many senders at once.
    pub fn new(in_flight_max: u16) -> Self {
        Self::by(in_flight_max, Instant::now)
    }

    /// The same, by a clock that is set by hand and where days pass in milliseconds. A real clock may step, and then
    /// [`Self::new`] is right.
    pub fn by_clock(in_flight_max: u16, clock: &Clock) -> Self {
        let (clock, begun, begun_at) = (clock.clone(), Instant::now(), clock.now());
        Self::by(in_flight_max, move || {
            begun + Duration::try_from(clock.now().duration_since(begun_at)).unwrap_or_default()
        })
    }

    fn by(in_flight_max: u16, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self {
            now: Box::new(now),
            numbers: RandomState::new(),
            health: Mutex::default(),
            bulkheads: Bulkheads::new(in_flight_max),
            token_drops: Mutex::default(),
        }
    }

    /// A call for one person, to the device or mailbox that the provider knows by `address`.
    pub(crate) fn call(&self, provider: Provider, user: &UserKey, address: &Secret) -> GuardedCall {
        let person = self.numbers.hash_one((user.tenant.as_str(), user.user.as_str()));
        let who = Witness { person, tenant: self.numbers.hash_one(user.tenant.as_str()) };
        let device = self.numbers.hash_one((&provider, address.expose()));
        GuardedCall::new(provider, user.tenant.clone(), who, device)
    }

    /// A call for nobody in particular of this tenant, about what the provider knows by `address`. All of them are one person's.
    pub(crate) fn call_for_all(&self, provider: Provider, tenant: &Tenant, address: &str) -> GuardedCall {
        let number = self.numbers.hash_one(tenant.as_str());
        let who = Witness { person: number, tenant: number };
        let device = self.numbers.hash_one((&provider, address));
        GuardedCall::new(provider, tenant.clone(), who, device)
    }

    /// A permit for one call, which has to be ended with what the call came to. `chance` in 0..1 spreads calls that are
    /// put off.
    pub(crate) async fn admit(
        &self,
        call: GuardedCall,
        is_retry: bool,
        chance: f64,
    ) -> Result<CallPermit<'_>, PutOff> {
        // Asked before a call waits for a place, so that no call waits in vain.
        let places = self.health().admit(&call, &self.bulkheads, is_retry, (self.now)(), chance)?;
        let bulkheads = call.gates.each_ref().map(|key| self.bulkheads.places(key));
        let deadline = Instant::now() + PLACE_WAIT_MAX;
        let mut held = Vec::with_capacity(places.len() + bulkheads.len());
        for places in places.into_iter().chain(bulkheads) {
            match timeout_at(deadline, places.acquire_owned()).await {
                Ok(Ok(place)) => held.push(place),
                _ => {
                    count_put_off(call.provider(), "busy");
                    let wait = PLACE_RETRY.mul_f64(1.0 + chance);
                    return Err(PutOff::busy(wait, "every place at this provider is taken"));
                }
            }
        }
        let now = (self.now)();
        let mut health = self.health();
        // And again after the wait: the gate may have shut meanwhile.
        health.admit(&call, &self.bulkheads, is_retry, now, chance)?;
        health.begin(&call, is_retry, now);
        drop(health);
        Ok(CallPermit { guard: self, call, chance, is_ended: false, _places: held })
    }

    /// Takes note of what a provider with this label answered about a token. Says whether dead tokens may be dropped now.
    pub(crate) fn may_drop_token(&self, service: &'static str, call: &GuardedCall, is_dead: bool) -> bool {
        let now = (self.now)();
        let mut drops = self.token_drops.lock().unwrap_or_else(PoisonError::into_inner);
        let drops = drops.entry(service).or_insert_with(|| TokenDrops::new(now));
        let may = drops.note(is_dead, call.who.person, now);
        let suspended = metrics::gauge!("watchbell_fallback_token_drops_suspended", "service" => service);
        suspended.set(if may { 0.0 } else { 1.0 });
        if is_dead && !may {
            metrics::counter!("watchbell_fallback_token_drops_withheld_total", "service" => service)
                .increment(1);
            error!(
                service,
                "So many tokens are refused at once that none is dropped. Check the key, the topic and the environment"
            );
        }
        may
    }

    fn health(&self) -> MutexGuard<'_, ProviderHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call, and the places that the call takes up.
pub(crate) struct CallPermit<'a> {
    guard: &'a Guard,
    call: GuardedCall,
    chance: f64,
    is_ended: bool,
    _places: Vec<OwnedSemaphorePermit>,
}

impl CallPermit<'_> {
    /// The call is over.
    pub(crate) fn end(mut self, outcome: CallOutcome) {
        self.is_ended = true;
        self.tell(Some(outcome));
    }

    fn tell(&self, outcome: Option<CallOutcome>) {
        let now = (self.guard.now)();
        self.guard.health().end(&self.call, outcome, now, self.chance);
    }
}

/// Dropped with its escalation at a shutdown, or because the provider was not called: that says nothing of the provider.
impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.tell(None);
        }
    }
}

#[cfg(test)]
mod tests;
