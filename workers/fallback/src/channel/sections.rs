//! The sections of the channels, as an operator writes them. Each is declared and checked in its channel's `config.rs`.

use anyhow::Context as _;
use serde::Serialize;
use watchbell::runtime::config::Sources;

use super::{
    email::config::EmailSection,
    push::{
        config::{ApnsSection, FcmSection},
        detail::PushSection,
    },
    slack::config::SlackSection,
    sms::config::SmsSection,
    telegram::config::TelegramSection,
    webhook::config::WebhookSection,
};

/// Every section of a channel. One that was not written is a channel, or a push service, that is not configured.
/// `[webpush]` is not among them, because `socket` needs it too.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ChannelSections {
    /// Apple.
    pub apns: Option<ApnsSection>,
    /// Google.
    pub fcm: Option<FcmSection>,
    /// How much of an alert a push carries.
    pub push: Option<PushSection>,
    /// The mail relay.
    pub email: Option<EmailSection>,
    /// Programs.
    pub webhook: Option<WebhookSection>,
    /// Slack.
    pub slack: Option<SlackSection>,
    /// Text messages.
    pub sms: Option<SmsSection>,
    /// Telegram.
    pub telegram: Option<TelegramSection>,
}

impl ChannelSections {
    /// Reads the sections.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn read(sources: &mut Sources) -> anyhow::Result<Self> {
        Ok(Self {
            apns: sources.take("apns")?,
            fcm: sources.take("fcm")?,
            push: sources.take("push")?,
            email: sources.take("email")?,
            webhook: sources.take("webhook")?,
            slack: sources.take("slack")?,
            sms: sources.take("sms")?,
            telegram: sources.take("telegram")?,
        })
    }

    /// Checks what each section's values have to be.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn check(&self) -> anyhow::Result<()> {
        self.apns.as_ref().map_or(Ok(()), ApnsSection::check).context("apns")?;
        self.fcm.as_ref().map_or(Ok(()), FcmSection::check).context("fcm")?;
        self.push.as_ref().map_or(Ok(()), PushSection::check).context("push")?;
        self.email.as_ref().map_or(Ok(()), EmailSection::check).context("email")?;
        self.webhook.as_ref().map_or(Ok(()), WebhookSection::check).context("webhook")?;
        self.slack.as_ref().map_or(Ok(()), SlackSection::check).context("slack")?;
        self.sms.as_ref().map_or(Ok(()), SmsSection::check).context("sms")?;
        self.telegram.as_ref().map_or(Ok(()), TelegramSection::check).context("telegram")
    }
}
