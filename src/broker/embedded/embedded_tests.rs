//! What only the embedded broker does: its files, its bounds. The contract itself is tested in `tests/contract`.

#![allow(clippy::unwrap_used)]

use std::fs;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::broker::Delivery;

const SOON: Duration = Duration::from_secs(5);

fn broker_in(dir: &TempDir) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::open(Some(dir.path().to_owned())).unwrap()
}

async fn next(broker: &EmbeddedBroker, queue: WorkQueue) -> Delivery {
    broker.consume(queue, 1).await.next().await.unwrap()
}

#[tokio::test]
async fn what_is_parked_outlives_the_process_until_it_is_settled() {
    let dir = TempDir::new().unwrap();
    let broker = broker_in(&dir);
    let mut first = Message::json("first".into(), "{\"a\":1}");
    first.headers.insert("reason".into(), "too odd".into());
    let mut second = Message::json("second".into(), vec![0xff, 0x00, 0x7f]);
    second.content_type = "application/octet-stream".into();
    for message in [&first, &second] {
        broker.publish(Address::Rejected, message.clone(), SOON).await.unwrap();
    }
    drop(broker);

    let broker = broker_in(&dir);
    assert_eq!(broker.depth(WorkQueue::Rejected).await, Ok(2));
    let delivery = next(&broker, WorkQueue::Rejected).await;
    assert_eq!(delivery.message.headers["reason"], "too odd");
    assert_eq!(delivery.message.body, first.body);
    delivery.settle.ack().await;
    drop(broker);

    let broker = broker_in(&dir);
    let delivery = next(&broker, WorkQueue::Rejected).await;
    assert_eq!(delivery.message.message_id, "second", "the settled one is gone");
    assert_eq!((delivery.message.content_type, delivery.message.body), (second.content_type, second.body));
    assert_eq!(broker.depth(WorkQueue::Rejected).await, Ok(0));
}

#[tokio::test]
async fn what_is_parked_goes_when_it_is_too_old_from_memory_and_from_the_file() {
    let (dir, kept) = (TempDir::new().unwrap(), Duration::from_secs(3_600));
    let clock = Clock::at(jiff::Timestamp::UNIX_EPOCH + kept * 10);
    let open = || EmbeddedBroker::open_at(Some(dir.path().to_owned()), clock.clone()).unwrap();
    // A line of a version that did not say when: it counts from when it was first read.
    let line =
        r#"{"number": 7, "message_id": "early", "content_type": "text/plain", "headers": {}, "body": "b"}"#;
    let path = dir.path().join("dead.ndjson");
    fs::write(&path, format!("{line}\n")).unwrap();
    let broker = open();
    broker.publish(Address::Dead, Message::json("settled".into(), "{}"), SOON).await.unwrap();
    broker.publish(Address::Dead, Message::json("old".into(), "{}"), SOON).await.unwrap();
    let mut browser = broker.browse(WorkQueue::Dead).await.unwrap();
    drop(browser.take().await.unwrap());
    browser.take().await.unwrap().unwrap().settle.ack().await;
    browser.close().await;
    clock.advance(kept / 2);
    broker.publish(Address::Dead, Message::json("young".into(), "{}"), SOON).await.unwrap();
    broker.drop_parked(kept).await;
    assert_eq!(broker.depth(WorkQueue::Dead).await, Ok(3), "nothing is too old yet");
    drop(broker);

    let broker = open();
    clock.advance(kept / 2 + Duration::from_secs(1));
    let held = next(&broker, WorkQueue::Dead).await;
    assert_eq!(held.message.message_id, "early");
    broker.drop_parked(kept).await;
    assert_eq!(broker.depth(WorkQueue::Dead).await, Ok(1), "one is in somebody's hands, and one is young");
    drop(held);
    let text = fs::read_to_string(&path).unwrap();
    let named = ["early", "settled", "old", "young"].map(|id| text.contains(id));
    assert_eq!(named, [true, false, false, true], "{text}");
    broker.drop_parked(kept).await;
    broker.publish(Address::Dead, Message::json("later".into(), "{}"), SOON).await.unwrap();
    drop(broker);

    let broker = open();
    for id in ["young", "later"] {
        let delivery = next(&broker, WorkQueue::Dead).await;
        assert_eq!(delivery.message.message_id, id);
        delivery.settle.ack().await;
    }
    assert_eq!(broker.depth(WorkQueue::Dead).await, Ok(0));
}

