//! What every broker has to do, on the embedded one and on a real RabbitMQ. What only a broker of its own process
//! can suffer is in [`faults`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use watchbell::broker::embedded::EmbeddedBroker;
use watchbell::broker::rabbitmq::{BrokerAccess, RabbitBroker, RabbitConfig};
use watchbell::broker::topology::{DELIVERY_LIMIT, PARTITIONS, TYPE_HEADER};
use watchbell::broker::{
    Address, BODY_BYTES_MAX, Broker, Consumer, Delivery, LiveEvent, LiveSource, Message, PublishError,
    SharedBroker, WorkQueue,
};
use watchbell_tests::services;
use watchbell_tests::until::until;

mod cluster;
mod faults;
mod ghosts;
mod outcomes;
mod tls;
mod unreadable;

/// Longer than anything takes that is going to happen.
const SOON: Duration = Duration::from_secs(30);
/// Long enough to see that something does not happen; if it is too short, the test is only weaker.
const A_WHILE: Duration = Duration::from_millis(300);

/// Runs each test on each implementation.
macro_rules! contract {
    ($($test:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $test() { super::$test(super::embedded_broker()).await; })*
        }
        mod rabbitmq {
            $(#[tokio::test] async fn $test() { super::$test(super::rabbit_broker().await).await; })*
        }
    };
}

contract! {
    a_message_arrives_as_it_was_sent
    messages_of_one_publisher_keep_their_order
    a_delivery_dropped_or_requeued_comes_again
    consumers_compete_and_each_message_is_taken_once
    no_more_than_prefetch_are_unsettled
    next_can_be_dropped_and_takes_nothing
    what_is_delivered_too_often_is_parked
    what_operators_browse_is_not_lost_by_looking
    a_browser_is_shown_each_once_and_gives_back_what_it_did_not_settle
    too_long_a_message_is_refused_for_good
    depth_counts_what_waits
    live_frames_follow_interest
    nobody_needs_to_listen
    several_sources_hear_the_same
    a_source_that_is_gone_holds_nobody_up
}

fn embedded_broker() -> SharedBroker {
    EmbeddedBroker::open(None).unwrap()
}

async fn rabbit_broker() -> SharedBroker {
    let url = services::rabbit().await.unwrap().fresh_vhost("contract").await.unwrap();
    connected(&url).await
}

fn rabbit_config(url: &str) -> RabbitConfig {
    RabbitConfig {
        access: BrokerAccess::to(url).into(),
        declare: true,
        name: "contract".into(),
        names_user: false,
    }
}

async fn connected(url: &str) -> SharedBroker {
    let broker = RabbitBroker::connect(rabbit_config(url), Default::default());
    until("the broker is ready", SOON, async || broker.is_ready().then_some(())).await.unwrap();
    broker
}

#[allow(clippy::needless_pass_by_value)] // So that a call reads `message(7)`.
fn message(id: impl ToString) -> Message {
    Message::json(id.to_string(), format!("{{\"id\":\"{}\"}}", id.to_string()))
}

#[allow(clippy::needless_pass_by_value)] // As above.
async fn put(broker: &SharedBroker, to: Address, id: impl ToString) {
    broker.publish(to, message(id), SOON).await.unwrap();
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(SOON, consumer.next()).await.expect("a delivery").expect("the broker is open")
}

async fn next_event(source: &mut Box<dyn LiveSource>) -> LiveEvent {
    timeout(SOON, source.next()).await.expect("a live event").expect("the source is open")
}

/// The next frame's id. Gaps are passed over: a source may always tell of one.
async fn next_frame(source: &mut Box<dyn LiveSource>) -> String {
    loop {
        if let LiveEvent::Frame(frame) = next_event(source).await {
            return frame.message_id;
        }
    }
}

