//! What Datadog's transitions and titles lead to, in tables.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // What is tried is handed over.

use super::*;
use crate::hooks::report::Heard;

fn report(payload: Value) -> Report {
    let mut post = read(&payload, Timestamp::UNIX_EPOCH).unwrap();
    match post.heard.remove(0).1 {
        Heard::Report(report) => *report,
        other => panic!("{other:?}"),
    }
}

/// <https://docs.datadoghq.com/integrations/webhooks/#usage>, under `$ALERT_TRANSITION`, and what titles have in their place.
#[test]
fn every_transition_is_read() {
    use Severity::{Critical, Warning};
    use Status::{Acknowledged, Firing, Resolved};
    for (transition, status, severity) in [
        ("Triggered", Firing, Critical),
        ("Re-Triggered", Firing, Critical),
        ("Alert", Firing, Critical),
        ("Warn", Firing, Warning),
        ("Re-Warn", Firing, Warning),
        ("No Data", Firing, Warning),
        ("Re-No Data", Firing, Warning),
        ("NO DATA", Firing, Warning),
        ("Renotify", Firing, Warning),
        ("Alert to Warn", Firing, Warning),
        ("Recovered", Resolved, Warning),
        ("RECOVERED", Resolved, Warning),
        ("Recovery", Resolved, Warning),
        ("Warn Recovered", Resolved, Warning),
        ("No Data Recovered", Resolved, Warning),
        ("Warn Recovery", Resolved, Warning),
        ("Re-Recovered", Resolved, Warning),
        ("Alert -> OK", Resolved, Warning),
        ("Warn to OK", Resolved, Warning),
        ("OK", Resolved, Warning),
        ("Resolved", Resolved, Warning),
        ("RESOLVED", Resolved, Warning),
        ("Acknowledged", Acknowledged, Warning),
    ] {
        let variable = report(json!({"alert_id": "1", "title": "CPU", "alert_transition": transition}));
        assert_eq!((variable.status, variable.severity), (status, severity), "the variable {transition}");
        let tag = report(json!({"title": format!("[{transition}] CPU")}));
        assert_eq!((tag.status, tag.severity), (status, severity), "the tag {transition}");
        let scoped = report(json!({"title": format!("[P1] [{transition} on {{host:a}}] CPU")}));
        assert_eq!((scoped.status, scoped.severity), (status, severity), "the tag {transition} with a scope");
    }
    let unknown =
        report(json!({"alert_id": "1", "title": "[Recovered] CPU", "alert_transition": "Exploded"}));
    assert_eq!(unknown.status, Firing, "what nobody knows goes on");
}

#[test]
fn a_priority_is_read_by_datadogs_own_scale() {
    for (priority, expected) in [
        (json!("P1"), Severity::Critical),
        (json!(1), Severity::Critical),
        (json!("2"), Severity::Warning),
        (json!(3), Severity::Warning),
        (json!(4), Severity::Info),
        (json!("5"), Severity::Info),
        (json!("$ALERT_PRIORITY"), Severity::Critical),
    ] {
        let payload = json!({"title": "[Triggered] CPU", "alert_priority": priority});
        assert_eq!(report(payload).severity, expected, "{priority}");
    }
}

#[test]
fn an_alert_is_known_by_what_its_title_says_without_the_transition() {
    let fired = report(json!({"title": "[Triggered] CPU is high"}));
    for (title, is_same) in [
        ("[Recovered] CPU is high", true),
        ("[RESOLVED] CPU is high", true),
        ("[P1] [Re-Triggered] CPU is high", true),
        ("[Monitor Alert] Recovered: CPU is high", true),
        ("[FIRING:2] CPU is high", true),
        ("[RESOLVED] CPU is low", false),
        ("[Recovered on {host:b}] CPU is high", false),
        ("[shop] CPU is high", false),
    ] {
        assert_eq!(report(json!({"title": title})).key == fired.key, is_same, "{title}");
    }
    let fired = report(json!({"title": "[Triggered on {host:b}] CPU is high", "org": {"id": "1"}}));
    let ended = report(json!({"title": "[Recovered on {host:b}] CPU is high", "org": {"id": 1}}));
    assert_eq!(ended.key, fired.key);
}

#[test]
fn an_end_needs_nothing_but_the_key() {
    let org = json!({"id": "11023"});
    for (why, fired, ended) in [
        (
            "the cycle",
            json!({"alert_cycle_key": "c", "alert_id": "1", "title": "CPU", "org": org}),
            json!({"alert_cycle_key": "c"}),
        ),
        (
            "what Datadog aggregates by",
            json!({"aggreg_key": "g", "title": "CPU", "org": org}),
            json!({"aggreg_key": "g", "title": null}),
        ),
        (
            "the monitor",
            json!({"alert_id": 1, "title": "CPU", "org": org}),
            json!({"alert_id": "1", "title": "$EVENT_TITLE"}),
        ),
        (
            "the monitor and its scope",
            json!({"alert_id": "1", "alert_scope": "host:a", "title": "CPU"}),
            json!({"alert_id": "1", "alert_scope": "host:a"}),
        ),
    ] {
        let mut ended = ended;
        ended["alert_transition"] = json!("Recovered");
        let (fired, ended) = (report(fired), report(ended));
        assert_eq!((ended.key, ended.status, ended.is_change), (fired.key, Status::Resolved, true), "{why}");
    }
    let nothing = read(&json!({"alert_transition": "Recovered"}), Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(nothing.field.as_deref(), Some("title"), "nothing says which alert");
}
