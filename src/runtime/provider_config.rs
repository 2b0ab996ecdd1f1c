//! The configuration of providers: who sends, as whom, and where to.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::config::{maybe_secret, secret};
use crate::{
    domain::{Secret, Tenant, email::email_address, web_address::web_address},
    wire::standard_webhooks::SigningSecret,
};

/// `[apns]`: by a key (`team_id`, `key_id`, `key`) or by a certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsSection {
    /// The ten-character team id.
    #[serde(default)]
    pub team_id: Option<String>,
    /// The ten-character key id.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The `.p8` key as PEM.
    #[serde(default, with = "maybe_secret")]
    pub key: Option<Secret>,
    /// In place of the three above: a client certificate and its private key as PEM.
    #[serde(default, with = "maybe_secret")]
    pub certificate: Option<Secret>,
    /// The app's bundle id.
    pub topic: String,
    /// Apple's production host, or a stand-in.
    pub endpoint: Option<String>,
    /// Apple's sandbox host, or a stand-in.
    pub endpoint_sandbox: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

/// `[fcm]`: HTTP v1 with a service account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmSection {
    /// The service account's JSON.
    #[serde(with = "secret")]
    pub service_account: Secret,
    /// Google's host, or a stand-in.
    pub endpoint: Option<String>,
    /// Google judges every push and shows none: for trying a configuration out.
    #[serde(default)]
    pub validate_only: bool,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

/// `[webpush]`: browsers. `watchbell key vapid` makes the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebPushSection {
    /// What browsers subscribe with; `GET /v1/webpush/key` gives it to them.
    pub public_key: String,
    /// Its other half, which only fallback needs.
    #[serde(default, with = "maybe_secret")]
    pub private_key: Option<Secret>,
    /// Whom push services may write to about us: `mailto:…` or `https://…`.
    pub subject: String,
    /// Whether browsers may name push services in private networks. Only for one of your own: whoever may register a
    /// device can otherwise make fallback call any address that it reaches.
    #[serde(default)]
    pub private_endpoints: bool,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}

/// How the connection to a mail relay is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Not at all.
    None,
    /// From plain to TLS by `STARTTLS`.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// `[email]`: a mail relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSection {
    /// The relay.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `none`, `starttls` or `implicit`.
    #[serde(default)]
    pub tls: TlsMode,
    /// To sign in, with `password`.
    #[serde(default, with = "maybe_secret")]
    pub username: Option<Secret>,
    /// To sign in, with `username`.
    #[serde(default, with = "maybe_secret")]
    pub password: Option<Secret>,
    /// `Watchbell <alerts@example.com>`.
    pub from: String,
    /// Connections to the relay at the most.
    #[serde(default = "four")]
    pub connections_max: usize,
    /// A folder of templates in place of the built-in ones: `subject.txt`, `email.txt`, `email.html`, each also for one
    /// language (`email.de.html`). workers/fallback/README.md says what they see.
    #[serde(default)]
    pub templates_dir: Option<PathBuf>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

/// `[webhook]`: addresses that alerts are posted to, signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// What messages are signed with, by the scheme of Standard Webhooks: `whsec_…`.
    #[serde(with = "secret")]
    pub secret: Secret,
    /// The address of whoever has none of their own, in every tenant that has none either.
    #[serde(default, with = "maybe_secret")]
    pub url: Option<Secret>,
    /// Tenants with an address or a secret of their own, by name.
    #[serde(default)]
    pub tenants: BTreeMap<String, WebhookTenantSection>,
    /// Whether addresses may be plain http and lead into private networks. Whoever may give a user an address can then make
    /// fallback call any address that it reaches.
    #[serde(default)]
    pub private_endpoints: bool,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}

/// `[webhook.tenants.NAME]`: what is different for one tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookTenantSection {
    /// The address of its users who have none of their own.
    #[serde(with = "maybe_secret")]
    pub url: Option<Secret>,
    /// What messages about its users are signed with.
    #[serde(with = "maybe_secret")]
    pub secret: Option<Secret>,
}

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

fn four() -> usize {
    4
}

impl ApnsSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let by_key = self.team_id.is_some() && self.key_id.is_some() && self.key.is_some();
        let by_any = self.team_id.is_some() || self.key_id.is_some() || self.key.is_some();
        ensure!(
            if self.certificate.is_some() { !by_any } else { by_key },
            "needs either team_id, key_id and key, or certificate"
        );
        Ok(())
    }
}

impl TelegramSection {
    /// The token is part of every request's path, so it may hold nothing that a path gives a meaning to.
    pub(super) fn check(&self) -> anyhow::Result<()> {
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

impl EmailSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.username.is_some() == self.password.is_some(), "username and password go together");
        // fallback, which writes it, parses it whole.
        let address = self.from.rsplit_once('<').map_or(&*self.from, |(_, rest)| rest.trim_end_matches('>'));
        ensure!(!self.from.contains(char::is_control), "from must be one line");
        if let Err(why) = email_address(address) {
            bail!("from, such as `Watchbell <alerts@example.org>`: its address {why}");
        }
        Ok(())
    }
}

impl WebhookSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        check_signed(Some(&self.secret), self.url.as_ref(), self.private_endpoints)?;
        for (name, own) in &self.tenants {
            let checked = Tenant::parse(name).map_err(anyhow::Error::from);
            let checked = checked
                .and_then(|_| check_signed(own.secret.as_ref(), own.url.as_ref(), self.private_endpoints));
            checked.with_context(|| format!("tenants.{name}"))?;
        }
        Ok(())
    }
}

impl SlackSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let is_bots = self.token.as_ref().is_none_or(|token| token.expose().starts_with("xoxb-"));
        ensure!(is_bots, "token must be one of a bot, which begins with xoxb-");
        Ok(())
    }
}

/// Whether an address can be called, and what is posted there be signed.
fn check_signed(
    secret: Option<&Secret>,
    url: Option<&Secret>,
    private_endpoints: bool,
) -> anyhow::Result<()> {
    if let Some(secret) = secret {
        SigningSecret::parse(secret).map_err(|why| anyhow!("secret {why}"))?;
    }
    if let Some(url) = url {
        web_address(url.expose()).map_err(|why| anyhow!("url {why}"))?;
        ensure!(
            private_endpoints || url.expose().starts_with("https://"),
            "url must begin with https://; http:// needs private_endpoints"
        );
    }
    Ok(())
}
