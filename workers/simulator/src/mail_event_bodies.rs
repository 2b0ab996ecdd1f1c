//! What each mail provider writes of a mail. Pure.
//!
//! Sources, as of 2026-11:
//! - Amazon SES: <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>
//! - SendGrid: <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>
//! - Mailgun: <https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure>
//! - Postmark: <https://postmarkapp.com/developer/webhooks/bounce-webhook>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arrivals::Incoming;

/// A provider of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MailProvider {
    Ses,
    Sendgrid,
    Mailgun,
    Postmark,
}

/// What happened to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailEventKind {
    /// There is no such mailbox.
    Bounce,
    /// The mailbox is full.
    SoftBounce,
    /// Its reader called it spam.
    Complaint,
    /// It is in the mailbox.
    Delivery,
    /// Nothing yet: Amazon asks whether its events are wanted.
    Subscription,
}

/// What providers repeat of a mail.
pub(crate) struct ReportedMail<'a> {
    to: &'a str,
    /// With its angle brackets.
    message_id: &'a str,
    /// Of Postmark alone, which is given it as metadata.
    ticket: &'a str,
}

impl<'a> ReportedMail<'a> {
    pub(crate) fn of(mail: &'a Incoming) -> Self {
        let header = |name: &str| mail.headers.get(name).map_or("", String::as_str);
        // A relay of Postmark's is given `X-PM-Metadata-watchbell`, with the same in it.
        Self { to: &mail.to, message_id: header("message-id"), ticket: header("x-watchbell-attempt") }
    }
}

/// The event as this provider writes it.
pub(crate) fn body_of(
    provider: MailProvider,
    event: MailEventKind,
    mail: &ReportedMail<'_>,
    now: Timestamp,
) -> Value {
    match provider {
        MailProvider::Ses => of_ses(event, mail, now),
        MailProvider::Sendgrid => json!([of_sendgrid(event, mail, now)]),
        MailProvider::Mailgun => of_mailgun(event, mail, now),
        MailProvider::Postmark => of_postmark(event, mail, now),
    }
}

fn of_ses(event: MailEventKind, mail: &ReportedMail<'_>, now: Timestamp) -> Value {
    let to = mail.to;
    let mut whole = json!({"mail": {
        "timestamp": now.to_string(), "messageId": "0107019a-0000-4000-8000-000000000001-000000", "destination": [to],
        "commonHeaders": {"messageId": mail.message_id, "to": [to]},
    }});
    let bounce = |kind: &str, subtype: &str, status: &str, said: &str| {
        json!({"bounceType": kind, "bounceSubType": subtype, "timestamp": now.to_string(), "feedbackId": "1",
            "bouncedRecipients": [{"emailAddress": to, "action": "failed", "status": status, "diagnosticCode": said}]})
    };
    let (kind, field, said) = match event {
        MailEventKind::Bounce => {
            let said = bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown");
            ("Bounce", "bounce", said)
        }
        MailEventKind::SoftBounce => {
            let said = bounce("Transient", "MailboxFull", "5.2.2", "smtp; 552 5.2.2 mailbox full");
            ("Bounce", "bounce", said)
        }
        MailEventKind::Complaint => {
            let recipients = json!([{"emailAddress": to}]);
            let said = json!({"complainedRecipients": recipients, "complaintFeedbackType": "abuse"});
            ("Complaint", "complaint", said)
        }
        MailEventKind::Delivery | MailEventKind::Subscription => {
            ("Delivery", "delivery", json!({"recipients": [to], "smtpResponse": "250 2.0.0 Ok"}))
        }
    };
    whole["notificationType"] = json!(kind);
    whole[field] = said;
    whole
}

fn of_sendgrid(event: MailEventKind, mail: &ReportedMail<'_>, now: Timestamp) -> Value {
    let mut whole = json!({
        "email": mail.to, "smtp-id": mail.message_id, "timestamp": now.as_second(), "sg_event_id": "ZXZlbnQ",
    });
    let (kind, more) = match event {
        MailEventKind::Bounce => {
            ("bounce", json!({"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 user unknown"}))
        }
        MailEventKind::SoftBounce => {
            ("bounce", json!({"type": "bounce", "status": "5.2.2", "reason": "552 5.2.2 mailbox full"}))
        }
        MailEventKind::Complaint => ("spamreport", json!({})),
        MailEventKind::Delivery | MailEventKind::Subscription => {
            ("delivered", json!({"response": "250 2.0.0 Ok"}))
        }
    };
    whole["event"] = json!(kind);
    for (name, value) in more.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    whole
}

fn of_mailgun(event: MailEventKind, mail: &ReportedMail<'_>, now: Timestamp) -> Value {
    let (kind, severity, status) = match event {
        MailEventKind::Bounce => ("failed", Some("permanent"), "5.1.1 user unknown"),
        MailEventKind::SoftBounce => ("failed", Some("permanent"), "5.2.2 mailbox full"),
        MailEventKind::Complaint => ("complained", None, ""),
        MailEventKind::Delivery | MailEventKind::Subscription => ("delivered", None, "2.0.0 Ok"),
    };
    // Mailgun writes ids without the angle brackets.
    let id = mail.message_id.trim_matches(['<', '>']);
    json!({
        "event": kind, "severity": severity, "reason": "generic", "timestamp": now.as_second(), "recipient": mail.to,
        "message": {"headers": {"message-id": id}}, "delivery-status": {"message": status},
    })
}

fn of_postmark(event: MailEventKind, mail: &ReportedMail<'_>, now: Timestamp) -> Value {
    let (record, kind, details) = match event {
        MailEventKind::Bounce => ("Bounce", "HardBounce", "smtp;550 5.1.1 user unknown"),
        MailEventKind::SoftBounce => ("Bounce", "SoftBounce", "smtp;552 5.2.2 mailbox full"),
        MailEventKind::Complaint => ("SpamComplaint", "SpamComplaint", "abuse"),
        MailEventKind::Delivery | MailEventKind::Subscription => ("Delivery", "", "250 2.0.0 Ok"),
    };
    json!({
        "RecordType": record, "Type": kind, "Details": details, "Email": mail.to, "BouncedAt": now.to_string(),
        "Metadata": {"watchbell": mail.ticket},
    })
}
