//! Live frames in one process: everybody who follows a partition gets its frames, nobody holds up anybody.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;

use crate::broker::{LiveControl, LiveEvent, LiveSource, Message, frames::Frames, topology};

#[derive(Debug, Default)]
pub(super) struct Fanout {
    sources: Mutex<Vec<Weak<Shared>>>,
}

impl Fanout {
    pub(super) fn send(&self, partition: u16, message: &Message) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| {
            let Some(source) = source.upgrade() else { return false };
            if source.follows.load(Ordering::Acquire) & (1 << partition) != 0 {
                source.frames.push(message.clone());
            }
            true
        });
    }

    pub(super) fn source(&self) -> Source {
        let shared = Arc::new(Shared::default());
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&shared));
        Source(shared)
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// One bit a partition.
    follows: AtomicU64,
    frames: Frames,
}

const _: () = assert!(topology::PARTITIONS as u32 <= u64::BITS);

pub(super) struct Source(Arc<Shared>);

#[async_trait]
impl LiveSource for Source {
    async fn next(&mut self) -> Option<LiveEvent> {
        Some(self.0.frames.next().await)
    }

    fn control(&self) -> Arc<dyn LiveControl> {
        Arc::new(Control(Arc::downgrade(&self.0)))
    }
}

/// Weak, so that a source that is dropped takes no more frames, whoever still holds its control.
struct Control(Weak<Shared>);

#[async_trait]
impl LiveControl for Control {
    async fn follow(&self, partition: u16) {
        if let (Some(shared), Some(bit)) = (self.0.upgrade(), bit(partition)) {
            shared.follows.fetch_or(bit, Ordering::AcqRel);
        }
    }

    async fn unfollow(&self, partition: u16) {
        if let (Some(shared), Some(bit)) = (self.0.upgrade(), bit(partition)) {
            shared.follows.fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

fn bit(partition: u16) -> Option<u64> {
    (partition < topology::PARTITIONS).then(|| 1 << partition)
}
