//! Which addresses are called, and what is posted.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use uuid::Uuid;
use watchbell::domain::{Severity, Status, StopReason, UserId};

use super::*;
use crate::channel::{AlertContent, Message, Recipient, Withdrawal};

fn sender(private_endpoints: bool) -> WebhookSender {
    let secret = SigningSecret::parse(&Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
    let everybody = WebhookTarget { url: None, secret };
    let request_timeout = Duration::from_secs(5);
    let (tenants, trust_root_pem) = (HashMap::new(), None);
    WebhookSender::new(WebhookConfig {
        everybody,
        tenants,
        private_endpoints,
        trust_root_pem,
        request_timeout,
    })
    .unwrap()
}

#[test]
fn only_the_public_internet_is_called_unless_more_is_allowed() {
    for (url, public, private) in [
        ("https://example.com/hook?key=1", true, true),
        ("https://93.184.215.14/hook", true, true),
        ("http://example.com/hook", false, true),
        ("https://10.0.0.1/hook", false, true),
        ("https://2130706433/hook", false, true),
        ("https://0x7f.1/hook", false, true),
        ("https://[::1]/hook", false, true),
        ("https://[::ffff:10.0.0.1]/hook", false, true),
        ("https://169.254.169.254/latest", false, true),
        ("garbled", false, false),
    ] {
        let may = |allowed| sender(allowed).endpoint(&Secret::from(url)).is_ok();
        assert_eq!((may(false), may(true)), (public, private), "{url}");
    }
}

fn alert() -> AlertContent {
    AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        url: None,
        severity: Severity::Critical,
        status: Status::Firing,
        data: json!({"host": "db"}).as_object().unwrap().clone(),
        category: None,
        collapse_key: "a-1".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: "2026-06-02T08:00:00Z".parse().unwrap(),
        occurred_at: "2026-06-01T08:00:00Z".parse().unwrap(),
        unread: 3,
    }
}

fn posted(message: Message, shown: &[&str]) -> Value {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    let job = Job {
        attempt: Uuid::nil(),
        user: &user,
        to: Recipient::Address(Secret::from("https://example.com/")),
        message,
        shown: shown.iter().map(|id| (*id).to_owned()).collect(),
        locale: None,
        zone: None,
        acknowledge_at: None,
        receipt: None,
    };
    let body = body::of(&job);
    assert_eq!(body, body::of(&job), "the same for every try");
    serde_json::from_slice(&body.unwrap()).unwrap()
}

#[test]
fn a_message_says_all_of_an_alert_and_names_the_one_before() {
    let expected = json!({
        "id": "00000000-0000-0000-0000-000000000000", "type": "alert", "tenant": "acme", "user": "ana", "alert": "a-1",
        "severity": "critical", "status": "firing", "title": "Disk is full", "body": "2 % left", "data": {"host": "db"},
        "occurred_at": "2026-06-01T08:00:00Z", "expires_at": "2026-06-02T08:00:00Z", "unread": 3, "replaces": ["m-1"],
    });
    assert_eq!(posted(Message::Alert(alert()), &["m-1"]), expected);
}

#[test]
fn a_withdrawal_says_what_became_of_it() {
    let of = |content| {
        let alerts = vec!["a-1".to_owned()];
        Message::Withdrawal(Withdrawal { alerts, unread: 2, because: StopReason::Resolved, content })
    };
    let resolved = AlertContent { status: Status::Resolved, ..alert() };
    let said = posted(of(Some(Box::new(resolved))), &["m-1", "m-2"]);
    for (field, expected) in [
        ("/type", json!("withdrawal")),
        ("/because", json!("resolved")),
        ("/alert", json!("a-1")),
        ("/replaces", json!(["m-1", "m-2"])),
        ("/unread", json!(2)),
        ("/status", json!("resolved")),
        ("/title", json!("Disk is full")),
    ] {
        assert_eq!(said.pointer(field), Some(&expected), "{field}: {said}");
    }
    assert_eq!(
        posted(of(None), &["m-1"]).get("title"),
        None,
        "a summary that is over says nothing of its alerts"
    );
}
