//! Senders from configuration. A section that is not there is a channel that is not configured.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use watchbell::{domain::PushService, runtime::Config};
use watchbell_fallback::{
    Providers,
    provider::{ApnsConfig, ApnsSender, EmailConfig, EmailTls, FcmConfig, FcmSender, SmtpSender},
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
            team_id: apns.team_id.clone(),
            key_id: apns.key_id.clone(),
            key_pem: apns.key.clone(),
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
        });
        providers.push.insert(PushService::Fcm, Arc::new(sender.context("[fcm]")?));
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
            trust_root_pem: pem(email.trust_root_file.as_deref())?,
            timeout: CALL_TIMEOUT * 2,
            connections_max: email.connections_max,
            message_id_domain: domain,
        });
        providers.email = Some(Arc::new(sender.context("[email]")?));
    }
    Ok(providers)
}

fn pem(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    file.map(|file| {
        std::fs::read_to_string(file)
            .with_context(|| format!("trust_root_file {} cannot be read", file.display()))
    })
    .transpose()
}
