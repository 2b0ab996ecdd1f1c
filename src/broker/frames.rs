//! What waits for a live source that is slower than its frames: bounded, and honest when the bound is passed.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{LiveEvent, Message};

/// Frames kept for a source that does not read.
pub(super) const FRAMES_MAX: usize = 8192;
/// And their bytes, should they be long ones.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Between whoever receives the frames, which never waits, and one source.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Message>,
    bytes: usize,
    gap: bool,
}

impl Frames {
    pub(super) fn push(&self, frame: Message) {
        let mut state = self.state();
        if state.frames.len() >= FRAMES_MAX || state.bytes + frame.body.len() > FRAME_BYTES_MAX {
            state.drop_all();
        } else {
            state.bytes += frame.body.len();
            state.frames.push_back(frame);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Frames may have been lost before the next one.
    pub(super) fn gap(&self) {
        self.state().drop_all();
        self.changed.notify_one();
    }

    /// Cancel-safe. For one reader.
    pub(super) async fn next(&self) -> LiveEvent {
        loop {
            // A change between looking and waiting leaves a permit behind, so it is not missed.
            if let Some(event) = self.state().take() {
                return event;
            }
            self.changed.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The store heals the gap, and what waits here with it: keeping it would save nothing.
    fn drop_all(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.gap = true;
    }

    fn take(&mut self) -> Option<LiveEvent> {
        if std::mem::take(&mut self.gap) {
            return Some(LiveEvent::Gap);
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.body.len();
        Some(LiveEvent::Frame(frame))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn too_much_becomes_one_gap_and_what_follows_is_kept() {
        let short = Bytes::from_static(b"{}");
        let long = Bytes::from(vec![b'x'; FRAME_BYTES_MAX / 4]);
        for (why, body, fits) in [("by number", short, FRAMES_MAX), ("by bytes", long, 4)] {
            let frames = Frames::default();
            for n in 0..=fits {
                frames.push(Message::json(n.to_string(), body.clone()));
            }
            frames.push(Message::json("after".into(), body));
            assert!(matches!(frames.next().await, LiveEvent::Gap), "{why}");
            let LiveEvent::Frame(next) = frames.next().await else { panic!("{why}: one gap, then frames") };
            assert_eq!(next.message_id, "after", "{why}");
        }
    }
}
