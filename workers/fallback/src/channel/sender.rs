//! The interface of a channel and of broadcasts, and what the other parts of the worker hear from it.

use async_trait::async_trait;
use jiff::Timestamp;
use watchbell::{
    domain::{Channel, Device, Secret, UserKey},
    store::Escalation,
};

use super::{
    broadcast::Broadcast,
    dry_run::DryRun,
    error::SendError,
    message::{AlertContent, Job, MarkdownUse, Recipient},
    rendered::RenderedMessage,
};

/// Sends by one channel. Every implementation holds to this:
/// - `Ok` means the provider accepted the message, not that anybody saw it.
/// - Ids come from the job alone, so a retry repeats them (I6).
/// - `now` is the time for expiry and token ages; waiting is bounded by the configured timeout.
/// - Cancel-safe: dropped early, the message may have been sent, as after [`SendError::Unreachable`].
/// - No error repeats what the job held: see [`SendError::without`].
#[async_trait]
pub trait ChannelSender: Send + Sync {
    /// The channel that it sends by.
    fn channel(&self) -> Channel;

    /// The address of this person, if the channel goes to an address: the one that producers gave, unless the channel
    /// has another, such as an address of the tenant. Pure: it is asked while a step is decided and again for the call.
    fn address(&self, user: &UserKey, escalation: &Escalation) -> Option<Secret> {
        let _ = user;
        escalation.addresses[self.channel()].clone()
    }

    /// The provider that would be called for this job, or the part of a provider that has a health of its own.
    ///
    /// # Errors
    /// What the recipient needs is not configured.
    fn provider(&self, job: &Job<'_>) -> Result<Provider, NotConfigured>;

    /// What becomes of the Markdown in a body. Where there is no markup its marks are taken out.
    fn markdown(&self) -> MarkdownUse {
        MarkdownUse::TakenOut
    }

    /// Why a message to this recipient stays where it is, although the channel can withdraw messages. Asked before a withdrawal.
    fn why_kept(&self, to: &Recipient<'_>) -> Option<&'static str> {
        let _ = to;
        None
    }

    /// Asks each provider of the channel whether it would take messages, and sends none: for `watchbell doctor`. A channel
    /// whose receivers are programs of others, which cannot be asked, answers nothing.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let _ = now;
        Vec::new()
    }

    /// What each provider of the channel would be given of this alert now, for an operator to look at. Nothing is sent. A channel
    /// that does not say so answers nothing.
    fn rendered(&self, alert: &AlertContent, locale: Option<&str>, now: Timestamp) -> Vec<RenderedMessage> {
        let _ = (alert, locale, now);
        Vec::new()
    }

    /// How all Live Activities that listen to a channel are told at once, where that is possible.
    fn broadcaster(&self) -> Option<&dyn Broadcaster> {
        None
    }

    /// Sends `job` once, not counting a repetition that the provider's protocol asks for.
    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError>;
}

/// Tells all who listen to a channel, under the contract of [`ChannelSender`].
#[async_trait]
pub trait Broadcaster: Send + Sync {
    /// The bundle id of the app in whose channels the Live Activities of this device can listen; none: there are no channels for it.
    fn app_of<'a>(&'a self, device: &'a Device) -> Option<&'a str>;

    /// The part of Apple that would be called.
    fn provider_of(&self, broadcast: &Broadcast) -> Provider;

    /// Makes the call once, not counting a repetition that the provider's protocol asks for. [`SendError::BadToken`] and
    /// [`SendError::Unregistered`] say that Apple has no such channel.
    async fn broadcast(&self, broadcast: &Broadcast, now: Timestamp) -> Result<Accepted, SendError>;
}

/// A provider, or a part of one that has a health of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provider {
    /// Its name in logs and metrics.
    pub label: &'static str,
    /// One of its environments, where it has several.
    pub environment: Option<&'static str>,
    /// The host, where whoever registers a device names it.
    pub origin: Option<String>,
    /// The bound on calls of it at once, whatever the number of senders. `None`: only its share of the senders bounds it.
    pub calls_max: Option<usize>,
}

impl Provider {
    /// A provider with one environment and one host.
    pub fn named(label: &'static str) -> Self {
        Self { label, environment: None, origin: None, calls_max: None }
    }
}

/// What a message needs is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not configured")]
pub struct NotConfigured(pub &'static str);

/// The provider accepted the message. That does not mean that anybody saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The id that the provider gave the message. It is kept with the attempt, for questions to the provider, and where a
    /// message is replaced or withdrawn by its id.
    pub provider_id: Option<String>,
}
