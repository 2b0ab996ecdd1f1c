//! Alert rules that fire: a fleet on RabbitMQ and PostgreSQL of its own, a real Prometheus that scrapes it with the rules of
//! `monitoring/`, and one fault after the other.
//!
//!     cargo build -p watchbell-fleet && cargo run -p watchbell-tests --example alarms
//!     … --example alarms -- --draw panels.html      draws the panels of the dashboard as well
//!
//! The rules run on a faster clock (`tests/src/prometheus.rs`), so that it takes a few minutes. Every alert rule is tried with
//! made-up series by `monitoring/check.sh`; here are those whose faults are cheap to plant, to see that the numbers of a real
//! fleet lead to them.

#![allow(clippy::print_stdout, reason = "what fired is what it is for")]

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell_tests::{
    amqp::{Properties, RawAmqp, RawMessage},
    fleet::{Fleet, Urls},
    monitoring::in_workspace,
    postgres::Postgres,
    prometheus::Prometheus,
    rabbit::RabbitNode,
    scratch::Scratch,
    session::Frames as _,
    until::until,
};

/// How long an alert may take to fire, or to end.
const DEADLINE: Duration = Duration::from_secs(180);
/// Before push and before email, in milliseconds: everybody is pushed to at once.
const WAITS: (u64, u64) = (500, 600_000);
const PEOPLE: usize = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let drawing = match arguments.as_slice() {
        [] => None,
        [draw, file] if draw == "--draw" => Some(file.clone()),
        other => anyhow::bail!("{other:?} is not understood: --draw FILE, or nothing"),
    };
    let (rabbit_dir, store_dir) = (Scratch::new("alarms")?, Scratch::new("alarms")?);
    let mut rabbit = RabbitNode::start(rabbit_dir.path()).await?;
    let mut postgres = Postgres::start(store_dir.path()).await?;
    let urls = Urls { broker: rabbit.url(), store: postgres.fresh_database("alarms").await? };
    let mut fleet = Fleet::start_services(urls, WAITS, &[]).await?;
    let prometheus = Prometheus::start(store_dir.path(), &fleet.scraped()?).await?;
    for number in 0..PEOPLE {
        fleet.furnish(&person(number)).await?;
    }
    let (alarms, began) = (Alarms { prometheus }, Instant::now());

    let traffic = Traffic::begin(&fleet)?;
    let screens = Screens::open(&fleet).await?;
    fires_nothing(&alarms).await?;

    // What nobody can read is put aside for an operator.
    let garbage = RawMessage { properties: Properties::default().encode(), body: b"?".to_vec() };
    let broker = &fleet.urls.as_ref().context("a fleet of services")?.broker;
    RawAmqp::connect(broker).await?.publish(b"watchbell.alerts", b"", &garbage).await?;
    alarms.fire("a message that is no alert", &["WatchbellInputRejected"]).await?;

    fleet
        .faults(&json!({"apns": [{"status": 503}], "fcm": [{"status": 503}], "webpush": [{"status": 503}]}))
        .await?;
    alarms
        .fire(
            "providers of pushes that answer 503",
            &["WatchbellProviderFailing", "WatchbellProviderGateShut"],
        )
        .await?;
    fleet.faults(&json!({"apns": [], "fcm": [], "webpush": []})).await?;

    // A second of these is more than anybody's mistake.
    let forgeries = Traffic::of_forgeries(&fleet)?;
    alarms.fire("tokens that others have signed", &["WatchbellTokensRefused"]).await?;
    forgeries.end().await;
    screens.close().await;

    fleet.kill("dispatch")?;
    alarms.fire("the only dispatch killed", &["WatchbellRoleDown"]).await?;
    fleet.revive("dispatch")?;
    alarms.end("dispatch is back", &["WatchbellRoleDown"]).await?;

    postgres.stop().await?;
    let expected = ["WatchbellPartFailing", "WatchbellPartFailingEverywhere", "WatchbellStoreUnavailable"];
    alarms.fire("PostgreSQL stopped", &expected).await?;
    postgres.start_again().await?;
    alarms.end("PostgreSQL is back", &expected).await?;

    rabbit.stop().await?;
    let expected = [
        "WatchbellPartFailing",
        "WatchbellPartFailingEverywhere",
        "WatchbellRoleDown",
        "WatchbellPublishesRefused",
    ];
    alarms.fire("RabbitMQ stopped", &expected).await?;
    rabbit.start_again().await?;
    alarms.end("RabbitMQ is back", &expected).await?;

    if let Some(file) = &drawing {
        draw(alarms.prometheus.url(), file, began.elapsed())?;
    }
    traffic.end().await;
    Ok(())
}

