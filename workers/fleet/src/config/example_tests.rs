//! `watchbell.example.toml` says what the code says: every key, its default, and the description that the code has of it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

const EXAMPLE: &str = include_str!("../../../../watchbell.example.toml");
/// Where settings are declared.
const DECLARATIONS: [&str; 23] = [
    include_str!("../../../../src/runtime/config.rs"),
    include_str!("../../../../src/runtime/escalation_config.rs"),
    include_str!("../../../../src/runtime/outcomes_config.rs"),
    include_str!("../../../../src/runtime/producers_config.rs"),
    include_str!("../../../../src/runtime/retention_config.rs"),
    include_str!("../../../../src/runtime/tracing_config.rs"),
    include_str!("../../../../src/runtime/webpush_config.rs"),
    include_str!("../../../ingest/src/config.rs"),
    include_str!("../../../ingest/src/hooks/config.rs"),
    include_str!("../../../dispatch/src/config.rs"),
    include_str!("../../../socket/src/config.rs"),
    include_str!("../../../fallback/src/config.rs"),
    include_str!("../../../fallback/src/channel/push/config.rs"),
    include_str!("../../../fallback/src/channel/push/detail.rs"),
    include_str!("../../../fallback/src/channel/email/config.rs"),
    include_str!("../../../fallback/src/channel/webhook/config.rs"),
    include_str!("../../../fallback/src/channel/slack/config.rs"),
    include_str!("../../../fallback/src/channel/telegram/config.rs"),
    include_str!("../../../fallback/src/channel/sms/config.rs"),
    include_str!("../../../fallback/src/channel/sections.rs"),
    include_str!("../../../simulator/src/config.rs"),
    include_str!("../console/config.rs"),
    include_str!("../oidc/config.rs"),
];
/// Sections that are there only when somebody writes them: what stands there is an example, and not a default.
const WRITTEN: [&str; 16] = [
    "push",
    "apns",
    "fcm",
    "webpush",
    "email",
    "webhook",
    "slack",
    "sms",
    "telegram",
    "mount",
    "hook",
    "route",
    "policies",
    "policy_for",
    "tenants",
    "console",
];

/// Each of these stands in place of others: Apple is told by a key or by a certificate, never by both.
pub(super) const ALTERNATIVES: [&str; 4] =
    ["certificate", "api_key", "api_key_secret", "messaging_service_sid"];

/// A line that would be a setting or a section without its `#`. Prose has a blank after it.
fn setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
}

/// The example with every setting switched on, but for those that `skip` names.
pub(super) fn switched_on(skip: &[&str]) -> String {
    let is_kept = |line: &&str| {
        let key = setting(line).and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
        !key.is_some_and(|key| skip.contains(&key))
    };
    EXAMPLE.lines().filter(is_kept).map(|line| format!("{}\n", setting(line).unwrap_or(line))).collect()
}

fn read(toml: &str) -> FleetConfig {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(&file, toml).unwrap();
    FleetConfig::read(Some(&file), []).unwrap()
}

fn as_json(config: &FleetConfig) -> Value {
    serde_json::to_value(config).unwrap()
}

#[test]
fn as_it_stands_it_changes_nothing() {
    assert_eq!(as_json(&read(EXAMPLE)), as_json(&FleetConfig::default()));
}

#[test]
fn what_it_shows_is_a_configuration_that_holds_together() {
    let config = read(&switched_on(&ALTERNATIVES));
    config.check().unwrap();
}

#[test]
fn every_key_is_there_with_its_default() {
    let all = as_json(&read(&switched_on(&[])));
    let written: Value = toml::from_str(&switched_on(&[])).unwrap();
    let defaults = as_json(&FleetConfig::default());
    let mut missing = Vec::new();
    for (name, section) in all.as_object().unwrap() {
        lacks(name, section, &written[name], &mut missing);
        if WRITTEN.contains(&name.as_str()) {
            continue;
        }
        for (key, value) in section.as_object().unwrap() {
            // A list of sections has no default: what stands there is an example.
            if value.as_array().is_some_and(|list| list.iter().any(Value::is_object)) {
                continue;
            }
            let (default, within) = (&defaults[name][key], format!("{name}.{key}"));
            match value.as_object().filter(|_| EXAMPLE.lines().any(|line| line == format!("[{within}]"))) {
                Some(section) => {
                    for (key, value) in section {
                        stands_with_its_default(&within, key, value, &default[key]);
                    }
                }
                None => stands_with_its_default(name, key, value, default),
            }
        }
    }
    assert_eq!(missing, [""; 0], "watchbell.example.toml lacks keys");
}

