//! The section `[sms]`, and the sender from it.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Secret, phone::phone_number},
    runtime::{Config, config::values::maybe_secret},
};

use super::{SmsConfig, SmsFrom, SmsSender};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// `[sms]`: text messages by Twilio's API. Signed in by `auth_token`, or by `api_key` and its secret; sent by `from`, or by
/// `messaging_service_sid`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsSection {
    /// The account at Twilio: `AC…`.
    pub account_sid: String,
    /// The token of the account.
    #[serde(default, with = "maybe_secret")]
    pub auth_token: Option<Secret>,
    /// In place of the token: an API key of the account, `SK…`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The secret of that key.
    #[serde(default, with = "maybe_secret")]
    pub api_key_secret: Option<Secret>,
    /// The number, the short code or the name that people see.
    #[serde(default)]
    pub from: Option<String>,
    /// In place of it: a messaging service, `MG…`, which chooses among its numbers.
    #[serde(default)]
    pub messaging_service_sid: Option<String>,
    /// Segments of one message at the most; each is paid for. What is longer is cut, but for its link.
    #[serde(default = "three")]
    pub segments_max: usize,
    /// Twilio's API in the account's region, or a stand-in.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A PEM file of further trust roots.
    #[serde(default)]
    pub trust_root_file: Option<PathBuf>,
}

/// Ten segments have 1,530 characters, and Twilio takes 1,600.
const SMS_SEGMENTS: RangeInclusive<usize> = 1..=10;
/// Characters of a name in place of a number: a bound of the networks.
const SENDER_NAME_CHARS: RangeInclusive<usize> = 1..=11;

fn three() -> usize {
    3
}

impl SmsSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        check_sid("account_sid", "AC", &self.account_sid)?;
        let by_key = self.api_key.is_some() && self.api_key_secret.is_some();
        let by_any = self.api_key.is_some() || self.api_key_secret.is_some();
        ensure!(
            if self.auth_token.is_some() { !by_any } else { by_key },
            "needs either auth_token, or api_key and api_key_secret"
        );
        if let Some(key) = &self.api_key {
            check_sid("api_key", "SK", key)?;
        }
        match (&self.from, &self.messaging_service_sid) {
            (Some(from), None) => ensure!(
                is_sender(from),
                "from must be a number such as +15005550006, a short code, or a name of at most 11 letters, digits and blanks"
            ),
            (None, Some(service)) => check_sid("messaging_service_sid", "MG", service)?,
            _ => bail!("needs either from or messaging_service_sid"),
        }
        ensure!(
            SMS_SEGMENTS.contains(&self.segments_max),
            "segments_max must be {} to {}",
            SMS_SEGMENTS.start(),
            SMS_SEGMENTS.end()
        );
        Ok(())
    }
}

/// Whether a text is one of Twilio's ids of this kind. The account's is part of an address.
fn check_sid(key: &str, kind: &str, sid: &str) -> anyhow::Result<()> {
    let rest = sid.strip_prefix(kind).unwrap_or_default();
    let is_sid = rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_sid, "{key} must be {kind} and 32 hexadecimal digits, as Twilio's console shows it");
    Ok(())
}

/// What Twilio takes as the sender of a text message.
fn is_sender(from: &str) -> bool {
    let is_name = SENDER_NAME_CHARS.contains(&from.len())
        && from.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    is_name || phone_number(from).is_ok()
}

/// Twilio, if it is configured.
pub(in crate::channel) fn from_config(
    section: Option<&SmsSection>,
    shared: &Config,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let Some(sms) = section else { return Ok(None) };
    let sender = sender_of(sms, shared.http.public_url.clone()).context("[sms]")?;
    Ok(Some(Arc::new(sender)))
}

/// What is missing here, `SmsSection::check` has refused before.
fn sender_of(sms: &SmsSection, link_base: Option<String>) -> anyhow::Result<SmsSender> {
    let (username, password) = match (&sms.api_key, &sms.api_key_secret) {
        (Some(key), Some(secret)) => (key.clone(), secret.clone()),
        _ => (sms.account_sid.clone(), sms.auth_token.clone().context("auth_token is missing")?),
    };
    let from = match (&sms.from, &sms.messaging_service_sid) {
        (Some(sender), _) => SmsFrom::Sender(sender.clone()),
        (None, service) => SmsFrom::Service(service.clone().context("from is missing")?),
    };
    Ok(SmsSender::new(SmsConfig {
        account_sid: sms.account_sid.clone(),
        username,
        password,
        from,
        segments_max: sms.segments_max,
        endpoint: sms.endpoint.clone().unwrap_or_else(|| SmsConfig::ENDPOINT.to_owned()),
        link_base,
        trust_root_pem: trust_root(sms.trust_root_file.as_deref())?,
        request_timeout: CALL_TIMEOUT,
    })?)
}
