//! Live Activities, as Apple takes them and as phones show them.
//!
//! What holds here:
//! - A start makes an activity with a token of its own, which `/activities` tells, as ActivityKit tells it to the app. It is updated and
//!   ended by that token alone; what has ended is gone (410).
//! - One that is started with a channel has no token: it is told what is broadcast there, and its app ends it when the alert is withdrawn.
//! - What is required of a payload is refused when it is missing. The real host takes it in and the phone ignores it, which nobody
//!   would notice; so the reason, `InvalidLiveActivity`, is our own.
//! - At most [`ACTIVITIES_MAX`] are known; the oldest go first.
//!
//! Elsewhere: the JSON interface, in `activities_http`; Apple's side of channels, in `broadcasts`.
//!
//! Rules: <https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications>.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::channels::Channels;

/// Activities known at once, on all phones.
const ACTIVITIES_MAX: usize = 1_000;
/// What an app's topic ends in for its activities.
const TOPIC_SUFFIX: &str = ".push-type.liveactivity";

/// What a push does to an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Event {
    Start,
    Update,
    End,
}

/// What `aps` of a Live Activity has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    timestamp: i64,
    event: Event,
    content_state: Option<Value>,
    attributes_type: Option<String>,
    attributes: Option<Attributes>,
    alert: Option<Value>,
    input_push_channel: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attributes {
    alert: Option<String>,
    user: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    aps: Aps,
}

/// An activity on a phone.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Activity {
    /// Its own token; of one that listens to a channel, what it is known by here alone.
    pub(crate) token: String,
    /// The channel that it listens to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
    /// What it was started by; none of one that its app started.
    pub(crate) start_token: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) user: Option<String>,
    /// What was done last.
    pub(crate) event: Option<Event>,
    /// What it shows.
    pub(crate) state: Option<Value>,
    /// The time of what it shows, as the sender gave it.
    #[serde(skip)]
    pub(crate) told_at: i64,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Why a push is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Something required is missing.
    Invalid,
    /// The token is not one that this event goes to.
    BadToken,
    /// The activity has ended.
    Ended(Timestamp),
}

/// The activities of all phones.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    known: Mutex<VecDeque<Activity>>,
    /// What they can listen to.
    pub(crate) channels: Channels,
}

/// The bundle id in a topic, and whether the topic is that of its activities.
pub(crate) fn bundle_id(topic: &str) -> (&str, bool) {
    topic.strip_suffix(TOPIC_SUFFIX).map_or((topic, false), |bundle_id| (bundle_id, true))
}

impl Activities {
    /// What the phone shows once it takes this push. Changes nothing.
    pub(crate) fn judge(&self, token: &str, body: &[u8]) -> Result<Activity, NotTaken> {
        let Payload { aps } = serde_json::from_slice(body).map_err(|_| NotTaken::Invalid)?;
        let known = self.known();
        let own = known.iter().find(|activity| activity.token == token);
        let is_start_token = known.iter().any(|activity| activity.start_token.as_deref() == Some(token));
        match aps.event {
            Event::Start => {
                let has_all = aps.attributes_type.is_some_and(|name| !name.is_empty())
                    && aps.content_state.is_some()
                    && aps.alert.is_some();
                let (Some(attributes), true) = (aps.attributes, has_all) else {
                    return Err(NotTaken::Invalid);
                };
                if own.is_some() {
                    return Err(NotTaken::BadToken);
                }
                // A phone starts nothing that listens to no channel.
                if aps.input_push_channel.as_ref().is_some_and(|channel| !self.channels.has(channel)) {
                    return Err(NotTaken::Invalid);
                }
                Ok(Activity {
                    channel: aps.input_push_channel,
                    token: own_token(token, attributes.alert.as_deref().unwrap_or_default(), aps.timestamp),
                    start_token: Some(token.to_owned()),
                    alert: attributes.alert,
                    user: attributes.user,
                    event: Some(Event::Start),
                    state: aps.content_state,
                    told_at: aps.timestamp,
                    ended_at: None,
                })
            }
            Event::Update | Event::End => {
                if aps.event == Event::Update && aps.content_state.is_none() {
                    return Err(NotTaken::Invalid);
                }
                let own = own.filter(|own| !is_start_token && own.channel.is_none());
                let Some(own) = own else { return Err(NotTaken::BadToken) };
                match own.ended_at {
                    Some(ended_at) => Err(NotTaken::Ended(ended_at)),
                    None => Ok(told(own, &aps)),
                }
            }
        }
    }

    /// What the phones that listen to this channel show once they are told this. Changes nothing.
    pub(crate) fn judge_broadcast(&self, channel: &str, body: &[u8]) -> Result<Vec<Activity>, NotTaken> {
        let Payload { aps } = serde_json::from_slice(body).map_err(|_| NotTaken::Invalid)?;
        let is_update = aps.event == Event::Update && aps.content_state.is_some();
        if !is_update && aps.event != Event::End {
            return Err(NotTaken::Invalid);
        }
        let known = self.known();
        let listens = |activity: &&Activity| {
            activity.channel.as_deref() == Some(channel) && activity.ended_at.is_none()
        };
        Ok(known.iter().filter(listens).map(|activity| told(activity, &aps)).collect())
    }

