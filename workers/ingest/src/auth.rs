//! Who asks: the API key of a request, and the tenant behind it.
//!
//! What holds here:
//! - A key lives as a [`Secret`] between its header and its hash, and the headers are taken off the request, so that
//!   nothing after this module can print one (I12).
//! - A revoked key stops working within [`KEY_TTL`], as long as the store answers. Only keys that work are remembered.
//! - While the store does not answer, a key that worked within [`KEY_BELIEVED_MAX`] is believed: what needs only the
//!   broker goes on (I14). A key that is not known is answered 503, because nobody knows whether it is wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::warn;
use watchbell::{
    domain::{Secret, Tenant, publication::Maker},
    store::{KeyRights, Store, StoreError},
    wire::Problem,
};

use crate::{
    App, Shared, key,
    limits::{KEY_ASK_MAX, KEY_BELIEVED_MAX, KEY_TTL, KEYS_MAX, STORE_AWAY},
};

const KEY_HEADER: &str = "x-api-key";
/// Characters of a key's hash by which alerts remember who made them: no two keys share so many.
const MAKER_CHARS: usize = 32;

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    pub tenant: Tenant,
    /// The key, as alerts remember it.
    pub maker: Maker,
}

impl Producer {
    fn new(hash: &str, rights: KeyRights) -> Self {
        let key = hash.get(..MAKER_CHARS).unwrap_or(hash).into();
        Self { tenant: rights.tenant, maker: Maker { key, own_alerts: rights.own_alerts } }
    }

    /// Whether this producer may change an alert that `maker` made.
    pub fn may_change(&self, maker: Option<&Arc<str>>) -> bool {
        !self.maker.own_alerts || maker == Some(&self.maker.key)
    }
}

/// Lets a request with a working key pass, with its [`Producer`], and their [`Tenant`], as extensions.
pub async fn enter(State(shared): App, mut request: Request, next: Next) -> Result<Response, Problem> {
    let producer = producer_of(&shared, request.headers(), None).await?;
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(KEY_HEADER);
    request.extensions_mut().insert(producer.tenant.clone());
    request.extensions_mut().insert(producer);
    Ok(next.run(request).await)
}

/// The producer with the key in the headers, or else with the one the body gave.
///
/// # Errors
/// 401 for no key, and for one that does not work.
pub async fn producer_of(
    shared: &Shared,
    headers: &HeaderMap,
    in_body: Option<Secret>,
) -> Result<Producer, Problem> {
    let Some(given) = credential(headers).or(in_body) else {
        return Err(Problem::unauthorized(
            "Give an API key: `Authorization: Bearer wbk_…`, `X-Api-Key: wbk_…`, or as the password of HTTP basic.",
        ));
    };
    let unknown =
        || Problem::unauthorized("The API key is not known, or was revoked: make one with `watchbell key`.");
    if !key::may_be_key(given.expose()) {
        return Err(unknown());
    }
    let hash = key::hash(given.expose());
    let now = shared.ingest.clock.now();
    match shared.keys.rights(&shared.ingest.store, &hash, now).await? {
        Some(rights) => Ok(Producer::new(&hash, rights)),
        None => Err(unknown()),
    }
}

/// The key as it was sent. Alertmanager's `http_config` knows bearer and basic.
fn credential(headers: &HeaderMap) -> Option<Secret> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return headers.get(KEY_HEADER)?.to_str().ok().map(Secret::from);
    };
    let (scheme, rest) = authorization.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(Secret::from(rest)),
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            decoded.split_once(':').map(|(_, password)| Secret::from(password))
        }
        _ => None,
    }
}

/// The keys that worked, by their hash: one look into the store a key and [`KEY_TTL`]. At most [`KEYS_MAX`].
#[derive(Debug, Default)]
pub struct Keys {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<String, Known>,
    /// When the store did not answer about a key last.
    away_since: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Known {
    rights: KeyRights,
    since: Timestamp,
}

impl Memory {
    fn is_store_away(&self, now: Timestamp) -> bool {
        self.away_since.is_some_and(|since| is_within(STORE_AWAY, since, now))
    }
}

/// What is remembered of a key.
#[derive(Debug, PartialEq, Eq)]
enum Remembered {
    /// It worked a moment ago: the store need not be asked.
    Fresh(KeyRights),
    /// It worked within the hour, and the store did not answer a moment ago.
    Believed(KeyRights),
    /// It worked within the hour: believed if the store does not answer.
    Old(KeyRights),
    /// Nothing.
    Unknown,
}

/// Whether `since` is less than `max` ago. Not when the clock was set back: then nobody knows how long ago it is.
fn is_within(max: Duration, since: Timestamp, now: Timestamp) -> bool {
    let max_ms = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
    (0..max_ms).contains(&(now.as_millisecond() - since.as_millisecond()))
}

impl Keys {
    async fn rights(&self, store: &Store, hash: &str, now: Timestamp) -> Result<Option<KeyRights>, Problem> {
        let old = match self.remembered(hash, now) {
            Remembered::Fresh(rights) => return Ok(Some(rights)),
            Remembered::Believed(rights) => return Ok(Some(believed(rights))),
            Remembered::Old(rights) => Some(rights),
            Remembered::Unknown => None,
        };
        let asked = match old {
            // A request whose key may be believed does not wait for as long as the store has patience with itself.
            Some(_) => timeout(KEY_ASK_MAX, store.rights_of_key(hash)).await.ok(),
            None => Some(store.rights_of_key(hash).await),
        };
        match (asked, old) {
            (Some(Ok(Some(rights))), _) => {
                self.remember(hash.to_owned(), rights.clone(), now);
                Ok(Some(rights))
            }
            (Some(Ok(None)), _) => {
                self.forget(hash);
                Ok(None)
            }
            (None | Some(Err(StoreError::Unavailable { .. })), Some(rights)) => {
                self.store_is_away(now);
                Ok(Some(believed(rights)))
            }
            (Some(Err(error)), _) => Err(error.into()),
            // Only a key that may be believed is asked about with a deadline.
            (None, None) => Ok(None),
        }
    }