async fn a_message_arrives_as_it_was_sent(broker: SharedBroker) {
    let mut consumer = broker.consume(WorkQueue::Dispatch, 10).await;
    let mut sent = message("as-sent");
    sent.body = vec![0, 159, 146, 150].into();
    sent.content_type = "application/cloudevents+json".into();
    sent.headers
        .insert("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    sent.headers.insert("ä".into(), "ö".into());
    let taking = async {
        let delivery = next(&mut consumer).await;
        delivery.settle.ack().await;
        (delivery.message, delivery.redelivered)
    };
    let (published, (mut got, redelivered)) =
        tokio::join!(broker.publish(Address::Alerts, sent.clone(), SOON), taking);
    assert_eq!(published, Ok(()));
    assert!(!redelivered);
    assert_eq!(got.headers.remove(TYPE_HEADER).as_deref(), Some("alert.v1"));
    assert_eq!(got, sent);
    assert_eq!(got.headers, sent.headers);
}

async fn messages_of_one_publisher_keep_their_order(broker: SharedBroker) {
    for id in 0..100 {
        put(&broker, Address::Undelivered, id).await;
    }
    let mut consumer = broker.consume(WorkQueue::Undelivered, 7).await;
    for id in 0..100 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message.message_id, id.to_string());
        delivery.settle.ack().await;
    }
}

async fn a_delivery_dropped_or_requeued_comes_again(broker: SharedBroker) {
    put(&broker, Address::Undelivered, "again").await;
    let mut consumer = broker.consume(WorkQueue::Undelivered, 1).await;
    let first = next(&mut consumer).await;
    assert!(!first.redelivered);
    drop(first);
    let second = next(&mut consumer).await;
    assert!(second.redelivered, "somebody had it before");
    second.settle.requeue().await;
    let third = next(&mut consumer).await;
    assert!(third.redelivered);
    assert_eq!(third.message.message_id, "again");
    third.settle.ack().await;
    // And when the consumer itself goes, with a delivery unsettled.
    put(&broker, Address::Undelivered, "left").await;
    let left = next(&mut consumer).await;
    drop(consumer);
    drop(left);
    let mut other = broker.consume(WorkQueue::Undelivered, 1).await;
    let found = next(&mut other).await;
    assert_eq!((found.message.message_id.as_str(), found.redelivered), ("left", true));
    found.settle.ack().await;
}

async fn consumers_compete_and_each_message_is_taken_once(broker: SharedBroker) {
    let mut one = broker.consume(WorkQueue::Undelivered, 1).await;
    let mut other = broker.consume(WorkQueue::Undelivered, 1).await;
    for id in 0..20 {
        put(&broker, Address::Undelivered, id).await;
    }
    let mut taken = BTreeSet::new();
    for _ in 0..10 {
        // Both hold one at the same time, so each gets its share.
        let (a, b) = (next(&mut one).await, next(&mut other).await);
        for delivery in [a, b] {
            assert!(taken.insert(delivery.message.message_id.clone()), "taken once");
            delivery.settle.ack().await;
        }
    }
    assert_eq!(taken.len(), 20);
}

async fn no_more_than_prefetch_are_unsettled(broker: SharedBroker) {
    for id in 0..3 {
        put(&broker, Address::Undelivered, id).await;
    }
    let mut consumer = broker.consume(WorkQueue::Undelivered, 2).await;
    let (first, _second) = (next(&mut consumer).await, next(&mut consumer).await);
    assert!(timeout(A_WHILE, consumer.next()).await.is_err(), "two are unsettled");
    first.settle.ack().await;
    assert_eq!(next(&mut consumer).await.message.message_id, "2");
}

async fn next_can_be_dropped_and_takes_nothing(broker: SharedBroker) {
    let mut consumer = broker.consume(WorkQueue::Undelivered, 1).await;
    let publishing = async {
        for id in 0..50 {
            put(&broker, Address::Undelivered, id).await;
        }
    };
    let taking = async {
        let mut expected = 0;
        while expected < 50 {
            let Ok(delivery) = timeout(Duration::from_micros(200), consumer.next()).await else { continue };
            let delivery = delivery.unwrap();
            assert_eq!(delivery.message.message_id, expected.to_string());
            assert!(!delivery.redelivered);
            delivery.settle.ack().await;
            expected += 1;
        }
    };
    timeout(SOON, async { tokio::join!(publishing, taking) }).await.expect("all arrive");
}

