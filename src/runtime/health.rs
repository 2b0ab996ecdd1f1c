//! Whether this process lives and whether it should get traffic.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Something that has to hold for traffic to be welcome: says what is in the way, or nothing.
pub type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<&'static str>> + Send>> + Send + Sync>;

/// What `/readyz` looks at. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
    leaving: Arc<AtomicBool>,
}

impl Health {
    /// Health by these checks.
    pub fn new(checks: Vec<Check>) -> Self {
        Self { checks, leaving: Arc::default() }
    }

    /// From now on not ready: the first thing SIGTERM does (I10).
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// What keeps it from being ready, in words; empty when it is.
    pub async fn obstacles(&self) -> Vec<&'static str> {
        let mut obstacles = Vec::new();
        if self.leaving.load(Ordering::SeqCst) {
            obstacles.push("leaving");
        }
        for check in &self.checks {
            obstacles.extend(check().await);
        }
        obstacles
    }
}
