//! Text messages as a step of a policy: the real sender, and what a phone of the simulator shows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use watchbell::{
    domain::{Channel, Policy, PolicyStep, ReceiptState, policy::Policies, restraint::Restraint},
    store::Contact,
};
use watchbell_fallback::channel::SmsSender;
use watchbell_tests::builders::{acme, alert};

use super::{
    fixture::ProviderFixture,
    world::{World, secs},
};

const HOUR: Duration = Duration::from_secs(3600);
const NUMBER: &str = "+4915112345678";

/// Ana, who is told by text message after half a minute and by nothing else.
async fn world_with(fixture: &ProviderFixture) -> anyhow::Result<World> {
    let policy = Policy { steps: vec![PolicyStep::new(Channel::Sms, secs(30))], ..Policy::default() };
    let urgent = Policy { mandatory: true, ..policy.clone() };
    let own = BTreeMap::from([("default".to_owned(), policy), ("critical".to_owned(), urgent)]);
    let mut world = World::with(Policies::with_defaults(own), Restraint::default()).await?;
    world.send_by(Arc::new(SmsSender::new(fixture.sms_config())?));
    put_number(&world, Some(NUMBER)).await?;
    Ok(world)
}

async fn put_number(world: &World, number: Option<&str>) -> anyhow::Result<()> {
    let contact = match number {
        Some(number) => Contact::default().with(Channel::Sms, number.to_owned()),
        None => Contact::default(),
    };
    Ok(world.store.put_user(&acme("ana"), &contact, world.now()).await?)
}

async fn texts(fixture: &ProviderFixture) -> Vec<String> {
    fixture.arrivals().await.iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_flood_is_two_text_messages_and_one_that_tells_of_the_rest() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    for n in 0..20 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
    }
    world.pass(HOUR).await?;
    let texts = texts(&fixture).await;
    assert_eq!((texts.len(), &*texts[2]), (3, "Warning: 18 new alerts"), "{texts:?}");
    assert!(world.says("ana", "a19", "summary text message").await?);
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_phone_is_quiet_when_its_person_asks_for_it_and_keeps_what_it_got() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    world.prefer("ana", r#"{"quiet":{"until":"2026-06-01T12:00:00Z"}}"#).await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.publish(alert("fire").critical().build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(texts(&fixture).await, ["Critical: about fire"], "only what may break the silence");
    world.say("ana", "fire", ReceiptState::Seen).await?;
    world.pass(8 * HOUR).await?;
    assert_eq!(texts(&fixture).await, ["Critical: about fire", "Warning: about a"], "nothing is taken away");
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn whoever_does_not_want_text_messages_gets_none() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    world.prefer("ana", r#"{"channels":{"sms":false}}"#).await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(texts(&fixture).await, [""; 0]);
    fixture.stop().await;
    Ok(())
}

#[tokio::test]
async fn whoever_wrote_stop_is_not_written_to_until_the_number_is_given_anew() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture).await?;
    fixture.faults(json!({"sms": [{"status": 400, "reason": "21610", "count": 1}]})).await;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert!(world.says("ana", "a", "21610: the person wrote STOP").await?);
    // A producer that repeats what it knows does not undo what the person said.
    put_number(&world, Some(NUMBER)).await?;
    world.publish(alert("b").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(texts(&fixture).await, [""; 0], "Twilio, which would take it by now, is not asked");
    assert!(world.says("ana", "b", Channel::Sms.facts().phrases.nobody).await?);
    for number in [None, Some(NUMBER)] {
        put_number(&world, number).await?;
    }
    world.publish(alert("c").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(texts(&fixture).await, ["Warning: about c"]);
    fixture.stop().await;
    Ok(())
}
