//! Real balancers in front of four socket pods, with exactly the files that we recommend: a rolling restart refuses nobody
//! and interrupts nobody (I10), and pods share their sessions evenly again after one was killed.
//!
//! `WATCHBELL_CHAOS=full` has five times as many sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use watchbell_tests::{
    balancer::{Balancer, Kind, Pod},
    client::Transport,
    fleet::{Engine, Fleet},
    mover::{Mover, Noticed},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(90);
const QUIET: (u64, u64) = (600_000, 600_000);
const PODS: [&str; 4] = ["socket-1", "socket-2", "socket-3", "socket-4"];
/// How many sessions a pod has asked to move, because it had more than others.
const REBALANCED: &str = "watchbell_socket_rebalanced_total";
/// How often everybody is sent an alert.
const ALERT_EVERY: Duration = Duration::from_millis(500);
/// How often somebody uses the API of users.
const CALL_EVERY: Duration = Duration::from_millis(50);

fn sessions(few: usize) -> usize {
    match std::env::var("WATCHBELL_CHAOS").as_deref() {
        Ok("full") => few * 5,
        _ => few,
    }
}

/// Four pods behind a balancer, and everybody who has a session there.
struct Bed {
    fleet: Fleet,
    balancer: Balancer,
    movers: Vec<Mover>,
    /// Sends alerts to everybody and counts them, until it is told to stop.
    producer: JoinHandle<anyhow::Result<u64>>,
    over: CancellationToken,
}

impl Bed {
    async fn start(
        kind: Kind,
        transports: &[Transport],
        count: usize,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut fleet = Fleet::start(Engine::Services, QUIET, env).await?;
        for pod in &PODS[2..] {
            fleet.add_pod(pod).await?;
        }
        let place = |pod| anyhow::Ok(Pod { url: fleet.url(pod)?, operations: fleet.operations_url(pod)? });
        let pods = PODS.into_iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
        let balancer = Balancer::start(kind, &pods).await?;
        let users: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
        let mut movers = Vec::with_capacity(count);
        for (number, user) in users.iter().enumerate() {
            let transport = transports[number % transports.len()];
            let seed = number as u64;
            movers.push(Mover::start(transport, balancer.url(), fleet.asks(user, &[])?, seed));
        }
        until("everybody has a session", DEADLINE, async || {
            movers.iter().all(|mover| mover.noticed().stands).then_some(())
        })
        .await?;
        let over = CancellationToken::new();
        let producer = tokio::spawn(publish(fleet.publisher()?, users, over.clone()));
        Ok(Self { fleet, balancer, movers, producer, over })
    }

    /// What everybody noticed, once they were told all that was sent.
    async fn noticed(self) -> anyhow::Result<Vec<(Transport, Noticed)>> {
        self.over.cancel();
        let sent = self.producer.await??;
        ensure!(sent > 0, "no alert was sent");
        let all = async || {
            let told = |mover: &Mover| mover.noticed().seq >= sent;
            self.movers.iter().all(told).then_some(())
        };
        let waited = until("everybody was told everything", DEADLINE, all).await;
        let noticed: Vec<_> = self.movers.iter().map(|mover| (mover.transport, mover.noticed())).collect();
        for (transport, noticed) in &noticed {
            ensure!(
                noticed.changes == sent,
                "{transport:?}: {} of {sent} alerts: {noticed:?}",
                noticed.changes
            );
        }
        waited?;
        Ok(noticed)
    }
}

