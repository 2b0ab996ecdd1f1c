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
    /// The private key before this one, while browsers are still subscribed with it: their pushes are signed with it until their page is
    /// opened and subscribes again.
    #[serde(default, with = "maybe_secret")]
    pub previous_private_key: Option<Secret>,
    /// Whom push services may write to about us: `mailto:…` or `https://…`.
    pub subject: String,
    /// The page of yours that shows a person's alerts: where a click on an alert without an address leads. `#watchbell=` and the alert's
    /// id come behind it, and the inbox shows it. Browsers that show pushes by themselves (Safari) need it.
    #[serde(default)]
    pub page: Option<String>,
    /// Whether browsers may name push services in private networks. Only for one of your own: whoever may register a
    /// device can otherwise make fallback call any address that it reaches.
    #[serde(default)]
    pub private_endpoints: bool,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}
