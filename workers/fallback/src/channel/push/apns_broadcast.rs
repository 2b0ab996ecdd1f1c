//! Broadcast channels as Apple is asked for them: requests, and what answers mean.
//!
//! What holds here:
//! - A channel stores the most recent message, so that a device that is off hears the last word; it is kept for
//!   [`BROADCAST_KEPT_MAX`] at the most.
//! - A bundle id stands in a path: what could be another path is not asked for.
//!
//! Sources: "Sending channel management requests to APNs",
//! <https://developer.apple.com/documentation/usernotifications/sending-channel-management-requests-to-apns>; "Sending broadcast push
//! notification requests to APNs",
//! <https://developer.apple.com/documentation/usernotifications/sending-broadcast-push-notification-requests-to-apns>; "Handling error
//! responses from Apple Push Notification service",
//! <https://developer.apple.com/documentation/usernotifications/handling-error-responses-from-apns>.

use jiff::Timestamp;
use reqwest::{
    Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::json;
use watchbell::domain::broadcast_channel::BROADCAST_KEPT_MAX;

use super::{apns_activity, apns_reply::classify};
use crate::channel::{
    broadcast::{Broadcast, BroadcastAct},
    error::{Blame, SendError},
    message::ActivityMessage,
    sender::Accepted,
};

/// `message-storage-policy`: the most recent message is stored.
const MOST_RECENT_MESSAGE: u8 = 1;
/// The longest name of a channel that is believed. Apple says to expect any length; it travels in a header and in a payload.
const CHANNEL_LEN_MAX: usize = 512;
const CONTENT_TYPE: &str = "content-type";
const CHANNEL_ID: &str = "apns-channel-id";

/// A request about a channel, without the host and the provider token.
pub(super) struct ChannelRequest {
    pub(super) method: Method,
    /// Whether it goes to the host that manages channels, and not to the one that takes pushes.
    pub(super) is_management: bool,
    path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl ChannelRequest {
    /// # Errors
    /// [`SendError::Rejected`] for what has no room, and for names that cannot be sent.
    pub(super) fn of(broadcast: &Broadcast) -> Result<Self, SendError> {
        let Broadcast { call, app, act, .. } = broadcast;
        let is_safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if app.is_empty() || app.contains("..") || !app.bytes().all(is_safe) {
            return Err(rejected("the app's bundle id cannot stand in a path"));
        }
        let managed = format!("/1/apps/{app}/channels");
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| match HeaderValue::try_from(value) {
            Ok(value) => {
                headers.insert(HeaderName::from_static(name), value);
                Ok(())
            }
            Err(_) => Err(rejected("what Apple calls the channel cannot be a header")),
        };
        put("apns-request-id", &call.hyphenated().to_string())?;
        let (method, is_management, path, body) = match act {
            BroadcastAct::Look => (Method::GET, true, format!("/1/apps/{app}/all-channels"), String::new()),
            BroadcastAct::Make => {
                put(CONTENT_TYPE, "application/json")?;
                let wanted =
                    json!({"message-storage-policy": MOST_RECENT_MESSAGE, "push-type": "LiveActivity"});
                (Method::POST, true, managed, wanted.to_string())
            }
            BroadcastAct::Delete { channel } => {
                put(CHANNEL_ID, channel)?;
                (Method::DELETE, true, managed, String::new())
            }
            BroadcastAct::Tell { channel, message } => {
                put(CONTENT_TYPE, "application/json")?;
                put(CHANNEL_ID, channel)?;
                put("apns-push-type", "liveactivity")?;
                let priority = apns_activity::priority(message.event).to_string();
                put("apns-priority", &priority)?;
                put("apns-expiration", &expiration_s(message).to_string())?;
                let body = apns_activity::payload(message)?;
                (Method::POST, false, format!("/4/broadcasts/apps/{app}"), body)
            }
        };
        Ok(Self { method, is_management, path, headers, body })
    }

    /// Where it goes, at this host.
    pub(super) fn at(&self, host: &Url) -> Url {
        let mut url = host.clone();
        url.set_path(&self.path);
        url
    }
}

/// Until when Apple keeps it for a device that is off, in seconds since 1970.
fn expiration_s(message: &ActivityMessage) -> u64 {
    let latest = (message.decided_at + BROADCAST_KEPT_MAX).as_second();
    apns_activity::expiration_s(message).min(u64::try_from(latest).unwrap_or(0))
}

fn rejected(reason: &str) -> SendError {
    SendError::Rejected { reason: reason.to_owned() }
}

/// What an answer about a channel means: the rows that other answers of Apple's do not have, and else those of [`classify`].
pub(super) fn classify_channel(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    match status {
        201 => {
            let name = headers.get(CHANNEL_ID).and_then(|name| name.to_str().ok());
            let name = name.filter(|name| (1..=CHANNEL_LEN_MAX).contains(&name.len()));
            let Some(name) = name else {
                return Err(rejected("the channel was made, and Apple does not say its name"));
            };
            return Ok(Accepted { provider_id: Some(name.to_owned()) });
        }
        200 | 204 => return Ok(Accepted::default()),
        _ => {}
    }
    let refused = classify(status, body, headers, now);
    let Err(error) = &refused else { return refused };
    let reason = error.reason().to_owned();
    Err(match (status, reason.as_str()) {
        // Apple documents it with 400 alone; a channel that is gone is gone, whatever the status says.
        (400 | 404 | 410, "BadChannelId" | "ChannelNotRegistered") => SendError::BadToken { reason },
        // The operator enables it in the account, for each app.
        (400, "FeatureNotEnabled") | (403, "TopicMismatch") => {
            SendError::ConfigFault { blame: Blame::Device, reason }
        }
        // `CannotCreateChannelConfig` is the bound on channels, which says nothing of those that are there.
        _ => return refused,
    })
}

#[cfg(test)]
#[path = "apns_broadcast_tests.rs"]
mod tests;
