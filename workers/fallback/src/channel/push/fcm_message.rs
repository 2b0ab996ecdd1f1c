//! Google's messages, fitted into what a push may hold. One message is for Android phones and, by its `apns` block, for iOS apps: which of
//! the two a token is of, only Google knows.

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::domain::{Secret, Severity};

use super::{
    fcm_style::FcmStyle,
    job::PushContent,
    render::{
        Extras, PAYLOAD_BYTES_MAX, Text, WITHDRAWAL_TTL_S, category_of, collapse_id, does_not_fit, fit,
        fit_ids, interruption_level, relevance_score, rings, ttl_s,
    },
};
use crate::channel::{
    error::{SendError, no_activity},
    message::AlertContent,
};

/// The message for Google without its `token`, with the token by which the app says that it has it. Every value of `data` is a text, as
/// FCM demands.
///
/// `collapse_key` is left out on purpose: a device keeps four of them. The tag replaces on the phone.
///
/// # Errors
/// [`SendError::Rejected`] when not even the ids fit.
pub(super) fn fcm_message(
    content: &PushContent,
    receipt: Option<&Secret>,
    style: &FcmStyle,
    now: Timestamp,
) -> Result<Value, SendError> {
    let text = match content {
        PushContent::Alert(alert) => {
            fit(alert, PAYLOAD_BYTES_MAX, |text| fcm_alert(alert, text, receipt, style, now).to_string())
        }
        PushContent::Withdrawal { user, alerts, unread } => {
            fit_ids(alerts, PAYLOAD_BYTES_MAX, |ids, more| {
                let ids = json!(ids).to_string();
                let mut data = json!({"withdraw": ids, "user": user, "unread": unread.to_string()});
                if more {
                    data["more"] = json!("true");
                }
                // Nothing is shown, and Google punishes urgent messages that show nothing.
                let android = json!({"priority": "NORMAL", "ttl": format!("{WITHDRAWAL_TTL_S}s")});
                let headers =
                    json!({"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "0"});
                let apns = json!({"headers": headers, "payload": {"aps": {"content-available": 1}}});
                json!({"data": data, "android": android, "apns": apns}).to_string()
            })
        }
        PushContent::Activity(_) => return Err(no_activity()),
    };
    let text = text.ok_or_else(does_not_fit)?;
    Ok(serde_json::from_str(&text).expect("it was JSON a moment ago"))
}

/// What is news wakes a phone that sleeps; the rest waits until it is awake, which keeps the app's standing with Google.
fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "NORMAL",
        Severity::Warning | Severity::Critical => "HIGH",
    }
}

fn fcm_alert(
    alert: &AlertContent,
    text: Text<'_>,
    receipt: Option<&Secret>,
    style: &FcmStyle,
    now: Timestamp,
) -> Value {
    let extras = Extras::of(alert, text);
    let tag = collapse_id(&alert.collapse_key);
    let mut data = json!({
        "alert": alert.alert,
        "user": alert.user,
        "severity": alert.severity.as_str(),
    });
    if let Some(receipt) = receipt {
        data["receipt"] = json!(receipt.expose());
    }
    if let Some(url) = text.url {
        data["url"] = json!(url);
    }
    if !extras.actions.is_empty() {
        // Google shows no buttons by itself: the app does. Every value of `data` is a text.
        data["actions"] = json!(json!(extras.actions).to_string());
    }
    if let Some(own) = extras.data {
        data["data"] = json!(json!(own).to_string());
    }
    let mut shown = json!({"title": text.title});
    if let Some(body) = text.body {
        shown["body"] = json!(body);
    }
    if let Some(image) = extras.image {
        shown["image"] = json!(image);
    }
    let mut android = json!({"priority": priority(alert.severity), "ttl": format!("{}s", ttl_s(alert, now))});
    let mut message = json!({"apns": apns_block(alert, text, &extras, &tag, style)});
    if style.data_only {
        for (name, value) in shown.as_object().into_iter().flatten() {
            data[name] = value.clone();
        }
        data["tag"] = json!(tag);
        data["unread"] = json!(alert.unread.to_string());
        if let Some(channel) = style.channel(alert.severity) {
            data["channel_id"] = json!(channel);
        }
    } else {
        message["notification"] = shown;
        let count = i32::try_from(alert.unread).unwrap_or(i32::MAX);
        android["notification"] = json!({"tag": tag, "notification_count": count});
        if let Some(channel) = style.channel(alert.severity) {
            android["notification"]["channel_id"] = json!(channel);
        }
    }
    message["data"] = data;
    message["android"] = android;
    message
}

/// What an iOS app gets beside `notification` and `data`. iOS shows what has an `alert`, which a message without `notification` lacks.
fn apns_block(
    alert: &AlertContent,
    text: Text<'_>,
    extras: &Extras<'_>,
    tag: &str,
    style: &FcmStyle,
) -> Value {
    let mut aps = json!({
        "badge": alert.unread,
        "interruption-level": interruption_level(alert.severity),
        "relevance-score": relevance_score(alert.severity),
        "mutable-content": 1,
    });
    if rings(alert.severity) {
        aps["sound"] = json!("default");
    }
    if let Some(category) = &alert.category {
        aps["thread-id"] = json!(category);
    }
    if let Some(category) = category_of(&extras.actions) {
        aps["category"] = json!(category);
    }
    if style.data_only {
        aps["alert"] = match text.body {
            Some(body) => json!({"title": text.title, "body": body}),
            None => json!({"title": text.title}),
        };
    }
    let expiration = u64::try_from(alert.expires_at.as_second()).unwrap_or(0).to_string();
    let headers = json!({
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": expiration,
        "apns-collapse-id": tag,
    });
    json!({"headers": headers, "payload": {"aps": aps}})
}

#[cfg(test)]
#[path = "fcm_message_tests.rs"]
mod tests;
