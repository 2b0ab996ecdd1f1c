//! The main job: the screen, then the phone, then the mailbox, and everything stops when it is seen.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

async fn escalates_the_whole_way(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (1_500, 1_500), &[]).await?;
    fleet.furnish("ana").await?;
    let mut here = fleet.session("socket-1", "ana", None).await?;
    let mut there = fleet.session("socket-2", "ana", None).await?;

    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    for session in [&mut here, &mut there] {
        let frame = session.next_of("alert").await?;
        assert_eq!(
            (&frame["alert"]["id"], &frame["seq"], &frame["unread"]),
            (&json!(id), &json!(1), &json!(1))
        );
    }
    let arrived = async |kind: &'static str| {
        until(kind, DEADLINE, async || {
            fleet.arrivals("ana").await.ok()?.into_iter().find(|arrival| arrival["kind"] == kind)
        })
        .await
    };
    let push = arrived("apns").await?;
    assert_eq!((&push["alert"], &push["withdrawn"]), (&json!(id), &json!(false)));
    let mail = arrived("email").await?;
    assert_eq!(mail["to"], "ana@watchbell.test");

    here.say(&json!({"type": "receipt", "alerts": [id], "state": "seen", "op": "mine"})).await?;
    for session in [&mut here, &mut there] {
        let frame = session.next_of("receipt").await?;
        assert_eq!(
            (&frame["alerts"], &frame["state"], &frame["op"]),
            (&json!([id]), &json!("seen"), &json!("mine"))
        );
    }
    until("the push to be withdrawn", DEADLINE, async || {
        let arrivals = fleet.arrivals("ana").await.ok()?;
        arrivals.iter().any(|arrival| arrival["withdrawn"] == true).then_some(())
    })
    .await?;
    let arrivals = fleet.arrivals("ana").await?;
    assert_eq!(arrivals.len(), 2, "one push and one email, each once: {arrivals:?}");
    assert!(arrivals.iter().all(|arrival| arrival["copies"] == 1), "{arrivals:?}");
    Ok(())
}

#[tokio::test]
async fn an_alert_escalates_the_whole_way_in_one_process() {
    escalates_the_whole_way(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn an_alert_escalates_the_whole_way_through_real_services() {
    escalates_the_whole_way(Engine::Services).await.unwrap();
}

async fn seen_in_time_stops_it(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (1_000, 500), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full"})).await?;
    ana.next_of("alert").await?;
    ana.say(&json!({"type": "receipt", "alerts": [id], "state": "seen"})).await?;

    // Ben's whole escalation is the clock: when his mail is there, ana's would be.
    until("ben's mail", DEADLINE, async || {
        fleet.arrivals("ben").await.ok()?.into_iter().find(|arrival| arrival["kind"] == "email")
    })
    .await?;
    assert_eq!(fleet.arrivals("ana").await?, Vec::<Value>::new(), "she saw it in time");
    Ok(())
}

#[tokio::test]
async fn what_was_seen_in_time_is_never_sent() {
    seen_in_time_stops_it(Engine::Embedded).await.unwrap();
    seen_in_time_stops_it(Engine::Services).await.unwrap();
}
