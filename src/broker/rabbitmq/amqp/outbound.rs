//! Follows the frames that we send, for what they settle and consume. Changes nothing.
//!
//! What holds here: of each method frame the first [`PREFIX_BYTES`] are kept until it is whole; of all others
//! nothing.

use super::{
    inbound::number,
    ledger::{ChannelId, Ledger},
};

/// Enough for the longest method that is read, `basic.consume` with two short strings of 255 bytes.
const PREFIX_BYTES: usize = 640;

const METHOD: u8 = 1;
const FRAME_START: usize = 7;
/// `AMQP` and the version: what a client says first.
const GREETING_BYTES: u64 = 8;

#[derive(Debug, Default)]
pub(in crate::broker::rabbitmq) struct Outbound {
    /// The start of the frame that is being sent.
    prefix: Vec<u8>,
    /// Bytes of this frame that are still to come; `None` until its length is known.
    left: Option<u64>,
}

impl Outbound {
    /// The socket took these bytes.
    pub(in crate::broker::rabbitmq) fn sent(&mut self, mut bytes: &[u8], ledger: &mut Ledger) {
        while !bytes.is_empty() {
            let Some(left) = self.left else {
                let take = bytes.len().min(FRAME_START - self.prefix.len());
                self.prefix.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                self.left = self.length();
                continue;
            };
            let take = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if self.prefix[0] == METHOD {
                let keep = take.min(PREFIX_BYTES - self.prefix.len());
                self.prefix.extend_from_slice(&bytes[..keep]);
            }
            bytes = &bytes[take..];
            let left = left - take as u64;
            self.left = Some(left);
            if left == 0 {
                self.frame(ledger);
                self.prefix.clear();
                self.left = None;
            }
        }
    }

    /// What follows the frame's start: its payload and its mark.
    fn length(&self) -> Option<u64> {
        let [kind, _, _, s1, s2, s3, s4] = *self.prefix.as_slice() else { return None };
        Some(match kind {
            b'A' => GREETING_BYTES - FRAME_START as u64,
            _ => u64::from(u32::from_be_bytes([s1, s2, s3, s4])) + 1,
        })
    }

    fn frame(&self, ledger: &mut Ledger) {
        let [METHOD, c1, c2, _, _, _, _, method @ ..] = self.prefix.as_slice() else { return };
        let channel = ChannelId::from_be_bytes([*c1, *c2]);
        let flags = |at: usize| method.get(at).copied().unwrap_or_default();
        let tag = || number(method, 4);
        match method {
            // basic.ack and basic.nack: delivery tag, and as the first bit whether all before it are meant.
            [0, 60, 0, 80 | 120, ..] => {
                if let Some(tag) = tag() {
                    ledger.settled(channel, tag, flags(12) & 1 != 0);
                }
            }
            // basic.reject: delivery tag.
            [0, 60, 0, 90, ..] => {
                if let Some(tag) = tag() {
                    ledger.settled(channel, tag, false);
                }
            }
            // basic.consume: a reserved number, queue, consumer tag, and as the second bit that it never settles.
            [0, 60, 0, 20, _, _, queue, ..] => {
                let consumer_at = 7 + usize::from(*queue);
                let start = consumer_at + 1;
                let end = start + usize::from(flags(consumer_at));
                if let Some(consumer) = method.get(start..end) {
                    ledger.consumes(channel, consumer, flags(end) & 2 != 0);
                }
            }
            // channel.close and close-ok.
            [0, 20, 0, 40 | 41, ..] => ledger.closed(channel),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::rabbitmq::amqp::repair::BrokenParts;

    fn method(channel: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[METHOD, 0, channel], size.as_slice(), payload, &[0xce]].concat()
    }

    /// What we say on a connection: a greeting, a body, consuming, settling; then what is left.
    #[test]
    fn settlements_are_seen_however_the_writes_are_split() {
        let mut said = b"AMQP\0\0\x09\x01".to_vec();
        said.extend([3, 0, 1, 0, 0, 0, 3, 1, 0xce, 3, 0xce]);
        said.extend(method(1, b"\0\x3c\0\x14\0\0\x01q\x04live\x02\0\0\0\0"));
        said.extend(method(1, b"\0\x3c\0\x14\0\0\x01q\x04work\0\0\0\0\0"));
        said.extend(method(1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 3, 1]));
        said.extend(method(1, &[0, 60, 0, 120, 0, 0, 0, 0, 0, 0, 0, 5, 2]));
        said.extend(method(1, &[0, 60, 0, 90, 0, 0, 0, 0, 0, 0, 0, 6, 1]));
        said.extend(method(2, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 4, 0]));
        said.extend(method(3, &[0, 20, 0, 40, 0, 0]));
        for step in 1..said.len() {
            let (mut outbound, mut ledger) = (Outbound::default(), Ledger::default());
            for tag in 1..=7 {
                ledger.delivered(1, b"work", tag, BrokenParts::default());
            }
            ledger.delivered(3, b"work", 1, BrokenParts::default());
            for part in said.chunks(step) {
                outbound.sent(part, &mut ledger);
            }
            ledger.delivered(1, b"live", 8, BrokenParts::default());
            ledger.delivered(1, b"work", 9, BrokenParts::default());
            let unsettled: Vec<u64> = ledger.unsettled(1).into_iter().collect();
            assert_eq!(unsettled, [4, 7, 9], "in steps of {step}");
            assert!(ledger.unsettled(3).is_empty(), "its channel was closed");
        }
    }
}
