//! Escalation policies: which channels, in which order, after which waits, and which policy an alert has.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Alert, Channel, Severity, Tenant,
    alert::{UnknownWord, words},
};

/// Named steps through channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// In order. Each is waited for after the one before it was done.
    pub steps: Vec<PolicyStep>,
    /// Whether it goes out in quiet hours and to those who opted out.
    pub mandatory: bool,
    /// When an alert that does not say so itself expires.
    pub expires_after: Option<Duration>,
    /// What an act of one recipient does for the others.
    pub group: GroupRule,
    /// Whether its alerts are a Live Activity on Apple devices from their first push on.
    pub live_activity: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStep {
    /// By which channel.
    pub channel: Channel,
    /// How long to wait for the alert to be seen, from when the step before was done (or the alert recorded).
    pub after: Duration,
    /// The step is left out when any of these holds as it comes due.
    pub unless: Vec<Unless>,
}

impl PolicyStep {
    /// A step without conditions.
    pub fn new(channel: Channel, after: Duration) -> Self {
        Self { channel, after, unless: Vec::new() }
    }
}

/// Steps a policy may have.
pub const STEPS_MAX: usize = 16;

/// When a step is left out; the next one waits as long as ever. Presence is not among them: a screen that is on may stand in an empty room (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unless {
    /// A message of this escalation by this channel was accepted.
    Told(Channel),
    /// The person's quiet hours: the step is skipped in place of deferred.
    Quiet,
    /// The alert is only for information.
    Info,
    /// It is a warning, or less.
    Warning,
}

impl Unless {
    /// The conditions that are not about a channel.
    const PLAIN: [Self; 3] = [Self::Quiet, Self::Info, Self::Warning];

    /// Every word, those of the channels first.
    pub const WORDS: &[&str] = &Self::words();

    const fn words() -> [&'static str; Channel::COUNT + Self::PLAIN.len()] {
        let (mut words, mut at) = ([""; Channel::COUNT + Self::PLAIN.len()], 0);
        while at < words.len() {
            words[at] = match at < Channel::COUNT {
                true => Self::Told(Channel::ALL[at]).as_str(),
                false => Self::PLAIN[at - Channel::COUNT].as_str(),
            };
            at += 1;
        }
        words
    }

    /// The word for it in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Told(channel) => channel.facts().told_word,
            Self::Quiet => "quiet",
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }

    /// The channel in whose place the step stands, if it is left out because that one was taken.
    pub fn channel(self) -> Option<Channel> {
        match self {
            Self::Told(channel) => Some(channel),
            Self::Quiet | Self::Info | Self::Warning => None,
        }
    }
}

impl std::str::FromStr for Unless {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = Channel::ALL.into_iter().map(Self::Told).chain(Self::PLAIN);
        all.into_iter().find(|unless| unless.as_str() == word).ok_or(UnknownWord { known: Self::WORDS })
    }
}

/// What an act of one recipient of an alert does for the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GroupRule {
    /// Nothing: everybody is told.
    #[default]
    Each,
    /// The first who looks has it: nobody else is chased, and what is shown stays.
    FirstStopsAll,
    /// The first who acknowledges it has it, and to look is not enough ([`super::Acknowledgement`]).
    FirstAcknowledges,
}

words!(GroupRule {
    Each = "each",
    FirstStopsAll = "first_stops_all",
    FirstAcknowledges = "first_acknowledges",
});

/// The policies of one tenant, or of all that have none of their own, and who gets which.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// By name.
    pub by_name: BTreeMap<String, Policy>,
    /// For alerts of a category that name none. Goes before severity.
    pub by_category: BTreeMap<String, String>,
    /// For alerts of a severity that name none.
    pub by_severity: BTreeMap<&'static str, String>,
}

/// Every policy by tenant and name. `default` always exists.
#[derive(Debug, Clone)]
pub struct Policies {
    everybody: PolicySet,
    tenants: BTreeMap<Tenant, PolicySet>,
}

/// The policy of alerts for which nothing else was said.
const DEFAULT: &str = "default";
/// The policy that critical alerts have by default.
const CRITICAL: &str = "critical";

