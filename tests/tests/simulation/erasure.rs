//! A person is erased in the middle of an escalation: nobody notifies them from then on, and the others are told as before.

use watchbell::domain::UserKey;
use watchbell::store::{ERASED_ROWS_PER_COMMIT_MAX, Store};
use watchbell_fallback::channel::SendError;
use watchbell_tests::builders::{acme, alert};

use super::world::{DAY, What, World, secs, unreachable};

async fn erase(store: &Store, who: &UserKey) -> anyhow::Result<()> {
    while !store.erase_batch(who, ERASED_ROWS_PER_COMMIT_MAX).await?.is_over {}
    Ok(())
}

/// What ana's phone and mailbox were sent, and what ben's were.
fn sent_to(world: &World, who: &str) -> Vec<What> {
    world.sent().iter().filter(|sent| sent.user == who).map(|sent| sent.what).collect()
}

#[tokio::test]
async fn nobody_is_notified_after_the_erasure_wherever_the_escalation_stood() -> anyhow::Result<()> {
    // Present, so that the first step waits 30 s; then the push; then the mail after five minutes.
    for (why, erased_after, before) in [
        ("before the first step", 10, vec![]),
        ("between the push and the mail", 60, vec![What::Apns]),
        ("after the last step", 1_000, vec![What::Apns, What::Mail]),
    ] {
        let world = World::new().await?;
        for who in ["ana", "ben"] {
            world.open_session("pod", who).await?;
        }
        world.publish(alert("a").build(), &["ana", "ben"]).await?;
        world.pass(secs(erased_after)).await?;
        erase(&world.store, &acme("ana")).await?;
        world.close_session("pod", "ana").await?;
        world.pass(DAY).await?;
        assert_eq!(sent_to(&world, "ana"), before, "{why}");
        assert_eq!(sent_to(&world, "ben"), [What::Fcm, What::Mail], "{why}: ben is told as ever");
        assert_eq!(world.store.contact(&acme("ana")).await?, None, "{why}: nothing made her known again");
    }
    Ok(())
}

#[tokio::test]
async fn work_that_waits_in_the_queue_is_dropped_when_it_comes() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let claim = world.claim().await?.remove(0);
    erase(&world.store, &acme("ana")).await?;
    world.run(&claim).await?;
    world.pass(DAY).await?;
    assert_eq!(world.told(), []);
    Ok(())
}

/// The call is under way, so it may reach her. Nothing follows it: no other try, no mail, no withdrawal, and no row.
#[tokio::test]
async fn nothing_follows_a_call_that_was_under_way() -> anyhow::Result<()> {
    for answer in [Ok(()), Err(unreachable as fn() -> SendError)] {
        let world = World::new().await?;
        world.answer(move |_| answer.map(|()| Default::default()).map_err(|why| why()));
        world.publish(alert("a").build(), &["ana"]).await?;
        let store = world.store.clone();
        world.during_next_call(async move { erase(&store, &acme("ana")).await.unwrap() });
        world.pass(DAY).await?;
        assert_eq!(world.told(), [(What::Apns, 0)]);
        let left = world.store.erase_batch(&acme("ana"), ERASED_ROWS_PER_COMMIT_MAX).await?;
        assert_eq!(left.rows, [], "the answer left nothing of her");
    }
    Ok(())
}

/// Six alerts in a minute: the last ones wait for a summary.
#[tokio::test]
async fn a_summary_that_waits_is_not_sent() -> anyhow::Result<()> {
    let world = World::new().await?;
    for n in 0..8 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
    }
    world.pass(secs(1)).await?;
    let before = world.told().len();
    assert!(before < 8, "some of them wait for a summary: {before}");
    erase(&world.store, &acme("ana")).await?;
    world.pass(DAY).await?;
    assert_eq!(world.told().len(), before);
    Ok(())
}
