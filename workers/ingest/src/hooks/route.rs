//! `[[route]]`: whom the alerts of hooks are for and how they are told, by their labels.
//!
//! ```toml
//! [[route]]
//! match = ['team="db"', 'severity=~"critical|page"']
//! users = ["ana"]
//! groups = ["dba"]
//! policy = "critical"
//! continue = false
//! ```
//!
//! The first route that matches decides; one with `continue = true` lets those after it add to it. An alert that names
//! people itself (its labels `watchbell_users` and `watchbell_groups`) takes only the policy from here.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, ensure};
use watchbell::domain::{Audience, GroupId, Tenant, UserId, policy::Policies};

use super::{config::RouteConfig, matcher::Matcher, report::Report};

/// All routes, checked.
#[derive(Debug, Default)]
pub struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    /// What it is called when it is explained.
    name: String,
    tenant: Option<Tenant>,
    matchers: Vec<Matcher>,
    audience: Audience,
    policy: Option<String>,
    goes_on: bool,
}

/// What the routes say of one alert.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Nobody when no route matched.
    pub audience: Audience,
    pub policy: Option<String>,
    /// The routes that were looked at, in their order, each with its reason.
    pub considered: Vec<Considered>,
}

/// One route that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Considered {
    pub route: String,
    pub matched: bool,
    pub why: String,
}

