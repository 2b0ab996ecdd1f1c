//! A session over server-sent events, read as a browser reads them: from the bytes of an HTTP/1.1 answer.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::{Asks, parts_of},
    session::{FRAME_DEADLINE, Frames},
};

/// One event as it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerSent {
    /// `event:`
    pub kind: String,
    /// `id:`
    pub id: Option<String>,
    /// `data:`
    pub data: Value,
}

/// A stream of server-sent events.
pub struct SseSession {
    stream: BufReader<TcpStream>,
    /// What was read of the body and not yet of a line, where the body comes in chunks (RFC 9112, section 7.1).
    chunked: Option<Vec<u8>>,
    /// The head of the answer, for what it says.
    pub head: String,
    /// The first frame.
    pub hello: Value,
}

impl SseSession {
    /// Asks for a stream at any address (`http://host:port/…`) and takes the head of the answer.
    ///
    /// # Errors
    /// No connection, or `answered STATUS BODY` when that is not 200.
    pub async fn open(url: &str, asks: &Asks) -> anyhow::Result<Self> {
        let (authority, path) = parts_of(url)?;
        let mut stream = asks.connect(authority).await?;
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n");
        let bearer = (!asks.token.is_empty()).then(|| ("Authorization", format!("Bearer {}", asks.token)));
        let last_id = asks.cursor.clone().map(|cursor| ("Last-Event-ID", cursor));
        for (name, value) in bearer.into_iter().chain(last_id).chain(asks.headers.iter().cloned()) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).await?;
        let stream = BufReader::new(stream);
        let mut session = Self { stream, chunked: None, head: String::new(), hello: Value::Null };
        while !session.head.ends_with("\r\n\r\n") {
            let line = session.line().await.context("the head of the answer")?;
            session.head.push_str(&line);
        }
        let status = session.head.split(' ').nth(1).unwrap_or_default().to_owned();
        if status != "200" {
            let length = session.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            session.stream.read_exact(&mut body).await?;
            bail!("answered {status} {}", String::from_utf8_lossy(&body));
        }
        if session.header("transfer-encoding") == Some("chunked") {
            session.chunked = Some(Vec::new());
        }
        ensure!(session.header("content-type") == Some("text/event-stream"), "no stream: {}", session.head);
        Ok(session)
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The next event, whatever it is.
    ///
    /// # Errors
    /// None within the deadline, or the stream ended.
    pub async fn event(&mut self) -> anyhow::Result<ServerSent> {
        let mut event = ServerSent::default();
        loop {
            let line = self.line().await?;
            match line.trim_end().split_once(": ") {
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("data", data)) => event.data = serde_json::from_str(data)?,
                Some(("retry", _)) => {}
                // What was only `retry` is no event.
                None if line.trim().is_empty() && event.data.is_null() => event = ServerSent::default(),
                None if line.trim().is_empty() => return Ok(event),
                _ => bail!("not a line of a stream: {line:?}"),
            }
        }
    }

    pub(crate) async fn greeted(&mut self) -> anyhow::Result<()> {
        self.hello = self.next().await?;
        ensure!(self.hello["type"] == "hello", "greeted with {}", self.hello);
        Ok(())
    }

    /// The next line of the head, or of the body.
    async fn line(&mut self) -> anyhow::Result<String> {
        let Some(mut read) = self.chunked.take() else { return self.raw_line().await };
        while !read.contains(&b'\n') {
            let size = self.raw_line().await?;
            let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
            ensure!(size > 0, "the connection ended");
            let begun = read.len();
            read.resize(begun + size, 0);
            timeout(FRAME_DEADLINE, self.stream.read_exact(&mut read[begun..]))
                .await
                .context("half a chunk")??;
            self.raw_line().await?;
        }
        let end = read.iter().position(|&byte| byte == b'\n').unwrap_or_default() + 1;
        let rest = read.split_off(end);
        self.chunked = Some(rest);
        Ok(String::from_utf8(read)?)
    }

    async fn raw_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read =
            timeout(FRAME_DEADLINE, self.stream.read_line(&mut line)).await.context("no frame came")??;
        ensure!(read > 0, "the connection ended");
        Ok(line)
    }
}

impl Frames for SseSession {
    /// The next frame that is not a `ping`. Its event has the frame's type, and its id is the cursor after it.
    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            let event = self.event().await?;
            ensure!(event.data["type"] == event.kind, "{} is called {}", event.data, event.kind);
            if event.kind == "close" {
                bail!("closed {} {}", event.data["code"], event.data["reason"].as_str().unwrap_or_default());
            }
            if event.kind == "ping" {
                continue;
            }
            let cursor = event.data["cursor"].as_str();
            ensure!(event.id.as_deref() == cursor, "the id of {event:?} is not its cursor");
            return Ok(event.data);
        }
    }
}
