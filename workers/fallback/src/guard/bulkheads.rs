//! Bulkheads: how many calls of one provider, and of one tenant at it, may be under way at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;
use watchbell::domain::Tenant;

use super::gates::GateKey;
use crate::channel::Provider;

/// The share of all senders, in percent, that one provider may keep busy.
const PROVIDER_PERCENT: usize = 75;
/// The share of a provider's calls that one tenant may make.
const TENANT_PERCENT: usize = 75;
/// The share of a provider's calls that may go to one origin.
const ORIGIN_PERCENT: usize = 75;
/// Bulkheads after which those that no call uses are forgotten.
const BULKHEADS_MAX: usize = 1_000;

/// Places for calls. There is a bulkhead for each kind of provider, whatever its environment or origin, and for each tenant's
/// share of it.
pub(super) struct Bulkheads {
    provider_calls_max: usize,
    tenant_calls_max: usize,
    places: Mutex<HashMap<BulkheadKey, Arc<Semaphore>>>,
}

/// The label of a provider, for all tenants or for one.
type BulkheadKey = (&'static str, Option<Tenant>);

impl Bulkheads {
    /// For a process with this many senders at once.
    pub(super) fn new(in_flight_max: u16) -> Self {
        let provider_calls_max = share(usize::from(in_flight_max), PROVIDER_PERCENT);
        Self {
            provider_calls_max,
            tenant_calls_max: share(provider_calls_max, TENANT_PERCENT),
            places: Mutex::default(),
        }
    }

    /// The places at this kind of provider, for all tenants or for one.
    pub(super) fn places(&self, (provider, tenant): &GateKey) -> Arc<Semaphore> {
        let mut bulkheads = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if bulkheads.len() >= BULKHEADS_MAX {
            bulkheads.retain(|_, calls| Arc::strong_count(calls) > 1);
        }
        let calls_max = self.kind_calls_max(provider, tenant.is_some());
        let calls = || Arc::new(Semaphore::new(calls_max));
        Arc::clone(bulkheads.entry((provider.label, tenant.clone())).or_insert_with(calls))
    }

    /// Calls at once past one gate. One origin that hangs leaves room for the others.
    pub(super) fn gate_calls_max(&self, (provider, tenant): &GateKey) -> usize {
        let calls_max = self.kind_calls_max(provider, tenant.is_some());
        match provider {
            Provider { origin: Some(_), .. } => share(calls_max, ORIGIN_PERCENT),
            Provider { origin: None, .. } => calls_max,
        }
    }

    fn kind_calls_max(&self, provider: &Provider, of_tenant: bool) -> usize {
        let calls_max = if of_tenant { self.tenant_calls_max } else { self.provider_calls_max };
        match provider.calls_max {
            None => calls_max,
            Some(own_max) if of_tenant => calls_max.min(share(own_max, TENANT_PERCENT)),
            Some(own_max) => calls_max.min(own_max),
        }
    }
}

fn share(all: usize, percent: usize) -> usize {
    (all * percent / 100).max(1)
}
