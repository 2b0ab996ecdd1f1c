//! What a browser is sent, before it is encrypted: JSON for our service worker, which a browser that shows pushes by itself can read, too.
//!
//! What holds here:
//! - Our service worker reads the fields beside `notification`, as it always did; a declarative browser reads `web_push` and
//!   `notification` and nothing else. Both show the same.
//! - Where the text would have to be cut for saying it twice, only Apple's push service, whose browsers are declarative, gets both.
//!
//! Sources: the Push API, "Declarative push message" (<https://w3c.github.io/push-api/>), and WebKit's "Meet Declarative Web Push"
//! (<https://webkit.org/blog/16535/meet-declarative-web-push/>), which has `app_badge` in `notification` and as a text; the standard
//! has it beside, as a number.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    job::PushContent,
    render::{Extras, Text, WITHDRAWAL_TTL_S, collapse_id, does_not_fit, fit, fit_ids, fit_whole, ttl_s},
    webpush_services::BrowserService,
};
use crate::channel::{
    error::{SendError, no_activity},
    link,
    message::AlertContent,
};

/// What is left of a Web Push message of 4,096 bytes after its header of 86, a padding delimiter and the tag
/// (RFC 8291, section 4).
pub(super) const WEBPUSH_BYTES_MAX: usize = 4096 - 86 - 1 - 16;

/// What tells a declarative message from other JSON: the number of the RFC.
const DECLARATIVE: u64 = 8030;

/// The JSON for a browser, to be encrypted. `page` shows a person's alerts: it is what a browser opens that shows a push by itself, when
/// the alert has no address of its own.
///
/// # Errors
/// [`SendError::Rejected`] when not even the ids fit.
pub(super) fn webpush_payload(
    content: &PushContent,
    page: Option<&str>,
    service: &BrowserService,
) -> Result<String, SendError> {
    let json = match content {
        PushContent::Alert(alert) => {
            let for_both = |text: Text<'_>| {
                let mut message = for_worker(alert, text, page);
                declare(&mut message, alert, text, page);
                message.to_string()
            };
            let for_worker = |text: Text<'_>| for_worker(alert, text, page).to_string();
            match service.is_declarative {
                true => fit(alert, WEBPUSH_BYTES_MAX, for_both),
                false => fit_whole(alert, WEBPUSH_BYTES_MAX, for_both)
                    .or_else(|| fit(alert, WEBPUSH_BYTES_MAX, for_worker)),
            }
        }
        PushContent::Withdrawal { user, alerts, unread } => {
            fit_ids(alerts, WEBPUSH_BYTES_MAX, |ids, more| {
                json!({"withdraw": ids, "user": user, "unread": unread, "more": more}).to_string()
            })
        }
        PushContent::Activity(_) => return Err(no_activity()),
    };
    json.ok_or_else(does_not_fit)
}

fn for_worker(alert: &AlertContent, text: Text<'_>, page: Option<&str>) -> Value {
    let extras = Extras::of(alert, text);
    let mut message = json!({
        "alert": alert.alert,
        "user": alert.user,
        "title": text.title,
        "body": text.body,
        "url": text.url,
        "severity": alert.severity.as_str(),
        "tag": collapse_id(&alert.collapse_key),
        "unread": alert.unread,
    });
    if let (Some(page), None) = (page, on_the_web(text)) {
        message["page"] = json!(alert_in(page, alert));
    }
    if !extras.actions.is_empty() {
        message["actions"] = json!(extras.actions);
        if let Some(address) = &alert.answers_at {
            message["answers_at"] = json!(address);
        }
    }
    if let Some(image) = extras.image {
        message["image"] = json!(image);
    }
    if let Some(data) = extras.data {
        message["data"] = json!(data);
    }
    message
}

/// Adds what a declarative browser reads. It needs an address for a click, so without one it is left to the service worker.
fn declare(message: &mut Value, alert: &AlertContent, text: Text<'_>, page: Option<&str>) {
    let navigate = on_the_web(text).map(str::to_owned).or_else(|| Some(alert_in(page?, alert)));
    let Some(navigate) = navigate else { return };
    let extras = Extras::of(alert, text);
    let mut notification = json!({
        "title": text.title,
        "navigate": navigate,
        "dir": "auto",
        "tag": message["tag"],
        "app_badge": alert.unread.to_string(),
    });
    if let Some(body) = text.body {
        notification["body"] = json!(body);
    }
    if let Some(image) = extras.image {
        notification["image"] = json!(image);
    }
    // A button leads somewhere: one that answers to the page that asks for the answer, if links can be signed.
    let shown = alert.actions.iter().zip(&extras.actions);
    let actions: Vec<Value> = shown
        .filter_map(|(button, action)| {
            let navigate = button.link.as_ref()?;
            Some(json!({"action": button.id, "title": action["title"], "navigate": navigate}))
        })
        .collect();
    if !actions.is_empty() {
        notification["actions"] = json!(actions);
    }
    message["web_push"] = json!(DECLARATIVE);
    message["app_badge"] = json!(alert.unread);
    message["notification"] = notification;
}

/// The alert's address, where a browser can open it from anywhere.
fn on_the_web(text: Text<'_>) -> Option<&str> {
    text.url.filter(|url| link::web_url(url).is_some())
}

/// The page with this alert. Ids of alerts need no escape in a fragment.
fn alert_in(page: &str, alert: &AlertContent) -> String {
    format!("{page}#watchbell={}", alert.alert)
}

/// How long a push service keeps a push for a browser that is not there, in seconds.
pub(super) fn webpush_ttl_s(content: &PushContent, now: Timestamp) -> i64 {
    match content {
        PushContent::Alert(alert) => ttl_s(alert, now),
        PushContent::Withdrawal { .. } | PushContent::Activity(_) => WITHDRAWAL_TTL_S,
    }
}

#[cfg(test)]
#[path = "webpush_message_tests.rs"]
mod tests;
