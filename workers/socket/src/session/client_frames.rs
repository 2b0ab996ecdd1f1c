//! What a client says, and what comes of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::warn;
use watchbell::{
    domain::{
        AlertId, Receipt, Timestamp, Topic, TopicKey, alert::UnknownWord, receipt::RECEIPT_ALERTS_MAX,
        snooze::until_of, topic::bounds::KEEP_MAX,
    },
    wire::{
        CloseCode,
        frame::{Auth, ClientFrame, EventFrame, ReceiptFrame, ServerFrame, Unreadable},
    },
};

use crate::{
    Identity,
    frames::frame::{self, Frame},
    session::{
        decoder::Said,
        greeting::{identify, token_ends_at},
        run::{End, Session, write},
    },
};

/// How long an event that was stored may still be on its way through the broker, so that a snapshot has it first.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// A client that says more than it may for so long is closed.
const LOUD_MAX: Duration = Duration::from_secs(10);
/// Lines that are no frame at all, each answered with an `error`, until the session is closed.
const MALFORMED_LINES_MAX: u8 = 10;
/// Topics one session may subscribe to.
pub(crate) const TOPICS_MAX: usize = 64;

impl Session<'_> {
    pub(crate) fn see(&mut self, visibility: Option<watchbell::wire::frame::Visibility>) {
        if let Some(visibility) = visibility {
            let is_hidden = visibility == watchbell::wire::frame::Visibility::Hidden;
            if is_hidden || self.state.extras.is_some() {
                self.extras().is_hidden = is_hidden;
            }
        }
    }

    pub(crate) async fn hear(&mut self, said: Vec<Said>) -> Result<(), End> {
        let now = Instant::now();
        self.state.deadlines.heard(now);
        for said in said {
            let rate = self.socket.0.config.messages_per_second;
            self.state.deaf_until = self.state.allowance.take(now, rate).or(self.state.deaf_until);
            match said {
                Said::Text(text) if is_plain_ping(&text) => self.connection.put_bytes(frame::text("pong")),
                Said::Text(text) => {
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        Box::pin(self.obey(line)).await?;
                    }
                }
                Said::Ping(payload) => self.connection.put_bytes(frame::pong(&payload)),
                Said::Pong => {}
                Said::Close => return Err(End::Closed),
            }
        }
        self.bear_with(now)
    }

    /// A client that says more than it may is read more slowly, which loses nothing; one that does not stop is closed.
    fn bear_with(&mut self, now: Instant) -> Result<(), End> {
        if self.state.deaf_until.is_none() {
            self.state.loud_since = None;
            return Ok(());
        }
        metrics::counter!("watchbell_socket_throttled_total").increment(1);
        let since = *self.state.loud_since.get_or_insert(now);
        match now.duration_since(since) > LOUD_MAX {
            true => Err(End::Close(CloseCode::TooManyMessages)),
            false => Ok(()),
        }
    }

    async fn obey(&mut self, line: &str) -> Result<(), End> {
        let mount = self.state.extras.as_ref().and_then(|extras| extras.mount.as_ref());
        if mount.is_some_and(|mount| mount.means_refresh(line)) {
            return self.refresh(None).await;
        }
        match ClientFrame::read(line) {
            Ok(ClientFrame::Receipt(frame)) => self.receipt(frame).await,
            Ok(ClientFrame::Auth(auth)) => return self.renew(&auth).await,
            Ok(ClientFrame::Subscribe(named)) => return self.subscribe(&named.topic).await,
            Ok(ClientFrame::Unsubscribe(named)) => self.unsubscribe(&named.topic),
            Ok(ClientFrame::Refresh(named)) => return self.refresh(named.topic.as_deref()).await,
            Ok(ClientFrame::Visibility { state }) => self.see(Some(state)),
            Ok(ClientFrame::Pong {} | ClientFrame::Unknown) => {}
            Err(Unreadable::Field(wrong)) => self.complain("invalid_frame", &wrong.to_string()),
            Err(no_frame @ Unreadable::NoFrame(_)) => return self.endure(&no_frame),
        }
        Ok(())
    }

    /// A line that is no frame loses nothing else: it is answered. A client that goes on with them does not speak this
    /// protocol, and every answer costs more than its line.
    fn endure(&mut self, no_frame: &Unreadable) -> Result<(), End> {
        self.complain("invalid_frame", &no_frame.to_string());
        self.state.malformed += 1;
        match self.state.malformed < MALFORMED_LINES_MAX {
            true => Ok(()),
            false => Err(End::Close(CloseCode::Protocol)),
        }
    }

    async fn receipt(&mut self, frame: ReceiptFrame) {
        let now = self.socket.0.clock.now();
        match receipt_of(&self.state.identity, &self.state.id.simple().to_string(), frame, now) {
            Ok(receipt) => self.socket.0.receipts.say(receipt).await,
            Err((field, problem)) => self.complain("invalid_receipt", &format!("{field}: {problem}")),
        }
    }

    /// A newer token of the same person: the session goes on until that one ends.
    async fn renew(&mut self, auth: &Auth) -> Result<(), End> {
        let identity = identify(self.socket, auth.token.as_deref().unwrap_or_default()).await?;
        if identity.user != self.state.identity.user {
            return Err(End::Close(CloseCode::Forbidden));
        }
        self.state.deadlines.token_ends(token_ends_at(self.socket, &identity));
        self.state.identity = identity;
        self.see(auth.visibility);
        // What the new token does not allow any more is no longer told.
        let allowed = |topic: &Topic| self.state.identity.may_read(topic);
        if let Some(extras) = &mut self.state.extras {
            extras.topics.retain(|subscription| allowed(&subscription.topic.topic));
        }
        Ok(())
    }

    /// Subscribes, and tells what was kept. Subscribing twice is a refresh.
    pub(crate) async fn subscribe(&mut self, raw: &str) -> Result<(), End> {
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
            let subscription = self.socket.subscribe(&self.state.place.mailbox, key.clone()).await;
            self.extras().topics.push(subscription);
        }
        self.snapshot(&key).await
    }

    fn unsubscribe(&mut self, topic: &str) {
        if let Some(extras) = &mut self.state.extras {
            extras.topics.retain(|subscription| subscription.topic.topic.as_str() != topic);
        }
    }

    /// Tells the kept events of one topic, or of all that are subscribed, once more.
    pub(crate) async fn refresh(&mut self, topic: Option<&str>) -> Result<(), End> {
        let Some(extras) = &self.state.extras else { return Ok(()) };
        let keys = extras.topics.iter().map(|subscription| subscription.topic.clone());
        let keys: Vec<TopicKey> =
            keys.filter(|key| topic.is_none_or(|topic| topic == key.topic.as_str())).collect();
        for key in &keys {
            self.snapshot(key).await?;
        }
        Ok(())
    }

    /// What was kept of a topic. Events that come live meanwhile wait in the mailbox, and those among them that are
    /// in the snapshot are known by their id.
    async fn snapshot(&mut self, key: &TopicKey) -> Result<(), End> {
        let kept = match self.socket.0.store.topic_events(key, KEEP_MAX.into()).await {
            Ok(kept) => kept,
            Err(error) => {
                warn!(%error, "A topic's kept events could not be read");
                self.complain("unavailable", &format!("topic {}: try again", key.topic));
                return Ok(());
            }
        };
        // `encode_event` wrote them, so they are JSON.
        let events: Vec<&RawValue> = kept.iter().filter_map(|kept| serde_json::from_str(kept).ok()).collect();
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
        write(self.socket, self.connection).await
    }
}

