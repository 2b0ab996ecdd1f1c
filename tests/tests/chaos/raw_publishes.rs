//! Everything that a producer could write in AMQP, byte by byte, among good alerts, against a real broker.
//!
//! What must be true afterwards: every good alert is in its inbox once; everything else that the broker took is in
//! `watchbell.rejected` once, as itself or as a stub; nothing is dead; the queue is empty; dispatch is ready, and never
//! was anything else. What the broker itself refuses, by closing the connection, is nobody's affair but the producer's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use watchbell_tests::{
    amqp::{Published, RawAmqp},
    chance,
    fleet::{Engine, Fleet},
    services,
    until::until,
};

use crate::raw_plan::{Planned, USERS, name_of, plan};

/// Publishes of a short run and of a whole one.
const SHORT: usize = 400;
const FULL: usize = 5_000;
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_can_be_published_stops_the_queue() {
    let seed = chance::seed().unwrap();
    let count =
        if std::env::var("WATCHBELL_CHAOS").is_ok_and(|chaos| chaos == "full") { FULL } else { SHORT };
    survives(seed, count).await.with_context(|| format!("WATCHBELL_SEED={seed}")).unwrap();
}

async fn survives(seed: u64, count: usize) -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Services, (600_000, 600_000), &[]).await?;
    let url = fleet.urls.as_ref().context("a fleet of services")?.broker.clone();
    eprintln!("WATCHBELL_SEED={seed}, {count} publishes");
    let planned = plan(seed, count);
    let taken = publish(&url, &planned).await?;
    let refused = count - taken.len();
    let good = taken.iter().filter(|one| one.user.is_some()).count();
    let said = format!(
        "{count} publishes of seed {seed}: {good} good, {} bad, {refused} refused",
        taken.len() - good
    );
    eprintln!("{said} by the broker itself");
    ensure!(good > 0 && taken.len() > good, "{said}");

    let mut amqp = RawAmqp::connect(&url).await?;
    let mut parked: BTreeMap<String, usize> = BTreeMap::new();
    let bad: BTreeMap<&str, &str> =
        taken.iter().filter(|one| one.user.is_none()).map(|one| (one.marker.as_str(), one.kind)).collect();
    let all_parked = async {
        while bad.keys().any(|marker| !parked.contains_key(*marker)) {
            let copy =
                until("the next copy", DEADLINE, async || amqp.take("watchbell.rejected").await.transpose());
            let copy = copy.await??;
            let marker =
                marker_of(&[copy.properties, copy.body].concat()).context("a copy without its marker")?;
            *parked.entry(marker).or_default() += 1;
        }
        anyhow::Ok(())
    };
    let outcome = all_parked.await;
    let missing: BTreeSet<&str> =
        bad.iter().filter(|(marker, _)| !parked.contains_key(**marker)).map(|(_, kind)| *kind).collect();
    outcome.with_context(|| format!("not parked: {missing:?}; {}", log_of(&fleet)))?;
    for user in 0..USERS {
        are_recorded(&fleet, user, &taken).await?;
    }
    // Nothing came twice, nothing is left, nothing is dead.
    while let Some(copy) = amqp.take("watchbell.rejected").await? {
        let marker =
            marker_of(&[copy.properties, copy.body].concat()).context("a copy without its marker")?;
        *parked.entry(marker).or_default() += 1;
    }
    let twice: Vec<_> = parked.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "parked more than once: {twice:?}");
    let strangers: Vec<_> = parked.keys().filter(|marker| !bad.contains_key(marker.as_str())).collect();
    ensure!(strangers.is_empty(), "parked, and should not be: {strangers:?}");
    ensure!(amqp.take("watchbell.dead").await?.is_none(), "something is dead");
    is_empty(&url).await?;
    fleet.ready("dispatch").await
}

/// Publishes one after the other, and gives those that the broker took.
async fn publish<'a>(url: &str, planned: &'a [Planned]) -> anyhow::Result<Vec<&'a Planned>> {
    let mut amqp = RawAmqp::connect(url).await?;
    let mut taken = Vec::new();
    for one in planned {
        match amqp.publish(b"watchbell.alerts", &one.key, &one.message).await.context(one.kind)? {
            Published::Confirmed => taken.push(one),
            Published::Nacked => anyhow::bail!("{}: not taken by its queue", one.kind),
            Published::Closed(why) if one.user.is_some() => anyhow::bail!("{}: {why}: {one:?}", one.marker),
            Published::Closed(_) => amqp = RawAmqp::connect(url).await?,
        }
    }
    Ok(taken)
}

async fn are_recorded(fleet: &Fleet, user: usize, taken: &[&Planned]) -> anyhow::Result<()> {
    let expected: BTreeSet<&str> =
        taken.iter().filter(|one| one.user == Some(user)).map(|one| one.marker.as_str()).collect();
    let name = name_of(user);
    let rows = until(&format!("{} alerts in the inbox of {name}", expected.len()), DEADLINE, async || {
        let rows = fleet.inbox(&name).await.ok()?;
        (rows.len() >= expected.len()).then_some(rows)
    })
    .await?;
    let found: BTreeSet<&str> = rows.iter().filter_map(|row| row["alert"]["id"].as_str()).collect();
    ensure!(found == expected && rows.len() == expected.len(), "{name}: {found:?} is not {expected:?}");
    Ok(())
}

/// Counts what is unacknowledged, too.
async fn is_empty(url: &str) -> anyhow::Result<()> {
    let vhost = url.rsplit('/').next().unwrap_or_default();
    let node = services::rabbit().await?;
    until("the queue of alerts to be empty", DEADLINE, async || {
        let listed = node
            .ctl(&["list_queues", "--no-table-headers", "--vhost", vhost, "name", "messages"])
            .await
            .ok()?;
        listed.lines().any(|line| line.split_whitespace().eq(["watchbell.dispatch", "0"])).then_some(())
    })
    .await
}

fn marker_of(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(4).position(|window| window == b"bad-")?;
    Some(String::from_utf8_lossy(bytes.get(at..at + 10)?).into_owned())
}

fn log_of(fleet: &Fleet) -> String {
    let logs = fleet.logs();
    let dispatch =
        logs.iter().find(|(name, _)| *name == "dispatch").map(|(_, log)| log.as_str()).unwrap_or_default();
    let lines: Vec<&str> = dispatch.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
