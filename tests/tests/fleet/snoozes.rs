//! What was put off comes back by itself, on every screen and to the phone, also when everything was killed meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// Until the first row of ana's inbox is in this state.
async fn ana_has(fleet: &Fleet, state: &str) -> anyhow::Result<Value> {
    until(&format!("ana's alert to be {state}"), DEADLINE, async || {
        let (_, page) = fleet.user("ana", Method::GET, "/v1/inbox", None).await.ok()?;
        (page["alerts"][0]["state"] == state).then_some(page)
    })
    .await
}

/// Until the last push of the alert is on ana's phone, or was taken away. A simulator that was killed forgot the others.
async fn pushed(fleet: &Fleet, withdrawn: bool) -> anyhow::Result<()> {
    until(&format!("a push, withdrawn: {withdrawn}"), DEADLINE, async || {
        let arrivals = fleet.arrivals("ana").await.ok()?;
        let push = arrivals.iter().rfind(|arrival| arrival["kind"] == "apns")?;
        (push["withdrawn"] == withdrawn).then_some(())
    })
    .await
}

async fn a_snooze(engine: Engine) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(engine, (1_000, 600_000), &[]).await?;
    fleet.furnish("ana").await?;
    let mut here = fleet.session("socket-1", "ana", None).await?;
    let mut there = fleet.session("socket-2", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    for session in [&mut here, &mut there] {
        session.next_of("alert").await?;
    }
    pushed(&fleet, false).await?;

    let now = Timestamp::now();
    let in_seconds = |secs| (now + Duration::from_secs(secs)).to_string();
    for (why, state, until) in [
        ("without a time", "snoozed", None),
        ("of the past", "snoozed", Some("2020-01-01T00:00:00Z".to_owned())),
        ("longer than 30 days", "snoozed", Some(in_seconds(31 * 24 * 60 * 60))),
        ("no time at all", "snoozed", Some("tomorrow".to_owned())),
        ("with a time that is none of a snooze", "read", Some(in_seconds(60))),
    ] {
        let receipt = json!({"alerts": [id], "state": state, "until": until});
        let (status, problem) = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await?;
        assert_eq!((status, &problem["field"]), (422, &json!("until")), "{why}: {problem}");
    }

    // Both screens learn of it, whatever transport asked for it, and the push goes.
    let hour = in_seconds(60 * 60);
    let receipt = json!({"alerts": [id], "state": "snoozed", "until": hour});
    let (status, said) = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await?;
    assert_eq!((status, &said["state"], &said["unread"]), (200, &json!("snoozed"), &json!(0)), "{said}");
    let written = said["until"].clone();
    for session in [&mut here, &mut there] {
        let frame = session.next_of("receipt").await?;
        let told = (&frame["alerts"], &frame["state"], &frame["until"], &frame["unread"]);
        assert_eq!(told, (&json!([id]), &json!("snoozed"), &written, &json!(0)));
    }
    let page = ana_has(&fleet, "snoozed").await?;
    assert_eq!((&page["alerts"][0]["until"], &page["unread"]), (&written, &json!(0)));
    pushed(&fleet, true).await?;

    // A shorter one takes its place; then nobody is there, and everything is killed.
    let soon = (Timestamp::now() + Duration::from_secs(3)).to_string();
    here.say(&json!({"type": "receipt", "alerts": [id], "state": "snoozed", "until": soon, "op": "mine"}))
        .await?;
    let frame = here.next_of("receipt").await?;
    assert_eq!((&frame["state"], &frame["op"]), (&json!("snoozed"), &json!("mine")), "{frame}");
    let cursor = frame["cursor"].as_str().unwrap().to_owned();
    drop((here, there));
    for name in fleet.names() {
        if name != "simulator" {
            fleet.crash(name)?;
        }
    }
    for name in ["ingest", "socket-1", "socket-2"] {
        fleet.ready(name).await?;
    }
    let page = ana_has(&fleet, "new").await?;
    assert_eq!((&page["unread"], page["alerts"][0].get("until")), (&json!(1), None));
    let mut back = fleet.session("socket-2", "ana", Some(&cursor)).await?;
    let frame = back.next_of("alert").await?;
    assert_eq!((&frame["alert"]["id"], &frame["state"]), (&json!(id), &json!("new")), "{frame}");
    // The simulator of `up` died with it, and with it what its phones had.
    let told = until("a second push to be begun", DEADLINE, async || {
        let told = fleet.timeline(&id, "ana").await.ok()?.to_string();
        // Two pushes, and a withdrawal between them.
        (told.matches(" begun").count() >= 3).then_some(told)
    })
    .await?;
    if engine == Engine::Services {
        pushed(&fleet, false).await?;
    }
    assert!(told.contains("snoozed until") && told.contains("came back: the snooze is over"), "{told}");
    if engine == Engine::Embedded {
        let explained = fleet.command(&["explain", &id, "--data", "data"])?;
        assert!(explained.contains("came back: the snooze is over"), "{explained}");
    }
    Ok(())
}

#[tokio::test]
async fn a_snoozed_alert_comes_back_after_everything_was_killed_in_one_process() {
    a_snooze(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn a_snoozed_alert_comes_back_after_everything_was_killed_through_real_services() {
    a_snooze(Engine::Services).await.unwrap();
}

async fn a_suppression(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (1_000, 600_000), &[]).await?;
    fleet.furnish("ana").await?;
    let mut screen = fleet.session("socket-1", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    screen.next_of("alert").await?;
    pushed(&fleet, false).await?;
    screen.say(&json!({"type": "receipt", "alerts": [id], "state": "dismissed"})).await?;
    screen.next_of("receipt").await?;
    pushed(&fleet, true).await?;

    let soon = (Timestamp::now() + Duration::from_secs(2)).to_string();
    let change = json!({"status": "suppressed", "dismissed_until": soon});
    let (status, answer) = fleet.producer(Method::PATCH, &format!("/v1/alerts/{id}"), Some(&change)).await?;
    assert_eq!(status, 202, "{answer}");
    let frame = screen.next_of("alert").await?;
    assert_eq!((&frame["alert"]["version"], &frame["alert"]["status"]), (&json!(2), &json!("suppressed")));
    let frame = screen.next_of("alert").await?;
    assert_eq!((&frame["alert"]["version"], &frame["alert"]["status"]), (&json!(3), &json!("firing")));
    assert_eq!((&frame["state"], &frame["unread"]), (&json!("new"), &json!(1)), "{frame}");
    assert_eq!(frame["alert"].get("dismissed_until"), None);
    pushed(&fleet, false).await?;
    let told = fleet.timeline(&id, "ana").await?.to_string();
    assert!(told.contains("came back: dismissed_until passed"), "{told}");
    if engine == Engine::Embedded {
        let explained = fleet.command(&["explain", &id, "--data", "data"])?;
        assert!(explained.contains("came back: dismissed_until passed"), "{explained}");
    }

    // What follows builds on it: it is over, and stays so.
    let (status, answer) = fleet
        .producer(Method::PATCH, &format!("/v1/alerts/{id}"), Some(&json!({"status": "resolved"})))
        .await?;
    assert_eq!((status, &answer["version"]), (202, &json!(4)), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_suppressed_alert_fires_again_when_dismissed_until_passes() {
    a_suppression(Engine::Embedded).await.unwrap();
    a_suppression(Engine::Services).await.unwrap();
}
