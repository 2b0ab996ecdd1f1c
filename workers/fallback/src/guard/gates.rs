//! The gates of one process, and the bounds on their number.
//!
//! What holds here:
//! - No gate is removed to make room for another. Only a gate that remembers nothing is forgotten.
//! - A tenant whose people name many origins can fill its own share of the gates, and no other's.
//! - A call for which there is no room for a gate passes the gates that exist, and its bulkheads.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use watchbell::domain::Tenant;

use super::gate::Gate;
use crate::channel::Provider;

/// Gates that are remembered, and those of one tenant.
pub(super) const GATES_MAX: usize = 10_000;
pub(super) const GATES_OF_TENANT_MAX: usize = 256;
/// Gates that all tenants share: each stands before one provider, environment or origin.
pub(super) const SHARED_GATES_MAX: usize = 1_000;
/// How often gates that remember nothing are looked for when there is no room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A gate stands before a provider, for all tenants or for one.
pub(super) type GateKey = (Provider, Option<Tenant>);

pub(super) struct GateEntry {
    pub(super) gate: Gate,
    pub(super) calls: Arc<Semaphore>,
}

#[derive(Default)]
pub(super) struct Gates {
    entries: HashMap<GateKey, GateEntry>,
    /// The number of gates by tenant; those of `None` are for all tenants.
    counts: HashMap<Option<Tenant>, usize>,
    swept_at: Option<Instant>,
}

impl Gates {
    pub(super) fn get_mut(&mut self, key: &GateKey) -> Option<&mut GateEntry> {
        self.entries.get_mut(key)
    }

    /// The gate of this key, made when there is room for it. `calls_max` is for a new gate.
    pub(super) fn find(&mut self, key: &GateKey, calls_max: usize, now: Instant) -> Option<&mut GateEntry> {
        if !self.entries.contains_key(key) {
            if !self.has_room(&key.1) {
                self.sweep(now);
            }
            if !self.has_room(&key.1) {
                return None;
            }
            let calls = Arc::new(Semaphore::new(calls_max));
            let entry = GateEntry { gate: Gate::new(key.1.is_some(), now), calls };
            self.entries.insert(key.clone(), entry);
            *self.counts.entry(key.1.clone()).or_default() += 1;
        }
        self.entries.get_mut(key)
    }

    /// How many gates of providers with this label are shut: those for all tenants (false) or for single tenants (true).
    pub(super) fn shut(&self, label: &str, of_tenants: bool) -> usize {
        let is_meant = |key: &GateKey| key.0.label == label && key.1.is_some() == of_tenants;
        self.entries.iter().filter(|(key, entry)| is_meant(key) && entry.gate.is_shut()).count()
    }

    fn has_room(&self, tenant: &Option<Tenant>) -> bool {
        let own_max = if tenant.is_some() { GATES_OF_TENANT_MAX } else { SHARED_GATES_MAX };
        self.entries.len() < GATES_MAX && self.counts.get(tenant).is_none_or(|own| *own < own_max)
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now.duration_since(at) < SWEEP_EVERY) {
            return;
        }
        self.swept_at = Some(now);
        let counts = &mut self.counts;
        self.entries.retain(|key, entry| {
            let is_used = Arc::strong_count(&entry.calls) > 1;
            let stays = is_used || !entry.gate.is_idle(now);
            if !stays {
                match counts.get_mut(&key.1) {
                    Some(own) if *own > 1 => *own -= 1,
                    _ => drop(counts.remove(&key.1)),
                }
            }
            stays
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{
        super::{evidence::Witness, outcome::CallOutcome},
        *,
    };

    fn origin(name: &str, tenant: Option<&str>) -> GateKey {
        let provider = Provider { origin: Some(format!("{name}.example")), ..Provider::named("webpush") };
        (provider, tenant.map(|name| Tenant::parse(name).unwrap()))
    }

    fn shut(entry: &mut GateEntry, now: Instant) {
        let who = Witness { person: 1, tenant: 1 };
        entry.gate.end(Some(CallOutcome::EverybodyRefused), who, true, now, 0.0);
    }

    #[test]
    fn a_stranger_who_names_many_origins_takes_no_gate_from_anybody() {
        let (begun, mut gates) = (Instant::now(), Gates::default());
        let (shared, own) = (origin("push", None), origin("push", Some("acme")));
        for key in [&shared, &own] {
            shut(gates.find(key, 1, begun).unwrap(), begun);
        }
        for n in 0..20_000 {
            for tenant in [None, Some("mallory")] {
                if let Some(entry) = gates.find(&origin(&format!("h{n}"), tenant), 1, begun) {
                    shut(entry, begun); // None of them is idle, so none can be forgotten.
                }
            }
        }
        assert_eq!(gates.entries.len(), SHARED_GATES_MAX + GATES_OF_TENANT_MAX + 1);
        for key in [&shared, &own] {
            assert!(gates.get_mut(key).unwrap().gate.is_shut(), "it is still there, and shut");
        }
        assert!(gates.find(&origin("new", Some("acme")), 1, begun).is_some(), "and there is room for more");
        let later = begun + Duration::from_secs(3_600);
        assert!(gates.find(&origin("later", None), 1, later).is_some(), "what nobody calls is forgotten");
        assert_eq!((gates.entries.len(), gates.counts.values().sum::<usize>()), (1, 1));
    }
}
