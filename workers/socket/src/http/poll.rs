//! `GET /v1/poll?cursor=&wait=`: the same session in single requests, for networks that let nothing else through.
//!
//! Each answer is an array of frames. Without a cursor it is `hello`, whose cursor the first real poll sends; with one,
//! what changed since, as soon as something did, or a `ping` after the wait. Nothing is kept between two polls: the
//! cursor is all there is, so the next one may come to any pod. Topics: the kept events come with `hello`; an event
//! between two polls is not told, because events have no number.

use std::{future::poll_fn, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use watchbell::{
    domain::{Seq, TopicKey, topic::bounds::KEEP_MAX},
    runtime::http::ClientAddress,
    store::Head,
    wire::{
        Problem,
        frame::{Hello, ServerFrame},
        preferences::PreferencesV1,
    },
};

use crate::{
    Identity, Socket,
    entry::{
        extract::Query,
        upgrade::{self, RETRY_AFTER_S, StreamQuery},
    },
    feed::{
        order::{Order, Taken},
        replay::Replayed,
    },
    frames::{
        epoch::Epoch,
        filter::Filter,
        frame::{Facets, Frame},
    },
    http::inbox::store_problem,
    pod::{
        hub::{Place, Subscription},
        mailbox::{Item, Mail},
    },
    session::{client_frames::TOPICS_MAX, greeting::token_ends_at},
};

/// How long a poll waits when it does not say, and at the most, in seconds. Shorter than most proxies' patience.
const WAIT_S_DEFAULT: u64 = 25;
const WAIT_S_MAX: u64 = 50;
/// How long a frame waits for its predecessor before the store is asked.
const HOLE_WAIT: Duration = Duration::from_millis(150);

/// Bytes of what was missed in one answer, unless a single change has more; the next poll goes on from there.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

pub(crate) async fn poll(
    State(socket): State<Socket>,
    Extension(client): Extension<ClientAddress>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    upgrade::check_room(&socket, &headers)?;
    // A pod that leaves waits for it. It is never refused: its answer is its end.
    let _counted = socket.0.sessions.token();
    let wait = Duration::from_secs(query.wait.unwrap_or(WAIT_S_DEFAULT).min(WAIT_S_MAX));
    let mut auth = query.auth();
    auth.token = upgrade::token_of(&headers).map(|token| token.expose().to_owned()).or(auth.token);
    let identity = upgrade::identity_of(&socket, auth.token.as_deref()).await?;
    let too_many = |what| Problem::too_many(what, RETRY_AFTER_S);
    let _address = socket.0.addresses.enter(client.0, socket.0.config.sessions_per_address_max);
    let _address = _address.ok_or_else(|| too_many("this address has enough sessions"))?;
    let filter = auth.filter.map(Filter::read).transpose();
    let filter = filter.map_err(|problem| Problem::invalid("filter", problem))?;
    if auth.topics.len() > TOPICS_MAX {
        return Err(Problem::invalid("topics", format!("must be {TOPICS_MAX} at the most")));
    }
    let busy = |_| Problem::unavailable("this pod has enough to do", RETRY_AFTER_S);
    socket.0.turns.take().await.map_err(busy)?;

    let place = socket.join(identity.user.clone()).await;
    let place = place.map_err(|_| too_many("this user has enough sessions"))?;
    let topics = auth.topics.iter().map(|topic| crate::http::topics::key(&identity, topic));
    let topics: Vec<TopicKey> = topics.collect::<Result<_, _>>()?;
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for topic in topics {
        subscriptions.push(socket.subscribe(&place.mailbox, topic).await);
    }
    let unseen = || Problem::unavailable("the store does not answer", RETRY_AFTER_S);
    let epoch = socket.0.epochs.known().await.ok_or_else(unseen)?;
    let (head, preferences) = head_of(&socket, &identity).await?;

    let from = auth.cursor.as_deref().map(|raw| epoch.number_of(raw, head));
    let poll = Poll { socket: &socket, identity: &identity, epoch, place, filter, frames: Vec::new() };
    let frames = match from {
        None => poll.begin(head, &preferences, &subscriptions).await?,
        Some(Err(reason)) => vec![Arc::new(socket.resync_frame(reason, &poll.epoch, head))],
        // Not longer than the token: the next poll is refused.
        Some(Ok(cursor)) => {
            let until = token_ends_at(&socket, &identity).min(Instant::now() + wait);
            poll.wait(cursor, until).await?
        }
    };
    let frames: Vec<&RawValue> =
        frames.iter().filter_map(|frame| serde_json::from_str(frame.json()).ok()).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(frames)).into_response())
}

