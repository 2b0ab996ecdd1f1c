//! The part of the configuration that is about outcomes: who hears what became of alerts.
//!
//! ```toml
//! [outcomes]
//! enabled = true
//! [tenants.acme.outcomes]
//! url = "https://backend.acme.example/watchbell"
//! secret = "whsec_…"
//! kinds = ["seen", "bounced"]
//! ```

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::config::{checks::within, duration, maybe_secret, signed_address::check_signed, values::secret};
use crate::{
    domain::{OutcomeKind, OutcomeKinds, OutcomeRoutes, Secret, Tenant, outcome::every_kind},
    wire::standard_webhooks::SigningSecret,
};

/// The shortest time for which an outcome is kept that cannot be told: tries are up to ten minutes apart.
const KEPT_FOR_MIN: Duration = Duration::from_secs(60);
/// The longest: a year. What is told later than that is news to nobody, and its rows are in everybody's way.
const KEPT_FOR_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How many rows one route may keep waiting at the most: about 25 GB of them.
const WAITING_MAX_MAX: u64 = 100_000_000;

/// `[outcomes]`: what goes to the exchange `watchbell.outcomes`, and what bounds all outcomes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutcomesSection {
    /// Whether outcomes are published to the exchange. Webhooks of tenants do not need it.
    pub enabled: bool,
    /// Which: all, when none is named.
    pub kinds: Vec<String>,
    /// How long one is kept that cannot be told: the broker, or a tenant's address, is away.
    #[serde(with = "duration")]
    pub kept_for: Duration,
    /// How many are kept for the exchange, and for each tenant's address. Beyond it the oldest are dropped.
    pub waiting_max: u64,
}

impl Default for OutcomesSection {
    fn default() -> Self {
        Self {
            enabled: false,
            kinds: Vec::new(),
            kept_for: Duration::from_secs(24 * 60 * 60),
            waiting_max: 1_000_000,
        }
    }
}

/// `[tenants.NAME.outcomes]`: an address that hears of one tenant's outcomes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantOutcomesSection {
    /// Where they are posted to.
    #[serde(with = "secret")]
    url: Secret,
    /// What signs them, by the scheme of Standard Webhooks: `whsec_…`.
    #[serde(with = "secret")]
    secret: Secret,
    /// What signs them besides, while `secret` takes its place.
    #[serde(default, with = "maybe_secret")]
    previous_secret: Option<Secret>,
    /// Which: those of `[outcomes]`, when none is named.
    #[serde(default)]
    kinds: Vec<String>,
    /// Whether the address may be plain http and lead into a private network.
    #[serde(default)]
    private_endpoints: bool,
}

/// Who hears of outcomes, and what bounds them. Checked.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// Which kinds go where.
    pub routes: OutcomeRoutes,
    /// The tenants' addresses.
    pub webhooks: BTreeMap<Tenant, WebhookTarget>,
    /// What is kept that cannot be told.
    pub bounds: OutcomeBounds,
}

/// What is kept of outcomes that cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeBounds {
    /// How long each.
    pub kept_for: Duration,
    /// How many for each route.
    pub waiting_max: u64,
}

/// One tenant's address.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// Where outcomes are posted to. It may hold a password, so it does not print.
    pub url: Secret,
    /// What signs them: at least one.
    pub secrets: Vec<SigningSecret>,
    /// Whether it may be plain http and lead into a private network.
    pub private_endpoints: bool,
}

impl OutcomesSection {
    pub(super) fn bounds(&self) -> OutcomeBounds {
        OutcomeBounds { kept_for: self.kept_for, waiting_max: self.waiting_max }
    }

    /// What holds, with the addresses of these tenants.
    ///
    /// # Errors
    /// Names the key at fault.
    pub(super) fn check<'a>(
        &self,
        tenants: impl Iterator<Item = (&'a String, &'a TenantOutcomesSection)>,
    ) -> anyhow::Result<Outcomes> {
        within("outcomes.waiting_max", self.waiting_max, 1..=WAITING_MAX_MAX)?;
        within("outcomes.kept_for", self.kept_for, KEPT_FOR_MIN..=KEPT_FOR_MAX)?;
        let kinds = kinds_of(&self.kinds).context("outcomes.kinds")?;
        let mut routes = OutcomeRoutes::default();
        let mut webhooks = BTreeMap::new();
        for (name, section) in tenants {
            let key = || format!("tenants.{name}.outcomes");
            let tenant = Tenant::parse(name).with_context(key)?;
            let wanted = if section.kinds.is_empty() { &self.kinds } else { &section.kinds };
            let wanted = kinds_of(wanted).with_context(key)?;
            webhooks.insert(tenant.clone(), section.check().with_context(key)?);
            routes.webhooks.insert(tenant, wanted);
        }
        if self.enabled {
            routes.queue = kinds;
        }
        Ok(Outcomes { routes, webhooks, bounds: self.bounds() })
    }
}

