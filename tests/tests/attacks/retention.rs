//! Nobody is left to believe that they have what was deleted, and what was deleted does not come back.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchbell::{
    domain::retention::{Retention, RetentionRules},
    runtime::Clock,
    store::{Store, StoreConfig},
};
use watchbell_dispatch::RetentionSweeper;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Deletes everything of the fleet that is over, as a round of its own does in 90 days, and waits until so many alerts went.
async fn sweep(fleet: &Fleet, alerts: u64) -> anyhow::Result<()> {
    let url = Store::sqlite_url(&fleet.dir().join("data/watchbell.db"));
    let store = Store::open(&StoreConfig { url, connections_max: 1 })?;
    let everybody = Retention { alerts_kept: Duration::ZERO, ..Retention::default() };
    let rules = RetentionRules { everybody, ..RetentionRules::default() };
    let sweeper = RetentionSweeper {
        pause: Duration::ZERO,
        ..RetentionSweeper::new(
            store.clone(),
            Clock::at(Timestamp::now() + Duration::from_secs(60)),
            rules,
            "test".to_owned(),
        )
    };
    let mut gone = 0;
    // What was read a moment ago may still have a timer, which ends it.
    until("the alerts that are over are deleted", DEADLINE, async || {
        let swept = sweeper.round(&CancellationToken::new()).await.ok()??;
        gone += swept.inboxes.alerts;
        (gone >= alerts).then_some(())
    })
    .await?;
    store.close().await;
    Ok(())
}

fn alert(id: &str) -> Value {
    json!({"id": id, "to": {"users": ["ana"]}, "title": format!("This is {id}")})
}

#[tokio::test]
async fn a_client_that_knows_what_was_deleted_is_told_to_fetch_its_inbox() -> anyhow::Result<()> {
    let env = [("WATCHBELL__SOCKET__PING_EVERY", "1s")];
    let fleet = Fleet::start(Engine::Embedded, (600_000, 600_000), &env).await?;
    let mut open = fleet.session("socket-1", "ana", None).await?;
    for id in ["a", "b"] {
        fleet.send(&alert(id)).await?;
    }
    let had = open.up_to(2).await?;
    let before = had[1]["cursor"].as_str().unwrap_or_default().to_owned();
    let read = json!({"alerts": ["a", "b"], "state": "read"});
    fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&read)).await?;
    open.up_to(3).await?;
    fleet.send(&alert("kept")).await?;
    let kept = open.up_to(4).await?;
    let known = kept[0]["cursor"].as_str().unwrap_or_default().to_owned();
    sweep(&fleet, 2).await?;

    // Whoever is connected hears of it with a ping, and the badge goes with it.
    let told = open.next_of("resync").await?;
    let head = told["seq"].as_u64().unwrap_or_default();
    assert!(head > 4, "a deletion has a number of its own: {told}");
    assert_eq!(told["unread"], 1, "{told}");
    let (_, page) = fleet.user("ana", Method::GET, "/v1/inbox", None).await?;
    assert_eq!(page["deleted_to"], head, "and a page says so: {page}");
    let rows = fleet.inbox("ana").await?;
    assert_eq!(rows.iter().map(|row| &row["alert"]["id"]).collect::<Vec<_>>(), ["kept"]);

    // Whoever comes back is not told that they have everything, on any transport; whoever fetched it is.
    for (why, cursor) in [("of before", &before), ("of a moment before", &known)] {
        let mut back = fleet.session("socket-1", "ana", Some(cursor)).await?;
        assert_eq!(back.hello["resumed"], false, "{why}: {}", back.hello);
        assert_eq!(back.next().await?["type"], "resync", "{why}");
        let (status, frames) =
            fleet.user("ana", Method::GET, &format!("/v1/poll?cursor={cursor}&wait=1"), None).await?;
        assert_eq!((status, &frames[0]["type"]), (200, &json!("resync")), "{why}: {frames}");
    }
    let cursor = told["cursor"].as_str().unwrap_or_default();
    let mut back = fleet.session("socket-1", "ana", Some(cursor)).await?;
    assert_eq!(back.hello["resumed"], true, "{}", back.hello);
    fleet.send(&alert("next")).await?;
    assert_eq!(back.up_to(head + 1).await?.len(), 1, "it goes on from there");

    // The producer hears that it is gone, and what is delivered once more does not come back.
    for method in [Method::GET, Method::PATCH] {
        let body = (method == Method::PATCH).then(|| json!({"title": "Still there?"}));
        let (status, answer) = fleet.producer(method.clone(), "/v1/alerts/a", body.as_ref()).await?;
        assert_eq!(status, 404, "{method}: {answer}");
    }
    let (status, answer) = fleet.publish(&alert("a")).await?;
    assert_eq!((status, &answer["duplicate"]), (202, &json!(true)), "{answer}");
    let mut later = alert("a");
    later["version"] = json!(2);
    fleet.send(&later).await?;
    let live = back.up_to(head + 2).await?;
    assert_eq!(live[0]["alert"]["version"], 2, "the repetition has taken no number: {live:?}");
    Ok(())
}
