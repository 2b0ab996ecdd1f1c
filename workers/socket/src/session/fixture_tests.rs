//! What tests of sessions stand in: a pod without a broker, and clients that read as slowly as they like.

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::{JoinHandle, yield_now},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell::{
    broker::LiveControl,
    domain::{Secret, Seq, Tenant, Topic, TopicKey, UserId, UserKey},
    runtime::{
        Clock,
        config::AuthConfig,
        http::{AnswerBudget, ShareBounds},
        waiting_room::WaitingRoom,
    },
    store::{Store, StoreConfig},
    wire::frame::{AlertFrame, EventFrame, ServerFrame},
};

use crate::{
    config::SocketConfig,
    feed::{follower::Follower, inbox::Inbox},
    frames::{
        epoch::Epochs,
        frame::{Form, Frame},
        sent::SentFrames,
    },
    pod::{
        direct_writes::DirectWrites,
        heads::Heads,
        hub::Hub,
        leaving::Leaving,
        limits::{Addresses, Turns},
        mailbox::{Backlog, Item},
        partitions::Partitions,
        presence::Presence,
        receipts::Receipts,
        sessions::Sessions,
    },
    session::{
        connection::Connection,
        deadlines::Deadlines,
        parts::SessionParts,
        state::{Session, SessionEnd, SessionState},
    },
    token::{Authenticator, Identity, Verifier},
};

pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// What the kernel may keep for one side of a connection: little, so that it often takes only a part of a frame.
const KERNEL_BYTES: u32 = 8 * 1024;

/// A pod without a broker, whose store has no tables: what sessions read there, they do without.
pub(super) struct Pod {
    parts: Arc<SessionParts>,
    pub(super) hub: Arc<Hub>,
    direct: Arc<DirectWrites>,
    pub(super) epochs: Arc<Epochs>,
    tasks: TaskTracker,
    /// How often the tasks of all sessions have run.
    pub(super) runs: Arc<AtomicUsize>,
}

struct NoBroker;

#[async_trait::async_trait]
impl LiveControl for NoBroker {
    async fn follow(&self, _: u16) {}
    async fn unfollow(&self, _: u16) {}
}

fn user() -> UserKey {
    UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap())
}

fn topic() -> TopicKey {
    TopicKey::new(Tenant::parse("acme").unwrap(), Topic::parse("monitor:7").unwrap())
}

impl Pod {
    pub(super) fn start(backlog: Backlog) -> Self {
        let (clock, config) = (Clock::system(), Arc::new(SocketConfig::default()));
        let sent = Arc::new(SentFrames::new(clock.clone()));
        let direct = Arc::new(DirectWrites::new(sent.clone(), backlog, 2));
        let hub = Arc::new(Hub::new(backlog, direct.clone()));
        let (presence, epochs) = (Arc::new(Presence::default()), Arc::new(Epochs::default()));
        epochs.begin("aa");
        tokio::spawn(told_at_once(presence.clone()));
        let secret = Some(Secret::from("0123456789abcdef0123456789abcdef"));
        let authenticator = Authenticator::new(&AuthConfig { hs256_secret: secret, ..AuthConfig::default() });
        let store = StoreConfig { url: Secret::from("sqlite::memory:"), connections_max: 1 };
        let inbox = Inbox {
            store: Store::open(&store).unwrap(),
            heads: Heads::new().0,
            epochs: epochs.clone(),
            receipts: Receipts::new().0,
            answers: AnswerBudget::new(1 << 20),
        };
        let sessions = Sessions {
            hub: hub.clone(),
            partitions: Arc::new(Partitions::new(Arc::new(NoBroker))),
            presence,
            turns: Turns::per_second(1_000_000),
            per_user_max: 1_000,
        };
        let parts = Arc::new(SessionParts {
            verifier: Verifier::new(Arc::new(authenticator.unwrap()), clock),
            sessions: Arc::new(sessions),
            inbox,
            leaving: Arc::new(Leaving::when(CancellationToken::new())),
            unsigned: WaitingRoom::new(10, config.unsigned_share()),
            config,
            sent,
        });
        Self { parts, hub, direct, epochs, tasks: TaskTracker::new(), runs: Arc::default() }
    }

    /// A session that was greeted, and follows the topic.
    pub(super) async fn session(&self, form: Form) -> (TcpStream, JoinHandle<SessionEnd>) {
        let (client, server) = connection().await;
        let (parts, now) = (self.parts.clone(), Instant::now());
        let identity = Identity { user: user(), expires_at: Timestamp::MAX, issued_at: None, grants: None };
        let registration = parts.sessions.join(identity.user.clone()).await.unwrap();
        let subscription = registration.subscribe(topic()).await;
        let far = now + Duration::from_secs(3_600);
        let anybody = ShareBounds { public_max: 0, private_max: 0 };
        let address = Addresses::default().enter(IpAddr::V4(Ipv4Addr::LOCALHOST), anybody).unwrap();
        let follower = Follower::after(0, self.epochs.current());
        let deadlines = Deadlines::new(now, far, far);
        let mut state = SessionState::new(identity, registration, address, follower, deadlines, now);
        state.extras.get_or_insert_default().topics.push(subscription);
        let mut connection = Connection::new(server, Bytes::new(), form, 64 * 1024);
        let task = async move { Session { parts: &parts, connection: &mut connection, state }.run().await };
        (client, tokio::spawn(counted(task, self.runs.clone())))
    }

    pub(super) async fn give(&self, item: Item, bytes: usize) {
        self.hub.give(&user(), || item);
        self.direct.pump(bytes, &self.tasks).await;
    }

