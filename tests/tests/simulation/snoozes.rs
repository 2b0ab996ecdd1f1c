//! Snoozes on a simulated clock: nobody is chased while one lasts, and everybody when it is over, whatever it interrupted.

use std::{sync::Arc, time::Duration};

use watchbell::domain::ReceiptState;
use watchbell_tests::builders::alert;

use super::world::{DAY, What, World, secs};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_push_is_taken_away_while_its_alert_is_snoozed_and_comes_again_after_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana", "ben"]).await?;
    world.pass(secs(1)).await?;
    world.snooze("ana", "a", HOUR).await?;
    world.pass(secs(10)).await?;
    // Both pushes are due at once, so either may go out first.
    let told = world.told();
    assert!([What::Apns, What::Fcm].iter().all(|push| told[..2].contains(&(*push, 0))), "{told:?}");
    assert_eq!(told[2..], [(What::Withdrawal, 1)], "hers alone");
    assert!(world.says("ana", "a", "escalation ended: snoozed").await?);

    world.say("ben", "a", ReceiptState::Read).await?;
    world.pass(HOUR - secs(11)).await?;
    let quiet = world.sent().len();
    assert_eq!(world.end_snoozes().await?, 0, "a second before its time");
    world.pass(secs(1)).await?;
    assert_eq!(world.sent().len(), quiet, "no mail meanwhile, although its step was due");
    assert_eq!(world.end_snoozes().await?, 1);
    world.pass(secs(1)).await?;
    assert_eq!(world.told().last(), Some(&(What::Apns, 3_601)), "chased anew under its policy");
    world.pass(secs(600)).await?;
    assert_eq!(world.told().last().map(|(what, _)| *what), Some(What::Mail), "and on to the next channel");
    world.say("ana", "a", ReceiptState::Seen).await?;
    world.pass(secs(10)).await?;
    assert_eq!(
        world.told().last().map(|(what, _)| *what),
        Some(What::Withdrawal),
        "the second push is taken away"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_over_while_it_is_snoozed_rings_nowhere() -> anyhow::Result<()> {
    let world = World::new().await?;
    let late = alert("late").expires_at(world.now() + secs(60)).build();
    world.publish_all(vec![alert("over").build(), late], &["ana"]).await?;
    for id in ["over", "late"] {
        world.snooze("ana", id, HOUR).await?;
    }
    world.publish(alert("over").version(2).resolved().build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(world.end_snoozes().await?, 1, "only what is still snoozed ends");
    world.pass(DAY).await?;
    assert_eq!(world.told(), []);
    for id in ["over", "late"] {
        assert_eq!(world.timeline("ana", id).await?.state.as_str(), "read", "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn worse_breaks_through_a_snooze_and_the_end_of_the_snooze_is_nothing_more() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.snooze("ana", "a", HOUR).await?;
    world.publish(alert("a").version(2).build(), &["ana"]).await?;
    world.pass(secs(60)).await?;
    assert_eq!(world.told(), [], "the same once more is no news");
    let worse = alert("a").version(3).critical().build();
    world.publish(worse, &["ana"]).await?;
    world.pass(secs(1)).await?;
    assert_eq!(world.told(), [(What::Apns, 60)]);
    world.say("ana", "a", ReceiptState::Read).await?;
    world.pass(HOUR).await?;
    assert_eq!(world.end_snoozes().await?, 0);
    Ok(())
}

#[tokio::test]
async fn snoozed_between_the_claim_and_the_call_is_not_sent_and_comes_back_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let claim = world.claim().await?.remove(0);
    world.snooze("ana", "a", HOUR).await?;
    world.run(&claim).await?;
    world.pass(HOUR).await?;
    assert_eq!(world.told(), []);
    assert_eq!(world.end_snoozes().await?, 1);
    // What was claimed before the snooze holds nothing any more.
    world.run(&claim).await?;
    world.pass(secs(1)).await?;
    assert_eq!(world.told(), [(What::Apns, 3_600)]);
    Ok(())
}

#[tokio::test]
async fn snoozed_in_the_middle_of_a_call_is_taken_away_also_when_the_snooze_is_over_first()
-> anyhow::Result<()> {
    for (why, snooze, expected) in [
        ("it lasts", HOUR, vec![(What::Apns, 0), (What::Withdrawal, 0)]),
        // The later push has the same collapse id, so it takes the place of the first.
        ("it is over before the answer", secs(0), vec![(What::Apns, 0), (What::Apns, 0)]),
    ] {
        let world = Arc::new(World::new().await?);
        world.publish(alert("a").build(), &["ana"]).await?;
        let during = world.clone();
        world.during_next_call(async move {
            during.snooze("ana", "a", snooze).await.unwrap();
            during.end_snoozes().await.unwrap();
        });
        world.pass(secs(10)).await?;
        assert_eq!(world.told(), expected, "{why}");
    }
    Ok(())
}
