//! kill -9 between the attempt's row, the provider's call and its outcome (I6).
//!
//! Fallback is killed twenty times (with `WATCHBELL_CHAOS=full` a thousand), each time with a burst of pushes under way,
//! and in turn at one of three [`Moment`]s. What the store and the phones have is looked at while it is dead, so that it
//! is known where each push was cut. Then it is started again: none may be lost, and each push has one id from its row
//! to its last copy, so that a repeated one replaces, it does not add.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use crate::{escalation::Escalation, plan::is_full};

/// Whom each alert is for: so many pushes are under way at once. No more than one timeline shows.
const BURST: usize = 12;
/// An unseen alert is pushed at once. Mail is not what this is about.
const WAITS_MS: (u64, u64) = (50, 3_600_000);
/// The escalator's wait is most of a round otherwise.
const SETTINGS: [(&str, &str); 1] = [("WATCHBELL__FALLBACK__POLL_EVERY", "20ms")];
/// Far longer than it takes to see that a call is under way and to kill.
const SLOW_MS: u64 = 3_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// Kills.
fn kills() -> usize {
    if is_full() { 1_000 } else { 20 }
}

/// When fallback is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The provider takes long, and the first row is written: the calls are under way.
    Calling,
    /// The provider is quick, and the first push has arrived.
    FirstArrived,
    /// The provider is quick, and half of the pushes have arrived.
    HalfArrived,
}

impl Moment {
    fn of(round: usize) -> Self {
        [Self::Calling, Self::FirstArrived, Self::HalfArrived][round % 3]
    }
}

/// Where the kills cut pushes, counted.
#[derive(Debug, Default)]
struct Cuts {
    before_the_row: usize,
    /// The row is written, and the provider has not taken it.
    before_the_call: usize,
    /// The provider has taken it, and nobody wrote that down.
    before_the_outcome: usize,
    after_the_outcome: usize,
    /// Kills that fell between a row and its outcome.
    kills_between: usize,
    /// Pushes that were sent twice or more.
    repeated: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_cut_off_by_a_kill_is_repeated_with_its_id() {
    cut_off_and_repeated().await.unwrap();
}

async fn cut_off_and_repeated() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &SETTINGS).await?;
    let users: Vec<String> = (0..BURST).map(|number| format!("user-{number}")).collect();
    for user in &users {
        fleet.furnish(user).await?;
    }
    let (began, mut cuts) = (Instant::now(), Cuts::default());
    for round in 0..kills() {
        cut_off(&mut fleet, round, &users, &mut cuts).await.with_context(|| format!("round {round}"))?;
    }
    eprintln!("{} kills, {} pushes, {:?}: {cuts:?}", kills(), kills() * BURST, began.elapsed());
    ensure!(cuts.before_the_call > 0 && cuts.before_the_outcome > 0, "the test proves nothing: {cuts:?}");
    ensure!(cuts.repeated >= cuts.before_the_outcome, "nobody knew that they had arrived: {cuts:?}");
    Ok(())
}

/// One burst, one kill, and the judgement of it.
async fn cut_off(fleet: &mut Fleet, round: usize, users: &[String], cuts: &mut Cuts) -> anyhow::Result<()> {
    let (alert, moment) = (format!("alert-{round}"), Moment::of(round));
    fleet.forget_arrivals().await?;
    let slow = json!({"apns": [{"delay_ms": SLOW_MS}]});
    fleet.faults(&if matches!(moment, Moment::Calling) { slow } else { json!({"apns": []}) }).await?;
    let (status, answer) =
        fleet.publish(&json!({"id": alert, "to": {"users": users}, "title": "Disk full"})).await?;
    ensure!(status == 202, "answered {status}: {answer}");
    match moment {
        Moment::Calling => begun(fleet, &alert).await?,
        Moment::FirstArrived => arrived(fleet, 1).await?,
        Moment::HalfArrived => arrived(fleet, BURST / 2).await?,
    }
    fleet.kill("fallback")?;
    let (then, there) = (escalations(fleet, &alert).await?, arrivals(fleet).await?);
    cuts.count(&then, &there);
    fleet.faults(&json!({"apns": []})).await?;
    fleet.revive("fallback")?;
    arrived(fleet, BURST).await?;
    let all = async || {
        let escalations = escalations(fleet, &alert).await.ok()?;
        escalations.iter().all(|escalation| escalation.accepted("push alert") == 1).then_some(escalations)
    };
    let escalations = until("every outcome to be recorded", DEADLINE, all).await?;
    judge(&escalations, &there, &arrivals(fleet).await?, cuts)
}

impl Cuts {
    fn count(&mut self, escalations: &[Escalation], there: &BTreeMap<String, Value>) {
        let mut is_between = false;
        for escalation in escalations {
            let row = escalation.attempts.first();
            let (cut, between) =
                match (row, escalation.accepted("push alert"), there.contains_key(&escalation.user)) {
                    (None, ..) => (&mut self.before_the_row, false),
                    (Some(_), 0, false) => (&mut self.before_the_call, true),
                    (Some(_), 0, true) => (&mut self.before_the_outcome, true),
                    (Some(_), _, _) => (&mut self.after_the_outcome, false),
                };
            *cut += 1;
            is_between |= between;
        }
        self.kills_between += usize::from(is_between);
    }
}

/// Nobody was left out, nobody has two, and there is one id in the row and in whatever arrived, before the kill and
/// after it.
fn judge(
    escalations: &[Escalation],
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
    cuts: &mut Cuts,
) -> anyhow::Result<()> {
    ensure!(
        escalations.len() == BURST && after.len() == BURST,
        "{} escalations, {} pushes",
        escalations.len(),
        after.len()
    );
    for escalation in escalations {
        let came = after.get(&escalation.user).with_context(|| format!("lost: {escalation:?}"))?;
        ensure!(escalation.attempts.len() == 1, "one attempt, tried again or not: {escalation:?}");
        for copy in [before.get(&escalation.user), Some(came)].into_iter().flatten() {
            ensure!(
                copy["alert"] == escalation.alert && copy["ids"]["apns_id"] == escalation.attempts[0].id,
                "{copy}, {escalation:?}"
            );
        }
        cuts.repeated += usize::from(came["copies"].as_u64() > Some(1));
    }
    Ok(())
}

/// Until the first row is written.
async fn begun(fleet: &Fleet, alert: &str) -> anyhow::Result<()> {
    until("a row", DEADLINE, async || {
        let escalations = escalations(fleet, alert).await.ok()?;
        escalations.iter().any(|escalation| escalation.begun("push alert") > 0).then_some(())
    })
    .await
}

/// Until so many phones show the alert.
async fn arrived(fleet: &Fleet, count: usize) -> anyhow::Result<()> {
    until("pushes to arrive", DEADLINE, async || {
        (fleet.all_arrivals().await.ok()?.len() >= count).then_some(())
    })
    .await
}

/// What each phone shows. Its token says whose it is.
async fn arrivals(fleet: &Fleet) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut by_user = BTreeMap::new();
    for arrival in fleet.all_arrivals().await? {
        let user = arrival["user"].as_str().context("user")?.to_owned();
        ensure!(by_user.insert(user, arrival.clone()).is_none(), "two on one phone: {arrival}");
    }
    Ok(by_user)
}

async fn escalations(fleet: &Fleet, alert: &str) -> anyhow::Result<Vec<Escalation>> {
    let path = format!("/v1/alerts/{alert}/timeline?limit={BURST}");
    let (_, timeline) = fleet.producer(Method::GET, &path, None).await?;
    Escalation::all_of(alert, &timeline)
}