    fn remembered(&self, hash: &str, now: Timestamp) -> Remembered {
        let memory = self.memory();
        let Some(known) = memory.known.get(hash) else { return Remembered::Unknown };
        let rights = known.rights.clone();
        let is_away = memory.is_store_away(now);
        match () {
            () if is_within(KEY_TTL, known.since, now) => Remembered::Fresh(rights),
            () if !is_within(KEY_BELIEVED_MAX, known.since, now) => Remembered::Unknown,
            () if is_away => Remembered::Believed(rights),
            () => Remembered::Old(rights),
        }
    }

    fn remember(&self, hash: String, rights: KeyRights, now: Timestamp) {
        let mut memory = self.memory();
        let known = &mut memory.known;
        if known.len() >= KEYS_MAX {
            known.retain(|_, known| is_within(KEY_BELIEVED_MAX, known.since, now));
        }
        if known.len() >= KEYS_MAX && !known.contains_key(&hash) {
            let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(hash, _)| hash.clone());
            oldest.and_then(|hash| known.remove(&hash));
        }
        known.insert(hash, Known { rights, since: now });
        memory.away_since = None;
    }

    /// A key that was revoked must not be believed later.
    fn forget(&self, hash: &str) {
        self.memory().known.remove(hash);
    }

    /// Whether the store did not answer a moment ago.
    pub fn is_store_away(&self, now: Timestamp) -> bool {
        self.memory().is_store_away(now)
    }

    /// The store did not answer just now.
    pub fn store_is_away(&self, now: Timestamp) {
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

fn believed(rights: KeyRights) -> KeyRights {
    metrics::counter!("watchbell_ingest_keys_believed_total").increment(1);
    rights
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn acme() -> KeyRights {
        KeyRights::of(Tenant::parse("acme").unwrap())
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
            let keys = Keys::default();
            keys.remember("h".into(), acme(), at(10_000));
            keys.memory().away_since = away_since.map(at);
            assert_eq!(keys.remembered("h", at(now)), expected, "{why}");
        }
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let keys = Keys::default();
        for n in 0..=KEYS_MAX {
            keys.remember(n.to_string(), acme(), at(n as i64));
        }
        assert_eq!(keys.memory().known.len(), KEYS_MAX);
        assert_eq!(keys.remembered("0", at(1_024)), Remembered::Unknown);
        assert_ne!(keys.remembered("1", at(1_024)), Remembered::Unknown);
        keys.remember("1".into(), acme(), at(1_024));
        assert_eq!(keys.memory().known.len(), KEYS_MAX, "one that is there already takes nobody's room");
    }

    #[test]
    fn neither_a_credential_nor_what_is_remembered_prints_a_key() {
        let text = "wbk_canary";
        let headers =
            HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {text}").parse().unwrap())]);
        let given = credential(&headers).unwrap();
        let keys = Keys::default();
        keys.remember(key::hash(given.expose()), acme(), at(0));
        assert!(!format!("{given:?} {keys:?}").contains("canary"));
    }

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        for (why, name, value, expected) in [
            ("bearer", "authorization", "Bearer wbk_x", Some("wbk_x")),
            ("schemes have no case", "authorization", "bearer  wbk_x", Some("wbk_x")),
            (
                "basic, any user, colons in the password",
                "authorization",
                "Basic YW06d2JrX3g6eQ==",
                Some("wbk_x:y"),
            ),
            ("its own header", "x-api-key", "wbk_x", Some("wbk_x")),
            ("basic that is not base64", "authorization", "Basic !", None),
            ("a scheme we do not know", "authorization", "Digest wbk_x", None),
            ("no scheme", "authorization", "wbk_x", None),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(credential(&headers).as_ref().map(Secret::expose), expected, "{why}");
        }
    }
}
