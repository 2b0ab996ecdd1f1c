//! Push: a message to each device of a person, by the service that knows it.
//!
//! | module | what it is |
//! |---|---|
//! | [`apns`], `apns_reply`, `apns_token` | Apple: requests, what answers mean, the provider token |
//! | [`fcm`], `fcm_reply`, `fcm_token` | Google: the same three |
//! | [`webpush`], `webpush_reply`, `webpush_crypt` | browsers: requests, what answers mean, the encryption |
//! | `render` | payloads fitted into a push |
//! | `config` | senders from `[apns]`, `[fcm]` and `[webpush]` |

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use watchbell::domain::{Channel, Device, PushService, Secret};

use super::{
    Accepted, AlertContent, Blame, ChannelSender, Job, Message, NotConfigured, Provider, PushEnvironment,
    Recipient, SendError, SetupError, Severity, ThrottleScope, WITHDRAWN_ALERTS_MAX, Withdrawal, http,
    public_only, reason, text,
};

pub mod apns;
mod apns_reply;
mod apns_token;
mod config;
pub mod fcm;
mod fcm_reply;
mod fcm_token;
mod render;
pub mod webpush;
mod webpush_crypt;
mod webpush_reply;

pub use apns::{ApnsAuth, ApnsConfig, ApnsSender};
pub(super) use config::from_config;
pub use fcm::{FcmConfig, FcmSender};
use webpush::must_show_every_push;
pub use webpush::{VapidKey, WebPushConfig, WebPushSender};

/// One push to one device.
#[derive(Debug, Clone)]
pub struct PushJob {
    /// Kept on every retry of the same attempt (I6).
    pub attempt: Uuid,
    /// Which device.
    pub target: PushTarget,
    /// What it is told.
    pub content: PushContent,
}

/// Where a push goes.
#[derive(Debug, Clone)]
pub struct PushTarget {
    /// What the provider knows the device by.
    pub token: Secret,
    /// Which of Apple's two worlds; other providers do not look.
    pub environment: PushEnvironment,
}

/// What a push does on the phone.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every push shows an alert")]
pub enum PushContent {
    /// Shows an alert, or replaces the shown one with the same collapse key.
    Alert(AlertContent),
    /// Takes shown pushes away. Best effort, on both providers: the app reconciles when it is opened.
    Withdrawal {
        /// Whose inbox they are in.
        user: String,
        /// Ids, at most [`WITHDRAWN_ALERTS_MAX`]. When they do not all fit, the push carries the
        /// first ones and `more`, which tells the app to fetch the inbox.
        alerts: Vec<String>,
        /// What the badge shows without them.
        unread: u64,
    },
}

/// Sends one push to one device, under the contract of [`ChannelSender`].
#[async_trait]
pub trait PushSender: Send + Sync {
    /// Sends `job` once, not counting a repetition that the provider's protocol asks for.
    async fn send(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError>;

    /// Which of several hosts takes pushes for this device, where its health is its own; `None` when there is but one
    /// provider.
    fn authority(&self, target: &PushTarget) -> Option<String> {
        let _ = target;
        None
    }
}

/// The channel: each device by its own service. A service without a sender is one that is not configured.
#[derive(Default)]
pub struct PushChannel(HashMap<PushService, Arc<dyn PushSender>>);

impl PushChannel {
    /// By these services.
    pub fn new(services: HashMap<PushService, Arc<dyn PushSender>>) -> Self {
        Self(services)
    }

    fn sender(&self, device: &Device) -> Result<&dyn PushSender, NotConfigured> {
        let sender = self.0.get(&device.service).map(AsRef::as_ref);
        sender.ok_or(NotConfigured(device.service.as_str()))
    }
}

#[async_trait]
impl ChannelSender for PushChannel {
    fn channel(&self) -> Channel {
        Channel::Push
    }

    /// Apple's two environments and every push service that a browser names are providers of their own.
    fn provider(&self, job: &Job<'_>) -> Result<Provider, NotConfigured> {
        let device = device_of(job).ok_or(NotConfigured(Channel::Push.facts().word))?;
        let origin = self.sender(device)?.authority(&PushTarget::of(device));
        let environment = (device.service == PushService::Apns).then_some(device.environment.as_str());
        Ok(Provider { environment, origin, ..Provider::named(device.service.as_str()) })
    }

    fn why_kept(&self, to: &Recipient<'_>) -> Option<&'static str> {
        must_show_every_push(to.secret()).then_some(
            "Safari ends a subscription whose pushes show nothing; what is shown there stays until the person puts it away",
        )
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let rejected = |reason: String| SendError::Rejected { reason };
        let device = device_of(job).ok_or_else(|| rejected("a push goes to a device".to_owned()))?;
        let sender = self.sender(device).map_err(|error| rejected(error.to_string()))?;
        let content = match &job.message {
            Message::Alert(alert) => PushContent::Alert(alert.clone()),
            Message::Withdrawal(Withdrawal { alerts, unread, .. }) => {
                let user = job.user.user.to_string();
                PushContent::Withdrawal { user, alerts: alerts.clone(), unread: *unread }
            }
        };
        let job = PushJob { attempt: job.attempt, target: PushTarget::of(device), content };
        sender.send(&job, now).await
    }
}

impl PushTarget {
    fn of(device: &Device) -> Self {
        Self { token: device.token.clone(), environment: device.environment }
    }
}

fn device_of<'a>(job: &Job<'a>) -> Option<&'a Device> {
    match job.to {
        Recipient::Device(device) => Some(device),
        Recipient::Address(_) => None,
    }
}
