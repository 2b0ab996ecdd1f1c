//! What a session is like that began at an address of a team's own (`[[mount]]`).

use std::collections::HashMap;

use serde_json::Value;
use watchbell::domain::Topic;

use crate::{
    config::{MountConfig, MountShape},
    token::Identity,
};

/// One mount, for one request: its path parameters are filled in.
pub(crate) struct Mount {
    topics: Vec<String>,
    shape: MountShape,
}

impl Mount {
    pub(crate) fn of(config: &MountConfig, parameters: &HashMap<String, String>) -> Self {
        let fill = |topic: &String| {
            parameters
                .iter()
                .fold(topic.clone(), |topic, (name, value)| topic.replace(&format!("{{{name}}}"), value))
        };
        Self { topics: config.topics.iter().map(fill).collect(), shape: config.shape }
    }

    /// What its sessions subscribe to.
    pub(crate) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Whether events go out as they were published, without our envelope.
    pub(crate) fn is_bare(&self) -> bool {
        self.shape == MountShape::Bare
    }

    /// Whether this person may read all of its topics (I8).
    pub(crate) fn may_be_read_by(&self, identity: &Identity) -> bool {
        self.topics.iter().all(|topic| Topic::parse(topic).is_ok_and(|topic| identity.may_read(&topic)))
    }

    /// Old clients ask for the present state in words of their own: `refresh`, or an object whose `type`, `command` or
    /// `action` is that.
    pub(crate) fn means_refresh(&self, line: &str) -> bool {
        if !self.is_bare() {
            return false;
        }
        let line = line.trim();
        let parsed: Value = serde_json::from_str(line).unwrap_or_default();
        line == "refresh"
            || parsed == "refresh"
            || ["type", "command", "action"]
                .iter()
                .any(|field| parsed.get(field).is_some_and(|word| word == "refresh"))
    }
}