impl TenantOutcomesSection {
    fn check(&self) -> anyhow::Result<WebhookTarget> {
        check_signed(Some(&self.secret), Some(&self.url), self.private_endpoints)?;
        let of =
            |key: &str, secret: &Secret| SigningSecret::parse(secret).map_err(|why| anyhow!("{key} {why}"));
        let mut secrets = vec![of("secret", &self.secret)?];
        if let Some(previous) = &self.previous_secret {
            secrets.push(of("previous_secret", previous)?);
        }
        Ok(WebhookTarget { url: self.url.clone(), secrets, private_endpoints: self.private_endpoints })
    }
}

fn kinds_of(words: &[String]) -> anyhow::Result<OutcomeKinds> {
    if words.is_empty() {
        return Ok(every_kind());
    }
    let known = || anyhow!("each must be one of {}", OutcomeKind::WORDS.join(", "));
    words.iter().map(|word| word.parse().map_err(|_| known())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[derive(Deserialize)]
    struct Sections {
        #[serde(default)]
        outcomes: OutcomesSection,
        #[serde(default)]
        tenants: BTreeMap<String, OfTenant>,
    }

    #[derive(Deserialize)]
    struct OfTenant {
        outcomes: TenantOutcomesSection,
    }

    fn load(toml: &str) -> anyhow::Result<Outcomes> {
        let Sections { outcomes, tenants } = toml::from_str(toml)?;
        outcomes.check(tenants.iter().map(|(name, tenant)| (name, &tenant.outcomes)))
    }

    #[test]
    fn outcomes_are_off_until_somebody_wants_them() {
        assert!(load("").unwrap().routes.is_empty());
        let on = load("[outcomes]\nenabled = true").unwrap();
        assert_eq!(on.routes.queue, every_kind());
        assert!(on.webhooks.is_empty());
    }

    #[test]
    fn a_tenants_address_hears_what_it_names_and_does_not_need_the_exchange() {
        let toml = format!(
            "[outcomes]\nkinds = [\"seen\"]\n\
             [tenants.acme.outcomes]\nurl = \"https://acme.example/hook\"\nsecret = \"{SECRET}\"\n\
             previous_secret = \"{SECRET}\"\nkinds = [\"bounced\"]\n\
             [tenants.globex.outcomes]\nurl = \"http://10.0.0.1/\"\nsecret = \"{SECRET}\"\nprivate_endpoints = true\n"
        );
        let outcomes = load(&toml).unwrap();
        let [acme, globex] = ["acme", "globex"].map(|name| Tenant::parse(name).unwrap());
        assert!(outcomes.routes.queue.is_empty());
        assert_eq!(outcomes.routes.webhooks[&acme], [OutcomeKind::Bounced].into());
        assert_eq!(outcomes.routes.webhooks[&globex], [OutcomeKind::Seen].into());
        assert_eq!(
            (outcomes.webhooks[&acme].secrets.len(), outcomes.webhooks[&globex].secrets.len()),
            (2, 1)
        );
        assert!(!format!("{outcomes:?}").contains("acme.example"), "an address may hold a password");
    }

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        let hook = |keys: &str| format!("[tenants.acme.outcomes]\n{keys}");
        for (why, toml, expected) in [
            ("a kind that is none", "[outcomes]\nkinds = [\"opened\"]".to_owned(), "outcomes.kinds"),
            ("no room", "[outcomes]\nwaiting_max = 0".to_owned(), "outcomes.waiting_max"),
            (
                "plain http",
                hook(&format!("url = \"http://acme.example\"\nsecret = \"{SECRET}\"")),
                "private_endpoints",
            ),
            ("no time", "[outcomes]\nkept_for = \"1s\"".to_owned(), "outcomes.kept_for must be at least 1m"),
            (
                "a weak secret that is being replaced",
                hook(&format!(
                    "url = \"https://acme.example\"\nsecret = \"{SECRET}\"\nprevious_secret = \"hunter2\""
                )),
                "previous_secret must be `whsec_`",
            ),
            ("no secret", hook("url = \"https://acme.example\""), "secret"),
            (
                "an address with a password",
                hook(&format!("url = \"https://a:hunter2@acme.example\"\nsecret = \"{SECRET}\"")),
                "without a password",
            ),
            ("a weak secret", hook("url = \"https://acme.example\"\nsecret = \"hunter2\""), "whsec_"),
        ] {
            let error = format!("{:#}", load(&toml).unwrap_err());
            assert!(error.contains(expected), "{why}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("acme.example"), "{why}: {error}");
        }
    }
}
