//! Tests of `render`: what fits, what is escaped, what the payloads look like.

#![allow(clippy::unwrap_used)]

use reqwest::Url;

use super::*;
use crate::channel::push::{
    acknowledge, fcm_message::fcm_message, fcm_style::FcmStyle, webpush_message::webpush_payload,
    webpush_services::service_at,
};

fn alert() -> AlertContent {
    AlertContent {
        alert: "0198f3c2-0000-7000-8000-000000000001".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("Node 7 has 2 % left".into()),
        url: Some("https://example.org/nodes/7".into()),
        severity: Severity::Critical,
        status: crate::channel::Status::Firing,
        data: serde_json::Map::new(),
        category: Some("disk".into()),
        collapse_key: "disk-7".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: "2026-11-21T11:00:00Z".parse().unwrap(),
        occurred_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        unread: 3,
    }
}

fn now() -> Timestamp {
    "2026-11-21T10:00:30Z".parse().unwrap()
}

fn apns(content: &PushContent) -> Value {
    let payload = apns_payload(content, None).unwrap();
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes", payload.len());
    serde_json::from_str(&payload).unwrap()
}

/// Without the block for iOS apps, which has tests of its own (`fcm_message_tests`).
fn fcm(content: &PushContent) -> Value {
    let mut message = fcm_message(content, None, &FcmStyle::default(), now()).unwrap();
    assert!(message.to_string().len() <= PAYLOAD_BYTES_MAX);
    let data = message["data"].as_object().unwrap();
    assert!(data.values().all(Value::is_string), "FCM demands texts: {data:?}");
    assert!(message.as_object_mut().unwrap().remove("apns").is_some());
    message
}

/// A title that turns the order of writing around, whole and cut, beside what a phone shows with it.
#[test]
fn a_text_that_changes_directions_is_isolated_in_every_push() {
    let closed = |text: &str| {
        let count = |c: char| text.matches(c).count();
        text.starts_with('\u{2068}')
            && text.ends_with('\u{2069}')
            && count('\u{202e}') == count('\u{202c}')
            && count('\u{2067}') + 1 == count('\u{2069}')
    };
    let long = "\u{2067}\u{202e}abc\u{202c}\u{2069}".repeat(2_000);
    for (why, title, body) in [
        ("an override never closed", "disk \u{202e}lluf", "at\u{202e}once"),
        ("too long to be told whole", "disk \u{2067}\u{202e}lluf", &*long),
    ] {
        let content =
            PushContent::Alert(AlertContent { title: title.into(), body: Some(body.into()), ..alert() });
        let (apns, fcm) = (apns(&content), fcm(&content));
        let webpush: Value = serde_json::from_str(
            &webpush_payload(&content, None, service_at(&Url::parse("https://push.example.org/a").unwrap()))
                .unwrap(),
        )
        .unwrap();
        for shown in [&apns["aps"]["alert"], &fcm["notification"], &webpush] {
            for field in ["title", "body"] {
                let text = shown[field].as_str().unwrap();
                assert!(closed(text), "{why}: {field} {text:?}");
            }
        }
    }
    let plain = AlertContent { title: "القرص ممتلئ".into(), ..alert() };
    let title = apns(&PushContent::Alert(plain))["aps"]["alert"]["title"].clone();
    assert_eq!(title, "القرص ممتلئ", "a script of its own direction is left as it is");
    let bare = apns_payload_bare(&AlertContent { title: "disk \u{202e}lluf".into(), ..alert() }, None);
    assert!(bare.contains("\u{2068}disk \u{202e}lluf\u{202c}\u{2069}"), "{bare}");
}

#[test]
fn apple_gets_the_alert_and_the_ids() {
    assert_eq!(
        apns(&PushContent::Alert(alert())),
        json!({
            "aps": {
                "alert": {"title": "Disk is full", "body": "Node 7 has 2 % left"},
                "badge": 3,
                "sound": "default",
                "thread-id": "disk",
                "interruption-level": "time-sensitive",
                "relevance-score": 1.0,
                "mutable-content": 1,
            },
            "watchbell": {
                "alert": "0198f3c2-0000-7000-8000-000000000001",
                "user": "ana",
                "url": "https://example.org/nodes/7",
            },
        })
    );
}

#[test]
fn severity_decides_how_much_a_phone_insists() {
    for (severity, level, sound) in [
        (Severity::Info, "active", None),
        (Severity::Warning, "active", Some("default")),
        (Severity::Critical, "time-sensitive", Some("default")),
    ] {
        let payload = apns(&PushContent::Alert(AlertContent { severity, ..alert() }));
        assert_eq!(payload["aps"]["interruption-level"], level, "{severity:?}");
        assert_eq!(payload["aps"]["sound"].as_str(), sound, "{severity:?}");
    }
}

