//! The races that others had to fix (their numbers are those of our notes on providers), where deciding is what gets
//! them right. Tokens (R7, R8) are in `tokens.rs`, the breaker (R19) is tested beside it, in `workers/fallback/src/guard`.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use watchbell::broker::{
    Address, Broker, Browser, Consumer, LiveSource, Message, PublishError, WorkQueue,
    embedded::EmbeddedBroker,
};
use watchbell::domain::{Channel, PushService, ReceiptState, policy::Policies, restraint::Restraint};
use watchbell_fallback::{
    WithdrawalBatches,
    channel::{Accepted, SendError},
};
use watchbell_tests::builders::{acme, alert, receipt};
use watchbell_tests::until::until;

use super::world::{DAY, Sent, What, World, secs, unreachable};

/// The lease of a claim, and a little more.
const LEASE_OVER: Duration = Duration::from_secs(61);

#[tokio::test]
async fn r1_present_when_it_came_and_gone_before_it_was_seen_is_pushed() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    // The pod vanishes with its sessions and says nothing.
    world.pass(secs(40)).await?;
    assert_eq!(world.told(), [(What::Apns, 30)], "the timer stands whoever was there");
    Ok(())
}

#[tokio::test]
async fn r2_a_session_that_closes_with_unseen_alerts_shortens_their_wait() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    for id in ["unseen", "seen"] {
        world.publish(alert(id).build(), &["ana"]).await?;
    }
    world.say("ana", "seen", ReceiptState::Seen).await?;
    world.say("ana", "unseen", ReceiptState::Delivered).await?;
    world.pass(secs(10)).await?;
    world.close_session("pod", "ana").await?;
    world.pass(secs(10)).await?;
    assert_eq!(world.told(), [(What::Apns, 10)], "delivered to a closed tab is not seen");
    assert!(world.says("ana", "unseen", "the last session closed").await?);
    Ok(())
}

#[tokio::test]
async fn r3_using_the_web_a_moment_ago_silences_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    world.publish(alert("first").build(), &["ana"]).await?;
    world.pass(secs(5)).await?;
    world.say("ana", "first", ReceiptState::Read).await?;
    world.publish(alert("second").build(), &["ana"]).await?;
    world.pass(secs(31)).await?;
    assert_eq!(world.told(), [(What::Apns, 35)], "each alert has its own deadline, whatever else she read");
    Ok(())
}

#[tokio::test]
async fn r4_what_was_sent_is_not_sent_again_by_the_timer() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let claim = world.claim().await?.remove(0);
    world.run(&claim).await?;
    // The broker delivers the same work again, twice.
    world.run(&claim).await?;
    world.clock.advance(LEASE_OVER);
    world.run(&claim).await?;
    assert_eq!(world.told(), [(What::Apns, 0)]);
    Ok(())
}

#[tokio::test]
async fn r5_read_on_the_web_goes_from_the_phone() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(secs(1)).await?;
    world.say("ana", "a", ReceiptState::Read).await?;
    world.pass(DAY).await?;
    assert_eq!(world.told(), [(What::Apns, 0), (What::Withdrawal, 1)]);
    assert_eq!(world.sent()[1].alerts, ["a"]);
    assert_eq!(world.timeline("ana", "a").await?.due_at, None);
    Ok(())
}

#[tokio::test]
async fn r6_moving_to_another_pod_between_presence_and_store_loses_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("one", "ana").await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    // She moved before the old pod says that she left.
    world.open_session("two", "ana").await?;
    world.close_session("one", "ana").await?;
    world.pass(secs(29)).await?;
    assert_eq!(world.told(), [], "she is on the other one");
    world.pass(secs(1)).await?;
    assert_eq!(world.told(), [(What::Apns, 30)], "and the timer covers the rest");
    Ok(())
}

#[tokio::test]
async fn r9_seen_between_the_claim_and_the_call_is_not_sent() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let claim = world.claim().await?.remove(0);
    world.say("ana", "a", ReceiptState::Seen).await?;
    world.run(&claim).await?;
    world.pass(DAY).await?;
    assert_eq!(world.told(), []);
    Ok(())
}

#[tokio::test]
async fn r9_seen_during_the_call_is_taken_away_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let (store, now) = (world.store.clone(), world.now());
    world.during_next_call(async move {
        store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Seen)], now).await.unwrap();
    });
    world.pass(DAY).await?;
    assert_eq!(world.told(), [(What::Apns, 0), (What::Withdrawal, 0)]);
    Ok(())
}

