//! Slack's API and incoming webhooks, over HTTP and TLS.

use std::time::Duration;

use serde_json::json;
use watchbell::domain::{Secret, StopReason, UserKey};
use watchbell_fallback::channel::{
    AlertContent, ChannelSender as _, Disposition, Job, Message, SlackConfig, SlackSender, Withdrawal,
};

use crate::fixture::{self, ProviderFixture, alert, ana, now, told};

const CHANNEL: &str = "C0123456789";
const HOOK: &str = "https://hooks.slack.com/services/T000/B000/c4narySecret";

fn sender(fixture: &ProviderFixture, token: &str) -> SlackSender {
    let origin = format!("https://localhost:{}", fixture.addresses.push.port());
    SlackSender::new(&SlackConfig {
        token: Some(Secret::from(token)),
        endpoint: origin.clone(),
        hooks_endpoint: Some(origin),
        trust_root_pem: Some(fixture.credentials.ca_pem.clone()),
        request_timeout: Duration::from_secs(5),
    })
    .unwrap()
}

fn bot(fixture: &ProviderFixture) -> SlackSender {
    sender(fixture, &fixture.credentials.slack_token)
}

fn job<'a>(user: &'a UserKey, to: &str, message: Message, shown: &[String]) -> Job<'a> {
    Job { shown: shown.to_vec(), ..fixture::job(user, &Secret::from(to), message) }
}

fn over(because: StopReason) -> Message {
    let content = Some(Box::new(alert("x")));
    Message::Withdrawal(Withdrawal { alerts: vec!["x".to_owned()], unread: 2, because, content })
}

/// Every row of the reaction table of methods (`docs/providers.md`, "Slack"), as the sender meets it.
#[tokio::test]
async fn every_word_of_slacks_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), bot(&fixture));
    let (drop, suppress) = (Disposition::DropMessage, Disposition::SuppressAddress);
    let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
    for (status, word, code, expected) in [
        (429, "ratelimited", "throttled", retry(40)),
        (200, "ratelimited", "throttled", retry(40)),
        (200, "invalid_auth", "config_fault", Disposition::ConfigFault),
        (200, "token_revoked", "config_fault", Disposition::ConfigFault),
        (200, "account_inactive", "config_fault", Disposition::ConfigFault),
        (200, "missing_scope", "config_fault", Disposition::ConfigFault),
        (200, "channel_not_found", "address_refused", suppress),
        (200, "is_archived", "address_refused", suppress),
        (200, "not_in_channel", "address_refused", suppress),
        (200, "msg_too_long", "rejected", drop),
        (200, "never_heard_of", "rejected", drop),
        (200, "internal_error", "unavailable", retry(40)),
        (503, "service_unavailable", "unavailable", retry(40)),
    ] {
        fixture.faults(json!({"slack": [{"status": status, "reason": word, "retry_after": 40}]})).await;
        let sent = sender.send(&job(&user, CHANNEL, Message::Alert(alert("x")), &[]), now()).await;
        assert_eq!(told(word, sent, code, word).disposition(), expected, "{word}");
    }
    fixture.faults(json!({"slack": [{"html": true}]})).await;
    let sent = sender.send(&job(&user, CHANNEL, Message::Alert(alert("x")), &[]), now()).await;
    told("a page of a front end", sent, "unavailable", "HTTP 502");
    fixture.stop().await;
}

#[tokio::test]
async fn every_answer_of_an_incoming_webhook_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), bot(&fixture));
    for (status, word, code) in [
        (400, "invalid_payload", "rejected"),
        (403, "action_prohibited", "config_fault"),
        (404, "no_service", "address_refused"),
        (404, "channel_not_found", "address_refused"),
        (410, "channel_is_archived", "address_refused"),
        (429, "rate_limited", "throttled"),
        (500, "rollup_error", "unavailable"),
    ] {
        fixture.faults(json!({"slack": [{"status": status, "reason": word}]})).await;
        let sent = sender.send(&job(&user, HOOK, Message::Alert(alert("x")), &[]), now()).await;
        told(word, sent, code, word);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_message_is_replaced_by_a_later_version_and_by_what_became_of_it() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), bot(&fixture));
    for (to, place) in [(CHANNEL, CHANNEL), ("U0123456789", "DU0123456789")] {
        let first = job(&user, to, Message::Alert(alert("x")), &[]);
        let id = sender.send(&first, now()).await.unwrap().provider_id.unwrap();
        assert!(id.starts_with(&format!("{place}:")), "{id}");
        let later = AlertContent { title: "Disk is fuller".into(), ..alert("x") };
        let shown = [id.clone()];
        let again = sender.send(&job(&user, to, Message::Alert(later), &shown), now()).await.unwrap();
        assert_eq!(again.provider_id, Some(id.clone()), "the same message");
        let shown = [id.clone(), id.clone()];
        sender.send(&job(&user, to, over(StopReason::Seen), &shown), now()).await.unwrap();
        let arrivals = fixture.arrivals().await;
        let last = arrivals.iter().find(|one| one["to"] == place).unwrap();
        for (field, expected) in [
            ("/kind", json!("slack")),
            ("/user", json!("ana")),
            ("/alert", json!("x")),
            ("/title", json!("seen: Disk is full")),
            ("/ids/message_id", json!(id)),
            ("/copies", json!(3)),
        ] {
            assert_eq!(last.pointer(field), Some(&expected), "{field}: {last}");
        }
    }
    assert_eq!(fixture.arrivals().await.len(), 2);
    fixture.stop().await;
}

