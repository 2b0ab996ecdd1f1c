//! Events of topics, as dispatch gives them to the store.

use std::sync::Arc;

use watchbell::domain::{
    Event, Timestamp, Topic,
    topic::{EventId, TopicKey},
};
use watchbell::store::NewEvent;

use super::{at, tenant};

/// An event in the making.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    event: Event,
    content: Option<Arc<str>>,
}

/// A topic of `acme`.
pub fn topic(name: &str) -> TopicKey {
    TopicKey::new(tenant("acme"), Topic::parse(name).unwrap())
}

/// A change of status on this topic that happened at 0 s. The topic keeps this event and no other.
pub fn event(key: &TopicKey, id: &str) -> EventBuilder {
    let event = Event {
        key: key.clone(),
        id: EventId::parse(id).unwrap(),
        kind: "status_change".to_owned(),
        source: None,
        severity: None,
        labels: Default::default(),
        data: Default::default(),
        keep: 1,
        occurred_at: at(0),
    };
    EventBuilder { event, content: None }
}

impl EventBuilder {
    /// How many of the topic's last events are kept.
    pub fn keep(mut self, keep: u16) -> Self {
        self.event.keep = keep;
        self
    }

    pub fn occurred_at(mut self, occurred_at: Timestamp) -> Self {
        self.event.occurred_at = occurred_at;
        self
    }

    /// What clients are given. By default a text that begins with the id, with characters that a format could trip over.
    pub fn content(mut self, content: impl Into<Arc<str>>) -> Self {
        self.content = Some(content.into());
        self
    }

    pub fn build(self) -> NewEvent {
        let id = &self.event.id;
        let awkward = || format!("{id} {{\"\\u0000\\n\": 'żółw' $1 %s}}").into();
        let content = self.content.unwrap_or_else(awkward);
        NewEvent { content, event: Arc::new(self.event) }
    }
}
