//! The reader as a whole, with chance from a seed: what goes through, however it is split, and that nothing comes
//! out that lapin's parser refuses. The parser is the real one.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use sha2::{Digest as _, Sha256};

use super::{Inbound, Ledger};

const CHANNEL: u16 = 3;

/// What comes out of the reader when `bytes` come in pieces of chance, and what the ledger says then.
fn through(bytes: &[u8], chance: &mut StdRng) -> (Vec<u8>, Ledger) {
    through_within(Ledger::default(), bytes, chance)
}

/// The same with a ledger that says how long a body may be.
fn through_within(mut ledger: Ledger, bytes: &[u8], chance: &mut StdRng) -> (Vec<u8>, Ledger) {
    let (mut inbound, mut out) = (Inbound::default(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = inbound.space();
        let len = chance.random_range(1..=rest.len().min(space.len()).min(3_000));
        space[..len].copy_from_slice(&rest[..len]);
        rest = &rest[len..];
        inbound.read(len, &mut ledger);
        while !inbound.ready().is_empty() {
            let len = chance.random_range(1..=inbound.ready().len());
            out.extend_from_slice(&inbound.ready()[..len]);
            inbound.handed_on(len);
        }
    }
    inbound.ended();
    out.extend_from_slice(inbound.ready());
    (out, ledger)
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

fn short(text: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.len()).unwrap()];
    out.extend(text);
    out
}

/// Bytes after their length in four bytes: a table's entries, or a long string.
fn headers_of(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A delivery as three frames or more: method, header, body.
fn delivery(tag: u64, key: &[u8], flags: u16, properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut method = vec![0, 60, 0, 60];
    method.extend(short(b"watchbell / dispatch"));
    method.extend(tag.to_be_bytes());
    method.push(0);
    method.extend(short(b"watchbell.alerts"));
    method.extend(short(key));
    let mut header = vec![0, 60, 0, 0];
    header.extend((body.len() as u64).to_be_bytes());
    header.extend(flags.to_be_bytes());
    header.extend(properties);
    let mut out = [frame(1, CHANNEL, &method), frame(2, CHANNEL, &header)].concat();
    for part in body.chunks(100_000) {
        out.extend(frame(3, CHANNEL, part));
    }
    out
}

/// Content type, a header and an application, all well.
fn good(tag: u64, body: &[u8]) -> Vec<u8> {
    let entry = [short("träce".as_bytes()), b"V".to_vec()].concat();
    let properties = [short(b"application/json"), headers_of(&entry), short(b"app")].concat();
    delivery(tag, b"key", 1 << 15 | 1 << 13 | 1 << 3, &properties, body)
}

/// Everything parses, to the last byte.
fn parsed(mut bytes: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("lapin's parser takes it");
        frames.push(frame);
        bytes = rest;
    }
    frames
}

#[test]
fn a_sound_stream_goes_through_unchanged_however_it_is_split() {
    let mut chance = StdRng::seed_from_u64(1);
    let mut stream = Vec::new();
    for (tag, len) in [0, 1, 500, 70_000, 250_000, 3].into_iter().enumerate() {
        stream.extend(good(tag as u64, &vec![b'x'; len]));
        stream.extend(frame(8, 0, b""));
    }
    assert_eq!(parsed(&stream).len(), 25);
    for _ in 0..50 {
        let (out, mut ledger) = through(&stream, &mut chance);
        assert!(out == stream, "unchanged");
        assert_eq!(ledger.unsettled(CHANNEL).len(), 6);
        assert_eq!((0..6).find_map(|tag| ledger.take_unreadable(CHANNEL, tag)), None);
    }
}

#[test]
fn a_long_body_is_cut_to_its_beginning_and_never_held() {
    const MAX: usize = 8192;
    let mut chance = StdRng::seed_from_u64(5);
    let body = |len: usize| -> Vec<u8> { (0..len).map(|n| (n % 251) as u8).collect() };
    let broken = |tag, len| delivery(tag, b"k\xff", 0, &[], &body(len));
    let stream = [
        good(1, &body(MAX)),
        good(2, &body(MAX + 1)),
        frame(8, 0, b""),
        good(3, b"three"),
        good(4, &body(300_000)),
        broken(5, 300_000),
        good(6, b"six"),
    ]
    .concat();
    for _ in 0..50 {
        let mut ledger = Ledger::default();
        ledger.cut_bodies_beyond(MAX);
        let (out, mut ledger) = through_within(ledger, &stream, &mut chance);
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        let mut announced = Vec::new();
        for frame in parsed(&out) {
            match frame {
                AMQPFrame::Header(_, header) => {
                    announced.push(header.body_size);
                    bodies.push(Vec::new());
                }
                AMQPFrame::Body(_, part) => bodies.last_mut().unwrap().extend(part),
                _ => {}
            }
        }
        let lengths: Vec<u64> = bodies.iter().map(|body| body.len() as u64).collect();
        assert_eq!(lengths, [8192, 4096, 5, 4096, 4096, 3]);
        assert_eq!(announced, lengths, "what is announced comes");
        assert!(bodies[3] == body(4096), "the beginning, as it was sent");
        let cut = [1, 2, 3, 4, 5, 6].map(|tag| ledger.take_cut(CHANNEL, tag));
        let [None, Some(little), None, Some(much), Some(of_broken), None] = cut else { panic!("{cut:?}") };
        assert_eq!((little.bytes, much.bytes), (MAX as u64 + 1, 300_000));
        assert_eq!(much.sha256, format!("{:x}", Sha256::digest(body(300_000))));
        assert_eq!(of_broken.sha256, much.sha256, "a broken one is cut, too");
        assert!(ledger.take_unreadable(CHANNEL, 5).is_some());
        assert_eq!(ledger.unsettled(CHANNEL).len(), 6);
    }
}

