//! `[ingest]`: HTTP for producers. The sections about hooks are in `hooks/config.rs`.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Secret, Tenant},
    runtime::config::{checks::within, values::maybe_secret},
};

use crate::mail_events::{
    signatures::MailSignatures,
    sns::{Sns, is_origin},
};

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
    /// group counts as 20, `everyone` as 1,000. Beyond it the answer is 429 with `Retry-After`, and 503 to hooks. While several
    /// tenants publish, each may have no more alerts than this a second: a request waits for up to a second, then it is answered 503.
    pub recipients_per_tenant: u32,
    /// The tenant whose keys may tell of every tenant's mails that came back, at `/v1/mail-events`: whom the account at the
    /// mail provider belongs to. Keys of the others tell of their own.
    pub mail_events_tenant: Option<String>,
    /// The key that SendGrid shows for its signed events, in base64. With it, what is posted as SendGrid's and not signed is refused.
    pub sendgrid_public_key: Option<String>,
    /// The key with which Mailgun signs what it posts (`HTTP webhook signing key`). With it, what is not signed is refused.
    #[serde(with = "maybe_secret")]
    pub mailgun_signing_key: Option<Secret>,
    /// What stands in for Amazon SNS.
    pub sns: SnsConfig,
}

/// `[ingest.sns]`: something that stands in for Amazon SNS, which posts the events of Amazon SES. Amazon's own needs nothing here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnsConfig {
    /// Where its certificate and its confirmations are, besides Amazon's own hosts. Whoever serves there is believed about mails.
    pub origin: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            rate_per_tenant: 0,
            recipients_per_tenant: 2_000,
            mail_events_tenant: None,
            sendgrid_public_key: None,
            mailgun_signing_key: None,
            sns: SnsConfig::default(),
        }
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
        self.mail_events_tenant()?;
        self.sns.check()?;
        self.mail_signatures().map(drop)
    }

    /// Checks what SendGrid and Mailgun sign, where their keys are given.
    ///
    /// # Errors
    /// SendGrid's is no key.
    pub fn mail_signatures(&self) -> anyhow::Result<MailSignatures> {
        let signatures =
            MailSignatures::new(self.sendgrid_public_key.as_deref(), self.mailgun_signing_key.as_ref());
        signatures.map_err(|error| anyhow!("ingest.sendgrid_public_key {error}"))
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

impl SnsConfig {
    /// Opens what Amazon, or what stands in for it, posts.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub fn sns(&self) -> anyhow::Result<Sns> {
        let pem = self.trust_root_file.as_deref().map(|file| {
            let unreadable = || format!("ingest.sns.trust_root_file {} cannot be read", file.display());
            std::fs::read_to_string(file).with_context(unreadable)
        });
        Sns::new(self.origin.as_deref(), pem.transpose()?.as_deref()).context("[ingest.sns]")
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.origin.as_deref().is_none_or(is_origin),
            "ingest.sns.origin must be an https origin such as https://localhost:4566"
        );
        Ok(())
    }
}
