//! Configuration: what the operator writes becomes what the code may assume.
//!
//! `WATCHBELL__SECTION__KEY` over `watchbell.toml` over the defaults below. Every setting may also be given as
//! `WATCHBELL__SECTION__KEY_FILE`, the path of a file that holds it. An unknown key is an error that names it.
//! A text arrives as it was written (`written.rs`); durations have their unit (`values.rs`); in the environment a list has
//! commas between its elements.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

pub use self::{
    socket::{MountConfig, MountShape, SocketConfig},
    sources::{Sources, environment},
    values::parse_duration,
};
// What other files of this folder say in `deserialize_with`.
use self::checks::{web_address, within};
pub(super) use self::values::{
    duration::deserialize as duration, maybe_duration::deserialize as maybe_duration,
    maybe_secret::deserialize as maybe_secret, secret::deserialize as secret,
};
pub use super::provider_config::{ApnsSection, EmailSection, FcmSection, WebPushSection};
use super::{
    escalation_config::{self, PolicyForSection, PolicySection, PolicySections},
    hook_config,
    http::Network,
    telemetry,
};
use crate::domain::{Channel, Secret, Tenant, policy::Policies};

pub use super::{
    escalation_config::RestraintSection,
    hook_config::{HookAudienceConfig, HookConfig, OneOrSeveral, RouteConfig},
};

pub mod checks;
mod socket;
mod sources;
pub mod values;
mod written;

/// What a listener can count (tokio's semaphores have a bound), and more than a process has files.
const CONNECTIONS_MAX: usize = 1_000_000;
/// The pool of connections has a place for each from the beginning.
const STORE_CONNECTIONS_MAX: u32 = 10_000;
/// Connections to a mail relay.
const EMAIL_CONNECTIONS_MAX: usize = 1_000;
/// Alerts of one commit: their texts are in memory at once.
const BATCH_MAX: usize = 10_000;
/// Timers handed out at once, in one transaction.
const CLAIM_MAX: usize = 10_000;
/// The shortest secret that signs (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// More than this is no difference between clocks: a token that is over would be believed for long.
const AUTH_LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
/// What moving the last sessions and answering the last requests may take after the drain.
const LEAVE_MARGIN: Duration = Duration::from_secs(12);

/// Everything, checked. Made once, in `main`; trusted after.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where HTTP listens.
    pub http: HttpConfig,
    /// The database.
    pub store: StoreSection,
    /// RabbitMQ.
    pub broker: BrokerSection,
    /// Whose tokens are believed.
    pub auth: AuthConfig,
    /// Sessions.
    pub socket: SocketConfig,
    /// HTTP for producers.
    pub ingest: IngestConfig,
    /// Taking alerts in.
    pub dispatch: DispatchConfig,
    /// Escalation.
    pub fallback: FallbackConfig,
    /// Apple.
    pub apns: Option<ApnsSection>,
    /// Google.
    pub fcm: Option<FcmSection>,
    /// Browsers.
    pub webpush: Option<WebPushSection>,
    /// The mail relay.
    pub email: Option<EmailSection>,
    /// The stand-in for all three.
    pub simulator: SimulatorSection,
    /// Logs.
    pub log: LogConfig,
    /// Streams under a team's existing addresses.
    pub mount: Vec<MountConfig>,
    /// Other products' alerts, read by expressions.
    pub hook: Vec<HookConfig>,
    /// Whom the alerts of hooks are for, by their labels. The first that matches decides.
    pub route: Vec<RouteConfig>,
    /// How much one person gets at once.
    pub restraint: RestraintSection,
    /// Escalation policies by name.
    policies: BTreeMap<String, PolicySection>,
    /// Which alerts have which policy.
    policy_for: PolicyForSection,
    /// Tenants with policies of their own.
    tenants: BTreeMap<String, PolicySections>,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address every route of this process is served on.
    pub listen: SocketAddr,
    /// The address people reach it under, for links in emails; none leaves them out.
    pub public_url: Option<String>,
    /// How long after SIGTERM new requests are still served, while balancers learn that this process is leaving.
    #[serde(deserialize_with = "duration")]
    pub leave_wait: Duration,
    /// How long after SIGTERM this process is killed if it still runs, as Kubernetes' `terminationGracePeriodSeconds` or
    /// Compose's `stop_grace_period` says. All of leaving has to fit, which is checked at start.
    #[serde(deserialize_with = "duration")]
    pub grace_period: Duration,
    /// Proxies whose `Forwarded`, `X-Forwarded-For` and PROXY protocol headers are believed: addresses or ranges
    /// (`10.0.0.0/8`). Empty: nobody's, and the client is whoever connects.
    pub trusted_proxies: Vec<Network>,
    /// Whether connections of trusted proxies begin with a PROXY protocol v2 header.
    pub proxy_protocol: bool,
    /// How long the first request head of a connection may take.
    #[serde(deserialize_with = "duration")]
    pub head_timeout: Duration,
    /// Connections that speak HTTP at once; more wait. Open sessions do not count.
    pub connections_max: usize,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `postgres://user:password@host/database` or `sqlite:FILE?mode=rwc`.
    #[serde(deserialize_with = "maybe_secret")]
    pub url: Option<Secret>,
    /// Connections to PostgreSQL at the most.
    pub connections_max: u32,
}

