//! Wire types against `tests/fixtures`, one of each: what other processes and the browser client rely on.

#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::{
    action::AnswerV1,
    alert::{Defaults, encode_alert, parse_alert},
    close::{CloseClass, CloseCode},
    event::{EventDefaults, encode_event, parse_event},
    frame::{
        AlertFrame, Auth, Batch, ClientFrame, EventFrame, Filter, Hello, ReceiptFrame, ReceiptSaid,
        ServerFrame, TopicMaybe, TopicNamed, Visibility,
    },
    live::{
        LiveAlert, LivePreferences, LivePublished, LiveReceipt, LiveRecipient, LiveRevoke, LiveTopicEvent,
        LiveV1,
    },
    outcome::OutcomeV1,
    preferences::PreferencesV1,
    undelivered::UndeliveredV1,
};
use crate::domain::{AlertId, Outcome, OutcomeKind, Severity, Tenant, Timestamp, UserId, UserKey};

fn fixtures(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

#[test]
fn close_codes_are_the_table_that_the_browser_reads() {
    let table: Vec<Value> = CloseCode::ALL
        .iter()
        .map(|close| {
            let (code, reason) = close.parts();
            let class = match close.class() {
                CloseClass::Stop => "stop",
                CloseClass::BackOff => "back_off",
                CloseClass::Resume => "resume",
                CloseClass::NewToken => "new_token",
            };
            json!({"code": code, "reason": reason, "class": class})
        })
        .collect();
    assert_eq!(Value::Array(table), value(include_bytes!("../../tests/fixtures/close_codes.json")));
}

#[test]
fn each_server_frame_is_written_as_its_fixture() {
    let fixtures = fixtures(include_str!("../../tests/fixtures/server_frames.json"));
    let alert = RawValue::from_string(fixtures["alert"]["alert"].to_string()).unwrap();
    let with_actions = RawValue::from_string(fixtures["alert, answered"]["alert"].to_string()).unwrap();
    let event = RawValue::from_string(fixtures["event"]["event"].to_string()).unwrap();
    let preferences = RawValue::from_string(fixtures["preferences"]["preferences"].to_string()).unwrap();
    let wanted = PreferencesV1::decode(preferences.get()).unwrap();
    let frames = [
        (
            "hello",
            ServerFrame::Hello(Hello {
                session: "5f1c",
                user: "ana",
                seq: 7,
                cursor: "ab12cd34.5",
                unread: 2,
                resumed: true,
                heartbeat_ms: 30_000,
                preferences: &wanted,
                server_time: "2026-11-21T12:00:00Z",
            }),
        ),
        (
            "alert",
            ServerFrame::Alert(AlertFrame {
                seq: 6,
                cursor: "ab12cd34.6",
                unread: 2,
                state: "new",
                until: None,
                answer: None,
                alert: &alert,
            }),
        ),
        (
            "alert, snoozed",
            ServerFrame::Alert(AlertFrame {
                seq: 8,
                cursor: "ab12cd34.8",
                unread: 1,
                state: "snoozed",
                until: Some("2026-11-21T13:00:00Z"),
                answer: None,
                alert: &alert,
            }),
        ),
        (
            "receipt",
            ServerFrame::Receipt(ReceiptSaid {
                seq: 7,
                cursor: "ab12cd34.7",
                unread: 1,
                alerts: &["disk-db-1".to_owned()],
                state: "read",
                until: None,
                action: None,
                by: "5f1c",
                op: Some("op-1"),
            }),
        ),
        (
            "receipt, of a snooze",
            ServerFrame::Receipt(ReceiptSaid {
                seq: 8,
                cursor: "ab12cd34.8",
                unread: 1,
                alerts: &["disk-db-1".to_owned()],
                state: "snoozed",
                until: Some("2026-11-21T13:00:00Z"),
                action: None,
                by: "5f1c",
                op: Some("op-2"),
            }),
        ),
        (
            "alert, answered",
            ServerFrame::Alert(AlertFrame {
                seq: 10,
                cursor: "ab12cd34.10",
                unread: 1,
                state: "read",
                until: None,
                answer: Some(&AnswerV1 { action: "approve".into(), at: "2026-11-21T12:00:05Z".into() }),
                alert: &with_actions,
            }),
        ),
        (
            "receipt, of an answer",
            ServerFrame::Receipt(ReceiptSaid {
                seq: 10,
                cursor: "ab12cd34.10",
                unread: 1,
                alerts: &["disk-db-1".to_owned()],
                state: "answered",
                until: None,
                action: Some("approve"),
                by: "5f1c",
                op: Some("op-3"),
            }),
        ),
        ("ping", ServerFrame::Ping { seq: 7, cursor: None }),
        (
            "resync",
            ServerFrame::Resync {
                reason: "your backlog was dropped",
                seq: 9,
                cursor: "ab12cd34.9",
                unread: 3,
            },
        ),
        ("event", ServerFrame::Event(EventFrame { topic: "monitor:7", event: &event })),
        ("preferences", ServerFrame::Preferences { preferences: &preferences }),
        ("snapshot", ServerFrame::Snapshot { topic: "monitor:7", events: &[&event] }),
        ("close", ServerFrame::Close { code: 4200, reason: "drain" }),
        ("ping, of a poll", ServerFrame::Ping { seq: 7, cursor: Some("ab12cd34.7") }),
        ("goaway", ServerFrame::Goaway { after_ms: 0, within_ms: 16_000, reason: "drain" }),
        ("error", ServerFrame::Error { code: "invalid_receipt", title: "must name 1 to 500 alerts" }),
    ];
    assert_eq!(frames.len(), fixtures.len(), "one fixture a frame");
    for (name, frame) in frames {
        let text = frame.encode();
        assert!(!text.contains('\n'), "{name} is one line, because frames are told apart by lines");
        assert_eq!(value(text.as_bytes()), fixtures[name], "{name}");
    }
}

#[test]
fn each_client_frame_is_read_as_meant() {
    let auth = |cursor: Option<&str>| {
        let cursor = cursor.map(str::to_owned);
        ClientFrame::Auth(Auth { token: Some("a.b.c".into()), cursor, ..Auth::default() })
    };
    let receipt = |alerts: &[&str], state: &str, until: Option<&str>, op: Option<&str>| {
        ClientFrame::Receipt(ReceiptFrame {
            alerts: alerts.iter().map(|&alert| alert.to_owned()).collect(),
            state: state.to_owned(),
            until: until.map(str::to_owned),
            action: None,
            op: op.map(str::to_owned),
            priority_lowered: None,
        })
    };
    let meant = [
        ("auth", auth(Some("ab12cd34.5"))),
        ("auth, first visit", auth(None)),
        ("auth, of a later client", auth(None)),
        (
            "auth, with all there is to ask",
            ClientFrame::Auth(Auth {
                token: Some("a.b.c".into()),
                cursor: None,
                visibility: Some(Visibility::Hidden),
                topics: vec!["monitor:7".into()],
                filter: Some(Filter {
                    types: vec!["status_change".into()],
                    sources: vec!["probe".into()],
                    labels: [("env".to_owned(), "prod".to_owned())].into(),
                    min_severity: Some("warning".into()),
                }),
                batch: Some(Batch { max: 20, wait_ms: 250 }),
            }),
        ),
        (
            "auth, batched as is usual",
            ClientFrame::Auth(Auth {
                token: Some("a.b.c".into()),
                batch: Some(Batch { max: 10, wait_ms: 100 }),
                ..Auth::default()
            }),
        ),
        ("subscribe", ClientFrame::Subscribe(TopicNamed { topic: "monitor:7".into() })),
        ("unsubscribe", ClientFrame::Unsubscribe(TopicNamed { topic: "monitor:7".into() })),
        ("refresh", ClientFrame::Refresh(TopicMaybe { topic: Some("monitor:7".into()) })),
        ("refresh, all topics", ClientFrame::Refresh(TopicMaybe { topic: None })),
        ("visibility", ClientFrame::Visibility { state: Visibility::Visible }),
        ("receipt", receipt(&["disk-db-1"], "seen", None, Some("op-1"))),
        ("receipt, unnamed", receipt(&["disk-db-1", "disk-db-2"], "dismissed", None, None)),
        (
            "receipt, of a snooze",
            receipt(&["disk-db-1"], "snoozed", Some("2026-11-21T13:00:00Z"), Some("op-2")),
        ),
        (
            "receipt, of an answer",
            ClientFrame::Receipt(ReceiptFrame {
                alerts: vec!["disk-db-1".into()],
                state: "answered".into(),
                until: None,
                action: Some("approve".into()),
                op: Some("op-3".into()),
                priority_lowered: None,
            }),
        ),
        ("receipt, for a group", receipt(&["disk-db-1"], "acknowledged", None, Some("op-4"))),
        ("receipt, for the others of a group", receipt(&["disk-db-1"], "passed_on", None, Some("op-5"))),
        ("pong", ClientFrame::Pong {}),
        ("a type of a later client", ClientFrame::Unknown),
    ];
    let fixtures = fixtures(include_str!("../../tests/fixtures/client_frames.json"));
    assert_eq!(meant.len(), fixtures.len(), "one meaning a fixture");
    for (name, meant) in meant {
        let read = ClientFrame::read(&fixtures[name].to_string()).unwrap();
        assert!(read == meant, "{name}");
    }
}

#[test]
fn each_message_between_workers_is_written_as_its_fixture() {
    let fixtures = fixtures(include_str!("../../tests/fixtures/broker_messages.json"));

    let alert = &fixtures["watchbell.alerts"];
    let defaults = Defaults { tenant: None, id: None, now: Timestamp::UNIX_EPOCH };
    let parsed = parse_alert(alert.to_string().as_bytes(), &defaults).unwrap();
    assert_eq!(&value(&encode_alert(&parsed)), alert);

    let content = RawValue::from_string(r#"{"id":"disk-db-1"}"#.to_owned()).unwrap();
    let to = LiveRecipient {
        user: "ana".into(),
        seq: 6,
        unread: 2,
        state: "new".into(),
        until: None,
        answer: None,
    };
    let live = LiveAlert { tenant: "acme".into(), to: vec![to.clone()], published: None, content: &content };
    assert_eq!(value(&LiveV1::Alert(live).encode()), fixtures["watchbell.live, an alert"]);
    let live = |to: LiveRecipient, published| LiveAlert {
        tenant: "acme".into(),
        to: vec![to],
        published,
        content: &content,
    };
    let published = LivePublished { at_ms: 1_764_590_400_000, severity: Severity::Critical };
    let bob = LiveRecipient { user: "bob".into(), seq: 1, unread: 1, ..to.clone() };
    let both = LiveV1::of_alerts(vec![live(to.clone(), Some(published)), live(bob, None)]);
    assert_eq!(value(&both.encode()), fixtures["watchbell.live, alerts of one commit"]);
    let until = Some("2026-11-21T13:00:00Z".to_owned());
    let to = vec![LiveRecipient { seq: 9, unread: 1, state: "snoozed".into(), until: until.clone(), ..to }];
    let live = LiveV1::Alert(LiveAlert { tenant: "acme".into(), to, published: None, content: &content });
    assert_eq!(value(&live.encode()), fixtures["watchbell.live, a snoozed alert"]);

    let read = LiveReceipt {
        tenant: "acme".into(),
        user: "ana".into(),
        seq: 7,
        unread: 1,
        alerts: vec!["disk-db-1".into()],
        state: "read".into(),
        until: None,
        action: None,
        by: "5f1c".into(),
        op: Some("op-1".into()),
    };
    assert_eq!(value(&LiveV1::Receipt(read.clone()).encode()), fixtures["watchbell.live, a receipt"]);
    let action = Some("approve".to_owned());
    let answered = LiveReceipt { state: "answered".into(), action, op: Some("op-3".into()), ..read.clone() };
    assert_eq!(value(&LiveV1::Receipt(answered).encode()), fixtures["watchbell.live, an answer"]);
    let snoozed = LiveReceipt { seq: 8, state: "snoozed".into(), until, op: Some("op-2".into()), ..read };
    assert_eq!(value(&LiveV1::Receipt(snoozed).encode()), fixtures["watchbell.live, a snooze"]);

    let event = &fixtures["watchbell.alerts, an event"];
    let defaults = EventDefaults { tenant: None, topic: None, id: None, now: Timestamp::UNIX_EPOCH };
    let parsed = parse_event(event.to_string().as_bytes(), &defaults).unwrap();
    assert_eq!(&value(&encode_event(&parsed)), event);

    let content = RawValue::from_string(r#"{"id":"e-1"}"#.to_owned()).unwrap();
    let live = LiveV1::Event(LiveTopicEvent {
        tenant: "acme".into(),
        topic: "monitor:7".into(),
        kind: "status_change".into(),
        source: Some("probe".into()),
        severity: Some("critical".into()),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        event: &content,
    });
    assert_eq!(value(&live.encode()), fixtures["watchbell.live, an event"]);

    let until = "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap();
    let live = LiveV1::Revoke(LiveRevoke {
        tenant: "acme".into(),
        user: "ana".into(),
        issued_until_ms: until.as_millisecond(),
    });
    assert_eq!(value(&live.encode()), fixtures["watchbell.live, a revocation"]);

    let preferences = &fixtures["watchbell.live, preferences"];
    let wanted = RawValue::from_string(preferences["preferences"]["preferences"].to_string()).unwrap();
    let live = LiveV1::Preferences(LivePreferences {
        tenant: "acme".into(),
        user: "ana".into(),
        preferences: &wanted,
    });
    assert_eq!(&value(&live.encode()), preferences);

    let outcome = Outcome {
        id: Uuid::from_u128(0x6a1a_8d0e_2a3b_5c4d_8e5f_6071_8293_a4b5),
        user: UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap()),
        alert: AlertId::parse("disk-db-1").unwrap(),
        version: 2,
        kind: OutcomeKind::Bounced,
        channel: Some("push".into()),
        reason: Some("unregistered: Unregistered".into()),
        attempt: Some(Uuid::from_u128(0x0198_f3c2_0000_7000_8000_0000_0000_0001)),
        by: None,
        until: None,
        answer: None,
        at: until,
    };
    assert_eq!(value(&OutcomeV1::new(&outcome).encode()), fixtures["watchbell.outcomes"]);

    let work = &fixtures["watchbell.undelivered"];
    let read: UndeliveredV1 = serde_json::from_value(work.clone()).unwrap();
    assert_eq!(&value(&read.encode()), work);
    let (user, alert) = read.names().unwrap();
    assert_eq!(UndeliveredV1::new(&user, &alert, read.claim), read);
}

/// What readers are shown is what is sent: an example of each kind, the same in the fixture and on the page about it.
#[test]
fn each_outcome_has_an_example_that_is_on_its_page() {
    let examples: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/fixtures/outcomes.json")).unwrap();
    for example in &examples {
        let read: OutcomeV1 = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(&value(&read.encode()), example);
    }
    let kinds: Vec<&str> = examples.iter().filter_map(|example| example["outcome"].as_str()).collect();
    assert_eq!(kinds, OutcomeKind::WORDS);
    let page = include_str!("../../docs/outcomes.md").lines().filter(|line| line.starts_with("{\"id\""));
    assert_eq!(page.map(|line| value(line.as_bytes())).collect::<Vec<_>>(), examples);
}
