//! One tenant at its worst beside another one's alerts: how much later these are on their screens than alone. Printed, not judged.
//!
//!     cargo build --release
//!     cargo bench -p watchbell-tests --bench turns
//!
//! One process (`watchbell up`), its default limits. The tenant `evil` holds connections whose bodies never come, sends requests
//! with 70,000 recipients, and floods with alerts as fast as it is answered, all at once. Both parts are measured in one run, so
//! that their ratio says something on any machine. That everybody gets a turn is a test (`tests/attacks/tenants.rs`).

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::interval,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell_tests::{
    fleet::{Engine, Fleet, answer},
    session::{Frames as _, Session},
};

/// Nobody is pushed to meanwhile.
const QUIET: (u64, u64) = (600_000, 600_000);
/// Alerts of the bystander that are measured in each part.
const SAMPLES: usize = 300;
/// Before them, some that are not.
const SAMPLES_COLD: usize = 30;
/// Connections whose bodies never come.
const ANNOUNCED: usize = 64;
/// Recipients of one alert, and alerts of one request.
const LARGE: (usize, usize) = (7_000, 10);
/// Loops that flood, and alerts in each of their requests.
const FLOODS: (usize, usize) = (4, 50);
/// How long the attacker waits after it was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await?;
    let mut session = fleet.session("socket-1", "zoe", None).await?;
    measure(&fleet, &mut session, "cold", SAMPLES_COLD).await?;
    let alone = measure(&fleet, &mut session, "alone", SAMPLES).await?;

    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
    let key = fleet.command_with(&["key", "create", "--tenant", "evil"], &store)?.trim().to_owned();
    let attacker = Attacker { url: fleet.url("ingest")?, key, http: fleet.http().clone() };
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    for _ in 0..ANNOUNCED {
        tasks.spawn(stop.clone().run_until_cancelled_owned(attacker.clone().announces()));
    }
    tasks.spawn(stop.clone().run_until_cancelled_owned(attacker.clone().sends(large)));
    for _ in 0..FLOODS.0 {
        tasks.spawn(stop.clone().run_until_cancelled_owned(attacker.clone().sends(flood)));
    }
    tasks.close();
    let beside = measure(&fleet, &mut session, "beside", SAMPLES).await?;
    stop.cancel();
    tasks.wait().await;

    eprintln!("{:8}{:>12}{:>12}{:>12}", "", "median", "p99", "longest");
    for (what, took) in [("alone", &alone), ("beside", &beside)] {
        let [median, p99, longest] = [0.5, 0.99, 1.0].map(|part| millis(quantile(took, part)));
        eprintln!("{what:8}{median:>9.1} ms{p99:>9.1} ms{longest:>9.1} ms");
    }
    let ratio = |part| millis(quantile(&beside, part)) / millis(quantile(&alone, part));
    eprintln!("{:8}{:>11.2}x{:>11.2}x{:>11.2}x", "ratio", ratio(0.5), ratio(0.99), ratio(1.0));
    Ok(())
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// From the request to the frame on the screen, for so many alerts, one after the other; sorted.
async fn measure(
    fleet: &Fleet,
    session: &mut Session,
    part: &str,
    samples: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(samples);
    for n in 0..samples {
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
    took.sort();
    Ok(took)
}

#[derive(Clone)]
struct Attacker {
    url: String,
    key: String,
    http: reqwest::Client,
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

    /// Sends one request after the other, whatever it is answered.
    async fn sends(self, body: fn(usize) -> Value) {
        let mut again = interval(REFUSED_PAUSE);
        for round in 0.. {
            let request = self.http.post(format!("{}/v1/alerts", self.url)).bearer_auth(&self.key);
            match answer(request.json(&body(round))).await {
                Ok((202, _)) => {}
                _ => drop(again.tick().await),
            }
        }
    }
}

fn large(_: usize) -> Value {
    let users: Vec<String> = (0..LARGE.0).map(|user| format!("u{user:04}")).collect();
    Value::Array(vec![json!({"to": {"users": users}, "title": "all"}); LARGE.1])
}

fn flood(round: usize) -> Value {
    let alert = |n| json!({"to": {"users": [format!("f{}", (round + n) % 1_000)]}, "title": "flood"});
    Value::Array((0..FLOODS.1).map(alert).collect())
}
