//! The sections, and the senders from `[apns]`, `[fcm]` and `[webpush]`.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{PushEnvironment, PushService, Secret, Severity},
    runtime::{
        Config,
        config::values::{maybe_secret, secret},
    },
};

use super::{
    ApnsAuth, ApnsConfig, ApnsKey, ApnsSender, BroadcastEndpoints, FcmConfig, FcmSender, FcmStyle,
    PushChannel, PushSection, PushSender, VapidKey, WebPushConfig, WebPushSender,
};
use crate::channel::{
    link,
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// `[apns]`: by a key (`team_id`, `key_id`, `key`), by several, or by a certificate.
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
    /// Keys that Apple made good for one environment or for some apps only. A device is signed for with the first that it is in the scope
    /// of, and with the three above when it is in none.
    #[serde(default)]
    pub keys: Vec<ApnsKeySection>,
    /// In place of all keys: a client certificate and its private key as PEM.
    #[serde(default, with = "maybe_secret")]
    pub certificate: Option<Secret>,
    /// The app's bundle id; of several apps, the one of devices that were registered without a `topic`.
    pub topic: String,
    /// Apple's production host, or a stand-in.
    pub endpoint: Option<String>,
    /// Apple's sandbox host, or a stand-in.
    pub endpoint_sandbox: Option<String>,
    /// Whether a Live Activity of an alert for everyone is told by a broadcast channel, once for all devices. The apps need the capability in
    /// Apple's account, and a device iOS 18: none of an older one may be registered with a `live_activity_token`.
    #[serde(default)]
    pub broadcast: bool,
    /// Apple's production host that manages channels, or a stand-in.
    pub endpoint_channels: Option<String>,
    /// The same of the sandbox, or a stand-in.
    pub endpoint_channels_sandbox: Option<String>,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

/// `[[apns.keys]]`: a key with a scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsKeySection {
    /// The ten-character team id.
    pub team_id: String,
    /// The ten-character key id.
    pub key_id: String,
    /// The `.p8` key as PEM.
    #[serde(with = "secret")]
    pub key: Secret,
    /// The environment that it is good for: `production` or `sandbox`. Without it, both.
    #[serde(default)]
    pub environment: Option<String>,
    /// The bundle ids of the apps that it is good for. Without one, all of the team.
    #[serde(default)]
    pub topics: Vec<String>,
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
    /// Whether messages have no `notification`, so that the app on Android is always asked and shows the alert itself. iOS shows it
    /// all the same.
    #[serde(default)]
    pub data_only: bool,
    /// The notification channel on Android that alerts are shown in. Without it, the app's default one.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// The same for alerts of one severity, before `channel_id`.
    #[serde(default)]
    pub channel_id_by_severity: BTreeMap<String, String>,
    /// Google judges every push and shows none: for trying a configuration out.
    #[serde(default)]
    pub validate_only: bool,
    /// A PEM file of further trust roots.
    pub trust_root_file: Option<PathBuf>,
}

impl ApnsSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        let by_key = self.team_id.is_some() && self.key_id.is_some() && self.key.is_some();
        let by_part = self.team_id.is_some() || self.key_id.is_some() || self.key.is_some();
        let by_any = by_part || !self.keys.is_empty();
        ensure!(
            if self.certificate.is_some() { !by_any } else { by_any && by_part == by_key },
            "needs either team_id, key_id and key, or keys, or certificate"
        );
        ensure!(
            !self.broadcast || self.certificate.is_none(),
            "broadcast needs a key in place of the certificate: Apple starts Live Activities by a key alone"
        );
        // Apple takes pushes of one team on a connection.
        let mut teams = self.keys.iter().map(|key| &key.team_id).chain(self.team_id.as_ref());
        let first = teams.next();
        ensure!(teams.all(|team| Some(team) == first), "keys have to be of one team");
        for (at, key) in self.keys.iter().enumerate() {
            let environment = key.environment.as_deref().map(str::parse::<PushEnvironment>);
            environment.transpose().with_context(|| format!("keys[{at}].environment"))?;
        }
        Ok(())
    }
}

impl FcmSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        for severity in self.channel_id_by_severity.keys() {
            severity.parse::<Severity>().with_context(|| format!("channel_id_by_severity.{severity}"))?;
        }
        Ok(())
    }
}

/// The push services that are configured; `None` when none is. With as much of an alert as `detail` says.
pub(in crate::channel) fn from_config(
    (apns, fcm): (Option<&ApnsSection>, Option<&FcmSection>),
    detail: Option<&PushSection>,
    shared: &Config,
) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let mut services: HashMap<PushService, Arc<dyn PushSender>> = HashMap::new();
    if let Some(apns) = apns {
        let production = apns.endpoint.clone().unwrap_or_else(|| ApnsConfig::PRODUCTION.to_owned());
        let sender = ApnsSender::new(&ApnsConfig {
            endpoint_sandbox: apns.endpoint_sandbox.clone().unwrap_or_else(|| ApnsConfig::SANDBOX.to_owned()),
            endpoint_production: production,
            auth: apns_auth(apns)?,
            broadcast: apns.broadcast.then(|| broadcast_endpoints(apns)),
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
            style: FcmStyle {
                data_only: fcm.data_only,
                channel_id: fcm.channel_id.clone(),
                channel_id_by_severity: fcm.channel_id_by_severity.clone(),
            },
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
            stand_ins: Vec::new(),
        });
        services.insert(PushService::WebPush, Arc::new(sender.context("[webpush]")?));
    }
    Ok(match services.is_empty() {
        true => None,
        false => Some(Arc::new(PushChannel::new(services).with_detail(detail.cloned().unwrap_or_default()))),
    })
}

/// An address that a browser can open, and that an alert's id can be put behind.
fn page_of_alerts(text: &str) -> anyhow::Result<String> {
    let url = link::web_url(text).filter(|url| url.fragment().is_none());
    url.map(String::from).context("[webpush] page has to be an address on the web, without a fragment")
}

fn broadcast_endpoints(apns: &ApnsSection) -> BroadcastEndpoints {
    let (production, sandbox) = (apns.endpoint_channels.clone(), apns.endpoint_channels_sandbox.clone());
    BroadcastEndpoints {
        production: production.unwrap_or_else(|| BroadcastEndpoints::PRODUCTION.to_owned()),
        sandbox: sandbox.unwrap_or_else(|| BroadcastEndpoints::SANDBOX.to_owned()),
    }
}

fn apns_auth(apns: &ApnsSection) -> anyhow::Result<ApnsAuth> {
    if let Some(pem) = apns.certificate.clone() {
        return Ok(ApnsAuth::Certificate { pem });
    }
    let scoped = apns.keys.iter().map(|key| {
        anyhow::Ok(ApnsKey {
            team_id: key.team_id.clone(),
            key_id: key.key_id.clone(),
            key_pem: key.key.clone(),
            environment: key.environment.as_deref().map(str::parse).transpose().context("[[apns.keys]]")?,
            topics: key.topics.clone(),
        })
    });
    let mut keys = scoped.collect::<anyhow::Result<Vec<_>>>()?;
    if let (Some(team_id), Some(key_id), Some(key)) = (&apns.team_id, &apns.key_id, &apns.key) {
        let (team_id, key_id, key_pem) = (team_id.clone(), key_id.clone(), key.clone());
        keys.push(ApnsKey { team_id, key_id, key_pem, environment: None, topics: Vec::new() });
    }
    ensure!(!keys.is_empty(), "[apns] needs either team_id, key_id and key, or keys, or certificate");
    Ok(ApnsAuth::Token(keys))
}
