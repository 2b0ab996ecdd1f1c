//! Ghosts: what the broker answers too late. A proxy holds its answer back while the TCP connection lives, as a
//! cluster does whose queue elects a leader. Nothing may be left that the broker delivers to and nobody reads.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use watchbell::broker::rabbitmq::RabbitBroker;
use watchbell::broker::{Address, SharedBroker, WorkQueue};
use watchbell_tests::proxy::{CONFIRM_SELECT_OK, CONSUME_OK, Hold, Proxy};
use watchbell_tests::services;
use watchbell_tests::until::until;

use super::{SOON, connected, message, next, next_frame, put, rabbit_config};

/// Longer than a given-up call, a pause and a new connection take, on a machine with more to do.
const GIVEN_UP_MAX: Duration = Duration::from_secs(60);

/// A vhost, a broker that sees it directly, and the way through the proxy.
struct StoreFixture {
    proxy: Proxy,
    url: String,
    vhost: String,
    witness: SharedBroker,
}

impl StoreFixture {
    async fn new(name: &str) -> Self {
        let node = services::rabbit().await.unwrap();
        let url = node.fresh_vhost(name).await.unwrap();
        let vhost = url.rsplit_once('/').unwrap().1.to_owned();
        let proxy = Proxy::before(node.port()).await.unwrap();
        let through = proxy.url(&url, node.port());
        let witness = connected(&url).await;
        Self { proxy, url: through, vhost, witness }
    }

    fn broker(&self) -> SharedBroker {
        RabbitBroker::connect(rabbit_config(&self.url), Default::default())
    }

    /// The tags of all consumers that the broker has in the vhost.
    async fn consumers(&self) -> Vec<String> {
        let node = services::rabbit().await.unwrap();
        let listed = node.ctl(&["list_consumers", "--vhost", &self.vhost, "consumer_tag"]).await.unwrap();
        // The first line is the column's name.
        listed.lines().filter(|line| *line != "consumer_tag").map(str::to_owned).collect()
    }

    async fn held(&self) {
        let held = async || (self.proxy.held() > 0).then_some(());
        until("an answer is held back", SOON, held).await.unwrap();
    }

    async fn none_is_left_open(&self) {
        let closed = async || (self.proxy.holding() == 0).then_some(());
        until("what was given up is closed", GIVEN_UP_MAX, closed).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_was_given_up_keeps_nothing() {
    let fixture = StoreFixture::new("ghost-consumer").await;
    for id in 0..20 {
        put(&fixture.witness, Address::Undelivered, id).await;
    }
    fixture.proxy.hold(Hold::Connection(CONSUME_OK));
    let broker = fixture.broker();
    let mut consumer = broker.consume(WorkQueue::Undelivered, 20).await;
    fixture.held().await;
    let taken = async || (fixture.witness.depth(WorkQueue::Undelivered).await == Ok(0)).then_some(());
    until("the broker has delivered to whoever asked", SOON, taken).await.unwrap();
    // Connections from now on are well; the one that waits stays as it is until it is given up.
    fixture.proxy.hold(Hold::Connection([0; 4]));
    fixture.none_is_left_open().await;
    let mut got = Vec::new();
    for _ in 0..20 {
        let delivery = timeout(GIVEN_UP_MAX, consumer.next()).await.expect("it comes again").unwrap();
        got.push(delivery.message.message_id.clone());
        delivery.settle.ack().await;
    }
    got.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(got, (0..20).map(|id| id.to_string()).collect::<Vec<_>>());
    let tags = fixture.consumers().await;
    let [tag] = tags.as_slice() else { panic!("not one consumer: {tags:?}") };
    assert!(tag.contains("contract") && tag.contains("watchbell.undelivered"), "it says whose it is: {tag}");
}

#[tokio::test]
async fn an_election_is_waited_for_and_shutting_down_is_not_held_up_by_it() {
    let fixture = StoreFixture::new("ghost-patience").await;
    put(&fixture.witness, Address::Undelivered, "after the election").await;
    fixture.proxy.hold(Hold::Channel(CONSUME_OK));
    let broker = fixture.broker();
    let mut consumer = broker.consume(WorkQueue::Undelivered, 20).await;
    fixture.held().await;
    // Longer than any other call may take, and then the answer comes.
    let began = Instant::now();
    let long = async || (began.elapsed() > Duration::from_secs(8)).then_some(());
    until("longer than a call may take", SOON, long).await.unwrap();
    fixture.proxy.hold(Hold::Nothing);
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message.message_id, "after the election");
    assert!(!delivery.redelivered, "the first to ask got it");
    delivery.settle.ack().await;
    assert_eq!(fixture.proxy.held(), 1, "it asked once");
    consumer.close().await;

    fixture.proxy.hold(Hold::Channel(CONSUME_OK));
    let consumer = broker.consume(WorkQueue::Undelivered, 20).await;
    let held = async || (fixture.proxy.held() == 2).then_some(());
    until("an answer is held back again", SOON, held).await.unwrap();
    timeout(SOON, consumer.close()).await.expect("it closes although the broker has not answered");
    fixture.none_is_left_open().await;
    let gone = async || fixture.consumers().await.is_empty().then_some(());
    until("the broker has no consumer", SOON, gone).await.unwrap();
}

#[tokio::test]
async fn a_publisher_that_was_given_up_leaves_no_connection() {
    let fixture = StoreFixture::new("ghost-publisher").await;
    fixture.proxy.hold(Hold::Connection(CONFIRM_SELECT_OK));
    let broker = fixture.broker();
    fixture.held().await;
    fixture.proxy.hold(Hold::Connection([0; 4]));
    fixture.none_is_left_open().await;
    broker.publish(Address::Alerts, message("goes out"), GIVEN_UP_MAX).await.unwrap();
    assert_eq!(fixture.proxy.open(), 1, "one connection publishes");
    drop(broker);
    let closed = async || (fixture.proxy.open() == 0).then_some(());
    until("nothing is left when nobody publishes any more", SOON, closed).await.unwrap();
}

#[tokio::test]
async fn a_live_source_that_was_given_up_leaves_no_connection() {
    let fixture = StoreFixture::new("ghost-live").await;
    fixture.proxy.hold(Hold::Connection(CONSUME_OK));
    let broker = fixture.broker();
    let mut source = broker.live().await;
    fixture.held().await;
    fixture.proxy.hold(Hold::Connection([0; 4]));
    fixture.none_is_left_open().await;
    source.control().follow(3).await;
    let heard = async {
        // A frame may go by before the source follows again: then another is sent.
        loop {
            put(&fixture.witness, Address::Live(3), "heard").await;
            if timeout(super::A_WHILE, next_frame(&mut source)).await.is_ok() {
                break;
            }
        }
    };
    timeout(GIVEN_UP_MAX, heard).await.expect("it hears on a new connection");
    drop(source);
    drop(broker);
    let closed = async || (fixture.proxy.open() == 0).then_some(());
    until("nothing is left when nobody listens any more", SOON, closed).await.unwrap();
}
