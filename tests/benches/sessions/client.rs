//! Raw clients: a connection, and what arrives on it as bytes. Thousands share one core, so nothing is parsed that is
//! not needed.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Read at a time.
const READ_BYTES: usize = 4 * 1024;

/// How a session is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ws,
    Sse,
    /// To the floor, which greets, sends WebSocket frames and asks nothing.
    Bare,
}

pub struct Client {
    stream: TcpStream,
    kind: Kind,
    /// What was read and not taken.
    rest: Vec<u8>,
}

impl Client {
    /// Connects and waits for `hello`.
    pub async fn open(address: &str, kind: Kind, token: &str, query: &str) -> anyhow::Result<Self> {
        timeout(PATIENCE, Self::greeted(address, kind, token, query))
            .await
            .context("a session did not open in time")?
    }

    async fn greeted(address: &str, kind: Kind, token: &str, query: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, kind, rest: Vec::new() };
        let common = format!(
            "Host: {address}\r\nAuthorization: Bearer {token}\r\nUser-Agent: Mozilla/5.0 (bench)\r\n"
        );
        let head = match kind {
            Kind::Bare => return client.hello().await,
            Kind::Sse => format!("GET /v1/sse?{query} HTTP/1.1\r\n{common}Accept: text/event-stream\r\n\r\n"),
            Kind::Ws => format!(
                "GET /v1/ws?{query} HTTP/1.1\r\n{common}Connection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        };
        client.stream.write_all(head.as_bytes()).await?;
        let answer = client.through(b"\r\n\r\n").await?;
        let expected: &[u8] = if kind == Kind::Ws { b"HTTP/1.1 101" } else { b"HTTP/1.1 200" };
        ensure!(answer.starts_with(expected), "answered {}", String::from_utf8_lossy(&answer));
        client.hello().await
    }

    async fn hello(mut self) -> anyhow::Result<Self> {
        let mut first = self.frame().await?;
        if self.kind == Kind::Sse && first.starts_with(b"retry:") {
            first = self.frame().await?;
        }
        ensure!(has(&first, br#""type":"hello""#), "greeted with {}", String::from_utf8_lossy(&first));
        Ok(self)
    }

    /// Waits for a frame that contains `word`.
    pub async fn until(&mut self, word: &str) -> anyhow::Result<Instant> {
        let waiting = async {
            loop {
                if has(&self.frame().await?, word.as_bytes()) {
                    return Ok(Instant::now());
                }
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("no frame with {word}"))?
    }

    /// The next frame: the payload of a WebSocket frame, or an event.
    async fn frame(&mut self) -> anyhow::Result<Vec<u8>> {
        if self.kind == Kind::Sse {
            return self.through(b"\n\n").await;
        }
        loop {
            if let Some((head, len)) = frame_len(&self.rest)
                && self.rest.len() >= head + len
            {
                let payload = self.rest[head..head + len].to_vec();
                self.take(head + len);
                return Ok(payload);
            }
            self.read().await?;
        }
    }

    async fn through(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end) {
                let found = self.rest[..at + end.len()].to_vec();
                self.take(at + end.len());
                return Ok(found);
            }
            self.read().await?;
        }
    }

    /// What is left keeps no more memory than it needs: thousands of these are idle.
    fn take(&mut self, count: usize) {
        self.rest.drain(..count);
        self.rest.shrink_to_fit();
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.stream.readable().await?;
        let mut bytes = [0; READ_BYTES];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => bail!("the connection ended"),
            Ok(count) => self.rest.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Ends it and waits until the server has.
    pub async fn leave(mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await?;
        while timeout(PATIENCE, self.stream.read(&mut [0; READ_BYTES])).await?? > 0 {}
        Ok(())
    }
}

/// Opens many, `at_once` of them at a time.
pub async fn open_many(
    address: &str,
    kind: Kind,
    tokens: &[String],
    query: &str,
    at_once: usize,
) -> anyhow::Result<Vec<Client>> {
    let opening = tokens.iter().map(|token| Client::open(address, kind, token, query));
    stream::iter(opening).buffer_unordered(at_once).try_collect().await
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// How long a frame's head is, and its payload; `None` when the head is not complete.
fn frame_len(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? & 0x7f {
        126 => Some((4, u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?).into())),
        127 => Some((10, usize::try_from(u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)).ok()?)),
        len => Some((2, len.into())),
    }
}
