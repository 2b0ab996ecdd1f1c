//! `[ingest]`: HTTP for producers. The sections about hooks are in `hooks/config.rs`.

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use watchbell::{domain::Tenant, runtime::config::checks::within};

/// More than one process takes in a second.
const RATE_MAX: u32 = 10_000_000;

/// `[ingest]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Alerts and events that one tenant may publish each second on this pod, on average; 0: any number. Beyond it the
    /// answer is 503 with `Retry-After`.
    pub rate_per_tenant: u32,
    /// Recipients that the alerts of one tenant may have each second on this pod, on average over a minute; 0: any number. A
    /// group counts as 20, `everyone` as 1,000. Beyond it the answer is 429 with `Retry-After`, and 503 to hooks.
    pub recipients_per_tenant: u32,
    /// The tenant whose keys may tell of every tenant's mails that came back, at `/v1/mail-events`: whom the account at the
    /// mail provider belongs to. Keys of the others tell of their own.
    pub mail_events_tenant: Option<String>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self { rate_per_tenant: 0, recipients_per_tenant: 2_000, mail_events_tenant: None }
    }
}

impl IngestConfig {
    /// Whether the values can be worked with.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub fn check(&self) -> anyhow::Result<()> {
        within("ingest.rate_per_tenant", self.rate_per_tenant, 0..=RATE_MAX)?;
        within("ingest.recipients_per_tenant", self.recipients_per_tenant, 0..=RATE_MAX)?;
        self.mail_events_tenant().map(drop)
    }

    /// Whose keys may tell of every tenant's mails, if anybody's.
    ///
    /// # Errors
    /// It is no tenant.
    pub fn mail_events_tenant(&self) -> anyhow::Result<Option<Tenant>> {
        let named = self.mail_events_tenant.as_deref().map(Tenant::parse).transpose();
        named.map_err(|error| anyhow!("ingest.mail_events_tenant {error}"))
    }
}
