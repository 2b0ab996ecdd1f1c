//! One protocol over three transports: a client for tests that is told which to take.
//!
//! Each gives its frames as JSON through [`Frames`], checks what is special to its transport, and says how it ended in
//! the same words: `closed CODE REASON`, or `answered STATUS …` when it was refused before it began.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use watchbell::domain::{TopicPattern, UserId, UserKey};
use watchbell_socket::token::{Grants, NewToken};

use crate::{
    fleet::Fleet,
    poll::PollSession,
    session::{Frames, Session},
    sse::SseSession,
};

/// How a session is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `GET /v1/ws`
    WebSocket,
    /// `GET /v1/sse`
    Sse,
    /// `GET /v1/poll`
    Poll,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Poll];
}

/// What a client asks for when it comes, and how.
#[derive(Debug, Clone, Default)]
pub struct Asks {
    /// Its token.
    pub token: String,
    /// From where to go on.
    pub cursor: Option<String>,
    /// What to subscribe to from the start.
    pub topics: Vec<String>,
    /// As in an `auth` frame.
    pub filter: Value,
    /// Sent with its requests.
    pub headers: Vec<(&'static str, String)>,
    /// The address of this machine it connects from (all of 127.0.0.0/8 are).
    pub from: Option<IpAddr>,
    /// What a balancer says before the request. WebSocket and SSE only.
    pub preface: Vec<u8>,
}

impl Asks {
    /// Goes on from there.
    #[must_use]
    pub fn after(mut self, cursor: Option<&str>) -> Self {
        self.cursor = cursor.map(str::to_owned);
        self
    }

    /// Subscribes to these from the start.
    #[must_use]
    pub fn topics(mut self, topics: &[&str]) -> Self {
        self.topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        self
    }

    /// Sends this header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// What stands behind the address, for transports that have no first frame.
    pub(crate) fn query(&self) -> String {
        let list = |value: &Value| -> String {
            let items: Vec<String> = match value {
                Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Value::Object(map) => map
                    .iter()
                    .map(|(name, value)| format!("{name}:{}", value.as_str().unwrap_or_default()))
                    .collect(),
                Value::String(word) => vec![word.clone()],
                _ => Vec::new(),
            };
            items.join(",")
        };
        let mut pairs = vec![("topics", self.topics.join(","))];
        for name in ["types", "sources", "labels", "min_severity"] {
            pairs.push((name, list(&self.filter[name])));
        }
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// A connection to `host:port`, from where it was asked, with the balancer's word said.
    pub(crate) async fn connect(&self, authority: &str) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind((from, 0).into())?;
        }
        let mut stream = socket.connect(authority.parse()?).await?;
        stream.write_all(&self.preface).await?;
        Ok(stream)
    }
}

/// A session over one of the transports.
pub enum Client {
    /// Over WebSocket.
    WebSocket(Box<Session>),
    /// Over server-sent events.
    Sse(Box<SseSession>),
    /// Over requests that wait.
    Poll(Box<PollSession>),
}

impl Client {
    /// Opens a session on a pod (`http://host:port`) and takes its `hello`; a poll that goes on from a cursor has none.
    ///
    /// # Errors
    /// No connection, `answered STATUS …`, or `closed CODE REASON`.
    pub async fn open(transport: Transport, pod: &str, asks: &Asks) -> anyhow::Result<Self> {
        Ok(match transport {
            Transport::WebSocket => {
                let mut session = Session::connect_as(&format!("{pod}/v1/ws"), asks).await?;
                let auth = json!({
                    "type": "auth", "token": asks.token, "cursor": asks.cursor, "topics": asks.topics,
                    "filter": asks.filter, "visibility": "visible",
                });
                session.say(&auth).await?;
                session.greeted().await?;
                Self::WebSocket(Box::new(session))
            }
            Transport::Sse => {
                let mut session = SseSession::open(&format!("{pod}/v1/sse?{}", asks.query()), asks).await?;
                session.greeted().await?;
                Self::Sse(Box::new(session))
            }
            Transport::Poll => Self::Poll(Box::new(PollSession::open(pod, asks).await?)),
        })
    }

    /// The first frame.
    pub fn hello(&self) -> &Value {
        match self {
            Self::WebSocket(session) => &session.hello,
            Self::Sse(session) => &session.hello,
            Self::Poll(session) => &session.hello,
        }
    }
}

impl Frames for Client {
    async fn next(&mut self) -> anyhow::Result<Value> {
        match self {
            Self::WebSocket(session) => session.next().await,
            Self::Sse(session) => session.next().await,
            Self::Poll(session) => session.next().await,
        }
    }
}

/// `host:port` and the rest of an `http://` address.
pub(crate) fn parts_of(url: &str) -> anyhow::Result<(&str, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is no http:// address"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((authority, format!("/{path}")))
}

impl Fleet {
    /// A token of a user who may read these topics (patterns), good for so long.
    ///
    /// # Errors
    /// A name is not one.
    pub fn grant(&self, user: &str, topics: &[&str], good_for: SignedDuration) -> anyhow::Result<String> {
        let secret = self.auth.hs256_secret.as_ref().context("no secret")?;
        let topics: Vec<TopicPattern> =
            topics.iter().map(|topic| TopicPattern::parse(topic)).collect::<Result<_, _>>()?;
        let grants = Grants { topics: topics.into(), ..Grants::default() };
        let user = UserKey::new(self.tenant().clone(), UserId::parse(user)?);
        let now = Timestamp::now();
        NewToken { user: &user, issued_at: now, expires_at: now + good_for, grants: &grants }
            .sign(secret, &self.auth)
    }

    /// What a user asks for who may read these topics (patterns) and wants nothing special.
    ///
    /// # Errors
    /// A name is not one.
    pub fn asks(&self, user: &str, allowed: &[&str]) -> anyhow::Result<Asks> {
        Ok(Asks { token: self.grant(user, allowed, SignedDuration::from_hours(1))?, ..Asks::default() })
    }

    /// Opens a session on a pod over any transport.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub async fn client(&self, transport: Transport, pod: &str, asks: &Asks) -> anyhow::Result<Client> {
        Client::open(transport, &self.url(pod)?, asks).await
    }

    /// Publishes an event on a topic and insists on 202.
    ///
    /// # Errors
    /// Another answer.
    pub async fn event(&self, topic: &str, event: &Value) -> anyhow::Result<()> {
        let path = format!("/v1/topics/{topic}/events");
        let (status, problem) = self.producer(reqwest::Method::POST, &path, Some(event)).await?;
        ensure!(status == 202, "answered {status}: {problem}");
        Ok(())
    }
}