    /// The app of a phone of this person ends what listens to a channel and is about one of these alerts, as apps do that are told a
    /// withdrawal: nobody else could.
    pub(crate) fn end_withdrawn(&self, user: &str, alerts: &[String], now: Timestamp) -> Vec<Activity> {
        let mut ended = Vec::new();
        for activity in self.known().iter_mut() {
            let is_about = activity.alert.as_ref().is_some_and(|alert| alerts.contains(alert));
            let is_theirs = activity.user.as_deref() == Some(user);
            if is_about && is_theirs && activity.channel.is_some() && activity.ended_at.is_none() {
                (activity.event, activity.ended_at) = (Some(Event::End), Some(now));
                ended.push(activity.clone());
            }
        }
        ended
    }

    /// The phone takes it.
    pub(crate) fn take(&self, mut shown: Activity, now: Timestamp) {
        if shown.event == Some(Event::End) {
            shown.ended_at = Some(now);
        }
        let mut known = self.known();
        match known.iter_mut().find(|activity| activity.token == shown.token) {
            Some(activity) => *activity = shown,
            None => known.push_back(shown),
        }
        while known.len() > ACTIVITIES_MAX {
            known.pop_front();
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, VecDeque<Activity>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an activity shows once it is told this. A phone leaves out what is older than what it shows.
fn told(activity: &Activity, aps: &Aps) -> Activity {
    let is_stale = aps.timestamp < activity.told_at;
    let state = aps.content_state.clone().filter(|_| !is_stale).or_else(|| activity.state.clone());
    let told_at = aps.timestamp.max(activity.told_at);
    Activity { event: Some(aps.event), state, told_at, ..activity.clone() }
}

/// As long as a token of Apple's, and the same for the same start.
fn own_token(start_token: &str, alert: &str, timestamp: i64) -> String {
    let name = format!("{start_token} {alert} {timestamp}");
    let half = |space: &Uuid| Uuid::new_v5(space, name.as_bytes()).simple().to_string();
    half(&Uuid::NAMESPACE_OID) + &half(&Uuid::NAMESPACE_URL)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn push(event: &str, timestamp: i64) -> Value {
        json!({"aps": {"event": event, "timestamp": timestamp, "content-state": {"title": event}}})
    }

    fn start() -> Value {
        let mut start = push("start", 1);
        start["aps"]["attributes-type"] = json!("WatchbellAlert");
        start["aps"]["attributes"] = json!({"alert": "disk-7", "user": "ana"});
        start["aps"]["alert"] = json!({"title": "x", "body": "y"});
        start
    }

    fn without(mut push: Value, key: &str) -> Value {
        push["aps"].as_object_mut().unwrap().remove(key);
        push
    }

    #[test]
    fn what_is_required_is_asked_for() {
        let activities = Activities::default();
        let judge =
            |push: &Value| activities.judge("a1", push.to_string().as_bytes()).map(|shown| shown.event);
        assert_eq!(judge(&start()), Ok(Some(Event::Start)));
        for key in ["event", "timestamp", "content-state", "attributes-type", "attributes", "alert"] {
            assert_eq!(judge(&without(start(), key)), Err(NotTaken::Invalid), "{key}");
        }
        assert_eq!(judge(&push("pause", 1)), Err(NotTaken::Invalid));
        assert_eq!(judge(&without(push("update", 1), "content-state")), Err(NotTaken::Invalid));
        assert_eq!(judge(&push("update", 1)), Err(NotTaken::BadToken), "nobody started it");
    }

    #[test]
    fn an_activity_is_changed_and_ended_by_its_own_token() {
        let activities = Activities::default();
        let now = Timestamp::UNIX_EPOCH;
        let judge = |token: &str, push: Value| activities.judge(token, push.to_string().as_bytes());
        let started = judge("a1", start()).unwrap();
        activities.take(started.clone(), now);
        assert_eq!(judge("a1", push("update", 2)).unwrap_err(), NotTaken::BadToken, "that starts another");
        assert_eq!(judge(&started.token, start()).unwrap_err(), NotTaken::BadToken, "that starts none");
        let later = judge(&started.token, push("update", 5)).unwrap();
        assert_eq!(
            (later.alert.as_deref(), later.state.clone()),
            (Some("disk-7"), Some(json!({"title": "update"})))
        );
        activities.take(later, now);
        let mut stale = push("update", 3);
        stale["aps"]["content-state"]["title"] = json!("old");
        assert_eq!(judge(&started.token, stale).unwrap().state, Some(json!({"title": "update"})), "too old");
        let ended = judge(&started.token, push("end", 6)).unwrap();
        activities.take(ended, now);
        assert_eq!(judge(&started.token, push("update", 7)).unwrap_err(), NotTaken::Ended(now));
    }
}
