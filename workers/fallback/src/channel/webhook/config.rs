//! The section, and the sender from `[webhook]`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Secret, Tenant},
    runtime::config::{
        signed_address::check_signed,
        values::{maybe_secret, secret},
    },
    wire::standard_webhooks::SigningSecret,
};

use super::{WebhookConfig, WebhookSender, WebhookTarget};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// `[webhook]`: addresses that alerts are posted to, signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// What messages are signed with, by the scheme of Standard Webhooks: `whsec_…`.
    #[serde(with = "secret")]
    pub secret: Secret,
    /// The address of whoever has none of their own, in every tenant that has none either.
    #[serde(default, with = "maybe_secret")]
    pub url: Option<Secret>,
    /// Tenants with an address or a secret of their own, by name.
    #[serde(default)]
    pub tenants: BTreeMap<String, WebhookTenantSection>,
    /// Whether addresses may be plain http and lead into private networks. Whoever may give a user an address can then make
    /// fallback call any address that it reaches.
    #[serde(default)]
    pub private_endpoints: bool,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}

/// `[webhook.tenants.NAME]`: what is different for one tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookTenantSection {
    /// The address of its users who have none of their own.
    #[serde(with = "maybe_secret")]
    pub url: Option<Secret>,
    /// What messages about its users are signed with.
    #[serde(with = "maybe_secret")]
    pub secret: Option<Secret>,
}

impl WebhookSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        check_signed(Some(&self.secret), self.url.as_ref(), self.private_endpoints)?;
        for (name, own) in &self.tenants {
            let checked = Tenant::parse(name).map_err(anyhow::Error::from);
            let checked = checked
                .and_then(|_| check_signed(own.secret.as_ref(), own.url.as_ref(), self.private_endpoints));
            checked.with_context(|| format!("tenants.{name}"))?;
        }
        Ok(())
    }
}

/// Posting, if it is configured. A tenant has the address and the secret of everybody where it has none of its own.
pub(in crate::channel) fn from_config(
    section: Option<&WebhookSection>,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(webhook) = section else { return Ok(None) };
    let target = |url: Option<&Secret>, secret: Option<&Secret>| {
        let secret = SigningSecret::parse(secret.unwrap_or(&webhook.secret))?;
        anyhow::Ok(WebhookTarget { url: url.or(webhook.url.as_ref()).cloned(), secret })
    };
    let own = webhook.tenants.iter().map(|(name, own)| {
        let key = || format!("[webhook.tenants.{name}]");
        let target = target(own.url.as_ref(), own.secret.as_ref()).with_context(key)?;
        anyhow::Ok((Tenant::parse(name).with_context(key)?, target))
    });
    let sender = WebhookSender::new(WebhookConfig {
        everybody: target(None, None).context("[webhook]")?,
        tenants: own.collect::<Result<_, _>>()?,
        private_endpoints: webhook.private_endpoints,
        trust_root_pem: trust_root(webhook.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    });
    Ok(Some(Arc::new(sender.context("[webhook]")?)))
}
