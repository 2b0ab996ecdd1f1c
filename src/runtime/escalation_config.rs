//! The part of the configuration that is about escalation: policies, who has which, tenants of their own, restraint.
//!
//! ```toml
//! [policies.default]
//! steps = [{channel = "push", after = "30s"}, {channel = "email", after = "5m", unless = ["pushed"]}]
//! [policy_for]
//! category = {billing = "slow"}
//! severity = {info = "slow"}
//! [tenants.acme.policies.slow]
//! steps = [{channel = "email", after = "1h"}]
//! ```

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::config::{checks::within, duration, maybe_duration};
use crate::domain::{
    Channel, Policy, PolicyStep, Severity, Tenant,
    channel_bounds::ChannelBounds,
    policy::{Policies, PolicySet, STEPS_MAX},
    restraint::Restraint,
};

/// `[policies]`, `[policy_for]`, `[tenants]`: parts of [`super::Config`], which checks them when it is loaded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicySections {
    /// By name.
    pub(super) policies: BTreeMap<String, PolicySection>,
    /// Who has which.
    pub(super) policy_for: PolicyForSection,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicySection {
    /// What is sent, and how long after the alert or after the end of the step before; `unless` names what makes a step unnecessary.
    steps: Vec<StepSection>,
    /// Whether quiet hours and opt-outs do not hold for it; `critical` is so by default.
    mandatory: Option<bool>,
    /// When an alert with this policy and no `expires_at` of its own expires.
    #[serde(default, with = "maybe_duration")]
    expires_after: Option<Duration>,
    /// What one member of a group does for the others: `each` is told alone, the first who looks has it
    /// (`first_stops_all`), or the first who acknowledges it (`first_acknowledges`).
    group: Option<String>,
    /// Whether an alert is a Live Activity on Apple devices from its first push on: on the lock screen, changing as the alert does, and gone when
    /// nobody needs to look any more.
    #[serde(default)]
    live_activity: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepSection {
    channel: String,
    #[serde(with = "duration")]
    after: Duration,
    #[serde(default)]
    unless: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyForSection {
    /// Which policy alerts of a category have.
    category: BTreeMap<String, String>,
    /// Which policy alerts of a severity have.
    severity: BTreeMap<String, String>,
}

/// `[restraint]`: how much one person gets at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestraintSection {
    /// Pushes within this time count together. Zero: none are bundled.
    #[serde(with = "duration")]
    pub bundle_window: Duration,
    /// Pushes beyond this many within a window become one.
    pub bundle_after: u32,
    /// Pushes a person and hour.
    pub pushes_per_hour_max: u32,
    /// Emails wait so long for others from the first. Zero: each is a mail of its own.
    #[serde(with = "duration")]
    pub digest_window: Duration,
    /// Emails a person and hour.
    pub emails_per_hour_max: u32,
    /// What comes due later than this after it was recorded is not pushed any more.
    #[serde(with = "duration")]
    pub push_age_max: Duration,
    /// The same for email.
    #[serde(with = "duration")]
    pub email_age_max: Duration,
    /// The same bounds for each channel by its word, which go before those above:
    /// `{email = {window = "5m", alone_max = 1, per_hour_max = 10, age_max = "12h"}}`.
    pub channels: BTreeMap<String, ChannelRestraintSection>,
    /// Alerts that one process of fallback sends for one tenant a second. The rest waits for its turn.
    pub tenant_per_s_max: u32,
}

/// `[restraint.channels.WORD]`: what is left out is as the channel has it by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelRestraintSection {
    /// Messages within this time count together. Zero: none are told together.
    #[serde(with = "maybe_duration")]
    pub window: Option<Duration>,
    /// Messages beyond this many within a window become one.
    pub alone_max: Option<u32>,
    /// Messages a person and hour.
    pub per_hour_max: Option<u32>,
    /// What comes due later than this after it was recorded is not sent any more.
    #[serde(with = "maybe_duration")]
    pub age_max: Option<Duration>,
}

