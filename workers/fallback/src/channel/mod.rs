//! The channels: a folder each, behind one seam, [`ChannelSender`].
//!
//! What holds here:
//! - `Ok` means that the provider accepted, which is neither "shown" nor "seen".
//! - Senders report facts; what follows from them is decided once, in [`SendError::disposition`].
//! - A retry of the same attempt carries the same ids, so that a duplicate replaces and never adds (I6).
//! - A token is called dead only on proof (I7); whatever is ambiguous costs the message, not the token.
//! - No error and no `Debug` text contains a token, an address, a title or a body (I12).
//! - Nothing outside a channel's folder and its row in `watchbell::domain::channel` asks which channel it has.
//!
//! | module | what it is |
//! |---|---|
//! | [`push`] | devices: Apple, Google and browsers |
//! | [`email`] | mailboxes, by a mail relay |
//! | [`slack`] | channels and members of Slack |
//! | [`telegram`] | chats with a bot |
//! | [`webhook`] | programs that take signed JSON |
//! | `registry` | the channels that are configured |
//! | `error` | why a provider did not accept, and what follows |
//! | `public_only` | keeps addresses that strangers name out of our own network |
//! | `http`, `reason`, `text`, `link` | what HTTP clients share; what may be said of a refusal; texts made shorter; where a message leads |
//!
//! Elsewhere: the loop that takes work, backs off and opens breakers (this crate's senders); attempts
//! and tokens in `watchbell::store`.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};
pub use watchbell::domain::{PushEnvironment, Severity, Status};
use watchbell::{
    domain::{AttemptId, Channel, Device, Secret, StopReason, UserKey},
    store::Walk,
};

pub mod email;
mod error;
mod http;
mod link;
mod public_only;
pub mod push;
mod reason;
mod registry;
pub mod slack;
pub mod telegram;
mod text;
pub mod webhook;

pub use email::{EmailConfig, EmailJob, EmailTls, SmtpSender};
pub use error::{Blame, Disposition, SendError, SetupError, ThrottleScope};
pub use push::{
    ApnsAuth, ApnsConfig, ApnsSender, FcmConfig, FcmSender, PushChannel, PushContent, PushJob, PushSender,
    PushTarget, VapidKey, WebPushConfig, WebPushSender,
};
pub use registry::Channels;
pub use slack::{SlackConfig, SlackSender};
pub use telegram::{TelegramConfig, TelegramSender};
pub use webhook::{WebhookConfig, WebhookSender, WebhookTarget};

/// Alerts one withdrawal may name. The rest is for the next one, or for the app when it is opened.
pub const WITHDRAWN_ALERTS_MAX: usize = 200;

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

/// One message to one recipient.
#[derive(Debug)]
pub struct Job<'a> {
    /// Kept on every retry of the same attempt (I6).
    pub attempt: AttemptId,
    /// Whom it is for.
    pub user: &'a UserKey,
    /// Where it goes.
    pub to: Recipient<'a>,
    /// What it says.
    pub message: Message,
    /// What the provider called the messages of this alert that this recipient may still see, oldest first: what is
    /// replaced, or taken away, where a channel does that by the message.
    pub shown: Vec<String>,
    /// The reader's language as a BCP 47 tag.
    pub locale: Option<&'a str>,
}

/// Where a message goes.
#[derive(Debug)]
pub enum Recipient<'a> {
    /// To one of the person's devices.
    Device(&'a Device),
    /// To an address.
    Address(Secret),
}

impl Recipient<'_> {
    /// What the provider knows the recipient by.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Device(device) => &device.token,
            Self::Address(address) => address,
        }
    }
}

/// What a message is to do.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every message shows an alert")]
pub enum Message {
    /// Show an alert, or replace the shown one with the same collapse key.
    Alert(AlertContent),
    /// Take away what is shown, or say in its place that it is over. Best effort: the inbox is the truth.
    Withdrawal(Withdrawal),
}

/// What is to be taken away.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The alerts, at most [`WITHDRAWN_ALERTS_MAX`].
    pub alerts: Vec<String>,
    /// The user's unread alerts without them.
    pub unread: u64,
    /// Why nobody needs to be told any more.
    pub because: StopReason,
    /// What the alert says now, where a message is replaced by another; none for a summary of several.
    pub content: Option<Box<AlertContent>>,
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

/// An alert as it leaves the house.
#[derive(Clone)]
pub struct AlertContent {
    /// The alert's id.
    pub alert: String,
    /// Whom it is for.
    pub user: String,
    /// Whose alert it is.
    pub tenant: String,
    /// One line that makes sense alone.
    pub title: String,
    /// More, for those who look.
    pub body: Option<String>,
    /// Where to read on.
    pub url: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// The producer's own fields.
    pub data: Map<String, Value>,
    /// The kind of alert; what a phone groups by.
    pub category: Option<String>,
    /// The same for every retry and every later version of this alert.
    pub collapse_key: String,
    /// After this the provider must not show it any more.
    pub expires_at: Timestamp,
    /// When the thing happened.
    pub occurred_at: Timestamp,
    /// The user's unread alerts, this one included: what the badge shows.
    pub unread: u64,
}

/// Names only: a title or a body in a log would be somebody's private matter (I12).
impl fmt::Debug for AlertContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertContent")
            .field("alert", &self.alert)
            .field("tenant", &self.tenant)
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}

/// The provider took it. That is not "shown".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What the provider calls the message: it is kept with the attempt, for a question to their support, and where a
    /// message is replaced or taken away by that.
    pub provider_id: Option<String>,
}

#[cfg(test)]
mod tests;
