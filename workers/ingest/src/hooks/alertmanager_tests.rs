//! What one alert of Alertmanager says, in tables.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // What is tried is handed over.

use super::*;

fn report(one: Value) -> Report {
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    let mut post = read(&json!({"version": "4", "alerts": [one]}), now).unwrap();
    match post.heard.remove(0).1 {
        Heard::Report(report) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_title_is_the_first_text_there_is() {
    for (why, labels, annotations, expected) in [
        ("the summary", json!({"alertname": "N"}), json!({"summary": "S", "title": "T"}), "S"),
        ("the title", json!({"alertname": "N"}), json!({"summary": " ", "title": "T"}), "T"),
        ("the name", json!({"alertname": "N"}), json!({}), "N"),
        (
            "the rule behind Grafana's own alert",
            json!({"alertname": "DatasourceNoData", "rulename": "R"}),
            json!({}),
            "R",
        ),
        ("nothing", json!({}), json!({}), NAMELESS),
        ("nothing at all", Value::Null, Value::Null, NAMELESS),
    ] {
        assert_eq!(report(json!({"labels": labels, "annotations": annotations})).title, expected, "{why}");
    }
}

#[test]
fn a_severity_is_the_nearest() {
    for (labels, expected) in [
        (json!({"severity": "critical"}), Severity::Critical),
        (json!({"severity": "page"}), Severity::Critical),
        (json!({"severity": "P1"}), Severity::Critical),
        (json!({"severity": "none"}), Severity::Info),
        (json!({"severity": "banana"}), Severity::Warning),
        (json!({"priority": "high"}), Severity::Critical),
        (json!({"severity": null}), Severity::Warning),
        (json!({}), Severity::Warning),
    ] {
        assert_eq!(report(json!({"labels": labels})).severity, expected, "{labels}");
    }
}

#[test]
fn an_alert_is_over_when_it_says_so_or_when_its_end_has_come() {
    for (why, status, ends_at, expected) in [
        ("fires", json!("firing"), json!("0001-01-01T00:00:00Z"), Status::Firing),
        ("fires, in capitals", json!("FIRING"), Value::Null, Status::Firing),
        ("is over", json!("resolved"), json!("2026-01-01T01:00:00Z"), Status::Resolved),
        ("no word, year 1", Value::Null, json!("0001-01-01T00:00:00Z"), Status::Firing),
        ("no word, an end that has come", json!(""), json!("2026-01-02T00:00:00Z"), Status::Resolved),
        ("no word, an end to come", json!(""), json!("2026-01-02T00:00:01Z"), Status::Firing),
        ("no word, no time", json!(""), json!(""), Status::Firing),
    ] {
        assert_eq!(report(json!({"status": status, "endsAt": ends_at})).status, expected, "{why}");
    }
}

#[test]
fn the_worst_alert_still_fits() {
    let control = "\u{1}".repeat(100_000);
    let labels: serde_json::Map<String, Value> =
        (0..100).map(|n| (format!("{n:03}{}", "\u{1}".repeat(1_000)), json!(control))).collect();
    let annotations = json!({"summary": control, "description": control, "runbook_url": format!("https://{}", "x".repeat(2_000))});
    let report = report(json!({"labels": labels, "annotations": annotations, "valueString": control}));
    let tenant = watchbell::domain::Tenant::parse("acme").unwrap();
    let id = watchbell::domain::AlertId::parse("a").unwrap();
    let to = watchbell::domain::Audience { everyone: true, ..Default::default() };
    let alert = report.alert(id, &tenant, to, &[], Timestamp::UNIX_EPOCH);
    let by = watchbell::domain::publication::Maker { key: "k".into(), own_alerts: false };
    assert!(crate::publish::ready(&alert, &by, None).is_ok());
}