#[tokio::test]
async fn what_is_parked_has_a_bound_in_bytes() {
    let broker = EmbeddedBroker::open(None).unwrap();
    let body = Bytes::from(vec![b' '; BODY_BYTES_MAX]);
    let park =
        |deadline| broker.publish(Address::Rejected, Message::json("long".into(), body.clone()), deadline);
    for _ in 0..queue::PARKED_BYTES_MAX / BODY_BYTES_MAX {
        if park(SOON).await.is_err() {
            break;
        }
    }
    let brief = Duration::from_millis(20);
    assert_eq!(park(brief).await, Err(PublishError::Unavailable(brief)), "there is no room");
    next(&broker, WorkQueue::Rejected).await.settle.ack().await;
    assert_eq!(park(SOON).await, Ok(()), "and there is when somebody has looked");
}

#[tokio::test]
async fn a_line_cut_short_by_a_crash_is_dropped_and_one_that_only_lacks_its_end_is_read() {
    let dir = TempDir::new().unwrap();
    let broker = broker_in(&dir);
    broker.publish(Address::Dead, Message::json("whole".into(), "{}"), SOON).await.unwrap();
    drop(broker);
    let path = dir.path().join("dead.ndjson");
    let whole = fs::read_to_string(&path).unwrap();

    fs::write(&path, format!("{whole}{{\"number\":1,\"mess")).unwrap();
    let broker = broker_in(&dir);
    broker.publish(Address::Dead, Message::json("later".into(), "{}"), SOON).await.unwrap();
    drop(broker);
    assert_eq!(broker_in(&dir).depth(WorkQueue::Dead).await, Ok(2));

    // Many editors end a file without a line's end.
    fs::write(&path, whole.trim_end()).unwrap();
    assert_eq!(broker_in(&dir).depth(WorkQueue::Dead).await, Ok(1));
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

/// A line that cannot be read used to keep the process from starting, and the last number of all made it panic.
#[tokio::test]
async fn a_line_that_cannot_be_read_is_kept_aside_and_the_rest_is_read() {
    let line = |number: &str, id: &str| {
        format!(
            r#"{{"number": {number}, "message_id": "{id}", "content_type": "text/plain", "headers": {{}}, "body": "b"}}"#
        )
    };
    for (why, bad, kept) in [
        ("no JSON", "<<<<<<< HEAD".to_owned(), true),
        ("a field is missing", r#"{"number": 1}"#.to_owned(), true),
        ("no number", line("-1", "x"), true),
        ("a number that is too large", line("18446744073709551616", "x"), true),
        ("a body that is no hex", line("1", "x").replace(r#""body": "b""#, r#""body_hex": "zz""#), true),
        ("half a byte", line("1", "x").replace(r#""body": "b""#, r#""body_hex": "abc""#), true),
        ("the last number of all", line("18446744073709551615", "x"), false),
        ("a number twice", line("1", "x"), false),
    ] {
        let dir = TempDir::new().unwrap();
        let text = format!("{}\n{bad}\n{}\n", line("1", "first"), line("2", "last"));
        fs::write(dir.path().join("dead.ndjson"), text).unwrap();
        let broker = broker_in(&dir);
        assert_eq!(broker.depth(WorkQueue::Dead).await, Ok(if kept { 2 } else { 3 }), "{why}");
        let beside = fs::read_to_string(dir.path().join("dead.ndjson.unreadable")).unwrap_or_default();
        assert_eq!(beside, if kept { format!("{bad}\n") } else { String::new() }, "{why}");
        broker.publish(Address::Dead, Message::json("more".into(), "{}"), SOON).await.unwrap();
        drop(broker);

        let broker = broker_in(&dir);
        assert_eq!(broker.depth(WorkQueue::Dead).await, Ok(if kept { 3 } else { 4 }), "{why}: read again");
        let again = fs::read_to_string(dir.path().join("dead.ndjson.unreadable")).unwrap_or_default();
        assert_eq!(again, beside, "{why}: kept once");
    }
}
