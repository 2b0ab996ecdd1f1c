//! Producers that speak AMQP by hand: what is refused is kept whole, however large or odd it is, and what a producer
//! may naturally write is read.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, entries, long, place, table, value},
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
const KIB: usize = 1024;

/// What RabbitMQ carries of one publish is far more than what Watchbell does.
const SIZES: [usize; 3] = [512 * KIB + 1, 600 * KIB, 16 * KIB * KIB];

fn text(bytes: &[u8]) -> Vec<u8> {
    value(b'S', &long(bytes))
}

fn list(values: &[Vec<u8>]) -> Vec<u8> {
    value(b'A', &long(&values.concat()))
}

/// Every type of header that RabbitMQ takes. Names within a table are in their order, in which they are written again.
fn every_header() -> Vec<(&'static [u8], Vec<u8>)> {
    let death =
        value(b'F', &table(&[(b"count", value(b'l', &7_i64.to_be_bytes())), (b"queue", text(b"theirs"))]));
    vec![
        (b"flag", value(b't', &[1])),
        (b"tiny", value(b'b', &[0xfe])),
        (b"small", value(b's', &[0xff, 0xfe])),
        (b"number", value(b'I', &(-3_i32).to_be_bytes())),
        (b"large", value(b'l', &i64::MIN.to_be_bytes())),
        (b"float", value(b'f', &1.5_f32.to_be_bytes())),
        (b"double", value(b'd', &1.5_f64.to_be_bytes())),
        (b"decimal", value(b'D', &[2, 0, 0, 1, 0])),
        (b"at", value(b'T', &1_795_262_400_u64.to_be_bytes())),
        (b"text", text("ä".as_bytes())),
        (b"not text", text(&[0xff, 0xfe, 0])),
        (b"bytes", value(b'x', &long(&[0, 1, 2]))),
        (b"nothing", value(b'V', b"")),
        (b"x-death", list(std::slice::from_ref(&death))),
        (b"deep", value(b'F', &table(&[(b"deeper", list(&[death, text(b"end")]))]))),
        (b"watchbell-reason", text(b"forged")),
    ]
}

fn every_property() -> Properties {
    Properties::default()
        .text(place::CONTENT_TYPE, b"text/plain")
        .text(place::CONTENT_ENCODING, b"gzip")
        .with(place::HEADERS, table(&every_header()))
        .with(place::DELIVERY_MODE, vec![2])
        .with(place::PRIORITY, vec![4])
        .text(place::CORRELATION_ID, b"c-1")
        .text(place::REPLY_TO, b"answers")
        // An hour: enough for an alert, and too little for a copy that somebody has to look at.
        .text(place::EXPIRATION, b"3600000")
        .text(place::MESSAGE_ID, b"m-1")
        .with(place::TIMESTAMP, 7_u64.to_be_bytes().to_vec())
        .text(place::TYPE, b"their.type")
        .text(place::USER_ID, b"guest")
        .text(place::APP_ID, b"their-app")
        .text(place::CLUSTER_ID, b"theirs")
}

/// Publishes to everybody's exchange as a producer does.
async fn publish(amqp: &mut RawAmqp, properties: &Properties, body: &[u8]) -> anyhow::Result<()> {
    let message = RawMessage { properties: properties.encode(), body: body.to_vec() };
    let published = amqp.publish(b"watchbell.alerts", b"", &message).await?;
    anyhow::ensure!(published == Published::Confirmed, "{published:?}");
    Ok(())
}

type Headers = BTreeMap<Vec<u8>, Vec<u8>>;

/// The next parked message: its properties but for the headers, its headers, its body.
async fn parked(amqp: &mut RawAmqp) -> anyhow::Result<(Properties, Headers, Vec<u8>)> {
    let found =
        until("a parked message", DEADLINE, async || amqp.take("watchbell.rejected").await.transpose());
    let RawMessage { properties, body } = found.await??;
    let mut properties = Properties::decode(&properties)?;
    let headers = properties.0[place::HEADERS].take().context("no headers")?;
    Ok((properties, entries(&headers)?.into_iter().collect(), body))
}