impl ChannelRestraintSection {
    fn check(&self, word: &str) -> anyhow::Result<()> {
        let key = |key| format!("restraint.channels.{word}.{key}");
        if let Some(window) = self.window {
            within(key("window"), window, Duration::ZERO..=WINDOW_MAX)?;
        }
        if let Some(number) = self.alone_max {
            within(key("alone_max"), number, 0..=PER_HOUR_MAX)?;
        }
        if let Some(number) = self.per_hour_max {
            within(key("per_hour_max"), number, 1..=PER_HOUR_MAX)?;
        }
        self.age_max.map_or(Ok(()), |age| within(key("age_max"), age, AGE_MIN..=AGE_MAX))
    }

    fn apply(&self, bounds: &mut ChannelBounds) {
        bounds.window = self.window.unwrap_or(bounds.window);
        bounds.alone_max = self.alone_max.unwrap_or(bounds.alone_max);
        bounds.per_hour_max = self.per_hour_max.unwrap_or(bounds.per_hour_max);
        bounds.age_max = self.age_max.unwrap_or(bounds.age_max);
    }
}

/// A window that never ends within an hour would hold more than the hour's bound knows of.
const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);
/// More messages than this come to nobody within an hour.
const PER_HOUR_MAX: u32 = 1_000_000;
/// More than one process sends in a second.
const TENANT_PER_S_MAX: u32 = 1_000_000;
/// The shortest and the longest time that an alert, a step of a policy or a message may wait: what is a year late is
/// news to nobody.
const AGE_MIN: Duration = Duration::from_secs(1);
const AGE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Default for RestraintSection {
    fn default() -> Self {
        let (push, email) = (&Channel::Push.facts().bounds, &Channel::Email.facts().bounds);
        Self {
            bundle_window: push.window,
            bundle_after: push.alone_max,
            pushes_per_hour_max: push.per_hour_max,
            digest_window: email.window,
            emails_per_hour_max: email.per_hour_max,
            push_age_max: push.age_max,
            email_age_max: email.age_max,
            channels: BTreeMap::new(),
            tenant_per_s_max: 1_000,
        }
    }
}

impl RestraintSection {
    /// What the domain decides by.
    pub fn bounds(&self) -> Restraint {
        let mut restraint = Restraint::default();
        let push = &mut restraint[Channel::Push];
        push.window = self.bundle_window;
        push.alone_max = self.bundle_after;
        push.per_hour_max = self.pushes_per_hour_max;
        push.age_max = self.push_age_max;
        let email = &mut restraint[Channel::Email];
        email.window = self.digest_window;
        email.per_hour_max = self.emails_per_hour_max;
        email.age_max = self.email_age_max;
        for (word, section) in &self.channels {
            // `check` has refused every other word.
            if let Ok(channel) = word.parse::<Channel>() {
                section.apply(&mut restraint[channel]);
            }
        }
        restraint
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        // With none an hour nobody would ever be told.
        within("restraint.pushes_per_hour_max", self.pushes_per_hour_max, 1..=PER_HOUR_MAX)?;
        within("restraint.emails_per_hour_max", self.emails_per_hour_max, 1..=PER_HOUR_MAX)?;
        within("restraint.tenant_per_s_max", self.tenant_per_s_max, 1..=TENANT_PER_S_MAX)?;
        within("restraint.bundle_after", self.bundle_after, 0..=PER_HOUR_MAX)?;
        within("restraint.bundle_window", self.bundle_window, Duration::ZERO..=WINDOW_MAX)?;
        within("restraint.digest_window", self.digest_window, Duration::ZERO..=WINDOW_MAX)?;
        within("restraint.push_age_max", self.push_age_max, AGE_MIN..=AGE_MAX)?;
        within("restraint.email_age_max", self.email_age_max, AGE_MIN..=AGE_MAX)?;
        for (word, section) in &self.channels {
            let channel: Result<Channel, _> = word.parse();
            channel.map_err(|error| anyhow!("restraint.channels.{word}: the channel {error}"))?;
            section.check(word)?;
        }
        Ok(())
    }
}

