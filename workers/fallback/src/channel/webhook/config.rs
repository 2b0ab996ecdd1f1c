//! The sender from `[webhook]`.

use std::sync::Arc;

use anyhow::Context as _;
use watchbell::{
    domain::{Secret, Tenant},
    runtime::Config,
    wire::standard_webhooks::SigningSecret,
};

use super::{WebhookConfig, WebhookSender, WebhookTarget};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// Posting, if it is configured. A tenant has the address and the secret of everybody where it has none of its own.
pub(in crate::channel) fn from_config(config: &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(webhook) = &config.webhook else { return Ok(None) };
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