#[test]
fn google_gets_the_alert_and_the_ids() {
    assert_eq!(
        fcm(&PushContent::Alert(alert())),
        json!({
            "notification": {"title": "Disk is full", "body": "Node 7 has 2 % left"},
            "data": {
                "alert": "0198f3c2-0000-7000-8000-000000000001",
                "user": "ana",
                "url": "https://example.org/nodes/7",
                "severity": "critical",
            },
            "android": {"priority": "HIGH", "ttl": "3570s", "notification": {"tag": "disk-7", "notification_count": 3}},
        })
    );
}

#[test]
fn a_time_to_live_is_one_that_google_takes() {
    for (why, expires_at, expected) in [
        ("gone by", "2026-11-21T09:00:00Z", "0s"),
        ("longer than 28 days", "2027-11-21T09:00:00Z", "2419200s"),
    ] {
        let expires_at = expires_at.parse().unwrap();
        let message = fcm(&PushContent::Alert(AlertContent { expires_at, ..alert() }));
        assert_eq!(message["android"]["ttl"], expected, "{why}");
    }
}

#[test]
fn a_withdrawal_shows_nothing_and_names_ids() {
    let alerts = vec!["a-1".to_owned(), "a-2".to_owned()];
    let content = PushContent::Withdrawal { user: "ana".into(), alerts, unread: 2 };
    assert_eq!(
        apns(&content),
        json!({
            "aps": {"content-available": 1},
            "watchbell": {"withdraw": ["a-1", "a-2"], "user": "ana", "unread": 2},
        })
    );
    assert_eq!(
        fcm(&content),
        json!({
            "data": {"withdraw": r#"["a-1","a-2"]"#, "user": "ana", "unread": "2"},
            "android": {"priority": "NORMAL", "ttl": "86400s"},
        })
    );
}

#[test]
fn a_withdrawal_of_many_says_that_there_are_more() {
    let alerts: Vec<_> = (0..200).map(|n| format!("0198f3c2-0000-7000-8000-{n:012}")).collect();
    let content = PushContent::Withdrawal { user: "ana".into(), alerts: alerts.clone(), unread: 2 };
    let (apple, google) = (apns(&content), fcm(&content));
    assert_eq!(apple["watchbell"]["more"], true);
    assert_eq!(google["data"]["more"], "true");
    let told = apple["watchbell"]["withdraw"].as_array().unwrap();
    assert!(told.len() > 90, "{} ids fit", told.len());
    assert_eq!(told[0], alerts[0].as_str());
}

/// Each text is built to be hard to cut: escapes, many bytes a character, marks that cling.
#[test]
fn whatever_is_written_fits_and_no_character_is_torn() {
    let family = "👩\u{200d}👩\u{200d}👧";
    for (why, unit) in [
        ("plain", "word "),
        ("escapes grow in JSON", "\u{1}"),
        ("quotes grow too", "\""),
        ("four bytes", "🔥"),
        ("an emoji sequence", family),
        ("an accent apart", "e\u{301}"),
    ] {
        let long = unit.repeat(5_000);
        let content = PushContent::Alert(AlertContent { body: Some(long.clone()), ..alert() });
        let (apple, google) = (apns(&content), fcm(&content));
        for (body, title) in [
            (&apple["aps"]["alert"]["body"], &apple["aps"]["alert"]["title"]),
            (&google["notification"]["body"], &google["notification"]["title"]),
        ] {
            assert_eq!(title, "Disk is full", "{why}: the title has no need to give way");
            let kept = body.as_str().unwrap().strip_suffix('…').unwrap();
            assert!(long.starts_with(kept), "{why}");
            let whole = kept.trim_end().len() % unit.trim_end().len();
            assert!(unit == "word " || whole == 0, "{why}: torn");
            assert!(kept.len() > 300, "{why}: {} bytes kept", kept.len());
        }
        let payload = apns_payload(&content, None).unwrap().len();
        assert!(payload > PAYLOAD_BYTES_MAX - 60, "{why}: room is used, {payload}");

        let long_title = AlertContent { title: long, body: Some("x".into()), ..alert() };
        let title = apns(&PushContent::Alert(long_title))["aps"]["alert"]["title"].clone();
        assert!(title.as_str().unwrap().ends_with('…'), "{why}");
    }
}

#[test]
fn the_token_of_a_receipt_has_room_whatever_a_push_says() {
    let receipt = Secret::from(format!("push-receipt.{}", "x".repeat(81)));
    let told = json!(receipt.expose());
    for (why, body) in [("a short text", "2 % left".to_owned()), ("a long one", "é\"\\".repeat(5_000))] {
        let content = PushContent::Alert(AlertContent { body: Some(body), ..alert() });
        let apple = apns_payload(&content, Some(&receipt)).unwrap();
        let google = fcm_message(&content, Some(&receipt), &FcmStyle::default(), now()).unwrap();
        assert!(apple.len() <= PAYLOAD_BYTES_MAX, "{why}: {} bytes", apple.len());
        assert!(google.to_string().len() <= PAYLOAD_BYTES_MAX, "{why}: {} bytes", google.to_string().len());
        let apple: Value = serde_json::from_str(&apple).unwrap();
        assert_eq!((&apple["watchbell"]["receipt"], &google["data"]["receipt"]), (&told, &told), "{why}");
        assert!(
            apple["aps"]["alert"]["body"].is_string() && google["notification"]["body"].is_string(),
            "{why}"
        );
    }
    let bare: Value = serde_json::from_str(&apns_payload_bare(&alert(), Some(&receipt))).unwrap();
    assert_eq!(bare["watchbell"]["receipt"], told, "also where Apple found the whole one too large");
    let without = (apns(&PushContent::Alert(alert())), fcm(&PushContent::Alert(alert())));
    assert_eq!((without.0["watchbell"].get("receipt"), without.1["data"].get("receipt")), (None, None));
}

#[test]
fn a_link_gives_way_when_nothing_else_is_left() {
    let url = format!("https://example.org/{}", "x".repeat(5_000));
    let content = PushContent::Alert(AlertContent { url: Some(url), ..alert() });
    assert_eq!(apns(&content)["watchbell"]["url"], Value::Null);
    assert_eq!(apns(&content)["aps"]["alert"]["body"], "Node 7 has 2 % left");
    let huge = PushContent::Alert(AlertContent { alert: "x".repeat(5_000), ..alert() });
    assert_eq!(apns_payload(&huge, None).unwrap_err().code(), "rejected");
    assert_eq!(fcm_message(&huge, None, &FcmStyle::default(), now()).unwrap_err().code(), "rejected");
}

#[test]
fn the_bare_payload_keeps_the_ids() {
    let long = AlertContent { title: "é".repeat(200), ..alert() };
    let payload: Value = serde_json::from_str(&apns_payload_bare(&long, None)).unwrap();
    assert_eq!(payload["watchbell"], json!({"alert": long.alert, "user": "ana"}));
    assert_eq!(payload["aps"]["alert"]["title"], format!("{}…", "é".repeat(50)));
    assert_eq!(payload["aps"]["alert"]["body"], Value::Null);
}

#[test]
fn a_collapse_id_is_short_plain_and_stable() {
    let long = "k".repeat(65);
    for (why, key, kept) in [
        ("as it is", "disk-7", true),
        ("64 bytes fit", &long[..64], true),
        ("65 do not", &long, false),
        ("not for a header", "disk\n7", false),
        ("nor this", "größe", false),
        ("an empty one would collapse with others", "", false),
    ] {
        let id = collapse_id(key);
        assert!(id.len() <= 64 && id.is_ascii() && !id.is_empty(), "{why}");
        assert_eq!(id == key, kept, "{why}");
        assert_eq!(id, collapse_id(key), "{why}: a retry has the same");
    }
    assert_ne!(collapse_id(&long), collapse_id(&"l".repeat(65)));
}

fn button(id: &str, title: &str, link: Option<&str>, answer: Option<&str>) -> Button {
    let [link, answer] = [link, answer].map(|text| text.map(str::to_owned));
    Button { id: id.into(), title: title.into(), link, answer }
}

/// Whoever takes the alert on says so by a button before the alert's own, in their language, on each of the three services.
#[test]
fn an_alert_that_somebody_has_to_take_on_has_a_button_for_it() {
    let own = button("runbook", "Runbook", Some("https://example.org/r"), None);
    let answers_at = "https://alerts.example/v1/answers/token";
    let about = AlertContent { actions: vec![own], answers_at: Some(answers_at.into()), ..alert() };
    let page = Some("https://alerts.example/v1/answers/page");
    let as_it_is = acknowledge::with_button(about.clone(), None, page);
    assert_eq!(as_it_is.actions, about.actions, "nobody has to");

    let asked = AlertContent { is_to_acknowledge: true, ..about };
    for (locale, word) in [(None, "Acknowledge"), (Some("de-AT"), "Übernehmen"), (Some("tlh"), "Acknowledge")]
    {
        let content = PushContent::Alert(acknowledge::with_button(asked.clone(), locale, page));
        let shown = json!([
            {"id": "~acknowledge", "title": word, "acknowledges": true},
            {"id": "runbook", "title": "Runbook", "url": "https://example.org/r"},
        ]);
        let apple = apns(&content);
        assert_eq!(apple["aps"]["category"], "watchbell:~acknowledge,runbook");
        assert_eq!(apple["watchbell"]["actions"], shown);
        let google = fcm(&content);
        let in_data: Value = serde_json::from_str(google["data"]["actions"].as_str().unwrap()).unwrap();
        assert_eq!(in_data, shown);
        let service = service_at(&Url::parse("https://push.example.org/a").unwrap());
        let browser: Value =
            serde_json::from_str(&webpush_payload(&content, None, service).unwrap()).unwrap();
        assert_eq!((&browser["actions"], &browser["answers_at"]), (&shown, &json!(answers_at)));
        let declared = &browser["notification"]["actions"][0];
        assert_eq!(declared, &json!({"action": "~acknowledge", "title": word, "navigate": page}));
    }
}

/// Two buttons and a picture, as each of the three services is given them.
#[test]
fn buttons_and_a_picture_are_in_every_push() {
    let answers_at = "https://alerts.example/v1/answers/token";
    let content = PushContent::Alert(AlertContent {
        actions: vec![
            button(
                "approve",
                "Approve",
                Some("https://alerts.example/v1/answers/token?action=approve"),
                Some("yes"),
            ),
            button("runbook", "Runbook", Some("https://example.org/r"), None),
        ],
        answers_at: Some(answers_at.into()),
        image: Some("https://example.org/a.png".into()),
        ..alert()
    });
    let shown = json!([
        {"id": "approve", "title": "Approve", "answers": true},
        {"id": "runbook", "title": "Runbook", "url": "https://example.org/r"},
    ]);
    let apple = apns(&content);
    assert_eq!(apple["aps"]["category"], "watchbell:approve,runbook");
    assert_eq!(apple["aps"]["mutable-content"], 1, "or the extension is not run");
    assert_eq!(
        (&apple["watchbell"]["actions"], &apple["watchbell"]["image"]),
        (&shown, &json!("https://example.org/a.png"))
    );

    let google = fcm(&content);
    let in_data: Value = serde_json::from_str(google["data"]["actions"].as_str().unwrap()).unwrap();
    assert_eq!((&in_data, &google["notification"]["image"]), (&shown, &json!("https://example.org/a.png")));

    let mut browser: Value = serde_json::from_str(
        &webpush_payload(&content, None, service_at(&Url::parse("https://push.example.org/a").unwrap()))
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&browser["actions"], &browser["answers_at"]), (&shown, &json!(answers_at)));
    assert_eq!(browser["image"], "https://example.org/a.png");

    // What an answer says is its producer's business, and the link of a mail is no phone's. A declarative browser has no other way.
    let declared = browser.as_object_mut().unwrap().remove("notification").unwrap();
    assert!(declared["actions"].to_string().contains("?action=approve"), "{declared}");
    for payload in [apple, google, browser] {
        assert!(
            !payload.to_string().contains("yes") && !payload.to_string().contains("?action"),
            "{payload}"
        );
    }
}