/// The steps that are written in the sections, as the policy and the channel.
pub(super) fn steps_of<'a>(
    everybody: &'a PolicySections,
    tenants: &'a BTreeMap<String, PolicySections>,
) -> impl Iterator<Item = (String, Channel)> + 'a {
    let own = tenants.iter().map(|(name, sections)| (format!("tenants.{name}."), sections));
    let all = own.chain([(String::new(), everybody)]);
    all.flat_map(|(of, sections)| {
        sections.policies.iter().flat_map(move |(name, section)| {
            let policy = format!("{of}policies.{name}");
            let channels = section.steps.iter().filter_map(|step| step.channel.parse().ok());
            channels.map(move |channel| (policy.clone(), channel))
        })
    })
}

/// Reads the sections into policies.
///
/// # Errors
/// Names the key and says what is accepted.
pub(super) fn policies(
    everybody: &PolicySections,
    tenants: &BTreeMap<String, PolicySections>,
) -> anyhow::Result<Policies> {
    let mut own = BTreeMap::new();
    for (name, sections) in tenants {
        let tenant = Tenant::parse(name).with_context(|| format!("tenants.{name}"))?;
        own.insert(tenant, set_of(sections).with_context(|| format!("tenants.{name}"))?);
    }
    let policies = Policies::new(set_of(everybody)?, own);
    match policies.dangling() {
        Some(name) => bail!("policy_for: there is no policy `{name}`"),
        None => Ok(policies),
    }
}

fn set_of(sections: &PolicySections) -> anyhow::Result<PolicySet> {
    let mut set = PolicySet::default();
    for (name, section) in &sections.policies {
        let policy = section.read(name).with_context(|| format!("policies.{name}"))?;
        set.by_name.insert(name.clone(), policy);
    }
    set.by_category.clone_from(&sections.policy_for.category);
    for (severity, name) in &sections.policy_for.severity {
        let severity: Severity =
            severity.parse().map_err(|error| anyhow!("policy_for.severity.{severity}: {error}"))?;
        set.by_severity.insert(severity.as_str(), name.clone());
    }
    Ok(set)
}

impl PolicySection {
    /// A policy with these steps and nothing else said.
    pub(super) fn with_steps(steps: &[(Channel, Duration)]) -> Self {
        let step = |(channel, after): &(Channel, Duration)| StepSection {
            channel: channel.to_string(),
            after: *after,
            unless: Vec::new(),
        };
        Self {
            steps: steps.iter().map(step).collect(),
            mandatory: None,
            expires_after: None,
            group: None,
            live_activity: false,
        }
    }

    fn read(&self, name: &str) -> anyhow::Result<Policy> {
        ensure!(self.steps.len() <= STEPS_MAX, "has more than {STEPS_MAX} steps");
        let mut steps = Vec::with_capacity(self.steps.len());
        for (at, step) in self.steps.iter().enumerate() {
            let channel: Result<Channel, _> = step.channel.parse();
            let channel = channel.map_err(|error| anyhow!("steps[{at}].channel {error}"))?;
            let unless: Result<Vec<_>, _> = step.unless.iter().map(|word| word.parse()).collect();
            let unless = unless.map_err(|error| anyhow!("steps[{at}].unless {error}"))?;
            within(format!("steps[{at}].after"), step.after, Duration::ZERO..=AGE_MAX)?;
            steps.push(PolicyStep { channel, after: step.after, unless });
        }
        if let Some(after) = self.expires_after {
            within("expires_after", after, AGE_MIN..=AGE_MAX)?;
        }
        let group = self.group.as_deref().map(str::parse).transpose();
        Ok(Policy {
            steps,
            mandatory: self.mandatory.unwrap_or(name == "critical"),
            expires_after: self.expires_after,
            group: group.map_err(|error| anyhow!("group {error}"))?.unwrap_or_default(),
            live_activity: self.live_activity,
        })
    }
}
