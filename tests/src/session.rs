//! A client of the session protocol for tests: keeps every frame it was given.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long one frame may take.
const FRAME_DEADLINE: Duration = Duration::from_secs(20);

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
        session.hello = session.next().await?;
        anyhow::ensure!(session.hello["type"] == "hello", "greeted with {}", session.hello);
        Ok(session)
    }

    /// Connects and says nothing yet.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let (socket, _) = timeout(FRAME_DEADLINE, connect_async(url)).await??;
        Ok(Self { socket, waiting: Vec::new(), hello: Value::Null })
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say(&mut self, frame: &Value) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(frame.to_string())).await?)
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

    /// The next frame of a type; others are passed over.
    ///
    /// # Errors
    /// As [`Session::next`].
    pub async fn next_of(&mut self, kind: &str) -> anyhow::Result<Value> {
        loop {
            let frame = self.next().await.with_context(|| format!("waiting for {kind}"))?;
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    }

    /// What the server closed the session with.
    ///
    /// # Errors
    /// It did not.
    pub async fn closed(&mut self) -> anyhow::Result<String> {
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