#[test]
fn buttons_give_way_before_the_title_does() {
    let long = |bytes: usize| format!("https://example.org/{}", "a".repeat(bytes - 20));
    let three = |bytes: usize| -> Vec<Button> {
        ["a", "b", "c"].map(|id| button(id, id, Some(&long(bytes)), None)).into()
    };
    let ids = |payload: &Value| -> Vec<String> {
        let actions = payload["watchbell"]["actions"].as_array().cloned().unwrap_or_default();
        actions.iter().map(|action| action["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (why, actions, title, image, shown, has_image) in [
        ("short ones", three(60), "t".to_owned(), long(60), 3, true),
        ("long ones, of which two have room", three(600), "t".to_owned(), long(60), 2, true),
        ("one that is too long alone", three(2_000), "t".to_owned(), long(60), 0, true),
        ("a picture with a long address", three(60), "t".to_owned(), long(513), 3, false),
        ("a title that needs the room", three(500), "é".repeat(1_600), long(60), 0, false),
    ] {
        let body = Some("b".repeat(8_000));
        let content = AlertContent { actions, title: title.clone(), image: Some(image), body, ..alert() };
        let payload = apns(&PushContent::Alert(content));
        assert_eq!(ids(&payload).len(), shown, "{why}");
        assert_eq!(payload["watchbell"].get("image").is_some(), has_image, "{why}");
        assert_eq!(payload["aps"]["alert"]["title"], title.as_str(), "{why}: the title is whole");
    }
}
