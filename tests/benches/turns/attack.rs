//! A tenant at its worst: bodies that never come, many recipients, and a flood, all at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::header;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
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

/// A tenant at its worst.
pub(crate) struct Attack {
    attacker: Attacker,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Attack {
    pub(crate) fn start(fleet: &Fleet, round: usize) -> anyhow::Result<Self> {
        let tenant = format!("evil-{round}");
        let key = large::key_of(fleet, &tenant)?;
        let url = fleet.url("ingest")?;
        let attacker = Attacker { url, key, http: fleet.http().clone(), large: Arc::default() };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for _ in 0..ANNOUNCED {
            tasks.spawn(stop.clone().run_until_cancelled_owned(attacker.clone().announces()));
        }
        tasks.spawn(attacker.clone().sends_large(stop.clone()));
        for _ in 0..FLOODS.0 {
            tasks.spawn(attacker.clone().floods(stop.clone()));
        }
        tasks.close();
        Ok(Self { attacker, stop, tasks })
    }

    /// Returns when everything that it sent is done with.
    pub(crate) async fn stop(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.wait().await;
        for request in 0..self.attacker.large.load(Ordering::Relaxed) {
            large::until_reached(fleet, &self.attacker.key, request).await?;
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