/// Where the inbox is and what its owner wants, for whoever's sessions were not revoked.
async fn head_of(socket: &Socket, identity: &Identity) -> Result<(Head, PreferencesV1), Problem> {
    let welcome = socket.0.heads.welcome(&identity.user).await;
    let (head, preferences) =
        welcome.map_err(|_| Problem::unavailable("the store does not answer", RETRY_AFTER_S))?;
    upgrade::check_revoked(identity, &head)?;
    Ok((head, preferences))
}

struct Poll<'a> {
    socket: &'a Socket,
    identity: &'a Identity,
    /// What its cursor and its frames are of.
    epoch: Arc<Epoch>,
    place: Place,
    filter: Option<Filter>,
    frames: Vec<Arc<Frame>>,
}

impl Poll<'_> {
    /// `hello`, and what was kept of the topics.
    async fn begin(
        &self,
        head: Head,
        preferences: &PreferencesV1,
        topics: &[Subscription],
    ) -> Result<Vec<Arc<Frame>>, Problem> {
        let mut frames = vec![self.hello(head, preferences)];
        for Subscription { topic: key, .. } in topics {
            let kept = self.socket.0.store.topic_events(key, KEEP_MAX.into()).await.map_err(store_problem)?;
            // `encode_event` wrote them, so they are JSON.
            let events = kept.iter().filter_map(|kept| serde_json::from_str::<&RawValue>(kept).ok());
            let wanted = |event: &&RawValue| {
                let facets: Facets = serde_json::from_str(event.get()).unwrap_or_default();
                self.filter.as_ref().is_none_or(|filter| filter.lets_through(&facets))
            };
            let events: Vec<&RawValue> = events.filter(wanted).collect();
            let snapshot = ServerFrame::Snapshot { topic: key.topic.as_str(), events: &events };
            frames.push(Arc::new(Frame::new(&snapshot, None)));
        }
        Ok(frames)
    }

    fn hello(&self, head: Head, preferences: &PreferencesV1) -> Arc<Frame> {
        let hello = ServerFrame::Hello(Hello {
            session: "poll",
            user: self.identity.user.user.as_str(),
            seq: head.seq,
            cursor: &self.epoch.cursor(head.seq),
            unread: head.unread,
            resumed: false,
            heartbeat_ms: WAIT_S_DEFAULT * 1_000,
            preferences,
            server_time: &self.socket.0.clock.now().to_string(),
        });
        Arc::new(Frame::new(&hello, Some(head.seq)))
    }

    /// What changed since, at once when something did; otherwise the next that does, until `until`.
    async fn wait(mut self, cursor: u64, mut until: Instant) -> Result<Vec<Arc<Frame>>, Problem> {
        let mut order = Order::after(cursor);
        let mut heal_at = Instant::now();
        let leaving = &self.socket.0.leaving;
        let mut drains = false;
        loop {
            if heal_at <= Instant::now() {
                heal_at = until + Duration::from_secs(1); // Not again, unless a hole appears.
                if let Some(resync) = self.replay(&mut order).await? {
                    return Ok(vec![resync]);
                }
            }
            if !self.frames.is_empty() {
                return Ok(self.frames);
            }
            let mail = poll_fn(|context| self.place.mailbox.poll_take(context));
            let mail = tokio::select! {
                mail = timeout_at(until.min(heal_at), mail) => mail,
                // The pod leaves, and the next poll goes elsewhere: each at a time of its own.
                () = leaving.drains(), if !drains => {
                    drains = true;
                    until = until.min(leaving.poll_until(Instant::now(), rand::random()));
                    continue;
                }
            };
            match mail {
                Ok(Mail::Items(items)) => {
                    for item in items {
                        if matches!(item, Item::Revoked) {
                            head_of(self.socket, self.identity).await?;
                        }
                        if let Item::Ping { head, epoch } = &item
                            && epoch.number > self.epoch.number
                        {
                            let reason = "the store tells another history";
                            return Ok(vec![Arc::new(self.socket.resync_frame(reason, epoch, *head))]);
                        }
                        self.take(item, &mut order, &mut heal_at);
                    }
                }
                Ok(Mail::Overflowed) => heal_at = Instant::now(),
                Err(_) if Instant::now() >= until => return Ok(vec![self.ping(&order)]),
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, item: Item, order: &mut Order<Arc<Frame>>, heal_at: &mut Instant) {
        match item {
            Item::Frame(frame) => match frame.seq {
                None => self.tell(frame),
                Some(_) if frame.epoch != self.epoch.number => {}
                Some(seq) => match order.take(seq, frame) {
                    Taken::Next(frame) => self.tell(frame),
                    Taken::Send(frames) => frames.into_iter().for_each(|frame| self.tell(frame)),
                    Taken::Held => *heal_at = (*heal_at).min(Instant::now() + HOLE_WAIT),
                    Taken::Heal => *heal_at = Instant::now(),
                    Taken::Old => {}
                },
            },
            Item::Ping { head, .. } if head.seq > order.last() => *heal_at = Instant::now(),
            // Its next request may go to any pod as it is.
            Item::Ping { .. } | Item::Leave(_) | Item::Revoked => {}
        }
    }

    async fn replay(&mut self, order: &mut Order<Arc<Frame>>) -> Result<Option<Arc<Frame>>, Problem> {
        loop {
            match self.socket.replay(&self.identity.user, &self.epoch, order).await.map_err(store_problem)? {
                Replayed::Resync(head) => {
                    let reason = "more changed than is replayed";
                    return Ok(Some(Arc::new(self.socket.resync_frame(reason, &self.epoch, head))));
                }
                Replayed::Frames { frames, complete } => {
                    frames.into_iter().for_each(|frame| self.tell(frame));
                    if cut(&mut self.frames, |frame| (frame.seq, frame.len())) || complete {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn tell(&mut self, frame: Arc<Frame>) {
        let filter = self.filter.as_ref();
        if filter.is_none_or(|filter| !frame.can_be_filtered() || filter.lets_through(frame.facets())) {
            self.frames.push(frame);
        }
    }

    /// Nothing for the client, and yet its cursor may have moved: what a filter left out is behind it.
    fn ping(&self, order: &Order<Arc<Frame>>) -> Arc<Frame> {
        let seq = order.last();
        let cursor = self.epoch.cursor(seq);
        Arc::new(Frame::new(&ServerFrame::Ping { seq, cursor: Some(&cursor) }, Some(seq)))
    }
}

/// Cuts an answer that is too long, between two changes: a receipt is told as several alerts with one number, and a
/// cursor in the middle of them would pass over the rest. Says whether it did.
fn cut<T>(frames: &mut Vec<T>, of: impl Fn(&T) -> (Option<Seq>, usize)) -> bool {
    let (mut bytes, mut change) = (0, 0);
    for at in 0..frames.len() {
        let (seq, len) = of(&frames[at]);
        if at > 0 && seq != of(&frames[at - 1]).0 {
            change = at;
        }
        bytes += len;
        if bytes > ANSWER_BYTES_MAX && change > 0 {
            frames.truncate(change);
            return true;
        }
    }
    false
}

#[test]
fn an_answer_is_cut_between_two_changes() {
    const HALF: usize = ANSWER_BYTES_MAX / 2;
    for (why, changes, expected) in [
        ("it fits", vec![(1, HALF), (2, HALF)], 2),
        ("the third is too much", vec![(1, HALF), (2, HALF), (3, 1), (4, 1)], 2),
        ("one alone is told", vec![(1, HALF * 3)], 1),
        ("and what follows comes with the next", vec![(1, HALF * 3), (2, 1)], 1),
        ("a receipt stays whole", vec![(1, HALF), (2, HALF), (2, 1), (2, 1), (3, 1)], 1),
        ("even when it is too much", vec![(1, HALF), (1, HALF), (1, 1)], 3),
    ] {
        let mut frames = changes.clone();
        let was_cut = cut(&mut frames, |&(seq, len)| (Some(seq), len));
        assert_eq!((frames.len(), was_cut), (expected, expected < changes.len()), "{why}");
    }
}