async fn what_is_delivered_too_often_is_parked(broker: SharedBroker) {
    let publisher = Arc::clone(&broker);
    let publishing =
        tokio::spawn(async move { publisher.publish(Address::Alerts, message("poison"), SOON).await });
    let mut dead = broker.consume(WorkQueue::Dead, 1).await;
    let mut consumer = broker.consume(WorkQueue::Dispatch, 1).await;
    let mut deliveries = 0;
    let parked = loop {
        tokio::select! {
            parked = next(&mut dead) => break parked,
            Some(delivery) = consumer.next() => {
                deliveries += 1;
                delivery.settle.requeue().await;
            }
        }
    };
    // RabbitMQ counts redeliveries, so that one more is seen there.
    assert!((DELIVERY_LIMIT..=DELIVERY_LIMIT + 1).contains(&deliveries), "{deliveries} deliveries");
    assert_eq!(parked.message.message_id, "poison");
    assert_eq!(parked.message.body, message("poison").body);
    assert_eq!(parked.message.headers[TYPE_HEADER], "alert.v1");
    parked.settle.ack().await;
    assert_eq!(publishing.await.unwrap(), Ok(()), "it is durable, if not where it should be");
}

async fn what_operators_browse_is_not_lost_by_looking(broker: SharedBroker) {
    let mut refused = message("refused");
    refused.headers.insert("reason".into(), "no title".into());
    broker.publish(Address::Rejected, refused, SOON).await.unwrap();
    let mut consumer = broker.consume(WorkQueue::Rejected, 1).await;
    for _ in 0..DELIVERY_LIMIT + 5 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message.headers["reason"], "no title");
        delivery.settle.requeue().await;
    }
    next(&mut consumer).await.settle.ack().await;
}

async fn a_browser_is_shown_each_once_and_gives_back_what_it_did_not_settle(broker: SharedBroker) {
    let ids: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    for id in &ids {
        put(&broker, Address::Rejected, id).await;
    }
    for round in 0..3 {
        let mut browser = broker.browse(WorkQueue::Rejected).await.unwrap();
        let mut seen = BTreeSet::new();
        while let Some(delivery) = timeout(SOON, browser.take()).await.unwrap().unwrap() {
            assert!(seen.insert(delivery.message.message_id.clone()), "round {round}: seen again");
            // Dropped: what is given back too early would come again.
        }
        assert_eq!(seen.len(), ids.len(), "round {round}: and then it is over");
        assert_eq!(broker.depth(WorkQueue::Rejected).await, Ok(0), "held until the end");
        browser.close().await;
        let back = async || (broker.depth(WorkQueue::Rejected).await == Ok(50)).then_some(());
        until("all are back", SOON, back).await.unwrap();
    }
    let mut browser = broker.browse(WorkQueue::Rejected).await.unwrap();
    let mut settled = BTreeSet::new();
    while let Some(delivery) = browser.take().await.unwrap() {
        if settled.len() < 30 {
            settled.insert(delivery.message.message_id.clone());
            delivery.settle.ack().await;
        }
    }
    browser.close().await;
    let back = async || (broker.depth(WorkQueue::Rejected).await == Ok(20)).then_some(());
    until("the rest is back", SOON, back).await.unwrap();
    let mut consumer = broker.consume(WorkQueue::Rejected, 20).await;
    for _ in 0..20 {
        let delivery = next(&mut consumer).await;
        assert!(!settled.contains(&delivery.message.message_id), "what was settled is gone");
        delivery.settle.ack().await;
    }
}

async fn too_long_a_message_is_refused_for_good(broker: SharedBroker) {
    let mut long = message("long");
    long.body = vec![b'x'; BODY_BYTES_MAX + 1].into();
    let refused = broker.publish(Address::Undelivered, long.clone(), SOON).await;
    assert_eq!(refused, Err(PublishError::TooLarge { len: BODY_BYTES_MAX + 1 }));
    long.body.truncate(BODY_BYTES_MAX);
    assert_eq!(broker.publish(Address::Undelivered, long.clone(), SOON).await, Ok(()));
    let mut consumer = broker.consume(WorkQueue::Undelivered, 1).await;
    assert_eq!(next(&mut consumer).await.message.body, long.body, "many AMQP frames make one message");
}

async fn depth_counts_what_waits(broker: SharedBroker) {
    for (queue, address) in [
        (WorkQueue::Undelivered, Address::Undelivered),
        (WorkQueue::Rejected, Address::Rejected),
        (WorkQueue::Dead, Address::Dead),
    ] {
        let is = async |expected| {
            let what = format!("{queue:?} is {expected} deep");
            let asked = async || (broker.depth(queue).await == Ok(expected)).then_some(());
            until(&what, SOON, asked).await.unwrap();
        };
        is(0).await;
        for id in 0..3 {
            put(&broker, address, id).await;
        }
        is(3).await;
        let mut consumer = broker.consume(queue, 1).await;
        let taken = next(&mut consumer).await;
        is(2).await;
        drop(taken);
        drop(consumer);
        is(3).await;
    }
}

