//! The section, and the sender from `[telegram]`.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::Secret,
    runtime::{Config, config::values::secret},
};

use super::{TelegramConfig, TelegramSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// `[telegram]`: a bot, which people begin a chat with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramSection {
    /// The token that @BotFather gave for the bot, such as `123456:ABC-DEF`.
    #[serde(with = "secret")]
    pub bot_token: Secret,
    /// Telegram's host, a Bot API server of one's own, or a stand-in.
    pub endpoint: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

impl TelegramSection {
    /// The token is part of every request's path, so it may hold nothing that a path gives a meaning to.
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        let is_part = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let parts = self.bot_token.expose().split_once(':');
        ensure!(
            parts.is_some_and(|(bot, key)| bot.bytes().all(|byte| byte.is_ascii_digit())
                && is_part(bot)
                && is_part(key)),
            "bot_token must be the token that @BotFather gave, such as 123456:ABC-DEF"
        );
        Ok(())
    }
}

/// The bot, if it is configured.
pub(in crate::channel) fn from_config(
    section: Option<&TelegramSection>,
    shared: &Config,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(telegram) = section else { return Ok(None) };
    let sender = TelegramSender::new(&TelegramConfig {
        bot_token: telegram.bot_token.clone(),
        endpoint: telegram.endpoint.clone().unwrap_or_else(|| TelegramConfig::ENDPOINT.to_owned()),
        link_base: shared.http.public_url.clone(),
        trust_root_pem: trust_root(telegram.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    });
    Ok(Some(Arc::new(sender.context("[telegram]")?)))
}
