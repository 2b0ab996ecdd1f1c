//! What a RabbitMQ can do to us: restart, die, hang, fill its disk, lose a queue. Nothing that was confirmed is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use watchbell::broker::rabbitmq::{RabbitBroker, apply_topology, check_topology};
use watchbell::broker::topology::live_exchange;
use watchbell::broker::{Address, LiveEvent, LiveSource, PublishError, SharedBroker, WorkQueue};
use watchbell_tests::rabbit::RabbitNode;
use watchbell_tests::scratch::Scratch;
use watchbell_tests::services;
use watchbell_tests::until::until;

use super::{A_WHILE, SOON, connected, message, next, next_frame, put, rabbit_config};

/// Longer than a node takes to come back, on a machine with more to do.
const OUTAGE_MAX: Duration = Duration::from_secs(120);
/// How many messages are published through an outage, and how often: longer than it takes.
const MESSAGES: u32 = 500;
const PUBLISH_EVERY: Duration = Duration::from_millis(30);

/// Everything the queue delivers, settled, counted by id.
#[derive(Default, Clone)]
struct Tally(Arc<Mutex<BTreeMap<String, u32>>>);

impl Tally {
    async fn of(broker: &SharedBroker, queue: WorkQueue) -> Self {
        let tally = Self::default();
        let mut consumer = broker.consume(queue, 50).await;
        let counts = Arc::clone(&tally.0);
        tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                *counts.lock().unwrap().entry(delivery.message.message_id.clone()).or_default() += 1;
                delivery.settle.ack().await;
            }
        });
        tally
    }

    fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap().contains_key(id)
    }
}

/// Publishes steadily, many at a time, whatever the broker does; gives the ids that were confirmed.
fn publish_through(broker: &SharedBroker) -> JoinHandle<Vec<String>> {
    let broker = Arc::clone(broker);
    tokio::spawn(async move {
        let mut every = interval(PUBLISH_EVERY);
        let mut publishing = Vec::new();
        for id in 0..MESSAGES {
            every.tick().await;
            let broker = Arc::clone(&broker);
            publishing.push(tokio::spawn(async move {
                let published = broker.publish(Address::Alerts, message(id), OUTAGE_MAX).await;
                published.is_ok().then(|| id.to_string())
            }));
        }
        let mut confirmed = Vec::new();
        for one in publishing {
            confirmed.extend(one.await.unwrap());
        }
        confirmed
    })
}

async fn until_gap(source: &mut Box<dyn LiveSource>) {
    let gap = async { while !matches!(source.next().await, Some(LiveEvent::Gap)) {} };
    timeout(OUTAGE_MAX, gap).await.expect("the source tells of a gap");
}

/// Whether live frames come, now or soon.
async fn until_live(broker: &SharedBroker, source: &mut Box<dyn LiveSource>, partition: u16) {
    let heard = async {
        for round in 0.. {
            let id = format!("live-{round}");
            // It may be refused while the broker recovers.
            let _ = broker.publish(Address::Live(partition), message(&id), A_WHILE).await;
            let came = async { while next_frame(source).await != id {} };
            if timeout(A_WHILE, came).await.is_ok() {
                return;
            }
        }
    };
    timeout(OUTAGE_MAX, heard).await.expect("live frames come again");
}

async fn young_queues_settle(declared: Instant) {
    let settled = async || (declared.elapsed() > RabbitNode::QUEUE_SETTLES_IN).then_some(());
    until("young quorum queues have settled", RabbitNode::QUEUE_SETTLES_IN * 3, settled).await.unwrap();
}