#[tokio::test]
async fn r10_a_restart_in_a_long_wait_forgets_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(secs(100)).await?;
    // Everything that a process knows is gone: another one, with nothing but the store, goes on.
    world.store.release_leases().await?;
    world.clock.advance(secs(200 + 120));
    let claims = world.claim().await?;
    assert_eq!(claims.len(), 1, "the email's timer is a row");
    let successor = world.fallback();
    for claim in claims {
        successor.runner.run(&claim.key, claim.number, None).await?;
    }
    world.pass(secs(121)).await?;
    assert_eq!(world.told().last().map(|told| told.0), Some(What::Mail));
    Ok(())
}

#[tokio::test]
async fn r11_a_zombie_does_not_go_on_with_what_another_took_over() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    let zombie = world.claim().await?.remove(0);
    // While the zombie's call hangs, its lease ends, and another sender takes over and finishes.
    let (other, clock, store) = (world.fallback(), world.clock.clone(), world.store.clone());
    world.during_next_call(async move {
        clock.advance(LEASE_OVER);
        let claim = store.claim_due(clock.now(), secs(60), 1).await.unwrap().remove(0);
        other.runner.run(&claim.key, claim.number, None).await.unwrap();
    });
    world.run(&zombie).await?;
    let sent = world.sent();
    assert_eq!(sent.len(), 2, "the crash repeated the call");
    assert_eq!(sent[0].id, sent[1].id, "with the same id, so that it replaces");
    world.pass(DAY).await?;
    let mails = world.sent().iter().filter(|sent| sent.what == What::Mail).count();
    assert_eq!(mails, 1, "one escalation goes on, not two");
    Ok(())
}

#[tokio::test]
async fn r12_a_permanent_error_is_not_retried_and_the_next_channel_is_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Mail => Ok(Accepted::default()),
        _ => Err(SendError::Rejected { reason: "PayloadEmpty".to_owned() }),
    });
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(DAY).await?;
    assert_eq!(world.told(), [(What::Apns, 0), (What::Mail, 120)], "the digest's window, and no more");
    Ok(())
}

#[tokio::test]
async fn r12_retries_end_by_age() -> anyhow::Result<()> {
    let world = World::new().await?;
    let begin = world.now();
    world.answer(|_: &Sent| Err(unreachable()));
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(3 * DAY).await?;
    let tries = |what| world.sent().iter().filter(|sent| sent.what == what).count();
    assert!((2..=20).contains(&tries(What::Apns)), "{}", tries(What::Apns));
    assert!((2..=400).contains(&tries(What::Mail)), "{}", tries(What::Mail));
    assert!(world.told().iter().all(|(_, at)| *at < 26 * 3600), "nothing is tried after a day");
    // Nobody knows whether the push arrived, so it is taken away when the alert expires.
    let left = world.timeline("ana", "a").await?;
    assert_eq!((left.stopped, left.due_at), (None, Some(begin + 7 * DAY)));
    Ok(())
}

#[tokio::test]
async fn r13_what_cannot_be_sent_holds_nobody_else_up() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|sent: &Sent| match sent.alerts[0].as_str() {
        "poison" => Err(unreachable()),
        _ => Ok(Accepted::default()),
    });
    world.publish(alert("poison").build(), &["ana"]).await?;
    world.pass(secs(1)).await?;
    for n in 0..3 {
        world.publish(alert(&format!("fine-{n}")).build(), &["ana"]).await?;
        world.pass(secs(1)).await?;
    }
    let fine = world.sent().iter().filter(|sent| sent.accepted).count();
    assert_eq!(fine, 3, "each went the moment it was due");
    Ok(())
}

#[tokio::test]
async fn r14_one_providers_outage_is_not_anothers() -> anyhow::Result<()> {
    let world = World::new().await?;
    let down = |sent: &Sent| match sent.what {
        What::Apns => Err(unreachable()),
        _ => Ok(Accepted::default()),
    };
    world.answer(down);
    for minute in 0..10 {
        world.publish(alert(&format!("m{minute}")).build(), &["ana", "ben"]).await?;
        world.pass(secs(60)).await?;
    }
    let fcm: Vec<i64> =
        world.told().iter().filter(|(what, _)| *what == What::Fcm).map(|(_, at)| *at).collect();
    assert_eq!(fcm, (0..10).map(|minute| minute * 60).collect::<Vec<_>>(), "ben's came on time, every one");
    let mails: Vec<Sent> =
        world.sent().into_iter().filter(|sent| sent.what == What::Mail && sent.user == "ana").collect();
    assert!(!mails.is_empty(), "and ana was told by mail meanwhile (I4)");
    Ok(())
}

