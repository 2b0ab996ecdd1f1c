//! Push: a message to each device of a person, by the service that knows it.
//!
//! | module | what it is |
//! |---|---|
//! | [`apns`], `apns_reply`, `apns_token` | Apple: requests, what answers mean, the provider token |
//! | `apns_activity` | Apple's payloads of Live Activities |
//! | `apns_broadcast` | Apple's broadcast channels: requests, what answers mean |
//! | [`fcm`], `fcm_reply`, `fcm_token` | Google: the same three |
//! | [`webpush`], `webpush_reply`, `webpush_crypt` | browsers: requests, what answers mean, the encryption |
//! | `webpush_services`, `vapid` | the habits of each push service of browsers; the key that browsers subscribe with |
//! | `acknowledge` | the button by which a person takes an alert on |
//! | `detail` | how much of an alert a push carries |
//! | `job` | one push to one device, and the interface of the three services |
//! | `render`, `fcm_message`, `webpush_message` | payloads fitted into a push: Apple's and what fits them, Google's, browsers' |
//! | `fcm_style` | what the operator chose of Google's |
//! | `config` | senders from `[apns]`, `[fcm]` and `[webpush]` |

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use watchbell::domain::{Channel, Device, PushEnvironment, PushService};

use super::{
    broadcast::{Broadcast, BroadcastAct},
    dry_run::DryRun,
    error::SendError,
    message::{ActivityMessage, AlertContent, Job, MarkdownUse, Message, Recipient, Withdrawal},
    rendered::{RenderedForm, RenderedMessage},
    sender::{Accepted, Broadcaster, ChannelSender, NotConfigured, Provider},
};

pub mod acknowledge;
pub mod apns;
mod apns_activity;
mod apns_broadcast;
pub(super) mod apns_reply;
mod apns_token;
pub(super) mod config;
pub(super) mod detail;
pub mod fcm;
mod fcm_message;
pub(super) mod fcm_reply;
mod fcm_style;
mod fcm_token;
mod job;
mod render;
mod vapid;
pub mod webpush;
mod webpush_crypt;
mod webpush_message;
pub(super) mod webpush_reply;
pub(super) mod webpush_services;

pub use apns::{ApnsAuth, ApnsConfig, ApnsKey, ApnsSender, BroadcastEndpoints};
pub use detail::PushSection;
pub use fcm::{FcmConfig, FcmSender};
pub use fcm_style::FcmStyle;
pub use job::{PushContent, PushJob, PushSender, PushTarget};
pub use vapid::VapidKey;
use webpush::must_show_every_push;
pub use webpush::{WebPushConfig, WebPushSender};

/// The channel: each device by its own service. A service without a sender is one that is not configured.
#[derive(Default)]
pub struct PushChannel {
    services: HashMap<PushService, Arc<dyn PushSender>>,
    detail: PushSection,
}

impl PushChannel {
    /// By these services, with all of an alert.
    pub fn new(services: HashMap<PushService, Arc<dyn PushSender>>) -> Self {
        Self { services, ..Self::default() }
    }

    /// With as much of an alert as `detail` says.
    #[must_use]
    pub fn with_detail(self, detail: PushSection) -> Self {
        Self { detail, ..self }
    }

    fn of_apple(&self) -> Option<&dyn Broadcaster> {
        self.services.get(&PushService::Apns)?.broadcaster()
    }

    fn sender(&self, device: &Device) -> Result<&dyn PushSender, NotConfigured> {
        let sender = self.services.get(&device.service).map(AsRef::as_ref);
        sender.ok_or(NotConfigured(device.service.as_str()))
    }
}

#[async_trait]
impl ChannelSender for PushChannel {
    fn channel(&self) -> Channel {
        Channel::Push
    }

