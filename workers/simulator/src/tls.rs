//! Keys: the authority that signs the simulator's certificate, and what a sender authenticates with.
//!
//! What holds here:
//! - With a state directory the authority and both sender keys outlive a restart; the server's
//!   certificate is new each time, so it always names the host it is asked to.
//! - Files are readable by their owner only, and appear whole (written aside, then renamed).
//!
//! Elsewhere: verifying what was signed with these keys, in `apns` and `fcm`.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::digest;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

/// Apple's names have ten characters.
const APNS_KEY_ID: &str = "SIMULATED1";
const APNS_TEAM_ID: &str = "WATCHBELL1";
const APNS_TOPIC: &str = "dev.watchbell.simulator";
/// A key that is good for the sandbox and for one app only.
const APNS_SCOPED_KEY_ID: &str = "SIMULATED2";
const APNS_SCOPED_TOPIC: &str = "dev.watchbell.simulator.second";
const MAILGUN_SIGNING_KEY: &str = "simulated-mailgun-signing-key";
const FCM_PROJECT: &str = "watchbell-simulator";
const FCM_CLIENT_EMAIL: &str = "sender@watchbell-simulator.iam.gserviceaccount.com";

/// What a sender needs to be let in. It prints without its keys.
#[derive(Clone)]
pub struct Credentials {
    /// The only root to trust, for HTTPS and for STARTTLS.
    pub ca_pem: String,
    /// For Apple.
    pub apns: ApnsCredentials,
    /// For Apple's sandbox and the topic in it only.
    pub apns_scoped: ApnsCredentials,
    /// For Google: a service account file whose `token_uri` is the simulator's.
    pub fcm_service_account_json: String,
    /// The project in that file.
    pub fcm_project: String,
    /// For programs that take webhooks: `whsec_…`.
    pub webhook_secret: String,
    /// For Slack: the token of a bot.
    pub slack_token: String,
    /// For Telegram: the token of a bot.
    pub telegram_bot_token: String,
    /// For text messages.
    pub twilio: TwilioCredentials,
    /// With which SendGrid's events are checked, as it shows it.
    pub sendgrid_public_key: String,
    /// With which Mailgun signs its events. Always the same, as Twilio's.
    pub mailgun_signing_key: String,
}

/// What Apple gives a developer.
#[derive(Clone)]
pub struct ApnsCredentials {
    /// The `.p8` file: an ES256 key in PKCS #8.
    pub key_pem: String,
    /// The `kid` of a provider token.
    pub key_id: String,
    /// The `iss` of a provider token.
    pub team_id: String,
    /// The `apns-topic` of the app.
    pub topic: String,
    /// A client certificate and its key, in place of provider tokens.
    pub certificate_pem: String,
}

/// What Twilio gives an account.
#[derive(Clone)]
pub struct TwilioCredentials {
    /// The account: `AC…`.
    pub account_sid: String,
    /// Its token.
    pub auth_token: String,
    /// A key of it, `SK…`, in place of the account and its token.
    pub api_key: String,
    /// The secret of that key.
    pub api_key_secret: String,
    /// The number that it sends from.
    pub from: String,
    /// A messaging service, `MG…`, in place of the number.
    pub messaging_service_sid: String,
}

impl TwilioCredentials {
    /// Always the same: they open nothing but a stand-in, and senders in other processes need to know them.
    fn simulated() -> Self {
        Self {
            account_sid: "AC00000000000000000000000000000001".into(),
            auth_token: "simulated-auth-token".into(),
            api_key: "SK00000000000000000000000000000001".into(),
            api_key_secret: "simulated-api-key-secret".into(),
            from: "+15005550006".into(),
            messaging_service_sid: "MG00000000000000000000000000000001".into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("apns", &self.apns)
            .field("fcm_project", &self.fcm_project)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ApnsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, team_id, topic, key_pem: _, certificate_pem: _ } = self;
        let mut all = f.debug_struct("ApnsCredentials");
        all.field("key_id", key_id).field("team_id", team_id).field("topic", topic).finish_non_exhaustive()
    }
}

/// The same from the simulator's side: what it serves with and verifies by.
pub(crate) struct Keys {
    pub(crate) credentials: Credentials,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) apns_public_pem: String,
    pub(crate) apns_scoped_public_pem: String,
    pub(crate) fcm_public_pem: String,
    pub(crate) fcm_client_email: String,
    pub(crate) token_uri: String,
    /// What every simulated browser's keys are made of.
    pub(crate) push_service_key: String,
    /// Where pushes are taken, as `https://host:port`.
    pub(crate) origin: String,
    /// Signs as Google does, and as Amazon.
    pub(crate) rsa_pem: String,
    /// Signs as SendGrid does.
    pub(crate) sendgrid_pem: String,
}

impl Keys {
    /// Makes what is not in `state_dir` yet. Takes up to a second (the RSA key), so off the async threads.
    pub(crate) fn load_or_make(
        state_dir: Option<&Path>,
        public_host: &str,
        push_port: u16,
    ) -> anyhow::Result<Self> {
        if let Some(dir) = state_dir {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        let ec = &rcgen::PKCS_ECDSA_P256_SHA256;
        let ca_key = keep(state_dir, "ca.key", || Ok(KeyPair::generate_for(ec)?.serialize_pem()))?;
        let ca_key = KeyPair::from_pem(&ca_key)?;
        let ca_pem = keep(state_dir, "ca.pem", || Ok(ca_params()?.self_signed(&ca_key)?.pem()))?;
        let apns_pem = keep(state_dir, "apns.p8", || Ok(KeyPair::generate_for(ec)?.serialize_pem()))?;
        let apns_scoped_pem =
            keep(state_dir, "apns-scoped.p8", || Ok(KeyPair::generate_for(ec)?.serialize_pem()))?;
        let certificate = keep(state_dir, "apns-client.pem", || client_certificate(&ca_key))?;
        let push_service_key = keep(state_dir, "webpush.key", || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).context("no random numbers")?;
            Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
        })?;
        let telegram_bot_token = keep(state_dir, "telegram-bot-token", || {
            let key = digest::digest(&digest::SHA256, format!("telegram {push_service_key}").as_bytes());
            Ok(format!("7000000001:{}", BASE64_URL_SAFE_NO_PAD.encode(key)))
        })?;
        let fcm_pem = keep(state_dir, "fcm.key", || {
            Ok(KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?.serialize_pem())
        })?;

