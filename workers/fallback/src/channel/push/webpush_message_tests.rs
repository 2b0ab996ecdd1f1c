//! Tests of `webpush_message`: what a service worker and a declarative browser are told, and which gives way.

#![allow(clippy::unwrap_used)]

use reqwest::Url;
use watchbell::domain::{BodyFormat, Severity, Status};

use super::*;
use crate::channel::{message::Button, push::webpush_services::service_at};

const APPLE: &str = "https://web.push.apple.com/a";
const FCM: &str = "https://fcm.googleapis.com/fcm/send/a";
const PAGE: &str = "https://app.example.com/alerts";

fn alert() -> AlertContent {
    AlertContent {
        alert: "disk-7".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        body_format: BodyFormat::Text,
        url: None,
        image: Some("https://example.org/disk.png".into()),
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        severity: Severity::Critical,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: "disk".into(),
        group_key: None,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 3,
    }
}

fn payload(alert: &AlertContent, page: Option<&str>, endpoint: &str) -> Value {
    let service = service_at(&Url::parse(endpoint).unwrap());
    let json = webpush_payload(&PushContent::Alert(alert.clone()), page, service).unwrap();
    assert!(json.len() <= WEBPUSH_BYTES_MAX, "{}", json.len());
    serde_json::from_str(&json).unwrap()
}

#[test]
fn both_kinds_of_browsers_are_told_the_same() {
    let button = |id: &str, link: Option<&str>, answer: Option<&str>| Button {
        id: id.into(),
        title: id.into(),
        link: link.map(str::to_owned),
        answer: answer.map(str::to_owned),
    };
    let actions = vec![
        button("approve", Some("https://alerts.example/v1/answers/t?action=approve"), Some("yes")),
        button("look", Some("https://example.org/look"), None),
        button("unsigned", None, Some("no")),
    ];
    let told = payload(&AlertContent { actions, ..alert() }, Some(PAGE), APPLE);
    let declared = json!({
        "title": "Disk is full",
        "body": "2 % left",
        "navigate": "https://app.example.com/alerts#watchbell=disk-7",
        "dir": "auto",
        "tag": "disk",
        "app_badge": "3",
        "image": "https://example.org/disk.png",
        "actions": [
            {"action": "approve", "title": "approve", "navigate": "https://alerts.example/v1/answers/t?action=approve"},
            {"action": "look", "title": "look", "navigate": "https://example.org/look"},
        ],
    });
    assert_eq!(told["notification"], declared);
    for (field, expected) in [
        ("web_push", json!(8030)),
        ("app_badge", json!(3)),
        ("unread", json!(3)),
        ("title", json!("Disk is full")),
        ("body", json!("2 % left")),
        ("tag", json!("disk")),
        ("page", json!("https://app.example.com/alerts#watchbell=disk-7")),
        ("image", json!("https://example.org/disk.png")),
    ] {
        assert_eq!(told[field], expected, "{field}");
    }
    assert_eq!(told["actions"].as_array().unwrap().len(), 3, "the worker answers by itself");
}

/// Where a click leads, and what is declared at all.
#[test]
fn a_click_leads_to_the_alert_or_to_the_page_that_has_it() {
    let (own, fragment) = ("https://example.org/7", "https://app.example.com/alerts#watchbell=disk-7");
    for (why, url, page, navigate, at_worker) in [
        ("its own address", Some(own), Some(PAGE), json!(own), Value::Null),
        ("the page", None, Some(PAGE), json!(fragment), json!(fragment)),
        ("a relative one opens nothing", Some("/7"), Some(PAGE), json!(fragment), json!(fragment)),
        ("no script", Some("javascript:alert(1)"), Some(PAGE), json!(fragment), json!(fragment)),
        ("its own, without a page", Some(own), None, json!(own), Value::Null),
        ("nowhere: the worker shows it", None, None, Value::Null, Value::Null),
    ] {
        let told = payload(&AlertContent { url: url.map(str::to_owned), ..alert() }, page, APPLE);
        assert_eq!(told["notification"]["navigate"], navigate, "{why}");
        assert_eq!(told["web_push"].is_null(), navigate.is_null(), "{why}");
        assert_eq!(told["page"], at_worker, "{why}");
    }
}

#[test]
fn a_long_text_is_cut_for_saying_it_twice_only_where_browsers_are_declarative() {
    let of = |bytes: usize| AlertContent { body: Some("x".repeat(bytes)), ..alert() };
    for (why, bytes, endpoint, is_declared, is_whole) in [
        ("it fits twice", 1_000, FCM, true, true),
        ("it fits twice at Apple's", 1_000, APPLE, true, true),
        ("it fits once", 3_000, FCM, false, true),
        ("it fits once, and is cut", 3_000, APPLE, true, false),
        ("it does not fit", 9_000, FCM, false, false),
    ] {
        let told = payload(&of(bytes), Some(PAGE), endpoint);
        assert_eq!(told["web_push"].is_null(), !is_declared, "{why}");
        assert_eq!(told["body"].as_str().map(str::len) == Some(bytes), is_whole, "{why}");
        if is_declared {
            assert_eq!(told["notification"]["body"], told["body"], "{why}");
        }
    }
}
