//! What a parked copy carries, and what is sent again from it. The whole way over a real broker is in `tests/`.

use lapin::types::FieldArray;

use super::*;
use crate::broker::{
    Address, Delivery, Message, Refusal, Settle, parked,
    rabbitmq::{convert, route::Route},
};

fn received(properties: BasicProperties) -> Message {
    let mut delivery = lapin::message::Delivery::mock(1, "".into(), "".into(), false, b"{}".to_vec());
    delivery.properties = properties;
    convert::message(&mut delivery)
}

struct Nowhere;

#[async_trait::async_trait]
impl Settle for Nowhere {
    async fn ack(self: Box<Self>) {}
    async fn requeue(self: Box<Self>) {}
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn keys(of: &[&str]) -> AMQPValue {
    AMQPValue::FieldArray(of.iter().map(|key| long(key)).collect::<Vec<_>>().into())
}

fn death(queue: &str) -> AMQPValue {
    let mut death = FieldTable::default();
    death.insert("queue".into(), long(queue));
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    AMQPValue::FieldTable(death)
}

fn deaths(queues: &[&str]) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(queues.iter().map(|queue| death(queue)).collect::<Vec<_>>()))
}

fn with_headers(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_headers(table)
}

/// Every property, and a header of every type.
fn whole() -> BasicProperties {
    with_headers(&[
        ("deep", deaths(&["elsewhere"])),
        ("void", AMQPValue::Void),
        ("flag", AMQPValue::Boolean(true)),
        ("count", AMQPValue::LongLongInt(-3)),
        ("at", AMQPValue::Timestamp(7)),
        ("bytes", AMQPValue::ByteArray(vec![0xff, 0].into())),
        ("not text", AMQPValue::LongString(vec![0xff, 0xfe].into())),
        ("type", long("a header of this name")),
        (DEATHS, deaths(&["elsewhere"])),
    ])
    .with_content_type("application/json".into())
    .with_content_encoding("utf-8".into())
    .with_delivery_mode(2)
    .with_priority(9)
    .with_correlation_id("c-1".into())
    .with_reply_to("answers".into())
    .with_message_id("m-1".into())
    .with_timestamp(1_795_262_400)
    .with_type("their.type".into())
    .with_app_id("app".into())
    .with_cluster_id("cluster".into())
}

fn reason() -> Refusal {
    Refusal { reason: "too odd".into(), field: None, from: None }
}

fn aside(properties: BasicProperties) -> BasicProperties {
    let (message, settle) = (received(properties), Box::new(Nowhere));
    let delivery = Delivery { message, redelivered: false, unreadable: None, cut: None, settle };
    convert::properties(&parked(&delivery, &reason()), &Route::to(Address::Rejected), None)
}

fn again(properties: BasicProperties) -> BasicProperties {
    convert::properties(&received(properties).as_sent(), &Route::to(Address::Alerts), None)
}

fn headers(of: &BasicProperties) -> BTreeMap<ShortString, AMQPValue> {
    of.headers().as_ref().map(|table| table.inner().clone()).unwrap_or_default()
}

#[test]
fn a_parked_copy_keeps_everything_and_is_sent_again_as_it_came() {
    let copy = aside(whole());
    let mut expected = headers(&whole());
    expected.insert(refused::REASON.into(), long("too odd"));
    assert_eq!(copy, whole().with_headers(expected.into()));
    assert_eq!(again(copy), whole());
}

#[test]
fn what_a_producer_left_out_stays_left_out() {
    let expected = with_headers(&[(refused::REASON, long("too odd"))]).with_delivery_mode(2);
    assert_eq!(aside(BasicProperties::default()), expected);
}