/// The text that clients send which cannot send WebSocket's own pings.
pub(crate) fn is_plain_ping(text: &str) -> bool {
    text.trim() == "ping"
}

/// Reads a receipt. The error names the field and the remedy.
pub(crate) fn receipt_of(
    identity: &Identity,
    by: &str,
    frame: ReceiptFrame,
    now: Timestamp,
) -> Result<Receipt, (&'static str, String)> {
    if frame.alerts.is_empty() || frame.alerts.len() > RECEIPT_ALERTS_MAX {
        return Err(("alerts", format!("must name 1 to {RECEIPT_ALERTS_MAX} alerts")));
    }
    if frame.op.as_ref().is_some_and(|op| op.len() > AlertId::LEN_MAX) {
        return Err(("op", format!("must have at most {} bytes", AlertId::LEN_MAX)));
    }
    let alerts = frame.alerts.iter().map(AlertId::parse).collect::<Result<Vec<_>, _>>();
    let state = frame.state.parse().map_err(|error: UnknownWord| ("state", error.to_string()))?;
    let until = frame
        .until
        .map(|until| until.parse::<Timestamp>())
        .transpose()
        .map_err(|_| ("until", "must be an RFC 3339 time such as 2026-11-21T12:00:00Z".to_owned()))?;
    Ok(Receipt {
        user: identity.user.clone(),
        alerts: alerts.map_err(|error| ("alerts", error.to_string()))?,
        state,
        until: until_of(state, until, now).map_err(|problem| ("until", problem))?,
        op: frame.op,
        by: by.to_owned(),
    })
}
