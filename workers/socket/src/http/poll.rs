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
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use watchbell::{
    domain::{Seq, TopicKey, topic::bounds::KEEP_MAX},
    runtime::http::{
        AnswerBytes, ClientAddress, ConnectionPlace, FailureKind, PAGE_BYTES_TAKEN, Query, RETRY_AFTER_S,
    },
    store::Head,
    wire::{
        Problem,
        frame::{Hello, ServerFrame},
        preferences::PreferencesV1,
    },
};

use crate::{
    entry::{
        capacity::Capacity,
        credentials::token_of,
        query::StreamQuery,
        sign_in::{SignIn, check_revoked},
    },
    feed::{
        follower::{CaughtUp, Follower, Joined, Standing, Start},
        inbox::Inbox,
        replay::resync_frame,
    },
    frames::{
        filter::SessionFilter,
        frame::{Facets, Frame},
        sent::SentFrames,
    },
    http::topics,
    pod::{
        leaving::Leaving,
        mailbox::{Item, Mail},
        sessions::{NotJoined, Registration, Sessions, Subscription},
    },
    session::topics::TOPICS_MAX,
    token::Identity,
};

/// How long a poll waits when it does not say, and at the most, in seconds. Shorter than most proxies' patience.
pub(crate) const WAIT_S_DEFAULT: u64 = 25;
pub(crate) const WAIT_S_MAX: u64 = 50;

/// Bytes of what was missed in one answer, unless a single change has more; the next poll goes on from there.
const MISSED_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of events in the snapshots of one answer. The topics share them evenly, and each has its last event besides...
const SNAPSHOTS_BYTES_MAX: usize = 1024 * 1024;
/// ...until all of them together have so many; the topics after that come without events.
const LAST_EVENTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest answer in bytes, for the document.
pub(crate) const ANSWER_BYTES_MAX: usize = LAST_EVENTS_BYTES_MAX + 1024 * 1024;

/// What polls are answered from.
pub(crate) struct Polls {
    pub(crate) sign_in: SignIn,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) inbox: Inbox,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) sent: Arc<SentFrames>,
    /// For those that wait.
    pub(crate) places: Semaphore,
}

