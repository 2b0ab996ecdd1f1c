//! The section, and the sender from `[email]`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Secret, email::email_address},
    runtime::{
        Config,
        config::{
            checks::within,
            values::{maybe_secret, secret},
        },
    },
};

use super::{EmailConfig, EmailTls, SmtpSender, dkim, dkim::DkimConfig};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// Connections to a mail relay.
const CONNECTIONS_MAX: usize = 1_000;

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
    pub tls: EmailTls,
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
    /// The domain that mails come back to, such as `bounces.example.com`: each has a return path of its own there. Its MX is
    /// `bounce_listen`, or a mail server that hands on to it. Without it what comes back goes to `from`, and is not read.
    /// Needs `auth.unsubscribe_secret`, which signs those paths.
    #[serde(default)]
    pub bounce_domain: Option<String>,
    /// Where the `fallback` worker takes mails that come back, and replies, by SMTP.
    #[serde(default)]
    pub bounce_listen: Option<SocketAddr>,
    /// Whether a person's reply to a mail acknowledges its alert, as its button "Acknowledge" does. Mails have an address for replies of
    /// their own in `bounce_domain` then, and what people write there is read by nobody. Needs `http.public_url` and
    /// `auth.unsubscribe_secret`.
    #[serde(default)]
    pub reply_acknowledges: bool,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
    /// Signatures of our own (DKIM). Without them the relay signs, or nobody does.
    #[serde(default)]
    pub dkim: Option<DkimSection>,
}

/// `[email.dkim]`: who signs, and with what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimSection {
    /// Whose signature it is: the domain of `from`, or one above it.
    pub domain: String,
    /// Which key of that domain: its record is at SELECTOR._domainkey.DOMAIN, and `watchbell doctor` says what it has to be.
    pub selector: String,
    /// The private key as PEM: RSA of 2048 bits or more, or Ed25519, which not every receiver can verify.
    #[serde(with = "secret")]
    pub key: Secret,
}

impl DkimSection {
    /// What the signer is made of.
    pub fn config(&self) -> DkimConfig {
        DkimConfig { domain: self.domain.clone(), selector: self.selector.clone(), key: self.key.clone() }
    }

    fn check(&self, from: &str) -> anyhow::Result<()> {
        let domain =
            dkim::domain_of(&self.domain).context("dkim.domain must be a domain such as example.com")?;
        ensure!(
            dkim::is_selector(&self.selector),
            "dkim.selector must be of letters, digits and - with single dots between them, such as s1"
        );
        let sender = from.rsplit_once('@').and_then(|(_, sender)| dkim::domain_of(sender));
        // Else the signature says nothing of the sender that people see (RFC 7489, section 3.1.1).
        let is_aligned =
            sender.is_some_and(|sender| sender == domain || sender.ends_with(&format!(".{domain}")));
        ensure!(is_aligned, "dkim.domain must be the domain of from, or one above it");
        Ok(())
    }
}

fn four() -> usize {
    4
}

impl EmailSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        within("port", self.port, 1..=u16::MAX)?;
        within("connections_max", self.connections_max, 1..=CONNECTIONS_MAX)?;
        ensure!(self.username.is_some() == self.password.is_some(), "username and password go together");
        // fallback, which writes it, parses it whole.
        let address = self.from.rsplit_once('<').map_or(&*self.from, |(_, rest)| rest.trim_end_matches('>'));
        ensure!(!self.from.contains(char::is_control), "from must be one line");
        if let Err(why) = email_address(address) {
            bail!("from, such as `Watchbell <alerts@example.org>`: its address {why}");
        }
        if let Some(domain) = &self.bounce_domain {
            let is_domain = email_address(&format!("a@{domain}")).is_ok();
            ensure!(is_domain, "bounce_domain must be a domain such as bounces.example.com");
        }
        ensure!(
            self.bounce_listen.is_none() || self.bounce_domain.is_some(),
            "bounce_listen takes mails for bounce_domain: set that as well"
        );
        ensure!(
            !self.reply_acknowledges || self.bounce_domain.is_some(),
            "reply_acknowledges takes replies in bounce_domain: set that as well"
        );
        if let Some(dkim) = &self.dkim {
            dkim.check(address)?;
        }
        Ok(())
    }
}

/// The mail relay, if it is configured.
pub(in crate::channel) fn from_config(
    section: Option<&EmailSection>,
    shared: &Config,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(email) = section else { return Ok(None) };
    ensure!(
        !email.reply_acknowledges
            || (shared.http.public_url.is_some() && shared.auth.unsubscribe_secret.is_some()),
        "[email] reply_acknowledges needs http.public_url and auth.unsubscribe_secret, which sign the address for replies"
    );
    ensure!(
        email.bounce_domain.is_none() || shared.auth.unsubscribe_secret.is_some(),
        "[email] bounce_domain needs auth.unsubscribe_secret, which signs the return paths of mails: set it to at least 32 random bytes"
    );
    let domain = email.from.rsplit('@').next().unwrap_or_default().trim_end_matches('>').to_owned();
    let sender = SmtpSender::new(&EmailConfig {
        host: email.host.clone(),
        port: email.port,
        tls: email.tls,
        username: email.username.clone(),
        password: email.password.clone(),
        from: email.from.clone(),
        link_base: shared.http.public_url.clone(),
        unsubscribe_secret: shared.auth.unsubscribe_secret.clone(),
        templates_dir: email.templates_dir.clone(),
        trust_root_pem: trust_root(email.trust_root_file.as_deref())?,
        timeout: CALL_TIMEOUT * 2,
        connections_max: email.connections_max,
        message_id_domain: domain,
        bounce_domain: email.bounce_domain.clone(),
        reply_acknowledges: email.reply_acknowledges,
        dkim: email.dkim.as_ref().map(DkimSection::config),
    });
    Ok(Some(Arc::new(sender.context("[email]")?)))
}
