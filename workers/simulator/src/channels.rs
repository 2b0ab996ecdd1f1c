//! The broadcast channels that Apple knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::faults::Environment;

/// A channel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Channel {
    pub(crate) app: String,
    pub(crate) environment: Environment,
    #[serde(rename = "message-storage-policy")]
    pub(crate) storage_policy: u8,
    #[serde(rename = "push-type")]
    pub(crate) push_type: &'static str,
}

/// The channels of all apps, by Apple's names for them.
#[derive(Debug, Default)]
pub(crate) struct Channels(Mutex<BTreeMap<String, Channel>>);

impl Channels {
    /// Whether an activity can be started with it.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.known().contains_key(channel)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, BTreeMap<String, Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