async fn live_frames_follow_interest(broker: SharedBroker) {
    let mut source = broker.live().await;
    let control = source.control();
    put(&broker, Address::Live(1), "before following").await;
    control.follow(1).await;
    control.follow(1).await;
    put(&broker, Address::Live(2), "of another partition").await;
    for id in 0..20 {
        put(&broker, Address::Live(1), id).await;
    }
    for id in 0..20 {
        assert_eq!(next_frame(&mut source).await, id.to_string(), "each once, in order, and no other");
    }
    control.follow(2).await;
    control.unfollow(1).await;
    put(&broker, Address::Live(1), "after unfollowing").await;
    put(&broker, Address::Live(2), "of the new one").await;
    assert_eq!(next_frame(&mut source).await, "of the new one");
    // Whoever comes and goes at once ends as told last.
    tokio::join!(control.unfollow(2), control.follow(3), control.follow(3));
    put(&broker, Address::Live(2), "after unfollowing").await;
    put(&broker, Address::Live(3), "of the third").await;
    assert_eq!(next_frame(&mut source).await, "of the third");
    // A pulse is no frame.
    let quiet = timeout(Duration::from_secs(3), source.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

async fn nobody_needs_to_listen(broker: SharedBroker) {
    for partition in 0..PARTITIONS {
        put(&broker, Address::Live(partition), partition).await;
    }
    let nowhere = broker.publish(Address::Live(PARTITIONS), message("nowhere"), SOON).await;
    assert_eq!(nowhere, Err(PublishError::Unroutable));
    put(&broker, Address::Live(0), "and goes on").await;
    put(&broker, Address::Outcomes, "no producer has bound a queue").await;
}

async fn several_sources_hear_the_same(broker: SharedBroker) {
    let (mut one, mut other) = (broker.live().await, broker.live().await);
    one.control().follow(5).await;
    other.control().follow(5).await;
    // A source may still be connecting, and then it begins with a gap; from there on it hears.
    let settled = async |source: &mut Box<dyn LiveSource>, id: &str| loop {
        put(&broker, Address::Live(5), id).await;
        if timeout(A_WHILE, next_frame(source)).await.is_ok_and(|got| got == id) {
            break;
        }
    };
    timeout(SOON, settled(&mut one, "one")).await.expect("one hears");
    timeout(SOON, settled(&mut other, "other")).await.expect("the other hears");
    put(&broker, Address::Live(5), "both").await;
    for source in [&mut one, &mut other] {
        while next_frame(source).await != "both" {}
    }
}

async fn a_source_that_is_gone_holds_nobody_up(broker: SharedBroker) {
    let source = broker.live().await;
    let control = source.control();
    control.follow(0).await;
    drop(source);
    timeout(SOON, control.follow(1)).await.expect("following for nobody returns");
    for id in 0..50 {
        put(&broker, Address::Live(0), id).await;
    }
}

/// The one place where the two differ: what a publisher of an alert waits for (I1).
#[tokio::test]
async fn embedded_alerts_are_confirmed_when_dispatch_has_settled_them() {
    let broker = embedded_broker();
    let unsettled = broker.publish(Address::Alerts, message("alert"), A_WHILE).await;
    assert_eq!(unsettled, Err(PublishError::Unavailable(A_WHILE)), "nobody has recorded it");
    let mut consumer = broker.consume(WorkQueue::Dispatch, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message.message_id, "alert", "and yet it is there");
    delivery.settle.ack().await;

    let mut publishing = std::pin::pin!(broker.publish(Address::Alerts, message("second"), SOON));
    assert!(timeout(A_WHILE, &mut publishing).await.is_err());
    let delivery = next(&mut consumer).await;
    drop(delivery);
    let delivery = next(&mut consumer).await;
    assert!(delivery.redelivered);
    assert!(timeout(A_WHILE, &mut publishing).await.is_err(), "dropped is not settled");
    delivery.settle.ack().await;
    assert_eq!(publishing.await, Ok(()));
}

#[tokio::test]
async fn rabbitmq_alerts_are_confirmed_when_they_are_queued() {
    let broker = rabbit_broker().await;
    put(&broker, Address::Alerts, "alert").await;
    assert_eq!(broker.depth(WorkQueue::Dispatch).await, Ok(1));
}