    fn markdown(&self) -> MarkdownUse {
        MarkdownUse::TakenOutWithAddresses
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

    fn rendered(&self, alert: &AlertContent, locale: Option<&str>, now: Timestamp) -> Vec<RenderedMessage> {
        let content = PushContent::Alert(self.detail.applied(alert.clone(), locale));
        let plain = FcmStyle::default();
        let payload = |service: PushService, sender: &dyn PushSender| match service {
            PushService::Apns => render::apns_payload(&content, None),
            PushService::Fcm => {
                let message =
                    fcm_message::fcm_message(&content, None, sender.fcm_style().unwrap_or(&plain), now);
                message.map(|message| message.to_string())
            }
            // For a browser of no particular service, and for a page that opens what it is given.
            PushService::WebPush => {
                webpush_message::webpush_payload(&content, None, &webpush_services::OTHER)
            }
        };
        let mut services: Vec<_> = self.services.iter().collect();
        services.sort_by_key(|(service, _)| service.as_str());
        let rendered = services.into_iter().map(|(service, sender)| RenderedMessage {
            provider: service.as_str(),
            form: payload(*service, sender.as_ref())
                .map(RenderedForm::Payload)
                .map_err(|error| error.to_string()),
        });
        rendered.collect()
    }

    fn broadcaster(&self) -> Option<&dyn Broadcaster> {
        self.of_apple().map(|_| self as &dyn Broadcaster)
    }

    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let mut all = Vec::new();
        for sender in self.services.values() {
            all.extend(sender.dry_run(now).await);
        }
        all.sort_by_key(|run| (run.provider, run.environment.map(PushEnvironment::as_str)));
        all
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let rejected = |reason: String| SendError::Rejected { reason };
        let device = device_of(job).ok_or_else(|| rejected("a push goes to a device".to_owned()))?;
        let sender = self.sender(device).map_err(|error| rejected(error.to_string()))?;
        let content = match &job.message {
            Message::Alert(alert) => {
                let page = job.acknowledge_at.as_deref();
                let alert = acknowledge::with_button(alert.clone(), job.locale, page);
                PushContent::Alert(self.detail.applied(alert, job.locale))
            }
            Message::Withdrawal(Withdrawal { alerts, unread, .. }) => {
                let user = job.user.user.as_str().to_owned();
                PushContent::Withdrawal { user, alerts: alerts.clone(), unread: *unread }
            }
            Message::Activity(activity) => {
                let content = activity.content.clone();
                let content = content.map(|alert| self.detail.applied(alert, job.locale));
                PushContent::Activity(ActivityMessage { content, ..activity.clone() })
            }
        };
        let (attempt, receipt) = (job.attempt, job.receipt.clone());
        let job = PushJob { attempt, target: PushTarget::of(device), content, receipt };
        sender.send(&job, now).await
    }
}

/// With as much of an alert as `detail` says; nobody's language is known.
#[async_trait]
impl Broadcaster for PushChannel {
    fn app_of<'a>(&'a self, device: &'a Device) -> Option<&'a str> {
        self.of_apple()?.app_of(device)
    }

    fn provider_of(&self, broadcast: &Broadcast) -> Provider {
        match self.of_apple() {
            Some(apple) => apple.provider_of(broadcast),
            None => Provider::named(PushService::Apns.as_str()),
        }
    }

    async fn broadcast(&self, broadcast: &Broadcast, now: Timestamp) -> Result<Accepted, SendError> {
        let Some(apple) = self.of_apple() else {
            return Err(SendError::Rejected { reason: NotConfigured("broadcast of apns").to_string() });
        };
        let act = match &broadcast.act {
            BroadcastAct::Tell { channel, message } => {
                let content = message.content.clone().map(|alert| self.detail.applied(alert, None));
                let message = ActivityMessage { content, ..(**message).clone() };
                BroadcastAct::Tell { channel: channel.clone(), message: Box::new(message) }
            }
            other => other.clone(),
        };
        apple.broadcast(&Broadcast { act, ..broadcast.clone() }, now).await
    }
}

fn device_of<'a>(job: &Job<'a>) -> Option<&'a Device> {
    match job.to {
        Recipient::Device(device) => Some(device),
        Recipient::Address(_) => None,
    }
}