#[test]
fn what_a_broker_would_act_on_is_kept_beside_and_given_back() {
    let sent = with_headers(&[("CC", keys(&["watchbell.dispatch"]))])
        .with_expiration("1000".into())
        .with_user_id("team".into())
        .with_reply_to(DIRECT_REPLY.into())
        .with_delivery_mode(2);
    let copy = aside(sent);
    let expected = with_headers(&[
        (refused::REASON, long("too odd")),
        (refused::EXPIRATION, long("1000")),
        (refused::USER, long("team")),
        (refused::CC, keys(&["watchbell.dispatch"])),
    ]);
    assert_eq!(copy, expected.with_delivery_mode(2));
    let expected = with_headers(&[("CC", keys(&["watchbell.dispatch"])), (refused::USER, long("team"))]);
    assert_eq!(again(copy), expected.with_expiration("1000".into()).with_delivery_mode(2));
}

#[test]
fn what_is_forged_costs_nobody_the_channel() {
    let forged = with_headers(&[(refused::EXPIRATION, long("never")), (refused::CC, long("not a list"))]);
    assert_eq!(again(forged), with_headers(&[]).with_delivery_mode(2));
}

#[test]
fn our_own_dead_lettering_is_taken_off_and_anothers_stays() {
    let dead = WorkQueue::Dispatch.name();
    let notes = |first: &str, queues: &[&str]| {
        with_headers(&[
            (DEATHS, deaths(queues)),
            ("x-first-death-queue", long(first)),
            ("x-last-death-queue", long(dead)),
            ("x-delivery-count", AMQPValue::LongLongInt(20)),
            ("x-request-id", long("theirs")),
        ])
    };
    for (why, came, expected) in [
        ("only ours", notes(dead, &[dead]), with_headers(&[("x-request-id", long("theirs"))])),
        (
            "another's first",
            notes("theirs", &[dead, "theirs"]),
            with_headers(&[
                (DEATHS, deaths(&["theirs"])),
                ("x-first-death-queue", long("theirs")),
                ("x-request-id", long("theirs")),
            ]),
        ),
    ] {
        assert_eq!(received(came.clone()).envelope.died_in(), Some(WorkQueue::Dispatch), "{why}");
        assert_eq!(again(came), expected.with_delivery_mode(2), "{why}");
    }
    let theirs = with_headers(&[(DEATHS, deaths(&["theirs"])), ("x-first-death-queue", long("theirs"))]);
    assert_eq!(received(theirs.clone()).envelope.died_in(), None);
    assert_eq!(again(theirs.clone()), theirs.with_delivery_mode(2));
}

#[test]
fn a_table_is_cut_to_what_one_frame_holds_and_says_so() {
    let total = |of: &BasicProperties| bytes_of(&AMQPValue::FieldTable(headers(of).into()));
    let small: Vec<(String, AMQPValue)> = (0..9_000).map(|n| (format!("h{n:04}"), long("12345"))).collect();
    let small: Vec<(&str, AMQPValue)> =
        small.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let huge = long(&"x".repeat(120_000));
    let nested = keys(&["x".repeat(50_000).as_str(), "y".repeat(60_000).as_str()]);
    for (why, came, names) in [
        ("one huge header", vec![("huge", huge), ("small", long("s"))], "huge (120010 bytes)"),
        ("a huge list", vec![("nested", nested), ("small", long("s"))], "nested (110022 bytes)"),
        ("many small ones", small, "h8999 (16 bytes)"),
    ] {
        let copy = aside(with_headers(&came));
        assert!(total(&copy) <= HEADERS_BYTES_MAX, "{why}: {}", total(&copy));
        let AMQPValue::LongString(cut) = &headers(&copy)[refused::CUT] else { panic!("{why}") };
        assert!(cut.to_string().starts_with(names), "{why}: {cut}");
        assert!(cut.len() <= refused::TEXT_BYTES_MAX);
        assert!(received(copy).is_stub(), "{why}: it is not what was sent");
    }
    let fits = with_headers(&[("long", long(&"x".repeat(90_000)))]);
    assert!(!headers(&aside(fits)).contains_key(refused::CUT));
}
