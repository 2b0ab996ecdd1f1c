//! Messages that RabbitMQ takes and that a parser of UTF-8 refuses: written byte by byte, delivered by a real
//! broker. Each is handed on with a mark, and its neighbours never notice.

use std::collections::BTreeMap;

use watchbell::broker::{Address, Unreadable, WorkQueue};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, long, place, table, value},
    services,
};

use super::{SOON, connected, message, next};

/// Good alerts around the broken ones.
const GOOD: usize = 400;

/// What Python's surrogateescape and surrogatepass make of half a character.
const HALF: &[u8] = b"x\xed\xa0\x80y";

/// Why, routing key, properties, and what the mark says.
type Broken = (&'static str, &'static [u8], Properties, String);

fn broken() -> Vec<Broken> {
    let texts = [
        ("content_type", place::CONTENT_TYPE),
        ("content_encoding", place::CONTENT_ENCODING),
        ("correlation_id", place::CORRELATION_ID),
        ("reply_to", place::REPLY_TO),
        ("message_id", place::MESSAGE_ID),
        ("type", place::TYPE),
        ("app_id", place::APP_ID),
    ];
    let persistent = || Properties::default().with(place::DELIVERY_MODE, vec![2]);
    let of_text = |(name, place)| {
        let properties = persistent().text(place, HALF);
        (name, &b""[..], properties, format!("{name} is not UTF-8"))
    };
    let of_headers = |why, entry: (&[u8], Vec<u8>), reason: &str| {
        (why, &b""[..], persistent().with(place::HEADERS, table(&[entry])), reason.to_owned())
    };
    let nothing = || value(b'V', b"");
    let in_array = value(b'A', &long(&value(b'F', &table(&[(b"\xff", nothing())]))));
    // A parser that calls itself once a level ends its stack, and its process, at this.
    let deep = (0..4_000).fold(nothing(), |inner, _| value(b'F', &table(&[(b"n", inner)])));
    let mut broken: Vec<Broken> = texts.into_iter().map(of_text).collect();
    broken.extend([
        ("the routing key", HALF, persistent(), "the routing key is not UTF-8".to_owned()),
        of_headers("a header's name", (HALF, nothing()), "a header's name is not UTF-8"),
        of_headers("a name in a table in an array", (b"a", in_array), "a header's name is not UTF-8"),
        of_headers("four thousand levels", (b"n", deep), "the headers are nested too deeply"),
    ]);
    broken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_handed_on_and_its_neighbours_are_untouched() {
    let node = services::rabbit().await.unwrap();
    let url = node.fresh_vhost("unreadable").await.unwrap();
    let broker = connected(&url).await;
    let mut raw = RawAmqp::connect(&url).await.unwrap();
    let broken = broken();
    for id in 0..GOOD {
        broker.publish(Address::Alerts, message(id), SOON).await.unwrap();
        let between = (id % 30 == 0).then(|| broken.get(id / 30)).flatten();
        let Some((why, key, properties, _)) = between else { continue };
        let body = format!("broken: {why}").into_bytes();
        let message = RawMessage { properties: properties.encode(), body };
        let published = raw.publish(b"watchbell.alerts", key, &message).await.unwrap();
        assert_eq!(published, Published::Confirmed, "the broker takes {why}");
    }

    let mut consumer = broker.consume(WorkQueue::Dispatch, 512).await;
    let mut good = BTreeMap::new();
    let mut marked: BTreeMap<String, Unreadable> = BTreeMap::new();
    for _ in 0..GOOD + broken.len() {
        let delivery = next(&mut consumer).await;
        assert!(!delivery.redelivered, "nobody's delivery was lost with a connection");
        let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
        match delivery.unreadable.clone() {
            None => *good.entry(delivery.message.message_id.clone()).or_insert(0) += 1,
            Some(unreadable) => drop(marked.insert(body, unreadable)),
        }
        delivery.settle.ack().await;
    }
    assert_eq!(good.len(), GOOD, "each good alert, once");
    for (why, _, properties, reason) in &broken {
        let mark = marked.get(&format!("broken: {why}")).unwrap_or_else(|| panic!("{why} is not marked"));
        assert_eq!(&mark.reason, reason, "{why}");
        assert!(mark.raw.ends_with(&properties.encode()), "{why}: its properties as they came");
    }
    for (queue, what) in [(WorkQueue::Dispatch, "left"), (WorkQueue::Dead, "dead-lettered")] {
        assert_eq!(broker.depth(queue).await, Ok(0), "nothing is {what}");
    }
}
