//! What is known of the health of providers: all gates and all suspects, asked before each call and told after it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tracing::{error, info, warn};
use watchbell::domain::Tenant;

use super::{
    bulkheads::Bulkheads, call::GuardedCall, gates::Gates, outcome::CallOutcome, put_off::PutOff,
    suspects::Suspects,
};
use crate::channel::Provider;

/// Calls to a device that rested are spread over this much time.
const REST_SPREAD: Duration = Duration::from_secs(1);

/// The gates and the suspects of one process.
#[derive(Default)]
pub(super) struct ProviderHealth {
    pub(super) gates: Gates,
    suspects: Suspects,
}

impl ProviderHealth {
    /// The places past both gates of a call, when both let it go and its device does not rest.
    pub(super) fn admit(
        &mut self,
        call: &GuardedCall,
        bulkheads: &Bulkheads,
        is_retry: bool,
        now: Instant,
        chance: f64,
    ) -> Result<Vec<Arc<Semaphore>>, PutOff> {
        if let Some(rest) = self.suspects.wait(call.device, now) {
            count_put_off(call.provider(), "suspect");
            let wait = rest + REST_SPREAD.mul_f64(chance.clamp(0.0, 1.0));
            return Err(PutOff::trouble(wait, "the provider refused this recipient, who rests"));
        }
        let mut places = Vec::new();
        let mut wait = None;
        for key in &call.gates {
            let calls_max = bulkheads.gate_calls_max(key);
            if let Some(entry) = self.gates.find(key, calls_max, now) {
                wait = wait.max(entry.gate.wait(is_retry, now, chance));
                places.push(Arc::clone(&entry.calls));
            }
        }
        match wait {
            None => Ok(places),
            Some(wait) => {
                count_put_off(call.provider(), "gate");
                Err(PutOff::trouble(wait, "the provider is in trouble, or recovering from it"))
            }
        }
    }

    /// A call that was admitted begins.
    pub(super) fn begin(&mut self, call: &GuardedCall, is_retry: bool, now: Instant) {
        self.suspects.begin(call.device, now);
        for key in &call.gates {
            if let Some(entry) = self.gates.get_mut(key) {
                entry.gate.begin(is_retry, now);
            }
        }
    }

    /// A call is over. `None`: it was given up by ourselves, or not made.
    pub(super) fn end(
        &mut self,
        call: &GuardedCall,
        outcome: Option<CallOutcome>,
        now: Instant,
        chance: f64,
    ) {
        let is_news = self.note_suspect(call, outcome, now, chance);
        for key in &call.gates {
            let Some(entry) = self.gates.get_mut(key) else { continue };
            let changed = entry.gate.end(outcome, call.who, is_news, now, chance);
            let (provider, tenant) = key;
            if changed.is_mended {
                self.suspects.mended(provider, tenant.as_ref().map(|_| call.who.tenant));
                gauge_suspects(&self.suspects, provider.label);
            }
            if let Some(is_shut) = changed.shut {
                report_gate(&self.gates, provider, tenant.as_ref(), is_shut, outcome);
            }
        }
    }

    /// Remembers what was learned of a device. Says whether it is news, which a repeated refusal is not.
    fn note_suspect(
        &mut self,
        call: &GuardedCall,
        outcome: Option<CallOutcome>,
        now: Instant,
        chance: f64,
    ) -> bool {
        let suspects = &mut self.suspects;
        let (is_news, has_changed) = match outcome {
            Some(CallOutcome::DeviceRefused) => {
                let is_news = suspects.refused(call.device, call.provider(), call.who.tenant, now, chance);
                (is_news, is_news)
            }
            Some(CallOutcome::Accepted | CallOutcome::MessageRefused) => {
                (true, suspects.cleared(call.device))
            }
            None
            | Some(
                CallOutcome::Failed
                | CallOutcome::ThrottledForAll(_)
                | CallOutcome::Throttled(_)
                | CallOutcome::EverybodyRefused,
            ) => {
                suspects.nothing_learned(call.device, now);
                (true, false)
            }
        };
        if has_changed {
            gauge_suspects(suspects, call.provider().label);
        }
        is_news
    }
}

/// Counts a call that was not made.
pub(super) fn count_put_off(provider: &Provider, why: &'static str) {
    metrics::counter!("watchbell_fallback_put_off_total", "provider" => provider.label, "why" => why)
        .increment(1);
}

fn gauge_suspects(suspects: &Suspects, label: &'static str) {
    metrics::gauge!("watchbell_fallback_suspects", "provider" => label).set(suspects.count(label) as f64);
}

/// Logs that a gate shut or opened, and counts those that are shut. An origin is named by whoever has a browser, so it is in
/// the log and not in a label.
fn report_gate(
    gates: &Gates,
    provider: &Provider,
    tenant: Option<&Tenant>,
    is_shut: bool,
    outcome: Option<CallOutcome>,
) {
    let label = provider.label;
    let of = if tenant.is_some() { "tenant" } else { "everybody" };
    metrics::gauge!("watchbell_fallback_gates_shut", "provider" => label, "of" => of)
        .set(gates.shut(label, tenant.is_some()) as f64);
    let tenant = tenant.map_or("all", Tenant::as_str);
    match (is_shut, outcome) {
        (true, Some(CallOutcome::DeviceRefused | CallOutcome::EverybodyRefused)) => {
            error!(
                ?provider,
                tenant,
                "Calls to {label} are held back, because it refuses our configuration. An operator has to correct it"
            );
        }
        (true, outcome) => {
            warn!(?provider, tenant, said = ?outcome, "Calls to {label} are held back, because it is in trouble");
        }
        (false, _) => info!(?provider, tenant, "Calls to {label} begin again"),
    }
}