impl Policies {
    /// The ones that are always there: `default` (push after 30 s, email 5 min later) and `critical`
    /// (push after 5 s, email 1 min later, mandatory), which critical alerts get; `given` replaces and adds.
    pub fn with_defaults(given: BTreeMap<String, Policy>) -> Self {
        Self::new(PolicySet { by_name: given, ..PolicySet::default() }, BTreeMap::new())
    }

    /// The same, with rules of who gets which, and with tenants that have their own.
    pub fn new(mut everybody: PolicySet, tenants: BTreeMap<Tenant, PolicySet>) -> Self {
        let push_then_email = |push, email| {
            let step = |channel, secs| PolicyStep::new(channel, Duration::from_secs(secs));
            vec![step(Channel::Push, push), step(Channel::Email, email)]
        };
        let default = Policy { steps: push_then_email(30, 300), ..Policy::default() };
        let critical = Policy { steps: push_then_email(5, 60), mandatory: true, ..Policy::default() };
        everybody.by_name.entry(DEFAULT.to_owned()).or_insert(default);
        everybody.by_name.entry(CRITICAL.to_owned()).or_insert(critical);
        everybody.by_severity.entry(Severity::Critical.as_str()).or_insert_with(|| CRITICAL.to_owned());
        Self { everybody, tenants }
    }

    /// The name of the policy that an alert has: its own, or its category's, or its severity's; what the tenant says
    /// goes before what holds for everybody.
    pub fn name_for<'a>(&'a self, alert: &'a Alert) -> &'a str {
        let sets = || self.tenants.get(&alert.tenant).into_iter().chain([&self.everybody]);
        let category = alert.category.as_deref();
        let named = alert.policy.as_deref();
        named
            .or_else(|| {
                category.and_then(|category| {
                    sets().find_map(|set| set.by_category.get(category)).map(String::as_str)
                })
            })
            .or_else(|| {
                sets().find_map(|set| set.by_severity.get(alert.severity.as_str())).map(String::as_str)
            })
            .unwrap_or(DEFAULT)
    }

    /// The tenant's policy of that name, if there is one.
    pub fn get(&self, tenant: &Tenant, name: &str) -> Option<&Policy> {
        let own = self.tenants.get(tenant).and_then(|set| set.by_name.get(name));
        own.or_else(|| self.everybody.by_name.get(name))
    }

    /// Whether every tenant has a policy of that name.
    pub fn is_for_everybody(&self, name: &str) -> bool {
        self.everybody.by_name.contains_key(name)
    }

    /// The tenant's policy of that name, or `default` when it was removed after alerts were recorded under it.
    pub fn get_or_default(&self, tenant: &Tenant, name: &str) -> &Policy {
        // `new` put `default` in, and nothing takes one out.
        self.get(tenant, name)
            .or_else(|| self.get(tenant, DEFAULT))
            .unwrap_or_else(|| &self.everybody.by_name[DEFAULT])
    }

