//! Ways in for `fuzz/`: what the broker delivers, before and after lapin's parser.

use lapin::{BasicProperties, message::Delivery};

use super::{
    amqp::{Inbound, Ledger},
    convert,
    route::Route,
};
use crate::broker::{Address, Message};

/// The longest body that goes through whole.
const BODY_BYTES_MAX: usize = 4_096;

/// What lapin is given of the broker's bytes, which come in reads of `chunk` bytes.
pub fn handed_on(bytes: &[u8], chunk: usize) -> Vec<u8> {
    let mut ledger = Ledger::default();
    ledger.cut_bodies_beyond(BODY_BYTES_MAX);
    let (mut inbound, mut out) = (Inbound::default(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = inbound.space();
        let len = chunk.max(1).min(rest.len()).min(space.len());
        space[..len].copy_from_slice(&rest[..len]);
        rest = &rest[len..];
        inbound.read(len, &mut ledger);
        out.extend_from_slice(inbound.ready());
        inbound.handed_on(inbound.ready().len());
    }
    inbound.ended();
    out.extend_from_slice(inbound.ready());
    out
}

/// A delivery as workers are given it. It can be parked as well.
pub fn message(properties: BasicProperties, body: Vec<u8>) -> Message {
    let message = read(properties, body);
    let set_aside = convert::properties(&message, &Route::to(Address::Rejected), Some("watchbell"));
    let kept = read(set_aside, message.body.to_vec());
    assert_eq!(
        (&kept.message_id, &kept.content_type),
        (&message.message_id, &message.content_type),
        "what is parked says what it was"
    );
    message
}

fn read(properties: BasicProperties, body: Vec<u8>) -> Message {
    let mut delivery = Delivery::mock(1, "watchbell.alerts".into(), "".into(), false, body);
    delivery.properties = properties;
    convert::message(&mut delivery)
}
