//! Topics: named streams of events, and who may read which.
//!
//! An event is a short-lived fact (a statistic, a monitor's state). Nobody is chased about it: it goes to the sessions
//! that subscribed to its topic, and the topic's last ones are kept for those who subscribe later.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;

use super::{
    Severity, Tenant,
    names::{InvalidName, check, name, partition_of},
};

/// Bounds of an event (I9). What it shares with an alert (labels, texts) has the alert's.
pub mod bounds {
    /// One event as JSON, in bytes.
    pub const EVENT_BYTES_MAX: usize = 64 * 1024;
    /// Events of one topic that are kept.
    pub const KEEP_MAX: u16 = 1_000;
    /// The type of an event, in characters.
    pub const TYPE_CHARS_MAX: usize = 128;
}

name! {
    /// A named stream of events within a tenant: `monitor:7`. It has no `/`, because it stands in addresses, and no
    /// `*`, because patterns do.
    Topic, 200
}
name! {
    /// An event within its topic: the idempotency key of those that are kept.
    EventId, 200
}

/// A topic, fully addressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey {
    /// The wall it is behind.
    pub tenant: Tenant,
    /// Which one it is behind it.
    pub topic: Topic,
}

impl TopicKey {
    /// Both names together.
    pub fn new(tenant: Tenant, topic: Topic) -> Self {
        Self { tenant, topic }
    }

    /// Which of `partitions` live exchanges carries this topic's events: CRC-32 of `tenant/topic`, as for a user.
    pub fn partition(&self, partitions: u16) -> u16 {
        partition_of(&self.tenant, self.topic.as_str(), partitions)
    }
}

/// A short-lived fact on a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where it belongs.
    pub key: TopicKey,
    /// Tells it from its repetitions.
    pub id: EventId,
    /// What kind of fact: `status_change`.
    pub kind: String,
    /// The system that noticed.
    pub source: Option<String>,
    /// How bad it is, where that means something.
    pub severity: Option<Severity>,
    /// What filters look at.
    pub labels: BTreeMap<String, String>,
    /// The fact itself; never looked into.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// How many of the topic's last events are kept, up to [`bounds::KEEP_MAX`]; 0: this one is not.
    pub keep: u16,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// The topics a token allows: one, or all that begin alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TopicPattern {
    /// This one.
    Exactly(Topic),
    /// Every one that begins so; all of the tenant's when empty.
    Beginning(Arc<str>),
}

impl TopicPattern {
    /// Accepts a topic, or the beginning of some with `*` after it: `monitor:7`, `monitor:*`, `*`.
    ///
    /// # Errors
    /// [`InvalidName`]; a `*` anywhere but at the end is a character that is not accepted.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        match raw.strip_suffix('*') {
            None => Topic::parse(raw).map(Self::Exactly),
            Some("") => Ok(Self::Beginning("".into())),
            Some(beginning) => {
                check(beginning, Topic::LEN_MAX)?;
                Ok(Self::Beginning(beginning.into()))
            }
        }
    }

    /// Whether whoever holds this may read `topic`, within their own tenant.
    pub fn allows(&self, topic: &Topic) -> bool {
        match self {
            Self::Exactly(this) => this == topic,
            Self::Beginning(beginning) => topic.as_str().starts_with(&**beginning),
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(topic) => write!(f, "{topic}"),
            Self::Beginning(beginning) => write!(f, "{beginning}*"),
        }
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_allows_one_topic_or_those_that_begin_alike() {
        for (why, pattern, topic, expected) in [
            ("the very one", "monitor:7", "monitor:7", true),
            ("a longer one is another", "monitor:7", "monitor:71", false),
            ("one of many", "monitor:*", "monitor:7", true),
            ("as long as the beginning itself", "monitor:*", "monitor:", true),
            ("shorter than the beginning", "monitor:*", "monitor", false),
            ("another beginning", "monitor:*", "stats:7", false),
            ("all of them", "*", "monitor:7", true),
            ("letters have a case", "Monitor:*", "monitor:7", false),
        ] {
            let pattern = TopicPattern::parse(pattern).unwrap();
            assert_eq!(pattern.allows(&Topic::parse(topic).unwrap()), expected, "{why}");
            assert_eq!(TopicPattern::parse(&pattern.to_string()), Ok(pattern), "{why}: it reads back");
        }
    }

    #[test]
    fn what_is_neither_a_topic_nor_a_beginning_is_refused() {
        let star = InvalidName::Character { found: '*' };
        let long = "x".repeat(201);
        for (why, pattern, expected) in [
            ("nothing", "", InvalidName::Empty),
            ("a star in the middle", "monitor:*:state", star.clone()),
            ("two stars", "monitor:**", star.clone()),
            ("a blank", "monitor 7", InvalidName::Character { found: ' ' }),
            ("a slash", "monitor/*", InvalidName::Character { found: '/' }),
            ("too long", long.as_str(), InvalidName::TooLong { len: 201, max: 200 }),
        ] {
            assert_eq!(TopicPattern::parse(pattern), Err(expected), "{why}");
        }
        assert_eq!(Topic::parse("monitor:*"), Err(star), "a topic is not a pattern");
    }

    #[test]
    fn a_topic_is_partitioned_as_a_user_is() {
        let key = TopicKey::new(Tenant::parse("acme").unwrap(), Topic::parse("monitor:7").unwrap());
        assert_eq!(key.partition(16), (crc32fast::hash(b"acme/monitor:7") % 16) as u16);
    }
}
