//! Live Activities as Apple is given them.
//!
//! What holds here:
//! - An app declares one kind of activity, [`ATTRIBUTES_TYPE`], and what it shows has the same keys in every push; a key without a
//!   value is left out. `docs/mobile.md` has the Swift types.
//! - A payload is at most as large as that of any push, and gives way in the same order.
//!
//! Source: "Starting and updating Live Activities with ActivityKit push notifications",
//! <https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications>.

use apns_h2::Priority;
use serde_json::{Value, json};

use super::render::{PAYLOAD_BYTES_MAX, Text, WITHDRAWAL_TTL_S, does_not_fit, fit, relevance_score};
use crate::channel::{
    error::SendError,
    message::{ActivityEvent, ActivityMessage, AlertContent},
};

/// The Swift type of an activity's attributes, which the app declares.
const ATTRIBUTES_TYPE: &str = "WatchbellAlert";
/// How long what is resolved says so on the lock screen.
const STAYS_FOR_S: i64 = 5 * 60;

/// The topic of an app's activities.
pub(super) fn topic(bundle_id: &str) -> String {
    format!("{bundle_id}.push-type.liveactivity")
}

/// Apple delivers what has 10 at once, and counts it against a budget of the app; what has 5 costs nothing of that.
pub(super) fn priority(event: ActivityEvent) -> Priority {
    match event {
        ActivityEvent::Start | ActivityEvent::Update { is_urgent: true } | ActivityEvent::End { .. } => {
            Priority::High
        }
        ActivityEvent::Update { is_urgent: false } => Priority::Normal,
    }
}

/// Until when Apple keeps it for a device that is off, in seconds since 1970. An end outlasts its alert.
pub(super) fn expiration_s(activity: &ActivityMessage) -> u64 {
    let until = match (activity.event, &activity.content) {
        (ActivityEvent::Start | ActivityEvent::Update { .. }, Some(alert)) => alert.expires_at.as_second(),
        (ActivityEvent::End { .. }, _) | (_, None) => activity.decided_at.as_second() + WITHDRAWAL_TTL_S,
    };
    // A date before 1970 would be a fault of ours; 0 means "now or never".
    u64::try_from(until).unwrap_or(0)
}

/// Apple wants a provider token for it, and takes no certificate:
/// <https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications>.
pub(super) fn by_certificate() -> SendError {
    SendError::Rejected {
        reason: "Apple takes Live Activities by a key alone: give [apns] a key in place of the certificate"
            .to_owned(),
    }
}

/// The payload.
///
/// # Errors
/// [`SendError::Rejected`] when not even the ids fit, and for a start of nothing.
pub(super) fn payload(activity: &ActivityMessage) -> Result<String, SendError> {
    match (&activity.content, activity.event) {
        (Some(alert), _) => fit(alert, PAYLOAD_BYTES_MAX, |text| {
            let mut aps = aps(activity);
            aps["content-state"] = content_state(activity, alert, text);
            if let ActivityEvent::Start | ActivityEvent::Update { .. } = activity.event {
                aps["stale-date"] = json!(alert.expires_at.as_second());
                // Which of several activities is in the Dynamic Island: the highest.
                aps["relevance-score"] = json!(100.0 * relevance_score(alert.severity));
            }
            if activity.event == ActivityEvent::Start {
                aps["attributes-type"] = json!(ATTRIBUTES_TYPE);
                aps["attributes"] = json!({"alert": alert.alert, "user": alert.user});
                // A start without an alert is not shown. It has no sound: the push of the alert has.
                aps["alert"] = json!({"title": text.title, "body": text.body.unwrap_or_default()});
                // From iOS 18 on: the activity listens to the channel, which it has to be for one to be started, or gets a token of its own.
                match &activity.channel {
                    Some(channel) => aps["input-push-channel"] = json!(channel),
                    None => aps["input-push-token"] = json!(1),
                }
            }
            json!({"aps": aps}).to_string()
        })
        .ok_or_else(does_not_fit),
        (None, ActivityEvent::End { .. }) => Ok(json!({"aps": aps(activity)}).to_string()),
        (None, ActivityEvent::Start | ActivityEvent::Update { .. }) => {
            Err(SendError::Rejected { reason: "there is nothing to show".to_owned() })
        }
    }
}

fn aps(activity: &ActivityMessage) -> Value {
    let second = activity.decided_at.as_second();
    let event = match activity.event {
        ActivityEvent::Start => "start",
        ActivityEvent::Update { .. } => "update",
        ActivityEvent::End { .. } => "end",
    };
    let mut aps = json!({"timestamp": second, "event": event});
    if let ActivityEvent::End { stays } = activity.event {
        // A time that has passed takes it away at once.
        aps["dismissal-date"] = json!(second + if stays { STAYS_FOR_S } else { 0 });
    }
    aps
}

fn content_state(activity: &ActivityMessage, alert: &AlertContent, text: Text<'_>) -> Value {
    let mut state = json!({
        "version": activity.version,
        "title": text.title,
        "severity": alert.severity.as_str(),
        "status": alert.status.as_str(),
    });
    if let Some(body) = text.body {
        state["body"] = json!(body);
    }
    if let Some(url) = text.url {
        state["url"] = json!(url);
    }
    state
}

#[cfg(test)]
#[path = "apns_activity_tests.rs"]
mod tests;
