//! Live Activities on a simulated clock: started with the push of an alert, changed with each version, ended wherever somebody looked.

use std::{collections::BTreeMap, time::Duration};

use watchbell::{
    domain::{
        Channel, DeviceId, Policy, PolicyStep, ReceiptState, Secret, policy::Policies, restraint::Restraint,
    },
    store::{ActivityRegistered, EscalationKey},
};
use watchbell_fallback::channel::{ActivityEvent, SendError};
use watchbell_tests::builders::{acme, alert, alert_id, device};

use super::world::{What, World, secs};

const START: What = What::Activity(ActivityEvent::Start);
const CALM: What = What::Activity(ActivityEvent::Update { is_urgent: false });
const URGENT: What = What::Activity(ActivityEvent::Update { is_urgent: true });
const END: What = What::Activity(ActivityEvent::End { stays: false });
const END_THAT_STAYS: What = What::Activity(ActivityEvent::End { stays: true });

/// A world in which every alert is pushed at once, and is a Live Activity, for ana.
async fn world() -> anyhow::Result<World> {
    let steps = vec![PolicyStep::new(Channel::Push, secs(0))];
    let policy = Policy { steps, live_activity: true, ..Policy::default() };
    let by_name = ["default", "critical"].map(|name| (name.to_owned(), policy.clone()));
    let world = World::with(Policies::with_defaults(BTreeMap::from(by_name)), Restraint::default()).await?;
    register(&world, Some("start")).await?;
    Ok(world)
}

async fn register(world: &World, start_token: Option<&str>) -> anyhow::Result<()> {
    let phone = device("phone").token("ana").registered_at(world.now());
    let phone = match start_token {
        Some(token) => phone.start_token(token),
        None => phone,
    };
    world.store.put_device(&acme("ana"), &phone.build(), 20).await?;
    Ok(())
}

/// The app says the token of its activity about `a`.
async fn activity_token(world: &World) -> anyhow::Result<ActivityRegistered> {
    let key = EscalationKey { user: acme("ana"), alert: alert_id("a") };
    Ok(world.store.put_activity(&key, &DeviceId::parse("phone")?, &Secret::from("own"), world.now()).await?)
}

/// Everything that is due happens, and a second passes.
async fn a_moment(world: &World) -> anyhow::Result<()> {
    world.pass(secs(0)).await?;
    while world.fallback().activities.step().await > 0 {}
    world.pass(secs(1)).await
}

/// What was sent to activities, and by which token.
fn activities(world: &World) -> Vec<(What, String)> {
    let sent = world.sent().into_iter().filter(|sent| matches!(sent.what, What::Activity(_)));
    sent.map(|sent| (sent.what, sent.user)).collect()
}

fn told(all: &[(What, &str)]) -> Vec<(What, String)> {
    all.iter().map(|(what, token)| (*what, (*token).to_owned())).collect()
}

#[tokio::test]
async fn an_activity_follows_its_alert_until_somebody_looks() -> anyhow::Result<()> {
    let world = world().await?;
    world.publish(alert("a").build(), &["ana", "ben"]).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world), told(&[(START, "start")]), "hers alone: his is a phone of Google's");
    world.publish(alert("a").version(2).build(), &["ana", "ben"]).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world).len(), 1, "its own token is not known yet");
    assert_eq!(activity_token(&world).await?, ActivityRegistered::Done);
    a_moment(&world).await?;
    assert_eq!(activities(&world), told(&[(START, "start"), (CALM, "own")]), "what it missed");
    world.publish(alert("a").version(3).critical().build(), &["ana", "ben"]).await?;
    a_moment(&world).await?;
    world.say("ben", "a", ReceiptState::Seen).await?;
    a_moment(&world).await?;
    let so_far = [(START, "start"), (CALM, "own"), (URGENT, "own")];
    assert_eq!(activities(&world), told(&so_far), "he looked for himself alone");
    world.say("ana", "a", ReceiptState::Seen).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world), told(&[&so_far[..], &[(END, "own")]].concat()), "seen elsewhere");
    world.publish(alert("a").version(4).critical().build(), &["ana", "ben"]).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world).len(), 4, "nothing after its end");
    for line in ["started with version 1", "shows version 2", "shows version 3", "ended: seen"] {
        assert!(world.says("ana", "a", &format!("live activity on phone: {line}")).await?, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_over_ends_and_stays_a_while_only_when_it_is_resolved() -> anyhow::Result<()> {
    for why in ["resolved", "expired", "signed out", "snoozed"] {
        let world = world().await?;
        world.publish(alert("a").expires_at(world.now() + secs(600)).build(), &["ana"]).await?;
        a_moment(&world).await?;
        activity_token(&world).await?;
        a_moment(&world).await?;
        match why {
            "resolved" => world.publish(alert("a").version(2).resolved().build(), &["ana"]).await?,
            "snoozed" => world.snooze("ana", "a", secs(60)).await?,
            "signed out" => {
                let phone = DeviceId::parse("phone")?;
                assert!(world.store.delete_device(&acme("ana"), &phone, world.now()).await?);
            }
            _ => world.pass(secs(600)).await?,
        }
        a_moment(&world).await?;
        let end = if why == "resolved" { END_THAT_STAYS } else { END };
        assert_eq!(activities(&world), told(&[(START, "start"), (end, "own")]), "{why}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_started_of_what_is_over_or_was_not_asked_for() -> anyhow::Result<()> {
    let world = world().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(secs(0)).await?;
    world.say("ana", "a", ReceiptState::Read).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world), told(&[]), "read before it began");

    register(&world, None).await?;
    world.publish(alert("b").build(), &["ana"]).await?;
    a_moment(&world).await?;
    assert_eq!(activities(&world), told(&[]), "the app registered nothing to start it with");

    let plain = World::new().await?;
    register(&plain, Some("start")).await?;
    plain.publish(alert("a").build(), &["ana"]).await?;
    a_moment(&plain).await?;
    assert_eq!(activities(&plain), told(&[]), "its policy does not want one");
    Ok(())
}

#[tokio::test]
async fn a_dead_token_is_dropped_and_an_end_is_tried_until_it_arrives() -> anyhow::Result<()> {
    let world = world().await?;
    let dead = || SendError::Unregistered { since: None, reason: "ExpiredToken".to_owned() };
    world.answer(move |sent| match sent.what {
        What::Activity(ActivityEvent::Start) => Err(dead()),
        _ => Ok(Default::default()),
    });
    world.publish(alert("a").build(), &["ana"]).await?;
    a_moment(&world).await?;
    let devices = world.store.devices(&acme("ana")).await?;
    assert_eq!((devices.len(), &devices[0].start_token), (1, &None), "the device stays: it is pushed to");
    assert!(world.says("ana", "a", "its token is gone").await?);

    register(&world, Some("start")).await?;
    activity_token(&world).await?;
    a_moment(&world).await?;
    world.answer(|sent| match sent.what {
        What::Activity(_) => Err(SendError::Unreachable { reason: "no answer".to_owned() }),
        _ => Ok(Default::default()),
    });
    world.say("ana", "a", ReceiptState::Seen).await?;
    a_moment(&world).await?;
    world.answer(|_| Ok(Default::default()));
    world.pass(Duration::from_secs(60)).await?;
    a_moment(&world).await?;
    let ends: Vec<_> = world.sent().into_iter().filter(|sent| sent.what == END).collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!(ends[0].id, ends[1].id, "the same call once more (I6)");
    assert!(ends[1].accepted);
    Ok(())
}
