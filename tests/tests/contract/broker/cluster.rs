//! A cluster of three, and the queue's leader is killed, again and again. Nothing confirmed is lost, nothing waits,
//! and the broker has no consumer that nobody reads.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use watchbell::broker::rabbitmq::{BrokerAccess, RabbitBroker, RabbitConfig};
use watchbell::broker::{Address, SharedBroker, WorkQueue};
use watchbell::domain::Secret;
use watchbell_tests::cluster::RabbitCluster;
use watchbell_tests::rabbit::RabbitNode;
use watchbell_tests::scratch::Scratch;
use watchbell_tests::until::until;

use super::{SOON, message};

/// Kills in a whole proof. A short run stops after [`SHORT_MAX`].
const ROUNDS: usize = 10;
const SHORT_MAX: Duration = Duration::from_secs(60);
/// Alerts published while a leader dies and another is elected.
const MESSAGES: usize = 150;
/// Longer than a node takes to come back and a consumer to begin, with more to do.
const CALM_MAX: Duration = Duration::from_secs(120);
const PROCESSES: usize = 3;

/// A process that consumes, with a name of its own.
fn process(urls: &[String], number: usize) -> SharedBroker {
    let urls = urls.iter().map(|url| Secret::from(url.as_str())).collect();
    let config = RabbitConfig {
        access: BrokerAccess { urls, ..BrokerAccess::default() }.into(),
        declare: true,
        name: format!("process-{number}"),
        names_user: false,
    };
    RabbitBroker::connect(config, Default::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_the_queue_may_die_ten_times() {
    let dir = Scratch::new("broker-cluster").unwrap();
    let mut cluster = RabbitCluster::start(dir.path()).await.unwrap();
    let urls = cluster.urls();
    let settled: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let mut processes = Vec::new();
    for number in 0..PROCESSES {
        let broker = process(&urls, number);
        until("it is ready", CALM_MAX, async || broker.is_ready().then_some(())).await.unwrap();
        let mut consumer = broker.consume(WorkQueue::Dispatch, 64).await;
        let settled = Arc::clone(&settled);
        tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                settled.lock().unwrap().insert(delivery.message.message_id.clone());
                delivery.settle.ack().await;
            }
        });
        processes.push(broker);
    }
    let declared = Instant::now();
    let old = async || (declared.elapsed() > RabbitNode::QUEUE_SETTLES_IN).then_some(());
    until("young quorum queues have settled", SOON, old).await.unwrap();

    let whole = std::env::var("WATCHBELL_CHAOS").is_ok_and(|size| size == "full");
    let began = Instant::now();
    for round in 0..ROUNDS {
        if !whole && round > 0 && began.elapsed() > SHORT_MAX {
            break;
        }
        one_leader_dies(&mut cluster, &processes, &settled, round).await;
    }
}

async fn one_leader_dies(
    cluster: &mut RabbitCluster,
    processes: &[SharedBroker],
    settled: &Mutex<BTreeSet<String>>,
    round: usize,
) {
    let queue = WorkQueue::Dispatch.name();
    let leader = cluster.leader_of(queue, CALM_MAX).await.unwrap();
    let mut publishing = Vec::new();
    for number in 0..MESSAGES {
        let broker = Arc::clone(&processes[number % processes.len()]);
        let id = format!("{round}-{number}");
        publishing.push(tokio::spawn(async move {
            let confirmed = broker.publish(Address::Alerts, message(&id), CALM_MAX).await;
            (id, confirmed)
        }));
        if number == MESSAGES / 3 {
            cluster.node(leader).kill9();
        }
    }
    for one in publishing {
        let (id, confirmed) = one.await.unwrap();
        assert_eq!(confirmed, Ok(()), "{id}");
    }
    // With the node still down: two of three are enough, and nobody waits for the third.
    let all = async || {
        let settled = settled.lock().unwrap();
        (0..MESSAGES).all(|number| settled.contains(&format!("{round}-{number}"))).then_some(())
    };
    until(&format!("everything of round {round} is consumed"), CALM_MAX, all).await.unwrap();

    cluster.node(leader).start_again().await.unwrap();
    cluster.formed().await.unwrap();
    let said = Mutex::new(String::new());
    let adds_up = async || {
        let node = cluster.node(leader);
        let columns = ["list_queues", "name", "messages_ready", "messages_unacknowledged"];
        let queues = node.ctl(&columns).await.ok()?;
        let consumers = node.ctl(&["list_consumers", "queue_name", "consumer_tag"]).await.ok()?;
        *said.lock().unwrap() = format!("{queues}{consumers}");
        let empty = queues.lines().any(|line| line == format!("{queue}\t0\t0"));
        let tags: BTreeSet<&str> = consumers
            .lines()
            .filter_map(|line| line.strip_prefix(queue)?.strip_prefix("\tprocess-")?.split(' ').next())
            .collect();
        let lines = consumers.lines().filter(|line| line.starts_with(queue)).count();
        (empty && lines == processes.len() && tags.len() == processes.len()).then_some(())
    };
    let added_up = until("nothing waits, and each process is one consumer", CALM_MAX, adds_up).await;
    added_up.unwrap_or_else(|error| panic!("round {round}: {error:#}\n{}", said.lock().unwrap()));
}
