//! `[[hook]]`: another product's alerts, read by expressions that an operator wrote.
//!
//! ```toml
//! [[hook]]
//! path = "acme"
//! each = "incidents"
//! id = "item.number"
//! title = "item.name ~ ' on ' ~ item.host"
//! severity = "{1: 'critical', 2: 'warning'}[item.prio]"
//! status = "item.state"
//! labels = {team = "item.team", env = "environment"}
//! audience = {groups = "item.team"}
//! ```
//!
//! What holds here:
//! - Names stand for the fields of the posted JSON; `payload` is all of it, `item` one of `each`. A value with `{{` or
//!   `{%` in it is a template, any other an expression.
//! - An expression that fails on a payload leaves its field out, with a note: people are told in any case.
//! - Expressions can neither run for ever nor reach anything but the payload.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchbell::{
    domain::{Severity, Status, Tenant},
    wire::Problem,
};

use super::{
    config::HookConfig,
    fit, lenient,
    report::{Key, Post, Report, name_for_list},
};

/// What ids are made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x1e9b_46d0_53f7_4b0c_8a39_c6e2_704d_9f15);
/// Steps that one expression may take.
const FUEL: u64 = 20_000;

/// The configured hooks by their path, checked.
#[derive(Debug)]
pub struct ConfiguredHooks {
    hooks: BTreeMap<String, (Option<Tenant>, HookConfig)>,
    environment: Environment<'static>,
}

impl Default for ConfiguredHooks {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        Self { hooks: BTreeMap::new(), environment }
    }
}

impl ConfiguredHooks {
    /// Checks the expressions of a configuration.
    ///
    /// # Errors
    /// Names the hook and the key.
    pub fn new(sections: &[HookConfig]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for section in sections {
            let at = || format!("hook {}", section.path);
            let tenant = section.tenant.as_deref().map(Tenant::parse).transpose().with_context(at)?;
            for (key, text) in expressions(section) {
                all.check(text).map_err(|error| anyhow!("{key} cannot be read: {error}")).with_context(at)?;
            }
            all.hooks.insert(section.path.clone(), (tenant, section.clone()));
        }
        Ok(all)
    }

    fn check(&self, text: &str) -> Result<(), minijinja::Error> {
        match is_template(text) {
            true => self.environment.template_from_str(text).map(drop),
            false => self.environment.compile_expression(text).map(drop),
        }
    }

    /// The hook of this path, for this tenant.
    pub fn get(&self, path: &str, tenant: &Tenant) -> Option<&HookConfig> {
        let (only, hook) = self.hooks.get(path)?;
        only.as_ref().is_none_or(|only| only == tenant).then_some(hook)
    }

    /// What was posted to a hook.
    ///
    /// # Errors
    /// 422 when `each` finds no list.
    pub fn read(&self, hook: &HookConfig, payload: &Value) -> Result<Post, Problem> {
        let Some(each) = &hook.each else {
            return Ok(Post::one(self.report(hook, payload, None)));
        };
        let items = match self.value(each, &context(payload, None)) {
            Ok(Value::Array(items)) => items,
            Ok(Value::Null) | Err(_) => {
                return Err(Problem::invalid(
                    "each",
                    "finds no list in what was posted: see [[hook]] of this address",
                ));
            }
            Ok(one) => vec![one],
        };
        let heard =
            items.iter().map(|item| self.report(hook, payload, Some(item)).into()).enumerate().collect();
        let more = Some(Key::of("configured", ["more", hook.path.as_str()]));
        Ok(Post { heard, more, ..Post::default() })
    }

