//! A tenant at its worst: bodies that never come, many recipients, and a flood, all at once.
//!
//! Attackers have computers of their own. So the attacking thread runs at the lowest priority: what its requests cost it
//! keeps nobody from a core, and what they cost the fleet does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use reqwest::header;
use rustix::process::setpriority_process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime,
    task::spawn_blocking,
    time::interval,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell_tests::{fleet::Fleet, requests::answer};

use crate::large;

/// Connections whose bodies never come.
const ANNOUNCED: usize = 64;
/// Loops that flood, and alerts in each of their requests.
const FLOODS: (usize, usize) = (4, 50);
/// How long the attacker waits after it was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Of Linux: whoever else wants a core gets it.
const LOWEST_PRIORITY: i32 = 19;

/// A tenant at its worst.
pub(crate) struct Attack {
    key: String,
    stop: CancellationToken,
    /// Answers how many large requests were accepted.
    thread: JoinHandle<anyhow::Result<usize>>,
}

impl Attack {
    pub(crate) fn start(fleet: &Fleet, round: usize) -> anyhow::Result<Self> {
        let tenant = format!("evil-{round}");
        let key = large::key_of(fleet, &tenant)?;
        let (url, stop) = (fleet.url("ingest")?, CancellationToken::new());
        let attacker =
            Attacker { url, key: key.clone(), http: reqwest::Client::new(), large: Arc::default() };
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            setpriority_process(None, LOWEST_PRIORITY).context("the attacker's priority")?;
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(attacker.attacks(stopped)))
        });
        Ok(Self { key, stop, thread })
    }

    /// Returns when everything that it sent is done with.
    pub(crate) async fn stop(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = spawn_blocking(move || self.thread.join()).await?;
        let accepted = ended.map_err(|_| anyhow!("the attacker panicked"))??;
        for request in 0..accepted {
            large::until_reached(fleet, &self.key, request).await?;
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Attacker {
    url: String,
    key: String,
    http: reqwest::Client,
    /// Large requests that were accepted.
    large: Arc<AtomicUsize>,
}

impl Attacker {
    /// Everything at once, until it is stopped. Answers how many large requests were accepted.
    async fn attacks(self, stop: CancellationToken) -> usize {
        let tasks = TaskTracker::new();
        for _ in 0..ANNOUNCED {
            tasks.spawn(stop.clone().run_until_cancelled_owned(self.clone().announces()));
        }
        tasks.spawn(self.clone().sends_large(stop.clone()));
        for _ in 0..FLOODS.0 {
            tasks.spawn(self.clone().floods(stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
        self.large.load(Ordering::Relaxed)
    }

    /// Announces a body and sends none, again as soon as it was refused.
    async fn announces(self) {
        let mut again = interval(REFUSED_PAUSE);
        loop {
            again.tick().await;
            let address = self.url.trim_start_matches("http://");
            let Ok(mut stream) = TcpStream::connect(address).await else { continue };
            let head = format!(
                "POST /v1/alerts HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nContent-Length: 8388608\r\n\r\n",
                self.key
            );
            if stream.write_all(head.as_bytes()).await.is_ok() {
                // Until it is answered or closed.
                let _ = stream.read(&mut [0; 512]).await;
            }
        }
    }

    /// One request with many recipients after the other, whatever it is answered.
    async fn sends_large(self, stop: CancellationToken) {
        let mut again = interval(REFUSED_PAUSE);
        while !stop.is_cancelled() {
            let request = self.large.load(Ordering::Relaxed);
            match self.post(large::body(request)).await {
                Some(202) => drop(self.large.fetch_add(1, Ordering::Relaxed)),
                _ => drop(again.tick().await),
            }
        }
    }

    /// One request with many alerts after the other, whatever it is answered.
    async fn floods(self, stop: CancellationToken) {
        let alert = |n| format!(r#"{{"to":{{"users":["f{n}"]}},"title":"flood"}}"#);
        let bodies: Vec<String> = (0..20)
            .map(|body| (0..FLOODS.1).map(|n| alert(body * FLOODS.1 + n)).collect::<Vec<_>>().join(","))
            .map(|alerts| format!("[{alerts}]"))
            .collect();
        let mut again = interval(REFUSED_PAUSE);
        for body in bodies.iter().cycle() {
            if stop.is_cancelled() {
                return;
            }
            if self.post(body.clone()).await != Some(202) {
                again.tick().await;
            }
        }
    }

    async fn post(&self, body: String) -> Option<u16> {
        let request = self.http.post(format!("{}/v1/alerts", self.url)).bearer_auth(&self.key);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        Some(answer(request).await.ok()?.0)
    }
}