/// `[broker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSection {
    /// `amqp://user:password@host/vhost`; several nodes separated by commas are tried in turn.
    #[serde(deserialize_with = "maybe_secret")]
    pub url: Option<Secret>,
    /// Whether workers declare the topology at start. Turned off, `watchbell topology apply` does it once, and the
    /// workers need no configure permission but for their own queue.
    pub declare: bool,
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The secret of HS256 tokens. At least 32 bytes (RFC 7518, section 3.2).
    #[serde(deserialize_with = "maybe_secret")]
    pub hs256_secret: Option<Secret>,
    /// PEM files of public keys: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    pub public_key_files: Vec<PathBuf>,
    /// Where a sign-in service shows its public keys (a JWK set, RFC 7517). Must be https, but for this machine.
    pub jwks_url: Option<String>,
    /// How far clocks may differ when a token's times are judged.
    #[serde(deserialize_with = "duration")]
    pub leeway: Duration,
    /// Required in `aud` when given.
    pub audience: Option<String>,
    /// Required in `iss` when given.
    pub issuer: Option<String>,
    /// Signs the unsubscribe links of emails. Fallback writes them and socket reads them; without it (or without
    /// `http.public_url`), mails have none. At least 32 bytes.
    #[serde(deserialize_with = "maybe_secret")]
    pub unsubscribe_secret: Option<Secret>,
    /// The tenant of tokens that name none.
    pub default_tenant: Option<String>,
    /// The claim that holds the user's id. Here and below, a name that begins with `/` is a JSON pointer into claims that
    /// are objects (`/resource_access/watchbell/user`).
    pub user_claim: String,
    /// The claim that holds the tenant's id.
    pub tenant_claim: String,
    /// The claim that holds the topics that may be read: a list, or a text with blanks between the words.
    pub topics_claim: String,
}

/// `[ingest]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Alerts and events that one tenant may publish each second on this pod, on average; 0: any number. Beyond it the
    /// answer is 503 with `Retry-After`.
    pub rate_per_tenant: u32,
}

/// `[dispatch]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DispatchConfig {
    /// Alerts of one commit at the most.
    pub batch_max: usize,
    /// How long a batch waits for more. Without a wait a batch is what has come while the one before was committed:
    /// one alert on a quiet day, which is then on its screens a commit later, and hundreds under load.
    #[serde(deserialize_with = "duration")]
    pub batch_wait: Duration,
    /// When an alert without `expires_at` expires.
    #[serde(deserialize_with = "duration")]
    pub expires_after: Duration,
    /// How long the kept events of a topic stay after the last one was published there.
    #[serde(deserialize_with = "duration")]
    pub topics_kept: Duration,
}

/// `[fallback]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackConfig {
    /// How often due timers are looked for.
    #[serde(deserialize_with = "duration")]
    pub poll_every: Duration,
    /// Timers handed out at once.
    pub claim_max: usize,
    /// How long a handed-out timer is nobody else's, and how long a call to providers may take in all.
    #[serde(deserialize_with = "duration")]
    pub lease: Duration,
    /// No more is handed out while this many wait in the queue.
    pub backlog_max: u64,
    /// Walks in the hands of senders at once, and the broker prefetch.
    pub in_flight_max: u16,
    /// How long shutdown waits for calls that have begun.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
}