    /// The names a tenant may use, for an error that helps.
    pub fn names(&self, tenant: &Tenant) -> Vec<&str> {
        let own = self.tenants.get(tenant).into_iter().flat_map(|set| set.by_name.keys());
        let mut names: Vec<&str> = own.chain(self.everybody.by_name.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Each of them: whose it is, and its name. Those of tenants come first.
    pub fn all(&self) -> impl Iterator<Item = (Option<&Tenant>, &str, &Policy)> {
        let sets =
            self.tenants.iter().map(|(tenant, set)| (Some(tenant), set)).chain([(None, &self.everybody)]);
        sets.flat_map(|(tenant, set)| {
            set.by_name.iter().map(move |(name, policy)| (tenant, name.as_str(), policy))
        })
    }

    /// When alerts expire that do not say so themselves, by the policies that say it: whose policy, its name, and how long.
    pub fn expiries(&self) -> impl Iterator<Item = (Option<&Tenant>, &str, Duration)> {
        self.all().filter_map(|(tenant, name, policy)| Some((tenant, name, policy.expires_after?)))
    }

    /// The first rule that leads to a policy which does not exist: for the check of a configuration.
    pub fn dangling(&self) -> Option<String> {
        let sets =
            self.tenants.iter().map(|(tenant, set)| (Some(tenant), set)).chain([(None, &self.everybody)]);
        for (tenant, set) in sets {
            let exists = |name: &String| {
                self.everybody.by_name.contains_key(name)
                    || tenant.is_some_and(|tenant| self.get(tenant, name).is_some())
            };
            let rules = set.by_category.values().chain(set.by_severity.values());
            if let Some(name) = rules.into_iter().find(|name| !exists(name)) {
                return Some(name.clone());
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::Status;
    use crate::domain::inbox::tests::alert;

    fn named(after: u64) -> Policy {
        Policy {
            steps: vec![PolicyStep::new(Channel::Push, Duration::from_secs(after))],
            ..Policy::default()
        }
    }

    fn policies() -> Policies {
        let set =
            |policies: &[(&str, u64)], category: &[(&str, &str)], severity: &[(Severity, &str)]| PolicySet {
                by_name: policies.iter().map(|(name, after)| ((*name).to_owned(), named(*after))).collect(),
                by_category: category
                    .iter()
                    .map(|(of, name)| ((*of).to_owned(), (*name).to_owned()))
                    .collect(),
                by_severity: severity.iter().map(|(of, name)| (of.as_str(), (*name).to_owned())).collect(),
            };
        let everybody = set(&[("slow", 100)], &[("billing", "slow")], &[(Severity::Info, "slow")]);
        let own = set(&[("slow", 200), ("own", 7)], &[("storage", "own")], &[(Severity::Critical, "own")]);
        Policies::new(everybody, BTreeMap::from([(Tenant::parse("globex").unwrap(), own)]))
    }

    #[test]
    fn an_alert_has_the_policy_of_this_table() {
        use Severity::{Critical, Info, Warning};
        for (why, tenant, policy, category, severity, name, after) in [
            ("nothing was said", "acme", None, None, Warning, "default", 30),
            ("critical ones hurry", "acme", None, None, Critical, "critical", 5),
            ("by severity", "acme", None, None, Info, "slow", 100),
            ("a category goes before severity", "acme", None, Some("billing"), Critical, "slow", 100),
            ("an unknown category says nothing", "acme", None, Some("other"), Warning, "default", 30),
            ("its own name goes before all", "acme", Some("critical"), Some("billing"), Info, "critical", 5),
            ("a tenant's policy of the same name", "globex", None, Some("billing"), Warning, "slow", 200),
            ("a tenant's category", "globex", None, Some("storage"), Warning, "own", 7),
            ("a tenant's severity goes before everybody's", "globex", None, None, Critical, "own", 7),
            ("one tenant's policy is not another's", "acme", Some("own"), None, Warning, "own", 30),
        ] {
            let alert = Alert {
                tenant: Tenant::parse(tenant).unwrap(),
                policy: policy.map(str::to_owned),
                category: category.map(str::to_owned),
                ..alert(1, severity, Status::Firing)
            };
            let policies = policies();
            assert_eq!(policies.name_for(&alert), name, "{why}");
            let first = &policies.get_or_default(&alert.tenant, name).steps[0];
            assert_eq!(first.after.as_secs(), after, "{why}");
        }
    }

    #[test]
    fn a_rule_that_leads_nowhere_is_found() {
        assert_eq!(policies().dangling(), None);
        let mut everybody = PolicySet::default();
        everybody.by_category.insert("billing".into(), "slwo".into());
        assert_eq!(Policies::new(everybody, BTreeMap::new()).dangling().as_deref(), Some("slwo"));
    }

    #[test]
    fn only_critical_is_mandatory_by_itself() {
        let policies = policies();
        let acme = Tenant::parse("acme").unwrap();
        let mandatory = |name: &str| policies.get(&acme, name).map(|policy| policy.mandatory);
        assert_eq!((mandatory("critical"), mandatory("default")), (Some(true), Some(false)));
        assert_eq!(policies.get(&acme, "own"), None);
        assert_eq!(policies.names(&acme), ["critical", "default", "slow"]);
    }
}
