//! The parts of the configuration about hooks: `[[hook]]`, which reads another product's alerts by expressions, and
//! `[[route]]`, which says whom the alerts of hooks are for.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// Hooks that are always there: a configured one cannot have their names.
const TAKEN: [&str; 7] =
    ["alertmanager", "pagerduty", "grafana", "sentry", "uptime-kuma", "datadog", "github"];
/// The longest name of a hook, in bytes.
const PATH_BYTES_MAX: usize = 64;

/// `[[hook]]`: another product's alerts under `/v1/hooks/{path}`. Every value but `path` and `tenant` is an expression
/// of minijinja over the posted JSON, or a template when it has `{{` in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookConfig {
    /// The last part of its address: small letters, digits and `-`.
    pub path: String,
    /// Only keys of this tenant may use it; none: those of any.
    pub tenant: Option<String>,
    /// The list whose elements are alerts, each known as `item`; none: the post is one alert.
    pub each: Option<String>,
    /// What tells its alerts apart.
    pub id: Option<String>,
    /// One line that makes sense alone.
    pub title: String,
    /// More, for those who look.
    pub body: Option<String>,
    /// How bad it is; the nearest of ours is taken.
    pub severity: Option<String>,
    /// Where it stands: firing when it is not known to be over or in somebody's hands.
    pub status: Option<String>,
    /// Where to read on.
    pub url: Option<String>,
    /// When it happened.
    pub occurred_at: Option<String>,
    /// What filters and routes look at.
    pub labels: BTreeMap<String, String>,
    /// Whom it is for; the routes and the address decide when nobody comes out.
    pub audience: HookAudienceConfig,
}

/// `[hook.audience]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookAudienceConfig {
    /// Users: a list, or a text with commas.
    pub users: Option<String>,
    /// Groups, likewise.
    pub groups: Option<String>,
    /// Whether it is for every known user.
    pub everyone: Option<String>,
}

/// `[[route]]`: whom alerts with these labels are for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// What it is called when it is explained; its number otherwise.
    pub name: Option<String>,
    /// Only for alerts of this tenant; none: of any.
    pub tenant: Option<String>,
    /// All of these must hold, in Alertmanager's syntax; none: it is for every alert.
    pub r#match: OneOrSeveral,
    /// People by name.
    pub users: Vec<String>,
    /// Every member of these.
    pub groups: Vec<String>,
    /// Every known user.
    pub everyone: bool,
    /// The escalation policy.
    pub policy: Option<String>,
    /// Whether the routes after this one are looked at, too.
    pub r#continue: bool,
}

/// One text, or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrSeveral {
    /// `match = 'team="db"'`
    One(String),
    /// `match = ['team="db"', 'env="prod"']`
    Several(Vec<String>),
}

impl Default for OneOrSeveral {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl From<Vec<String>> for OneOrSeveral {
    fn from(several: Vec<String>) -> Self {
        Self::Several(several)
    }
}

impl RouteConfig {
    /// Its matchers, as they were written.
    pub fn matchers(&self) -> &[String] {
        match &self.r#match {
            OneOrSeveral::One(one) => std::slice::from_ref(one),
            OneOrSeveral::Several(several) => several,
        }
    }
}

/// Checks what can be checked without reading the expressions.
///
/// # Errors
/// Names the hook and the key.
pub fn check_hooks(hooks: &[HookConfig]) -> anyhow::Result<()> {
    for (at, hook) in hooks.iter().enumerate() {
        let path = hook.path.as_str();
        let is_name = path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        ensure!(
            is_name && (1..=PATH_BYTES_MAX).contains(&path.len()),
            "hook {}: path must be 1 to {PATH_BYTES_MAX} small letters, digits and `-`",
            at + 1
        );
        ensure!(!TAKEN.contains(&path), "hook {path}: there is one of this name already");
        ensure!(!hooks[..at].iter().any(|other| other.path == path), "hook {path}: is there twice");
        ensure!(
            !hook.title.trim().is_empty(),
            "hook {path}: title is missing: people have to be told something"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_has_a_name_of_its_own_and_a_title() {
        let hook = |path: &str, title: &str| HookConfig {
            path: path.into(),
            title: title.into(),
            ..HookConfig::default()
        };
        for (hooks, expected) in [
            (vec![hook("acme", "name"), hook("acme-2", "name")], None),
            (vec![hook("", "name")], Some("hook 1: path must be")),
            (vec![hook("Acme/x", "name")], Some("hook 1: path must be")),
            (vec![hook("grafana", "name")], Some("hook grafana: there is one")),
            (vec![hook("acme", "name"), hook("acme", "name")], Some("hook acme: is there twice")),
            (vec![hook("acme", " ")], Some("hook acme: title is missing")),
        ] {
            let found = check_hooks(&hooks).err().map(|error| error.to_string());
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) if found.starts_with(expected) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