#[tokio::test]
async fn what_cannot_be_changed_is_posted_anew_and_what_is_gone_need_not_be() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), bot(&fixture));
    let first = sender.send(&job(&user, CHANNEL, Message::Alert(alert("x")), &[]), now()).await.unwrap();
    let shown = [first.provider_id.unwrap()];
    for word in ["message_not_found", "edit_window_closed"] {
        fixture.faults(json!({"slack": [{"status": 200, "reason": word, "count": 1}]})).await;
        let again = sender.send(&job(&user, CHANNEL, Message::Alert(alert("x")), &shown), now()).await;
        assert_ne!(again.unwrap().provider_id.as_ref(), Some(&shown[0]), "{word}");
    }
    fixture.faults(json!({"slack": [{"status": 200, "reason": "message_not_found", "count": 1}]})).await;
    let gone = sender.send(&job(&user, CHANNEL, over(StopReason::Read), &shown), now()).await;
    assert!(gone.is_ok(), "somebody deleted it");
    fixture.faults(json!({"slack": [{"status": 200, "reason": "edit_window_closed", "count": 1}]})).await;
    let kept = sender.send(&job(&user, CHANNEL, over(StopReason::Read), &shown), now()).await;
    told("it stays as it is", kept, "rejected", "edit_window_closed");
    let elsewhere = job(&user, "C9999999999", Message::Alert(alert("x")), &shown);
    let moved = sender.send(&elsewhere, now()).await.unwrap().provider_id.unwrap();
    assert!(
        moved.starts_with("C9999999999:"),
        "whoever moved to another channel is written to there: {moved}"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn an_incoming_webhook_needs_no_token_and_changes_nothing() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), sender(&fixture, "xoxb-of-nobody"));
    let first = job(&user, HOOK, Message::Alert(alert("x")), &[]);
    assert_eq!(sender.send(&first, now()).await.unwrap().provider_id, None);
    assert!(sender.why_kept(&first.to).is_some(), "so nothing is withdrawn");
    let sent = sender.send(&job(&user, HOOK, over(StopReason::Seen), &[]), now()).await;
    told("nor if it is asked", sent, "rejected", "cannot change");
    let by_token = sender.send(&job(&user, CHANNEL, Message::Alert(alert("x")), &[]), now()).await;
    told("another token", by_token, "config_fault", "invalid_auth");
    let arrivals = fixture.arrivals().await;
    assert_eq!((arrivals.len(), &arrivals[0]["to"]), (1, &json!("T000/B000")));
    fixture.stop().await;
}

#[tokio::test]
async fn a_retry_names_its_attempt_again_and_the_longest_texts_pass() {
    let fixture = ProviderFixture::start().await;
    let (user, sender) = (ana(), bot(&fixture));
    let long = AlertContent { title: "<&>".repeat(300), body: Some("&ü".repeat(20_000)), ..alert("x") };
    let first = job(&user, CHANNEL, Message::Alert(long), &[]);
    fixture.faults(json!({"slack": [{"drop": "after", "count": 1}]})).await;
    told("no answer", sender.send(&first, now()).await, "unreachable", "");
    sender.send(&first, now()).await.unwrap();
    let attempts: Vec<_> = fixture.arrivals().await;
    let attempts: Vec<_> =
        attempts.iter().map(|one| one.pointer("/payload/metadata/event_payload/attempt").cloned()).collect();
    assert_eq!(
        attempts,
        vec![Some(json!(first.attempt.to_string())); 2],
        "Slack knows no repetition: both stand"
    );
    fixture.stop().await;
}
