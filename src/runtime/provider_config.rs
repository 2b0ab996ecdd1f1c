//! The configuration of providers: who sends, as whom, and where to.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use super::config::{maybe_secret, secret};
use crate::domain::{Secret, email::email_address};

/// `[apns]`: by a key (`team_id`, `key_id`, `key`) or by a certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsSection {
    /// The ten-character team id.
    #[serde(default)]
    pub team_id: Option<String>,
    /// The ten-character key id.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The `.p8` key as PEM.
    #[serde(default, with = "maybe_secret")]
    pub key: Option<Secret>,
    /// In place of the three above: a client certificate and its private key as PEM.
    #[serde(default, with = "maybe_secret")]
    pub certificate: Option<Secret>,
    /// The app's bundle id.
    pub topic: String,
    /// Apple's production host, or a stand-in.
    pub endpoint: Option<String>,
    /// Apple's sandbox host, or a stand-in.
    pub endpoint_sandbox: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

/// `[fcm]`: HTTP v1 with a service account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmSection {
    /// The service account's JSON.
    #[serde(with = "secret")]
    pub service_account: Secret,
    /// Google's host, or a stand-in.
    pub endpoint: Option<String>,
    /// Google judges every push and shows none: for trying a configuration out.
    #[serde(default)]
    pub validate_only: bool,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

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

/// How the connection to a mail relay is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Not at all.
    None,
    /// From plain to TLS by `STARTTLS`.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// `[email]`: a mail relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSection {
    /// The relay.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `none`, `starttls` or `implicit`.
    #[serde(default)]
    pub tls: TlsMode,
    /// To sign in, with `password`.
    #[serde(default, with = "maybe_secret")]
    pub username: Option<Secret>,
    /// To sign in, with `username`.
    #[serde(default, with = "maybe_secret")]
    pub password: Option<Secret>,
    /// `Watchbell <alerts@example.com>`.
    pub from: String,
    /// Connections to the relay at the most.
    #[serde(default = "four")]
    pub connections_max: usize,
    /// A folder of templates in place of the built-in ones: `subject.txt`, `email.txt`, `email.html`, each also for one
    /// language (`email.de.html`). workers/fallback/README.md says what they see.
    #[serde(default)]
    pub templates_dir: Option<PathBuf>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

fn four() -> usize {
    4
}

impl ApnsSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let by_key = self.team_id.is_some() && self.key_id.is_some() && self.key.is_some();
        let by_any = self.team_id.is_some() || self.key_id.is_some() || self.key.is_some();
        ensure!(
            if self.certificate.is_some() { !by_any } else { by_key },
            "needs either team_id, key_id and key, or certificate"
        );
        Ok(())
    }
}

impl EmailSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.username.is_some() == self.password.is_some(), "username and password go together");
        // fallback, which writes it, parses it whole.
        let address = self.from.rsplit_once('<').map_or(&*self.from, |(_, rest)| rest.trim_end_matches('>'));
        ensure!(!self.from.contains(char::is_control), "from must be one line");
        if let Err(why) = email_address(address) {
            bail!("from, such as `Watchbell <alerts@example.org>`: its address {why}");
        }
        Ok(())
    }
}
