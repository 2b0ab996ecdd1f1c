//! When API keys were last used, written down beside the requests that used them.
//!
//! What holds here:
//! - A request never waits for it: it leaves its time in a map of at most [`KEYS_MAX`] keys, and goes on.
//! - A key is written at most once in [`KEY_USES_EVERY`], and a use that follows later; those that are due go together. A use that
//!   finds the map full is not noted; the next one may be.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::store::Store;

use crate::limits::{KEY_USES_EVERY, KEY_USES_GATHERED, KEYS_MAX};

/// Uses that are not written down yet.
#[derive(Debug, Default)]
pub struct KeyUses {
    uses: Mutex<Uses>,
    there_are_some: Notify,
}

/// By the hash of the secret.
#[derive(Debug, Default)]
struct Uses {
    /// When each was used last, of those that are not written down.
    waiting: HashMap<String, Timestamp>,
    /// When each was written down, within the last [`KEY_USES_EVERY`].
    written: HashMap<String, Instant>,
}

impl Uses {
    fn note(&mut self, hash: String, at: Timestamp) {
        if self.waiting.len() < KEYS_MAX || self.waiting.contains_key(&hash) {
            let latest = self.waiting.entry(hash).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    /// Those that may be written down now.
    fn take_due(&mut self, now: Instant) -> Vec<(String, Timestamp)> {
        self.written.retain(|_, at| now.duration_since(*at) < KEY_USES_EVERY);
        let room = KEYS_MAX.saturating_sub(self.written.len());
        let due = self.waiting.keys().filter(|hash| !self.written.contains_key(*hash));
        let due: Vec<String> = due.take(room).cloned().collect();
        self.written.extend(due.iter().map(|hash| (hash.clone(), now)));
        due.into_iter().filter_map(|hash| self.waiting.remove_entry(&hash)).collect()
    }
}

impl KeyUses {
    /// This secret was used.
    pub fn note(&self, hash: String, at: Timestamp) {
        self.uses().note(hash, at);
        self.there_are_some.notify_one();
    }

    /// Writes them down until `leaving`, and once more then.
    pub async fn run(&self, store: &Store, leaving: CancellationToken) {
        while leaving.run_until_cancelled(self.there_are_some.notified()).await.is_some() {
            while !self.uses().waiting.is_empty() && !leaving.is_cancelled() {
                let due = self.uses().take_due(Instant::now());
                self.write(store, due).await;
                leaving.run_until_cancelled(sleep(KEY_USES_GATHERED)).await;
            }
        }
        let rest = self.uses().waiting.drain().collect();
        self.write(store, rest).await;
    }

    async fn write(&self, store: &Store, uses: Vec<(String, Timestamp)>) {
        if uses.is_empty() {
            return;
        }
        if let Err(error) = store.note_key_uses(&uses).await {
            debug!(%error, "When API keys were used is noted later");
            let mut later = self.uses();
            uses.into_iter().for_each(|(hash, at)| later.note(hash, at));
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        // Nothing panics while it is held.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn the_latest_use_of_each_key_waits_and_no_more_than_there_is_room_for() {
        let mut uses = Uses::default();
        for n in 0..=KEYS_MAX {
            uses.note(n.to_string(), at(5));
        }
        uses.note("0".into(), at(9));
        uses.note("0".into(), at(7));
        assert_eq!(uses.waiting.len(), KEYS_MAX);
        assert_eq!(uses.waiting["0"], at(9));
        assert_eq!(uses.take_due(Instant::now()).len(), KEYS_MAX);
        uses.note("another".into(), at(9));
        assert_eq!(
            uses.take_due(Instant::now()),
            [],
            "as many were written within the minute as there is room for"
        );
    }

    #[test]
    fn a_key_is_written_at_once_and_then_once_a_minute() {
        let (mut uses, began) = (Uses::default(), Instant::now());
        let mut used = |key: &str, ms: i64, after: Duration| {
            uses.note(key.to_owned(), at(ms));
            uses.take_due(began + after)
        };
        let second = Duration::from_secs(1);
        assert_eq!(used("a", 1, Duration::ZERO), [("a".to_owned(), at(1))]);
        assert_eq!(used("a", 2, second), []);
        assert_eq!(used("b", 3, second * 2), [("b".to_owned(), at(3))], "another key does not wait for it");
        assert_eq!(used("a", 4, KEY_USES_EVERY - second), []);
        assert_eq!(
            used("a", 5, KEY_USES_EVERY),
            [("a".to_owned(), at(5))],
            "the latest of those that waited"
        );
    }
}
