//! What expressions make of payloads, in tables.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // What is tried is handed over.

use serde_json::json;

use super::*;
use crate::hooks::report::Heard;

fn hook(change: impl FnOnce(&mut HookConfig)) -> HookConfig {
    let mut hook = HookConfig { path: "acme".into(), title: "name".into(), ..HookConfig::default() };
    change(&mut hook);
    hook
}

fn report(hook: HookConfig, payload: &Value) -> Report {
    let hooks = ConfiguredHooks::new(std::slice::from_ref(&hook)).unwrap();
    let mut post = hooks.read(&hook, payload).unwrap();
    match post.heard.remove(0).1 {
        Heard::Report(report) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_is_an_expression_or_a_template() {
    let payload = json!({"name": "Disk full", "host": {"name": "db-1"}, "tags": ["a", "b"], "n": 7, "none": null, "deep": {"x": [1]}});
    for (text, expected) in [
        ("name", "Disk full"),
        ("name ~ ' on ' ~ host.name", "Disk full on db-1"),
        ("{{ name }} on {{ host.name }}", "Disk full on db-1"),
        ("{% if n > 5 %}many{% endif %}", "many"),
        ("payload.host.name", "db-1"),
        ("tags | join(', ')", "a, b"),
        ("n", "7"),
        ("n > 5", "true"),
        ("none or 'nothing'", "nothing"),
        ("a.b.c or 'nothing'", "nothing"),
        // What finds nothing, is no text, or fails.
        ("absent", "An alert of acme"),
        ("none", "An alert of acme"),
        ("tags", "An alert of acme"),
        ("name | int", "An alert of acme"),
        ("{% for x in range(100000) %}{{ x }}{% endfor %}", "An alert of acme"),
    ] {
        let hook = hook(|hook| hook.title = text.into());
        assert_eq!(report(hook, &payload).title, expected, "{text}");
    }
}

#[test]
fn an_expression_that_fails_leaves_its_field_out_with_a_note() {
    let hook = hook(|hook| {
        hook.body = Some("name | int".into());
        hook.severity = Some("level".into());
        hook.status = Some("state".into());
        hook.url = Some("link".into());
        hook.audience.users = Some("owners".into());
        hook.audience.everyone = Some("loud".into());
    });
    let payload = json!({"name": "x", "level": "P1", "state": "closed", "link": "ftp://x", "owners": ["ana", 7], "loud": true});
    let report = report(hook, &payload);
    assert_eq!(
        (report.body, report.url, report.severity, report.status),
        (None, None, Severity::Critical, Status::Resolved)
    );
    assert_eq!(report.notes, ["the expression `body` of the hook failed"]);
    assert_eq!((report.labels["watchbell_users"].as_str(), report.named.everyone), ("ana,7", true));
}

#[test]
fn two_alerts_never_become_one() {
    let of = |hook: &HookConfig, payload: Value| report(hook.clone(), &payload).key;
    let with_id = hook(|hook| hook.id = Some("id".into()));
    assert_eq!(of(&with_id, json!({"id": 1, "name": "a"})), of(&with_id, json!({"id": "1", "name": "b"})));
    assert_ne!(of(&with_id, json!({"id": 1, "name": "a"})), of(&with_id, json!({"id": 2, "name": "a"})));
    let other = HookConfig { path: "other".into(), ..with_id.clone() };
    assert_ne!(of(&with_id, json!({"id": 1, "name": "a"})), of(&other, json!({"id": 1, "name": "a"})));
    let with_labels = hook(|hook| {
        hook.id = Some("id".into());
        hook.labels.insert("host".into(), "host".into());
    });
    let on = |host: &str, name: &str| of(&with_labels, json!({"id": null, "host": host, "name": name}));
    assert_eq!(on("a", "x"), on("a", "x"));
    assert_ne!(on("a", "x"), on("b", "x"));
    assert_eq!(of(&hook(|_| {}), json!({"name": "x"})), Key::Fresh, "it never ends");
}

#[test]
fn an_end_is_known_as_what_it_ends() {
    let hook = |id: bool, label: bool| {
        hook(|hook| {
            hook.id = id.then(|| "id".into());
            hook.status = Some("state".into());
            hook.audience.groups = Some("team".into());
            if label {
                hook.labels.insert("host".into(), "host".into());
            }
        })
    };
    let begun = json!({"id": 1, "host": "a", "name": "Disk full", "team": "ops", "state": "firing"});
    for (why, hook, end, is_same) in [
        (
            "by its labels, with another title",
            hook(false, true),
            json!({"host": "a", "name": "Disk is fine"}),
            true,
        ),
        ("by its labels, without a title", hook(false, true), json!({"host": "a"}), true),
        ("by its labels, for others", hook(false, true), json!({"host": "a", "team": "db"}), true),
        ("other labels", hook(false, true), json!({"host": "b", "name": "Disk full"}), false),
        ("by its id, without a title", hook(true, false), json!({"id": 1}), true),
        ("by its title", hook(false, false), json!({"name": "Disk full"}), true),
        ("another title", hook(false, false), json!({"name": "Disk is fine", "team": "ops"}), false),
        ("neither", hook(false, false), json!({}), false),
    ] {
        let mut end = end;
        end["state"] = json!("resolved");
        let (begun, end) = (report(hook.clone(), &begun), report(hook, &end));
        assert_eq!((begun.key == end.key, end.status), (is_same, Status::Resolved), "{why}");
    }
}

#[test]
fn an_expression_that_cannot_be_read_is_refused_with_its_key() {
    for (change, expected) in [
        (hook(|hook| hook.title = "a +".into()), "hook acme: title cannot be read"),
        (hook(|hook| hook.body = Some("{{ a".into())), "hook acme: body cannot be read"),
        (hook(|hook| drop(hook.labels.insert("x".into(), "(".into()))), "hook acme: labels.x cannot be read"),
        (hook(|hook| hook.audience.groups = Some("|".into())), "hook acme: audience.groups cannot be read"),
        (hook(|hook| hook.tenant = Some("a b".into())), "hook acme"),
    ] {
        let error = format!("{:#}", ConfiguredHooks::new(&[change]).unwrap_err());
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_hook_of_one_tenant_is_not_there_for_another() {
    let hooks = ConfiguredHooks::new(&[hook(|hook| hook.tenant = Some("acme".into()))]).unwrap();
    let tenant = |name: &str| Tenant::parse(name).unwrap();
    assert!(hooks.get("acme", &tenant("acme")).is_some());
    assert!(hooks.get("acme", &tenant("globex")).is_none());
}
