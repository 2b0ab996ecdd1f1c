//! Webhook: alerts posted as signed JSON to a program of the person or of their tenant.
//!
//! What holds here:
//! - The address is what a producer says, so only `https` and only the public internet is called, without redirects and
//!   without a proxy, unless an operator allows more (for programs in their own network).
//! - `webhook-id` is the id of the attempt. A retry repeats it, so that a receiver can ignore a message that it has (I6).
//! - A later version and a withdrawal are messages of their own, which name the earlier ones.
//! - Only the status of an answer is kept. Its text is a stranger's and does not belong in a timeline.
//!
//! | module | what it is |
//! |---|---|
//! | `body` | the JSON |
//! | `reply` | what answers mean |
//! | `config` | the sender from `[webhook]` |
//!
//! Elsewhere: the signature, in `watchbell::wire::standard_webhooks`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use watchbell::{
    domain::{Channel, Secret, Tenant, UserKey},
    store::Escalation,
    wire::standard_webhooks::{self, SigningSecret},
};

use super::{
    error::{SendError, SetupError, no_activity},
    http::{self, Calls, Protocol},
    message::{Job, MarkdownUse},
    public_only::{PublicOnly, is_in_private_network},
    sender::{Accepted, ChannelSender, NotConfigured, Provider},
};

mod body;
pub(super) mod config;
pub(super) mod reply;

/// Where the messages of each tenant go, and what signs them.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// What holds for a tenant that is not in `tenants`.
    pub everybody: WebhookTarget,
    /// What holds for these tenants.
    pub tenants: HashMap<Tenant, WebhookTarget>,
    /// Whether addresses may be plain http and lead into private networks.
    pub private_endpoints: bool,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
}

/// The settings of one tenant.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The address of its users who have none of their own.
    pub url: Option<Secret>,
    /// What messages about its users are signed with.
    pub secret: SigningSecret,
}

/// Posts to addresses.
pub struct WebhookSender {
    client: Client,
    everybody: WebhookTarget,
    tenants: HashMap<Tenant, WebhookTarget>,
    private_endpoints: bool,
}

impl WebhookSender {
    /// Connects with the first message to each address.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: WebhookConfig) -> Result<Self, SetupError> {
        let client = http::client(Calls {
            protocol: Protocol::Negotiated,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: (!config.private_endpoints).then(|| Arc::new(PublicOnly)),
            stand_ins: &[],
        })?;
        let WebhookConfig { everybody, tenants, private_endpoints, .. } = config;
        Ok(Self { client, everybody, tenants, private_endpoints })
    }

    fn target(&self, tenant: &Tenant) -> &WebhookTarget {
        self.tenants.get(tenant).unwrap_or(&self.everybody)
    }

    async fn post(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let (target, to) = (self.target(&job.user.tenant), job.to.secret());
        let url = self.endpoint(to)?;
        let (id, body) = (job.attempt.to_string(), body::of(job).ok_or_else(no_activity)?);
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        for (name, value) in standard_webhooks::headers(std::slice::from_ref(&target.secret), &id, now, &body)
        {
            request = request.header(name, value);
        }
        let answer = http::exchange(request.body(body)).await?;
        let is_ours = target.url.as_ref() == Some(to);
        reply::classify(answer.status, &answer.headers, is_ours, now)?;
        Ok(Accepted { provider_id: Some(id) })
    }

    /// An address that may be called.
    fn endpoint(&self, to: &Secret) -> Result<Url, SendError> {
        let url = Url::parse(to.expose()).map_err(|_| unusable("is not one"))?;
        if self.private_endpoints {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(unusable("is not https"));
        }
        match is_in_private_network(&url) {
            true => Err(unusable("is in a private network")),
            false => Ok(url),
        }
    }
}

#[async_trait]
impl ChannelSender for WebhookSender {
    fn channel(&self) -> Channel {
        Channel::Webhook
    }

    fn markdown(&self) -> MarkdownUse {
        MarkdownUse::Kept
    }

    /// The person's own, or else the one of their tenant.
    fn address(&self, user: &UserKey, escalation: &Escalation) -> Option<Secret> {
        escalation.addresses[Channel::Webhook].clone().or_else(|| self.target(&user.tenant).url.clone())
    }

    /// Each address names its own host: one that answers badly must not stop the others.
    fn provider(&self, job: &Job<'_>) -> Result<Provider, NotConfigured> {
        let url = Url::parse(job.to.secret().expose()).ok();
        let origin = url.and_then(|url| url.host_str().map(str::to_owned));
        Ok(Provider { origin, ..Provider::named(Channel::Webhook.facts().word) })
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        self.post(job, now).await.map_err(|error| error.without(&[job.to.secret().expose()]))
    }
}

fn unusable(what: &str) -> SendError {
    SendError::Unusable { reason: format!("the address {what}; it is kept until another is given") }
}

#[cfg(test)]
mod tests;
