//! Senders from configuration. A section that is not there is a channel that is not configured.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use watchbell::{
    domain::PushService,
    runtime::{Config, config::ApnsSection},
};
use watchbell_fallback::{
    Providers,
    provider::{
        ApnsAuth, ApnsConfig, ApnsSender, EmailConfig, EmailTls, FcmConfig, FcmSender, SmtpSender, VapidKey,
        WebPushConfig, WebPushSender,
    },
};

/// For one call to a provider.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes every sender that is configured.
pub(crate) fn from_config(config: &Config) -> anyhow::Result<Providers> {
    let mut providers = Providers::default();
    if let Some(apns) = &config.apns {
        let production = apns.endpoint.clone().unwrap_or_else(|| ApnsConfig::PRODUCTION.to_owned());
        let sender = ApnsSender::new(&ApnsConfig {
            endpoint_sandbox: apns.endpoint_sandbox.clone().unwrap_or_else(|| ApnsConfig::SANDBOX.to_owned()),
            endpoint_production: production,
            auth: apns_auth(apns)?,
            topic: apns.topic.clone(),
            trust_root_pem: pem(apns.trust_root_file.as_deref())?,
            request_timeout: CALL_TIMEOUT,
        });
        providers.push.insert(PushService::Apns, Arc::new(sender.context("[apns]")?));
    }
    if let Some(fcm) = &config.fcm {
        let sender = FcmSender::new(&FcmConfig {
            service_account_json: fcm.service_account.clone(),
            endpoint: fcm.endpoint.clone().unwrap_or_else(|| FcmConfig::ENDPOINT.to_owned()),
            trust_root_pem: pem(fcm.trust_root_file.as_deref())?,
            request_timeout: FcmConfig::REQUEST_TIMEOUT,
            http1: false,
            validate_only: fcm.validate_only,
        });
        providers.push.insert(PushService::Fcm, Arc::new(sender.context("[fcm]")?));
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
            trust_root_pem: pem(webpush.trust_root_file.as_deref())?,
            request_timeout: CALL_TIMEOUT,
        });
        providers.push.insert(PushService::WebPush, Arc::new(sender.context("[webpush]")?));
    }
    if let Some(email) = &config.email {
        let domain = email.from.rsplit('@').next().unwrap_or_default().trim_end_matches('>').to_owned();
        let sender = SmtpSender::new(&EmailConfig {
            host: email.host.clone(),
            port: email.port,
            tls: match email.tls.as_str() {
                "none" => EmailTls::None,
                "implicit" => EmailTls::Implicit,
                _ => EmailTls::StartTls, // `Config::load` allows nothing else.
            },
            username: email.username.clone(),
            password: email.password.clone(),
            from: email.from.clone(),
            link_base: config.http.public_url.clone(),
            unsubscribe_secret: config.auth.unsubscribe_secret.clone(),
            templates_dir: email.templates_dir.clone(),
            trust_root_pem: pem(email.trust_root_file.as_deref())?,
            timeout: CALL_TIMEOUT * 2,
            connections_max: email.connections_max,
            message_id_domain: domain,
        });
        providers.email = Some(Arc::new(sender.context("[email]")?));
    }
    Ok(providers)
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

fn pem(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    file.map(|file| {
        std::fs::read_to_string(file)
            .with_context(|| format!("trust_root_file {} cannot be read", file.display()))
    })
    .transpose()
}
