//! One client session: in, and then reading.

use std::{borrow::Cow, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

/// How long a session may take to be let in.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Small ones: thousands of sessions are opened here, and memory that we take is not the server's.
const READ_BUFFER_BYTES: usize = 1_024;
const WRITE_BUFFER_BYTES: usize = 0;

pub(super) struct Session(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// As much of a server's frame as matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    seq: u64,
    #[serde(default, borrow)]
    alert: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Session {
    /// Returns when the server has said `hello`.
    pub(super) async fn open(url: &str, token: &str) -> anyhow::Result<Self> {
        let opened = timeout(OPEN_TIMEOUT, Self::greeted(url, token)).await;
        opened
            .unwrap_or_else(|_| bail!("not within {OPEN_TIMEOUT:?}"))
            .with_context(|| format!("a session at {url}"))
    }

    async fn greeted(url: &str, token: &str) -> anyhow::Result<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES);
        let (socket, _) = connect_async_with_config(url, Some(config), true).await?;
        let mut session = Self(socket);
        let auth = json!({"type": "auth", "token": token});
        session.0.send(Message::text(auth.to_string())).await?;
        let first = session.next().await?;
        match serde_json::from_str::<Frame<'_>>(first.lines().next().unwrap_or_default())?.kind {
            kind if kind == "hello" => Ok(session),
            kind => bail!("the server began with {kind}"),
        }
    }

    /// Gives every alert's id and time of arrival to `on_alert`, until the session ends, which is never right.
    pub(super) async fn read(&mut self, mut on_alert: impl FnMut(&str, Instant)) -> anyhow::Error {
        loop {
            if let Err(error) = self.read_message(&mut on_alert).await {
                return error;
            }
        }
    }

    async fn read_message(&mut self, on_alert: &mut impl FnMut(&str, Instant)) -> anyhow::Result<()> {
        let text = self.next().await?;
        let now = Instant::now();
        for line in text.lines() {
            let frame: Frame<'_> = serde_json::from_str(line).context("what is not a frame")?;
            match (&*frame.kind, &frame.alert) {
                ("alert", Some(alert)) => on_alert(&alert.id, now),
                ("ping", _) => {
                    let pong = json!({"type": "pong", "seq": frame.seq});
                    self.0.send(Message::text(pong.to_string())).await?;
                }
                ("resync", _) => bail!("its backlog was dropped: spread the alerts over more --users"),
                _ => {}
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the connection was lost")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(Some(close)) => {
                    bail!("closed with {} {}", u16::from(close.code), close.reason)
                }
                Message::Close(None) => bail!("closed"),
                _ => {}
            }
        }
    }
}
