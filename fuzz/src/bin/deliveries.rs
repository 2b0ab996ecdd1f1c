//! What the broker delivers: bytes as they are, or a delivery whose routing key, properties and body are anybody's.
//!
//! The first byte says which, the second into what reads they are cut. Of a delivery, the next says how long the routing key
//! is, and two more are the flags of the properties.
#![no_main]

use amq_protocol::frame::{AMQPFrame, parse_frame};
use watchbell::{
    broker::rabbitmq::fuzzing,
    domain::{AlertId, Timestamp},
    wire::{alert::Defaults, cloudevent::plain_of, parse_alert},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [which, cut, bytes @ ..] = bytes else { return };
    let chunk = usize::from(*cut) * 16 + 1;
    if which % 2 == 0 {
        let handed_on = fuzzing::handed_on(bytes, chunk);
        let _ = frames(&handed_on);
        return;
    }
    let [key_len, high, low, rest @ ..] = bytes else { return };
    let (key, rest) = rest.split_at(usize::from(*key_len).min(rest.len()));
    let (properties, body) = rest.split_at(rest.len() / 2);
    let delivery = delivery(key, [*high, *low], properties, body);
    let frames =
        frames(&fuzzing::handed_on(&delivery, chunk)).expect("lapin's parser takes what is handed on");
    assert!(frames.len() >= 2, "a delivery is a method and a header at least");
    for frame in frames {
        let AMQPFrame::Header(_, header) = frame else { continue };
        let message = fuzzing::message(header.properties, body.to_vec());
        let defaults =
            Defaults { tenant: None, id: AlertId::parse("made-here").ok(), now: Timestamp::UNIX_EPOCH };
        if let Ok(plain) = plain_of(&message.content_type, &message.headers, &message.body) {
            let _ = parse_alert(&plain, &defaults);
        }
    }
});

/// All of them, or none when something is no frame.
fn frames(mut bytes: &[u8]) -> Option<Vec<AMQPFrame>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).ok()?;
        frames.push(frame);
        bytes = rest;
    }
    Some(frames)
}

/// A delivery in three frames: `basic.deliver`, the header, the body.
fn delivery(key: &[u8], flags: [u8; 2], properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut method = vec![0, 60, 0, 60];
    short(&mut method, b"watchbell / dispatch");
    method.extend(1_u64.to_be_bytes());
    method.push(0);
    short(&mut method, b"watchbell.alerts");
    short(&mut method, key);
    let mut header = vec![0, 60, 0, 0];
    header.extend((body.len() as u64).to_be_bytes());
    header.extend(flags);
    header.extend(properties);
    let mut out = Vec::new();
    frame(&mut out, 1, &method);
    frame(&mut out, 2, &header);
    if !body.is_empty() {
        frame(&mut out, 3, body);
    }
    out
}

fn short(out: &mut Vec<u8>, text: &[u8]) {
    out.push(text.len() as u8);
    out.extend(text);
}

fn frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.extend([kind, 0, 3]);
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(0xce);
}