#[tokio::test]
async fn r15_retries_after_an_outage_are_spread() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    world.parts.randomness.jitter = std::sync::Arc::new(spread());
    for n in 0..50 {
        let name = format!("user-{n}");
        world.furnish(&name, PushService::Apns).await?;
        world.publish(alert(&format!("a{n}")).build(), &[&name]).await?;
    }
    world.answer(|_: &Sent| Err(unreachable()));
    world.pass(secs(280)).await?;
    let recovery = world.now();
    world.answer(|_: &Sent| Ok(Accepted::default()));
    world.pass(secs(19)).await?;
    let after: Vec<i64> =
        world.sent().iter().filter(|sent| sent.at >= recovery).map(|sent| sent.at.as_second()).collect();
    let busiest = after.iter().map(|at| after.iter().filter(|other| *other == at).count()).max().unwrap_or(0);
    assert!(busiest <= 15, "{busiest} of {} in one second", after.len());
    Ok(())
}

/// Numbers in 0..1, well spread, the same in every run.
fn spread() -> impl Fn() -> f64 + Send + Sync {
    let count = std::sync::atomic::AtomicU32::new(0);
    move || f64::from(count.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) * 0.618_033_988 % 1.0
}

#[tokio::test]
async fn r16_a_mail_is_not_sent_for_what_was_read_nor_for_what_is_old() -> anyhow::Result<()> {
    let world = World::new().await?;
    for id in ["read", "old"] {
        world.publish(alert(id).build(), &["ana"]).await?;
    }
    world.pass(secs(60)).await?;
    world.say("ana", "read", ReceiptState::Read).await?;
    // Nothing of ours runs for six days.
    world.clock.advance(6 * DAY);
    world.pass(DAY).await?;
    let mails = world.sent().iter().filter(|sent| sent.what == What::Mail).count();
    assert_eq!(mails, 0);
    assert!(world.says("ana", "old", "came due too late to be news").await?);
    Ok(())
}

#[tokio::test]
async fn r17_an_answer_that_got_lost_is_asked_for_with_the_same_id() -> anyhow::Result<()> {
    let world = World::new().await?;
    let count = std::sync::atomic::AtomicU32::new(0);
    world.answer(move |_: &Sent| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => Err(unreachable()),
        _ => Ok(Accepted::default()),
    });
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(secs(200)).await?;
    let sent = world.sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|one| one.id == sent[0].id), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn r18_a_withdrawal_is_an_attempt_with_an_end() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(secs(1)).await?;
    world.answer(|_: &Sent| Err(SendError::Rejected { reason: "BadMessageId".to_owned() }));
    world.say("ana", "a", ReceiptState::Seen).await?;
    world.pass(2 * DAY).await?;
    assert_eq!(world.told(), [(What::Apns, 0), (What::Withdrawal, 1)], "it failed for good, and that was it");
    world.publish(alert("b").build(), &["ana"]).await?;
    world.answer(|_: &Sent| Ok(Accepted::default()));
    world.pass(secs(1)).await?;
    let withdrawals = world.sent().iter().filter(|sent| sent.what == What::Withdrawal).count();
    assert_eq!(withdrawals, 1, "no burst of old ones");
    Ok(())
}

#[tokio::test]
async fn r20_put_away_anywhere_is_put_away_and_over_is_over() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("away").build(), &["ana", "ben"]).await?;
    world.publish(alert("over").build(), &["ana"]).await?;
    world.pass(secs(1)).await?;
    world.say("ana", "away", ReceiptState::Dismissed).await?;
    let over = alert("over").version(2).resolved().build();
    world.publish(over, &["ana"]).await?;
    world.pass(DAY).await?;
    let anas: Vec<What> =
        world.sent().iter().filter(|sent| sent.user == "ana").map(|sent| sent.what).collect();
    assert_eq!(anas, [What::Apns, What::Apns, What::Withdrawal, What::Withdrawal]);
    let bens: Vec<What> =
        world.sent().iter().filter(|sent| sent.user == "ben").map(|sent| sent.what).collect();
    assert_eq!(bens, [What::Fcm, What::Mail], "it was ana's to put away, not ben's");
    Ok(())
}

/// A broker that nobody reaches.
struct Away(std::sync::Arc<EmbeddedBroker>);

