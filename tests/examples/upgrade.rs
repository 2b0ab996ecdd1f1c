//! Two versions side by side on one broker and one database while alerts flow, and back again: `tests/upgrade/run`.
//!
//! Arguments: the program of the version before, and that of this one. What is said of them by turns is in [`TURNS`]. Producers publish
//! without a pause through whichever ingest is there. What has to be true in the end:
//!
//! - The person who watches, over a pod of each version, has every alert once, in the order of its numbers, in each session.
//! - The inboxes have every alert that was accepted, and no other; what was seen through a pod of either version is seen.
//! - The person who never looks got one push and one mail of each alert.
//! - Nothing was parked or given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::interval};
use watchbell_tests::{fleet::Fleet, requests::answer, session::Follower, until::until};

/// Before push and before email.
const WAITS_MS: (u64, u64) = (500, 1_500);
/// Between two alerts.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Alerts that are accepted in each turn.
const PER_TURN: usize = 15;
const WAIT: Duration = Duration::from_secs(180);
/// Has sessions and says that it saw.
const WATCHER: &str = "watcher";
/// Has a phone and a mailbox, and never looks.
const SLEEPER: &str = "sleeper";

/// A role, the name of its process of the version before, and of this version.
const ROLES: [(&str, &str, &str); 4] = [
    ("ingest", "ingest", "ingest-new"),
    ("dispatch", "dispatch", "dispatch-new"),
    ("socket", "socket-1", "socket-new"),
    ("fallback", "fallback", "fallback-new"),
];

/// What runs in a turn, by the names of processes.
struct Turn {
    what: &'static str,
    runs: &'static [&'static str],
}

/// Every role in both versions.
const BOTH: [&str; 8] = [
    "ingest",
    "ingest-new",
    "dispatch",
    "dispatch-new",
    "socket-1",
    "socket-new",
    "fallback",
    "fallback-new",
];

/// After the schema was migrated, while the version before runs.
const TURNS: [Turn; 6] = [
    Turn { what: "both versions of every role", runs: &BOTH },
    Turn {
        what: "before → this → before", runs: &["ingest", "dispatch-new", "socket-1", "fallback-new"]
    },
    Turn { what: "this → before → this", runs: &["ingest-new", "dispatch", "socket-new", "fallback"] },
    Turn { what: "this version alone", runs: &["ingest-new", "dispatch-new", "socket-new", "fallback-new"] },
    Turn { what: "both again", runs: &BOTH },
    Turn {
        what: "rolled back: the version before alone, on the newer schema",
        runs: &["ingest", "dispatch", "socket-1", "fallback"],
    },
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let programs: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [before, this] = &programs[..] else {
        anyhow::bail!("upgrade BEFORE THIS: the programs of two versions");
    };
    let mut upgrade = Upgrade::begin(before.clone()).await?;
    upgrade.flows("the version before, on its own schema").await?;
    upgrade.fleet.use_program(this.clone());
    upgrade.fleet.command(&["migrate"])?;
    upgrade.flows("the version before, on the newer schema").await?;
    for (role, _, name) in ROLES {
        upgrade.fleet.add(name, role).await?;
    }
    // The first one knows only the pod of the version before, which is not there in every turn.
    upgrade.screens.clear();
    upgrade.watch("socket-1", "socket-new").await?;
    upgrade.watch("socket-new", "socket-1").await?;
    upgrade.running = ROLES.into_iter().flat_map(|(_, old, new)| [old, new]).collect();
    for turn in TURNS {
        upgrade.turn(&turn, before, this).await?;
    }
    upgrade.judge().await
}

/// The fleet, who publishes to it, and who watches.
struct Upgrade {
    fleet: Fleet,
    producer: Producer,
    screens: Vec<Screen>,
    running: BTreeSet<&'static str>,
    /// Alerts that the watcher has said to have seen.
    seen: BTreeSet<String>,
}

/// A session of the watcher.
struct Screen {
    /// The pod that it began at.
    pod: &'static str,
    /// What was accepted before: it is in the inbox already, and not shown as news.
    from_before: BTreeSet<String>,
    follower: Follower,
}

impl Upgrade {
    async fn begin(before: PathBuf) -> anyhow::Result<Self> {
        let mut fleet = Fleet::start_program(before, WAITS_MS).await?;
        fleet.stop("socket-2").await?;
        for user in [WATCHER, SLEEPER] {
            let (status, problem) =
                fleet.producer(Method::PUT, &format!("/v1/users/{user}"), Some(&json!({}))).await?;
            ensure!(status == 204, "{problem}");
        }
        fleet.furnish(SLEEPER).await?;
        let producer = Producer::begin(&fleet, vec![fleet.url("ingest")?]);
        let running = ROLES.into_iter().map(|(_, old, _)| old).collect();
        let mut upgrade = Self { fleet, producer, screens: Vec::new(), running, seen: BTreeSet::new() };
        upgrade.watch("socket-1", "socket-1").await?;
        Ok(upgrade)
    }

