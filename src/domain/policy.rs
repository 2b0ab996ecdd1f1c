//! Escalation policies: which channels, in which order, after which waits.

use std::{collections::BTreeMap, time::Duration};

use super::alert::words;

/// A way to reach a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// An open session. Always tried first and never a step: the inbox is lit in any case.
    Live,
    /// Their devices, by the provider's push service.
    Push,
    /// Their mailbox.
    Email,
}

words!(Channel { Live = "live", Push = "push", Email = "email" });

/// A named walk through channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// In order. Each is waited for after the one before it was done.
    pub steps: Vec<PolicyStep>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyStep {
    /// By which channel; never [`Channel::Live`].
    pub channel: Channel,
    /// How long to wait for the alert to be seen, from when the step before was done (or the alert recorded).
    pub after: Duration,
}

/// Steps a policy may have.
pub const STEPS_MAX: usize = 16;

/// Every policy by name. `default` always exists.
#[derive(Debug, Clone)]
pub struct Policies {
    by_name: BTreeMap<String, Policy>,
}

impl Policies {
    /// The ones that are always there: `default` (push after 30 s, email 5 min later) and `critical`
    /// (push after 5 s, email 1 min later); `given` replaces and adds.
    pub fn with_defaults(given: BTreeMap<String, Policy>) -> Self {
        let walk = |push, email| Policy {
            steps: vec![
                PolicyStep { channel: Channel::Push, after: Duration::from_secs(push) },
                PolicyStep { channel: Channel::Email, after: Duration::from_secs(email) },
            ],
        };
        let mut by_name =
            BTreeMap::from([("default".to_owned(), walk(30, 300)), ("critical".to_owned(), walk(5, 60))]);
        by_name.extend(given);
        Self { by_name }
    }

    /// The policy of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.by_name.get(name)
    }

    /// The policy of that name, or `default` when it was removed after alerts were recorded under it.
    pub fn get_or_default(&self, name: &str) -> &Policy {
        // `with_defaults` put `default` in, and nothing takes one out.
        self.by_name.get(name).unwrap_or_else(|| &self.by_name["default"])
    }

    /// The names, for an error that helps.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// All of them, for `config show`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.by_name.iter().map(|(name, policy)| (name.as_str(), policy))
    }
}
