//! The channels: a folder for each, behind one interface, [`ChannelSender`].
//!
//! What holds here:
//! - `Ok` means that the provider accepted, which is neither "shown" nor "seen".
//! - Senders report facts; what follows from them is decided once, in [`SendError::disposition`].
//! - A retry of the same attempt carries the same ids, so that a duplicate replaces and never adds (I6).
//! - A token is called dead only on proof (I7); whatever is ambiguous costs the message, not the token.
//! - No error and no `Debug` text contains a token, an address, a title or a body (I12).
//! - Nothing outside a channel's folder and its row in `watchbell::domain::channel` asks which channel it has.
//!
//! | file | what it is |
//! |---|---|
//! | `sender.rs` | the interface of a channel, [`ChannelSender`] |
//! | `message.rs` | what a channel is given to send |
//! | `broadcast.rs` | what a broadcast channel of Apple's is asked for |
//! | `answers.rs` | the signed addresses of buttons that answer |
//! | `rendered.rs` | a message as it would be made now, for an operator to look at |
//! | `dry_run.rs` | what a provider says when it is asked and sent nothing |
//! | `error.rs` | why a provider did not accept a message, and what follows |
//! | `registry.rs` | the channels that are configured, a line for each |
//! | `sections.rs` | the sections of the configuration, one for each channel or push service |
//! | `setup.rs` | what the constructors of the channels share |
//! | `http.rs` | the HTTP client that the channels share |
//! | `fuzzing.rs` | a way in for `fuzz/` |
//! | `reason.rs` | what may be written down about a refusal |
//! | `text.rs` | makes texts shorter |
//! | `link.rs` | where the link of a message leads |
//! | `public_only.rs` | keeps addresses that strangers name out of our own network |
//! | `push/` | devices: Apple, Google and browsers |
//! | `email/` | mailboxes, by a mail relay |
//! | `slack/` | channels and members of Slack |
//! | `telegram/` | chats with a bot |
//! | `sms/` | phones, by text message |
//! | `webhook/` | programs that take signed JSON |
//!
//! A file in here imports the file that it needs, and nothing from this list, which imports all of them.
//!
//! Elsewhere: who is sent what and when in `escalation`, who may be called in `guard`; attempts and tokens in
//! `watchbell::store`.

pub use watchbell::domain::{PushEnvironment, Severity, Status};

mod answers;
mod broadcast;
mod dry_run;
pub mod email;
mod error;
#[doc(hidden)] // For `fuzz/`.
pub mod fuzzing;
pub(crate) mod http;
mod link;
mod message;
pub(crate) mod public_only;
pub mod push;
mod reason;
mod registry;
mod rendered;
mod sections;
mod sender;
mod setup;
pub mod slack;
pub mod sms;
pub mod telegram;
mod text;
pub mod webhook;

pub use broadcast::{Broadcast, BroadcastAct};
pub use dry_run::DryRun;
pub use email::{
    EmailConfig, EmailJob, EmailTls, SmtpSender,
    config::{DkimSection, EmailSection},
    dkim::{DkimConfig, DkimRecord},
};
pub use error::{Blame, Disposition, SendError, SetupError, ThrottleScope};
pub use message::{
    ActivityEvent, ActivityMessage, AlertContent, Button, Job, MarkdownUse, Message, Recipient,
    WITHDRAWN_ALERTS_MAX, Withdrawal,
};
pub use push::config::{ApnsSection, FcmSection};
pub use push::{
    ApnsAuth, ApnsConfig, ApnsKey, ApnsSender, BroadcastEndpoints, FcmConfig, FcmSender, FcmStyle,
    PushChannel, PushContent, PushJob, PushSection, PushSender, PushTarget, VapidKey, WebPushConfig,
    WebPushSender,
};
pub(crate) use reason::tidy as tidy_reason;
pub use registry::Channels;
pub use rendered::{RenderedForm, RenderedMessage};
pub use sections::ChannelSections;
pub use sender::{Accepted, Broadcaster, ChannelSender, NotConfigured, Provider};
pub use slack::{SlackConfig, SlackSender, config::SlackSection};
pub use sms::{SmsConfig, SmsFrom, SmsSender, config::SmsSection};
pub use telegram::{TelegramConfig, TelegramSender, config::TelegramSection};
pub use webhook::{WebhookConfig, WebhookSender, WebhookTarget, config::WebhookSection};

#[cfg(test)]
mod tests;
