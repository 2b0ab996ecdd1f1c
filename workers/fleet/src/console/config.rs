//! `[operations]`: who operates this installation.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use watchbell::domain::Tenant;

/// `[operations]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OperationsSection {
    /// The tenant of the operators: whoever has one of its API keys with the scope `operations` signs in to `/console` on the
    /// operations listener, for all tenants. Not set: there is no console. `up` has `demo`.
    pub tenant: Option<String>,
}

impl OperationsSection {
    /// The tenant of the operators, if there is a console.
    ///
    /// # Errors
    /// It is no name.
    pub(crate) fn tenant(&self) -> anyhow::Result<Option<Tenant>> {
        self.tenant.as_deref().map(Tenant::parse).transpose().context("operations.tenant")
    }
}
