//! Events as the providers document them, and what each says.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use watchbell::domain::{Secret, email::is_digest_of};

use super::*;

const ADDRESS: &str = "ana@example.net";

fn attempt() -> Uuid {
    Uuid::from_u128(7)
}

fn ticket() -> MailTicket {
    MailTicket::of(attempt(), &Secret::from(ADDRESS))
}

/// What the events say, each of our mail to ana's address.
fn said(provider: &str, post: &Value) -> Vec<BounceKind> {
    let told = |event: &MailEvent| {
        let bounce = event.bounce().unwrap_or_else(|| panic!("{event:?} names a mail"));
        assert_eq!((bounce.attempt, &bounce.address_digest), (attempt(), &ticket().address_digest));
        assert!(!bounce.reason.contains('@'), "{}", bounce.reason);
        bounce.kind
    };
    events_of(provider, post).iter().map(told).collect()
}

#[test]
fn amazon_ses() {
    let mail = json!({"source": format!("{}@bounces.example.com", ticket()), "messageId": "0000-1"});
    let bounce = |kind: &str, subtype: &str, recipient: Value| {
        let bounce = json!({"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": [recipient]});
        json!({"notificationType": "Bounce", "bounce": bounce, "mail": mail})
    };
    for (why, post, expected) in [
        (
            "no such mailbox",
            bounce(
                "Permanent",
                "General",
                json!({"emailAddress": ADDRESS, "action": "failed", "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 <ana@example.net> user unknown"}),
            ),
            vec![BounceKind::Hard],
        ),
        (
            "on Amazon's own list",
            bounce("Permanent", "OnAccountSuppressionList", json!({"emailAddress": ADDRESS})),
            vec![BounceKind::Hard],
        ),
        (
            "not authenticated",
            bounce("Permanent", "General", json!({"emailAddress": ADDRESS, "status": "5.7.26"})),
            vec![BounceKind::Policy],
        ),
        (
            "a bare end proves nothing",
            bounce("Permanent", "General", json!({"emailAddress": ADDRESS})),
            vec![BounceKind::Soft],
        ),
        (
            "a full mailbox",
            bounce("Transient", "MailboxFull", json!({"emailAddress": ADDRESS, "status": "5.2.2"})),
            vec![BounceKind::Soft],
        ),
        (
            "a complaint, of event publishing",
            json!({"eventType": "Complaint", "mail": {"headers": [{"name": "X-Watchbell-Attempt", "value": ticket().to_string()}]},
                "complaint": {"complainedRecipients": [{"emailAddress": ADDRESS}], "complaintFeedbackType": "abuse"}}),
            vec![BounceKind::Complaint],
        ),
        ("a delivery", json!({"notificationType": "Delivery", "mail": mail}), vec![]),
    ] {
        assert_eq!(said("ses", &post), expected, "{why}");
    }
}

