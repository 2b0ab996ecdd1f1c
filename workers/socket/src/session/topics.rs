//! The topics of a session: subscribing, and the kept events that a subscriber is told first.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::warn;
use watchbell::{
    domain::{Topic, TopicKey, topic::bounds::KEEP_MAX},
    wire::frame::{EventFrame, ServerFrame},
};

use crate::{
    frames::frame::Frame,
    session::state::{Session, SessionEnd, write},
};

/// How long an event that was stored may still be on its way through the broker, so that a snapshot has it first.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Topics one session may subscribe to.
pub(crate) const TOPICS_MAX: usize = 64;

impl Session<'_> {
    /// Subscribes, and sends what was kept. Subscribing twice is a refresh.
    pub(crate) async fn subscribe(&mut self, raw: &str) -> Result<(), SessionEnd> {
        let topic = match Topic::parse(raw) {
            Ok(topic) if self.state.identity.may_read(&topic) => topic,
            Ok(_) => {
                self.complain("forbidden_topic", &format!("topic {raw}: your token does not allow it"));
                return Ok(());
            }
            Err(error) => {
                self.complain("invalid_topic", &format!("topic: {error}"));
                return Ok(());
            }
        };
        let key = TopicKey::new(self.state.identity.user.tenant.clone(), topic);
        let topics = &self.extras().topics;
        if topics.iter().all(|subscription| subscription.topic != key) {
            if topics.len() >= TOPICS_MAX {
                self.complain(
                    "too_many_topics",
                    &format!("a session has at most {TOPICS_MAX} topics: unsubscribe first"),
                );
                return Ok(());
            }
            let subscription = self.state.registration.subscribe(key.clone()).await;
            self.extras().topics.push(subscription);
        }
        self.snapshot(&key).await
    }

    pub(crate) fn unsubscribe(&mut self, topic: &str) {
        if let Some(extras) = &mut self.state.extras {
            extras.topics.retain(|subscription| subscription.topic.topic.as_str() != topic);
        }
    }

    /// Sends the kept events of one topic, or of all that are subscribed, once more.
    pub(crate) async fn refresh(&mut self, topic: Option<&str>) -> Result<(), SessionEnd> {
        let Some(extras) = &self.state.extras else { return Ok(()) };
        let keys = extras.topics.iter().map(|subscription| subscription.topic.clone());
        let keys: Vec<TopicKey> =
            keys.filter(|key| topic.is_none_or(|topic| topic == key.topic.as_str())).collect();
        for key in &keys {
            self.snapshot(key).await?;
        }
        Ok(())
    }

    /// Sends what was kept of a topic. Events that come live meanwhile wait in the mailbox, and those among them that are
    /// in the snapshot are known by their id.
    async fn snapshot(&mut self, key: &TopicKey) -> Result<(), SessionEnd> {
        let kept = match self.parts.inbox.kept_events(key, KEEP_MAX.into()).await {
            Ok(kept) => kept,
            Err(error) => {
                warn!(%error, "A topic's kept events could not be read");
                self.complain("unavailable", &format!("topic {}: try again", key.topic));
                return Ok(());
            }
        };
        let events: Vec<&RawValue> = kept.json().collect();
        let topic = key.topic.as_str();
        let frames: Vec<Arc<Frame>> = events
            .iter()
            .map(|event| Arc::new(Frame::new(&ServerFrame::Event(EventFrame { topic, event }), None)))
            .collect();
        let ids: Vec<String> = frames.iter().filter_map(|frame| frame.facets().id.clone()).collect();
        if self.connection.form().is_bare() {
            frames.iter().for_each(|frame| self.put_filtered(frame));
        } else {
            let told: Vec<&RawValue> = events
                .iter()
                .zip(&frames)
                .filter(|(_, frame)| self.lets_through(frame))
                .map(|(event, _)| *event)
                .collect();
            self.put(&Frame::new(&ServerFrame::Snapshot { topic, events: &told }, None));
        }
        if !ids.is_empty() {
            let until = Instant::now() + KNOWN_FOR;
            let known = self.extras().known_events.get_or_insert_with(|| (until, HashSet::new()));
            known.0 = until;
            known.1.extend(ids);
        }
        write(self.parts, self.connection).await
    }
}
