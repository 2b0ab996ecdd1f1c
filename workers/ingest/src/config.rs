//! `[ingest]`: HTTP for producers. The sections about hooks are in `hooks/config.rs`.

use serde::{Deserialize, Serialize};

/// `[ingest]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Alerts and events that one tenant may publish each second on this pod, on average; 0: any number. Beyond it the
    /// answer is 503 with `Retry-After`.
    pub rate_per_tenant: u32,
}