#[test]
fn sendgrid() {
    let event = |event: Value| {
        let mut whole = json!({"email": ADDRESS, "smtp-id": format!("<{}@example.com>", attempt())});
        whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        whole
    };
    let post = json!([
        event(json!({"event": "processed"})),
        event(json!({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 unknown"})),
        event(
            json!({"event": "bounce", "type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 blocked"})
        ),
        event(json!({"event": "bounce", "type": "blocked", "status": "5.1.1", "reason": "550 5.1.1"})),
        event(json!({"event": "dropped", "reason": "Bounced Address"})),
        event(json!({"event": "dropped", "reason": "Unsubscribed Address"})),
        event(json!({"event": "deferred", "response": "450 try later"})),
        event(json!({"event": "spamreport"})),
    ]);
    let expected =
        [BounceKind::Hard, BounceKind::Policy, BounceKind::Soft, BounceKind::Hard, BounceKind::Complaint];
    assert_eq!(said("sendgrid", &post), expected);
}

#[test]
fn mailgun() {
    let event = |event: Value| {
        let mut whole = json!({"recipient": ADDRESS, "message": {"headers": {"message-id": format!("{}@example.com", attempt())}}});
        whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        json!({"signature": {}, "event-data": whole})
    };
    for (why, post, expected) in [
        (
            "no such mailbox",
            event(json!({"event": "failed", "severity": "permanent", "reason": "bounce",
                "delivery-status": {"code": 550, "message": "5.1.1 <ana@example.net> not found"}})),
            vec![BounceKind::Hard],
        ),
        (
            "on Mailgun's own list",
            event(json!({"event": "failed", "severity": "permanent", "reason": "suppress-bounce"})),
            vec![BounceKind::Hard],
        ),
        ("tried again", event(json!({"event": "failed", "severity": "temporary"})), vec![]),
        ("a complaint", event(json!({"event": "complained"})), vec![BounceKind::Complaint]),
        ("delivered", event(json!({"event": "delivered"})), vec![]),
    ] {
        assert_eq!(said("mailgun", &post), expected, "{why}");
    }
}

#[test]
fn postmark() {
    let event = |record: &str, kind: &str| {
        json!({"RecordType": record, "Type": kind, "Email": ADDRESS, "Metadata": {"watchbell": ticket().to_string()},
            "Details": "smtp;550 5.1.1 <ana@example.net> unknown"})
    };
    for (post, expected) in [
        (event("Bounce", "HardBounce"), vec![BounceKind::Hard]),
        (event("Bounce", "SoftBounce"), vec![BounceKind::Soft]),
        (event("Bounce", "Transient"), vec![]),
        (event("Bounce", "DMARCPolicy"), vec![BounceKind::Policy]),
        (event("Bounce", "AutoResponder"), vec![]),
        (event("SpamComplaint", "SpamComplaint"), vec![BounceKind::Complaint]),
        (event("Delivery", ""), vec![]),
    ] {
        assert_eq!(said("postmark", &post), expected, "{post}");
    }
}

#[test]
fn what_is_of_another_shape_says_nothing() {
    for post in [
        json!(null),
        json!("x"),
        json!([1, "x", {}]),
        json!({"event-data": []}),
        json!({"bounce": {"bouncedRecipients": 7}}),
    ] {
        for provider in crate::mail_events::PROVIDERS {
            assert_eq!(events_of(provider, &post), [], "{provider} {post}");
        }
    }
    let of_another = json!([{"event": "bounce", "email": "x@example.net", "smtp-id": "<abc@other.example>"}]);
    assert_eq!(events_of("sendgrid", &of_another)[0].bounce(), None, "a mail that is not ours");
}

#[test]
fn an_address_in_other_letters_is_the_same() {
    let event = |address: &str| MailEvent {
        ticket: None,
        message_id: Some(attempt()),
        address: Some(address.to_owned()),
        kind: BounceKind::Hard,
        reason: String::new(),
    };
    for address in ["ana@example.net", "ANA@EXAMPLE.NET", "Ana@Example.Net"] {
        for written_to in ["ana@example.net", "Ana@example.net"] {
            let digest = event(address).bounce().unwrap().address_digest;
            assert!(is_digest_of(&digest, &Secret::from(written_to)), "{address} for {written_to}");
        }
        let digest = event(address).bounce().unwrap().address_digest;
        assert!(!is_digest_of(&digest, &Secret::from("ben@example.net")), "{address}");
    }
}

#[test]
fn a_ticket_is_read_with_and_without_a_signature() {
    use watchbell::wire::return_ticket::ReturnTickets;
    let signed = ReturnTickets::new(&Secret::from("a secret that is not known here")).local_part(&ticket());
    for text in
        [signed.clone(), ticket().to_string(), format!("<{}@bounces.example.com>", signed.to_uppercase())]
    {
        assert_eq!(ticket_in(&json!({"headers": [{"value": text}]})), Some(ticket()), "{text}");
    }
}
