//! The interface of a channel, and what the other parts of the worker hear from it.

use async_trait::async_trait;
use jiff::Timestamp;
use watchbell::{
    domain::{Channel, Secret, UserKey},
    store::Walk,
};

use super::{
    error::SendError,
    message::{Job, Recipient},
};

/// Sends by one channel. Every implementation holds to this:
/// - `Ok` means the provider accepted the message, not that anybody saw it.
/// - Ids come from the job alone, so a retry repeats them (I6).
/// - `now` is the time for expiry and token ages; waiting is bounded by the configured timeout.
/// - Cancel-safe: dropped early, the message may have been sent, as after [`SendError::Unreachable`].
/// - No error repeats what the job held: see [`SendError::without`].
#[async_trait]
pub trait ChannelSender: Send + Sync {
    /// By which channel it sends.
    fn channel(&self) -> Channel;

    /// Where this person is written to, if the channel goes to an address: the one that producers gave, unless the
    /// channel knows better, such as one of the tenant. Pure: it is asked while a step is decided and again for the call.
    fn address(&self, user: &UserKey, walk: &Walk) -> Option<Secret> {
        let _ = user;
        walk.addresses[self.channel()].clone()
    }

    /// Who would be called for this job, as far as its health is its own.
    ///
    /// # Errors
    /// Nobody would, because what the recipient needs is not configured.
    fn provider(&self, job: &Job<'_>) -> Result<Provider, NotConfigured>;

    /// Why what this recipient was shown stays, though the channel can take things away. Asked before a withdrawal.
    fn why_kept(&self, to: &Recipient<'_>) -> Option<&'static str> {
        let _ = to;
        None
    }

    /// Sends `job` once, not counting a repetition that the provider's protocol asks for.
    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError>;
}

/// Who is called: a provider, or a part of one whose health is its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provider {
    /// In logs and metrics.
    pub label: &'static str,
    /// Which of its environments.
    pub environment: Option<&'static str>,
    /// The host, where strangers name it.
    pub origin: Option<String>,
    /// Calls of it at once, however many senders there are; none for a share of the senders alone.
    pub calls_max: Option<usize>,
}

impl Provider {
    /// One that has but one environment and host.
    pub fn named(label: &'static str) -> Self {
        Self { label, environment: None, origin: None, calls_max: None }
    }
}

/// What a message needs is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not configured")]
pub struct NotConfigured(pub &'static str);

/// The provider took it. That is not "shown".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What the provider calls the message: it is kept with the attempt, for a question to their support, and where a
    /// message is replaced or taken away by that.
    pub provider_id: Option<String>,
}
