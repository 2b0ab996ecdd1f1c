//! WebSocket clients of the session protocol for tests: [`Session`] is one connection, [`Follower`] comes back when it
//! ends. [`Frames`] is what sessions over all transports have in common.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use crate::client::{Asks, parts_of};

/// How long one frame may take.
pub(crate) const FRAME_DEADLINE: Duration = Duration::from_secs(20);
/// How soon a [`Follower`] comes back. A real client takes its time; a test has none.
const COME_BACK: Duration = Duration::from_millis(100);

/// A session that was opened with an `auth` frame.
pub struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: Vec<Value>,
    /// The first frame.
    pub hello: Value,
}

impl Session {
    /// Opens a session at `url` (`ws://…/v1/ws`) and takes its `hello`.
    ///
    /// # Errors
    /// No connection, or closed instead of greeted: the close code is in the error.
    pub async fn open(url: &str, token: &str, cursor: Option<&str>) -> anyhow::Result<Self> {
        let mut session = Self::connect(url).await?;
        session.say(&json!({"type": "auth", "token": token, "cursor": cursor})).await?;
        session.greeted().await?;
        Ok(session)
    }

    /// Takes the `hello`.
    ///
    /// # Errors
    /// Closed instead of greeted: the close code is in the error.
    pub async fn greeted(&mut self) -> anyhow::Result<()> {
        self.hello = self.next().await?;
        anyhow::ensure!(self.hello["type"] == "hello", "greeted with {}", self.hello);
        Ok(())
    }

    /// Connects and says nothing yet.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let (socket, _) = timeout(FRAME_DEADLINE, connect_async(url)).await??;
        Ok(Self { socket, waiting: Vec::new(), hello: Value::Null })
    }

    /// Connects to any address (`http://…`) as it is asked, and says nothing yet.
    ///
    /// # Errors
    /// No connection, or `answered STATUS` when it was refused at the door.
    pub async fn connect_as(url: &str, asks: &Asks) -> anyhow::Result<Self> {
        let (authority, _) = parts_of(url)?;
        let mut request = url.replacen("http", "ws", 1).into_client_request()?;
        for (name, value) in &asks.headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        let stream = MaybeTlsStream::Plain(asks.connect(authority).await?);
        let (socket, _) = match timeout(FRAME_DEADLINE, client_async(request, stream)).await? {
            Err(Error::Http(answer)) => bail!("answered {}", answer.status().as_u16()),
            opened => opened?,
        };
        Ok(Self { socket, waiting: Vec::new(), hello: Value::Null })
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say(&mut self, frame: &Value) -> anyhow::Result<()> {
        self.say_raw(Message::text(frame.to_string())).await
    }

    /// Says anything at all.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say_raw(&mut self, message: Message) -> anyhow::Result<()> {
        Ok(self.socket.send(message).await?)
    }

    /// The next message as it came, whatever it is.
    ///
    /// # Errors
    /// None within the deadline, or the connection ended.
    pub async fn raw(&mut self) -> anyhow::Result<Message> {
        let message = timeout(FRAME_DEADLINE, self.socket.next()).await.context("no message came")?;
        Ok(message.context("the connection ended")??)
    }

    /// The next frame that is not a `ping`; those are answered.
    ///
    /// # Errors
    /// None within the deadline, or the session was closed: `closed CODE REASON`.
    pub async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            if !self.waiting.is_empty() {
                let frame = self.waiting.remove(0);
                if frame["type"] == "ping" {
                    self.say(&json!({"type": "pong", "seq": frame["seq"]})).await?;
                    continue;
                }
                return Ok(frame);
            }
            let message = timeout(FRAME_DEADLINE, self.socket.next()).await.context("no frame came")?;
            match message.context("the connection ended")?? {
                Message::Text(text) => {
                    for line in text.lines() {
                        self.waiting.push(serde_json::from_str(line)?);
                    }
                }
                Message::Close(Some(frame)) => bail!("closed {} {}", u16::from(frame.code), frame.reason),
                Message::Close(None) => bail!("closed without a code"),
                _ => {}
            }
        }
    }
}

