//! Tests of `fcm_message`: what Android and iOS are told, by severity and by how an app wants it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use watchbell::domain::{BodyFormat, Status};

use super::*;

fn alert(severity: Severity) -> AlertContent {
    AlertContent {
        alert: "disk-7".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        body_format: BodyFormat::Text,
        url: None,
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        severity,
        status: Status::Firing,
        data: json!({"sealed": "q83vEg=="}).as_object().unwrap().clone(),
        category: Some("disk".into()),
        collapse_key: "disk".into(),
        group_key: None,
        expires_at: Timestamp::from_second(1_000).unwrap(),
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 3,
    }
}

fn message(alert: AlertContent, style: &FcmStyle) -> Value {
    fcm_message(&PushContent::Alert(alert), None, style, Timestamp::from_second(900).unwrap()).unwrap()
}

/// What each severity is on both systems.
#[test]
fn a_severity_is_a_priority_a_channel_and_a_level() {
    let by_severity = BTreeMap::from([("critical".to_owned(), "urgent".to_owned())]);
    let style = FcmStyle {
        channel_id: Some("alerts".into()),
        channel_id_by_severity: by_severity,
        ..FcmStyle::default()
    };
    for (severity, priority, channel, level, relevance, sound) in [
        (Severity::Info, "NORMAL", "alerts", "active", 0.2, Value::Null),
        (Severity::Warning, "HIGH", "alerts", "active", 0.6, json!("default")),
        (Severity::Critical, "HIGH", "urgent", "time-sensitive", 1.0, json!("default")),
    ] {
        let told = message(alert(severity), &style);
        let (android, aps) = (&told["android"], &told["apns"]["payload"]["aps"]);
        assert_eq!(android["priority"], priority, "{severity}");
        assert_eq!(android["notification"]["channel_id"], channel, "{severity}");
        assert_eq!(aps["interruption-level"], level, "{severity}");
        assert_eq!(aps["relevance-score"], relevance, "{severity}");
        assert_eq!(aps["sound"], sound, "{severity}");
    }
    let plain = message(alert(Severity::Critical), &FcmStyle::default());
    assert_eq!(plain["android"]["notification"]["channel_id"], Value::Null, "the app's default one");
}

#[test]
fn an_ios_app_is_told_by_its_block() {
    let told = message(alert(Severity::Critical), &FcmStyle::default());
    let headers = json!({
        "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "1000", "apns-collapse-id": "disk",
    });
    assert_eq!(told["apns"]["headers"], headers);
    let aps = &told["apns"]["payload"]["aps"];
    assert_eq!(
        (&aps["badge"], &aps["thread-id"], &aps["mutable-content"]),
        (&json!(3), &json!("disk"), &json!(1))
    );
    assert_eq!(aps["alert"], Value::Null, "the text is that of `notification`");

    let withdrawal = PushContent::Withdrawal { user: "ana".into(), alerts: vec!["disk-7".into()], unread: 2 };
    let told = fcm_message(&withdrawal, None, &FcmStyle::default(), Timestamp::UNIX_EPOCH).unwrap();
    let headers = json!({"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "0"});
    assert_eq!(told["apns"], json!({"headers": headers, "payload": {"aps": {"content-available": 1}}}));
}

/// A message without a `notification` is the app's to show on Android; iOS shows it.
#[test]
fn a_data_only_message_wakes_the_app_and_has_all_that_it_shows() {
    let style = FcmStyle { data_only: true, channel_id: Some("alerts".into()), ..FcmStyle::default() };
    let told = message(alert(Severity::Critical), &style);
    assert_eq!((&told["notification"], &told["android"]["notification"]), (&Value::Null, &Value::Null));
    let data = json!({
        "alert": "disk-7", "user": "ana", "severity": "critical", "title": "Disk is full", "body": "2 % left",
        "tag": "disk", "unread": "3", "channel_id": "alerts", "data": r#"{"sealed":"q83vEg=="}"#,
    });
    assert_eq!(told["data"], data);
    assert_eq!(told["apns"]["payload"]["aps"]["alert"], json!({"title": "Disk is full", "body": "2 % left"}));
}

/// What a producer encrypted is whole or not there.
#[test]
fn the_producers_own_fields_are_never_cut() {
    let with = |bytes: usize| {
        let data = json!({"sealed": "x".repeat(bytes)}).as_object().unwrap().clone();
        let told = message(AlertContent { data, ..alert(Severity::Info) }, &FcmStyle::default());
        told["data"]["data"].as_str().map(str::len)
    };
    let around = r#"{"sealed":""}"#.len();
    assert_eq!(with(2_000), Some(2_000 + around));
    assert_eq!(with(2_048), None, "larger than it may be");
}
