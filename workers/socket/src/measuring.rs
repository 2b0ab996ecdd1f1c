//! Ways in for the benchmark `guard` (`tests/benches/guard`), which sees only what is public: the pure parts of a session, with
//! what they need and nothing else.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::time::Instant;
use watchbell::{
    domain::{Seq, TopicKey, UserKey},
    runtime::Clock,
    wire::frame::{CLIENT_FRAME_BYTES_MAX, ClientFrame, EventFrame, ServerFrame},
};

use crate::{
    feed::follower::Follower,
    frames::{
        frame::{Form, Frame},
        sent::SentFrames,
    },
    pod::{
        direct_writes::DirectWrites,
        hub::Hub,
        limits::Allowance,
        mailbox::{Backlog, Item, Mail, Mailbox},
        receipts::receipt_of,
    },
    session::{
        deadlines::Deadlines,
        decoder::{ClientMessage, Decoder},
    },
};

/// Sessions that follow one topic, with nothing connected to them.
pub struct Audience {
    hub: Hub,
    topic: TopicKey,
    sessions: Vec<Arc<Mailbox>>,
}

impl Audience {
    /// A session of each of these users.
    pub fn of(users: impl Iterator<Item = UserKey>, topic: TopicKey) -> Self {
        let backlog = Backlog { frames_max: 256, bytes_max: 256 * 1024 };
        let direct = DirectWrites::new(Arc::new(SentFrames::new(Clock::system())), backlog, 1);
        let hub = Hub::new(backlog, Arc::new(direct));
        let session = |user| {
            let mailbox = Arc::new(Mailbox::new(user));
            hub.subscribe(&mailbox, &topic);
            mailbox
        };
        Self { sessions: users.map(session).collect(), hub, topic }
    }

    /// Tells them of an event: it is encoded once, put into every mailbox, and taken out of it as bytes, in turn for WebSocket
    /// and for server-sent events. Returns the bytes together.
    pub fn tell(&self, event: &RawValue) -> usize {
        self.hub.give_subscribers(&self.topic, || {
            let event = EventFrame { topic: self.topic.topic.as_str(), event };
            Item::Frame(Arc::new(Frame::new(&ServerFrame::Event(event), None)))
        });
        let context = Context::from_waker(Waker::noop());
        let forms = [Form::Ws, Form::Sse].into_iter().cycle();
        let taken =
            self.sessions.iter().zip(forms).map(|(mailbox, form)| match mailbox.poll_take(&context) {
                Poll::Ready(Mail::Frame(frame)) => frame.live_bytes(form).map_or(0, |bytes| bytes.len()),
                Poll::Ready(_) | Poll::Pending => 0,
            });
        taken.sum()
    }
}

/// Reads a user's receipts from the bytes of a WebSocket. Returns how many alerts they name.
pub fn receipts(user: &UserKey, bytes: &[u8]) -> usize {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    // What is complete before something that is no frame is read all the same.
    let _ = decoder.take(bytes, CLIENT_FRAME_BYTES_MAX, &mut messages);
    let alerts = |message: &ClientMessage| {
        let ClientMessage::Text(text) = message else { return 0 };
        let Ok(ClientFrame::Receipt(frame)) = ClientFrame::read(text) else { return 0 };
        receipt_of(user, "session", frame, Timestamp::UNIX_EPOCH).map_or(0, |read| read.receipt.alerts.len())
    };
    messages.iter().map(alerts).sum()
}

/// Has one session follow so many changes of an inbox, each third pair of which comes in the wrong order, and hear a word from
/// its client between two of them. Returns the number of the last change that its client was given.
pub fn follow(changes: Seq) -> Seq {
    let began = Instant::now();
    let far = began + Duration::from_secs(3_600);
    let mut follower: Follower<Seq> = Follower::after(0, Arc::default());
    let (mut deadlines, mut allowance) = (Deadlines::new(began, far, far), Allowance::new(began));
    for number in 0..changes {
        let now = began + Duration::from_millis(10 * number);
        let seq = match number % 6 {
            4 => number + 2,
            5 => number,
            _ => number + 1,
        };
        deadlines.heard(now);
        allowance.take(now, 1_000, 1);
        follower.take(seq, 0, seq, now).for_each(drop);
        if deadlines.next() <= now || follower.is_due(now) {
            deadlines.due(now);
        }
    }
    follower.last()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Tenant, Topic, UserId};

    use super::*;

    #[test]
    fn what_is_measured_does_what_it_says() {
        let tenant = Tenant::parse("acme").unwrap();
        let user = |name| UserKey::new(tenant.clone(), UserId::parse(name).unwrap());
        let topic = TopicKey::new(tenant.clone(), Topic::parse("monitor:7").unwrap());
        let event = RawValue::from_string(r#"{"type":"tick"}"#.into()).unwrap();
        let json = r#"{"type":"event","topic":"monitor:7","event":{"type":"tick"}}"#;
        let audience = Audience::of(["ana", "ben"].into_iter().map(user), topic);
        let bytes = [2 + json.len(), "event: event\ndata: \n\n".len() + json.len()];
        assert_eq!(audience.tell(&event), bytes.iter().sum::<usize>());

        let mut bytes = br#"{"type":"receipt","alerts":["a","b"],"state":"seen"}"#.to_vec();
        bytes.splice(0..0, [0x81, 0x80 | bytes.len() as u8, 0, 0, 0, 0]);
        assert_eq!(receipts(&user("ana"), &bytes), 2);
        assert_eq!(follow(600), 600);
    }
}
