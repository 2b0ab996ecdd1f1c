//! The part of the configuration that is about retention: how long alerts, the audit log and parked messages are kept.
//!
//! ```toml
//! [retention]
//! alerts_kept = "90d"
//! [tenants.acme.retention]
//! alerts_per_person_max = 200
//! ```

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::config::{checks::within, duration, maybe_duration};
use crate::domain::{
    Tenant,
    retention::{Retention, RetentionRules},
};

/// The shortest time that anything is kept: an hour. What is younger may still be on its way to somebody.
const KEPT_MIN: Duration = Duration::from_secs(60 * 60);
/// The longest: ten years.
const KEPT_MAX: Duration = Duration::from_secs(3_660 * 24 * 60 * 60);
/// What one screen of a client shows.
const PER_PERSON_MIN: u32 = 10;
/// More than anybody scrolls through; so many are counted in one statement.
const PER_PERSON_MAX: u32 = 100_000;

/// `[retention]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    /// How long an alert is kept with the inbox rows of its people, since its last version arrived. What is snoozed, suppressed
    /// until a time, or still escalated stays until that is over.
    #[serde(with = "duration")]
    pub alerts_kept: Duration,
    /// Rows of one person's inbox at the most; what changed longest ago goes first.
    pub alerts_per_person_max: u32,
    /// How long attempts and the lines of timelines are kept.
    #[serde(with = "duration")]
    pub timelines_kept: Duration,
    /// How long entries of the audit log are kept.
    #[serde(with = "duration")]
    pub audit_kept: Duration,
    /// How long `watchbell up` keeps what it parked in `rejected.ndjson` and `dead.ndjson`.
    #[serde(with = "duration")]
    pub parked_kept: Duration,
}

impl Default for RetentionSection {
    fn default() -> Self {
        let RetentionRules { everybody, audit_kept, parked_kept, .. } = RetentionRules::default();
        let Retention { alerts_kept, alerts_per_person_max, timelines_kept } = everybody;
        Self { alerts_kept, alerts_per_person_max, timelines_kept, audit_kept, parked_kept }
    }
}

/// `[tenants.NAME.retention]`: what is not given is as for everybody.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TenantRetentionSection {
    /// How long an alert is kept.
    #[serde(with = "maybe_duration")]
    alerts_kept: Option<Duration>,
    /// Rows of one person's inbox at the most.
    alerts_per_person_max: Option<u32>,
    /// How long attempts and the lines of timelines are kept.
    #[serde(with = "maybe_duration")]
    timelines_kept: Option<Duration>,
}

impl RetentionSection {
    /// What holds, with the rules of these tenants.
    ///
    /// # Errors
    /// Names the key at fault.
    pub(super) fn check<'a>(
        &self,
        tenants: impl Iterator<Item = (&'a String, &'a TenantRetentionSection)>,
    ) -> anyhow::Result<RetentionRules> {
        let everybody = Retention {
            alerts_kept: self.alerts_kept,
            alerts_per_person_max: self.alerts_per_person_max,
            timelines_kept: self.timelines_kept,
        };
        check_bounds("retention", everybody)?;
        let (audit_kept, parked_kept) = (self.audit_kept, self.parked_kept);
        within("retention.audit_kept", audit_kept, KEPT_MIN..=KEPT_MAX)?;
        within("retention.parked_kept", parked_kept, KEPT_MIN..=KEPT_MAX)?;
        let mut rules = RetentionRules { everybody, tenants: BTreeMap::new(), audit_kept, parked_kept };
        for (name, own) in tenants {
            let key = format!("tenants.{name}.retention");
            let tenant = Tenant::parse(name).with_context(|| key.clone())?;
            let retention = Retention {
                alerts_kept: own.alerts_kept.unwrap_or(everybody.alerts_kept),
                alerts_per_person_max: own.alerts_per_person_max.unwrap_or(everybody.alerts_per_person_max),
                timelines_kept: own.timelines_kept.unwrap_or(everybody.timelines_kept),
            };
            check_bounds(&key, retention)?;
            rules.tenants.insert(tenant, retention);
        }
        Ok(rules)
    }
}

fn check_bounds(section: &str, retention: Retention) -> anyhow::Result<()> {
    within(format!("{section}.alerts_kept"), retention.alerts_kept, KEPT_MIN..=KEPT_MAX)?;
    within(format!("{section}.timelines_kept"), retention.timelines_kept, KEPT_MIN..=KEPT_MAX)?;
    within(
        format!("{section}.alerts_per_person_max"),
        retention.alerts_per_person_max,
        PER_PERSON_MIN..=PER_PERSON_MAX,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sections {
        #[serde(default)]
        retention: RetentionSection,
        #[serde(default)]
        tenants: BTreeMap<String, OfTenant>,
    }

    #[derive(Deserialize)]
    struct OfTenant {
        retention: TenantRetentionSection,
    }

    fn load(toml: &str) -> anyhow::Result<RetentionRules> {
        let Sections { retention, tenants } = toml::from_str(toml)?;
        retention.check(tenants.iter().map(|(name, tenant)| (name, &tenant.retention)))
    }

    #[test]
    fn a_tenant_says_what_differs() {
        let rules =
            load("[retention]\nalerts_kept = \"7d\"\n[tenants.acme.retention]\nalerts_per_person_max = 50")
                .unwrap();
        let acme = rules.of(&Tenant::parse("acme").unwrap());
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        assert_eq!((acme.alerts_kept, acme.alerts_per_person_max), (week, 50));
        assert_eq!(acme.timelines_kept, Retention::default().timelines_kept);
        assert_eq!(rules.of(&Tenant::parse("other").unwrap()).alerts_per_person_max, 1_000);
        assert_eq!(load("").unwrap(), RetentionRules::default());
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (why, toml, expected) in [
            (
                "shorter than anything is on its way",
                "[retention]\nalerts_kept = \"59m\"",
                "retention.alerts_kept must be at least 1h",
            ),
            (
                "no inbox",
                "[retention]\nalerts_per_person_max = 0",
                "retention.alerts_per_person_max must be at least 10",
            ),
            (
                "no bound",
                "[retention]\nalerts_per_person_max = 1000000",
                "retention.alerts_per_person_max must be at most",
            ),
            (
                "a tenant's",
                "[tenants.acme.retention]\ntimelines_kept = \"1s\"",
                "tenants.acme.retention.timelines_kept must be at least 1h",
            ),
            (
                "an audit log of nothing",
                "[retention]\naudit_kept = \"0s\"",
                "retention.audit_kept must be at least 1h",
            ),
            ("for ever", "[retention]\nparked_kept = \"4000d\"", "at most 87600h"),
            (
                "a tenant's audit log is the installation's",
                "[tenants.acme.retention]\naudit_kept = \"30d\"",
                "unknown field `audit_kept`",
            ),
        ] {
            let error = format!("{:#}", load(toml).unwrap_err());
            assert!(error.contains(expected), "{why}: {error}");
        }
    }
}