/// A stream of frames, whatever its transport.
#[expect(async_fn_in_trait, reason = "the tests of this package are its only users")]
pub trait Frames {
    /// The next frame that is not a `ping`.
    ///
    /// # Errors
    /// None within the deadline, or the session ended: `closed CODE REASON`.
    async fn next(&mut self) -> anyhow::Result<Value>;

    /// The next frame of a type; others are passed over.
    ///
    /// # Errors
    /// As [`Frames::next`].
    async fn next_of(&mut self, kind: &str) -> anyhow::Result<Value> {
        loop {
            let frame = self.next().await.with_context(|| format!("waiting for {kind}"))?;
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    }

    /// The frames that changed the inbox (alerts and receipts), up to the first with this number.
    ///
    /// # Errors
    /// As [`Frames::next`]; or told to fetch the inbox instead.
    async fn up_to(&mut self, seq: u64) -> anyhow::Result<Vec<Value>> {
        let mut changes = Vec::new();
        loop {
            let frame = self.next().await.with_context(|| format!("waiting for change {seq}"))?;
            anyhow::ensure!(frame["type"] != "resync", "waiting for change {seq}: {frame}");
            if !is_change(&frame) {
                continue;
            }
            let reached = frame["seq"].as_u64() >= Some(seq);
            changes.push(frame);
            if reached {
                return Ok(changes);
            }
        }
    }

    /// What the server closed the session with.
    ///
    /// # Errors
    /// It did not.
    async fn closed(&mut self) -> anyhow::Result<String> {
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(error) => {
                    let text = error.to_string();
                    anyhow::ensure!(text.starts_with("closed"), "not closed: {text}");
                    return Ok(text);
                }
            }
        }
    }
}

impl Frames for Session {
    async fn next(&mut self) -> anyhow::Result<Value> {
        Self::next(self).await
    }
}

/// Whether a frame changed the inbox, and so has a number of its own.
pub fn is_change(frame: &Value) -> bool {
    frame["type"] == "alert" || frame["type"] == "receipt"
}

/// A client that always comes back: when its session ends, however, it goes on from its cursor on the next pod.
/// Dropped, it stays away.
pub struct Follower {
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// What a [`Follower`] was told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Every frame of every session but `hello`, in order.
    pub frames: Vec<Value>,
    /// How its sessions ended: a close code with its reason, or the error.
    pub ends: Vec<String>,
}

impl Follower {
    /// Opens a session, and follows from there.
    ///
    /// # Errors
    /// The first session cannot be opened.
    pub async fn start(pods: Vec<String>, token: String) -> anyhow::Result<Self> {
        let first = Session::open(pods.first().context("no pod")?, &token, None).await?;
        let told = Arc::default();
        let task = tokio::spawn(follow(first, pods, token, Arc::clone(&told)));
        Ok(Self { told, task })
    }

    /// Everything until now.
    pub fn told(&self) -> Told {
        locked(&self.told).clone()
    }

    /// The frames of alerts and receipts until now.
    pub fn changes(&self) -> Vec<Value> {
        locked(&self.told).frames.iter().filter(|frame| is_change(frame)).cloned().collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(first: Session, pods: Vec<String>, token: String, told: Arc<Mutex<Told>>) {
    let mut cursor = first.hello["cursor"].as_str().map(str::to_owned);
    let mut session = Some(first);
    let mut come_back = interval(COME_BACK);
    for pod in pods.iter().cycle().skip(1) {
        while let Some(open) = &mut session {
            match open.next().await {
                Ok(frame) => {
                    cursor = frame["cursor"].as_str().map(str::to_owned).or(cursor);
                    locked(&told).frames.push(frame);
                }
                Err(error) => {
                    locked(&told).ends.push(format!("{error:#}"));
                    session = None;
                }
            }
        }
        come_back.tick().await;
        session = Session::open(pod, &token, cursor.as_deref()).await.ok();
    }
}

fn locked(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
