//! Two producers that chose the same id: neither one's people are shown the other's text. The second hears it where that
//! can be known; where only dispatch can know, what it sent is parked with its reason.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, place},
    fleet::{Engine, Fleet},
    until::until,
};

use super::dispatching::parked;

const DEADLINE: Duration = Duration::from_secs(60);
/// Nobody is pushed to while these tests look.
const QUIET: (u64, u64) = (600_000, 600_000);

fn otp(id: &str, title: &str, to: &str) -> Value {
    json!({"id": id, "to": {"users": [to]}, "title": title})
}

async fn titles(fleet: &Fleet, user: &str) -> anyhow::Result<Vec<String>> {
    let rows = fleet.inbox(user).await?;
    Ok(rows.iter().map(|row| row["alert"]["title"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn is_shown(fleet: &Fleet, user: &str, title: &str) -> anyhow::Result<()> {
    let shown = async || titles(fleet, user).await.ok()?.iter().any(|shown| shown == title).then_some(());
    until(&format!("{user} to be shown {title}"), DEADLINE, shown).await
}

/// Posts of one producer, one after the other, each recorded before the next.
async fn what_ingest_can_know_is_answered(fleet: &Fleet) -> anyhow::Result<()> {
    fleet.furnish("ana").await?;
    fleet.furnish("eve").await?;
    let with = |mut alert: Value, field: &str, value: Value| {
        alert[field] = value;
        alert
    };
    let ana = otp("otp", "ana's code", "ana");
    for (why, alert, status, field, value) in [
        ("the first", ana.clone(), 202, "status", json!("accepted")),
        ("the same", ana.clone(), 202, "duplicate", json!(true)),
        ("another text", otp("otp", "eve's code", "eve"), 409, "field", json!("version")),
        (
            "the next",
            with(with(ana.clone(), "title", json!("used")), "version", json!(2)),
            202,
            "stale",
            json!(null),
        ),
        ("the first, too late", ana.clone(), 202, "stale", json!(true)),
        (
            "a group in which nobody is",
            with(otp("osp", "t", "ana"), "to", json!({"users": ["ana"], "groups": ["osp"]})),
            202,
            "groups_empty",
            json!(["osp"]),
        ),
        ("unknown people", otp("typo", "t", "nobody-known"), 202, "users_unknown", json!(["nobody-known"])),
    ] {
        let (found, answer) = fleet.publish(&alert).await?;
        ensure!(found == status && answer[field] == value, "{why}: {found} {answer}");
        if found == 202 {
            let title = alert["title"].as_str().unwrap_or_default();
            let title = if why.ends_with("too late") { "used" } else { title };
            is_shown(fleet, alert["to"]["users"][0].as_str().unwrap_or_default(), title).await?;
        }
    }
    let timeline = fleet.timeline("otp", "ana").await?.to_string();
    ensure!(timeline.contains("version 1 came after version 2"), "{timeline}");
    ensure!(titles(fleet, "eve").await?.is_empty(), "eve is shown nothing");

    fleet.send(&json!({"id": "all", "to": {"everyone": true}, "title": "To everyone"})).await?;
    is_shown(fleet, "ana", "To everyone").await?;
    is_shown(fleet, "eve", "To everyone").await?;
    ensure!(titles(fleet, "nobody-known").await? == ["t"], "a name that was typed is not everyone");
    Ok(())
}

#[tokio::test]
async fn a_producer_hears_of_a_contradiction_in_one_process() {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap();
    what_ingest_can_know_is_answered(&fleet).await.unwrap();
}

#[tokio::test]
async fn a_producer_hears_of_a_contradiction_through_real_services() {
    let mut fleet = Fleet::start(Engine::Services, QUIET, &[]).await.unwrap();
    what_ingest_can_know_is_answered(&fleet).await.unwrap();
    what_only_dispatch_can_know_is_parked(&mut fleet).await.unwrap();
}

async fn what_only_dispatch_can_know_is_parked(fleet: &mut Fleet) -> anyhow::Result<()> {
    // While nobody records, ingest cannot know, whichever of them comes first.
    fleet.kill("dispatch")?;
    for (title, to) in [("ana's second", "ana"), ("eve's second", "eve")] {
        let (status, answer) = fleet.publish(&otp("second", title, to)).await?;
        ensure!(status == 202 && answer["duplicate"].is_null(), "{status} {answer}");
    }
    fleet.revive("dispatch")?;
    fleet.ready("dispatch").await?;
    is_shown(fleet, "ana", "ana's second").await?;

    // Nobody answers over AMQP. The same text to somebody else is no contradiction.
    let broker = fleet.urls.as_ref().context("real services")?.broker.clone();
    let mut amqp = RawAmqp::connect(&broker).await?;
    for (id, title, to) in [("otp", "eve's third", "eve"), ("second", "ana's second", "ben")] {
        let mut alert = otp(id, title, to);
        alert["tenant"] = json!(fleet.tenant().as_str());
        let properties = Properties::default()
            .text(place::CONTENT_TYPE, b"application/json")
            .text(place::MESSAGE_ID, format!("by hand {id}").as_bytes());
        let message = RawMessage { properties: properties.encode(), body: alert.to_string().into_bytes() };
        let published = amqp.publish(b"watchbell.alerts", b"", &message).await?;
        ensure!(published == Published::Confirmed, "{published:?}");
    }
    is_shown(fleet, "ben", "ana's second").await?;
    let mut found = parked(fleet, 2).await?;
    found.sort();
    let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, [format!("{}/second/1", fleet.tenant()).as_str(), "by hand otp"]);
    for (id, reason) in &found {
        ensure!(
            reason.starts_with("conflict: an alert of this id and version is recorded"),
            "{id}: {reason}"
        );
    }
    ensure!(titles(fleet, "eve").await? == ["To everyone"], "eve is shown nothing of it");
    Ok(())
}
