//! Tests of `webpush` without a push service: what may be called, and what is said of it.
//! Over HTTP/2, with a browser that decrypts: `tests/tests/providers`.

#![allow(clippy::unwrap_used)]

use watchbell::wire::webpush::SubscriptionKeysV1;

use super::*;
use crate::channel::{AlertContent, PushEnvironment, PushTarget};

fn sender(private_endpoints: bool) -> WebPushSender {
    WebPushSender::new(&WebPushConfig { private_endpoints, ..config(VapidKey::generate().unwrap()) }).unwrap()
}

fn config(key: VapidKey) -> WebPushConfig {
    WebPushConfig {
        key,
        previous_key: None,
        subject: "mailto:ops@example.org".into(),
        page: None,
        private_endpoints: false,
        trust_root_pem: None,
        request_timeout: Duration::from_secs(2),
        stand_ins: Vec::new(),
    }
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
        target: PushTarget { token, environment: PushEnvironment::Production, bound_to: None },
        content: PushContent::Withdrawal { user: "ana".into(), alerts: vec!["a".into()], unread: 0 },
        receipt: None,
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
fn only_safari_is_sent_nothing_silent() {
    for (endpoint, expected) in [
        ("https://web.push.apple.com/QGVsbG8", true),
        ("https://fcm.googleapis.com/fcm/send/a", false),
        ("https://push.example.org/a", false),
    ] {
        assert_eq!(must_show_every_push(&job(endpoint).target.token), expected, "{endpoint}");
    }
    assert!(!must_show_every_push(&Secret::from("740f4707")), "a phone");
}

#[test]
fn a_push_is_signed_with_the_key_that_its_browser_subscribed_with() {
    let (now, before, older) =
        (VapidKey::generate().unwrap(), VapidKey::generate().unwrap(), VapidKey::generate().unwrap());
    let sender =
        WebPushSender::new(&WebPushConfig { previous_key: Some(before.clone()), ..config(now.clone()) })
            .unwrap();
    for (why, bound_to, expected) in [
        ("the present key", Some(now.public()), Ok(vec![now.public()])),
        ("the one before", Some(before.public()), Ok(vec![before.public()])),
        ("nobody said: one after the other", None, Ok(vec![now.public(), before.public()])),
        ("one that was taken out", Some(older.public()), Err("unusable")),
    ] {
        let found = sender.signers_for(bound_to.as_deref());
        let keys = found.map(|(first, others)| {
            std::iter::once(first).chain(others).map(|signer| signer.public().to_owned()).collect::<Vec<_>>()
        });
        assert_eq!(keys.map_err(|error| error.code()), expected, "{why}");
    }
}

#[tokio::test]
async fn a_subject_that_nobody_can_reach_is_told_before_apple_refuses_it() {
    for (subject, good) in [
        ("mailto:ops@example.org", true),
        ("https://example.org", true),
        ("mailto:ops@localhost", false),
        ("https://localhost", false),
        ("https://alerts", false),
        ("mailto:ops@host.local", false),
    ] {
        let sender = WebPushSender::new(&WebPushConfig {
            subject: subject.into(),
            ..config(VapidKey::generate().unwrap())
        });
        let found = sender.unwrap().dry_run(now()).await;
        assert_eq!(found[0].outcome.is_ok(), good, "{subject}");
    }
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
        let config = WebPushConfig { subject: subject.into(), ..config(key.clone()) };
        assert_eq!(WebPushSender::new(&config).is_ok(), good, "{subject}");
    }
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
            is_to_acknowledge: false,
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
