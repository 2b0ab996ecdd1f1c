//! One tenant at its worst beside another one's alerts: how much later these are on their screens than alone. Printed, not judged.
//!
//!     cargo build --release
//!     cargo bench -p watchbell-tests --bench turns
//!
//! One process (`watchbell up`), its default limits. In each round a tenant of its own holds connections whose bodies never come,
//! sends requests with 70,000 recipients, and floods with alerts as fast as it is answered, all at once. Both parts of a round are
//! measured one after the other, and what is printed are the medians over the rounds, so that whatever else the machine does falls
//! on both. A third part is measured beside as many busy threads as there are cores, which are nobody's tenant: what merely sharing
//! the cores costs. That everybody gets a turn is a test (`tests/attacks/tenants.rs`), and so is the number of rows that somebody
//! waits behind (`workers/dispatch/src/tests/tenants.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::interval,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell_tests::{
    fleet::{Engine, Fleet, answer},
    session::Frames as _,
    until::until,
};

/// Nobody is pushed to meanwhile.
const QUIET: (u64, u64) = (600_000, 600_000);
/// Rounds, and before them one that does not count.
const ROUNDS: usize = 3;
/// Alerts of the bystander that are measured in each part of a round.
const SAMPLES: usize = 100;
/// Connections whose bodies never come.
const ANNOUNCED: usize = 64;
/// Recipients of one alert, and alerts of one request.
const LARGE: (usize, usize) = (7_000, 10);
/// Loops that flood, and alerts in each of their requests.
const FLOODS: (usize, usize) = (4, 50);
/// How long the attacker waits after it was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// How long what the attacker sent may take when it has stopped.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await?;
    let (mut alone, mut sharing, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let one = measure(&fleet, &format!("alone-{round}")).await?;
        let spinning = BusyCores::start()?;
        let two = measure(&fleet, &format!("sharing-{round}")).await?;
        drop(spinning);
        let attack = Attack::start(&fleet, round)?;
        let three = measure(&fleet, &format!("beside-{round}")).await?;
        attack.stop(&fleet).await?;
        eprintln!("round {round}: {one:?} alone, {two:?} on busy cores, {three:?} beside");
        if round > 0 {
            alone.push(one);
            sharing.push(two);
            beside.push(three);
        }
    }
    let (alone, sharing, beside) = (Took::median(&alone), Took::median(&sharing), Took::median(&beside));
    eprintln!("{:16}{:>12}{:>12}{:>12}", "", "median", "p99", "longest");
    for (what, took) in [("alone", &alone), ("on busy cores", &sharing), ("beside", &beside)] {
        eprintln!("{what:16}{}", took.0.map(|took| format!("{:>9.1} ms", millis(took))).concat());
    }
    for (what, one, other) in [
        ("beside / alone", &beside, &alone),
        ("busy / alone", &sharing, &alone),
        ("beside / busy", &beside, &sharing),
    ] {
        let ratios = [0, 1, 2].map(|at| format!("{:>11.2}x", millis(one.0[at]) / millis(other.0[at])));
        eprintln!("{what:16}{}", ratios.concat());
    }
    Ok(())
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Median, p99 and the longest of one part.
struct Took([Duration; 3]);

impl Took {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        Self([0.5, 0.99, 1.0].map(|part| took[((took.len() - 1) as f64 * part).round() as usize]))
    }

    /// Of each the one in the middle.
    fn median(rounds: &[Self]) -> Self {
        Self([0, 1, 2].map(|at| {
            let mut of_rounds: Vec<Duration> = rounds.iter().map(|round| round.0[at]).collect();
            of_rounds.sort();
            of_rounds[of_rounds.len() / 2]
        }))
    }
}

impl std::fmt::Debug for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, longest] = self.0.map(millis);
        write!(f, "{median:.1}/{p99:.1}/{longest:.1} ms")
    }
}

/// From the request to the frame on the screen, for [`SAMPLES`] alerts, one after the other.
async fn measure(fleet: &Fleet, part: &str) -> anyhow::Result<Took> {
    let mut session = fleet.session("socket-1", "zoe", None).await?;
    let mut took = Vec::with_capacity(SAMPLES);
    for n in 0..SAMPLES {
        let id = format!("{part}-{n}");
        let begun = Instant::now();
        let alert = json!({"id": id, "to": {"users": ["zoe"]}, "title": "just you"});
        let (sent, shown) = tokio::join!(fleet.send(&alert), async {
            while session.next_of("alert").await?["alert"]["id"] != *id {}
            anyhow::Ok(begun.elapsed())
        });
        sent?;
        took.push(shown.with_context(|| id.clone())?);
    }
    Ok(Took::of(took))
}

/// A busy thread for each core, until it is dropped.
struct BusyCores(Arc<AtomicBool>);

impl BusyCores {
    fn start() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..thread::available_parallelism()?.get() {
            let stop = Arc::clone(&stop);
            thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
        }
        Ok(Self(stop))
    }
}

impl Drop for BusyCores {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A tenant at its worst.
struct Attack {
    attacker: Attacker,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Attack {
    fn start(fleet: &Fleet, round: usize) -> anyhow::Result<Self> {
        let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
        let tenant = format!("evil-{round}");
        let create = ["key", "create", "--tenant", &tenant, "--scope", "alerts,read"];
        let key = fleet.command_with(&create, &store)?.trim().to_owned();
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
    async fn stop(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.wait().await;
        let Attacker { url, key, large, .. } = &self.attacker;
        for request in 0..large.load(Ordering::Relaxed) {
            for n in 0..LARGE.1 {
                let url = format!("{url}/v1/alerts/{}", large_id(request, n));
                until("everybody is reached", DRAINED_WITHIN, async || {
                    let request = fleet.http().request(Method::GET, &url).bearer_auth(key);
                    let (_, said) = answer(request).await.ok()?;
                    (said["recipients"].as_u64() == u64::try_from(LARGE.0).ok()).then_some(())
                })
                .await?;
            }
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
        let users: Vec<String> = (0..LARGE.0).map(|user| format!(r#""u{user:04}""#)).collect();
        let users = users.join(",");
        let mut again = interval(REFUSED_PAUSE);
        while !stop.is_cancelled() {
            let request = self.large.load(Ordering::Relaxed);
            let alert = |n| {
                format!(r#"{{"id":"{}","to":{{"users":[{users}]}},"title":"all"}}"#, large_id(request, n))
            };
            let alerts: Vec<String> = (0..LARGE.1).map(alert).collect();
            match self.post(format!("[{}]", alerts.join(","))).await {
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

fn large_id(request: usize, n: usize) -> String {
    format!("big-{request}-{n}")
}
