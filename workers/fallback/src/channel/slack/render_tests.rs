//! What a message says, and that it stays within Slack's limits whatever an alert says.

use jiff::Timestamp;

use super::*;

fn said() -> AlertContent {
    AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        url: Some("https://example.com/disks".into()),
        severity: Severity::Critical,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: Some("capacity".into()),
        collapse_key: "a-1".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 3,
    }
}

#[test]
fn a_message_has_severity_title_body_and_a_button() {
    let message = alert(&said());
    for (field, expected) in [
        ("/text", json!("critical: Disk is full")),
        ("/blocks/0/text/text", json!(":red_circle: *Disk is full*")),
        ("/blocks/1/text/text", json!("2 % left")),
        ("/blocks/2/elements/0/text", json!("critical · capacity")),
        ("/blocks/3/elements/0/url", json!("https://example.com/disks")),
        ("/unfurl_links", json!(false)),
    ] {
        assert_eq!(message.pointer(field), Some(&expected), "{field}: {message}");
    }
    let bare = AlertContent { body: None, url: Some("/disks".into()), category: None, ..said() };
    assert_eq!(alert(&bare)["blocks"].as_array().map(Vec::len), Some(2), "no address to open, no button");
}

#[test]
fn nothing_that_an_alert_says_calls_anybody() {
    let title = "<!channel> & <https://evil.example|disk>".to_owned();
    let message = alert(&AlertContent { title, body: Some("<@U1>".into()), ..said() });
    let title = "&lt;!channel&gt; &amp; &lt;https://evil.example|disk&gt;";
    assert_eq!(message["text"], format!("critical: {title}"));
    assert_eq!(message["blocks"][0]["text"]["text"], format!(":red_circle: *{title}*"));
    assert_eq!(message["blocks"][1]["text"]["text"], "&lt;@U1&gt;");
    assert_eq!(message["blocks"][1]["text"]["verbatim"], true);
}

#[test]
fn the_longest_texts_fit_and_no_escape_is_cut() {
    for text in ["&".repeat(20_000), "ü".repeat(20_000), "a&".repeat(20_000)] {
        let long = AlertContent {
            title: text.clone(),
            body: Some(text.clone()),
            category: Some(text),
            url: Some(format!("https://example.com/{}", "a".repeat(URL_CHARS_MAX))),
            ..said()
        };
        let message = alert(&long);
        let mut texts = vec![message["text"].as_str().unwrap_or_default()];
        for field in ["/blocks/0/text/text", "/blocks/1/text/text", "/blocks/2/elements/0/text"] {
            texts.push(message.pointer(field).and_then(Value::as_str).unwrap_or_default());
        }
        for text in texts {
            assert!((1..=SECTION_CHARS_MAX).contains(&text.chars().count()), "{}", text.len());
            let plain = text.replace("&amp;", "");
            assert!(!plain.contains('&') && plain.contains('…'), "{plain}");
        }
        assert_eq!(
            message["blocks"].as_array().map(Vec::len),
            Some(3),
            "an address that is cut leads elsewhere"
        );
    }
}

#[test]
fn what_fits_exactly_is_not_cut() {
    for (text, chars_max, expected) in [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a&", 6, "a&amp;"),
        ("a&", 5, "a…"),
        ("&&", 6, "&amp;…"),
        ("", 3, ""),
    ] {
        assert_eq!(escaped(text, chars_max), expected, "{text} {chars_max}");
    }
}

#[test]
fn what_became_of_it_stands_in_its_place() {
    let of = |content| {
        let alerts = vec!["a-1".to_owned()];
        super::withdrawal(&Withdrawal { alerts, unread: 2, because: StopReason::Seen, content })
    };
    let message = of(Some(Box::new(said())));
    assert_eq!(message["text"], "seen: Disk is full");
    assert_eq!(message["blocks"][0]["text"]["text"], ":white_check_mark: ~Disk is full~");
    assert_eq!(of(None)["text"], "seen", "several at once have no title");
}

#[test]
fn the_buttons_of_an_alert_stand_before_the_one_that_opens_it() {
    let button = |id: &str, link: Option<&str>| Button {
        id: id.into(),
        title: format!("<{id}>"),
        link: link.map(str::to_owned),
        answer: None,
    };
    let actions = vec![
        button("approve", Some("https://alerts.example/v1/answers/t?action=approve")),
        button("nowhere", None),
        button("long", Some(&format!("https://example.org/{}", "a".repeat(URL_CHARS_MAX)))),
    ];
    let shown = alert(&AlertContent { actions, url: Some("https://example.org/a".into()), ..said() });
    let elements = shown["blocks"].as_array().unwrap().last().unwrap()["elements"].clone();
    let label = |text: &str| json!({"type": "plain_text", "text": text});
    assert_eq!(
        elements,
        json!([
            {"type": "button", "text": label("<approve>"), "url": "https://alerts.example/v1/answers/t?action=approve", "action_id": "alert.approve"},
            {"type": "button", "text": label("Open"), "url": "https://example.org/a", "action_id": "open"},
        ])
    );
}
