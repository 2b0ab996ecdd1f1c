//! What each provider's event says of an address. Pure.
//!
//! Sources, as of 2026-11: Amazon SES, <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>; SendGrid,
//! <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>; Mailgun,
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure>; Postmark,
//! <https://postmarkapp.com/developer/webhooks/bounce-webhook>.

use serde_json::Value;
use uuid::Uuid;
use watchbell::{
    domain::{
        BounceKind,
        bounce::{Bounce, REASON_BYTES_MAX, enhanced_status, kind_of, status_within},
        email::{email_address, folded_address_digest},
        text::without_addresses,
    },
    wire::{mail_ticket::MailTicket, return_ticket},
};

/// The longest text in which a ticket is looked for, in bytes.
const TICKET_TEXT_BYTES_MAX: usize = 1_024;

/// One event about one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailEvent {
    /// The mail, where the event repeats what it carried.
    pub ticket: Option<MailTicket>,
    /// The mail's `Message-ID`, if it is one of ours.
    pub message_id: Option<Uuid>,
    /// The address.
    pub address: Option<String>,
    /// What it says.
    pub kind: BounceKind,
    /// In the receiver's words, without addresses.
    pub reason: String,
}

impl MailEvent {
    /// What is recorded of it; `None` when it names no mail that could be ours.
    pub fn bounce(&self) -> Option<Bounce> {
        let (kind, reason) = (self.kind, self.reason.clone());
        if let Some(MailTicket { attempt, address_digest }) = self.ticket.clone() {
            return Some(Bounce { attempt, address_digest, kind, reason });
        }
        let address = email_address(self.address.as_deref()?).ok()?;
        Some(Bounce {
            attempt: self.message_id?,
            address_digest: folded_address_digest(&address),
            kind,
            reason,
        })
    }
}

