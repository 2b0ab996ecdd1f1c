//! Web Push: pushes to browsers, through the push service that each browser named.
//!
//! What holds here:
//! - The endpoint is what the browser says, so only `https` and only the public internet is called, without redirects
//!   and without a proxy, unless an operator allows more (for a push service of their own).
//! - A push is encrypted for its browser; the push service sees its size, urgency and topic.
//! - The same alert has the same `Topic` and tag, so a repeated push replaces (I6).
//!
//! - A push is signed with the key that its browser subscribed with. Where that was not told, a refusal of one key is followed by
//!   the next, once for each.
//!
//! Elsewhere: encryption in `webpush_crypt`, keys in `vapid`, the habits of each push service in `webpush_services`, what answers
//! mean in `webpush_reply`, payloads in
//! `webpush_message`.
//!
//! Sources: RFC 8030 (protocol), RFC 8291 (encryption), RFC 8292 (VAPID).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use uuid::Uuid;
use watchbell::{
    domain::{PushService, Secret, Severity},
    wire::webpush::SubscriptionV1,
};

use super::{
    job::{PushContent, PushJob, PushSender, PushTarget},
    vapid::{VapidKey, VapidSigner},
    webpush_crypt::Receiver,
    webpush_message::{webpush_payload, webpush_ttl_s},
    webpush_reply::classify,
    webpush_services::{BrowserService, SERVICES, Silence, service_at},
};
use crate::channel::{
    dry_run::DryRun,
    error::{Blame, SendError, SetupError},
    http::{self, Calls, Protocol},
    public_only::{PublicOnly, is_in_private_network},
    sender::Accepted,
};

/// How browsers are sent to.
#[derive(Debug, Clone)]
pub struct WebPushConfig {
    /// See [`VapidKey`].
    pub key: VapidKey,
    /// The key before it, while browsers are still subscribed with that.
    pub previous_key: Option<VapidKey>,
    /// Whom a push service may write to about us: `mailto:ops@example.org` or `https://…`.
    pub subject: String,
    /// The page that shows a person's alerts.
    pub page: Option<String>,
    /// Whether endpoints may lead into private networks: for a push service of one's own, and for the simulator.
    pub private_endpoints: bool,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
    /// Hosts that stand elsewhere than their name says: the simulator in a vendor's place. Empty but in tests.
    pub stand_ins: Vec<(String, SocketAddr)>,
}

/// Sends to browsers.
pub struct WebPushSender {
    client: Client,
    /// The key that browsers subscribe with now, then the one before it.
    signers: Vec<VapidSigner>,
    has_public_subject: bool,
    page: Option<String>,
    private_endpoints: bool,
}

impl WebPushSender {
    /// Checks the configuration; connects with the first push to each push service.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &WebPushConfig) -> Result<Self, SetupError> {
        let plain = config.subject.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b));
        // Safari refuses `mailto: <a@b>` and the like with BadJwtToken (matrix-org/sygnal#338).
        if !plain || !(config.subject.starts_with("mailto:") || config.subject.starts_with("https://")) {
            return Err(SetupError::Vapid("subject is not mailto:ADDRESS or https://ADDRESS"));
        }
        let client = http::client(Calls {
            protocol: Protocol::Negotiated,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: (!config.private_endpoints).then(|| Arc::new(PublicOnly)),
            stand_ins: &config.stand_ins,
        })?;
        let keys = [Some(&config.key), config.previous_key.as_ref()].into_iter().flatten();
        Ok(Self {
            client,
            signers: keys.map(|key| VapidSigner::new(key, &config.subject)).collect::<Result<_, _>>()?,
            has_public_subject: is_public_subject(&config.subject),
            page: config.page.clone(),
            private_endpoints: config.private_endpoints,
        })
    }

    async fn deliver(
        &self,
        job: &PushJob,
        subscription: &SubscriptionV1,
        now: Timestamp,
    ) -> Result<Accepted, SendError> {
        let url = self.endpoint(&subscription.endpoint)?;
        let garbled = |_| unusable("its keys are not keys");
        let payload = webpush_payload(&job.content, self.page.as_deref(), service_at(&url))?;
        let body =
            Receiver::parse(&subscription.keys).and_then(|to| to.encrypt(&payload)).map_err(garbled)?;
        let (first, others) = self.signers_for(job.target.bound_to.as_deref())?;
        let outcome = self.exchange(job, &url, &body, first, now).await;
        for signer in others {
            if !matches!(outcome, Err(SendError::ConfigFault { .. })) {
                break;
            }
            // Whichever key it was not, the refusal of the present one is what an operator has to know of.
            let accepted = self.exchange(job, &url, &body, signer, now).await;
            if !matches!(accepted, Err(SendError::ConfigFault { .. })) {
                return accepted;
            }
        }
        outcome
    }

    /// The key to sign with, and those to try after it where nobody said which it is.
    fn signers_for(&self, bound_to: Option<&str>) -> Result<(&VapidSigner, &[VapidSigner]), SendError> {
        let is_its = |signer: &&VapidSigner| bound_to.is_none_or(|key| key == signer.public());
        let first = self.signers.iter().find(is_its);
        let first = first.ok_or_else(|| unusable("it was made with a VAPID key that is not configured"))?;
        let others = if bound_to.is_none() { &self.signers[1..] } else { &[] };
        Ok((first, others))
    }

    async fn exchange(
        &self,
        job: &PushJob,
        url: &Url,
        body: &[u8],
        signer: &VapidSigner,
        now: Timestamp,
    ) -> Result<Accepted, SendError> {
        let service = service_at(url);
        let mut request = self
            .client
            .post(url.clone())
            .header(AUTHORIZATION, signer.authorization(url, now)?)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header("ttl", webpush_ttl_s(&job.content, now))
            .header("urgency", urgency(&job.content));
        if let Some(topic) = topic(&job.content).filter(|_| service.takes_topic) {
            request = request.header("topic", topic);
        }
        let answer = http::exchange(request.body(body.to_vec())).await?;
        classify(service, answer.status, &answer.body, &answer.headers, now)
    }

    /// The endpoint as an address that may be called.
    fn endpoint(&self, text: &str) -> Result<Url, SendError> {
        let url = Url::parse(text).map_err(|_| unusable("its endpoint is not an address"))?;
        if url.scheme() != "https" {
            return Err(unusable("its endpoint is not https"));
        }
        match is_in_private_network(&url) && !self.private_endpoints {
            true => Err(unusable("its endpoint is in a private network")),
            false => Ok(url),
        }
    }
}

