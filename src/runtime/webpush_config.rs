//! The section `[webpush]`: the keys of browsers' pushes, which `fallback` sends with and `socket` gives to browsers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::config::maybe_secret;
use crate::domain::Secret;

/// `[webpush]`: browsers. `watchbell key vapid` makes the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebPushSection {
    /// What browsers subscribe with; `GET /v1/webpush/key` gives it to them.
    pub public_key: String,
    /// Its other half, which only fallback needs.
    #[serde(default, with = "maybe_secret")]
    pub private_key: Option<Secret>,
    /// Whom push services may write to about us: `mailto:…` or `https://…`.
    pub subject: String,
    /// Whether browsers may name push services in private networks. Only for one of your own: whoever may register a
    /// device can otherwise make fallback call any address that it reaches.
    #[serde(default)]
    pub private_endpoints: bool,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}
