//! Web Push: pushes to browsers, through the push service that each browser named.
//!
//! What holds here:
//! - The endpoint is what the browser says, so only `https` and only the public internet is called, without redirects
//!   and without a proxy, unless an operator allows more (for a push service of their own).
//! - A push is encrypted for its browser; the push service sees its size, urgency and topic.
//! - The same alert has the same `Topic` and tag, so a repeated push replaces (I6).
//!
//! Elsewhere: encryption in `webpush_crypt`, what answers mean in `webpush_reply`, payloads in `render`.
//!
//! Sources: RFC 8030 (protocol), RFC 8291 (encryption), RFC 8292 (VAPID).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::{AsBigEndian, EcPrivateKeyBin},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use serde_json::json;
use uuid::Uuid;
use watchbell::{
    domain::{PushService, Secret, Severity},
    wire::webpush::SubscriptionV1,
};

use super::{
    job::{PushContent, PushJob, PushSender, PushTarget},
    render,
    webpush_crypt::Receiver,
    webpush_reply::classify,
};
use crate::channel::{
    dry_run::DryRun,
    error::{Blame, SendError, SetupError},
    http::{self, Calls, Protocol},
    public_only::{PublicOnly, is_in_private_network},
    sender::Accepted,
};

/// How long a VAPID token is valid. The standard allows 24 h, and clocks differ.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(12);
/// The age at which it is made anew.
const TOKEN_REFRESH_AGE: SignedDuration = SignedDuration::from_hours(6);
/// Push services whose tokens are kept. Browsers use a handful; naming others gains a client nothing.
const ORIGINS_MAX: usize = 64;

/// How browsers are sent to.
#[derive(Debug, Clone)]
pub struct WebPushConfig {
    /// See [`VapidKey`].
    pub key: VapidKey,
    /// Whom a push service may write to about us: `mailto:ops@example.org` or `https://…`.
    pub subject: String,
    /// Whether endpoints may lead into private networks: for a push service of one's own, and for the simulator.
    pub private_endpoints: bool,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
}

/// The key pair that browsers subscribe with. Bound to every subscription for life: with another key, everybody has to
/// subscribe again.
#[derive(Clone)]
pub struct VapidKey {
    private: Secret,
    public: [u8; 65],
}

impl VapidKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, SetupError> {
        let fault = |_| SetupError::Vapid("no key could be made");
        let key = PrivateKey::generate(&ECDH_P256).map_err(fault)?;
        let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(fault)?;
        Self::parse(&Secret::from(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The private key as the usual tools print it: 32 bytes in base64url.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(private: &Secret) -> Result<Self, SetupError> {
        let fault = SetupError::Vapid("private_key is not 32 bytes in base64url");
        let text = private.expose().trim().trim_end_matches('=').to_owned();
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(&text) else { return Err(fault) };
        let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, &bytes) else { return Err(fault) };
        let Ok(public) = key.compute_public_key() else { return Err(fault) };
        match public.as_ref().try_into() {
            Ok(public) => Ok(Self { private: Secret::from(text), public }),
            Err(_) => Err(fault),
        }
    }

    /// What browsers subscribe with: `applicationServerKey`, in base64url.
    pub fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.public)
    }

    /// For the operator's configuration.
    pub fn private(&self) -> &Secret {
        &self.private
    }

    fn signer(&self) -> Result<EcdsaKeyPair, SetupError> {
        let fault = |()| SetupError::Vapid("private_key cannot sign");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(self.private.expose()).map_err(|_| fault(()))?;
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_private_key_and_public_key(scheme, &bytes, &self.public).map_err(|_| fault(()))
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// Sends to browsers.
pub struct WebPushSender {
    client: Client,
    signer: EcdsaKeyPair,
    public: String,
    subject: String,
    private_endpoints: bool,
    /// The value of `authorization` by origin, and when it was made.
    tokens: Mutex<HashMap<String, (HeaderValue, Timestamp)>>,
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
        })?;
        Ok(Self {
            client,
            signer: config.key.signer()?,
            public: config.key.public(),
            subject: config.subject.clone(),
            private_endpoints: config.private_endpoints,
            tokens: Mutex::default(),
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
        let payload = render::webpush_payload(&job.content)?;
        let body =
            Receiver::parse(&subscription.keys).and_then(|to| to.encrypt(&payload)).map_err(garbled)?;
        let authorization = self.authorization(&url, now)?;
        let mut request = self
            .client
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header("ttl", render::webpush_ttl_s(&job.content, now))
            .header("urgency", urgency(&job.content));
        if let Some(topic) = topic(&job.content) {
            request = request.header("topic", topic);
        }
        let answer = http::exchange(request.body(body)).await?;
        classify(answer.status, &answer.body, &answer.headers, now)
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

    /// The token for a push service, which its pushes share.
    fn authorization(&self, url: &Url, now: Timestamp) -> Result<HeaderValue, SendError> {
        let origin = url.origin().ascii_serialization();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, made_at)) = tokens.get(&origin) {
            let age = now.duration_since(*made_at);
            if age < TOKEN_REFRESH_AGE && age > -TOKEN_REFRESH_AGE {
                return Ok(header.clone());
            }
        }
        let header = self.sign(&origin, now)?;
        if tokens.len() >= ORIGINS_MAX {
            tokens.clear();
        }
        tokens.insert(origin, (header.clone(), now));
        Ok(header)
    }

    fn sign(&self, origin: &str, now: Timestamp) -> Result<HeaderValue, SendError> {
        let fault = || SendError::ConfigFault {
            blame: Blame::Everybody,
            reason: "the VAPID key cannot sign".to_owned(),
        };
        let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let exp = (now + TOKEN_LIFE).as_second();
        let claims = json!({"aud": origin, "exp": exp, "sub": self.subject});
        let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ES256"})), part(claims));
        let signature = self.signer.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| fault())?;
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let mut header =
            HeaderValue::try_from(format!("vapid t={token}, k={}", self.public)).map_err(|_| fault())?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Whose push service is named in a dry run: it is only signed for, and nobody is called.
const NO_PUSH_SERVICE: &str = "https://push.example.com";

#[async_trait]
impl PushSender for WebPushSender {
    /// Push services are named by browsers, and know us by nothing but our signature: what can be found out is whether
    /// the key signs.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let signed = self.sign(NO_PUSH_SERVICE, now);
        let found = "the key signs; push services can be asked only with a subscription";
        vec![DryRun::of(PushService::WebPush.as_str(), signed.map(|_| found))]
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

/// Whether the browser's push service demands that every push shows something. Safari ends a subscription after three
/// pushes that did not, without an error: <https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers>.
pub(crate) fn must_show_every_push(token: &Secret) -> bool {
    let url =
        SubscriptionV1::of_token(token).and_then(|subscription| Url::parse(&subscription.endpoint).ok());
    let is_apples = |host: &str| host == "push.apple.com" || host.ends_with(".push.apple.com");
    url.is_some_and(|url| url.host_str().is_some_and(is_apples))
}

fn urgency(content: &PushContent) -> &'static str {
    match content {
        PushContent::Alert(alert) => match alert.severity {
            Severity::Info => "normal",
            Severity::Warning | Severity::Critical => "high",
        },
        PushContent::Withdrawal { .. } => "normal",
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
        PushContent::Withdrawal { .. } => return None,
    };
    Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).simple().to_string())
}

#[cfg(test)]
#[path = "webpush_tests.rs"]
mod tests;