/// What a post says of addresses. Deliveries, openings and clicks say nothing here.
pub fn events_of(provider: &str, post: &Value) -> Vec<MailEvent> {
    match provider {
        "ses" => of_ses(post),
        "sendgrid" => post.as_array().into_iter().flatten().filter_map(of_sendgrid).collect(),
        "mailgun" => of_mailgun(&post["event-data"]).into_iter().collect(),
        "postmark" => of_postmark(post).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn of_ses(post: &Value) -> Vec<MailEvent> {
    let event = text(&post["notificationType"]).or(text(&post["eventType"])).unwrap_or_default();
    let of = |recipient: &Value, kind, reason: &str| MailEvent {
        ticket: ticket_in(&post["mail"]),
        message_id: message_id_of(&post["mail"]["commonHeaders"]["messageId"]),
        address: text(&recipient["emailAddress"]).map(str::to_owned),
        kind,
        reason: tidy(reason),
    };
    match event {
        "Bounce" => {
            let bounce = &post["bounce"];
            let is_permanent = text(&bounce["bounceType"]) == Some("Permanent");
            let subtype = text(&bounce["bounceSubType"]).unwrap_or_default();
            let of_one = |recipient: &Value| {
                let said = text(&recipient["diagnosticCode"]).unwrap_or(subtype);
                let status = text(&recipient["status"]);
                let kind = match (is_permanent, subtype) {
                    (true, "NoEmail" | "Suppressed" | "OnAccountSuppressionList") => BounceKind::Hard,
                    (true, _) => permanent(status, said),
                    (false, _) => BounceKind::Soft,
                };
                of(recipient, kind, said)
            };
            list(&bounce["bouncedRecipients"]).map(of_one).collect()
        }
        "Complaint" => {
            let complaint = &post["complaint"];
            let reason = text(&complaint["complaintFeedbackType"]).unwrap_or("complaint");
            list(&complaint["complainedRecipients"])
                .map(|one| of(one, BounceKind::Complaint, reason))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn of_sendgrid(event: &Value) -> Option<MailEvent> {
    let (status, reason) = (text(&event["status"]), text(&event["reason"]).unwrap_or_default());
    let kind = match (text(&event["event"])?, text(&event["type"])) {
        // What it calls blocked is the receiver's refusal of this mail, and not an end of the address.
        ("bounce", Some("blocked")) => match permanent(status, reason) {
            BounceKind::Policy => BounceKind::Policy,
            _ => BounceKind::Soft,
        },
        ("bounce", _) => permanent(status, reason),
        ("dropped", _) if reason.starts_with("Bounced Address") || reason == "Invalid" => BounceKind::Hard,
        ("dropped", _) if reason.starts_with("Spam Reporting Address") => BounceKind::Complaint,
        ("spamreport", _) => BounceKind::Complaint,
        _ => return None,
    };
    Some(MailEvent {
        ticket: ticket_in(event),
        message_id: message_id_of(&event["smtp-id"]),
        address: text(&event["email"]).map(str::to_owned),
        kind,
        reason: tidy(reason),
    })
}

fn of_mailgun(event: &Value) -> Option<MailEvent> {
    let delivery = &event["delivery-status"];
    let said = ["message", "description"]
        .into_iter()
        .find_map(|field| text(&delivery[field]).filter(|text| !text.is_empty()));
    let said = said.or(text(&event["reason"])).unwrap_or_default();
    let kind = match (text(&event["event"])?, text(&event["severity"]), text(&event["reason"])) {
        ("failed", Some("permanent"), Some("suppress-bounce")) => BounceKind::Hard,
        ("failed", Some("permanent"), Some("suppress-complaint")) | ("complained", ..) => {
            BounceKind::Complaint
        }
        ("failed", Some("permanent"), _) => permanent(text(&delivery["enhanced-code"]), said),
        // It is tried again, and told of once more when that ends.
        _ => return None,
    };
    Some(MailEvent {
        ticket: ticket_in(&event["user-variables"]).or_else(|| ticket_in(&event["envelope"])),
        message_id: message_id_of(&event["message"]["headers"]["message-id"]),
        address: text(&event["recipient"]).map(str::to_owned),
        kind,
        reason: tidy(said),
    })
}

fn of_postmark(event: &Value) -> Option<MailEvent> {
    let said = ["Details", "Description", "Type"]
        .into_iter()
        .find_map(|field| text(&event[field]).filter(|text| !text.is_empty()));
    let kind = match (text(&event["RecordType"])?, text(&event["Type"]).unwrap_or_default()) {
        ("SpamComplaint", _) | ("Bounce", "SpamComplaint") => BounceKind::Complaint,
        ("Bounce", "HardBounce" | "BadEmailAddress" | "ManuallyDeactivated") => BounceKind::Hard,
        ("Bounce", "Blocked" | "DMARCPolicy" | "SpamNotification" | "ISPBlock") => BounceKind::Policy,
        ("Bounce", "SoftBounce" | "DnsError" | "Undeliverable" | "Unknown") => BounceKind::Soft,
        // `Transient` is tried again; an automatic reply, a challenge, a subscription say nothing.
        _ => return None,
    };
    Some(MailEvent {
        ticket: ticket_in(&event["Metadata"]),
        message_id: None,
        address: text(&event["Email"]).map(str::to_owned),
        kind,
        reason: tidy(said.unwrap_or_default()),
    })
}

/// What a refusal for good says: its status, or the one in the receiver's words. A bare one proves nothing.
fn permanent(status: Option<&str>, said: &str) -> BounceKind {
    let stated = status.and_then(enhanced_status).filter(|status| *status != [5, 0, 0]);
    stated.or_else(|| status_within(said)).map_or(BounceKind::Soft, kind_of)
}

/// A ticket in any text within: providers repeat headers, return paths and variables in places of their own. The provider, whose
/// key was checked, vouches for it, as it does for a `Message-ID`.
fn ticket_in(value: &Value) -> Option<MailTicket> {
    match value {
        Value::String(text) if text.len() <= TICKET_TEXT_BYTES_MAX => {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find_map(return_ticket::unverified)
        }
        Value::Array(values) => values.iter().find_map(ticket_in),
        Value::Object(values) => values.values().find_map(ticket_in),
        _ => None,
    }
}

/// The attempt in `<018f…@example.com>`.
fn message_id_of(value: &Value) -> Option<Uuid> {
    let id = text(value)?.trim().trim_start_matches('<');
    Uuid::try_parse(id.split_once('@')?.0).ok()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// One line without addresses, of bounded length.
fn tidy(text: &str) -> String {
    let mut line = without_addresses(text);
    line.truncate(line.floor_char_boundary(REASON_BYTES_MAX));
    line
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
