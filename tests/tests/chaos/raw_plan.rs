//! What will be published by hand, from the seed: pure. Good alerts among everything that a broken program might write.
//!
//! Each message can be told from all others wherever it ends up: its marker stands in its body or in its `message_id`.

use serde_json::json;
use watchbell_tests::{
    amqp::{Properties, RawMessage, long, place, short, table, value},
    chance::Chance,
};

/// Whom the good ones are for.
pub(crate) const USERS: usize = 8;
const KIB: usize = 1024;
/// As deep as the longest header that fits into one frame can go: five bytes a level.
const DEPTH_MAX: usize = 20_000;

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// What is odd about it, for whoever reads a failure.
    pub(crate) kind: &'static str,
    pub(crate) marker: String,
    pub(crate) user: Option<usize>,
    pub(crate) key: Vec<u8>,
    pub(crate) message: RawMessage,
}

pub(crate) fn plan(seed: u64, count: usize) -> Vec<Planned> {
    let mut chance = Chance::of(seed);
    (0..count).map(|number| planned(&mut chance, number)).collect()
}

fn planned(chance: &mut Chance, number: usize) -> Planned {
    if chance.percent(40) {
        return good(chance, number);
    }
    let marker = format!("bad-{number:06}");
    let no_alert = [b"no alert ", marker.as_bytes()].concat();
    let alert = alert(&marker, 0);
    let (kind, properties, body) = match chance.below(14) {
        0 => ("a body that is no JSON", usual(chance), text_body(chance, &marker, 4 * KIB)),
        1 => ("a long body", usual(chance), text_body(chance, &marker, 512 * KIB)),
        2 => ("a body too long to be carried", usual(chance), giant_body(chance, &marker)),
        3 => ("no body", Properties::default().text(place::MESSAGE_ID, marker.as_bytes()), Vec::new()),
        4 => ("an alert that says too little", usual(chance), wrong_alert(chance, &marker)),
        5 => ("another content type", odd_type(chance), alert),
        6 => ("headers of every type", with_headers(any_table(chance)), no_alert),
        7 => ("huge headers", with_headers(huge_table(chance)), no_alert),
        8 => ("copies to elsewhere", with_headers(copies(chance)), no_alert),
        9 => ("a property that is no text", spoilt_text(chance), alert),
        10 => ("a header's name that is no text", spoilt_name(chance), alert),
        11 => ("deep headers", with_headers(deep_table(chance)), no_alert),
        12 => {
            let message = RawMessage { properties: usual(chance).encode(), body: no_alert };
            let key = no_text(chance);
            return Planned { kind: "a routing key that is no text", marker, user: None, key, message };
        }
        _ => {
            let message = RawMessage { properties: spoilt_encoding(chance), body: no_alert };
            return Planned {
                kind: "an encoding that is none",
                marker,
                user: None,
                key: Vec::new(),
                message,
            };
        }
    };
    let message = RawMessage { properties: properties.encode(), body };
    Planned { kind, marker, user: None, key: Vec::new(), message }
}

/// An alert as it should be, with whatever else a program may properly set.
fn good(chance: &mut Chance, number: usize) -> Planned {
    let (marker, user) = (format!("good-{number:06}"), chance.below(USERS));
    let mut properties = usual(chance);
    if chance.percent(50) {
        properties = properties.text(place::CONTENT_TYPE, b"application/json");
    }
    if chance.percent(30) {
        properties = properties.with(place::HEADERS, table(&[(b"their-own", any_value(chance, 3))]));
    }
    let message = RawMessage { properties: properties.encode(), body: alert(&marker, user) };
    Planned { kind: "a good alert", marker, user: Some(user), key: Vec::new(), message }
}

/// The name of a user of the plan.
pub(crate) fn name_of(user: usize) -> String {
    format!("user-{user}")
}

fn alert(id: &str, user: usize) -> Vec<u8> {
    json!({"tenant": "acme", "id": id, "to": {"users": [name_of(user)]}, "title": "t"})
        .to_string()
        .into_bytes()
}

