//! The API keys of producers as a process knows them: which work, and when they were used.
//!
//! What holds here:
//! - A revoked key stops working within [`KEY_TTL`], as long as the store answers, and one that expires at its time. Only keys
//!   that work are remembered.
//! - While the store does not answer, a key that worked within [`KEY_BELIEVED_MAX`] is believed: what needs only the
//!   broker goes on (I14). A key that is not known is answered 503, because nobody knows whether it is wrong.
//! - A request does not wait for the note of when its key was used: `key_uses` beside this file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use watchbell::{
    runtime::Clock,
    store::{ApiKey, KeyStanding, Store, StoreError},
    wire::Problem,
};

use crate::{
    key_uses::KeyUses,
    limits::{KEY_ASK_MAX, KEY_BELIEVED_MAX, KEY_TTL, KEYS_MAX, STORE_AWAY},
};

/// The keys that worked, by their hash: one look into the store a key and [`KEY_TTL`]. At most [`KEYS_MAX`]. One a process.
#[derive(Debug)]
pub struct ApiKeys {
    store: Store,
    clock: Clock,
    memory: Mutex<Memory>,
    uses: KeyUses,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<String, Known>,
    /// When the store did not answer about a key last.
    away_since: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Known {
    key: ApiKey,
    since: Timestamp,
}

/// What is remembered of a key.
#[derive(Debug, PartialEq, Eq)]
enum Remembered {
    /// It worked a moment ago: the store need not be asked.
    Fresh(ApiKey),
    /// It worked within the hour, and the store did not answer a moment ago.
    Believed(ApiKey),
    /// It worked within the hour: believed if the store does not answer.
    Old(ApiKey),
    /// Nothing.
    Unknown,
}

/// Whether `since` is less than `max` ago. Not when the clock was set back: then nobody knows how long ago it is.
pub(crate) fn is_within(max: Duration, since: Timestamp, now: Timestamp) -> bool {
    let max_ms = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
    (0..max_ms).contains(&(now.as_millisecond() - since.as_millisecond()))
}

impl ApiKeys {
    /// The keys in this store.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, memory: Mutex::default(), uses: KeyUses::default() }
    }

