//! Live messages: what dispatch and the pods tell all pods, so that screens light up at once.
//!
//! They are hints. One that is lost is healed from the store, because every frame made of it carries its `seq`. Events
//! have no number: a lost one is gone, or found among the topic's kept ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::action::AnswerV1;
use crate::domain::Severity;

/// Recipients one live message may name; a larger audience is several messages.
pub const LIVE_RECIPIENTS_MAX: usize = 1_000;
/// Bytes of the alerts that go into one live message together, about: a message that is one frame of AMQP is not taken apart
/// (`frame_max` is 128 KiB). One that is longer by itself goes alone.
pub const LIVE_TOGETHER_BYTES_MAX: usize = 64 * 1024;

/// What a recipient takes in a message, about: a name, three numbers and a word.
const RECIPIENT_BYTES: usize = 96;

/// The body of a message on `watchbell.live.<p>`: one partition, one tenant.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveV1<'a> {
    /// An alert for some users, encoded once for all of them.
    #[serde(borrow)]
    Alert(LiveAlert<'a>),
    /// Several of them, in their order: what one commit recorded.
    #[serde(borrow)]
    Alerts(Vec<LiveAlert<'a>>),
    /// What one user said about their alerts.
    Receipt(LiveReceipt),
    /// An event, for whoever subscribed to its topic.
    #[serde(borrow)]
    Event(LiveTopicEvent<'a>),
    /// One user's sessions end now.
    Revoke(LiveRevoke),
    /// One user wants something else now.
    #[serde(borrow)]
    Preferences(LivePreferences<'a>),
}

/// An alert for some users of one partition.
#[derive(Debug, Serialize, Deserialize)]
pub struct LiveAlert<'a> {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Who gets it, each with their own numbers.
    pub to: Vec<LiveRecipient>,
    /// For the time that it took, where that is known: a pod need not look inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<LivePublished>,
    /// What clients are given.
    #[serde(borrow)]
    pub content: &'a RawValue,
}

impl LiveAlert<'_> {
    /// How long it is when it is written, about.
    pub fn bytes(&self) -> usize {
        self.content.get().len() + self.to.len() * RECIPIENT_BYTES
    }
}

/// When the version that is told was published, and how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePublished {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// How bad.
    #[serde(with = "as_word")]
    pub severity: Severity,
}

/// One recipient of a live alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecipient {
    /// Who.
    pub user: String,
    /// The change number of their inbox.
    pub seq: u64,
    /// Their badge.
    pub unread: u64,
    /// What they did with it before, as a word: a later version keeps it.
    pub state: String,
    /// Until when they snoozed it, RFC 3339; only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What they answered, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerV1>,
}

/// A receipt that changed one user's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveReceipt {
    /// The tenant.
    pub tenant: String,
    /// Who said it.
    pub user: String,
    /// The change number it got.
    pub seq: u64,
    /// The badge after it.
    pub unread: u64,
    /// The alerts it changed.
    pub alerts: Vec<String>,
    /// What was said, as a word.
    pub state: String,
    /// Until when the alerts are snoozed, RFC 3339; only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// By which action the alerts are answered; only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Where it was said.
    pub by: String,
    /// The client's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
}

/// An event on its way to the subscribers of its topic, on the topic's partition. What filters look at stands beside
/// what clients are given, so that a pod need not look inside.
#[derive(Debug, Serialize, Deserialize)]
pub struct LiveTopicEvent<'a> {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// The topic.
    pub topic: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The system that noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How bad, as a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What clients are given.
    #[serde(borrow)]
    pub event: &'a RawValue,
}

/// The end of one user's sessions, on the user's partition. A pod that misses it finds the same in the user's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRevoke {
    /// The tenant.
    pub tenant: String,
    /// Whose sessions.
    pub user: String,
    /// Those of tokens issued up to then, milliseconds since 1970.
    pub issued_until_ms: i64,
}

/// What one user wants from now on, on the user's partition. Not numbered: a screen that misses it, or is told of two
/// changes of one moment in the wrong order, has it right with its next `hello`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LivePreferences<'a> {
    /// The tenant.
    pub tenant: String,
    /// Whose.
    pub user: String,
    /// What clients are given.
    #[serde(borrow)]
    pub preferences: &'a RawValue,
}

/// A severity as its word.
mod as_word {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::domain::Severity;

    pub(super) fn serialize<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(severity.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
        <&str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'a> LiveV1<'a> {
    /// What tells these alerts, at least one of them.
    pub fn of_alerts(mut alerts: Vec<LiveAlert<'a>>) -> Self {
        match alerts.pop() {
            Some(only) if alerts.is_empty() => Self::Alert(only),
            last => Self::Alerts(alerts.into_iter().chain(last).collect()),
        }
    }

    /// The message body.
    pub fn encode(&self) -> Vec<u8> {
        // Text, numbers and JSON that was read as JSON always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_live_alert_reads_back() {
    let content = RawValue::from_string(r#"{"id":"a"}"#.to_owned()).unwrap();
    let to = vec![LiveRecipient {
        user: "ana".into(),
        seq: 7,
        unread: 2,
        state: "new".into(),
        until: None,
        answer: None,
    }];
    let published = Some(LivePublished { at_ms: 1, severity: Severity::Critical });
    let live = LiveAlert { tenant: "acme".into(), to: to.clone(), published, content: &content };
    let bytes = LiveV1::Alert(live).encode();
    let LiveV1::Alert(back) = serde_json::from_slice(&bytes).unwrap() else { panic!("an alert") };
    assert_eq!((back.to, back.published, back.content.get()), (to, published, r#"{"id":"a"}"#));
}