/// Whose push service is named in a dry run: it is only signed for, and nobody is called.
const NO_PUSH_SERVICE: &str = "https://push.example.com";

#[async_trait]
impl PushSender for WebPushSender {
    /// Push services are named by browsers, and know us by nothing but our signature: what can be found out is whether
    /// the key signs.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let signed = self.signers.iter().try_for_each(|signer| signer.sign(NO_PUSH_SERVICE, now).map(drop));
        let picky = SERVICES.iter().find(|service| service.needs_public_subject && !self.has_public_subject);
        let checked = signed.and_then(|()| picky.map_or(Ok(()), |service| Err(subject_refused(service))));
        let found = "the key signs; push services can be asked only with a subscription";
        vec![DryRun::of(PushService::WebPush.as_str(), checked.map(|()| found))]
    }

    async fn send(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError> {
        let Some(subscription) = SubscriptionV1::of_token(&job.target.token) else {
            return Err(unusable("it is not a subscription"));
        };
        let outcome = self.deliver(job, &subscription, now).await;
        outcome.map_err(|error| error.without(&[&subscription.endpoint, &subscription.keys.auth]))
    }

    /// Each browser names its own push service. One that is in trouble must not stop the others.
    fn authority(&self, target: &PushTarget) -> Option<String> {
        let subscription = SubscriptionV1::of_token(&target.token)?;
        Some(Url::parse(&subscription.endpoint).ok()?.host_str()?.to_owned())
    }
}

/// A subscription that was registered before subscriptions were checked, or an endpoint that may not be called from here.
fn unusable(what: &str) -> SendError {
    SendError::Unusable { reason: format!("{what}; it is kept until the page subscribes again") }
}

fn subject_refused(service: &BrowserService) -> SendError {
    let reason = format!("{} refuses a subject whose host is not on the public internet", service.name);
    SendError::ConfigFault { blame: Blame::Everybody, reason }
}

/// Whether the address or the site is one that others could reach, as far as its name tells.
fn is_public_subject(subject: &str) -> bool {
    let host = match subject.strip_prefix("mailto:") {
        Some(address) => address.rsplit_once('@').map_or("", |(_, host)| host).to_ascii_lowercase(),
        None => {
            Url::parse(subject).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
        }
    };
    host.contains('.') && !host.ends_with(".localhost") && !host.ends_with(".local")
}

/// Whether the browser's push service demands that every push shows something.
pub(super) fn must_show_every_push(token: &Secret) -> bool {
    let url =
        SubscriptionV1::of_token(token).and_then(|subscription| Url::parse(&subscription.endpoint).ok());
    url.is_some_and(|url| service_at(&url).silence == Silence::EndsSubscription)
}

fn urgency(content: &PushContent) -> &'static str {
    match content {
        PushContent::Alert(alert) => match alert.severity {
            Severity::Info => "normal",
            Severity::Warning | Severity::Critical => "high",
        },
        PushContent::Withdrawal { .. } | PushContent::Activity(_) => "normal",
    }
}

/// A push replaces what still waits for the browser under the same topic: an earlier push of the alert. A withdrawal of several
/// alerts has none, because it would have to replace several.
///
/// At most 32 characters of base64url (RFC 8030, section 5.4), which is the length of a UUID in hexadecimal.
fn topic(content: &PushContent) -> Option<String> {
    let key = match content {
        PushContent::Alert(alert) => &alert.collapse_key,
        PushContent::Withdrawal { alerts, .. } if alerts.len() == 1 => &alerts[0],
        PushContent::Withdrawal { .. } | PushContent::Activity(_) => return None,
    };
    Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).simple().to_string())
}

#[cfg(test)]
#[path = "webpush_tests.rs"]
mod tests;
