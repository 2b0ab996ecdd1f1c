//! Tests of `webpush` without a push service: what may be called, and what is said of it.
//! Over HTTP/2, with a browser that decrypts: `tests/tests/providers`.

#![allow(clippy::unwrap_used)]

use watchbell::wire::webpush::SubscriptionKeysV1;

use super::*;
use crate::channel::{AlertContent, PushEnvironment, PushTarget};

fn sender(private_endpoints: bool) -> WebPushSender {
    WebPushSender::new(&WebPushConfig {
        key: VapidKey::generate().unwrap(),
        subject: "mailto:ops@example.org".into(),
        private_endpoints,
        trust_root_pem: None,
        request_timeout: Duration::from_secs(2),
    })
    .unwrap()
}

fn job(endpoint: &str) -> PushJob {
    let keys = SubscriptionKeysV1 {
        p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
            .into(),
        auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
    };
    let token = SubscriptionV1 { endpoint: endpoint.into(), keys }.to_token();
    PushJob {
        attempt: Uuid::nil(),
        target: PushTarget { token, environment: PushEnvironment::Production },
        content: PushContent::Withdrawal { user: "ana".into(), alerts: vec!["a".into()], unread: 0 },
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[tokio::test]
async fn what_a_browser_names_leads_to_the_internet_or_nowhere() {
    for (why, endpoint, code) in [
        ("not encrypted", "http://push.example/c4nary", "unusable"),
        ("a file", "file:///etc/passwd", "unusable"),
        ("not an address", "c4nary", "unusable"),
        ("ourselves", "https://127.0.0.1:1/c4nary", "unusable"),
        ("ourselves, version 6", "https://[::1]:1/c4nary", "unusable"),
        ("ourselves as one number", "https://2130706433/c4nary", "unusable"),
        ("the cloud's metadata", "https://169.254.169.254/c4nary", "unusable"),
        ("a name that leads home", "https://localhost:1/c4nary", "unreachable"),
    ] {
        let error = sender(false).send(&job(endpoint), now()).await.unwrap_err();
        assert_eq!(error.code(), code, "{why}: {error}");
        assert!(!format!("{error:?}").contains("c4nary"), "{why}: {error:?}");
    }
    let allowed = sender(true).send(&job("https://127.0.0.1:1/x"), now()).await.unwrap_err();
    assert_eq!(allowed.code(), "unreachable", "it was called: nobody is there");
}

#[tokio::test]
async fn a_token_that_is_no_subscription_is_kept_and_not_sent_to() {
    let mut garbled = job("https://push.example/x");
    garbled.target.token = Secret::from("740f4707");
    assert_eq!(sender(false).send(&garbled, now()).await.unwrap_err().code(), "unusable");
}

#[test]
fn safari_is_known_by_its_push_service() {
    for (why, endpoint, expected) in [
        ("Safari", "https://web.push.apple.com/QGVsbG8", true),
        ("in capitals, as an older registration may have it", "https://WEB.Push.Apple.com/QGVsbG8", true),
        ("another of Apple's", "https://eu.web.push.apple.com/QGVsbG8", true),
        ("Chromium", "https://fcm.googleapis.com/fcm/send/a", false),
        ("Firefox", "https://updates.push.services.mozilla.com/wpush/v2/a", false),
        ("a name that only ends like it", "https://notpush.apple.com.example.org/a", false),
        ("a name before it", "https://evilpush.apple.com/a", false),
    ] {
        assert_eq!(must_show_every_push(&job(endpoint).target.token), expected, "{why}");
    }
    assert!(!must_show_every_push(&Secret::from("740f4707")), "a phone");
}

#[test]
fn a_push_service_has_one_token_for_hours() {
    let sender = sender(false);
    let url = Url::parse("https://push.example/a").unwrap();
    let first = sender.authorization(&url, now()).unwrap();
    let hours = |n| now() + SignedDuration::from_hours(n);
    assert_eq!(sender.authorization(&url, hours(5)).unwrap(), first);
    assert_ne!(sender.authorization(&url, hours(7)).unwrap(), first);
    for n in 0..1_000 {
        let url = Url::parse(&format!("https://push{n}.example/")).unwrap();
        sender.authorization(&url, now()).unwrap();
    }
    assert!(sender.tokens.lock().unwrap().len() <= ORIGINS_MAX);
}

#[test]
fn a_subject_that_safari_refuses_is_refused_by_us() {
    let key = VapidKey::generate().unwrap();
    for (subject, good) in [
        ("mailto:ops@example.org", true),
        ("https://example.org", true),
        ("mailto: <ops@example.org>", false),
        ("ops@example.org", false),
        ("", false),
    ] {
        let config = WebPushConfig {
            key: key.clone(),
            subject: subject.into(),
            private_endpoints: false,
            trust_root_pem: None,
            request_timeout: Duration::from_secs(2),
        };
        assert_eq!(WebPushSender::new(&config).is_ok(), good, "{subject}");
    }
}

#[test]
fn a_key_reads_what_it_writes_and_does_not_print() {
    let key = VapidKey::generate().unwrap();
    assert_eq!(VapidKey::parse(key.private()).unwrap().public(), key.public());
    assert_eq!(key.public().len(), 87);
    assert!(!format!("{key:?}").contains(key.private().expose()));
    assert!(VapidKey::parse(&Secret::from("AAAA")).is_err());
}

#[test]
fn a_withdrawal_replaces_the_push_that_still_waits() {
    let alert = |key: &str| {
        PushContent::Alert(AlertContent {
            alert: "a-1".into(),
            user: "ana".into(),
            tenant: "acme".into(),
            title: "t".into(),
            body: None,
            url: None,
            severity: Severity::Info,
            status: crate::channel::Status::Firing,
            data: serde_json::Map::new(),
            category: None,
            collapse_key: key.into(),
            group_key: None,
            body_format: Default::default(),
            image: None,
            actions: Vec::new(),
            answers_at: None,
            is_mandatory: false,
            expires_at: now(),
            occurred_at: now(),
            unread: 1,
        })
    };
    let away = |alerts: &[&str]| PushContent::Withdrawal {
        user: "ana".into(),
        alerts: alerts.iter().map(|alert| (*alert).to_owned()).collect(),
        unread: 0,
    };
    assert_eq!(topic(&alert("a-1")), topic(&away(&["a-1"])));
    assert_eq!(topic(&alert("a-1")).unwrap().len(), 32);
    assert_eq!(topic(&away(&["a-1", "a-2"])), None);
    assert_ne!(topic(&alert("a-1")), topic(&alert("a-2")));
}
