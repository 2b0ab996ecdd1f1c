//! The section, and the sender from `[slack]`.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{domain::Secret, runtime::config::values::maybe_secret};

use super::{SlackConfig, SlackSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// `[slack]`: a bot, or incoming webhooks alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlackSection {
    /// The token of a bot with the scope `chat:write`. Without it, only incoming webhooks are posted to.
    #[serde(with = "maybe_secret")]
    pub token: Option<Secret>,
    /// Slack's API, that of Slack for governments, or a stand-in.
    pub endpoint: Option<String>,
    /// A stand-in for the host of Slack's that an incoming webhook's address names.
    pub hooks_endpoint: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

impl SlackSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        let is_bots = self.token.as_ref().is_none_or(|token| token.expose().starts_with("xoxb-"));
        ensure!(is_bots, "token must be one of a bot, which begins with xoxb-");
        Ok(())
    }
}

/// Slack, if it is configured.
pub(in crate::channel) fn from_config(
    section: Option<&SlackSection>,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(slack) = section else { return Ok(None) };
    let sender = SlackSender::new(&SlackConfig {
        token: slack.token.clone(),
        endpoint: slack.endpoint.clone().unwrap_or_else(|| SlackConfig::ENDPOINT.to_owned()),
        hooks_endpoint: slack.hooks_endpoint.clone(),
        trust_root_pem: trust_root(slack.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    });
    Ok(Some(Arc::new(sender.context("[slack]")?)))
}
