//! Identity and randomness as parameters, so that a run can be repeated.

use std::sync::Arc;

use uuid::Uuid;

/// Gives each new attempt its id.
pub(crate) type AttemptIds = Arc<dyn Fn() -> Uuid + Send + Sync>;
/// Gives a number in 0..1.
pub(crate) type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Where ids and random numbers come from.
#[derive(Clone)]
pub struct Randomness {
    /// Gives each new attempt its id.
    pub attempt_ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    /// Gives a number in 0..1, which spreads retries.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Randomness {
    /// The system's. Ids are UUIDv7, because attempts are read in the order in which they were made.
    pub fn of_the_system() -> Self {
        Self { attempt_ids: Arc::new(Uuid::now_v7), jitter: Arc::new(rand::random::<f64>) }
    }
}
