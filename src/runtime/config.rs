//! Configuration: what the operator writes becomes what the code may assume.
//!
//! `WATCHBELL__SECTION__KEY` over `watchbell.toml` over the defaults below. Every setting may also be given as
//! `WATCHBELL__SECTION__KEY_FILE`, the path of a file that holds it. An unknown key is an error that names it, and so is a
//! variable that is nearly spelled so (`misspelt.rs`).
//! A text arrives as it was written (`written.rs`); durations have their unit (`values.rs`); in the environment a list has
//! commas between its elements.
//!
//! Here are the sections that several workers share. A worker's own section is in its crate, with its defaults and its
//! checks, and whoever composes workers reads all of them from one [`Sources`].

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use self::{
    checks::{host_name, web_address, within},
    values::{address, maybe_address},
};
pub use self::{
    sources::{Sources, environment},
    values::{InvalidDuration, parse_duration, read_duration},
};
// For `with` in the sections beside this file.
pub(super) use self::values::{duration, maybe_duration, maybe_secret};
pub use super::escalation_config::RestraintSection;
pub use super::outcomes_config::{OutcomeBounds, Outcomes, OutcomesSection, WebhookTarget};
pub use super::producers_config::ProducerSection;
pub use super::retention_config::RetentionSection;
pub use super::tracing_config::TracingSection;
pub use super::webpush_config::WebPushSection;
use super::{
    escalation_config::{self, PolicyForSection, PolicySection, PolicySections},
    http::{ANSWER_BYTES_MAX, ANSWER_BYTES_MIN, AnswerBudget, ClientAddressSource, Network},
    log_filter::log_filter,
    memory::{MemoryBudgets, limit_of_this_process},
    outcomes_config::TenantOutcomesSection,
    producers_config,
    retention_config::TenantRetentionSection,
};
use crate::domain::{
    Channel, Secret, Tenant, policy::Policies, producers::Producers, retention::RetentionRules,
};

pub mod checks;
#[doc(hidden)] // For `fuzz/`.
pub mod fuzzing;
mod misspelt;
pub mod signed_address;
mod sources;
pub mod values;
mod written;

/// More than a process has files. All are looked at when one has to go for another.
const CONNECTIONS_MAX: usize = 1_000_000;
/// The fastest that `http.bytes_per_second_min` may ask for; nobody's line is to be too slow by a slip of a digit.
const BYTES_PER_SECOND_MIN_MAX: u32 = 1024 * 1024;
/// The port of the operations endpoints when none is given. The simulator has those between this and 7700.
const OPERATIONS_PORT: u16 = 7709;
/// The pool of connections has a place for each from the beginning.
const STORE_CONNECTIONS_MAX: u32 = 10_000;
/// The shortest secret that signs (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// More than this is no difference between clocks: a token that is over would be believed for long.
const AUTH_LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);

/// What several workers share, checked. Made once, at the start; trusted after.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    /// Where HTTP listens.
    pub http: HttpConfig,
    /// The database.
    pub store: StoreSection,
    /// How RabbitMQ is reached.
    pub broker: BrokerSection,
    /// Whose tokens are believed.
    pub auth: AuthConfig,
    /// Browsers.
    pub webpush: Option<WebPushSection>,
    /// Logs.
    pub log: LogConfig,
    /// Traces for a collector.
    pub tracing: TracingSection,
    /// How much one person gets at once.
    pub restraint: RestraintSection,
    /// Who hears what became of alerts.
    pub outcomes: OutcomesSection,
    /// How long what is kept of alerts is kept.
    pub retention: RetentionSection,
    /// Escalation policies by name.
    policies: BTreeMap<String, PolicySection>,
    /// Which alerts have which policy.
    policy_for: PolicyForSection,
    /// Tenants with policies or addresses of their own.
    tenants: BTreeMap<String, TenantSection>,
}

