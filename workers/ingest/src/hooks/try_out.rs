//! What a sample would become, without anything being published: for `watchbell hook try` and
//! `watchbell config check --sample`.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchbell::{
    domain::{Severity, Status, Tenant, policy::Policies},
    runtime::http::not_json,
    wire::{Problem, without_bom},
};

use super::{
    ConfiguredHooks, HOOKS, Routes, accept, lenient, pagerduty,
    plan::{Outcome, Place, Planned, Telling, plan},
    query::Query,
    report::{Key, Post, Report},
    route::{self, Considered},
    shape,
};
use crate::NewId;

/// What a sample is read by.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The hooks that an operator wrote.
    pub hooks: &'a ConfiguredHooks,
    /// Whom alerts are for, by their labels.
    pub routes: &'a Routes,
    /// The policies that there are.
    pub policies: &'a Policies,
    /// Whose alerts these would be.
    pub tenant: &'a Tenant,
    /// What would stand behind the address: `users=ana&policy=critical`.
    pub query: &'a str,
    /// When it would be posted.
    pub now: Timestamp,
}

/// What a hook would make of a payload: for each alert the alert, its audience and policy, the notes, and the routes
/// that were looked at with their reasons.
///
/// # Errors
/// As the hook would answer; 404 for one that is not there.
pub fn try_out(name: &str, payload: &[u8], setting: Setting<'_>) -> Result<Vec<Value>, Problem> {
    Ok(planned(name, payload, setting)?.into_iter().filter_map(shown).collect())
}

/// The plan of a payload, as the hook itself would make it.
///
/// # Errors
/// As for [`try_out`].
pub fn planned(name: &str, payload: &[u8], setting: Setting<'_>) -> Result<Vec<Planned>, Problem> {
    let payload: Value = accept::read(without_bom(payload))?;
    let post = read(name, &payload, setting)?;
    let query = Query::read(setting.query, setting.tenant, setting.policies)?;
    let new_id: NewId = Arc::new(Uuid::nil);
    let place = Place {
        hook: name,
        tenant: setting.tenant,
        query: &query,
        routes: setting.routes,
        policies: setting.policies,
        new_id: &new_id,
        now: setting.now,
    };
    Ok(plan(post, place))
}

fn read(name: &str, payload: &Value, setting: Setting<'_>) -> Result<Post, Problem> {
    if let Some(hook) = HOOKS.iter().find(|hook| hook.name == name) {
        return hook.read(payload, setting.now);
    }
    if name == "pagerduty" {
        shape::expect(name, payload)?;
        let dedup_key = pagerduty::key_of(payload);
        return pagerduty::read(payload, dedup_key.as_deref(), || Uuid::nil().to_string())
            .map(|(_, report)| Post::one(report));
    }
    match setting.hooks.get(name, setting.tenant) {
        Some(hook) => setting.hooks.read(hook, payload),
        None => {
            let known: Vec<&str> = HOOKS.iter().map(|hook| hook.name).collect();
            Err(Problem::not_found(format!(
                "There is no hook of this name for this tenant: there are pagerduty, {} and those of [[hook]].",
                known.join(", ")
            )))
        }
    }
}

fn shown(planned: Planned) -> Option<Value> {
    Some(match planned.outcome {
        Outcome::Tell(telling) => {
            // The end of the one about the rest: there is no rest.
            if planned.index.is_none() && telling.needs_stored {
                return None;
            }
            of_telling(&telling)
        }
        Outcome::Counted(id) => json!({"counted": {"id": id.as_str()}}),
        Outcome::Passed(why) => json!({"passed": why}),
        Outcome::Refused(problem) => json!({"refused": {"field": problem.field, "detail": problem.detail}}),
    })
}

fn of_telling(telling: &Telling) -> Value {
    let Telling { alert, notes, considered, .. } = telling;
    let mut content: Map<String, Value> =
        serde_json::from_str(&watchbell::wire::content_of(alert)).unwrap_or_default();
    let users: Vec<&str> = alert.to.users.iter().map(|user| user.as_str()).collect();
    let groups: Vec<&str> = alert.to.groups.iter().map(|group| group.as_str()).collect();
    content.insert("to".into(), json!({"users": users, "groups": groups, "everyone": alert.to.everyone}));
    content.insert("policy".into(), json!(alert.policy));
    let routes: Vec<String> = considered.iter().map(line).collect();
    json!({"alert": content, "notes": notes, "routes": routes})
}

/// One route and why it does or does not match, for people.
fn line(considered: &Considered) -> String {
    let Considered { route, matched, why } = considered;
    format!("route {route}: {}, {why}", if *matched { "yes" } else { "no" })
}

/// Which route an alert takes that is written as producers write one, or is only its labels; a line for each route that
/// was looked at, and one for what follows.
///
/// # Errors
/// 400 when it is no JSON object.
pub fn routes_of_sample(sample: &[u8], setting: Setting<'_>) -> Result<Vec<String>, Problem> {
    let sample: Value = serde_json::from_slice(without_bom(sample)).map_err(|error| not_json(&error))?;
    if !sample.is_object() {
        return Err(Problem::malformed("A sample must be a JSON object: an alert, or its labels."));
    }
    let is_alert = sample.get("labels").is_some() || sample.get("title").is_some();
    let (labels, _): (BTreeMap<String, String>, usize) =
        lenient::texts(if is_alert { lenient::at(&sample, "labels") } else { Some(&sample) });
    let word = |name: &str| is_alert.then(|| lenient::text(&sample, name)).flatten();
    let severity = word("severity").or_else(|| labels.get("severity").cloned());
    let mut report = Report::new(
        Key::Fresh,
        word("status").map_or(Status::Firing, |word| lenient::status(&word)),
        severity.map_or(Severity::Warning, |word| lenient::severity(&word)),
        word("title").unwrap_or_default(),
    );
    report.source = word("source");
    report.category = word("category");
    report.labels = labels;
    let decision = setting.routes.decide(setting.tenant, &route::labels_of(&report, "sample"));
    let mut lines: Vec<String> = decision.considered.iter().map(line).collect();
    let named: Vec<String> = [
        decision.audience.users.iter().map(|user| format!("user {}", user.as_str())).collect::<Vec<_>>(),
        decision.audience.groups.iter().map(|group| format!("group {group}")).collect(),
        if decision.audience.everyone { vec!["everyone".to_owned()] } else { Vec::new() },
    ]
    .concat();
    let to = match named.is_empty() {
        true => "whom the address of the hook names".to_owned(),
        false => named.join(", "),
    };
    let policy =
        decision.policy.unwrap_or_else(|| "that of the address, its category or its severity".to_owned());
    lines.push(format!("so it is for {to}; its policy is {policy}"));
    Ok(lines)
}