#[test]
fn a_broken_delivery_is_marked_and_its_neighbours_are_not() {
    let mut chance = StdRng::seed_from_u64(2);
    let long = headers_of(&[&short(b"n")[..], b"S", &headers_of(&vec![b'x'; 2_000_000])].concat());
    for (why, key, flags, properties, reason) in [
        ("content_type", &b"k"[..], 1 << 15, short(b"a\xff"), "content_type is not UTF-8"),
        ("key", &b"k\xed\xa0\x80"[..], 0, vec![], "the routing key is not UTF-8"),
        ("key and app_id", &b"\xff"[..], 1 << 3, short(b"\xff"), "app_id and the routing key are not UTF-8"),
        ("name", &b"k"[..], 1 << 13, headers_of(b"\x01\xffV"), "a header's name is not UTF-8"),
        ("grammar", &b"k"[..], 1 << 13, headers_of(b"\x01az"), "a header has a type that is not known"),
        (
            "length",
            &b"k"[..],
            1 << 13,
            long,
            "the properties have 2000025 bytes, and at most 1048576 are looked at",
        ),
    ] {
        let broken = delivery(2, key, flags, &properties, b"body");
        let stream = [good(1, b"one"), broken.clone(), good(3, b"three")].concat();
        for _ in 0..20 {
            let (out, mut ledger) = through(&stream, &mut chance);
            assert_eq!(parsed(&out).len(), 9, "{why}");
            assert!(out.starts_with(&good(1, b"one")) && out.ends_with(&good(3, b"three")), "{why}");
            let marks = [1, 2, 3].map(|tag| ledger.take_unreadable(CHANNEL, tag));
            let [None, Some(mark), None] = marks else { panic!("{why}: {marks:?}") };
            assert_eq!(mark.reason, reason, "{why}");
            if why != "length" {
                assert!(mark.raw.ends_with(&properties), "{why}: as it came");
            }
        }
    }
}

/// Chance changes a few bytes of properties and routing keys, where RabbitMQ would pass them on or not: whatever
/// comes out, lapin's parser takes, as long as the frames are frames.
#[test]
fn nothing_comes_out_that_the_parser_refuses() {
    let mut chance = StdRng::seed_from_u64(3);
    for _ in 0..20_000 {
        let mut properties: Vec<u8> = (0..chance.random_range(0..60)).map(|_| chance.random()).collect();
        if chance.random_bool(0.5) {
            // A table whose length is right more often than chance would have it.
            let len = u32::try_from(properties.len()).unwrap();
            properties.splice(0..0, len.to_be_bytes());
        }
        let key: Vec<u8> = (0..chance.random_range(0..9)).map(|_| chance.random()).collect();
        let flags = if chance.random_bool(0.5) { 1 << 13 } else { chance.random() };
        let stream = [delivery(1, &key, flags, &properties, b"body"), good(2, b"two")].concat();
        let (out, _) = through(&stream, &mut chance);
        assert_eq!(parsed(&out).len(), 6, "{stream:?}");
    }
}

#[test]
fn bytes_of_chance_neither_panic_nor_grow() {
    let mut chance = StdRng::seed_from_u64(4);
    for round in 0..2_000 {
        let mut stream = good(1, b"one");
        if round % 2 == 0 {
            stream.clear();
        }
        let mut noise = vec![0; chance.random_range(1..2_000)];
        chance.fill_bytes(&mut noise);
        // Frames of every type and of any length, and what follows them.
        noise[0] = chance.random_range(0..10);
        stream.extend(noise);
        let (out, _) = through(&stream, &mut chance);
        assert!(out.len() <= stream.len());
    }
    let mut inbound = Inbound::default();
    let mut ledger = Ledger::default();
    let claims = [2, 0, 1, 0xff, 0xff, 0xff, 0xff];
    inbound.space()[..7].copy_from_slice(&claims);
    inbound.read(7, &mut ledger);
    for _ in 0..100 {
        let space = inbound.space();
        space.fill(0);
        let len = space.len();
        assert!(len <= 1_100_000, "a frame that claims four gigabytes is not collected");
        inbound.read(len, &mut ledger);
        let ready = inbound.ready().len();
        inbound.handed_on(ready);
    }
}
