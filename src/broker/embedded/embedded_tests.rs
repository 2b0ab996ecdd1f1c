//! What only the embedded broker does: its files, its bounds. The contract itself is tested in `tests/contract`.

#![allow(clippy::unwrap_used)]

use std::{env, fs, process};

use super::*;
use crate::broker::Delivery;

const SOON: Duration = Duration::from_secs(5);

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("watchbell-embedded-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn broker(&self) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::open(Some(self.0.clone())).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn next(broker: &EmbeddedBroker, queue: WorkQueue) -> Delivery {
    broker.consume(queue, 1).await.next().await.unwrap()
}

#[tokio::test]
async fn what_is_parked_outlives_the_process_until_it_is_settled() {
    let dir = Dir::new("parked");
    let broker = dir.broker();
    let mut first = Message::json("first".into(), "{\"a\":1}");
    first.headers.insert("reason".into(), "too odd".into());
    let mut second = Message::json("second".into(), vec![0xff, 0x00, 0x7f]);
    second.content_type = "application/octet-stream".into();
    for message in [&first, &second] {
        broker.publish(Address::Rejected, message.clone(), SOON).await.unwrap();
    }
    drop(broker);

    let broker = dir.broker();
    assert_eq!(broker.depth(WorkQueue::Rejected).await, Ok(2));
    let delivery = next(&broker, WorkQueue::Rejected).await;
    assert_eq!(delivery.message.headers["reason"], "too odd");
    assert_eq!(delivery.message.body, first.body);
    delivery.settle.ack().await;
    drop(broker);

    let broker = dir.broker();
    let delivery = next(&broker, WorkQueue::Rejected).await;
    assert_eq!(delivery.message.message_id, "second", "the settled one is gone");
    assert_eq!((delivery.message.content_type, delivery.message.body), (second.content_type, second.body));
    assert_eq!(broker.depth(WorkQueue::Rejected).await, Ok(0));
}

#[tokio::test]
async fn a_line_cut_short_by_a_crash_is_dropped_and_a_spoilt_one_is_named() {
    let dir = Dir::new("torn");
    let broker = dir.broker();
    broker.publish(Address::Dead, Message::json("whole".into(), "{}"), SOON).await.unwrap();
    drop(broker);
    let path = dir.0.join("dead.ndjson");
    let whole = fs::read_to_string(&path).unwrap();

    fs::write(&path, format!("{whole}{{\"number\":1,\"mess")).unwrap();
    let broker = dir.broker();
    broker.publish(Address::Dead, Message::json("later".into(), "{}"), SOON).await.unwrap();
    drop(broker);
    assert_eq!(dir.broker().depth(WorkQueue::Dead).await, Ok(2));

    fs::write(&path, format!("{whole}spoilt\n")).unwrap();
    let error = EmbeddedBroker::open(Some(dir.0.clone())).unwrap_err();
    assert!(format!("{error:#}").contains("line 2"), "{error:#}");
}

#[tokio::test]
async fn a_full_queue_makes_publishers_wait_within_their_deadline() {
    let broker = EmbeddedBroker::open(None).unwrap();
    let put = |n: usize, deadline| {
        let broker = Arc::clone(&broker);
        async move { broker.publish(Address::Undelivered, Message::json(n.to_string(), "{}"), deadline).await }
    };
    for n in 0..QUEUE_MESSAGES_MAX {
        put(n, SOON).await.unwrap();
    }
    let brief = Duration::from_millis(20);
    assert_eq!(put(0, brief).await, Err(PublishError::Unavailable(brief)));
    let waiting = tokio::spawn(put(1, SOON));
    next(&broker, WorkQueue::Undelivered).await.settle.ack().await;
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn several_that_come_back_keep_their_order() {
    let broker = EmbeddedBroker::open(None).unwrap();
    for id in ["a", "b", "c"] {
        broker.publish(Address::Undelivered, Message::json(id.into(), "{}"), SOON).await.unwrap();
    }
    let mut consumer = broker.consume(WorkQueue::Undelivered, 3).await;
    let (a, b) = (consumer.next().await.unwrap(), consumer.next().await.unwrap());
    drop(a);
    drop(b);
    for (id, redelivered) in [("a", true), ("b", true), ("c", false)] {
        let delivery = consumer.next().await.unwrap();
        assert_eq!((delivery.message.message_id.as_str(), delivery.redelivered), (id, redelivered));
        delivery.settle.ack().await;
    }
}
