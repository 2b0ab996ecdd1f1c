//! What dispatch promises, through the whole fleet: a large audience and a poisonous alert hold up nobody, whoever dies.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use tokio_util::sync::CancellationToken;
use watchbell::broker::{
    Broker as _, WorkQueue,
    rabbitmq::{BrokerAccess, RabbitBroker, RabbitConfig},
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    services,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(120);
/// Nobody is pushed to in the time of a test.
const QUIET: (u64, u64) = (600_000, 600_000);
/// Many pages of an audience.
const PEOPLE: usize = 10_000;

/// How many people an alert has reached.
async fn reached(fleet: &Fleet, alert: &str) -> Option<u64> {
    let (status, said) = fleet.producer(Method::GET, &format!("/v1/alerts/{alert}"), None).await.ok()?;
    (status == 200).then(|| said["recipients"].as_u64())?
}

async fn group(fleet: &Fleet, people: &[String]) -> anyhow::Result<()> {
    for some in people.chunks(10_000) {
        let (status, said) =
            fleet.producer(Method::PUT, "/v1/groups/all/members", Some(&json!({"add": some}))).await?;
        ensure!(status == 204, "{status}: {said}");
    }
    Ok(())
}

/// kill -9 in the middle of a large audience; somebody else's alert meanwhile.
async fn a_large_audience(engine: Engine, dispatch: &'static str) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(engine, QUIET, &[]).await?;
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("p{n:05}")).collect();
    group(&fleet, &people).await?;
    let mut session = fleet.session("socket-1", "zoe", None).await?;
    let big = json!({"id": "big", "to": {"groups": ["all"]}, "title": "everybody out"});
    fleet.send(&big).await.context("accepted at once, in one process too")?;

    // A while into it, and far from its end.
    until("the first pages", DEADLINE, async || (reached(&fleet, "big").await? > 1_000).then_some(()))
        .await?;
    fleet.send(&json!({"id": "small", "to": {"users": ["zoe"]}, "title": "just you"})).await?;
    ensure!(
        session.next_of("alert").await?["alert"]["id"] == "small",
        "zoe is told while the others are still reached"
    );
    let before = reached(&fleet, "big").await.context("it is there")?;
    fleet.kill(dispatch)?;
    ensure!(before < PEOPLE as u64, "the audience was done with before anything else was recorded");
    fleet.revive(dispatch)?;
    fleet.ready(dispatch).await?;
    let everybody = async || (reached(&fleet, "big").await? == PEOPLE as u64).then_some(());
    until("the last page", DEADLINE, everybody).await?;
    for person in people.iter().step_by(PEOPLE / 40) {
        let inbox = fleet.inbox(person).await?;
        ensure!(inbox.len() == 1 && inbox[0]["seq"] == 1, "{person}: {inbox:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_large_audience_outlives_its_dispatcher_and_holds_up_nobody_through_real_services() {
    a_large_audience(Engine::Services, "dispatch").await.unwrap();
}

#[tokio::test]
async fn a_large_audience_outlives_the_one_process_and_holds_up_nobody() {
    a_large_audience(Engine::Embedded, "up").await.unwrap();
}

/// Makes the store refuse one alert, one event and one person.
async fn poison(fleet: &Fleet) -> anyhow::Result<()> {
    if let Some(urls) = &fleet.urls {
        let refuse = "ALTER TABLE alerts ADD CONSTRAINT no_poison CHECK (alert_id <> 'poison');
                      ALTER TABLE topic_events ADD CONSTRAINT no_poison CHECK (event_id <> 'poison');
                      ALTER TABLE inbox ADD CONSTRAINT no_poison CHECK (user_id <> 'p00999')";
        services::postgres().await?.psql_on(&urls.store, refuse).await?;
        return Ok(());
    }
    let script = "import sqlite3
base = sqlite3.connect('data/watchbell.db', timeout=30)
for table, name, refused in (('alerts', 'alert_id', 'poison'), ('topic_events', 'event_id', 'poison'), ('inbox', 'user_id', 'p00999')):
    base.execute(f\"CREATE TRIGGER no_poison_{table} BEFORE INSERT ON {table} WHEN NEW.{name} = '{refused}' \"
                 \"BEGIN SELECT RAISE(ABORT, 'no poison'); END\")
base.commit()";
    let done = Command::new("python3").args(["-c", script]).current_dir(fleet.dir()).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// What is parked: message id and reason.
pub(super) async fn parked(fleet: &Fleet, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let reason_of = |headers: &Value| headers["watchbell-reason"].as_str().unwrap_or_default().to_owned();
    let Some(urls) = &fleet.urls else {
        let file = fleet.dir().join("data/rejected.ndjson");
        let lines = async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            (lines.len() == count).then_some(lines)
        };
        let lines = until("so many are parked", DEADLINE, lines).await?;
        let told = |line: &Value| {
            (line["message_id"].as_str().unwrap_or_default().to_owned(), reason_of(&line["headers"]))
        };
        return Ok(lines.iter().map(told).collect());
    };
    let leaving = CancellationToken::new();
    let access = BrokerAccess::to(urls.broker.clone()).into();
    let config = RabbitConfig { access, declare: false, name: "test".into(), names_user: false };
    let broker = RabbitBroker::connect(config, leaving.clone());
    let mut rejected = broker.consume(WorkQueue::Rejected, 10).await;
    let mut parked = Vec::new();
    while parked.len() < count {
        let next = tokio::time::timeout(DEADLINE, rejected.next()).await.context("one more is parked")?;
        let delivery = next.context("the broker is there")?;
        let headers = json!(delivery.message.headers);
        parked.push((delivery.message.message_id.clone(), reason_of(&headers)));
        delivery.settle.ack().await;
    }
    leaving.cancel();
    Ok(parked)
}

/// The store's refusal of one used to hold up its batch, and every one after it, for ever, with every sign green.
async fn a_poisonous_alert(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, QUIET, &[]).await?;
    poison(&fleet).await?;
    let alert = |id: String| json!({"id": id, "to": {"users": ["ana"]}, "title": "t"});
    let innocent = (0..40).map(|n| format!("a{n}"));
    let mut alerts: Vec<Value> = innocent.map(alert).collect();
    alerts.insert(20, alert("poison".into()));
    let (status, said) = fleet.publish(&Value::Array(alerts)).await?;
    ensure!(status == 202, "{status}: {said}");
    for id in ["e1", "poison", "e2"] {
        fleet.event("monitor:7", &json!({"id": id, "type": "status_change", "keep": 10})).await?;
    }

    let all = async || (fleet.inbox("ana").await.ok()?.len() == 40).then_some(());
    until("every innocent alert", DEADLINE, all).await?;
    // On its second page there is somebody whom the store refuses.
    let people: Vec<String> = (0..1_200).map(|n| format!("p{n:05}")).collect();
    group(&fleet, &people).await?;
    fleet.send(&json!({"id": "for-all", "to": {"groups": ["all"]}, "title": "t"})).await?;
    let others = async || (reached(&fleet, "for-all").await? == 1_199).then_some(());
    until("everybody but the one who is refused", DEADLINE, others).await?;

    let parked = parked(&fleet, 3).await?;
    let named = |name: &str| parked.iter().filter(|(id, _)| id.contains(name)).count();
    ensure!((named("poison"), named("for-all")) == (2, 1), "{parked:?}");
    for (_, reason) in &parked {
        ensure!(reason.contains("store"), "the reason says who refused it: {reason}");
        ensure!(!reason.contains("ana"), "and nothing of what it holds: {reason}");
    }
    fleet.ready(if engine == Engine::Embedded { "up" } else { "dispatch" }).await?;
    let token = fleet.asks("reader", &["*"])?.token;
    let url = format!("{}/v1/topics/monitor:7/events", fleet.url("socket-1")?);
    let kept = async || {
        let (_, page) = answer(fleet.http().get(&url).bearer_auth(&token)).await.ok()?;
        let ids: Vec<&Value> = page["events"].as_array()?.iter().map(|event| &event["id"]).collect();
        (ids == ["e1", "e2"]).then_some(())
    };
    until("every innocent event", DEADLINE, kept).await?;
    Ok(())
}

#[tokio::test]
async fn a_poisonous_alert_is_parked_and_the_others_go_on_through_real_services() {
    a_poisonous_alert(Engine::Services).await.unwrap();
}

#[tokio::test]
async fn a_poisonous_alert_is_parked_and_the_others_go_on_in_one_process() {
    a_poisonous_alert(Engine::Embedded).await.unwrap();
}