    /// One more session of the watcher, which begins at a pod and goes to the other when that one leaves.
    async fn watch(&mut self, pod: &'static str, other: &str) -> anyhow::Result<()> {
        let pods = vec![self.fleet.ws_url(pod)?, self.fleet.ws_url(other)?];
        let follower = Follower::start(pods, self.fleet.token(WATCHER)?).await?;
        self.screens.push(Screen { pod, from_before: self.producer.accepted(), follower });
        Ok(())
    }

    /// Starts what has to run, then stops what has not to, and has alerts flow.
    async fn turn(&mut self, turn: &Turn, before: &PathBuf, this: &PathBuf) -> anyhow::Result<()> {
        let wanted: BTreeSet<&str> = turn.runs.iter().copied().collect();
        for (_, old, new) in ROLES {
            for (name, program) in [(old, before), (new, this)] {
                if wanted.contains(name) && self.running.insert(name) {
                    self.fleet.use_program(program.clone());
                    self.fleet.revive(name)?;
                    self.fleet.ready(name).await?;
                }
            }
        }
        let ingests = wanted.iter().filter(|name| name.starts_with("ingest"));
        let ingests = ingests.map(|name| self.fleet.url(name)).collect::<Result<_, _>>()?;
        self.producer.publish_to(ingests);
        let leaving: Vec<&str> = self.running.iter().copied().filter(|name| !wanted.contains(name)).collect();
        for name in leaving {
            self.fleet.stop(name).await.with_context(|| format!("{name} in the turn of {}", turn.what))?;
            self.running.remove(name);
        }
        self.flows(turn.what).await
    }

    /// Waits until alerts were accepted, have arrived in the inbox, on every screen, on the phone and in the mailbox, and then says
    /// that they were seen, at a pod of this turn.
    async fn flows(&mut self, what: &str) -> anyhow::Result<()> {
        let goal = self.producer.accepted().len() + PER_TURN;
        let accepted = async || (self.producer.accepted().len() >= goal).then_some(());
        until("alerts to be accepted", WAIT, accepted).await.with_context(|| what.to_owned())?;
        let alerts = self.producer.accepted();
        let missing = async || self.is_everywhere(&alerts).await.ok().filter(|there| *there).map(|_| ());
        until("alerts to arrive everywhere", WAIT, missing).await.with_context(|| {
            let logs = self.fleet.logs().into_iter().map(|(name, log)| format!("== {name}\n{log}"));
            format!("{what}:\n{}", logs.collect::<String>())
        })?;
        let unseen: Vec<String> = alerts.difference(&self.seen).cloned().collect();
        let pod = self.running.iter().rev().find(|name| name.starts_with("socket")).context("a pod")?;
        for some in unseen.chunks(100) {
            let url = format!("{}/v1/inbox/receipts", self.fleet.url(pod)?);
            let request = self.fleet.http().post(url).bearer_auth(self.fleet.token(WATCHER)?);
            let (status, problem) = answer(request.json(&json!({"alerts": some, "state": "seen"}))).await?;
            ensure!(status < 300, "{what}: a receipt at {pod} was answered {status}: {problem}");
        }
        self.seen.extend(unseen);
        say(&format!("{what}: {} alerts so far", alerts.len()));
        Ok(())
    }

    async fn is_everywhere(&self, alerts: &BTreeSet<String>) -> anyhow::Result<bool> {
        let on_screens = self.screens.iter().all(|screen| {
            let shown: BTreeSet<String> = screen.follower.changes().iter().filter_map(alert_of).collect();
            alerts.difference(&screen.from_before).all(|alert| shown.contains(alert))
        });
        let arrived = arrivals(&self.fleet).await?;
        let told = |alert: &String| {
            ["apns", "email"].iter().all(|kind| arrived.contains_key(&(alert.clone(), (*kind).to_owned())))
        };
        Ok(on_screens && alerts.iter().all(told))
    }