/// `[tenants.NAME]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TenantSection {
    /// Its escalation policies by name, which go before those of everybody.
    policies: BTreeMap<String, PolicySection>,
    /// Which of its alerts have which policy.
    policy_for: PolicyForSection,
    /// The address that hears what became of its alerts.
    outcomes: Option<TenantOutcomesSection>,
    /// How long what is kept of its alerts is kept.
    retention: Option<TenantRetentionSection>,
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address every route of this process is served on.
    #[serde(with = "address")]
    pub listen: SocketAddr,
    /// The address of `/healthz`, `/readyz` and `/metrics`, which then have connections of their own. Not set: for `run`
    /// port 7709 beside `listen`; for `up` they are at `listen`.
    #[serde(with = "maybe_address")]
    pub operations_listen: Option<SocketAddr>,
    /// The address people reach it under: for links in emails, which are left out without it, and to tell our own pages from
    /// others by their scheme.
    pub public_url: Option<String>,
    /// Names under which this process is reached, as they stand in `Host` without a port. `run` then answers 421 to every
    /// other, but for addresses, `localhost` and the host of `http.public_url`; empty: it answers to any. `up` always does
    /// so.
    pub allowed_hosts: Vec<String>,
    /// How long after SIGTERM new requests are still served, while balancers learn that this process is leaving.
    #[serde(with = "duration")]
    pub leave_wait: Duration,
    /// How long after SIGTERM this process is killed if it still runs, as Kubernetes' `terminationGracePeriodSeconds` or
    /// Compose's `stop_grace_period` says. All of leaving has to fit, which is checked at start.
    #[serde(with = "duration")]
    pub grace_period: Duration,
    /// Proxies whose word about the client is believed: addresses or ranges (`10.0.0.0/8`). Empty: nobody's, and the
    /// client is whoever connects.
    pub trusted_proxies: Vec<Network>,
    /// Where those proxies say who the client is: in the header `x-forwarded-for` or `forwarded`, or with a
    /// `proxy-protocol` header (version 2) at the beginning of each connection. Nothing else is read.
    pub client_address: ClientAddressSource,
    /// How long a request head may take, from its first byte; the first one of a connection from the beginning.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// How long a connection is kept between two requests. Those of trusted proxies and of private addresses are kept for
    /// 75 s at the least, which is longer than balancers keep theirs.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How long a request body may take.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a peer may send nothing of a body, or take nothing of an answer.
    #[serde(with = "duration")]
    pub stall_timeout: Duration,
    /// The rate below which a peer that sends or takes something counts as one that does not.
    pub bytes_per_second_min: u32,
    /// Connections that speak HTTP at once. One more takes the place of the one that is idle longest. Open sessions and
    /// polls that wait do not count.
    pub connections_max: usize,
    /// How many of them one public address may have (of version 6, one /64); 0: any number. Trusted proxies may have any.
    pub connections_per_address_max: usize,
    /// The same for a loopback or private address, which may stand for many people behind a gateway.
    pub connections_per_private_address_max: usize,
    /// Bytes of snapshots and pages that are made or wait to be taken by their clients, of all answers of this process
    /// together; more wait up to 5 s and are then refused with 503. One user or tenant gets a quarter. When it is not
    /// given it is an eighth of the container's memory limit, from 16 MiB to 256 MiB, and 256 MiB without a limit.
    pub answer_bytes_max: Option<usize>,
}

/// `[store]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `postgres://user:password@host/database` or `sqlite:FILE?mode=rwc`.
    #[serde(with = "maybe_secret")]
    pub url: Option<Secret>,
    /// Connections to PostgreSQL at the most.
    pub connections_max: u32,
}

/// `[broker]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSection {
    /// `amqp://user:password@host/vhost`; several nodes separated by commas are tried in turn.
    #[serde(with = "maybe_secret")]
    pub url: Option<Secret>,
    /// A PEM file of further trust roots, for `amqps://` to nodes whose certificates an authority of your own signed.
    pub trust_root_file: Option<PathBuf>,
    /// A client certificate and its private key as PEM, for nodes that ask for one.
    #[serde(with = "maybe_secret")]
    pub client_certificate: Option<Secret>,
    /// Whether workers declare the topology at start. Turned off, `watchbell topology apply` does it once, and the
    /// workers need no configure permission but for their own queue.
    pub declare: bool,
    /// Which user of the broker may publish for which tenants. Without any, whoever may publish may name any tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub producer: Vec<ProducerSection>,
}

