//! A mail relay, over SMTP with STARTTLS.

use serde_json::json;
use watchbell::{domain::Secret, wire::unsubscribe::Unsubscribe};
use watchbell_fallback::channel::{Disposition, SendError, SmtpSender};

use crate::fixture::{ProviderFixture, mail, now, told};

/// Every row of the reaction table (`docs/providers.md`, "SMTP"), as the sender meets it.
#[tokio::test]
async fn every_reply_of_a_relay_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    for (status, text, code) in [
        (421, "4.3.2 shutting down", "unavailable"),
        (450, "4.2.1 try later", "throttled"),
        (451, "4.7.1 greylisted", "throttled"),
        (452, "4.2.2 mailbox full", "throttled"),
        (451, "4.3.0 queue down", "unavailable"),
        (535, "5.7.8 bad credentials", "config_fault"),
        (530, "5.7.0 authenticate first", "config_fault"),
        (538, "5.7.11 encryption required", "config_fault"),
        (550, "5.1.1 no such user", "address_refused"),
        (550, "5.1.2 no such domain", "address_refused"),
        (551, "5.1.6 moved", "address_refused"),
        (553, "5.1.10 no mail here", "address_refused"),
        (550, "no thanks", "rejected"),
        (550, "5.7.1 blocked", "config_fault"),
        (552, "5.2.2 over quota", "throttled"),
        (552, "5.3.4 too large", "rejected"),
        (554, "5.7.1 policy", "config_fault"),
    ] {
        // A relay asks for credentials once a connection, so each row has its own.
        let sender = fixture.email();
        fixture.faults(json!({"email": [{"status": status, "reason": text, "count": 1}]})).await;
        told(text, sender.send_mail(&mail("ana@watchbell.test", "x"), now()).await, code, text);
    }
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_reply_that_never_came_is_ambiguous_and_the_repetition_is_the_same_mail() {
    let fixture = ProviderFixture::start().await;
    let (sender, job) = (fixture.email(), mail("ana@watchbell.test", "x"));
    fixture.faults(json!({"email": [{"drop": "after", "count": 1}]})).await;
    let error = sender.send_mail(&job, now()).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Retry { wait_min: std::time::Duration::ZERO });
    sender.send_mail(&job, now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    assert_eq!((arrivals.len(), &arrivals[0]["copies"]), (1, &json!(2)), "the same Message-ID");
    fixture.stop().await;
}

#[tokio::test]
async fn a_mail_can_be_unsubscribed_threaded_and_not_injected() {
    let fixture = ProviderFixture::start().await;
    let mut job = mail("ana@watchbell.test", "x");
    job.locale = Some("de".into());
    job.content.title = "Disk\r\nBcc: eve@evil.test\r\n\r\nis full\u{2028}".into();
    fixture.email().send_mail(&job, now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    assert_eq!(arrivals.len(), 1, "nobody else got one");
    let headers = &arrivals[0]["headers"];
    let header = |name: &str| headers[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(header("subject"), "[Kritisch] Disk Bcc: eve@evil.test is full");
    assert!(headers["bcc"].is_null(), "{headers}");
    assert_eq!(header("message-id"), format!("<{}@watchbell.test>", job.attempt));
    assert!(header("references").starts_with("<alert-"), "{headers}");
    assert_eq!(header("list-unsubscribe-post"), "List-Unsubscribe=One-Click");
    assert_eq!(header("auto-submitted"), "auto-generated");
    let link = header("list-unsubscribe");
    let token =
        link.strip_prefix("<https://alerts.watchbell.test/v1/unsubscribe/").unwrap().trim_end_matches('>');
    let read = Unsubscribe::new(&Secret::from("a-secret-of-tests")).read(token).unwrap();
    assert!(read.is_for(&job.to) && read.user.user.as_str() == "ana");
    fixture.stop().await;
}

#[tokio::test]
async fn connections_are_kept() {
    let fixture = ProviderFixture::start().await;
    let sender: SmtpSender = fixture.email();
    for n in 0..10 {
        sender.send_mail(&mail("ana@watchbell.test", &format!("a-{n}")), now()).await.unwrap();
    }
    let arrivals = fixture.arrivals().await;
    assert_eq!(arrivals.len(), 10);
    assert!(arrivals.iter().all(|a| a["connection"] == 1), "one connection for all");
    fixture.stop().await;
}