fn stands_with_its_default(section: &str, key: &str, value: &Value, default: &Value) {
    let line = line_of(section, key);
    let says_not_set = line.ends_with("  # not set");
    assert_eq!(says_not_set, default.is_null(), "{section}.{key}: {line}");
    assert!(says_not_set || value == default, "{section}.{key} is {default} by default, not {value}");
}

/// Gathers the keys of `read` that `written` does not have. A tenant's policies have the keys of everybody's.
fn lacks(path: &str, read: &Value, written: &Value, missing: &mut Vec<String>) {
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            for (key, value) in read {
                let path = format!("{path}.{key}");
                match written.get(key) {
                    Some(written) => lacks(&path, value, written, missing),
                    None if path.starts_with("tenants.") => {}
                    None => missing.push(path),
                }
            }
        }
        (Value::Array(read), Value::Array(written)) => {
            for (at, (read, written)) in read.iter().zip(written).enumerate() {
                lacks(&format!("{path}[{at}]"), read, written, missing);
            }
        }
        _ => {}
    }
}

/// The line of a key in a section.
fn line_of(section: &str, key: &str) -> &'static str {
    let (head, start) = (format!("[{section}]"), format!("#{key} = "));
    let mut lines = EXAMPLE.lines().skip_while(|line| *line != head);
    lines.find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{section}.{key}"))
}

#[test]
fn each_key_is_described_as_in_the_code() {
    let documented = documentation();
    let (mut prose, mut keys) = (String::new(), 0);
    let is_of_a_tenant = |head: &str| head.starts_with("[tenants.");
    let mut head = "";
    for line in EXAMPLE.lines() {
        match setting(line).and_then(|line| line.split_once(" = ")) {
            Some((key, _)) if !is_of_a_tenant(head) => {
                keys += 1;
                let known = documented.get(key).unwrap_or_else(|| panic!("{key} is documented nowhere"));
                let said = known.iter().any(|doc| doc.trim_end_matches('.') == prose.trim_end_matches('.'));
                assert!(prose.ends_with('.') && said, "{key} of {head}: {prose:?} is none of {known:?}");
                prose.clear();
            }
            Some(_) => {}
            None => match (setting(line), line.strip_prefix("# ")) {
                (Some(section), _) => {
                    head = section;
                    prose.clear();
                }
                (None, Some(words)) => {
                    let blank = if prose.is_empty() { "" } else { " " };
                    prose.push_str(&format!("{blank}{words}"));
                }
                (None, None) => {
                    head = if line.starts_with('[') { line } else { head };
                    prose.clear();
                }
            },
        }
    }
    assert!(keys > 100, "only {keys} keys were found");
}

/// What the code says about fields, by their names: one name may stand in several sections.
fn documentation() -> BTreeMap<String, BTreeSet<String>> {
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line_of_code in DECLARATIONS {
        let mut doc: Vec<&str> = Vec::new();
        for line in line_of_code.lines().map(str::trim) {
            let field = line.strip_prefix("pub ").unwrap_or(line).split_once(": ").map(|(name, _)| name);
            match (line.strip_prefix("///"), field) {
                (Some(words), _) => doc.push(words.trim()),
                (None, Some(name)) if !line.starts_with("#[") => {
                    let name = name.strip_prefix("r#").unwrap_or(name).to_owned();
                    documented.entry(name).or_default().insert(doc.join(" "));
                    doc.clear();
                }
                _ if line.starts_with("#[") => {}
                _ => doc.clear(),
            }
        }
    }
    documented
}