fn said(headers: &Headers, name: &str) -> String {
    headers
        .get(name.as_bytes())
        .map(|value| String::from_utf8_lossy(&value[5..]).into_owned())
        .unwrap_or_default()
}

async fn a_parked_copy_is_whole(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    let sent = every_property();
    publish(amqp, &sent, b"\xff not JSON").await?;
    let (mut properties, mut headers, body) = parked(amqp).await?;
    assert_eq!(body, b"\xff not JSON");
    assert!(
        said(&headers, "watchbell-reason").starts_with("content_type: "),
        "the forged reason is replaced"
    );
    assert_eq!(
        said(&headers, "watchbell-expiration"),
        "3600000",
        "it does not vanish, and says when it would"
    );
    assert_eq!(said(&headers, "watchbell-user-id"), "guest");
    assert_eq!(said(&headers, "watchbell-field"), "content_type");
    // The count is the broker's, of this look at it.
    headers.retain(|name, _| !name.starts_with(b"watchbell-") && name != b"x-delivery-count");
    let expected = every_header().into_iter().map(|(name, value)| (name.to_vec(), value));
    assert_eq!(headers, expected.filter(|(name, _)| !name.starts_with(b"watchbell-")).collect::<Headers>());
    for moved in [place::EXPIRATION, place::USER_ID] {
        assert_eq!(properties.0[moved], None, "{moved}");
        properties.0[moved].clone_from(&sent.0[moved]);
    }
    properties.0[place::HEADERS].clone_from(&sent.0[place::HEADERS]);
    assert_eq!(properties, sent);
    is_idle(fleet, amqp).await
}

/// A copy that RabbitMQ would send to the queue of alerts besides would be refused, and copied, for ever.
async fn a_copy_does_not_send_copies(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    let keys = list(&[text(b"watchbell.dispatch"), text(b"watchbell.dead")]);
    let headers = table(&[(b"CC", keys.clone())]);
    publish(amqp, &Properties::default().with(place::HEADERS, headers), b"not JSON").await?;
    let (_, headers, _) = parked(amqp).await?;
    assert_eq!(headers.get(&b"watchbell-cc"[..]), Some(&keys));
    is_idle(fleet, amqp).await
}

async fn what_is_too_large_is_parked_at_once_as_a_stub(
    fleet: &Fleet,
    amqp: &mut RawAmqp,
) -> anyhow::Result<()> {
    for size in SIZES {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        publish(amqp, &every_property(), &body).await?;
        let (properties, headers, kept) = parked(amqp).await?;
        assert_eq!(said(&headers, "watchbell-size"), size.to_string());
        assert_eq!(said(&headers, "watchbell-sha256").len(), 64);
        assert!(!said(&headers, "watchbell-reason").is_empty());
        assert!(body.starts_with(&kept) && !kept.is_empty() && kept.len() < 64 * KIB, "{} bytes", kept.len());
        assert_eq!(properties.0[place::MESSAGE_ID], every_property().0[place::MESSAGE_ID]);
        assert!(headers.contains_key(&b"deep"[..]));
        is_idle(fleet, amqp).await?;
    }
    Ok(())
}

async fn huge_headers_are_bounded(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    let huge = vec![b'x'; 60 * KIB];
    let many: Vec<(Vec<u8>, Vec<u8>)> =
        (0..9_000).map(|n| (format!("h{n:04}").into_bytes(), text(b"12"))).collect();
    let many: Vec<(&[u8], Vec<u8>)> =
        many.iter().map(|(name, value)| (name.as_slice(), value.clone())).collect();
    for (why, headers) in [
        ("two huge ones", table(&[(b"one", text(&huge)), (b"other", text(&huge)), (b"kept", text(b"k"))])),
        ("a huge list", table(&[(b"list", list(&[text(&huge), text(&huge)])), (b"kept", text(b"k"))])),
        ("thousands", table(&many)),
    ] {
        publish(amqp, &Properties::default().with(place::HEADERS, headers), b"not JSON").await?;
        let (_, headers, body) = parked(amqp).await?;
        assert_eq!(body, b"not JSON", "{why}");
        assert!(
            !said(&headers, "watchbell-cut").is_empty(),
            "{why}: {:?}",
            headers.keys().take(9).collect::<Vec<_>>()
        );
        assert!(said(&headers, "watchbell-reason").contains("id"), "{why}");
        is_idle(fleet, amqp).await?;
    }
    Ok(())
}