impl Routes {
    /// Checks the routes of a configuration.
    ///
    /// # Errors
    /// Names the route and the key.
    pub fn new(sections: &[RouteConfig], policies: &Policies) -> anyhow::Result<Self> {
        let route = |(at, section): (usize, &RouteConfig)| {
            let name = section.name.clone().unwrap_or_else(|| (at + 1).to_string());
            Route::new(name.clone(), section, policies).with_context(|| format!("route {name}"))
        };
        sections.iter().enumerate().map(route).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Which routes an alert of this tenant takes.
    pub fn decide(&self, tenant: &Tenant, labels: &BTreeMap<String, String>) -> Decision {
        let mut decision = Decision::default();
        for route in &self.0 {
            let (matched, why) = route.matches(tenant, labels);
            decision.considered.push(Considered { route: route.name.clone(), matched, why });
            if !matched {
                continue;
            }
            let Audience { users, groups, everyone } = route.audience.clone();
            decision.audience.users.extend(users);
            decision.audience.groups.extend(groups);
            decision.audience.everyone |= everyone;
            decision.policy = decision.policy.or_else(|| route.policy.clone());
            if !route.goes_on {
                break;
            }
        }
        decision
    }
}

/// The labels that routes look at: the alert's own, and what a hook found where the alert has no label of that name.
pub fn labels_of(report: &Report, hook: &str) -> BTreeMap<String, String> {
    let mut all = report.labels.clone();
    for (name, value) in [
        ("severity", Some(report.severity.as_str())),
        ("status", Some(report.status.as_str())),
        ("source", report.source.as_deref()),
        ("category", report.category.as_deref()),
        ("hook", Some(hook)),
    ] {
        if let Some(value) = value {
            all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    all
}

impl Route {
    fn new(name: String, section: &RouteConfig, policies: &Policies) -> anyhow::Result<Self> {
        let tenant = section.tenant.as_deref().map(Tenant::parse).transpose().context("tenant")?;
        let mut matchers = Vec::new();
        for text in section.matchers() {
            matchers.extend(Matcher::parse_all(text).map_err(|error| anyhow!("match {text:?} {error}"))?);
        }
        let users = section.users.iter().map(UserId::parse_new).collect::<Result<_, _>>().context("users")?;
        let groups =
            section.groups.iter().map(GroupId::parse_new).collect::<Result<_, _>>().context("groups")?;
        let audience = Audience { users, groups, everyone: section.everyone };
        ensure!(
            !audience.is_empty() || section.policy.is_some(),
            "says nothing: give users, groups, everyone or policy"
        );
        if let (Some(policy), Some(tenant)) = (&section.policy, &tenant) {
            ensure!(
                policies.get(tenant, policy).is_some(),
                "policy must be one of {}",
                policies.names(tenant).join(", ")
            );
        }
        if let (Some(policy), None) = (&section.policy, &tenant) {
            ensure!(
                policies.is_for_everybody(policy),
                "policy {policy} is not one of all tenants: give `tenant`"
            );
        }
        Ok(Self {
            name,
            tenant,
            matchers,
            audience,
            policy: section.policy.clone(),
            goes_on: section.r#continue,
        })
    }

    /// Whether it is for this alert, and why.
    fn matches(&self, tenant: &Tenant, labels: &BTreeMap<String, String>) -> (bool, String) {
        if let Some(own) = self.tenant.as_ref().filter(|own| *own != tenant) {
            return (false, format!("it is for tenant {own}"));
        }
        match self.matchers.iter().find(|matcher| !matcher.holds(labels)) {
            Some(failed) => {
                let found = match labels.get(failed.label()) {
                    Some(value) => format!("is {value:?}"),
                    None => "is not there".to_owned(),
                };
                (false, format!("{failed} does not hold: the label {found}"))
            }
            None if self.matchers.is_empty() => (true, "it has no condition".to_owned()),
            None => {
                let all: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
                (true, format!("{} {}", all.join(" and "), if all.len() == 1 { "holds" } else { "hold" }))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn section(matchers: &[&str], users: &[&str], policy: Option<&str>, goes_on: bool) -> RouteConfig {
        RouteConfig {
            r#match: matchers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().into(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            policy: policy.map(str::to_owned),
            r#continue: goes_on,
            ..RouteConfig::default()
        }
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let policies = Policies::with_defaults(BTreeMap::new());
        let only = RouteConfig { tenant: Some("globex".into()), ..section(&[], &["gus"], None, false) };
        let routes = Routes::new(
            &[
                only,
                section(&[r#"severity="critical""#], &[], Some("critical"), true),
                section(&[r#"team="db""#, r#"env!="dev""#], &["ana"], None, false),
                section(&[r#"team=~"d.*""#], &["dan"], Some("default"), false),
            ],
            &policies,
        )
        .unwrap();
        let acme = Tenant::parse("acme").unwrap();
        for (why, labels, users, policy, considered) in [
            ("none", &[("team", "web")][..], &[][..], None, 4),
            ("the first", &[("team", "db")], &["ana"], None, 3),
            ("not all of its matchers hold", &[("team", "db"), ("env", "dev")], &["dan"], Some("default"), 4),
            ("one that goes on", &[("team", "db"), ("severity", "critical")], &["ana"], Some("critical"), 3),
            ("only that", &[("severity", "critical")], &[], Some("critical"), 4),
        ] {
            let labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let decision = routes.decide(&acme, &labels);
            let found: Vec<&str> = decision.audience.users.iter().map(UserId::as_str).collect();
            assert_eq!((found.as_slice(), decision.policy.as_deref()), (users, policy), "{why}");
            assert_eq!(decision.considered.len(), considered, "{why}");
        }
        let why = routes.decide(&acme, &BTreeMap::new()).considered;
        assert_eq!(why[0].why, "it is for tenant globex");
        assert_eq!(why[1].why, r#"severity="critical" does not hold: the label is not there"#);
    }

    #[test]
    fn a_route_that_cannot_be_meant_is_refused() {
        let policies = Policies::with_defaults(BTreeMap::new());
        for (section, expected) in [
            (section(&[], &[], None, false), "says nothing"),
            (section(&["team"], &["ana"], None, false), "must be a matcher"),
            (section(&[], &["a\u{1}"], None, false), "users"),
            (section(&[], &["ana"], Some("urgent"), false), "policy urgent"),
        ] {
            let error = format!("{:#}", Routes::new(&[section], &policies).unwrap_err());
            assert!(error.starts_with("route 1") && error.contains(expected), "{error}");
        }
    }
}
