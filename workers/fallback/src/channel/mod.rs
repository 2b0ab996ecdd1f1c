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
//! | `sender` | the interface of a channel, [`ChannelSender`] |
//! | `message` | what a channel is given to send |
//! | `sections` | the sections of the configuration, one for each channel or push service |
//! | `registry` | the channels that are configured |
//! | `setup` | what the constructors of the channels share |
//! | `error` | why a provider did not accept, and what follows |
//! | `public_only` | keeps addresses that strangers name out of our own network |
//! | `http`, `reason`, `text`, `link` | what HTTP clients share; what may be said of a refusal; texts made shorter; where a message leads |
//!
//! Elsewhere: the loop that takes work, backs off and opens breakers (this crate's senders); attempts
//! and tokens in `watchbell::store`.

pub use watchbell::domain::{PushEnvironment, Severity, Status};

pub mod email;
mod error;
mod http;
mod link;
mod message;
mod public_only;
pub mod push;
mod reason;
mod registry;
mod sections;
mod sender;
mod setup;
pub mod slack;
pub mod telegram;
mod text;
pub mod webhook;

pub use email::{EmailConfig, EmailJob, EmailTls, SmtpSender, config::EmailSection};
pub use error::{Blame, Disposition, SendError, SetupError, ThrottleScope};
pub use message::{AlertContent, Job, Message, Recipient, WITHDRAWN_ALERTS_MAX, Withdrawal};
pub use push::config::{ApnsSection, FcmSection};
pub use push::{
    ApnsAuth, ApnsConfig, ApnsSender, FcmConfig, FcmSender, PushChannel, PushContent, PushJob, PushSender,
    PushTarget, VapidKey, WebPushConfig, WebPushSender,
};
pub use registry::Channels;
pub use sections::ChannelSections;
pub use sender::{Accepted, ChannelSender, NotConfigured, Provider};
pub use slack::{SlackConfig, SlackSender, config::SlackSection};
pub use telegram::{TelegramConfig, TelegramSender, config::TelegramSection};
pub use webhook::{WebhookConfig, WebhookSender, WebhookTarget, config::WebhookSection};

#[cfg(test)]
mod tests;
