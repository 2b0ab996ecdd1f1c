//! What is measured: where to publish, where to open sessions, as whom. The fleet and the floor differ only here.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use watchbell::{
    domain::{Secret, Tenant, UserId, UserKey},
    runtime::config::AuthConfig,
};
use watchbell_socket::token::mint;

use crate::{cli::ProducerArgs, cli_bench::BenchArgs, client::Producer, given_address::session_url};

/// How long a bench user's token is good.
const TOKEN_HOURS: i64 = 2;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Target {
    producer: Producer,
    ws_urls: Arc<[String]>,
    signer: Arc<Signer>,
}

/// How sessions say who they are.
enum Signer {
    /// With a token of the fleet's secret.
    Token { secret: Secret, tenant: Tenant },
    /// By name: the floor believes everybody.
    Name,
}

impl Target {
    /// The fleet of the arguments, or the one `up` left its address of.
    pub(super) fn fleet(args: &BenchArgs) -> anyhow::Result<Self> {
        let secret = match &args.secret {
            Some(secret) => secret.clone(),
            None => {
                let file = args.producer.data.join("auth.secret");
                fs::read_to_string(&file)
                    .with_context(|| format!("{} cannot be read: give --secret", file.display()))?
            }
        };
        let secret = Secret::from(secret.trim().to_owned());
        let tenant = Tenant::parse(&args.tenant).context("--tenant")?;
        Self::new(&args.producer, &args.ws_url, Signer::Token { secret, tenant })
    }

    /// The floor at an address.
    pub(super) fn floor(url: &str) -> anyhow::Result<Self> {
        let producer =
            ProducerArgs { url: Some(url.to_owned()), key: Some("none".to_owned()), data: "".into() };
        Self::new(&producer, &[], Signer::Name)
    }

    fn new(producer: &ProducerArgs, ws_urls: &[String], signer: Signer) -> anyhow::Result<Self> {
        let producer = Producer::new(producer)?;
        let own = [producer.url().to_owned()];
        let ws_urls = if ws_urls.is_empty() { &own[..] } else { ws_urls };
        let ws_urls = ws_urls.iter().map(|url| session_url(url)).collect();
        Ok(Self { producer, ws_urls, signer: Arc::new(signer) })
    }

    /// Publishes a JSON array of alerts.
    pub(super) async fn publish(&self, alerts: Value) -> anyhow::Result<()> {
        self.producer.publish(&alerts).await.map(drop)
    }

    /// Where session number `n` is opened: spread over all addresses.
    pub(super) fn ws_url(&self, n: usize) -> &str {
        &self.ws_urls[n % self.ws_urls.len()]
    }

    /// What a user's session says to be let in.
    pub(super) fn token(&self, user: &str) -> anyhow::Result<String> {
        match &*self.signer {
            Signer::Name => Ok(user.to_owned()),
            Signer::Token { secret, tenant } => {
                let user = UserKey::new(tenant.clone(), UserId::parse(user)?);
                let expires_at = Timestamp::now() + SignedDuration::from_hours(TOKEN_HOURS);
                mint(secret, &AuthConfig::default(), &user, expires_at)
            }
        }
    }
}