    fn report(&self, hook: &HookConfig, payload: &Value, item: Option<&Value>) -> Report {
        let context = context(payload, item);
        let mut notes = Vec::new();
        let mut value = |key: &str, text: Option<&String>| {
            let value = self.value(text?, &context);
            value.inspect_err(|_| notes.push(format!("the expression `{key}` of the hook failed"))).ok()
        };
        let id = value("id", hook.id.as_ref()).and_then(|id| lenient::text_of(&id));
        let title = value("title", Some(&hook.title)).and_then(|title| lenient::text_of(&title));
        let body = value("body", hook.body.as_ref()).and_then(|body| lenient::text_of(&body));
        let severity = value("severity", hook.severity.as_ref()).and_then(|word| lenient::text_of(&word));
        let status = value("status", hook.status.as_ref()).and_then(|word| lenient::text_of(&word));
        let url = value("url", hook.url.as_ref()).and_then(|url| lenient::text_of(&url));
        let occurred_at =
            value("occurred_at", hook.occurred_at.as_ref()).and_then(|time| lenient::time_of(&time));
        let mut labels = BTreeMap::new();
        for (name, text) in &hook.labels {
            if let Some(text) =
                value(&format!("labels.{name}"), Some(text)).and_then(|text| lenient::text_of(&text))
            {
                labels.insert(name.clone(), text);
            }
        }
        let key = key_of(hook, id.as_deref(), &labels, title.as_deref());
        for (label, key, text) in [
            ("watchbell_users", "audience.users", &hook.audience.users),
            ("watchbell_groups", "audience.groups", &hook.audience.groups),
        ] {
            if let Some(names) = value(key, text.as_ref()).and_then(|names| names_of(&names)) {
                labels.insert(label.to_owned(), names);
            }
        }
        let everyone = value("audience.everyone", hook.audience.everyone.as_ref())
            .is_some_and(|is| is == Value::Bool(true));
        let status = status.map_or(Status::Firing, |word| lenient::status(&word));
        if title.is_none() && notes.is_empty() && status == Status::Firing {
            notes.push("the expression `title` of the hook found nothing".into());
        }
        // An end needs no more than the id: what is stored keeps its text.
        let is_change = status != Status::Firing && title.is_none();
        let mut report = Report::new(
            key,
            status,
            severity.map_or(Severity::Warning, |word| lenient::severity(&word)),
            title.unwrap_or_else(|| format!("An alert of {}", hook.path)),
        );
        report.is_change = is_change;
        report.named.everyone = everyone;
        report.body = body;
        report.url = fit::url(url);
        report.source = Some(hook.path.clone());
        report.occurred_at = occurred_at;
        report.labels = labels;
        report.notes = notes;
        report
    }

    fn value(&self, text: &str, context: &minijinja::Value) -> Result<Value, minijinja::Error> {
        if is_template(text) {
            return self.environment.render_str(text, context).map(Value::String);
        }
        let value = self.environment.compile_expression(text)?.eval(context)?;
        Ok(serde_json::to_value(&value).unwrap_or_default())
    }
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Every expression of a hook by its key.
fn expressions(hook: &HookConfig) -> Vec<(String, &String)> {
    let named = [
        ("each", hook.each.as_ref()),
        ("id", hook.id.as_ref()),
        ("title", Some(&hook.title)),
        ("body", hook.body.as_ref()),
        ("severity", hook.severity.as_ref()),
        ("status", hook.status.as_ref()),
        ("url", hook.url.as_ref()),
        ("occurred_at", hook.occurred_at.as_ref()),
        ("audience.users", hook.audience.users.as_ref()),
        ("audience.groups", hook.audience.groups.as_ref()),
        ("audience.everyone", hook.audience.everyone.as_ref()),
    ];
    let labels = hook.labels.iter().map(|(name, text)| (format!("labels.{name}"), text));
    named.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).chain(labels).collect()
}

/// What names stand for.
fn context(payload: &Value, item: Option<&Value>) -> minijinja::Value {
    let mut names: Map<String, Value> = payload.as_object().cloned().unwrap_or_default();
    names.insert("payload".into(), payload.clone());
    if let Some(item) = item {
        names.insert("item".into(), item.clone());
    }
    minijinja::Value::from(Serde(names))
}

fn names_of(value: &Value) -> Option<String> {
    match value {
        Value::Array(names) => {
            let names = names.iter().filter_map(lenient::text_of);
            Some(names.map(|name| name_for_list(&name)).collect::<Vec<_>>().join(","))
        }
        one => lenient::text_of(one),
    }
}

/// By its id; where there is none, by its labels, whom it is for not among them; where there are none either, by its title.
/// What has only a title and never says that it is over is one of its own each time.
fn key_of(
    hook: &HookConfig,
    id: Option<&str>,
    labels: &BTreeMap<String, String>,
    title: Option<&str>,
) -> Key {
    let path = hook.path.as_str();
    match (id, title) {
        // Two products count from 1.
        (Some(id), _) => Key::named(&format!("{path}:{id}"), &NAMESPACE),
        (None, _) if !labels.is_empty() => {
            Key::of("configured", ["labels", path, json!(labels).to_string().as_str()])
        }
        (None, Some(title)) if hook.status.is_some() => Key::of("configured", ["title", path, title]),
        (None, _) => Key::Fresh,
    }
}

#[cfg(test)]
#[path = "configured_tests.rs"]
mod tests;