    async fn judge(mut self) -> anyhow::Result<()> {
        self.producer.end().await?;
        self.flows_to_the_end().await?;
        let accepted = self.producer.accepted();
        for user in [WATCHER, SLEEPER] {
            let inbox = self.fleet.inbox(user).await?;
            let ids: BTreeSet<String> = inbox.iter().filter_map(alert_of).collect();
            ensure!(
                ids == accepted && inbox.len() == accepted.len(),
                "{user} has {} rows of {} alerts",
                inbox.len(),
                accepted.len()
            );
        }
        for Screen { pod, follower: screen, .. } in &self.screens {
            let numbers: Vec<u64> =
                screen.changes().iter().filter_map(|frame| frame["seq"].as_u64()).collect();
            ensure!(
                numbers.is_sorted_by(|one, next| one <= next),
                "a session that began at {pod} went back: {numbers:?}"
            );
            // A row that changes again is shown again, under another number.
            let shown: Vec<_> =
                screen.changes().iter().map(|frame| (alert_of(frame), frame["seq"].as_u64())).collect();
            let shown: Vec<_> = shown.into_iter().filter(|(alert, _)| alert.is_some()).collect();
            let once: BTreeSet<_> = shown.iter().collect();
            ensure!(once.len() == shown.len(), "a session that began at {pod} was told twice: {shown:?}");
        }
        for ((alert, kind), times) in arrivals(&self.fleet).await? {
            ensure!(times == 1, "{alert} came {times} times as {kind}");
        }
        for alert in &accepted {
            let timeline = self.fleet.timeline(alert, SLEEPER).await?;
            let entries = timeline["entries"].as_array().cloned().unwrap_or_default();
            let says = |one: &Value| one["what"].as_str().unwrap_or_default().to_owned();
            let begun = entries.iter().map(says).filter(|what| what.ends_with(" begun"));
            let begun: Vec<String> = begun.collect();
            let of = |channel: &str| begun.iter().filter(|what| what.starts_with(channel)).count();
            ensure!(
                of("push alert") == 1 && of("email alert") == 1,
                "{alert} was not sent once by each channel: {timeline}"
            );
        }
        let dead = self.fleet.command(&["dead", "list"])?;
        ensure!(
            !dead.contains("watchbell.alerts") && !accepted.iter().any(|id| dead.contains(id.as_str())),
            "{dead}"
        );
        say(&format!("{} alerts through both versions, none lost, none twice", accepted.len()));
        Ok(())
    }

    /// What was accepted last arrives as well.
    async fn flows_to_the_end(&self) -> anyhow::Result<()> {
        let accepted = self.producer.accepted();
        let all = async || self.is_everywhere(&accepted).await.ok().filter(|there| *there).map(|_| ());
        until("the last alerts to arrive", WAIT, all).await
    }
}

/// How often each alert came to the sleeper, by kind.
async fn arrivals(fleet: &Fleet) -> anyhow::Result<BTreeMap<(String, String), usize>> {
    let mut times = BTreeMap::new();
    for arrival in fleet.arrivals(SLEEPER).await? {
        let text = |name: &str| arrival[name].as_str().unwrap_or_default().to_owned();
        *times.entry((text("alert"), text("kind"))).or_default() += 1;
    }
    Ok(times)
}

/// The id of the alert that a frame or a row of an inbox has.
fn alert_of(frame: &Value) -> Option<String> {
    frame["alert"]["id"].as_str().map(str::to_owned)
}

/// Publishes one alert after the other, each until it was accepted.
struct Producer {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    ingests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    publishing: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Producer {
    fn begin(fleet: &Fleet, ingests: Vec<String>) -> Self {
        let (accepted, ingests) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(Mutex::new(ingests)));
        let stop = Arc::new(AtomicBool::new(false));
        let (http, key) = (fleet.http().clone(), fleet.key().to_owned());
        let (noted, addresses, stopped) = (Arc::clone(&accepted), Arc::clone(&ingests), Arc::clone(&stop));
        let publishing = tokio::spawn(async move {
            let mut pace = interval(PUBLISH_EVERY);
            let (mut number, mut tries) = (0, 0_usize);
            while !stopped.load(Ordering::Relaxed) {
                pace.tick().await;
                let ingest = {
                    let all = addresses.lock().unwrap_or_else(PoisonError::into_inner);
                    all[(number + tries) % all.len()].clone()
                };
                let id = format!("upgrade-{number:05}");
                let alert = json!({"id": id, "to": {"users": [WATCHER, SLEEPER]}, "title": format!("Alert {number}")});
                // Whatever fails is published again, under its id: that is what producers are told to do.
                let answered =
                    answer(http.post(format!("{ingest}/v1/alerts")).bearer_auth(&key).json(&alert)).await;
                match answered {
                    Ok((202, _)) => {
                        noted.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                        (number, tries) = (number + 1, 0);
                    }
                    Ok((status, problem)) if status < 500 => {
                        anyhow::bail!("{ingest} answered {status}: {problem}")
                    }
                    Ok(_) | Err(_) => tries += 1,
                }
            }
            Ok(())
        });
        Self { accepted, ingests, stop, publishing: Some(publishing) }
    }

    fn publish_to(&self, ingests: Vec<String>) {
        *self.ingests.lock().unwrap_or_else(PoisonError::into_inner) = ingests;
    }

    fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.publishing.take() {
            Some(publishing) => publishing.await?,
            None => Ok(()),
        }
    }
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}