/// Publishes and consumes while `fault` happens, and accounts for every message afterwards.
async fn nothing_is_lost_through(fault: impl AsyncFnOnce(&mut RabbitNode)) {
    let dir = Scratch::new("broker-outage").unwrap();
    let mut node = RabbitNode::start(dir.path()).await.unwrap();
    let broker = connected(&node.url()).await;
    let declared = Instant::now();
    let mut source = broker.live().await;
    source.control().follow(7).await;
    until_live(&broker, &mut source, 7).await;
    let tally = Tally::of(&broker, WorkQueue::Dispatch).await;
    young_queues_settle(declared).await;

    let publishing = publish_through(&broker);
    until("the first are consumed", SOON, async || tally.has("10").then_some(())).await.unwrap();
    fault(&mut node).await;

    let confirmed = publishing.await.unwrap();
    assert_eq!(confirmed.len() as u32, MESSAGES, "the deadline is longer than the outage");
    let all = async || confirmed.iter().all(|id| tally.has(id)).then_some(());
    until("every confirmed message is consumed", OUTAGE_MAX, all).await.unwrap();
    until_gap(&mut source).await;
    until_live(&broker, &mut source, 7).await;
    until("it is ready again", SOON, async || broker.is_ready().then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_the_broker_restarts() {
    nothing_is_lost_through(async |node| {
        node.stop().await.unwrap();
        node.start_again().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_the_broker_is_killed() {
    nothing_is_lost_through(async |node| {
        node.kill9();
        node.start_again().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_costs_publishers_their_deadline_and_the_source_a_gap() {
    let dir = Scratch::new("broker-hangs").unwrap();
    let node = RabbitNode::start(dir.path()).await.unwrap();
    let broker = connected(&node.url()).await;
    let mut source = broker.live().await;
    source.control().follow(7).await;
    until_live(&broker, &mut source, 7).await;
    put(&broker, Address::Alerts, "before").await;

    node.pause();
    let began = Instant::now();
    for deadline in [Duration::from_secs(1), Duration::from_secs(7)] {
        let to_nobody = broker.publish(Address::Alerts, message("while it hangs"), deadline).await;
        assert_eq!(to_nobody, Err(PublishError::Unavailable(deadline)));
    }
    assert!(broker.depth(WorkQueue::Dispatch).await.is_err());
    assert!(began.elapsed() < OUTAGE_MAX, "deadlines hold");
    assert!(!broker.is_ready(), "a confirm that does not come ends the connection");
    node.resume();

    until_gap(&mut source).await;
    until_live(&broker, &mut source, 7).await;
    broker.publish(Address::Alerts, message("after"), OUTAGE_MAX).await.unwrap();
    let tally = Tally::of(&broker, WorkQueue::Dispatch).await;
    let both = async || (tally.has("before") && tally.has("after")).then_some(());
    until("what was confirmed is consumed", OUTAGE_MAX, both).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_holds_publishers_and_nobody_else() {
    let dir = Scratch::new("broker-alarm").unwrap();
    let node = RabbitNode::start(dir.path()).await.unwrap();
    let broker = connected(&node.url()).await;
    let mut source = broker.live().await;
    source.control().follow(7).await;
    until_live(&broker, &mut source, 7).await;
    for id in 0..3 {
        put(&broker, Address::Alerts, id).await;
    }

    node.ctl(&["set_disk_free_limit", "100000GB"]).await.unwrap();
    let brief = Duration::from_secs(2);
    let refused = async || broker.publish(Address::Alerts, message("held"), brief).await.err();
    let refused = until("publishes are held", SOON, refused).await.unwrap();
    assert_eq!(refused, PublishError::Unavailable(brief));
    assert!(!broker.is_ready());
    let tally = Tally::of(&broker, WorkQueue::Dispatch).await;
    until("consuming goes on", SOON, async || tally.has("2").then_some(())).await.unwrap();
    // Following does not publish, so it is not held either.
    timeout(SOON, source.control().follow(8)).await.expect("following goes on");

    // Held for longer than a confirm may take otherwise: it goes out when the alarm ends, without a reconnect.
    let publisher = Arc::clone(&broker);
    let held =
        tokio::spawn(async move { publisher.publish(Address::Alerts, message("late"), OUTAGE_MAX).await });
    let long = Instant::now();
    let passed = async || (long.elapsed() > Duration::from_secs(7)).then_some(());
    until("longer than a confirm may take", SOON, passed).await.unwrap();
    node.ctl(&["set_disk_free_limit", "50MB"]).await.unwrap();
    assert_eq!(timeout(OUTAGE_MAX, held).await.unwrap().unwrap(), Ok(()));
    until("it is ready again", SOON, async || broker.is_ready().then_some(())).await.unwrap();
    until_live(&broker, &mut source, 8).await;
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let dir = Scratch::new("broker-late").unwrap();
    let mut node = RabbitNode::start(dir.path()).await.unwrap();
    node.stop().await.unwrap();
    let broker: SharedBroker = RabbitBroker::connect(rabbit_config(&node.url()), Default::default());
    assert!(!broker.is_ready());
    assert!(broker.depth(WorkQueue::Dead).await.is_err());
    let refused = broker.publish(Address::Alerts, message("early"), A_WHILE).await;
    assert_eq!(refused, Err(PublishError::Unavailable(A_WHILE)));
    let mut consumer = broker.consume(WorkQueue::Dispatch, 1).await;
    let mut source = broker.live().await;
    source.control().follow(1).await;
    let publisher = Arc::clone(&broker);
    let waiting =
        tokio::spawn(async move { publisher.publish(Address::Alerts, message("waits"), OUTAGE_MAX).await });

    node.start_again().await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(()));
    let delivery = timeout(OUTAGE_MAX, consumer.next()).await.unwrap().unwrap();
    assert_eq!(delivery.message.message_id, "waits", "one whose publisher has given up is not published");
    until_gap(&mut source).await;
    until_live(&broker, &mut source, 1).await;
}

#[tokio::test]
async fn a_queue_that_an_operator_deleted_is_reported_and_what_is_beside_it_works() {
    let node = services::rabbit().await.unwrap();
    let url = node.fresh_vhost("deleted").await.unwrap();
    let vhost = url.rsplit_once('/').unwrap().1;
    let config = rabbit_config(&url);
    apply_topology(&config).await.unwrap();
    apply_topology(&config).await.unwrap();
    check_topology(&config).await.unwrap();
    let broker = connected(&url).await;
    for queue in [WorkQueue::Dispatch, WorkQueue::Rejected] {
        node.ctl(&["delete_queue", "--vhost", vhost, queue.name()]).await.unwrap();
    }
    for address in [Address::Alerts, Address::Rejected] {
        let lost = broker.publish(address, message("lost"), SOON).await;
        assert_eq!(lost, Err(PublishError::Unroutable), "{address:?}");
    }
    assert!(broker.depth(WorkQueue::Rejected).await.is_err());
    put(&broker, Address::Undelivered, "beside").await;
    assert_eq!(broker.depth(WorkQueue::Undelivered).await, Ok(1));
    let told = check_topology(&config).await.unwrap_err().to_string();
    assert!(told.contains("watchbell.dispatch") && told.contains("watchbell.rejected"), "{told}");

    // A consumer that waited for the queue finds it when it is back.
    let mut consumer = broker.consume(WorkQueue::Dispatch, 1).await;
    apply_topology(&config).await.unwrap();
    put(&broker, Address::Alerts, "found").await;
    assert_eq!(next(&mut consumer).await.message.message_id, "found");
}

#[tokio::test]
async fn a_missing_exchange_is_reported_and_what_is_beside_it_works() {
    let node = services::rabbit().await.unwrap();
    let url = node.fresh_vhost("no-exchange").await.unwrap();
    let vhost = url.rsplit_once('/').unwrap().1;
    let broker = connected(&url).await;
    let exchange = live_exchange(3);
    let delete = format!(
        r#"ok = rabbit_exchange:delete(rabbit_misc:r(<<"{vhost}">>, exchange, <<"{exchange}">>), false, <<"tests">>)."#
    );
    node.ctl(&["eval", &delete]).await.unwrap();
    let (missing, there) = tokio::join!(
        broker.publish(Address::Live(3), message("missing"), SOON),
        broker.publish(Address::Live(4), message("there"), SOON)
    );
    assert_eq!(missing, Err(PublishError::Unroutable));
    assert_eq!(there, Ok(()));
    assert!(check_topology(&rabbit_config(&url)).await.unwrap_err().to_string().contains(&exchange));
}

/// The zombie: everything is connected, and the queue is no more, or no longer bound.
#[tokio::test]
async fn a_source_without_its_queue_or_binding_finds_out_by_the_pulse() {
    let node = services::rabbit().await.unwrap();
    let url = node.fresh_vhost("deaf").await.unwrap();
    let vhost = url.rsplit_once('/').unwrap().1;
    let broker = connected(&url).await;
    let mut source = broker.live().await;
    source.control().follow(9).await;
    until_live(&broker, &mut source, 9).await;

    let unbind = format!(
        r#"X = rabbit_misc:r(<<"{vhost}">>, exchange, <<"{}">>),
        [ok = rabbit_binding:remove(B, <<"tests">>) || B <- rabbit_binding:list_for_source(X)]."#,
        live_exchange(9)
    );
    node.ctl(&["eval", &unbind]).await.unwrap();
    until_gap(&mut source).await;
    until_live(&broker, &mut source, 9).await;
}

#[tokio::test]
async fn at_shutdown_consuming_stops_and_what_was_begun_is_settled() {
    let node = services::rabbit().await.unwrap();
    let url = node.fresh_vhost("shutdown").await.unwrap();
    let witness = connected(&url).await;
    let shutdown = Default::default();
    let broker: SharedBroker = RabbitBroker::connect(rabbit_config(&url), Clone::clone(&shutdown));
    for id in 0..5 {
        put(&broker, Address::Undelivered, id).await;
    }
    let mut consumer = broker.consume(WorkQueue::Undelivered, 5).await;
    let begun = next(&mut consumer).await;
    shutdown.cancel();
    assert!(timeout(SOON, consumer.next()).await.expect("it ends at once").is_none());
    let is = async |expected| {
        let asked = async || (witness.depth(WorkQueue::Undelivered).await == Ok(expected)).then_some(());
        until(&format!("{expected} wait"), SOON, asked).await.unwrap();
    };
    is(4).await;
    put(&broker, Address::Rejected, "work that was begun may publish").await;
    begun.settle.ack().await;
    drop(consumer);
    drop(broker);
    let mut others = witness.consume(WorkQueue::Undelivered, 5).await;
    for _ in 0..4 {
        next(&mut others).await.settle.ack().await;
    }
    assert!(timeout(A_WHILE, others.next()).await.is_err(), "what was acknowledged is gone");
}