    /// Writes down when keys were used, until `leaving`, and once more then.
    pub async fn run(&self, leaving: CancellationToken) {
        self.uses.run(&self.store, leaving).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn note_use(&self, hash: String, now: Timestamp) {
        self.uses.note(hash, now);
    }

    /// The key whose secret has this hash. One that does not work any more is found as well, for the answer that says so.
    pub(crate) async fn find(&self, hash: &str) -> Result<Option<ApiKey>, Problem> {
        let now = self.now();
        let old = match self.memory().remembered(hash, now) {
            Remembered::Fresh(key) => return Ok(Some(key)),
            Remembered::Believed(key) => return Ok(Some(believed(key))),
            Remembered::Old(key) => Some(key),
            Remembered::Unknown => None,
        };
        let asked = match old {
            // A request whose key may be believed does not wait for as long as the store has patience with itself.
            Some(_) => timeout(KEY_ASK_MAX, self.store.api_key(hash)).await.ok(),
            None => Some(self.store.api_key(hash).await),
        };
        match (asked, old) {
            (Some(Ok(Some(key))), _) if key.standing(now) == KeyStanding::Works => {
                self.memory().remember(hash.to_owned(), key.clone(), now);
                Ok(Some(key))
            }
            (Some(Ok(over)), _) => {
                // A key that was revoked must not be believed later.
                self.memory().known.remove(hash);
                Ok(over)
            }
            (None | Some(Err(StoreError::Unavailable { .. })), Some(key)) => {
                self.store_is_away(now);
                Ok(Some(believed(key)))
            }
            (Some(Err(error)), _) => Err(error.into()),
            // Only a key that may be believed is asked about with a deadline.
            (None, None) => Ok(None),
        }
    }

    /// Whether the store did not answer a moment ago.
    pub(crate) fn is_store_away(&self, now: Timestamp) -> bool {
        self.memory().is_store_away(now)
    }

    /// The store did not answer just now.
    pub(crate) fn store_is_away(&self, now: Timestamp) {
        let before = self.memory().away_since.replace(now);
        if before.is_none() {
            warn!("The store does not answer: API keys that worked within {KEY_BELIEVED_MAX:?} are believed");
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics while it is held.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn is_store_away(&self, now: Timestamp) -> bool {
        self.away_since.is_some_and(|since| is_within(STORE_AWAY, since, now))
    }

    fn remembered(&self, hash: &str, now: Timestamp) -> Remembered {
        let Some(known) = self.known.get(hash) else { return Remembered::Unknown };
        let key = known.key.clone();
        match () {
            () if is_within(KEY_TTL, known.since, now) => Remembered::Fresh(key),
            () if !is_within(KEY_BELIEVED_MAX, known.since, now) => Remembered::Unknown,
            () if self.is_store_away(now) => Remembered::Believed(key),
            () => Remembered::Old(key),
        }
    }

    fn remember(&mut self, hash: String, key: ApiKey, now: Timestamp) {
        let known = &mut self.known;
        if known.len() >= KEYS_MAX {
            known.retain(|_, known| is_within(KEY_BELIEVED_MAX, known.since, now));
        }
        if known.len() >= KEYS_MAX && !known.contains_key(&hash) {
            let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(hash, _)| hash.clone());
            oldest.and_then(|hash| known.remove(&hash));
        }
        known.insert(hash, Known { key, since: now });
        self.away_since = None;
    }
}

fn believed(key: ApiKey) -> ApiKey {
    metrics::counter!("watchbell_ingest_keys_believed_total").increment(1);
    key
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::{domain::Tenant, store::KeyRights};

    use super::*;

    fn acme() -> ApiKey {
        ApiKey {
            id: "acme-1".into(),
            hash: "h".into(),
            rights: KeyRights::of(Tenant::parse("acme").unwrap()),
            is_before_scopes: false,
            name: String::new(),
            created_at: at(0),
            revoked_at: None,
            replaced_at: None,
            last_used_at: None,
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_key_is_remembered_for_its_ttl_and_believed_for_an_hour() {
        let hour = i64::try_from(KEY_BELIEVED_MAX.as_millis()).unwrap();
        for (why, away_since, now, expected) in [
            ("at once", None, 10_000, Remembered::Fresh(acme())),
            ("to the last millisecond", None, 14_999, Remembered::Fresh(acme())),
            ("from the end of the TTL the store is asked", None, 15_000, Remembered::Old(acme())),
            ("not for a moment after it did not answer", Some(14_000), 15_000, Remembered::Believed(acme())),
            ("and then again", Some(14_000), 16_000, Remembered::Old(acme())),
            ("for an hour", None, 10_000 + hour - 1, Remembered::Old(acme())),
            ("not longer", None, 10_000 + hour, Remembered::Unknown),
            ("however long the store is away", Some(9_999 + hour), 10_000 + hour, Remembered::Unknown),
            ("not when the clock was set back", None, 9_999, Remembered::Unknown),
        ] {
            let mut memory = Memory::default();
            memory.remember("h".into(), acme(), at(10_000));
            memory.away_since = away_since.map(at);
            assert_eq!(memory.remembered("h", at(now)), expected, "{why}");
        }
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let mut memory = Memory::default();
        for n in 0..=KEYS_MAX {
            memory.remember(n.to_string(), acme(), at(n as i64));
        }
        assert_eq!(memory.known.len(), KEYS_MAX);
        assert_eq!(memory.remembered("0", at(1_024)), Remembered::Unknown);
        assert_ne!(memory.remembered("1", at(1_024)), Remembered::Unknown);
        memory.remember("1".into(), acme(), at(1_024));
        assert_eq!(memory.known.len(), KEYS_MAX, "one that is there already takes nobody's room");
    }
}