/// `[auth]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The secret of HS256 tokens. At least 32 bytes (RFC 7518, section 3.2).
    #[serde(with = "maybe_secret")]
    pub hs256_secret: Option<Secret>,
    /// The secret before it, which is believed as well, so that tokens signed with it go on until they end.
    #[serde(with = "maybe_secret")]
    pub hs256_previous_secret: Option<Secret>,
    /// PEM files of public keys: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    pub public_key_files: Vec<PathBuf>,
    /// Where a sign-in service shows its public keys (a JWK set, RFC 7517). Must be https, but for this machine.
    pub jwks_url: Option<String>,
    /// How far clocks may differ when a token's times are judged.
    #[serde(with = "duration")]
    pub leeway: Duration,
    /// Required in `aud` when given.
    pub audience: Option<String>,
    /// Required in `iss` when given.
    pub issuer: Option<String>,
    /// Signs the links of messages: those that unsubscribe, and those by which a person answers an alert; the tokens with
    /// which phones say that a push arrived; and the return paths of mails. Fallback writes them and socket
    /// reads them; without it there are none, and without `http.public_url` no links. At least 32 bytes.
    #[serde(with = "maybe_secret")]
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

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged, as `tracing` writes it: `info,watchbell=debug`. `watchbell up` has `warn` unless it is written here.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
            operations_listen: None,
            public_url: None,
            allowed_hosts: Vec::new(),
            leave_wait: Duration::from_secs(3),
            grace_period: Duration::from_secs(45),
            trusted_proxies: Vec::new(),
            client_address: ClientAddressSource::XForwardedFor,
            head_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(10),
            bytes_per_second_min: 1_024,
            connections_max: 4_096,
            connections_per_address_max: 256,
            connections_per_private_address_max: 2_048,
            answer_bytes_max: None,
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
        Self {
            url: None,
            trust_root_file: None,
            client_certificate: None,
            declare: true,
            producer: Vec::new(),
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            hs256_secret: None,
            hs256_previous_secret: None,
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

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl HttpConfig {
    /// Where `watchbell run` has the operations endpoints. Beside any free port is any free port.
    pub fn operations_listen(&self) -> SocketAddr {
        let port = if self.listen.port() == 0 { 0 } else { OPERATIONS_PORT };
        self.operations_listen.unwrap_or_else(|| SocketAddr::new(self.listen.ip(), port))
    }

    /// What snapshots and pages may take of this process' memory, as configured or as its container's limit says.
    pub fn answer_budget(&self) -> AnswerBudget {
        AnswerBudget::new(self.answer_bytes_max.unwrap_or_else(|| MemoryBudgets::of_this_process().answers))
    }

    fn check(&self) -> anyhow::Result<()> {
        within("http.connections_max", self.connections_max, 1..=CONNECTIONS_MAX)?;
        for (key, number) in [
            ("http.connections_per_address_max", self.connections_per_address_max),
            ("http.connections_per_private_address_max", self.connections_per_private_address_max),
        ] {
            within(key, number, 0..=CONNECTIONS_MAX)?;
        }
        let waits = Duration::from_millis(100)..=Duration::from_secs(5 * 60);
        for (key, wait) in [
            ("http.head_timeout", self.head_timeout),
            ("http.keep_alive", self.keep_alive),
            ("http.body_timeout", self.body_timeout),
            ("http.stall_timeout", self.stall_timeout),
        ] {
            within(key, wait, waits.clone())?;
        }
        within("http.bytes_per_second_min", self.bytes_per_second_min, 1..=BYTES_PER_SECOND_MIN_MAX)?;
        if let Some(bytes) = self.answer_bytes_max {
            within("http.answer_bytes_max", bytes, ANSWER_BYTES_MIN..=ANSWER_BYTES_MAX)?;
            let fits = limit_of_this_process().is_none_or(|limit| bytes as u64 <= limit / 2);
            ensure!(fits, "http.answer_bytes_max must be at most half of the container's memory limit");
        }
        // The pod that asks for a day to leave is never replaced.
        within(
            "http.grace_period",
            self.grace_period,
            Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60),
        )?;
        ensure!(
            self.client_address == ClientAddressSource::XForwardedFor || !self.trusted_proxies.is_empty(),
            "http.client_address needs http.trusted_proxies: the proxies whose word is believed"
        );
        let (listen, operations) = (self.listen, self.operations_listen());
        ensure!(
            listen.port() == 0 || listen != operations,
            "http.operations_listen must be another address than http.listen ({listen}): probes and metrics have a listener of their own"
        );
        for (at, name) in self.allowed_hosts.iter().enumerate() {
            host_name(format!("http.allowed_hosts[{at}]"), name)?;
        }
        self.public_url.as_deref().map_or(Ok(()), |url| web_address("http.public_url", url))
    }
}

impl AuthConfig {
    fn check(&self) -> anyhow::Result<()> {
        for (key, secret) in [
            ("hs256_secret", &self.hs256_secret),
            ("hs256_previous_secret", &self.hs256_previous_secret),
            ("unsubscribe_secret", &self.unsubscribe_secret),
        ] {
            let is_long = secret.as_ref().is_none_or(|secret| secret.expose().len() >= SECRET_BYTES_MIN);
            ensure!(is_long, "auth.{key} must have at least {SECRET_BYTES_MIN} bytes");
        }
        ensure!(
            self.hs256_previous_secret.is_none() || self.hs256_secret.is_some(),
            "auth.hs256_previous_secret is what auth.hs256_secret was before: it needs auth.hs256_secret"
        );
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

impl Config {
    /// Reads the sections that several workers share. Those of one worker are read by whoever composes workers.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn read(sources: &mut Sources) -> anyhow::Result<Self> {
        Ok(Self {
            http: sources.take("http")?,
            store: sources.take("store")?,
            broker: sources.take("broker")?,
            auth: sources.take("auth")?,
            webpush: sources.take("webpush")?,
            log: sources.take("log")?,
            tracing: sources.take("tracing")?,
            restraint: sources.take("restraint")?,
            outcomes: sources.take("outcomes")?,
            retention: sources.take("retention")?,
            policies: sources.take("policies")?,
            policy_for: sources.take("policy_for")?,
            tenants: sources.take("tenants")?,
        })
    }

    /// Whether they hold together.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn check(&self) -> anyhow::Result<()> {
        self.http.check()?;
        within("store.connections_max", self.store.connections_max, 1..=STORE_CONNECTIONS_MAX)?;
        log_filter(&self.log.filter)?;
        self.tracing.check()?;
        self.auth.check()?;
        producers_config::producers(&self.broker.producer)?;
        self.read_policies()?;
        self.read_outcomes()?;
        self.read_retention()?;
        self.restraint.check()
    }