pub(crate) async fn poll(
    State(polls): State<Arc<Polls>>,
    Extension(client): Extension<ClientAddress>,
    connection: Option<Extension<ConnectionPlace>>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    polls.capacity.check()?;
    // A pod that leaves waits for it. It is never refused: its answer is its end.
    let _counted = polls.capacity.count();
    let wait = Duration::from_secs(query.wait.unwrap_or(WAIT_S_DEFAULT).min(WAIT_S_MAX));
    let mut auth = query.auth();
    auth.token = token_of(&headers).map(|token| token.expose().to_owned()).or(auth.token);
    let identity = polls.sign_in.identity_of(auth.token.as_deref()).await?;
    let too_many = |what| Problem::too_many(what, RETRY_AFTER_S);
    let _address = polls.capacity.enter(client.0);
    let _address = _address.ok_or_else(|| too_many("this address has enough sessions"))?;
    let filter = auth.filter.map(SessionFilter::read).transpose();
    let filter = filter.map_err(|problem| Problem::invalid("filter", problem))?;
    if auth.topics.len() > TOPICS_MAX {
        return Err(Problem::invalid("topics", format!("must be {TOPICS_MAX} at the most")));
    }
    let registration = polls.sessions.join(identity.user.clone()).await.map_err(|why| match why {
        NotJoined::Overloaded => Problem::unavailable("this pod has enough to do", RETRY_AFTER_S),
        NotJoined::UserIsFull => too_many("this user has enough sessions"),
    })?;
    let topics = auth.topics.iter().map(|topic| topics::key(&identity, topic));
    let topics: Vec<TopicKey> = topics.collect::<Result<_, _>>()?;
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for topic in topics {
        subscriptions.push(registration.subscribe(topic).await);
    }
    let joined = Follower::join(&polls.inbox, &identity.user, auth.cursor.as_deref()).await;
    let Joined { follower, start, head, preferences } = joined.map_err(|_| no_answer())?;
    check_revoked(&identity, &head)?;

    let poll =
        Poll { polls: &polls, identity: &identity, follower, registration, filter, frames: Vec::new() };
    let (frames, room) = match start {
        Start::Head => poll.begin(head, &preferences, &subscriptions).await?,
        Start::Refused(reason) => (vec![poll.resync(reason, head)], None),
        // Not longer than the token: the next poll is refused.
        Start::Cursor => {
            let _place = polls.places.try_acquire();
            let _place = _place
                .map_err(|_| Problem::unavailable("this pod has enough polls that wait", RETRY_AFTER_S))?;
            // It has a bound of its own, and takes no place of those who ask something meanwhile.
            let _given_back = connection.map(|Extension(connection)| connection.give_back());
            let token_ends_at = polls.sign_in.verifier.ends_at(&identity);
            poll.wait(token_ends_at.min(Instant::now() + wait)).await?
        }
    };
    metrics::counter!("watchbell_socket_opened_total", "transport" => "poll").increment(1);
    frames.iter().for_each(|frame| polls.sent.count(&[frame.mark()]));
    let frames: Vec<&RawValue> =
        frames.iter().filter_map(|frame| serde_json::from_str(frame.json()).ok()).collect();
    // Without it, the answer is a frame that says that nothing happened, or live frames from the mailbox.
    let answer = match room {
        Some(room) => room.json(&frames),
        None => Json(frames).into_response(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

/// The frames of an answer, and the memory that was taken for what was read from the store.
type Answer = (Vec<Arc<Frame>>, Option<AnswerBytes>);

fn no_answer() -> Problem {
    FailureKind::StoreUnavailable.problem()
}

/// One poll that was let in.
struct Poll<'a> {
    polls: &'a Polls,
    identity: &'a Identity,
    follower: Follower,
    registration: Registration,
    filter: Option<SessionFilter>,
    /// What it will be answered with.
    frames: Vec<Arc<Frame>>,
}

impl Poll<'_> {
    /// `hello`, and what was kept of the topics.
    async fn begin(
        &self,
        head: Head,
        preferences: &PreferencesV1,
        topics: &[Subscription],
    ) -> Result<Answer, Problem> {
        let mut frames = vec![self.hello(head, preferences)];
        if topics.is_empty() {
            return Ok((frames, None));
        }
        let taken = if topics.len() == 1 { PAGE_BYTES_TAKEN } else { ANSWER_BYTES_MAX };
        let room = self.polls.inbox.answers.take(&self.identity.user, taken).await?;
        let share = SNAPSHOTS_BYTES_MAX / topics.len();
        let mut bytes = 0;
        for Subscription { topic: key, .. } in topics {
            let limit = if bytes < LAST_EVENTS_BYTES_MAX { KEEP_MAX.into() } else { 0 };
            let kept = self.polls.inbox.kept_events(key, limit, share).await?;
            bytes += kept.bytes();
            let wanted = |event: &&RawValue| {
                let facets: Facets = serde_json::from_str(event.get()).unwrap_or_default();
                self.filter.as_ref().is_none_or(|filter| filter.lets_through(&facets))
            };
            let events: Vec<&RawValue> = kept.json().filter(wanted).collect();
            let snapshot = ServerFrame::Snapshot { topic: key.topic.as_str(), events: &events };
            frames.push(Arc::new(Frame::new(&snapshot, None)));
        }
        Ok((frames, Some(room)))
    }

    fn hello(&self, head: Head, preferences: &PreferencesV1) -> Arc<Frame> {
        let hello = ServerFrame::Hello(Hello {
            session: "poll",
            user: self.identity.user.user.as_str(),
            seq: head.seq,
            cursor: &self.follower.epoch().cursor(head.seq),
            unread: head.unread,
            resumed: false,
            heartbeat_ms: WAIT_S_DEFAULT * 1_000,
            preferences,
            server_time: &self.polls.sign_in.verifier.clock().now().to_string(),
        });
        Arc::new(Frame::new(&hello, Some(head.seq)))
    }

    /// What changed since the cursor, at once when something did; otherwise the next that does, until `until`.
    async fn wait(mut self, mut until: Instant) -> Result<Answer, Problem> {
        let leaving = &self.polls.leaving;
        let mut drains = false;
        self.follower.heal_now(Instant::now());
        loop {
            if self.follower.is_due(Instant::now()) {
                let room = self.polls.inbox.room_for_a_page(&self.identity.user).await?;
                if let Some(resync) = self.catch_up().await? {
                    return Ok((vec![resync], None));
                }
                if !self.frames.is_empty() {
                    return Ok((self.frames, Some(room)));
                }
            }
            if !self.frames.is_empty() {
                return Ok((self.frames, None));
            }
            let wakes_at = self.follower.heal_at().map_or(until, |heal_at| heal_at.min(until));
            let mail = poll_fn(|context| self.registration.mailbox.poll_take(context));
            let mail = tokio::select! {
                mail = timeout_at(wakes_at, mail) => mail,
                // The pod leaves, and the next poll goes elsewhere: each at a time of its own.
                () = leaving.drains(), if !drains => {
                    drains = true;
                    until = until.min(leaving.poll_until(Instant::now(), rand::random()));
                    continue;
                }
            };
            match mail {
                Ok(Mail::Frame(frame)) => self.take_frame(frame),
                Ok(Mail::Items(items)) => {
                    for item in items {
                        if let Some(resync) = self.take(item).await? {
                            return Ok((vec![resync], None));
                        }
                    }
                }
                Ok(Mail::Overflowed) => self.follower.heal_now(Instant::now()),
                Err(_) if Instant::now() >= until => return Ok((vec![self.ping()], None)),
                Err(_) => {}
            }
        }
    }

    /// Something that waited in the mailbox. Gives the `resync` that ends the poll, if it does.
    async fn take(&mut self, item: Item) -> Result<Option<Arc<Frame>>, Problem> {
        match item {
            Item::Frame(frame) => self.take_frame(frame),
            Item::Ping { head, epoch } => match self.follower.compare(&head, &epoch) {
                Standing::AnotherEpoch => {
                    self.follower.enter(epoch);
                    return Ok(Some(self.resync("the store tells another history", head)));
                }
                Standing::Behind => self.follower.heal_now(Instant::now()),
                Standing::Level => {}
            },
            Item::Revoked => {
                let head = self.polls.inbox.head(&self.identity.user).await.map_err(|_| no_answer())?;
                check_revoked(self.identity, &head)?;
            }
            // Its next request may go to any pod as it is.
            Item::Leave(_) => {}
        }
        Ok(None)
    }

    fn take_frame(&mut self, frame: Arc<Frame>) {
        match frame.seq {
            None => self.add(frame),
            Some(seq) => {
                let ready = self.follower.take(seq, frame.epoch(), frame, Instant::now());
                ready.for_each(|frame| self.add(frame));
            }
        }
    }

    async fn catch_up(&mut self) -> Result<Option<Arc<Frame>>, Problem> {
        loop {
            let page = self.follower.next_page(&self.polls.inbox, &self.identity.user).await;
            match page? {
                CaughtUp::Refused(reason, head) => {
                    return Ok(Some(self.resync(reason, head)));
                }
                CaughtUp::Frames { frames, complete } => {
                    frames.into_iter().for_each(|frame| self.add(frame));
                    if cut(&mut self.frames, |frame| (frame.seq, frame.len())) || complete {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Adds a frame to the answer unless the filter leaves it out.
    fn add(&mut self, frame: Arc<Frame>) {
        if self.filter.as_ref().is_none_or(|filter| filter.lets_frame_through(&frame)) {
            self.frames.push(frame);
        }
    }

    fn resync(&self, reason: &str, head: Head) -> Arc<Frame> {
        Arc::new(resync_frame(reason, self.follower.epoch(), head))
    }

    /// Nothing for the client, and yet its cursor may have moved: what a filter left out is behind it.
    fn ping(&self) -> Arc<Frame> {
        let seq = self.follower.last();
        let cursor = self.follower.epoch().cursor(seq);
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
        if bytes > MISSED_BYTES_MAX && change > 0 {
            frames.truncate(change);
            return true;
        }
    }
    false
}

#[test]
fn an_answer_is_cut_between_two_changes() {
    const HALF: usize = MISSED_BYTES_MAX / 2;
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
