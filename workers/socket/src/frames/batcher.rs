//! Frames gathered into one message, for clients that asked for it. Pure.

use std::time::Duration;

use tokio::time::Instant;
use watchbell::wire::frame::Batch;

use crate::frames::{
    frame::{self, Frame},
    sent::{FrameMark, Marks, Outgoing},
};

/// Frames of one message at the most, whatever a client asks.
const FRAMES_MAX: u16 = 256;
/// How long a frame waits at the most, whatever a client asks, in milliseconds.
const WAIT_MS_MAX: u16 = 10_000;
/// A batch of so many bytes is sent at once.
const BYTES_MAX: usize = 64 * 1024;

/// What one session gathers.
pub(crate) struct Batcher {
    max: usize,
    wait: Duration,
    frames: Vec<String>,
    marks: Vec<FrameMark>,
    bytes: usize,
    due_at: Option<Instant>,
}

impl Batcher {
    pub(crate) fn of(asked: Batch) -> Self {
        Self {
            max: asked.max.clamp(1, FRAMES_MAX).into(),
            wait: Duration::from_millis(asked.wait_ms.clamp(1, WAIT_MS_MAX).into()),
            frames: Vec::new(),
            marks: Vec::new(),
            bytes: 0,
            due_at: None,
        }
    }

    /// Adds a frame; gives the message when it is full.
    pub(crate) fn add(&mut self, frame: &Frame, now: Instant) -> Option<Outgoing> {
        self.frames.push(frame.json().to_owned());
        self.marks.push(frame.mark());
        self.bytes += frame.len();
        self.due_at.get_or_insert(now + self.wait);
        (self.frames.len() >= self.max || self.bytes >= BYTES_MAX).then(|| self.message())
    }

    /// When what was gathered has to go.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// The message, when it has waited long enough.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Outgoing> {
        self.due_at.is_some_and(|at| at <= now).then(|| self.message())
    }

    fn message(&mut self) -> Outgoing {
        self.due_at = None;
        self.bytes = 0;
        let bytes = frame::text(&std::mem::take(&mut self.frames).join("\n"));
        Outgoing { bytes, marks: Marks::Many(std::mem::take(&mut self.marks)) }
    }
}

#[cfg(test)]
mod tests {
    use watchbell::wire::frame::ServerFrame;

    use super::*;

    #[test]
    fn a_message_goes_when_it_is_full_or_has_waited() {
        let mut batcher = Batcher::of(Batch { max: 2, wait_ms: 100 });
        let now = Instant::now();
        let frame = Frame::new(&ServerFrame::Ping { seq: 1, cursor: None }, None);
        let bytes = |message: Option<Outgoing>| message.map(|message| message.bytes);
        assert_eq!(bytes(batcher.add(&frame, now)), None);
        let expected = frame::text("{\"type\":\"ping\",\"seq\":1}\n{\"type\":\"ping\",\"seq\":1}");
        let message = batcher.add(&frame, now);
        let marks = message.as_ref().map(|message| message.marks.as_slice().len());
        assert_eq!((bytes(message), marks), (Some(expected), Some(2)), "full");
        assert_eq!(batcher.due_at(), None);

        batcher.add(&frame, now);
        let later = now + Duration::from_millis(100);
        assert_eq!(batcher.due_at(), Some(later));
        assert_eq!(bytes(batcher.due(later - Duration::from_millis(1))), None);
        let expected = frame::text("{\"type\":\"ping\",\"seq\":1}");
        assert_eq!(bytes(batcher.due(later)), Some(expected), "it has waited");
        assert_eq!(bytes(batcher.due(later)), None, "and is told once");
    }

    #[test]
    fn a_client_cannot_ask_for_more_than_is_kept() {
        let batcher = Batcher::of(Batch { max: u16::MAX, wait_ms: 0 });
        assert_eq!((batcher.max, batcher.wait), (256, Duration::from_millis(1)));
    }
}
