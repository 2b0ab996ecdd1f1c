//! What decisions about escalations go by, besides what the store holds.

use std::sync::Arc;

use watchbell::domain::{policy::Policies, restraint::Restraint};

use crate::rates::Rates;

/// The same for all escalations of a process.
#[derive(Clone)]
pub struct EscalationRules {
    /// The steps of each policy.
    pub policies: Arc<Policies>,
    /// How much one person gets.
    pub restraint: Restraint,
    /// How much one tenant may send.
    pub tenant_rates: Arc<Rates>,
}