fn person(number: usize) -> String {
    format!("person{number}")
}

/// The alerts of a Prometheus.
struct Alarms {
    prometheus: Prometheus,
}

impl Alarms {
    async fn fire(&self, fault: &str, expected: &[&str]) -> anyhow::Result<()> {
        let mut firing = BTreeSet::new();
        let what = format!("{expected:?} to fire");
        let fired = until(&what, DEADLINE, async || {
            firing = self.prometheus.firing().await.ok()?;
            expected.iter().all(|name| firing.contains(*name)).then_some(())
        });
        fired.await.with_context(|| format!("{fault}: {firing:?} fire"))?;
        println!("{fault}: {} fired", expected.join(", "));
        Ok(())
    }

    async fn end(&self, why: &str, expected: &[&str]) -> anyhow::Result<()> {
        let what = format!("{expected:?} to end");
        let ended = until(&what, DEADLINE, async || {
            let firing = self.prometheus.firing().await.ok()?;
            expected.iter().all(|name| !firing.contains(*name)).then_some(())
        });
        ended.await.with_context(|| why.to_owned())?;
        println!("{why}: {} ended", expected.join(", "));
        Ok(())
    }
}

/// While all is well, nothing fires for some evaluations of each rule.
async fn fires_nothing(alarms: &Alarms) -> anyhow::Result<()> {
    let mut quiet = 0;
    let calm = until("nothing to fire for a while", DEADLINE, async || {
        quiet = if alarms.prometheus.firing().await.ok()?.is_empty() { quiet + 1 } else { 0 };
        (quiet > 100).then_some(())
    });
    calm.await.context("something fires while all is well")?;
    println!("while all is well: nothing fires");
    Ok(())
}

/// What goes on beside the faults, until it is told to end.
struct Traffic {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Traffic {
    /// Publishes alert after alert to everybody.
    fn begin(fleet: &Fleet) -> anyhow::Result<Self> {
        let (url, key) = (format!("{}/v1/alerts", fleet.url("ingest")?), fleet.key().to_owned());
        let http = fleet.http().clone();
        Ok(Self::of(move |number| {
            let alert =
                json!({"to": {"users": [person(number % PEOPLE)]}, "severity": "critical", "title": "t"});
            http.post(&url).bearer_auth(&key).json(&alert)
        }))
    }

    /// Tries token after token that is signed with another key.
    fn of_forgeries(fleet: &Fleet) -> anyhow::Result<Self> {
        let url = format!("{}/v1/inbox", fleet.url("socket-1")?);
        let mut token = fleet.token("ana")?;
        let signed_until = token.rfind('.').context("a token has three parts")?;
        token.truncate(signed_until + 1);
        token.push_str("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let http = fleet.http().clone();
        Ok(Self::of(move |_| http.get(&url).bearer_auth(&token)))
    }

    /// Sends one request after the other, ten a second; what is answered is nobody's business here.
    fn of(request: impl Fn(usize) -> reqwest::RequestBuilder + Send + 'static) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        tasks.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            for number in 0.. {
                pace.tick().await;
                if stopped.run_until_cancelled(request(number).send()).await.is_none() {
                    return;
                }
            }
        });
        tasks.close();
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// People with an open page, who look at each alert as it comes.
struct Screens {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Screens {
    async fn open(fleet: &Fleet) -> anyhow::Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for (number, pod) in ["socket-1", "socket-2", "socket-1"].iter().enumerate() {
            let mut session = fleet.session(pod, &person(number), None).await?;
            let stopped = stop.clone();
            tasks.spawn(stopped.run_until_cancelled_owned(async move {
                while let Ok(frame) = session.next_of("alert").await {
                    let seen = json!({"type": "receipt", "alerts": [frame["alert"]["id"]], "state": "seen"});
                    if session.say(&seen).await.is_err() {
                        break;
                    }
                }
            }));
        }
        tasks.close();
        Ok(Self { stop, tasks })
    }

    async fn close(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Has the panels of the dashboard drawn as they look now, with so much of the time before.
fn draw(prometheus: &str, file: &str, past: Duration) -> anyhow::Result<()> {
    let script = in_workspace("monitoring/draw.py")?;
    let minutes = (past.as_secs_f64() / 60.0).to_string();
    let drawn = Command::new("python3").arg(script).args([prometheus, file, &minutes]).status()?;
    ensure!(drawn.success(), "monitoring/draw.py failed");
    println!("the panels are drawn in {file}");
    Ok(())
}