#[async_trait]
impl Broker for Away {
    async fn publish(&self, _: Address, _: Message, deadline: Duration) -> Result<(), PublishError> {
        Err(PublishError::Unavailable(deadline))
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer> {
        self.0.consume(queue, prefetch).await
    }

    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError> {
        self.0.browse(queue).await
    }

    async fn live(&self) -> Box<dyn LiveSource> {
        self.0.live().await
    }

    async fn depth(&self, _: WorkQueue) -> Result<u64, PublishError> {
        Err(PublishError::Unavailable(secs(1)))
    }

    fn is_ready(&self) -> bool {
        false
    }
}

/// Case 8 of our notes, the part of it that is fallback's.
#[tokio::test]
async fn timers_fire_on_time_while_the_broker_is_away() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    world.parts.broker = std::sync::Arc::new(Away(EmbeddedBroker::open(None)?));
    world.open_session("pod", "ana").await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    for _ in 0..40 {
        world.fallback().escalator.hand_out_due().await?;
        world.clock.advance(secs(1));
    }
    assert_eq!(world.told(), [(What::Apns, 30)]);
    Ok(())
}

/// Case 12 of our notes: one withdrawal a device, and none for what was never pushed.
#[tokio::test]
async fn a_withdrawal_is_for_what_was_pushed_and_once_a_device() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    world.publish(alert("seen-in-time").build(), &["ana"]).await?;
    world.pass(secs(5)).await?;
    world.say("ana", "seen-in-time", ReceiptState::Seen).await?;
    world.publish(alert("pushed").build(), &["ana"]).await?;
    world.pass(secs(31)).await?;
    world.say("ana", "pushed", ReceiptState::Seen).await?;
    world.say("ana", "pushed", ReceiptState::Read).await?;
    world.pass(DAY).await?;
    let withdrawn: Vec<Vec<String>> = world
        .sent()
        .into_iter()
        .filter(|sent| sent.what == What::Withdrawal)
        .map(|sent| sent.alerts)
        .collect();
    assert_eq!(withdrawn, [["pushed"]]);
    Ok(())
}

/// Case 12, the batch: as many as senders work on at once, through the loops that run in production.
#[tokio::test]
async fn reading_a_hundred_and_fifty_at_once_clears_the_phone_with_one_push() -> anyhow::Result<()> {
    const ALERTS: usize = 150;
    let mut restraint = Restraint::default();
    (restraint[Channel::Push].window, restraint[Channel::Push].per_hour_max) = (Duration::ZERO, u32::MAX);
    let mut world = World::with(Policies::with_defaults(BTreeMap::new()), restraint).await?;
    // Longer than the slowest machine takes to claim and step them.
    world.parts.providers.withdrawals = Arc::new(WithdrawalBatches::gathering_for(secs(3)));
    let ids: Vec<String> = (0..ALERTS).map(|n| format!("a{n}")).collect();
    world.publish_all(ids.iter().map(|id| alert(id).build()).collect(), &["ana"]).await?;
    world.pass(secs(1)).await?;
    assert_eq!(world.sent().len(), ALERTS);
    let all = receipt(&acme("ana"), &ids, ReceiptState::Read);
    world.store.apply_receipts(&[all], world.now()).await?;

    let stop = CancellationToken::new();
    let running = tokio::spawn(world.fallback().run(stop.clone()));
    until("the phone is cleared", secs(30), async || (world.sent().len() > ALERTS).then_some(())).await?;
    stop.cancel();
    running.await?;
    let mut withdrawn = world.sent().split_off(ALERTS);
    assert_eq!(withdrawn.len(), 1, "one push for all of them");
    let mut gone = withdrawn.remove(0).alerts;
    gone.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(gone, expected);
    Ok(())
}

/// Case 1 of our notes, at the seam: whatever dies between the row, the call and the answer, the call is repeated with
/// its id and the escalation goes on.
#[tokio::test]
async fn a_death_at_any_point_of_a_call_repeats_it_with_its_id() -> anyhow::Result<()> {
    let world = World::new().await?;
    for n in 0..20 {
        let name = format!("user-{n}");
        world.furnish(&name, PushService::Apns).await?;
        world.publish(alert("a").build(), &[&name]).await?;
    }
    let mut begun = Vec::new();
    for claim in world.claim().await? {
        let running = world.run(&claim);
        // The process dies after so many polls: before the row is written, during the call, before the answer is.
        let polls = begun.len();
        let died = dies_after(running, polls).await;
        begun.push(died);
    }
    assert!(begun.contains(&true), "some died in the middle");
    world.clock.advance(LEASE_OVER);
    world.pass(secs(1)).await?;
    for n in 0..20 {
        let name = format!("user-{n}");
        let pushes: Vec<Sent> =
            world.sent().into_iter().filter(|sent| sent.user == name && sent.what == What::Apns).collect();
        assert!(!pushes.is_empty(), "{name} was not told");
        assert!(pushes.iter().all(|push| push.id == pushes[0].id), "{pushes:?}");
    }
    Ok(())
}

/// Polls a future so often and then drops it. Whether it was dropped unfinished.
async fn dies_after<F: Future>(future: F, polls: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(true);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| false)
    })
    .await
}
