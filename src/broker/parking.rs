//! The copy of a message that is kept for an operator (I11), and the message that is sent again from it.
//!
//! What holds here:
//! - A copy is whole, with its reason added; the envelope that it came in goes along.
//! - Properties that cannot be read are kept as they came, in hexadecimal, beside what could be read of them.
//! - What is too long to be carried is kept as a stub: its reason, its size, its SHA-256 and how it began. It can always
//!   be parked, so it never goes round.

use sha2::{Digest, Sha256};

use super::{BODY_BYTES_MAX, CutBody, Delivery, Message, WorkQueue};
use crate::wire::refused;

/// Of a body that is too long, this much is kept: enough to see whose it is, in bytes.
pub(super) const BEGINNING_BYTES: usize = 4096;

/// Of properties that cannot be read, this much is kept as it came, in bytes: twice as many characters share a frame with
/// the headers that could be read.
const RAW_BYTES_MAX: usize = 24 * 1024;

/// Why a message is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence. Cut at [`refused::TEXT_BYTES_MAX`].
    pub reason: String,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// The queue it was taken from, when it may be sent back there.
    pub from: Option<WorkQueue>,
}

/// The copy to park.
pub fn parked(delivery: &Delivery, refusal: &Refusal) -> Message {
    let mut copy = copy_of(&delivery.message, refusal);
    if let Some(CutBody { bytes, sha256 }) = &delivery.cut {
        copy.headers.insert(refused::SIZE.into(), bytes.to_string());
        copy.headers.insert(refused::SHA256.into(), sha256.clone());
    }
    if let Some(unreadable) = &delivery.unreadable {
        let raw = &unreadable.raw;
        copy.headers.insert(refused::RAW.into(), hex(&raw[..raw.len().min(RAW_BYTES_MAX)]));
        if raw.len() > RAW_BYTES_MAX {
            copy.headers.insert(refused::RAW_SIZE.into(), raw.len().to_string());
        }
    }
    copy
}

fn copy_of(message: &Message, refusal: &Refusal) -> Message {
    let mut copy = message.clone();
    // Whoever publishes a parked copy by hand, or forges one, is not believed.
    copy.headers.retain(|name, _| !refused::NOTES.contains(&name.as_str()));
    let mut note = |name: &str, text: &str| {
        copy.headers.insert(name.into(), beginning(text, refused::TEXT_BYTES_MAX).to_owned());
    };
    note(refused::REASON, &refusal.reason);
    if let Some(field) = &refusal.field {
        note(refused::FIELD, field);
    }
    if let Some(queue) = refusal.from {
        note(refused::FROM, queue.name());
    }
    if message.body.len() > BODY_BYTES_MAX {
        note(refused::SIZE, &message.body.len().to_string());
        note(refused::SHA256, &hex(&Sha256::digest(&message.body)));
        // Copied, so that the long one is not held by its beginning.
        copy.body = bytes::Bytes::copy_from_slice(&message.body[..BEGINNING_BYTES]);
    }
    copy
}

impl Message {
    /// As its producer sent it: without what was noted when it was set aside, by us or by the broker.
    #[must_use]
    pub fn as_sent(mut self) -> Self {
        let envelope = self.envelope.as_sent();
        self.headers.retain(|name, _| {
            let was_taken_off = self.envelope.has_header(name) && !envelope.has_header(name);
            !was_taken_off && !refused::NOTES.contains(&name.as_str())
        });
        self.envelope = envelope;
        self
    }

    /// Whether only a part of what was sent is left, so that it cannot be sent again.
    pub fn is_stub(&self) -> bool {
        [refused::SIZE, refused::CUT, refused::RAW].iter().any(|name| self.headers.contains_key(*name))
    }
}

fn beginning(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Settle, Unreadable};

    fn refusal() -> Refusal {
        Refusal { reason: "title: is missing".into(), field: Some("title".into()), from: None }
    }

    fn body_of(len: usize) -> Message {
        let mut message = Message::json("m-1".into(), vec![b'x'; len]);
        message.headers.insert("traceparent".into(), "00-ab-cd-01".into());
        message
    }

    #[test]
    fn a_copy_is_whole_up_to_what_is_carried_and_a_stub_beyond() {
        for (why, len, is_stub) in [
            ("nothing", 0, false),
            ("the longest", BODY_BYTES_MAX, false),
            ("a byte more", BODY_BYTES_MAX + 1, true),
        ] {
            let copy = copy_of(&body_of(len), &refusal());
            assert_eq!(copy.is_stub(), is_stub, "{why}");
            assert_eq!(copy.body.len(), if is_stub { BEGINNING_BYTES } else { len }, "{why}");
            assert_eq!(
                (copy.message_id.as_str(), copy.headers["traceparent"].as_str()),
                ("m-1", "00-ab-cd-01")
            );
            assert_eq!(copy.headers[refused::REASON], "title: is missing", "{why}");
            assert_eq!(copy.headers[refused::FIELD], "title", "{why}");
        }
        let stub = copy_of(&body_of(BODY_BYTES_MAX + 1), &refusal());
        assert_eq!(stub.headers[refused::SIZE], "524289");
        assert_eq!(stub.headers[refused::SHA256].len(), 64);
    }

    #[test]
    fn notes_of_an_earlier_or_a_forged_parking_are_not_believed() {
        let mut message = body_of(2);
        for name in refused::NOTES {
            message.headers.insert(name.into(), "forged".into());
        }
        let copy = copy_of(&message, &Refusal { field: None, ..refusal() });
        let ours: Vec<_> = copy.headers.keys().filter(|name| name.starts_with(refused::PREFIX)).collect();
        assert_eq!(ours, [refused::REASON]);
    }

    #[test]
    fn a_reason_is_bounded_between_characters() {
        let copy = copy_of(&body_of(2), &Refusal { reason: "ä".repeat(4096), ..refusal() });
        assert_eq!(copy.headers[refused::REASON].len(), refused::TEXT_BYTES_MAX);
    }

    #[test]
    fn properties_that_cannot_be_read_are_kept_as_they_came_up_to_a_bound() {
        struct Nowhere;
        #[async_trait::async_trait]
        impl Settle for Nowhere {
            async fn ack(self: Box<Self>) {}
            async fn requeue(self: Box<Self>) {}
        }
        for (why, len, kept, size) in [
            ("a few", 2, "ffff".to_owned(), None),
            ("the most", RAW_BYTES_MAX, "ff".repeat(RAW_BYTES_MAX), None),
            ("more", RAW_BYTES_MAX + 1, "ff".repeat(RAW_BYTES_MAX), Some("24577")),
        ] {
            let unreadable = Unreadable { reason: "no text".into(), raw: vec![0xff; len].into() };
            let settle = Box::new(Nowhere);
            let delivery = Delivery {
                message: body_of(2),
                redelivered: false,
                unreadable: Some(unreadable),
                cut: None,
                settle,
            };
            let copy = parked(&delivery, &refusal());
            assert_eq!(copy.headers[refused::RAW], kept, "{why}");
            assert_eq!(copy.headers.get(refused::RAW_SIZE).map(String::as_str), size, "{why}");
            assert!(copy.is_stub(), "{why}: it cannot be sent as it was");
        }
    }

    #[test]
    fn what_was_noted_is_taken_off_again() {
        let message = body_of(2);
        let refusal = Refusal { from: Some(WorkQueue::Undelivered), ..refusal() };
        assert_eq!(copy_of(&message, &refusal).as_sent(), message);
    }
}
