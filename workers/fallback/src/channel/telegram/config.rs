//! The sender from `[telegram]`.

use std::sync::Arc;

use anyhow::Context as _;
use watchbell::runtime::Config;

use super::{TelegramConfig, TelegramSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// The bot, if it is configured.
pub(in crate::channel) fn from_config(config: &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(telegram) = &config.telegram else { return Ok(None) };
    let sender = TelegramSender::new(&TelegramConfig {
        bot_token: telegram.bot_token.clone(),
        endpoint: telegram.endpoint.clone().unwrap_or_else(|| TelegramConfig::ENDPOINT.to_owned()),
        link_base: config.http.public_url.clone(),
        trust_root_pem: trust_root(telegram.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    });
    Ok(Some(Arc::new(sender.context("[telegram]")?)))
}
