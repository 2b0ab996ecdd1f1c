//! When a session was sent the kept events of its topics, and which they were. Pure.
//!
//! What holds here: of one topic a session is sent at most one snapshot in [`APART`], however often it asks, subscribes and
//! unsubscribes. What it asks for meanwhile is sent once that time has passed, once.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use tokio::time::Instant;
use watchbell::domain::TopicKey;

use crate::frames::frame::Facets;

/// Between two snapshots of one topic.
pub(crate) const APART: Duration = Duration::from_secs(1);
/// How long an event that was stored may still be on its way through the broker, so that a snapshot has it first.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Events of snapshots that one session remembers. Of more, some may be told twice.
const KNOWN_MAX: usize = 4_096;

/// The snapshots that one session was sent lately.
#[derive(Default)]
pub(crate) struct Snapshots(Vec<Snapshot>);

struct Snapshot {
    topic: TopicKey,
    sent_at: Instant,
    /// Asked for again, and not sent yet.
    is_wanted: bool,
    /// The marks of its events, in order of their size.
    events: Vec<u64>,
}

/// What tells an event of a topic from others, in few bytes.
pub(crate) fn mark_of(facets: &Facets) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    (&facets.topic, facets.id.as_ref()?).hash(&mut hasher);
    Some(hasher.finish())
}

impl Snapshots {
    /// Whether a snapshot that is asked for is sent now. If not, it is remembered and due later.
    pub(crate) fn ask(&mut self, topic: &TopicKey, now: Instant) -> bool {
        match self.0.iter_mut().find(|snapshot| snapshot.topic == *topic) {
            Some(snapshot) if now < snapshot.sent_at + APART => {
                snapshot.is_wanted = true;
                false
            }
            Some(_) | None => true,
        }
    }

    /// Whether a snapshot of this topic is due later anyway, so that to ask for it costs nothing more.
    pub(crate) fn is_wanted(&self, topic: &TopicKey) -> bool {
        self.0.iter().any(|snapshot| snapshot.is_wanted && snapshot.topic == *topic)
    }

    /// A snapshot of this topic is sent now.
    pub(crate) fn begin(&mut self, topic: &TopicKey, now: Instant) {
        self.0.retain(|snapshot| snapshot.topic != *topic);
        self.0.push(Snapshot { topic: topic.clone(), sent_at: now, is_wanted: false, events: Vec::new() });
    }

    /// The snapshot that was begun last has these events.
    pub(crate) fn remember(&mut self, events: impl Iterator<Item = u64>) {
        let mut left = KNOWN_MAX;
        let mut snapshots = self.0.iter_mut().rev();
        if let Some(newest) = snapshots.next() {
            newest.events = events.take(left).collect();
            newest.events.sort_unstable();
            left -= newest.events.len();
        }
        for older in snapshots {
            if older.events.len() > left {
                older.events = Vec::new();
            }
            left -= older.events.len();
        }
    }

    /// Whether none was sent lately.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an event was in a snapshot that was sent lately.
    pub(crate) fn knows(&self, event: u64) -> bool {
        self.0.iter().any(|snapshot| snapshot.events.binary_search(&event).is_ok())
    }

    /// When something is due: a snapshot, or to forget one.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(Snapshot::due_at).min()
    }

    /// The topics whose snapshots are due; forgets the snapshots that nobody needs any more.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<TopicKey> {
        let (due, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|snapshot| snapshot.due_at() <= now);
        self.0 = left;
        due.into_iter().filter(|snapshot| snapshot.is_wanted).map(|snapshot| snapshot.topic).collect()
    }
}

impl Snapshot {
    fn due_at(&self) -> Instant {
        self.sent_at + if self.is_wanted { APART } else { KNOWN_FOR }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Tenant, Topic};

    use super::*;

    fn topic(name: &str) -> TopicKey {
        TopicKey::new(Tenant::parse("acme").unwrap(), Topic::parse(name).unwrap())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_topic_is_sent_at_most_once_a_second_and_never_forgotten() {
        let (mut snapshots, began) = (Snapshots::default(), Instant::now());
        let (seven, eight) = (topic("monitor:7"), topic("monitor:8"));
        for (why, at, topic, is_sent) in [
            ("the first", ms(0), &seven, true),
            ("too soon", ms(1), &seven, false),
            ("another topic", ms(2), &eight, true),
            ("and once more, which changes nothing", ms(999), &seven, false),
        ] {
            assert_eq!(snapshots.ask(topic, began + at), is_sent, "{why}");
            if is_sent {
                snapshots.begin(topic, began + at);
            }
        }
        assert!(snapshots.is_wanted(&seven) && !snapshots.is_wanted(&eight));
        assert_eq!(snapshots.next_due(), Some(began + APART));
        assert_eq!(snapshots.take_due(began + ms(999)), []);
        assert_eq!(
            snapshots.take_due(began + APART),
            std::slice::from_ref(&seven),
            "what was asked for twice is sent once"
        );
        assert!(snapshots.ask(&seven, began + APART), "nothing is wanted any more");
        assert!(snapshots.ask(&eight, began + ms(1_002)), "a second later");
        assert_eq!(snapshots.next_due(), Some(began + ms(2) + KNOWN_FOR));
        assert_eq!(snapshots.take_due(began + ms(2) + KNOWN_FOR), [], "it is forgotten");
        assert_eq!(snapshots.next_due(), None);
    }

    #[test]
    fn events_are_known_by_topic_and_id_and_not_too_many_of_them() {
        let mark = |json: &str| mark_of(&serde_json::from_str(json).unwrap());
        assert_eq!(mark(r#"{"topic":"a"}"#), None);
        assert_eq!(mark(r#"{"topic":"a","id":"1","data":{}}"#), mark(r#"{"id":"1","topic":"a"}"#));
        assert_ne!(mark(r#"{"topic":"a","id":"1"}"#), mark(r#"{"topic":"b","id":"1"}"#));

        let (mut snapshots, now) = (Snapshots::default(), Instant::now());
        snapshots.begin(&topic("a"), now);
        snapshots.remember([3, 1, 2].into_iter());
        assert!([1, 2, 3].into_iter().all(|event| snapshots.knows(event)) && !snapshots.knows(4));
        snapshots.begin(&topic("b"), now);
        snapshots.remember(10..10 + KNOWN_MAX as u64 - 3);
        assert!(snapshots.knows(1) && snapshots.knows(10), "there is room for both");
        snapshots.begin(&topic("c"), now);
        snapshots.remember(10_000..10_004);
        assert!(snapshots.knows(10_000) && !snapshots.knows(10), "the older ones make room");
        assert!(snapshots.0.iter().map(|snapshot| snapshot.events.len()).sum::<usize>() <= KNOWN_MAX);
        snapshots.begin(&topic("c"), now);
        assert!(!snapshots.knows(10_000), "the newest of a topic counts");
    }
}
