//! Text messages, over Twilio's API, HTTP and TLS.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::domain::{Secret, StopReason};
use watchbell_fallback::channel::{
    Accepted, AlertContent, ChannelSender as _, Disposition, Message, SendError, SmsConfig, SmsFrom,
    SmsSender, Withdrawal,
};

use crate::fixture::{ProviderFixture, alert, ana, job, now, once, told};

const NUMBER: &str = "+4915112345678";

fn sender(fixture: &ProviderFixture, change: impl FnOnce(&mut SmsConfig)) -> SmsSender {
    let mut config = fixture.sms_config();
    change(&mut config);
    SmsSender::new(config).unwrap()
}

async fn send(sender: &SmsSender, to: &str, message: Message) -> Result<Accepted, SendError> {
    sender.send(&job(&ana(), &Secret::from(to), message), now()).await
}

async fn text(sender: &SmsSender, content: AlertContent) -> Result<Accepted, SendError> {
    send(sender, NUMBER, Message::Alert(content)).await
}

/// Every row of the reaction table (`docs/providers.md`, "Text messages"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_twilio_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let sender = sender(&fixture, |_| {});
    let (drop, suppress) = (Disposition::DropMessage, Disposition::SuppressAddress);
    let (fault, retry) = (Disposition::ConfigFault, Disposition::Retry { wait_min: Duration::from_secs(33) });
    for (status, code, expected, consequence) in [
        (400, "21610", "address_refused", suppress),
        (400, "21211", "address_refused", suppress),
        (400, "21614", "address_refused", suppress),
        (400, "21408", "rejected", drop),
        (400, "21608", "rejected", drop),
        (400, "21612", "rejected", drop),
        (400, "21617", "rejected", drop),
        (400, "30007", "rejected", drop),
        (401, "20003", "config_fault", fault),
        (403, "20003", "config_fault", fault),
        (404, "20404", "config_fault", fault),
        (400, "21212", "config_fault", fault),
        (400, "21601", "config_fault", fault),
        (400, "21603", "config_fault", fault),
        (400, "21606", "config_fault", fault),
        (400, "21661", "config_fault", fault),
        (404, "21701", "config_fault", fault),
        (400, "21705", "config_fault", fault),
        (429, "20429", "throttled", retry),
        (429, "21611", "throttled", retry),
        (500, "20500", "unavailable", retry),
        (503, "20503", "unavailable", retry),
    ] {
        fixture
            .faults(json!({"sms": [{"status": status, "reason": code, "retry_after": 33, "count": 1}]}))
            .await;
        let word = if status < 500 { code } else { "HTTP 50" };
        let error = told(code, text(&sender, alert("x")).await, expected, word);
        assert_eq!(error.disposition(), consequence, "{status} {code}");
        assert!(
            !error.to_string().contains("4915112345678"),
            "Twilio repeats the number, we do not: {error}"
        );
    }
    fixture.faults(json!({"sms": [{"html": true, "count": 1}]})).await;
    told("a page of a front end", text(&sender, alert("x")).await, "unavailable", "HTTP 502");
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_message_comes_from_a_number_or_a_service_by_a_token_or_a_key() {
    let fixture = ProviderFixture::start().await;
    let twilio = fixture.credentials.twilio.clone();
    let by_service = SmsFrom::Service(twilio.messaging_service_sid.clone());
    for sender in [
        sender(&fixture, |_| {}),
        sender(&fixture, |config| config.from = by_service),
        sender(&fixture, |config| {
            (config.username, config.password) = (twilio.api_key, Secret::from(twilio.api_key_secret));
        }),
    ] {
        let content = AlertContent { url: Some("/a/x".into()), ..alert("x") };
        let accepted = text(&sender, content).await.unwrap();
        let arrivals = fixture.arrivals().await;
        let last = arrivals.last().unwrap();
        for (field, expected) in [
            ("/kind", json!("sms")),
            ("/to", json!(NUMBER)),
            ("/title", json!("Critical: Disk is full")),
            ("/body", json!("2 % left\nhttps://alerts.watchbell.test/a/x")),
            ("/ids/message_id", json!(accepted.provider_id)),
            ("/payload/num_segments", json!("1")),
        ] {
            assert_eq!(last.pointer(field), Some(&expected), "{field}: {last}");
        }
    }
    assert_eq!(fixture.arrivals().await.len(), 3);
    fixture.stop().await;
}

#[tokio::test]
async fn the_longest_text_takes_the_segments_that_it_may() {
    let fixture = ProviderFixture::start().await;
    for (letter, segments_max) in [('x', 1), ('x', 3), ('x', 10), ('€', 10), ('ł', 10), ('😀', 10)] {
        let sender = sender(&fixture, |config| config.segments_max = segments_max);
        let body = Some(String::from(letter).repeat(9_000));
        let url = "https://example.org/incidents/1234567890";
        text(&sender, AlertContent { body, url: Some(url.to_owned()), ..alert("x") }).await.unwrap();
        let arrivals = fixture.arrivals().await;
        let last = arrivals.last().unwrap();
        assert_eq!(last["payload"]["num_segments"], segments_max.to_string(), "{letter}: as Twilio counts");
        assert!(last["body"].as_str().unwrap().ends_with(url), "{last}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_configured_wrongly_is_a_fault_and_is_not_printed() {
    let fixture = ProviderFixture::start().await;
    for (code, sender) in [
        ("20003", sender(&fixture, |config| config.password = Secret::from("c4nary"))),
        ("20003", sender(&fixture, |config| config.username = "SK0c4nary".to_owned())),
        ("20404", sender(&fixture, |config| config.account_sid = "AC1".to_owned())),
        ("21606", sender(&fixture, |config| config.from = SmsFrom::Sender("+15005550001".into()))),
        ("21701", sender(&fixture, |config| config.from = SmsFrom::Service("MG1".into()))),
    ] {
        told(code, text(&sender, alert("x")).await, "config_fault", code);
    }
    fixture.stop().await;
}

/// Twilio takes no id of ours (`docs/providers.md`, "Text messages").
#[tokio::test]
async fn after_an_answer_that_was_lost_the_message_may_come_twice() {
    let fixture = ProviderFixture::start().await;
    let sender = sender(&fixture, |_| {});
    fixture.faults(json!({"sms": [{"drop": "after", "count": 1}]})).await;
    told("no answer", text(&sender, alert("x")).await, "unreachable", "");
    text(&sender, alert("x")).await.unwrap();
    let copies: Vec<Value> = fixture.arrivals().await.into_iter().map(|one| one["copies"].clone()).collect();
    assert_eq!(copies, [json!(1), json!(1)], "a phone shows both");
    fixture.faults(json!({"sms": once(503, "20503")})).await;
    told("an answer", text(&sender, alert("y")).await, "unavailable", "HTTP 503");
    assert_eq!(fixture.arrivals().await.len(), 2, "what Twilio refused, it did not send");
    fixture.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_asked_for() {
    let fixture = ProviderFixture::start().await;
    let sender = sender(&fixture, |_| {});
    let sent = send(&sender, "0151 c4nary", Message::Alert(alert("x"))).await;
    let error = told("no number", sent, "unusable", "E.164");
    assert_eq!(error.disposition(), Disposition::DropMessage, "nobody was asked, so it proves nothing");
    let withdrawal =
        Withdrawal { alerts: vec!["x".into()], unread: 0, because: StopReason::Read, content: None };
    let sent = send(&sender, NUMBER, Message::Withdrawal(withdrawal)).await;
    told("it stays on the phone", sent, "rejected", "taken back");
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}
