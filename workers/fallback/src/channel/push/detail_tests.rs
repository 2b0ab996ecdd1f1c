//! Tests of `detail`: which rule holds, and what it leaves.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use watchbell::domain::{BodyFormat, Status, Timestamp};

use super::*;
use crate::channel::message::Button;

fn section(written: Value) -> PushSection {
    let section: PushSection = serde_json::from_value(written).unwrap();
    section.check().unwrap();
    section
}

fn alert(collapse_key: &str) -> AlertContent {
    let button = Button { id: "ok".into(), title: "OK?".into(), link: None, answer: Some("yes".into()) };
    AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "HIV test".into(),
        body: Some("positive".into()),
        body_format: BodyFormat::Text,
        url: Some("https://example.org/hiv".into()),
        image: Some("https://example.org/hiv.png".into()),
        actions: vec![button],
        answers_at: Some("https://alerts.example/v1/answers/t".into()),
        is_mandatory: false,
        is_to_acknowledge: false,
        severity: Severity::Critical,
        status: Status::Firing,
        data: json!({"sealed": "q83vEg==", "plain": "positive"}).as_object().unwrap().clone(),
        category: Some("lab".into()),
        collapse_key: collapse_key.into(),
        group_key: None,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 1,
    }
}

#[test]
fn the_narrowest_rule_holds() {
    use PushDetail::{Full, None, Title};
    let all = section(json!({
        "content": "title",
        "content_by_severity": {"critical": "none"},
        "tenants": {
            "acme": {"content": "full", "content_by_severity": {"info": "none"}},
            "initech": {"content_by_severity": {"critical": "title"}},
        },
    }));
    for (why, tenant, severity, expected) in [
        ("everybody's", "globex", Severity::Warning, Title),
        ("everybody's of that severity", "globex", Severity::Critical, None),
        ("the tenant's", "acme", Severity::Warning, Full),
        ("the tenant's before everybody's of that severity", "acme", Severity::Critical, Full),
        ("the tenant's of that severity", "acme", Severity::Info, None),
        ("the same, where the tenant has nothing else", "initech", Severity::Critical, Title),
        ("what it has nothing of is everybody's", "initech", Severity::Info, Title),
    ] {
        assert_eq!(all.detail(tenant, severity), expected, "{why}");
    }
    assert_eq!(PushSection::default().detail("acme", Severity::Critical), Full);
}

#[test]
fn what_is_left_of_an_alert() {
    let rule = |content: &str| section(json!({"content": content, "data": ["sealed"]}));
    for (content, title, has_body, has_buttons) in [
        ("full", "HIV test", true, true),
        ("title", "HIV test", false, true),
        ("none", "Neue Meldung", false, false),
    ] {
        let left = rule(content).applied(alert("a-1"), Some("de-AT"));
        assert_eq!(left.title, title, "{content}");
        assert_eq!((left.body.is_some(), left.image.is_some()), (has_body, has_body), "{content}");
        assert_eq!((!left.actions.is_empty(), left.url.is_some()), (has_buttons, has_buttons), "{content}");
        assert_eq!(
            (left.answers_at.is_some(), left.category.is_some()),
            (has_buttons, has_buttons),
            "{content}"
        );
        assert_eq!(json!(left.data), json!({"sealed": "q83vEg=="}), "{content}: untouched, and nothing else");
        assert_eq!((&*left.alert, &*left.user, left.unread), ("a-1", "ana", 1), "{content}");
    }
    let keys = |key: &str| rule("none").applied(alert(key), None).collapse_key;
    assert_eq!(keys("a-1"), "a-1");
    assert!(!keys("hiv of ana").contains("hiv"));
    assert_eq!(keys("hiv of ana"), keys("hiv of ana"), "a later push replaces");
}

#[test]
fn a_rule_that_names_nothing_is_refused() {
    for (written, field) in [
        (json!({"content_by_severity": {"fatal": "none"}}), "content_by_severity.fatal"),
        (json!({"tenants": {"a b": {"content": "none"}}}), "tenants.a b"),
        (json!({"tenants": {"acme": {"content_by_severity": {"fatal": "none"}}}}), "tenants.acme"),
    ] {
        let section: PushSection = serde_json::from_value(written).unwrap();
        assert!(format!("{:#}", section.check().unwrap_err()).contains(field), "{field}");
    }
}
