//! The sender from `[slack]`.

use std::sync::Arc;

use anyhow::Context as _;
use watchbell::runtime::Config;

use super::{SlackConfig, SlackSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// Slack, if it is configured.
pub(in crate::channel) fn from_config(config: &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(slack) = &config.slack else { return Ok(None) };
    let sender = SlackSender::new(&SlackConfig {
        token: slack.token.clone(),
        endpoint: slack.endpoint.clone().unwrap_or_else(|| SlackConfig::ENDPOINT.to_owned()),
        hooks_endpoint: slack.hooks_endpoint.clone(),
        trust_root_pem: trust_root(slack.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    });
    Ok(Some(Arc::new(sender.context("[slack]")?)))
}