/// `[simulator]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorSection {
    /// Its page and JSON.
    pub listen: SocketAddr,
    /// In place of Apple and Google (TLS).
    pub push_listen: SocketAddr,
    /// In place of the mail relay.
    pub smtp_listen: SocketAddr,
    /// Where it keeps its keys and certificates.
    pub dir: PathBuf,
    /// The name others reach it by.
    pub host: String,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged, as `tracing` writes it: `info,watchbell=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: local(7700),
            public_url: None,
            leave_wait: Duration::from_secs(3),
            grace_period: Duration::from_secs(45),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            head_timeout: Duration::from_secs(5),
            connections_max: 4_096,
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { url: None, connections_max: 10 }
    }
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self { url: None, declare: true }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            hs256_secret: None,
            public_key_files: Vec::new(),
            jwks_url: None,
            leeway: Duration::from_secs(30),
            audience: None,
            issuer: None,
            unsubscribe_secret: None,
            default_tenant: None,
            user_claim: "sub".into(),
            tenant_claim: "tenant".into(),
            topics_claim: "topics".into(),
        }
    }
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            batch_max: 256,
            batch_wait: Duration::ZERO,
            expires_after: Duration::from_secs(7 * 24 * 60 * 60),
            topics_kept: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_millis(250),
            claim_max: 500,
            lease: Duration::from_secs(60),
            backlog_max: 2_000,
            in_flight_max: 256,
            drain_timeout: Duration::from_secs(15),
        }
    }
}

impl Default for SimulatorSection {
    fn default() -> Self {
        Self {
            listen: local(7701),
            push_listen: local(7702),
            smtp_listen: local(7703),
            dir: "watchbell-data/simulator".into(),
            host: "localhost".into(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl HttpConfig {
    fn check(&self) -> anyhow::Result<()> {
        within("http.connections_max", self.connections_max, 1..=CONNECTIONS_MAX)?;
        within(
            "http.head_timeout",
            self.head_timeout,
            Duration::from_millis(100)..=Duration::from_secs(5 * 60),
        )?;
        // The pod that asks for a day to leave is never replaced.
        within(
            "http.grace_period",
            self.grace_period,
            Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60),
        )?;
        ensure!(
            !self.proxy_protocol || !self.trusted_proxies.is_empty(),
            "http.proxy_protocol needs http.trusted_proxies: the balancers whose word is believed"
        );
        self.public_url.as_deref().map_or(Ok(()), |url| web_address("http.public_url", url))
    }
}

impl AuthConfig {
    fn check(&self) -> anyhow::Result<()> {
        for (key, secret) in
            [("hs256_secret", &self.hs256_secret), ("unsubscribe_secret", &self.unsubscribe_secret)]
        {
            let is_long = secret.as_ref().is_none_or(|secret| secret.expose().len() >= SECRET_BYTES_MIN);
            ensure!(is_long, "auth.{key} must have at least {SECRET_BYTES_MIN} bytes");
        }
        within("auth.leeway", self.leeway, Duration::ZERO..=AUTH_LEEWAY_MAX)?;
        if let Some(tenant) = &self.default_tenant {
            Tenant::parse(tenant).context("auth.default_tenant")?;
        }
        for (key, claim) in [
            ("user_claim", &self.user_claim),
            ("tenant_claim", &self.tenant_claim),
            ("topics_claim", &self.topics_claim),
        ] {
            ensure!(!claim.is_empty(), "auth.{key} must name a claim");
        }
        Ok(())
    }
}

impl DispatchConfig {
    fn check(&self) -> anyhow::Result<()> {
        let second = Duration::from_secs(1);
        within("dispatch.batch_max", self.batch_max, 1..=BATCH_MAX)?;
        within("dispatch.batch_wait", self.batch_wait, Duration::ZERO..=Duration::from_secs(60))?;
        within("dispatch.expires_after", self.expires_after, second..=Duration::MAX)?;
        within("dispatch.topics_kept", self.topics_kept, second..=Duration::MAX)
    }
}

impl FallbackConfig {
    fn check(&self) -> anyhow::Result<()> {
        within(
            "fallback.poll_every",
            self.poll_every,
            Duration::from_millis(10)..=Duration::from_secs(10 * 60),
        )?;
        within("fallback.claim_max", self.claim_max, 1..=CLAIM_MAX)?;
        // A provider may take 10 s a call.
        within("fallback.lease", self.lease, Duration::from_secs(30)..=Duration::from_secs(60 * 60))?;
        within("fallback.backlog_max", self.backlog_max, 1..=u64::MAX)?;
        within("fallback.in_flight_max", self.in_flight_max, 1..=u16::MAX)
    }
}

impl Config {
    /// Reads `file` (or `watchbell.toml` here, when there is one) and the environment given as pairs.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        Self::read(file, env)?.check()
    }

    fn read(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut sources = Sources::open(file, env)?;
        let config = Self {
            http: sources.take("http")?,
            store: sources.take("store")?,
            broker: sources.take("broker")?,
            auth: sources.take("auth")?,
            socket: sources.take("socket")?,
            ingest: sources.take("ingest")?,
            dispatch: sources.take("dispatch")?,
            fallback: sources.take("fallback")?,
            apns: sources.take("apns")?,
            fcm: sources.take("fcm")?,
            webpush: sources.take("webpush")?,
            email: sources.take("email")?,
            simulator: sources.take("simulator")?,
            log: sources.take("log")?,
            mount: sources.take("mount")?,
            hook: sources.take("hook")?,
            route: sources.take("route")?,
            restraint: sources.take("restraint")?,
            policies: sources.take("policies")?,
            policy_for: sources.take("policy_for")?,
            tenants: sources.take("tenants")?,
        };
        sources.finish()?;
        Ok(config)
    }

    fn check(self) -> anyhow::Result<Self> {
        self.http.check()?;
        within("store.connections_max", self.store.connections_max, 1..=STORE_CONNECTIONS_MAX)?;
        telemetry::filter(&self.log)?;
        self.auth.check()?;
        self.socket.check()?;
        self.dispatch.check()?;
        self.fallback.check()?;
        self.check_grace()?;
        self.read_policies()?;
        self.restraint.check()?;
        socket::check_mounts(&self.mount)?;
        hook_config::check(&self.hook)?;
        if let Some(email) = &self.email {
            within("email.port", email.port, 1..=u16::MAX)?;
            within("email.connections_max", email.connections_max, 1..=EMAIL_CONNECTIONS_MAX)?;
        }
        for (section, checked) in [
            ("apns", self.apns.as_ref().map_or(Ok(()), ApnsSection::check)),
            ("email", self.email.as_ref().map_or(Ok(()), EmailSection::check)),
        ] {
            checked.with_context(|| section.to_owned())?;
        }
        Ok(self)
    }

    /// Whoever is killed while it leaves hands nothing over (I10).
    fn check_grace(&self) -> anyhow::Result<()> {
        let sessions = self.http.leave_wait + self.socket.drain_window;
        let leaving = sessions.max(self.fallback.drain_timeout) + LEAVE_MARGIN;
        ensure!(
            leaving <= self.http.grace_period,
            "http.grace_period must be at least {}s: http.leave_wait and socket.drain_window, or \
             fallback.drain_timeout, and then {}s to end",
            leaving.as_secs_f64().ceil(),
            LEAVE_MARGIN.as_secs()
        );
        Ok(())
    }

    /// The policies, with `default` and `critical` among them.
    pub fn policies(&self) -> Policies {
        // `load` has checked them.
        self.read_policies().unwrap_or_else(|_| Policies::with_defaults(BTreeMap::new()))
    }

    fn read_policies(&self) -> anyhow::Result<Policies> {
        let (policies, policy_for) = (self.policies.clone(), self.policy_for.clone());
        escalation_config::policies(&PolicySections { policies, policy_for }, &self.tenants)
    }

    /// The channels by which written policies have a step, with the policy's key. Those that are always there are not
    /// among them.
    pub fn channels_of_policies(&self) -> Vec<(String, Channel)> {
        let (policies, policy_for) = (self.policies.clone(), self.policy_for.clone());
        escalation_config::steps_of(&PolicySections { policies, policy_for }, &self.tenants).collect()
    }

    /// Replaces a policy: for `watchbell up`, whose walk is to be watched in half a minute.
    pub fn set_policy_if_absent(&mut self, name: &str, steps: &[(Channel, Duration)]) {
        self.policies.entry(name.to_owned()).or_insert_with(|| PolicySection::with_steps(steps));
    }
}

/// Everything that holds, as `watchbell config show` prints it. Secrets print as `redacted`.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self:#?}")
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

#[cfg(test)]
mod texts_tests;