/// Sends everybody an alert at a steady rate until it is over; gives how many.
async fn publish(
    request: impl Fn() -> reqwest::RequestBuilder,
    users: Vec<String>,
    over: CancellationToken,
) -> anyhow::Result<u64> {
    let mut tick = interval(ALERT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while !over.is_cancelled() {
        tick.tick().await;
        let alert = json!({"to": {"users": users}, "title": format!("Alert {sent}")});
        let (status, problem) = answer(request().json(&alert)).await?;
        ensure!(status == 202, "answered {status}: {problem}");
        sent += 1;
    }
    Ok(sent)
}

/// Uses the API of users through the balancer until it is over; gives how often, or the first answer that is not 200.
async fn call(
    request: impl Fn(Method, &str) -> reqwest::RequestBuilder,
    calls: Arc<AtomicU64>,
    over: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = interval(CALL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let receipt = json!({"alerts": ["none"], "state": "seen"});
    while !over.is_cancelled() {
        tick.tick().await;
        let read = request(Method::GET, "/v1/inbox?limit=1");
        let write = request(Method::POST, "/v1/inbox/receipts").json(&receipt);
        for asked in [read, write] {
            let (status, problem) = answer(asked).await?;
            ensure!(status == 200, "answered {status}: {problem}");
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn rolling_restart(kind: Kind) -> anyhow::Result<()> {
    let env = [("WATCHBELL__HTTP__LEAVE_WAIT", "3s"), ("WATCHBELL__SOCKET__DRAIN_WINDOW", "10s")];
    let mut bed = Bed::start(kind, &Transport::ALL, sessions(72), &env).await?;
    let (http, url, token) = (bed.fleet.http().clone(), bed.balancer.url(), bed.fleet.token("caller")?);
    let request = move |method, path: &str| http.request(method, format!("{url}{path}")).bearer_auth(&token);
    let calls = Arc::new(AtomicU64::new(0));
    let caller = tokio::spawn(call(request, Arc::clone(&calls), bed.over.clone()));
    for pod in PODS {
        bed.fleet.restart(pod).await?;
        bed.fleet.ready(pod).await?;
    }
    let noticed = bed.noticed().await?;
    caller.await??;
    assert!(calls.load(Ordering::Relaxed) > 100, "the API was used all the time");
    for (transport, noticed) in noticed {
        let nothing: &[String] = &[];
        assert_eq!(noticed.refused, nothing, "{transport:?} was refused");
        assert_eq!(noticed.interrupted, nothing, "{transport:?} was interrupted");
        assert_eq!(noticed.faults, nothing, "{transport:?} was told something wrong");
        // A poll has nothing to move: its next request goes anywhere.
        assert_eq!(noticed.moves > 0, transport != Transport::Poll, "{transport:?}: every pod left once");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_behind_haproxy_refuses_nobody_and_interrupts_nobody() {
    rolling_restart(Kind::HaProxy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_behind_nginx_refuses_nobody_and_interrupts_nobody() {
    rolling_restart(Kind::Nginx).await.unwrap();
}

/// How many sessions each pod says that it has; `None` while one does not answer.
async fn held(fleet: &Fleet) -> Option<[f64; 4]> {
    let mut held = [0.0; 4];
    for (sessions, pod) in held.iter_mut().zip(PODS) {
        *sessions = fleet.metric(pod, "watchbell_socket_sessions").await?;
    }
    Some(held)
}

/// How often pods have compared what they hold, and how many sessions they have asked to move.
async fn rounds_and_moves(fleet: &Fleet) -> (f64, f64) {
    let (mut rounds, mut moves) = (0.0, 0.0);
    for pod in PODS {
        for outcome in ["level", "left_out", "moved"] {
            let line = format!("watchbell_socket_rebalance_rounds_total{{outcome=\"{outcome}\"}}");
            rounds += fleet.metric(pod, &line).await.unwrap_or_default();
        }
        moves += fleet.metric(pod, REBALANCED).await.unwrap_or_default();
    }
    (rounds, moves)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_share_evenly_again_after_one_was_killed() {
    shares_evenly_again().await.unwrap();
}

async fn shares_evenly_again() -> anyhow::Result<()> {
    let env =
        [("WATCHBELL__SOCKET__REBALANCE_EVERY", "10s"), ("WATCHBELL__SOCKET__REBALANCE_SESSIONS_MIN", "5")];
    let count = sessions(120);
    let streams = [Transport::WebSocket, Transport::Sse];
    let mut bed = Bed::start(Kind::HaProxy, &streams, count, &env).await?;
    let mean = count as f64 / PODS.len() as f64;
    // The larger of 10 %, what is set here, and four standard deviations of chance.
    let band = (mean / 10.0).max(5.0).max(4.0 * mean.sqrt());

    // The one with the most: a busy balancer may have found another one down at first, and given it nobody.
    let sessions = held(&bed.fleet).await.context("a pod does not answer")?;
    let (victim, its) =
        PODS.into_iter().zip(sessions).max_by(|a, b| a.1.total_cmp(&b.1)).context("no pods")?;
    // What it counted goes with it.
    let forgotten = bed.fleet.metric(victim, REBALANCED).await.unwrap_or_default();
    bed.fleet.kill(victim)?;
    // A client that has not read the end of its connection yet believes that it still stands.
    let interrupted =
        |bed: &Bed| bed.movers.iter().map(|mover| mover.noticed().interrupted.len()).sum::<usize>();
    until("everybody noticed and is back", DEADLINE, async || {
        let is_back = bed.movers.iter().all(|mover| mover.noticed().stands);
        (interrupted(&bed) as f64 >= its && is_back).then_some(())
    })
    .await?;
    let cut = interrupted(&bed);
    bed.fleet.revive(victim)?;
    bed.fleet.ready(victim).await?;
    until("the pod that came back has its share", DEADLINE, async || {
        let held = held(&bed.fleet).await?;
        let is_level = held.iter().all(|sessions| (sessions - mean).abs() <= band);
        (is_level && held.iter().sum::<f64>() == count as f64).then_some(())
    })
    .await?;

    // And it stays so: everybody looks twice more, and nobody has to move.
    let (rounds, moves) = rounds_and_moves(&bed.fleet).await;
    ensure!(moves >= mean - band, "{moves} sessions were asked to move");
    until("every pod has looked again", DEADLINE, async || {
        let (now, _) = rounds_and_moves(&bed.fleet).await;
        (now >= rounds + 2.0 * PODS.len() as f64).then_some(())
    })
    .await?;
    let (_, after) = rounds_and_moves(&bed.fleet).await;
    ensure!(after == moves, "{} sessions were moved to and fro", after - moves);

    let noticed = bed.noticed().await?;
    let reasons = noticed.iter().flat_map(|(_, noticed)| &noticed.reasons);
    let told = reasons.clone().count() as f64;
    ensure!(told == moves + forgotten && reasons.clone().all(|reason| reason == "rebalance"));
    let cut_in_all: usize = noticed.iter().map(|(_, noticed)| noticed.interrupted.len()).sum();
    ensure!(cut_in_all == cut, "{} sessions were interrupted by more than the kill", cut_in_all - cut);
    for (transport, noticed) in noticed {
        ensure!(noticed.faults.is_empty(), "{transport:?}: {:?}", noticed.faults);
    }
    Ok(())
}