        let sendgrid_pem =
            keep(state_dir, "sendgrid.key", || Ok(KeyPair::generate_for(ec)?.serialize_pem()))?;
        let sendgrid_public_key =
            BASE64_STANDARD.encode(KeyPair::from_pem(&sendgrid_pem)?.subject_public_key_info());
        if let Some(dir) = state_dir {
            write_whole(dir, "sendgrid-public-key", &sendgrid_public_key)?;
        }

        let host =
            if public_host.contains(':') { format!("[{public_host}]") } else { public_host.to_owned() };
        let origin = format!("https://{host}:{push_port}");
        let token_uri = format!("{origin}/token");
        let account = json!({
            "type": "service_account",
            "project_id": FCM_PROJECT,
            "private_key_id": "simulated",
            "private_key": fcm_pem,
            "client_email": FCM_CLIENT_EMAIL,
            "client_id": "1",
            "token_uri": token_uri,
        });
        let account = format!("{account:#}\n");
        if let Some(dir) = state_dir {
            // Not kept but renewed: the port may differ. For senders in other processes.
            write_whole(dir, "fcm-service-account.json", &account)?;
        }
        // Of a kept key, so that it outlives a restart without a file of its own.
        let webhook_key = digest::digest(&digest::SHA256, format!("webhook {push_service_key}").as_bytes());
        let slack_key = digest::digest(&digest::SHA256, format!("slack {push_service_key}").as_bytes());
        Ok(Self {
            acceptor: acceptor(&ca_key, &ca_pem, public_host)?,
            push_service_key,
            origin,
            sendgrid_pem,
            apns_public_pem: KeyPair::from_pem(&apns_pem)?.public_key_pem(),
            fcm_public_pem: KeyPair::from_pem(&fcm_pem)?.public_key_pem(),
            rsa_pem: fcm_pem,
            fcm_client_email: FCM_CLIENT_EMAIL.into(),
            token_uri,
            apns_scoped_public_pem: KeyPair::from_pem(&apns_scoped_pem)?.public_key_pem(),
            credentials: Credentials {
                ca_pem,
                apns_scoped: ApnsCredentials {
                    key_pem: apns_scoped_pem,
                    key_id: APNS_SCOPED_KEY_ID.into(),
                    team_id: APNS_TEAM_ID.into(),
                    topic: APNS_SCOPED_TOPIC.into(),
                    certificate_pem: certificate.clone(),
                },
                apns: ApnsCredentials {
                    key_pem: apns_pem,
                    key_id: APNS_KEY_ID.into(),
                    team_id: APNS_TEAM_ID.into(),
                    topic: APNS_TOPIC.into(),
                    certificate_pem: certificate,
                },
                fcm_service_account_json: account,
                fcm_project: FCM_PROJECT.into(),
                webhook_secret: format!("whsec_{}", BASE64_STANDARD.encode(webhook_key)),
                slack_token: format!("xoxb-{}", BASE64_URL_SAFE_NO_PAD.encode(slack_key)),
                telegram_bot_token,
                twilio: TwilioCredentials::simulated(),
                sendgrid_public_key,
                mailgun_signing_key: MAILGUN_SIGNING_KEY.into(),
            },
        })
    }
}

/// A certificate for `public_host` and this machine, in the hands of a TLS acceptor that offers both HTTPs.
/// Clients may show a certificate of the same authority, and need not.
fn acceptor(ca_key: &KeyPair, ca_pem: &str, public_host: &str) -> anyhow::Result<TlsAcceptor> {
    let mut names = vec![public_host.to_owned(), "localhost".into(), "127.0.0.1".into()];
    names.extend(crate::browser_services::HOSTS.map(str::to_owned));
    names.dedup(); // Only the first two can be equal, or a client meets 127.0.0.1 twice: harmless.
    let mut params = CertificateParams::new(names).context("public_host is not a host name")?;
    params.distinguished_name.push(DnType::CommonName, "Watchbell simulator");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &Issuer::new(ca_params()?, ca_key))?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).context("ca.pem")?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate.der().clone()], private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a developer downloads from Apple: a certificate for one app, and its key.
fn client_certificate(ca_key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("Apple Push Services: {APNS_TOPIC}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &Issuer::new(ca_params()?, ca_key))?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// The same at each start, so that a kept authority can go on signing.
fn ca_params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Watchbell simulator's test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// The file `name` of the state directory, made if it is not there. Without a directory: made.
fn keep(
    dir: Option<&Path>,
    name: &str,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let Some(dir) = dir else { return make() };
    match fs::read_to_string(dir.join(name)) {
        Ok(kept) => Ok(kept),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = make()?;
            write_whole(dir, name, &made)?;
            Ok(made)
        }
        Err(error) => Err(error).with_context(|| format!("reading {name} in {}", dir.display())),
    }
}

fn write_whole(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let aside = dir.join(format!("{name}.new"));
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, dir.join(name))
    };
    write().with_context(|| format!("writing {name} in {}", dir.display()))
}