/// Some of the properties that mean nothing to Watchbell, each as it should be.
fn usual(chance: &mut Chance) -> Properties {
    let mut properties = Properties::default();
    let texts: [(usize, &[u8]); 7] = [
        (place::CONTENT_ENCODING, b"utf-8"),
        (place::CORRELATION_ID, b"c-1"),
        (place::REPLY_TO, b"answers"),
        // An hour: what expires is dead by its producer's own wish.
        (place::EXPIRATION, b"3600000"),
        (place::TYPE, "ä.type".as_bytes()),
        (place::USER_ID, b"guest"),
        (place::APP_ID, b"their-app"),
    ];
    for (place, text) in texts {
        if chance.percent(30) {
            properties = properties.text(place, text);
        }
    }
    if chance.percent(30) {
        properties = properties.with(place::PRIORITY, noise(chance, 1));
    }
    if chance.percent(30) {
        // Another one is refused by the broker itself.
        properties = properties.with(place::DELIVERY_MODE, vec![1 + chance.below(2) as u8]);
    }
    if chance.percent(30) {
        properties = properties.with(place::TIMESTAMP, exactly(chance, 8));
    }
    properties
}

fn with_headers(table: Vec<u8>) -> Properties {
    Properties::default().with(place::HEADERS, table)
}

fn odd_type(chance: &mut Chance) -> Properties {
    let types: [&[u8]; 5] = [
        b"text/plain",
        b"application/cloudevents+json",
        b"application/x-python-serialize",
        b"\0",
        "ä/ö".as_bytes(),
    ];
    Properties::default().text(place::CONTENT_TYPE, types[chance.below(types.len())])
}

/// Any short string with bytes that are no UTF-8.
fn spoilt_text(chance: &mut Chance) -> Properties {
    // A `user_id` is refused by the broker itself, an `expiration` as well.
    let places = [place::CONTENT_TYPE, place::CONTENT_ENCODING, place::CORRELATION_ID, place::REPLY_TO]
        .into_iter()
        .chain([place::MESSAGE_ID, place::TYPE, place::APP_ID, place::CLUSTER_ID]);
    let places: Vec<usize> = places.collect();
    usual(chance).with(places[chance.below(places.len())], short(&no_text(chance)))
}

fn spoilt_name(chance: &mut Chance) -> Properties {
    let name = no_text(chance);
    let inner = [(name.as_slice(), any_value(chance, 1))];
    let headers = match chance.below(3) {
        0 => table(&inner),
        1 => table(&[(b"deep", value(b'F', &table(&inner)))]),
        _ => table(&[(b"list", value(b'A', &long(&value(b'F', &table(&inner)))))]),
    };
    with_headers(headers)
}

/// Bytes in which there is something that is no UTF-8: a surrogate, half a character, a byte that none begins with.
fn no_text(chance: &mut Chance) -> Vec<u8> {
    let spoilt: [&[u8]; 4] = [b"\xed\xa0\x80", b"\xc3", b"\xff", b"\xf8\x88\x80\x80\x80"];
    let (before, after) = (chance.below(100), chance.below(100));
    [vec![b'x'; before].as_slice(), spoilt[chance.below(spoilt.len())], vec![b'y'; after].as_slice()].concat()
}

fn wrong_alert(chance: &mut Chance, marker: &str) -> Vec<u8> {
    let texts = [
        json!({"id": marker}),
        json!({"id": marker, "tenant": "acme", "to": {"users": [""]}, "title": "t"}),
        json!({"id": marker, "tenant": "acme", "to": {"users": ["ana"]}, "title": 7}),
        json!({"id": marker, "tenant": "acme", "to": {"users": ["ana"]}, "title": "\u{0}"}),
        json!([marker]),
        json!(marker),
        json!({"kind": "event", "id": marker, "tenant": "acme"}),
    ];
    let mut text = texts[chance.below(texts.len())].to_string().into_bytes();
    if chance.percent(20) {
        text.pop();
    }
    text
}

fn text_body(chance: &mut Chance, marker: &str, max: usize) -> Vec<u8> {
    [marker.as_bytes(), b" ", &noise(chance, max)].concat()
}

fn giant_body(chance: &mut Chance, marker: &str) -> Vec<u8> {
    [marker.as_bytes(), b" ", &vec![b'x'; 512 * KIB + chance.below(512 * KIB)]].concat()
}

fn any_table(chance: &mut Chance) -> Vec<u8> {
    let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..chance.below(12))
        .map(|number| {
            let names =
                ["", "x-death", "type", "watchbell-reason", "cloudEvents:specversion", "x-delivery-count"];
            let name = match chance.percent(50) {
                true => names[chance.below(names.len())].to_owned(),
                false => format!("header-{number}"),
            };
            (name.into_bytes(), any_value(chance, 4))
        })
        .collect();
    table(&entries.iter().map(|(name, value)| (name.as_slice(), value.clone())).collect::<Vec<_>>())
}

