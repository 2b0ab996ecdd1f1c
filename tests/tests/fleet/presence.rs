//! Who is there, and what people want: through real sockets, on both engines.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    client::Transport,
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

/// The first wait of these fleets. Whatever arrives much earlier did not wait.
const FIRST_WAIT_MS: u64 = 45_000;
const DEADLINE: Duration = Duration::from_secs(30);

async fn first_arrival(fleet: &Fleet, user: &str) -> anyhow::Result<Value> {
    until("a push", DEADLINE, async || fleet.arrivals(user).await.ok()?.into_iter().next()).await
}

async fn presence_only_shortens(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (FIRST_WAIT_MS, FIRST_WAIT_MS), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let ana = fleet.session("socket-2", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full"})).await?;
    first_arrival(&fleet, "ben").await?;
    assert_eq!(fleet.arrivals("ana").await?, Vec::<Value>::new(), "her screen is waited for");
    drop(ana);
    first_arrival(&fleet, "ana").await?;
    let told = fleet.timeline(&id, "ana").await?.to_string();
    assert!(told.contains("the last session closed"), "{told}");
    let told = fleet.timeline(&id, "ben").await?.to_string();
    assert!(told.contains("no session anywhere"), "{told}");
    Ok(())
}

#[tokio::test]
async fn whoever_is_not_there_is_not_waited_for_in_one_process() {
    presence_only_shortens(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn whoever_is_not_there_is_not_waited_for_through_real_services() {
    presence_only_shortens(Engine::Services).await.unwrap();
}

#[tokio::test]
async fn what_a_person_wants_is_kept_and_holds() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, (500, 500), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let url = format!("{}/v1/preferences", fleet.url("up")?);
    let token = fleet.token("ana")?;
    let ask = |request: reqwest::RequestBuilder| async {
        let answer = request.bearer_auth(&token).send().await?;
        anyhow::Ok((answer.status().as_u16(), answer.json::<Value>().await?))
    };
    assert_eq!(ask(fleet.http().get(&url)).await?, (200, json!({})));
    let refused = ask(fleet.http().put(&url).json(&json!({"quiet": {"zone": "Mars/Olympus"}}))).await?;
    assert_eq!((refused.0, refused.1["field"].as_str()), (422, Some("quiet.zone")));
    let wanted = json!({"quiet": {"until": "2999-01-01T00:00:00Z"}});
    assert_eq!(ask(fleet.http().put(&url).json(&wanted)).await?, (200, wanted.clone()));
    assert_eq!(ask(fleet.http().get(&url)).await?, (200, wanted));

    let id = fleet.send(&json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full"})).await?;
    // Ben's whole escalation is the clock.
    until("ben's mail", DEADLINE, async || {
        fleet.arrivals("ben").await.ok()?.into_iter().find(|arrival| arrival["kind"] == "email")
    })
    .await?;
    assert_eq!(fleet.arrivals("ana").await?, Vec::<Value>::new());
    let told = fleet.timeline(&id, "ana").await?.to_string();
    assert!(told.contains("the user's quiet hours"), "{told}");
    // She wants to hear again: what waited comes now.
    ask(fleet.http().put(&url).json(&json!({}))).await?;
    first_arrival(&fleet, "ana").await?;
    Ok(())
}

/// Whatever the user changes on one screen, every other one is told, on whichever pod.
async fn preferences_are_told(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (600_000, 600_000), &[]).await?;
    let asks = fleet.asks("ana", &[])?;
    let mut clients = Vec::new();
    for (transport, pod) in [(Transport::WebSocket, "socket-1"), (Transport::Sse, "socket-2")] {
        clients.push(fleet.client(transport, pod, &asks).await?);
    }
    let mut ben = fleet.session("socket-2", "ben", None).await?;
    for client in &clients {
        assert_eq!(client.hello()["preferences"], json!({}), "everything, always");
    }
    let wanted = json!({"channels": {"email": false}, "quiet": {"until": "2999-01-01T00:00:00Z"}});
    let (status, _) = fleet.user("ana", Method::PUT, "/v1/preferences", Some(&wanted)).await?;
    assert_eq!(status, 200);
    for client in &mut clients {
        assert_eq!(client.next().await?, json!({"type": "preferences", "preferences": wanted}));
    }
    let late = fleet.session("socket-1", "ana", None).await?;
    assert_eq!(late.hello["preferences"], wanted, "and whoever comes later");
    let polling = fleet.client(Transport::Poll, "socket-2", &asks).await?;
    assert_eq!(polling.hello()["preferences"], wanted);
    // What comes to ben next is his own.
    fleet.send(&json!({"to": {"users": ["ben"]}, "title": "Disk full"})).await?;
    assert_eq!(ben.next().await?["type"], "alert");
    Ok(())
}

#[tokio::test]
async fn what_a_person_wants_is_told_to_every_screen_in_one_process() {
    preferences_are_told(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn what_a_person_wants_is_told_to_every_screen_through_real_services() {
    preferences_are_told(Engine::Services).await.unwrap();
}
