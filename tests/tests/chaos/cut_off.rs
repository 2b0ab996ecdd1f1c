//! kill -9 between the attempt's row, the provider's call and its outcome (I6).
//!
//! Twenty times (with `WATCHBELL_CHAOS=full` a hundred), each time with a burst of alerts. Every other time the provider takes long, and fallback is killed
//! while the calls are under way: the rows are there, the pushes are not. The other times the provider is quick, and
//! fallback is killed as soon as the first push has arrived: some outcomes are not recorded, so those pushes are
//! repeated. None may be lost, and a repeated one has the id it had, so it replaces: one entry on the phone.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use crate::{plan::is_full, walk::Walk};

/// Alerts of one burst, a user each.
const BURST: usize = 12;
/// An unseen alert is pushed at once. Mail is not what this is about.
const WAITS_MS: (u64, u64) = (50, 3_600_000);
/// Far longer than it takes to see that a call is under way and to kill.
const SLOW_MS: u64 = 3_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// Kills.
fn rounds() -> usize {
    if is_full() { 100 } else { 20 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_cut_off_by_a_kill_is_repeated_with_its_id() {
    cut_off_and_repeated().await.unwrap();
}

async fn cut_off_and_repeated() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &[]).await?;
    let users: Vec<String> = (0..BURST).map(|number| format!("user-{number}")).collect();
    for user in &users {
        fleet.furnish(user).await?;
    }
    for round in 0..rounds() {
        let is_slow = round % 2 == 0;
        let faults = if is_slow { json!([{"delay_ms": SLOW_MS}]) } else { json!([]) };
        fleet.faults(&json!({"apns": faults})).await?;
        let before = fleet.all_arrivals().await?.len();
        let burst: Vec<Value> = users
            .iter()
            .map(|user| json!({"id": format!("{round}-{user}"), "to": {"users": [user]}, "title": "Disk full"}))
            .collect();
        let (status, answer) = fleet.publish(&json!(burst)).await?;
        ensure!(status == 202, "answered {status}: {answer}");
        match is_slow {
            true => under_way(&fleet, round, &users).await?,
            false => arrived(&fleet, before + 1).await?,
        }
        fleet.crash("fallback")?;
        fleet.faults(&json!({"apns": []})).await?;
        arrived(&fleet, before + BURST).await.with_context(|| format!("round {round}"))?;
    }
    judge(&fleet, &users).await
}

/// Until an attempt of the round has begun. Its call takes long, so it is under way.
async fn under_way(fleet: &Fleet, round: usize, users: &[String]) -> anyhow::Result<()> {
    until("a call to be under way", DEADLINE, async || {
        for user in users {
            let walk = walk(fleet, &format!("{round}-{user}")).await.ok()?;
            if walk.begun("push alert") > 0 {
                return Some(());
            }
        }
        None
    })
    .await
}

async fn arrived(fleet: &Fleet, count: usize) -> anyhow::Result<()> {
    until("pushes to arrive", DEADLINE, async || {
        (fleet.all_arrivals().await.ok()?.len() >= count).then_some(())
    })
    .await
}

async fn walk(fleet: &Fleet, alert: &str) -> anyhow::Result<Walk> {
    let (_, timeline) = fleet.producer(Method::GET, &format!("/v1/alerts/{alert}/timeline"), None).await?;
    Walk::all_of(alert, &timeline)?.pop().context("not recorded yet")
}

async fn judge(fleet: &Fleet, users: &[String]) -> anyhow::Result<()> {
    let alerts: Vec<String> =
        (0..rounds()).flat_map(|round| users.iter().map(move |user| format!("{round}-{user}"))).collect();
    for alert in &alerts {
        let recorded = async || walk(fleet, alert).await.ok().filter(|walk| walk.accepted("push alert") == 1);
        until("every outcome to be recorded", DEADLINE, recorded).await.with_context(|| alert.clone())?;
    }
    let arrivals = fleet.all_arrivals().await?;
    let mut by_alert: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for arrival in &arrivals {
        by_alert.entry(arrival["alert"].as_str().unwrap_or_default()).or_default().push(arrival);
    }
    let mut repeated = 0;
    for alert in &alerts {
        let walk = walk(fleet, alert).await?;
        let came = by_alert.remove(alert.as_str()).unwrap_or_default();
        ensure!(came.len() == 1 && walk.attempts.len() == 1, "one push, replaced or not: {came:?}, {walk:?}");
        // The entry has the id of its latest copy; the attempt's is the only one there ever was.
        ensure!(came[0]["ids"]["apns_id"] == walk.attempts[0].id, "{}, {walk:?}", came[0]);
        repeated += usize::from(came[0]["copies"].as_u64() > Some(1));
    }
    ensure!(by_alert.is_empty(), "arrived, and nobody asked for it: {by_alert:?}");
    eprintln!("{} pushes, {repeated} of them sent twice", alerts.len());
    ensure!(repeated > 0, "no kill fell between a call and its outcome: the test proves nothing");
    Ok(())
}
