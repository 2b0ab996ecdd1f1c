//! Between the senders and the providers: who may call whom now, and what an answer says of a provider's health.
//!
//! What holds here:
//! - A call needs a place at its provider and in its tenant's share of it (bulkhead), so that a provider that hangs or
//!   a tenant that floods leaves room for the others.
//! - It passes two gates: its provider's and its tenant's at that provider. Apple's two environments and every push
//!   service that a browser names are providers of their own. A gate shuts when there is much trouble, and opens by a
//!   probe and a ramp.
//! - What is said of one device is that device's fault, which rests alone, until several people agree (`evidence.rs`).
//! - Whoever may not go is told when to ask again. That is a time in the store: nothing waits in memory longer than
//!   [`PLACE_WAIT_MAX`].
//!
//! | file | what |
//! |---|---|
//! | `gate.rs` | what answers mean for one gate: pure |
//! | `evidence.rs` | whether a refusal is one device's or everybody's: pure |
//! | `breaker.rs` | breaker, ramp, retry budget: pure |
//! | `suspects.rs` | devices that rest alone: pure |
//! | `gates.rs` | the gates there are, and their bounds: pure |
//! | `token_drops.rs` | whether dead tokens may be dropped: pure |

mod breaker;
mod evidence;
mod gate;
mod gates;
mod suspects;
mod token_drops;

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};
use watchbell::{
    domain::{Secret, Tenant, UserKey},
    runtime::Clock,
};

use crate::channel::Provider;
use evidence::Witness;
pub(crate) use gate::Said;
use gates::{Gates, Key};
use suspects::Suspects;
use token_drops::Drops;

/// How long a call waits for a place; then it is put off.
const PLACE_WAIT_MAX: Duration = Duration::from_millis(500);
/// When one asks again who got no place.
const PLACE_RETRY: Duration = Duration::from_secs(1);
/// Of all senders, the share (in percent) that one provider may keep busy; of those, the share of one tenant, and that
/// of one origin.
const PROVIDER_PERCENT: usize = 75;
const TENANT_PERCENT: usize = 75;
const ORIGIN_PERCENT: usize = 75;
/// Bulkheads after which those that nobody uses are forgotten.
const BULKHEADS_MAX: usize = 1_000;

/// Who is called for whom.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    provider: Provider,
    tenant: Tenant,
    who: Witness,
    /// The token or address, as a number.
    device: u64,
}

/// Places by the label of a provider, for all tenants or for one.
type Bulkheads = HashMap<(&'static str, Option<Tenant>), Arc<Semaphore>>;

/// The gates of this process.
pub struct Guard {
    /// The time that gates go by.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Makes the numbers that people and devices are known by, others in each process.
    numbers: RandomState,
    /// Calls of one provider at once.
    provider_calls_max: usize,
    tenant_calls_max: usize,
    gates: Mutex<Gates>,
    suspects: Mutex<Suspects>,
    /// A bulkhead for each kind of provider, whatever its environment or origin, and for each tenant's share of it.
    bulkheads: Mutex<Bulkheads>,
    /// By the label of a provider that knows devices by tokens.
    drops: Mutex<HashMap<&'static str, Drops>>,
}

/// Why a call may not go now, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) wait: Duration,
    pub(crate) why: &'static str,
    /// The provider is in trouble, or was with this device, so that it may take long; otherwise it is only busy.
    pub(crate) is_trouble: bool,
}

impl Later {
    /// There is much to do.
    pub(crate) fn busy(wait: Duration, why: &'static str) -> Self {
        Self { wait, why, is_trouble: false }
    }

