//! The topics of a session: subscribing, and the kept events that a subscriber is told first.

use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::warn;
use watchbell::{
    domain::{Topic, TopicKey, topic::bounds::KEEP_MAX},
    store::TOPIC_BYTES_MAX,
    wire::{
        CloseCode,
        frame::{EventFrame, ServerFrame},
    },
};

use crate::{
    feed::inbox::KeptEvents,
    frames::frame::{Facets, Frame},
    session::{
        client_frames::Obeyed,
        snapshots::mark_of,
        state::{Session, SessionEnd, write},
    },
};

/// Topics one session may subscribe to.
pub(crate) const TOPICS_MAX: usize = 64;
/// Topics that a session asks for at its beginning and that are refused one by one; more are counted.
const REFUSED_ALONE_MAX: usize = 10;

/// Why a topic is refused: the code and the title of the `error`.
type Refused = (&'static str, String);

impl Session<'_> {
    /// Subscribes to what was asked for when the session began, and sends what was kept. What is too much of it or not
    /// allowed is answered with a bounded number of errors.
    pub(crate) async fn subscribe_to_all(&mut self, topics: Vec<String>) -> Result<(), SessionEnd> {
        let asked = topics.len();
        if asked > TOPICS_MAX {
            let title = format!(
                "{asked} topics were asked for, and a session has at most {TOPICS_MAX}: the first of them are taken"
            );
            self.complain("too_many_topics", &title);
        }
        let mut refused = 0;
        for topic in topics.into_iter().take(TOPICS_MAX) {
            match self.allowed(&topic) {
                Ok(key) => self.subscribe_to(key).await?,
                Err((code, title)) => {
                    refused += 1;
                    if refused <= REFUSED_ALONE_MAX {
                        self.complain(code, &title);
                    }
                }
            }
        }
        if refused > REFUSED_ALONE_MAX {
            let more = refused - REFUSED_ALONE_MAX;
            self.complain("forbidden_topic", &format!("{more} more topics are refused"));
        }
        Ok(())
    }

    /// Subscribes, and sends what was kept. Subscribing twice is a refresh.
    pub(crate) async fn subscribe(&mut self, raw: &str) -> Result<Obeyed, SessionEnd> {
        let is_there = |key: &TopicKey, session: &Self| session.subscribed(None).contains(key);
        let allowed = self.allowed(raw).and_then(|key| {
            let is_full = self.subscribed(None).len() >= TOPICS_MAX && !is_there(&key, self);
            let title = || format!("a session has at most {TOPICS_MAX} topics: unsubscribe first");
            if is_full { Err(("too_many_topics", title())) } else { Ok(key) }
        });
        match allowed {
            Ok(key) => self.subscribe_to(key).await.map(|()| Obeyed::Done),
            Err((code, title)) => {
                self.complain(code, &title);
                Ok(Obeyed::Refused)
            }
        }
    }

    /// A topic that this person may read (I8).
    fn allowed(&self, raw: &str) -> Result<TopicKey, Refused> {
        match Topic::parse(raw) {
            Ok(topic) if self.state.identity.may_read(&topic) => {
                Ok(TopicKey::new(self.state.identity.user.tenant.clone(), topic))
            }
            Ok(_) => Err(("forbidden_topic", format!("topic {raw}: your token does not allow it"))),
            Err(error) => Err(("invalid_topic", format!("topic: {error}"))),
        }
    }

    async fn subscribe_to(&mut self, key: TopicKey) -> Result<(), SessionEnd> {
        if !self.subscribed(None).contains(&key) {
            let subscription = self.state.registration.subscribe(key.clone()).await;
            self.extras().topics.push(subscription);
        }
        self.snapshot_in_turn(&key).await
    }

    pub(crate) fn unsubscribe(&mut self, topic: &str) {
        if let Some(extras) = &mut self.state.extras {
            extras.topics.retain(|subscription| subscription.topic.topic.as_str() != topic);
        }
    }

    /// Sends the kept events of one topic, or of all that are subscribed, once more.
    pub(crate) async fn refresh(&mut self, topic: Option<&str>) -> Result<(), SessionEnd> {
        for key in self.subscribed(topic) {
            self.snapshot_in_turn(&key).await?;
        }
        Ok(())
    }

    /// The topics whose kept events a `refresh` reads that are not going to be read anyway.
    pub(crate) fn topics_to_read(&self, topic: Option<&str>) -> usize {
        let Some(extras) = &self.state.extras else { return 0 };
        self.subscribed(topic).iter().filter(|key| !extras.snapshots.is_wanted(key)).count()
    }

    /// The topic of this name if it is subscribed to, or all that are.
    fn subscribed(&self, topic: Option<&str>) -> Vec<TopicKey> {
        let topics = self.state.extras.iter().flat_map(|extras| &extras.topics);
        let keys = topics.map(|subscription| &subscription.topic);
        keys.filter(|key| topic.is_none_or(|topic| topic == key.topic.as_str())).cloned().collect()
    }

    /// Sends the snapshots that were put off.
    pub(crate) async fn send_due_snapshots(&mut self, now: Instant) -> Result<(), SessionEnd> {
        let Some(extras) = &mut self.state.extras else { return Ok(()) };
        let due = extras.snapshots.take_due(now);
        for key in due {
            if self.subscribed(None).contains(&key) {
                self.snapshot(&key).await?;
            }
        }
        Ok(())
    }

    /// Sends what was kept of a topic, now or when its next snapshot is due.
    async fn snapshot_in_turn(&mut self, key: &TopicKey) -> Result<(), SessionEnd> {
        match self.extras().snapshots.ask(key, Instant::now()) {
            true => self.snapshot(key).await,
            false => Ok(()),
        }
    }

    /// Sends what was kept of a topic. Events that come live meanwhile wait in the mailbox, and those among them that are
    /// in the snapshot are known by their marks. Memory for it is taken before it is read, and given back when it is
    /// written.
    async fn snapshot(&mut self, key: &TopicKey) -> Result<(), SessionEnd> {
        self.extras().snapshots.begin(key, Instant::now());
        // A client that backs off and comes again begins with a snapshot.
        let room = self.parts.inbox.room_for_a_page(&self.state.identity.user).await;
        let mut room = room.map_err(|_| SessionEnd::Close(CloseCode::Overloaded))?;
        match self.parts.inbox.kept_events(key, KEEP_MAX.into(), TOPIC_BYTES_MAX).await {
            Ok(kept) => self.put_snapshot(key, &kept),
            Err(error) => {
                warn!(%error, "A topic's kept events could not be read");
                self.complain("unavailable", &format!("topic {}: try again", key.topic));
            }
        }
        room.keep(self.connection.unwritten());
        write(self.parts, self.connection).await
    }

    fn put_snapshot(&mut self, key: &TopicKey, kept: &KeptEvents) {
        let topic = key.topic.as_str();
        let events: Vec<(&RawValue, Facets)> =
            kept.json().map(|event| (event, serde_json::from_str(event.get()).unwrap_or_default())).collect();
        if self.connection.form().is_bare() {
            for (event, _) in &events {
                let event = ServerFrame::Event(EventFrame { topic, event });
                self.put_filtered(&Frame::new(&event, None));
            }
        } else {
            let filter = self.state.extras.as_ref().and_then(|extras| extras.filter.as_ref());
            let told =
                events.iter().filter(|(_, facets)| filter.is_none_or(|filter| filter.lets_through(facets)));
            let told: Vec<&RawValue> = told.map(|(event, _)| *event).collect();
            self.put(&Frame::new(&ServerFrame::Snapshot { topic, events: &told }, None));
        }
        // The newest are the likeliest to come live as well.
        let marks = events.iter().rev().filter_map(|(_, facets)| mark_of(facets));
        self.extras().snapshots.remember(marks);
    }
}