    /// Which user of the broker may publish for which tenants.
    pub fn producers(&self) -> Producers {
        // `check` has found them good.
        producers_config::producers(&self.broker.producer).unwrap_or_default()
    }

    /// The policies, with `default` and `critical` among them.
    pub fn policies(&self) -> Policies {
        // `load` has checked them.
        self.read_policies().unwrap_or_else(|_| Policies::with_defaults(BTreeMap::new()))
    }

    /// Reads the policies in a text that has only sections about them (`[policies]`, `[policy_for]`, `[tenants]`), with the parser
    /// of the file: for whoever writes a policy.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn policies_of_text(text: &str) -> anyhow::Result<Policies> {
        let mut sources = Sources::of_text(text)?;
        let config = Self {
            policies: sources.take("policies")?,
            policy_for: sources.take("policy_for")?,
            tenants: sources.take("tenants")?,
            ..Self::default()
        };
        sources.finish()?;
        config.read_policies()
    }

    /// Everything but the tenants' addresses for outcomes, which are taken anew while a process runs.
    #[must_use]
    pub fn without_outcome_addresses(mut self) -> Self {
        self.tenants.values_mut().for_each(|tenant| tenant.outcomes = None);
        let says_something = |tenant: &TenantSection| {
            toml::Table::try_from(tenant) != toml::Table::try_from(TenantSection::default())
        };
        self.tenants.retain(|_, tenant| says_something(tenant));
        self
    }

    /// The tenants that have a section of their own.
    pub fn tenant_names(&self) -> impl Iterator<Item = &str> {
        self.tenants.keys().map(String::as_str)
    }

    fn read_policies(&self) -> anyhow::Result<Policies> {
        let (policies, policy_for) = (self.policies.clone(), self.policy_for.clone());
        escalation_config::policies(&PolicySections { policies, policy_for }, &self.policies_of_tenants())
    }

    fn policies_of_tenants(&self) -> BTreeMap<String, PolicySections> {
        let of = |tenant: &TenantSection| PolicySections {
            policies: tenant.policies.clone(),
            policy_for: tenant.policy_for.clone(),
        };
        self.tenants.iter().map(|(name, tenant)| (name.clone(), of(tenant))).collect()
    }

    /// Who hears what became of alerts.
    pub fn outcomes(&self) -> Outcomes {
        // `check` has found them good.
        self.read_outcomes().unwrap_or_else(|_| Outcomes {
            routes: Default::default(),
            webhooks: BTreeMap::new(),
            bounds: self.outcomes.bounds(),
        })
    }

    fn read_outcomes(&self) -> anyhow::Result<Outcomes> {
        let tenants = self.tenants.iter();
        self.outcomes.check(tenants.filter_map(|(name, tenant)| Some((name, tenant.outcomes.as_ref()?))))
    }

    /// How long what is kept of alerts is kept.
    pub fn retention(&self) -> RetentionRules {
        // `check` has found it good.
        self.read_retention().unwrap_or_default()
    }

    fn read_retention(&self) -> anyhow::Result<RetentionRules> {
        let tenants = self.tenants.iter();
        self.retention.check(tenants.filter_map(|(name, tenant)| Some((name, tenant.retention.as_ref()?))))
    }

    /// The channels by which written policies have a step, with the policy's key. Those that are always there are not
    /// among them.
    pub fn channels_of_policies(&self) -> Vec<(String, Channel)> {
        let (policies, policy_for) = (self.policies.clone(), self.policy_for.clone());
        let tenants = self.policies_of_tenants();
        escalation_config::steps_of(&PolicySections { policies, policy_for }, &tenants).collect()
    }

    /// Replaces a policy: for `watchbell up`, whose escalation is to be watched in half a minute.
    pub fn set_policy_if_absent(&mut self, name: &str, steps: &[(Channel, Duration)]) {
        self.policies.entry(name.to_owned()).or_insert_with(|| PolicySection::with_steps(steps));
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
