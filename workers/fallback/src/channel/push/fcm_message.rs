//! Google's messages, fitted into what a push may hold.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    job::PushContent,
    render::{
        Extras, PAYLOAD_BYTES_MAX, Text, WITHDRAWAL_TTL_S, collapse_id, does_not_fit, fit, fit_ids, ttl_s,
    },
};
use crate::channel::{error::SendError, message::AlertContent};

/// The message for Google without its `token`. Every value of `data` is a text, as FCM demands.
///
/// `collapse_key` is left out on purpose: a device keeps four of them. The tag replaces on the phone.
///
/// # Errors
/// [`SendError::Rejected`] when not even the ids fit.
pub(super) fn fcm_message(content: &PushContent, now: Timestamp) -> Result<Value, SendError> {
    let text = match content {
        PushContent::Alert(alert) => {
            fit(alert, PAYLOAD_BYTES_MAX, |text| fcm_alert(alert, text, now).to_string())
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
                json!({"data": data, "android": android}).to_string()
            })
        }
    };
    let text = text.ok_or_else(does_not_fit)?;
    Ok(serde_json::from_str(&text).expect("it was JSON a moment ago"))
}

fn fcm_alert(alert: &AlertContent, text: Text<'_>, now: Timestamp) -> Value {
    let mut notification = json!({"title": text.title});
    if let Some(body) = text.body {
        notification["body"] = json!(body);
    }
    let mut data = json!({
        "alert": alert.alert,
        "user": alert.user,
        "severity": alert.severity.as_str(),
    });
    if let Some(url) = text.url {
        data["url"] = json!(url);
    }
    let extras = Extras::of(alert, text);
    if !extras.actions.is_empty() {
        // Google shows no buttons by itself: the app does. Every value of `data` is a text.
        data["actions"] = json!(json!(extras.actions).to_string());
    }
    if let Some(image) = extras.image {
        notification["image"] = json!(image);
    }
    let ttl_s = ttl_s(alert, now);
    json!({
        "notification": notification,
        "data": data,
        "android": {
            "priority": "HIGH",
            "ttl": format!("{ttl_s}s"),
            "notification": {
                "tag": collapse_id(&alert.collapse_key),
                "notification_count": i32::try_from(alert.unread).unwrap_or(i32::MAX),
            },
        },
    })
}
