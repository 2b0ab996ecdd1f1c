//! A session over polls: a request at a time, each from the cursor that the one before led to.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{
    client::Asks,
    session::{FRAME_DEADLINE, Frames},
};

/// How long a request waits for something to tell, in seconds.
const WAIT_S: u64 = 5;

/// Polls one after the other.
pub struct PollSession {
    http: reqwest::Client,
    pod: String,
    asks: Asks,
    cursor: Option<String>,
    waiting: VecDeque<Value>,
    /// The first frame; null for a session that goes on from a cursor.
    pub hello: Value,
}

impl PollSession {
    /// Begins on a pod (`http://host:port`): with `hello`, unless it goes on from a cursor.
    ///
    /// # Errors
    /// `answered STATUS BODY` when that is not 200.
    pub async fn open(pod: &str, asks: &Asks) -> anyhow::Result<Self> {
        let mut http = reqwest::Client::builder().timeout(FRAME_DEADLINE + Duration::from_secs(WAIT_S));
        if asks.from.is_some() {
            http = http.local_address(asks.from);
        }
        let mut session = Self {
            http: http.build()?,
            pod: pod.to_owned(),
            cursor: asks.cursor.clone(),
            asks: asks.clone(),
            waiting: VecDeque::new(),
            hello: Value::Null,
        };
        if session.cursor.is_none() {
            session.poll().await?;
            session.hello = session.waiting.pop_front().unwrap_or_default();
            ensure!(session.hello["type"] == "hello", "greeted with {}", session.hello);
        }
        Ok(session)
    }

    /// One request; what it brings waits to be taken.
    ///
    /// # Errors
    /// `answered STATUS BODY` when that is not 200.
    pub async fn poll(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/v1/poll?wait={WAIT_S}&{}", self.pod, self.asks.query());
        let mut request = self.http.get(url).bearer_auth(&self.asks.token);
        if let Some(cursor) = &self.cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        for (name, value) in &self.asks.headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.text().await?);
        if status != 200 {
            bail!("answered {status} {body}");
        }
        let frames: Vec<Value> = serde_json::from_str(&body)?;
        for frame in frames {
            if let Some(cursor) = frame["cursor"].as_str() {
                self.cursor = Some(cursor.to_owned());
            }
            if frame["type"] != "ping" {
                self.waiting.push_back(frame);
            }
        }
        Ok(())
    }
}

impl Frames for PollSession {
    /// The next frame that is not a `ping`, asking as often as the deadline allows.
    async fn next(&mut self) -> anyhow::Result<Value> {
        let until = Instant::now() + FRAME_DEADLINE;
        while self.waiting.is_empty() {
            ensure!(Instant::now() < until, "no frame came");
            self.poll().await?;
        }
        self.waiting.pop_front().context("no frame came")
    }
}
