//! The wall clock as a parameter, so that a test can be any moment it likes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

/// Tells the time. Cheap to clone. Waiting is tokio's business; this is for what is stored and sent.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Milliseconds since 1970 for a clock that is set by hand.
    by_hand: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { by_hand: None }
    }

    /// A clock that stands at `at` until it is moved.
    pub fn at(at: Timestamp) -> Self {
        Self { by_hand: Some(Arc::new(AtomicI64::new(at.as_millisecond()))) }
    }

    /// Moves a clock that is set by hand; the machine's clock takes no orders.
    pub fn advance(&self, by: Duration) {
        if let Some(clock) = &self.by_hand {
            clock.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Now, to the millisecond: what the stores keep.
    pub fn now(&self) -> Timestamp {
        let ms = match &self.by_hand {
            Some(clock) => clock.load(Ordering::SeqCst),
            None => Timestamp::now().as_millisecond(),
        };
        // Both come from valid times; `advance` cannot leave the range within the age of the universe.
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }
}