/// CloudEvents' times, numbers and binary texts as AMQP has them.
async fn natural_headers_are_read(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let headers = table(&[
        (b"cloudEvents:specversion", text(b"1.0")),
        (b"cloudEvents:id", value(b'x', &long(b"0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2"))),
        (b"cloudEvents:source", text(b"/disks")),
        (b"cloudEvents:type", text(b"full")),
        (b"cloudEvents:time", value(b'T', &1_795_262_400_u64.to_be_bytes())),
        (b"cloudEvents:tenant", text(b"acme")),
        (b"cloudEvents:version", value(b'l', &3_i64.to_be_bytes())),
    ]);
    let body = json!({"to": {"users": ["ana"]}, "title": "Disk full"}).to_string();
    publish(amqp, &Properties::default().with(place::HEADERS, headers), body.as_bytes()).await?;
    let frame = ana.next_of("alert").await?;
    let told = |field: &str| frame["alert"][field].clone();
    assert_eq!(told("occurred_at"), "2026-11-21T12:00:00Z");
    assert_eq!((told("version"), told("id")), (json!(3), json!("0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2")));
    is_idle(fleet, amqp).await
}

/// Nothing goes round: dispatch is ready, and no other queue has anything.
async fn is_idle(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    fleet.ready("dispatch").await?;
    // What comes after a message that goes round would be parked, too.
    let marker = b"the next one".as_slice();
    publish(amqp, &Properties::default().text(place::MESSAGE_ID, b"next"), marker).await?;
    let (_, _, body) = parked(amqp).await?;
    assert_eq!(body, marker);
    for queue in ["watchbell.rejected", "watchbell.dead"] {
        assert_eq!(amqp.take(queue).await?, None, "{queue} is empty");
    }
    Ok(())
}

#[tokio::test]
async fn what_amqp_producers_send_is_read_or_kept_whole() {
    let fleet = Fleet::start(Engine::Services, (60_000, 60_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let mut amqp = RawAmqp::connect(&fleet.urls.as_ref().unwrap().broker).await.unwrap();
    a_parked_copy_is_whole(&fleet, &mut amqp).await.unwrap();
    a_copy_does_not_send_copies(&fleet, &mut amqp).await.unwrap();
    what_is_too_large_is_parked_at_once_as_a_stub(&fleet, &mut amqp).await.unwrap();
    huge_headers_are_bounded(&fleet, &mut amqp).await.unwrap();
    natural_headers_are_read(&fleet, &mut amqp).await.unwrap();
    good_ones_do_not_wait_for_bad_ones(&fleet, &mut amqp).await.unwrap();
}

/// All are parked, once each, and the good one among them is told.
async fn good_ones_do_not_wait_for_bad_ones(fleet: &Fleet, amqp: &mut RawAmqp) -> anyhow::Result<()> {
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    for number in 0..1_000 {
        publish(amqp, &Properties::default(), format!("bad {number}").as_bytes()).await?;
    }
    let good = json!({"tenant": "acme", "id": "good", "to": {"users": ["ana"]}, "title": "t"}).to_string();
    publish(amqp, &Properties::default(), good.as_bytes()).await?;
    assert_eq!(ana.next_of("alert").await?["alert"]["id"], Value::from("good"));
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        assert!(found.insert(parked(amqp).await?.2), "parked once");
    }
    is_idle(fleet, amqp).await
}
