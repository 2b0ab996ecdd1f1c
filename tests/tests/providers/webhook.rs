//! Programs that take webhooks, over HTTP and TLS.

use std::{collections::HashMap, time::Duration};

use serde_json::json;
use watchbell::{
    domain::{Secret, StopReason},
    wire::standard_webhooks::SigningSecret,
};
use watchbell_fallback::channel::{
    ChannelSender as _, Disposition, Job, Message, SendError, WebhookConfig, WebhookSender, WebhookTarget,
    Withdrawal,
};

use crate::fixture::{ProviderFixture, alert, ana, job, now, once, told};

/// Where the ana of tests has her program.
fn address(fixture: &ProviderFixture) -> Secret {
    Secret::from(format!("https://localhost:{}/hooks/c4nary-ana", fixture.addresses.push.port()))
}

fn sender(fixture: &ProviderFixture, url: Option<Secret>) -> WebhookSender {
    let secret = Secret::from(fixture.credentials.webhook_secret.clone());
    sender_with(fixture, WebhookTarget { url, secret: SigningSecret::parse(&secret).unwrap() })
}

fn sender_with(fixture: &ProviderFixture, everybody: WebhookTarget) -> WebhookSender {
    WebhookSender::new(WebhookConfig {
        everybody,
        tenants: HashMap::new(),
        private_endpoints: true,
        trust_root_pem: Some(fixture.credentials.ca_pem.clone()),
        request_timeout: Duration::from_secs(5),
    })
    .unwrap()
}

/// Every row of the reaction table (`docs/providers.md`, "Webhooks"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_a_program_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (user, to, sender) = (ana(), address(&fixture), sender(&fixture, None));
    let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
    for (fault, code, expected) in [
        (json!({"status": 410}), "address_refused", Disposition::SuppressAddress),
        (json!({"status": 307, "reason": "/hooks/elsewhere"}), "rejected", Disposition::DropMessage),
        (json!({"status": 301, "reason": "/hooks/elsewhere"}), "rejected", Disposition::DropMessage),
        (json!({"status": 400}), "rejected", Disposition::DropMessage),
        (json!({"status": 404}), "rejected", Disposition::DropMessage),
        (json!({"status": 429, "retry_after": 40}), "throttled", retry(40)),
        (json!({"status": 429}), "throttled", retry(0)),
        (json!({"status": 503, "retry_after": 40}), "unavailable", retry(40)),
        (json!({"status": 500}), "unavailable", retry(0)),
        (json!({"html": true}), "unavailable", retry(0)),
        (json!({"drop": "before"}), "unreachable", retry(0)),
    ] {
        fixture.faults(json!({"webhook": [fault]})).await;
        let sent = sender.send(&job(&user, &to, Message::Alert(alert("x"))), now()).await;
        let error = told(&fault.to_string(), sent, code, "");
        assert_eq!(error.disposition(), expected, "{fault}");
    }
    fixture.faults(json!({"webhook": []})).await;
    assert!(fixture.arrivals().await.is_empty(), "no redirect was followed");
    fixture.stop().await;
}

#[tokio::test]
async fn what_a_program_writes_is_kept_nowhere() {
    let fixture = ProviderFixture::start().await;
    let (user, to) = (ana(), address(&fixture));
    fixture.faults(json!({"webhook": once(400, "c4nary of a stranger")})).await;
    let sent = sender(&fixture, None).send(&job(&user, &to, Message::Alert(alert("x"))), now()).await;
    assert_eq!(sent, Err(SendError::Rejected { reason: "HTTP 400".to_owned() }));
    fixture.stop().await;
}

#[tokio::test]
async fn a_retry_is_the_same_message_and_a_withdrawal_names_it() {
    let fixture = ProviderFixture::start().await;
    let (user, to, sender) = (ana(), address(&fixture), sender(&fixture, None));
    let first = job(&user, &to, Message::Alert(alert("x")));
    fixture.faults(json!({"webhook": [{"drop": "after", "count": 1}]})).await;
    told("no answer", sender.send(&first, now()).await, "unreachable", "");
    let accepted = sender.send(&first, now()).await.unwrap();
    assert_eq!(accepted.provider_id, Some(first.attempt.to_string()));
    let withdrawal = Withdrawal {
        alerts: vec!["x".to_owned()],
        unread: 2,
        because: StopReason::Seen,
        content: Some(Box::new(alert("x"))),
    };
    let shown = vec![first.attempt.to_string()];
    let last = Job { shown: shown.clone(), ..job(&user, &to, Message::Withdrawal(withdrawal)) };
    sender.send(&last, now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    for (at, field, expected) in [
        (0, "/kind", json!("webhook")),
        (0, "/to", json!("c4nary-ana")),
        (0, "/user", json!("ana")),
        (0, "/title", json!("Disk is full")),
        (0, "/copies", json!(2)),
        (0, "/withdrawn", json!(true)),
        (0, "/payload/severity", json!("critical")),
        (0, "/payload/status", json!("firing")),
        (1, "/withdrawal", json!(true)),
        (1, "/payload/because", json!("seen")),
        (1, "/payload/replaces", json!(shown)),
    ] {
        assert_eq!(arrivals[at].pointer(field), Some(&expected), "{field}: {}", arrivals[at]);
    }
    assert_eq!(arrivals.len(), 2);
    fixture.stop().await;
}

#[tokio::test]
async fn an_address_of_the_configuration_is_mended_and_not_forgotten() {
    let fixture = ProviderFixture::start().await;
    let (user, to) = (ana(), address(&fixture));
    fixture.faults(json!({"webhook": [{"status": 410}]})).await;
    let sender = sender(&fixture, Some(to.clone()));
    let sent = sender.send(&job(&user, &to, Message::Alert(alert("x"))), now()).await;
    let error = told("ours", sent, "config_fault", "HTTP 410");
    assert_eq!(error.disposition(), Disposition::ConfigFault);
    fixture.stop().await;
}

#[tokio::test]
async fn a_signature_by_another_secret_is_refused() {
    let fixture = ProviderFixture::start().await;
    let (user, to) = (ana(), address(&fixture));
    let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let other = WebhookTarget { url: None, secret: SigningSecret::parse(&secret).unwrap() };
    let sent = sender_with(&fixture, other).send(&job(&user, &to, Message::Alert(alert("x"))), now()).await;
    told("another secret", sent, "rejected", "HTTP 401");
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}