fn any_value(chance: &mut Chance, depth: usize) -> Vec<u8> {
    match chance.below(if depth == 0 { 13 } else { 15 }) {
        0 => value(b't', &exactly(chance, 1)),
        1 => value(b'b', &exactly(chance, 1)),
        2 => value(b'B', &exactly(chance, 1)),
        3 => value(b's', &exactly(chance, 2)),
        4 => value(b'u', &exactly(chance, 2)),
        5 => value(b'I', &exactly(chance, 4)),
        6 => value(b'l', &exactly(chance, 8)),
        7 => value(b'f', &exactly(chance, 4)),
        8 => value(b'd', &exactly(chance, 8)),
        9 => value(b'D', &exactly(chance, 5)),
        10 => value(b'T', &exactly(chance, 8)),
        11 => value(b'V', b""),
        12 => {
            let kind = if chance.percent(50) { b'S' } else { b'x' };
            value(kind, &long(&noise(chance, 300)))
        }
        13 => {
            let values: Vec<u8> = (0..chance.below(4)).flat_map(|_| any_value(chance, depth - 1)).collect();
            value(b'A', &long(&values))
        }
        _ => {
            let inner = any_value(chance, depth - 1);
            value(b'F', &table(&[(b"a", inner), (b"b", any_value(chance, depth - 1))]))
        }
    }
}

fn huge_table(chance: &mut Chance) -> Vec<u8> {
    match chance.below(2) {
        0 => table(&[(b"huge", value(b'S', &long(&vec![b'x'; 60 * KIB + chance.below(64 * KIB)])))]),
        _ => {
            let names: Vec<String> =
                (0..4_000 + chance.below(5_000)).map(|number| format!("h{number:04}")).collect();
            table(&names.iter().map(|name| (name.as_bytes(), value(b't', &[1]))).collect::<Vec<_>>())
        }
    }
}

/// Lists in lists, or tables in tables.
fn deep_table(chance: &mut Chance) -> Vec<u8> {
    let max = [10, 100, 1_000, DEPTH_MAX][chance.below(4)];
    let depth = 1 + chance.below(max);
    let mut inner = Vec::new();
    // Written from the inside, reversed, so that the deepest takes no longer than its length.
    let mut len = 0_u32;
    for _ in 0..depth {
        inner.extend(len.to_be_bytes().iter().rev());
        inner.push(b'A');
        len += 5;
    }
    inner.reverse();
    table(&[(b"deep", inner)])
}

fn copies(chance: &mut Chance) -> Vec<u8> {
    let key = value(b'S', &long(b"watchbell.dispatch"));
    let name: &[u8] = if chance.percent(50) { b"CC" } else { b"BCC" };
    match chance.below(3) {
        // The broker refuses what is no list.
        0 => table(&[(name, key)]),
        1 => table(&[(name, value(b'A', &long(b"")))]),
        _ => table(&[(name, value(b'A', &long(&key)))]),
    }
}

/// Flags and lengths that promise something else than what follows. The broker takes some of it.
fn spoilt_encoding(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = with_headers(any_table(chance)).text(place::MESSAGE_ID, b"m-1").encode();
    match chance.below(4) {
        0 => bytes.truncate(chance.below(bytes.len())),
        1 => bytes.extend(noise(chance, 20)),
        2 => bytes[1] |= 1 + chance.below(3) as u8, // Flags beyond the properties that there are.
        _ => {
            let at = chance.below(bytes.len());
            bytes[at] = chance.below(256) as u8;
        }
    }
    bytes
}

/// From one to so many bytes, of any value.
fn noise(chance: &mut Chance, max: usize) -> Vec<u8> {
    let len = 1 + chance.below(max);
    exactly(chance, len)
}

fn exactly(chance: &mut Chance, len: usize) -> Vec<u8> {
    (0..len).map(|_| chance.below(256) as u8).collect()
}

#[test]
fn the_same_seed_plans_the_same_and_every_message_can_be_told_from_all_others() {
    let (one, other) = (plan(7, 500), plan(7, 500));
    assert_eq!(one, other);
    assert_ne!(one, plan(8, 500));
    for planned in one {
        let marker = planned.marker.as_bytes();
        let stands_in = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
        assert!(
            stands_in(&planned.message.body) || stands_in(&planned.message.properties),
            "{}",
            planned.kind
        );
    }
}
