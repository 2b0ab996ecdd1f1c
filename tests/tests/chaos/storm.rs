//! The storm: alerts flow, people look at half of them, and every worker is killed in turn.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use watchbell_tests::{
    chance::seed,
    fleet::{Engine, Fleet},
    until::until,
};

use crate::{
    plan::{Plan, Size},
    producer::Producers,
    proof,
    screen::Screen,
};

/// The policy: an unseen alert is pushed after 1.5 s and mailed 3 s later.
const WAITS_MS: (u64, u64) = (1_500, 3_000);
/// Settings of every worker. Pings heal a screen that missed the last frame; 30 s is the least a lease can be.
const SETTINGS: [(&str, &str); 2] =
    [("WATCHBELL__SOCKET__PING_EVERY", "4s"), ("WATCHBELL__FALLBACK__LEASE", "30s")];
/// How long a push takes, so that kills fall into calls. Embedded, the simulator forgets it with the first kill.
const PUSH_TAKES_MS: u64 = 300;
/// How much happens at once while people and groups are made.
const FURNISH_AT_ONCE: usize = 16;
/// How much later than planned a kill may come on a busy machine.
const PASS_MAX: Duration = Duration::from_secs(10);
/// How long a screen may take to connect in calm weather.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the storm on an engine and proves what must be true after it.
pub async fn survive(engine: Engine) -> anyhow::Result<()> {
    let seed = seed()?;
    let size = Size::of_this_run();
    eprintln!("{engine:?}: WATCHBELL_SEED={seed}, {size:?}");
    let plan = Plan::of(seed, size, engine);
    let mut fleet = Fleet::start(engine, WAITS_MS, &SETTINGS).await?;
    furnish(&fleet, &plan).await.context("furnishing")?;
    fleet.faults(&json!({"apns": [{"delay_ms": PUSH_TAKES_MS}]})).await?;
    let screens = screens(&fleet, &plan)?;
    let watching = join_all(screens.iter().map(|screen| screen.clone().watch()));
    let outcome = tokio::select! {
        outcome = Box::pin(rage(&mut fleet, &plan, &screens)) => outcome,
        _ = watching => Err(anyhow!("no screen finds a pod any more")),
    };
    outcome.with_context(|| format!("WATCHBELL_SEED={seed}"))
}

async fn rage(fleet: &mut Fleet, plan: &Plan, screens: &[Screen]) -> anyhow::Result<()> {
    let connected = async || screens.iter().all(|screen| screen.heard().connects > 0).then_some(());
    until("every screen to be connected", CONNECT_DEADLINE, connected).await?;
    let producers = Producers {
        http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        url: fleet.url("ingest")?,
        key: fleet.key().to_owned(),
        begun: AtomicUsize::new(0),
        repeated: AtomicUsize::new(0),
    };
    let per_second = (plan.alerts.len() as f64 / plan.lasts().as_secs_f64()).ceil() as usize;
    let began = Instant::now();
    let ((), kills) = tokio::try_join!(producers.publish_all(plan, per_second), kill_in_turn(fleet, plan))?;
    let repeated = producers.repeated.load(Ordering::Relaxed);
    eprintln!("{:?}: the storm lasted {:?}, {repeated} publishes repeated", fleet.engine, began.elapsed());
    proof::prove(fleet, plan, screens, &kills).await?;
    eprintln!("{:?}: proved {:?} after the storm began", fleet.engine, began.elapsed());
    Ok(())
}

async fn furnish(fleet: &Fleet, plan: &Plan) -> anyhow::Result<()> {
    stream::iter(&plan.users)
        .map(|user| fleet.furnish(user))
        .buffer_unordered(FURNISH_AT_ONCE)
        .try_collect::<()>()
        .await?;
    for (group, members) in &plan.groups {
        let path = format!("/v1/groups/{group}/members");
        let (status, problem) = fleet.producer(Method::PUT, &path, Some(&json!({"add": members}))).await?;
        ensure!(status == 204, "{problem}");
    }
    Ok(())
}

/// A screen for everybody, and for every fifth a second one, where nobody looks.
fn screens(fleet: &Fleet, plan: &Plan) -> anyhow::Result<Vec<Screen>> {
    let urls = vec![fleet.ws_url("socket-1")?, fleet.ws_url("socket-2")?];
    let mut screens = Vec::new();
    for (number, user) in plan.users.iter().enumerate() {
        let token = fleet.token(user)?;
        if number % 5 == 0 {
            screens.push(Screen::new(user, token.clone(), urls.clone(), plan.seed, false));
        }
        screens.push(Screen::new(user, token, urls.clone(), plan.seed, true));
    }
    Ok(screens)
}

/// Kills each of the plan; the next one whether or not the last is ready again, unless it is the same one. Tells when it
/// killed a process that calls providers.
async fn kill_in_turn(fleet: &mut Fleet, plan: &Plan) -> anyhow::Result<Vec<Timestamp>> {
    let mut last = None;
    let mut kills_of_senders = Vec::new();
    for kill in &plan.kills {
        if last == Some(kill.name) {
            fleet.ready(kill.name).await?;
        }
        pass("the next kill", kill.after).await?;
        fleet.kill(kill.name)?;
        if ["up", "fallback"].contains(&kill.name) {
            kills_of_senders.push(Timestamp::now());
        }
        pass("its return", kill.dead).await?;
        fleet.revive(kill.name)?;
        last = Some(kill.name);
    }
    for name in fleet.names() {
        fleet.ready(name).await?;
    }
    Ok(kills_of_senders)
}

async fn pass(what: &str, wait: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    until(what, wait + PASS_MAX, async || (began.elapsed() >= wait).then_some(())).await
}