    /// A live alert with a number.
    pub(super) async fn alert(&self, seq: Seq) {
        let epoch = self.epochs.current();
        let alert = RawValue::from_string(format!(r#"{{"alert":{seq}}}"#)).unwrap();
        let cursor = epoch.cursor(seq);
        let frame = AlertFrame {
            seq,
            cursor: &cursor,
            unread: 1,
            state: "new",
            until: None,
            answer: None,
            alert: &alert,
        };
        let frame = Frame::live(&ServerFrame::Alert(frame), seq, &epoch);
        self.give(Item::Frame(Arc::new(frame)), 200).await;
    }

    /// An event of the topic.
    pub(super) async fn event(&self, number: u64, padding: usize) {
        let event = format!(r#"{{"type":"tick","tick":{number},"padding":"{}"}}"#, "x".repeat(padding));
        let event = RawValue::from_string(event).unwrap();
        let frame = Frame::new(&ServerFrame::Event(EventFrame { topic: "monitor:7", event: &event }), None);
        self.hub.give_subscribers(&topic(), || Item::Frame(Arc::new(frame)));
        self.direct.pump(padding, &self.tasks).await;
    }

    /// When each session waits: its task does not run any more, whatever time passes.
    pub(super) async fn idle(&self) {
        let mut quiet = (0, usize::MAX);
        while quiet.0 < 1_000 {
            let runs = self.runs.load(Ordering::SeqCst);
            quiet = if quiet.1 == runs { (quiet.0 + 1, runs) } else { (0, runs) };
            yield_now().await;
        }
    }
}

/// Answers whoever waits until the store knows of them.
async fn told_at_once(presence: Arc<Presence>) {
    loop {
        presence.changed().await;
        for (_, told) in presence.take_arrived() {
            told.send(()).unwrap();
        }
    }
}

/// Counts how often a task runs.
async fn counted<T>(task: impl Future<Output = T>, runs: Arc<AtomicUsize>) -> T {
    let mut task = pin!(task);
    poll_fn(|context| {
        runs.fetch_add(1, Ordering::SeqCst);
        task.as_mut().poll(context)
    })
    .await
}

/// Both ends of one.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_send_buffer_size(KERNEL_BYTES).unwrap();
    listener.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let listener = listener.listen(1).unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(KERNEL_BYTES).unwrap();
    let client = client.connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// What a client read: the numbers in its alerts and events.
#[derive(Default)]
pub(super) struct Screen {
    pub(super) alerts: Vec<u64>,
    pub(super) events: Vec<u64>,
    pub(super) rest: Vec<u8>,
}

impl Screen {
    pub(super) fn read(&mut self, bytes: &[u8], form: Form) {
        self.rest.extend_from_slice(bytes);
        while let Some((payload, len)) =
            if form.is_websocket() { message(&self.rest) } else { server_sent(&self.rest) }
        {
            let number = |name: &str| {
                let at = payload.find(name)? + name.len();
                let digits: String = payload[at..].chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u64>().ok()
            };
            self.alerts.extend(number(r#"{"alert":"#));
            self.events.extend(number(r#""tick":"#));
            self.rest.drain(..len);
        }
    }
}

/// The first message of WebSocket, and its bytes with its head.
fn message(bytes: &[u8]) -> Option<(String, usize)> {
    let (kind, len) = (*bytes.first()?, *bytes.get(1)?);
    assert!(matches!(kind, 0x81 | 0x89 | 0x8a), "not the head of a message: {kind:#x}, frames are mixed up");
    let (head, len) = match len {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?) as usize),
        len => (2, usize::from(len)),
    };
    let payload = bytes.get(head..head + len)?;
    Some((std::str::from_utf8(payload).expect("text").to_owned(), head + len))
}

/// The first server-sent event.
fn server_sent(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let event = std::str::from_utf8(&bytes[..end]).expect("text");
    assert!(event.starts_with("event: "), "not the beginning of an event: frames are mixed up");
    Some((event.to_owned(), end + 2))
}

/// A client that reads in pieces of any size, and sometimes says something meanwhile.
pub(super) struct Reader {
    client: TcpStream,
    form: Form,
    pub(super) screen: Screen,
    chance: StdRng,
    /// How often it may still say something.
    says: u32,
}

impl Reader {
    pub(super) fn of(client: TcpStream, form: Form, seed: u64) -> Self {
        let says = if form.is_websocket() { 10 } else { 0 };
        Self { client, form, screen: Screen::default(), chance: StdRng::seed_from_u64(seed), says }
    }

    /// Reads until it has so many alerts and events.
    pub(super) async fn until(&mut self, alerts: usize, events: usize) {
        while self.screen.alerts.len() < alerts || self.screen.events.len() < events {
            if self.says > 0 && self.chance.random_bool(0.1) {
                self.says -= 1;
                // A plain ping, with a mask of zeros (RFC 6455, section 5.3).
                self.client.write_all(b"\x81\x84\0\0\0\0ping").await.unwrap();
            }
            for _ in 0..self.chance.random_range(0..4) {
                yield_now().await;
            }
            assert!(self.read().await > 0, "the session ended");
        }
    }

    pub(super) async fn read(&mut self) -> usize {
        let mut bytes = vec![0; 16 * 1024];
        let most = self.chance.random_range(1..bytes.len());
        let count =
            timeout(DEADLINE, self.client.read(&mut bytes[..most])).await.expect("something comes").unwrap();
        self.screen.read(&bytes[..count], self.form);
        count
    }

    /// The same, in a task of its own.
    pub(super) fn spawn(mut self, alerts: usize, events: usize) -> JoinHandle<Screen> {
        tokio::spawn(async move {
            self.until(alerts, events).await;
            self.screen
        })
    }
}
