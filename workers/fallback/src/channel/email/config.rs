//! The sender from `[email]`.

use std::sync::Arc;

use anyhow::Context as _;
use watchbell::runtime::{Config, config::TlsMode};

use super::{EmailConfig, EmailTls, SmtpSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// The mail relay, if it is configured.
pub(in crate::channel) fn from_config(config: &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(email) = &config.email else { return Ok(None) };
    let domain = email.from.rsplit('@').next().unwrap_or_default().trim_end_matches('>').to_owned();
    let sender = SmtpSender::new(&EmailConfig {
        host: email.host.clone(),
        port: email.port,
        tls: match email.tls {
            TlsMode::None => EmailTls::None,
            TlsMode::StartTls => EmailTls::StartTls,
            TlsMode::Implicit => EmailTls::Implicit,
        },
        username: email.username.clone(),
        password: email.password.clone(),
        from: email.from.clone(),
        link_base: config.http.public_url.clone(),
        unsubscribe_secret: config.auth.unsubscribe_secret.clone(),
        templates_dir: email.templates_dir.clone(),
        trust_root_pem: trust_root(email.trust_root_file.as_deref())?,
        timeout: CALL_TIMEOUT * 2,
        connections_max: email.connections_max,
        message_id_domain: domain,
    });
    Ok(Some(Arc::new(sender.context("[email]")?)))
}
