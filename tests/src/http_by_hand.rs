//! HTTP/1.1 read by hand, for what stands in for the server of another product: each request is seen as it came, and the answer may
//! be anything, or none.
//!
//! What holds here: a request says its length, as those of the programs under test do, and is not longer than its reader allows.
//! A server that is dropped is gone, and its connections with it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// The path, with what is asked for behind a `?`.
    pub target: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What it brings.
    pub body: Vec<u8>,
}

/// What becomes of a request.
pub enum Answer {
    /// This is written, head and body. The connection stays.
    Says(String),
    /// Nothing is, with the connection open.
    Stalls,
    /// Nothing is, and the connection ends.
    HangsUp,
}

impl Request {
    /// The next one of a connection, with a body of `body_bytes_max` at the most.
    ///
    /// # Errors
    /// The client has gone, or it is no such request.
    pub async fn read(stream: &mut BufReader<TcpStream>, body_bytes_max: usize) -> anyhow::Result<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut head).await? > 0, "the client has gone");
        }
        let mut words = head.lines().next().unwrap_or_default().split(' ').map(str::to_owned);
        let (method, target) =
            words.next().zip(words.next()).with_context(|| format!("no request: {head}"))?;
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let length: usize = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        ensure!(length <= body_bytes_max, "{length} bytes");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(Self { method, target, headers, body })
    }

    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A running server. Dropped, it is gone.
pub struct Served {
    serving: JoinHandle<()>,
}

impl Served {
    /// Answers each request that comes to `listener`. A connection ends with the first for which there is no answer.
    pub fn at(
        listener: TcpListener,
        body_bytes_max: usize,
        answer: impl Fn(&Request) -> anyhow::Result<Answer> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                connections.spawn(async move { serve(stream, body_bytes_max, &*answer).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { serving }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    stream: TcpStream,
    body_bytes_max: usize,
    answer: &(impl Fn(&Request) -> anyhow::Result<Answer> + Sync),
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = Request::read(&mut stream, body_bytes_max).await?;
        match answer(&request)? {
            Answer::Says(text) => stream.write_all(text.as_bytes()).await?,
            Answer::Stalls => std::future::pending().await,
            Answer::HangsUp => return Ok(()),
        }
    }
}
