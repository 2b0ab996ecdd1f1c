//! When API keys were last used, written down beside the requests that used them.
//!
//! What holds here:
//! - A request never waits for it: it leaves its time in a map of at most [`KEYS_MAX`] keys, and goes on.
//! - A key is written at most once in [`KEY_USES_EVERY`], together with the others. A use that finds the map full is not noted;
//!   the next one may be.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::store::Store;

use crate::limits::{KEY_USES_EVERY, KEYS_MAX};

/// Uses that are not written down yet, by the hash of the secret.
#[derive(Debug, Default)]
pub struct KeyUses {
    waiting: Mutex<HashMap<String, Timestamp>>,
    there_are_some: Notify,
}

impl KeyUses {
    /// This secret was used.
    pub fn note(&self, hash: String, at: Timestamp) {
        let mut waiting = self.waiting();
        if waiting.len() < KEYS_MAX || waiting.contains_key(&hash) {
            let latest = waiting.entry(hash).or_insert(at);
            *latest = at.max(*latest);
        }
        drop(waiting);
        self.there_are_some.notify_one();
    }

    /// Writes them down until `leaving`, and once more then.
    pub async fn run(&self, store: &Store, leaving: CancellationToken) {
        while leaving.run_until_cancelled(self.there_are_some.notified()).await.is_some() {
            self.write(store).await;
            leaving.run_until_cancelled(sleep(KEY_USES_EVERY)).await;
        }
        self.write(store).await;
    }

    async fn write(&self, store: &Store) {
        let uses: Vec<_> = self.waiting().drain().collect();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = store.note_key_uses(&uses).await {
            debug!(%error, "When API keys were used is noted later");
            uses.into_iter().for_each(|(hash, at)| self.note(hash, at));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_of_each_key_waits_and_no_more_than_there_is_room_for() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let uses = KeyUses::default();
        for n in 0..=KEYS_MAX {
            uses.note(n.to_string(), at(5));
        }
        uses.note("0".into(), at(9));
        uses.note("0".into(), at(7));
        assert_eq!(uses.waiting().len(), KEYS_MAX);
        assert_eq!(uses.waiting()["0"], at(9));
    }
}
