//! A chat in Telegram, as a step of a policy: the real sender, and what a chat of the simulator shows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use watchbell_tests::builders::{acme, alert};

use super::{
    fixture::ProviderFixture,
    world::{World, secs},
};
use serde_json::{Value, json};
use watchbell::{
    domain::{
        Alert, Channel, Policy, PolicyStep, ReceiptState, Severity, Status, policy::Policies,
        restraint::Restraint,
    },
    store::Contact,
};

const HOUR: Duration = Duration::from_secs(3600);
const CHAT: &str = "1001";

/// Ana, who is told in a chat after half a minute and by nothing else.
async fn world_with(fixture: &ProviderFixture) -> anyhow::Result<World> {
    let policy = Policy { steps: vec![PolicyStep::new(Channel::Telegram, secs(30))], ..Policy::default() };
    let urgent = Policy { mandatory: true, ..policy.clone() };
    let own = BTreeMap::from([("default".to_owned(), policy), ("critical".to_owned(), urgent)]);
    let mut world = World::with(Policies::with_defaults(own), Restraint::default()).await?;
    world.send_by(Arc::new(fixture.telegram()));
    let contact = Contact::default().with(Channel::Telegram, CHAT.to_owned());
    world.store.put_user(&acme("ana"), &contact, world.now()).await?;
    Ok(world)
}

fn disk(version: u32, severity: Severity) -> Alert {
    alert("disk").version(version).severity(severity).title(format!("disk {severity}")).build()
}

/// The title of each message, oldest first, and whether it was deleted.
async fn chat(fixture: &ProviderFixture) -> Vec<(String, bool)> {
    let messages = fixture.arrivals().await.into_iter().filter(|one| one["withdrawal"] == false);
    messages
        .map(|one| (one["title"].as_str().unwrap().to_owned(), one["withdrawn"] == Value::Bool(true)))
        .collect()
}

fn shown(title: &str) -> (String, bool) {
    (title.to_owned(), false)
}

fn deleted(title: &str) -> (String, bool) {
    (title.to_owned(), true)
}

#[tokio::test]
async fn a_message_is_replaced_when_it_is_worse_and_deleted_when_it_is_seen() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    world.publish(disk(1, Severity::Warning), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("🟡 disk warning")]);
    world.publish(disk(2, Severity::Critical), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [deleted("🟡 disk warning"), shown("🔴 disk critical")]);
    world.say("ana", "disk", ReceiptState::Seen).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [deleted("🟡 disk warning"), deleted("🔴 disk critical")]);
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_is_resolved_says_so_in_the_chat_and_what_fires_again_is_told_anew() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    world.publish(disk(1, Severity::Info), &["ana"]).await?;
    world.pass(HOUR).await?;
    world.publish(Alert { status: Status::Resolved, ..disk(2, Severity::Info) }, &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("✅ disk info")]);
    world.publish(disk(3, Severity::Info), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("✅ disk info"), shown("🔵 disk info")]);
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_flood_is_a_few_messages_and_one_that_tells_of_the_rest() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    for n in 0..20 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
    }
    world.pass(HOUR).await?;
    let messages = chat(&fixture).await;
    assert_eq!(messages.len(), 6, "{messages:?}");
    assert_eq!(messages.last(), Some(&shown("🟡 15 new alerts")));
    for n in 0..20 {
        world.say("ana", &format!("a{n}"), ReceiptState::Read).await?;
    }
    world.pass(HOUR).await?;
    let left = chat(&fixture).await.into_iter().filter(|(_, is_deleted)| !is_deleted).collect::<Vec<_>>();
    assert_eq!(left, [], "the summary goes too when all of it was read");
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_chat_is_quiet_when_its_person_asks_for_it() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    world.prefer("ana", r#"{"quiet":{"until":"2026-06-01T12:00:00Z"}}"#).await?;
    world.publish(disk(1, Severity::Warning), &["ana"]).await?;
    world.publish(alert("fire").critical().build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("🔴 about fire")], "only what may break a silence");
    assert!(world.says("ana", "disk", "the user's quiet hours").await?);
    world.pass(8 * HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("🔴 about fire"), shown("🟡 disk warning")]);
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn whoever_blocked_the_bot_is_not_written_to_again() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    let blocked = json!([{"status": 403, "reason": "Forbidden: bot was blocked by the user", "count": 1}]);
    fixture.faults(json!({"telegram": blocked})).await;
    for id in ["a", "b"] {
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(HOUR).await?;
    }
    assert_eq!(chat(&fixture).await, []);
    assert!(world.says("ana", "a", "address_refused: Forbidden: bot was blocked by the user").await?);
    assert!(world.says("ana", "b", "no Telegram chat that takes messages").await?);
    // A team that gives everybody's addresses each night says nothing new by that.
    for contact in [Contact::default(), Contact::default().with(Channel::Telegram, CHAT.to_owned())] {
        world.store.put_user(&acme("ana"), &contact, world.now()).await?;
    }
    world.publish(alert("c").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(chat(&fixture).await, [shown("🟡 about c")], "until it is taken away and given again");
    fixture.stop().await;
    Ok(())
}
