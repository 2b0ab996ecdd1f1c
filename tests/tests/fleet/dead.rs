//! Dead letters: seen, sent again and thrown away by the operator's command, on both engines.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{
        Address, Broker as _, Message,
        rabbitmq::{RabbitBroker, RabbitConfig},
    },
    domain::Secret,
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

/// An alert that was delivered too often, as the broker would set it aside.
fn letter(tenant: &str, id: &str) -> Message {
    let body = json!({"id": id, "version": 1, "tenant": tenant, "to": {"users": ["ana"]}, "title": id});
    let mut message = Message::json(id.to_owned(), body.to_string());
    message.headers.insert("watchbell-from".into(), "watchbell.dispatch".into());
    message.headers.insert("watchbell-reason".into(), "delivered 20 times".into());
    message
}

async fn is_replayed_and_dropped(fleet: &Fleet) -> anyhow::Result<()> {
    let dead = |args: &[&str]| fleet.command(&[&["dead"], args, &["--data", "data"]].concat());
    let listed = dead(&["list"])?;
    for id in ["first", "second", "third"] {
        assert!(listed.contains(id), "{id} is missing: {listed}");
    }
    assert!(listed.contains("delivered 20 times") && listed.contains("watchbell.dispatch"), "{listed}");
    assert!(!listed.contains("title"), "a list tells no content: {listed}");
    assert!(dead(&["show", "second"])?.contains(r#""title":"second""#));

    assert_eq!(dead(&["replay", "second"])?.trim(), "1 replayed.");
    until("the replayed alert", Duration::from_secs(20), async || {
        fleet.inbox("ana").await.ok()?.iter().any(|row| row["alert"]["id"] == "second").then_some(())
    })
    .await?;
    assert_eq!(dead(&["drop", "first"])?.trim(), "1 dropped.");
    assert!(dead(&["drop", "first"]).is_err(), "it is gone");
    assert_eq!(dead(&["replay", "--all"])?.trim(), "1 replayed.");
    assert!(dead(&["list"])?.is_empty());
    let inbox = fleet.inbox("ana").await?;
    assert!(inbox.iter().all(|row| row["alert"]["id"] != "first"), "{inbox:?}");
    Ok(())
}

#[tokio::test]
async fn dead_letters_are_replayed_and_dropped_on_rabbitmq() {
    let fleet = Fleet::start(Engine::Services, (60_000, 60_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let config = RabbitConfig {
        urls: vec![Secret::from(fleet.urls.clone().unwrap().broker)],
        declare: false,
        name: "test".into(),
        ca_pem: None,
    };
    let leaving = CancellationToken::new();
    let broker = RabbitBroker::connect(config, leaving.clone());
    for id in ["first", "second", "third"] {
        broker.publish(Address::Dead, letter("acme", id), Duration::from_secs(10)).await.unwrap();
    }
    leaving.cancel();
    is_replayed_and_dropped(&fleet).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_replayed_and_dropped_in_one_process() {
    // What `up` has set aside is a file of its data folder, read when it starts.
    let mut fleet = Fleet::start(Engine::Embedded, (60_000, 60_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let lines: String = (["first", "second", "third"].iter().enumerate())
        .map(|(number, id)| {
            let Message { message_id, content_type, headers, body, .. } = letter("demo", id);
            let body = String::from_utf8_lossy(&body);
            let line = json!({"number": number, "message_id": message_id, "content_type": content_type, "headers": headers, "body": body});
            format!("{line}\n")
        })
        .collect();
    std::fs::write(fleet.dir().join("data/dead.ndjson"), lines).unwrap();
    fleet.restart("up").await.unwrap();
    fleet.ready("up").await.unwrap();
    is_replayed_and_dropped(&fleet).await.unwrap();
}
