//! Senders from `[apns]`, `[fcm]` and `[webpush]`.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use watchbell::{
    domain::PushService,
    runtime::{Config, config::ApnsSection},
};

use super::{
    ApnsAuth, ApnsConfig, ApnsSender, FcmConfig, FcmSender, PushChannel, PushSender, VapidKey, WebPushConfig,
    WebPushSender,
};
use crate::channel::{
    sender::ChannelSender,
    setup::{CALL_TIMEOUT, trust_root},
};

/// The push services that are configured; `None` when none is.
pub(in crate::channel) fn from_config(config: &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>> {
    let mut services: HashMap<PushService, Arc<dyn PushSender>> = HashMap::new();
    if let Some(apns) = &config.apns {
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
    if let Some(fcm) = &config.fcm {
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
    if let Some(webpush) = &config.webpush {
        let private = webpush.private_key.as_ref().context("[webpush] private_key must be given")?;
        let key = VapidKey::parse(private).context("[webpush]")?;
        ensure!(
            key.public() == webpush.public_key.trim_end_matches('='),
            "[webpush] public_key and private_key are not a pair"
        );
        let sender = WebPushSender::new(&WebPushConfig {
            key,
            subject: webpush.subject.clone(),
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
