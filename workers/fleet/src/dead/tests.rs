//! What is done about letters, on the embedded broker. Over RabbitMQ and by the command: `tests/tests/fleet/dead.rs`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use watchbell::{
    broker::{Broker as _, Message, embedded::EmbeddedBroker},
    wire::refused,
};

use super::*;

fn letter(id: &str, body: impl Into<String>) -> Message {
    let mut message = Message::json(id.to_owned(), body.into());
    message.headers.insert(refused::FROM.into(), WorkQueue::Undelivered.name().into());
    message.headers.insert(refused::REASON.into(), "cannot be read".into());
    message
}

async fn with(letters: impl IntoIterator<Item = Message>) -> SharedBroker {
    let broker = EmbeddedBroker::open(None).unwrap();
    for message in letters {
        broker.publish(Address::Dead, message, CONFIRM_MAX).await.unwrap();
    }
    broker as Arc<_>
}

async fn with_letters(count: usize) -> SharedBroker {
    with((0..count).map(|n| letter(&format!("m-{n}"), format!("{{\"n\":{n}}}")))).await
}

async fn ids(broker: &SharedBroker) -> Vec<String> {
    look(broker, LOOK_MAX).await.unwrap().letters.into_iter().map(|letter| letter.id).collect()
}

fn request(action: Action, ids: Option<&[&str]>) -> Request {
    Request { action, ids: ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()) }
}

#[tokio::test]
async fn looking_changes_nothing() {
    let broker = with_letters(3).await;
    for _ in 0..3 {
        let Listed { total, letters, more } = look(&broker, 2).await.unwrap();
        assert_eq!((letters.len(), total, more), (2, 3, true));
        assert_eq!((letters[0].id.as_str(), letters[0].reason.as_str()), ("m-0", "cannot be read"));
        assert_eq!((letters[0].from.as_str(), letters[0].bytes), ("watchbell.undelivered", 7));
        assert_eq!(letters[0].body, None, "a list tells no content");
        assert_eq!(ids(&broker).await, ["m-0", "m-1", "m-2"]);
        assert_eq!(show(&broker, "m-1").await.unwrap().letters[0].body.as_deref(), Some("{\"n\":1}"));
    }
}

#[tokio::test]
async fn a_list_ends_with_the_letter_that_reaches_its_bytes() {
    let long = |n: usize| {
        let mut message = letter("twin", "x".repeat(500_000));
        message.headers.insert("n".into(), format!("{n}{}", "y".repeat(90_000)));
        message
    };
    let broker = with((0..16).map(long)).await;
    for (why, listed, expected) in [
        ("headers", look(&broker, LOOK_MAX).await.unwrap(), 12),
        ("bodies", show(&broker, "twin").await.unwrap(), 2),
    ] {
        assert_eq!((listed.letters.len(), listed.total, listed.more), (expected, 16, true), "{why}");
    }
    let few = with((0..2).map(|n| letter(&format!("m-{n}"), "{}"))).await;
    assert!(!look(&few, LOOK_MAX).await.unwrap().more && !show(&few, "m-1").await.unwrap().more);
}

#[tokio::test]
async fn a_replayed_letter_goes_home_without_its_history_and_others_stay() {
    let broker = with_letters(3).await;
    let request = request(Action::Replay, Some(&["m-1", "nobody"]));
    let done = act(&broker, &request, |_, _| {}).await.unwrap();
    assert_eq!(done, Done { acted: 1, missing: vec!["nobody".to_owned()], ..Done::default() });
    let mut work = broker.consume(WorkQueue::Undelivered, 1).await;
    let replayed = work.next().await.unwrap().message;
    assert_eq!((replayed.message_id.as_str(), &replayed.body[..]), ("m-1", &b"{\"n\":1}"[..]));
    assert!(replayed.headers.keys().all(|name| !name.starts_with(refused::PREFIX)), "{:?}", replayed.headers);
    assert_eq!(ids(&broker).await, ["m-0", "m-2"]);
}

#[tokio::test]
async fn all_are_dropped_and_counted() {
    let broker = with_letters(5).await;
    let mut told = Vec::new();
    let done =
        act(&broker, &request(Action::Drop, None), |looked, of| told.push((looked, of))).await.unwrap();
    assert_eq!(done.acted, 5);
    assert_eq!(told, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    assert_eq!(count(&broker).await.unwrap(), 0);
    assert_eq!(broker.depth(WorkQueue::Undelivered).await.unwrap(), 0, "and went nowhere");
}

#[tokio::test]
async fn one_that_cannot_be_replayed_is_named_and_keeps_no_other() {
    let nowhere = Message::json("nowhere".into(), "{}");
    let mut stub = letter("stub", "{");
    stub.headers.insert(refused::SIZE.into(), "16777216".into());
    let twins = ["twin", "twin", ""].map(|id| letter(id, "{}"));
    let broker = with([stub, nowhere].into_iter().chain(twins)).await;
    let done = act(&broker, &request(Action::Replay, None), |_, _| {}).await.unwrap();
    assert_eq!((done.acted, done.skipped, done.failed), (3, 2, None), "each once, of whatever name");
    let named: Vec<_> = done.named.iter().map(|skipped| skipped.letter.as_str()).collect();
    assert_eq!(named, ["stub", "nowhere"]);
    assert_eq!(broker.depth(WorkQueue::Undelivered).await.unwrap(), 3);
    assert_eq!(ids(&broker).await, ["stub", "nowhere"], "they stay");
}

#[tokio::test]
async fn one_without_an_id_is_dropped_by_its_mark_and_twins_together() {
    let broker = with([letter("", "a"), letter("", "b"), letter("twin", "c"), letter("twin", "d")]).await;
    let mark = look(&broker, 1).await.unwrap().letters[0].name().to_owned();
    let done = act(&broker, &request(Action::Drop, Some(&[mark.as_str(), "twin"])), |_, _| {}).await.unwrap();
    assert_eq!(done.acted, 3);
    assert!(show(&broker, "").await.unwrap().letters.is_empty(), "nothing is no name");
    let left = look(&broker, 1).await.unwrap().letters[0].name().to_owned();
    assert_eq!(show(&broker, &left).await.unwrap().letters[0].body.as_deref(), Some("b"));
}

#[tokio::test]
async fn more_than_are_on_their_way_at_once_are_all_replayed_once() {
    let many = REPLAYS_MAX * 3 + 1;
    let broker = with_letters(many).await;
    let done = act(&broker, &request(Action::Replay, None), |_, _| {}).await.unwrap();
    assert_eq!(done.acted, many as u64);
    assert_eq!(broker.depth(WorkQueue::Undelivered).await.unwrap(), many as u64);
    assert_eq!(count(&broker).await.unwrap(), 0);
}