    fn trouble(wait: Duration, why: &'static str) -> Self {
        Self { wait, why, is_trouble: true }
    }
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
            numbers: RandomState::new(),
            provider_calls_max,
            tenant_calls_max: share(provider_calls_max, TENANT_PERCENT),
            gates: Mutex::default(),
            suspects: Mutex::default(),
            bulkheads: Mutex::default(),
            drops: Mutex::default(),
        }
    }

    /// A call for one person, to the device or mailbox that the provider knows by `address`.
    pub(crate) fn call(&self, provider: Provider, user: &UserKey, address: &Secret) -> Call {
        let person = self.numbers.hash_one((user.tenant.as_str(), user.user.as_str()));
        let who = Witness { person, tenant: self.numbers.hash_one(user.tenant.as_str()) };
        let device = self.numbers.hash_one((&provider, address.expose()));
        Call { provider, tenant: user.tenant.clone(), who, device }
    }

    /// A pass for one call, which has to be ended with what the provider answered.
    pub(crate) async fn enter(&self, call: Call, is_retry: bool, chance: f64) -> Result<Pass<'_>, Later> {
        let keys = [(call.provider.clone(), None), (call.provider.clone(), Some(call.tenant.clone()))];
        // Asked before a place is waited for, so that nobody waits for nothing.
        let places = self.ask(&call, &keys, is_retry, chance)?;
        let bulkheads =
            [self.bulkhead(&call.provider, None), self.bulkhead(&call.provider, Some(&call.tenant))];
        let deadline = Instant::now() + PLACE_WAIT_MAX;
        let mut held = Vec::with_capacity(places.len() + bulkheads.len());
        for places in places.into_iter().chain(bulkheads) {
            match timeout_at(deadline, places.acquire_owned()).await {
                Ok(Ok(place)) => held.push(place),
                _ => {
                    note_put_off(&call.provider, "busy");
                    let wait = PLACE_RETRY.mul_f64(1.0 + chance);
                    return Err(Later::busy(wait, "every place at this provider is taken"));
                }
            }
        }
        // And again after it: the gate may have shut meanwhile.
        self.ask(&call, &keys, is_retry, chance)?;
        let now = (self.now)();
        self.suspects().begin(call.device, now);
        let mut gates = self.gates();
        for key in &keys {
            if let Some(place) = gates.get_mut(key) {
                place.scope.begin(is_retry, now);
            }
        }
        Ok(Pass { guard: self, call, keys, chance, is_ended: false, _places: held })
    }

    /// The places of both gates, when both would let a call go and its device does not rest.
    fn ask(
        &self,
        call: &Call,
        keys: &[Key; 2],
        is_retry: bool,
        chance: f64,
    ) -> Result<Vec<Arc<Semaphore>>, Later> {
        let now = (self.now)();
        if let Some(rest) = self.suspects().wait(call.device, now) {
            note_put_off(&call.provider, "suspect");
            let wait = rest + PLACE_RETRY.mul_f64(chance.clamp(0.0, 1.0));
            return Err(Later::trouble(wait, "the provider refused this device, and it rests"));
        }
        let mut gates = self.gates();
        let mut places = Vec::with_capacity(keys.len());
        let mut wait = None;
        for key in keys {
            if let Some(place) = gates.find(key, self.calls_max(&key.0, key.1.is_some()), now) {
                wait = wait.max(place.scope.wait(is_retry, now, chance));
                places.push(Arc::clone(&place.calls));
            }
        }
        match wait {
            None => Ok(places),
            Some(wait) => {
                note_put_off(&call.provider, "gate");
                Err(Later::trouble(wait, "the provider is in trouble, or recovering from it"))
            }
        }
    }

    fn end(&self, call: &Call, keys: &[Key; 2], said: Option<Said>, chance: f64) {
        let now = (self.now)();
        let is_news = self.note_suspect(call, said, now, chance);
        let mut gates = self.gates();
        for (provider, tenant) in keys {
            let Some(place) = gates.get_mut(&(provider.clone(), tenant.clone())) else { continue };
            let changed = place.scope.end(said, call.who, is_news, now, chance);
            if changed.is_mended {
                let mut suspects = self.suspects();
                suspects.mended(provider, tenant.as_ref().map(|_| call.who.tenant));
                tell_suspects(&suspects, provider.label);
            }
            if let Some(is_shut) = changed.shut {
                tell_gate(&gates, provider, tenant.as_ref(), is_shut, said);
            }
        }
    }

    /// Keeps what was said of a device. Says whether it is news: the first refusal, or none.
    fn note_suspect(&self, call: &Call, said: Option<Said>, now: Instant, chance: f64) -> bool {
        let mut suspects = self.suspects();
        let (is_news, has_changed) = match said {
            Some(Said::Refused) => {
                let is_news = suspects.refused(call.device, &call.provider, call.who.tenant, now, chance);
                (is_news, is_news)
            }
            Some(Said::Served | Said::Answered) => (true, suspects.cleared(call.device)),
            Some(Said::Trouble | Said::Brake(_) | Said::Throttled(_) | Said::Broken) | None => {
                suspects.unheard(call.device, now);
                (true, false)
            }
        };
        if has_changed {
            tell_suspects(&suspects, call.provider.label);
        }
        is_news
    }

    /// Takes note of what a provider with this label said of a token. Says whether dead ones may be dropped now.
    pub(crate) fn may_drop(&self, service: &'static str, call: &Call, is_dead: bool) -> bool {
        let now = (self.now)();
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let may = drops.entry(service).or_insert_with(|| Drops::new(now)).note(is_dead, call.who.person, now);
        let suspended = metrics::gauge!("watchbell_fallback_token_drops_suspended", "service" => service);
        suspended.set(if may { 0.0 } else { 1.0 });
        if is_dead && !may {
            metrics::counter!("watchbell_fallback_token_drops_withheld_total", "service" => service)
                .increment(1);
            error!(
                service,
                "So many tokens are refused at once that none is dropped: is this the right key, topic and environment?"
            );
        }
        may
    }

    fn bulkhead(&self, provider: &Provider, tenant: Option<&Tenant>) -> Arc<Semaphore> {
        let mut bulkheads = self.bulkheads.lock().unwrap_or_else(PoisonError::into_inner);
        if bulkheads.len() >= BULKHEADS_MAX {
            bulkheads.retain(|_, calls| Arc::strong_count(calls) > 1);
        }
        let calls_max = self.kind_calls_max(provider, tenant.is_some());
        let calls = || Arc::new(Semaphore::new(calls_max));
        Arc::clone(bulkheads.entry((provider.label, tenant.cloned())).or_insert_with(calls))
    }

    /// Calls at once past one gate.
    fn calls_max(&self, provider: &Provider, of_tenant: bool) -> usize {
        let calls_max = self.kind_calls_max(provider, of_tenant);
        match provider {
            // One that hangs leaves room for the others.
            Provider { origin: Some(_), .. } => (calls_max * ORIGIN_PERCENT / 100).max(1),
            Provider { origin: None, .. } => calls_max,
        }
    }

    fn kind_calls_max(&self, provider: &Provider, of_tenant: bool) -> usize {
        let calls_max = if of_tenant { self.tenant_calls_max } else { self.provider_calls_max };
        match provider.calls_max {
            None => calls_max,
            Some(own_max) if of_tenant => calls_max.min((own_max * TENANT_PERCENT / 100).max(1)),
            Some(own_max) => calls_max.min(own_max),
        }
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_put_off(provider: &Provider, why: &'static str) {
    metrics::counter!("watchbell_fallback_put_off_total", "provider" => provider.label, "why" => why)
        .increment(1);
}

fn tell_suspects(suspects: &Suspects, label: &'static str) {
    metrics::gauge!("watchbell_fallback_suspects", "provider" => label).set(suspects.count(label) as f64);
}

/// Says that a gate shut or opened, and counts those that are shut. An origin is named by whoever has a browser, so it is
/// in the log and not in a label.
fn tell_gate(gates: &Gates, provider: &Provider, tenant: Option<&Tenant>, is_shut: bool, said: Option<Said>) {
    let label = provider.label;
    let of = if tenant.is_some() { "tenant" } else { "everybody" };
    metrics::gauge!("watchbell_fallback_gates_shut", "provider" => label, "of" => of)
        .set(gates.shut(label, tenant.is_some()) as f64);
    let tenant = tenant.map_or("all", Tenant::as_str);
    match (is_shut, said) {
        (true, Some(Said::Refused | Said::Broken)) => {
            error!(
                ?provider,
                tenant,
                "Calls to {label} are held back: it refuses our configuration, and an operator has to mend it"
            );
        }
        (true, said) => warn!(?provider, tenant, ?said, "Calls to {label} are held back: it is in trouble"),
        (false, _) => info!(?provider, tenant, "Calls to {label} begin again"),
    }
}

/// The right to one call, and its place.
pub(crate) struct Pass<'a> {
    guard: &'a Guard,
    call: Call,
    keys: [Key; 2],
    chance: f64,
    is_ended: bool,
    _places: Vec<OwnedSemaphorePermit>,
}

impl Pass<'_> {
    /// The provider has answered, or did not in time.
    pub(crate) fn end(mut self, said: Said) {
        self.is_ended = true;
        self.guard.end(&self.call, &self.keys, Some(said), self.chance);
    }
}

/// Dropped with its walk at a shutdown: it says nothing of the provider.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.guard.end(&self.call, &self.keys, None, self.chance);
        }
    }
}

#[cfg(test)]
mod tests;
