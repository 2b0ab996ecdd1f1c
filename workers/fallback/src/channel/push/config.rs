//! The sections, and the senders from `[apns]`, `[fcm]` and `[webpush]`.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{PushService, Secret},
    runtime::{
        Config,
        config::values::{maybe_secret, secret},
    },
};

use super::{
    ApnsAuth, ApnsConfig, ApnsSender, FcmConfig, FcmSender, PushChannel, PushSender, VapidKey, WebPushConfig,
    WebPushSender,
};
use crate::channel::{
    link,
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
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

impl ApnsSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        let by_key = self.team_id.is_some() && self.key_id.is_some() && self.key.is_some();
        let by_any = self.team_id.is_some() || self.key_id.is_some() || self.key.is_some();
        ensure!(
            if self.certificate.is_some() { !by_any } else { by_key },
            "needs either team_id, key_id and key, or certificate"
        );
        Ok(())
    }
}

/// The push services that are configured; `None` when none is.
pub(in crate::channel) fn from_config(
    apns: Option<&ApnsSection>,
    fcm: Option<&FcmSection>,
    shared: &Config,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let mut services: HashMap<PushService, Arc<dyn PushSender>> = HashMap::new();
    if let Some(apns) = apns {
        let production = apns.endpoint.clone().unwrap_or_else(|| ApnsConfig::PRODUCTION.to_owned());
        let sender = ApnsSender::new(&ApnsConfig {
            endpoint_sandbox: apns.endpoint_sandbox.clone().unwrap_or_else(|| ApnsConfig::SANDBOX.to_owned()),
            endpoint_production: production,
            auth: apns_auth(apns)?,
            topic: apns.topic.clone(),
            trust_root_pem: trust_root(apns.trust_root_file.as_deref())?,
            request_timeout: CALL_TIMEOUT,
        });
        services.insert(PushService::Apns, Arc::new(sender.context("[apns]")?));
    }
    if let Some(fcm) = fcm {
        let sender = FcmSender::new(&FcmConfig {
            service_account_json: fcm.service_account.clone(),
            endpoint: fcm.endpoint.clone().unwrap_or_else(|| FcmConfig::ENDPOINT.to_owned()),
            trust_root_pem: trust_root(fcm.trust_root_file.as_deref())?,
            request_timeout: FcmConfig::REQUEST_TIMEOUT,
            http1: false,
            validate_only: fcm.validate_only,
        });
        services.insert(PushService::Fcm, Arc::new(sender.context("[fcm]")?));
    }
    if let Some(webpush) = &shared.webpush {
        let private = webpush.private_key.as_ref().context("[webpush] private_key must be given")?;
        let key = VapidKey::parse(private).context("[webpush]")?;
        ensure!(
            key.public() == webpush.public_key.trim_end_matches('='),
            "[webpush] public_key and private_key are not a pair"
        );
        let previous_key = webpush.previous_private_key.as_ref().map(VapidKey::parse).transpose();
        let sender = WebPushSender::new(&WebPushConfig {
            key,
            previous_key: previous_key.context("[webpush] previous_private_key")?,
            subject: webpush.subject.clone(),
            page: webpush.page.as_deref().map(page_of_alerts).transpose()?,
            private_endpoints: webpush.private_endpoints,
            trust_root_pem: trust_root(webpush.trust_root_file.as_deref())?,
            request_timeout: CALL_TIMEOUT,
        });
        services.insert(PushService::WebPush, Arc::new(sender.context("[webpush]")?));
    }
    Ok(match services.is_empty() {
        true => None,
        false => Some(Arc::new(PushChannel::new(services))),
    })
}

/// An address that a browser can open, and that an alert's id can be put behind.
fn page_of_alerts(text: &str) -> anyhow::Result<String> {
    let url = link::web_url(text).filter(|url| url.fragment().is_none());
    url.map(String::from).context("[webpush] page has to be an address on the web, without a fragment")
}

fn apns_auth(apns: &ApnsSection) -> anyhow::Result<ApnsAuth> {
    let (team_id, key_id, key_pem) = (apns.team_id.clone(), apns.key_id.clone(), apns.key.clone());
    match (apns.certificate.clone(), team_id, key_id, key_pem) {
        (Some(pem), ..) => Ok(ApnsAuth::Certificate { pem }),
        (None, Some(team_id), Some(key_id), Some(key_pem)) => {
            Ok(ApnsAuth::Token { team_id, key_id, key_pem })
        }
        _ => bail!("[apns] needs either team_id, key_id and key, or certificate"),
    }
}
