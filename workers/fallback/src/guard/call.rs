//! One call, as the guard sees it.

use watchbell::domain::Tenant;

use super::{evidence::Witness, gates::GateKey};
use crate::channel::Provider;

/// To whom a call goes, and for whom it is made.
#[derive(Debug, Clone)]
pub(crate) struct GuardedCall {
    /// The gates that it passes: that of all tenants, and that of its own.
    pub(super) gates: [GateKey; 2],
    pub(super) who: Witness,
    /// The token or address, as a number.
    pub(super) device: u64,
}

impl GuardedCall {
    pub(super) fn new(provider: Provider, tenant: Tenant, who: Witness, device: u64) -> Self {
        Self { gates: [(provider.clone(), None), (provider, Some(tenant))], who, device }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.gates[0].0
    }
}
