//! Who asks: the API key of a request, and the tenant behind it.
//!
//! What holds here:
//! - A key lives as a [`Secret`] between its header and its hash, and the headers are taken off the request, so that
//!   nothing after this module can print one (I12).
//! - A revoked key stops working within [`KEY_TTL`]. Only keys that work are remembered.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use watchbell::{
    domain::{Secret, Tenant},
    store::Store,
    wire::Problem,
};

use crate::{
    App, Shared, key,
    limits::{KEY_TTL, KEYS_MAX},
    store_problem,
};

const KEY_HEADER: &str = "x-api-key";

/// Lets a request with a working key pass, with its [`Tenant`] as an extension.
pub async fn enter(State(shared): App, mut request: Request, next: Next) -> Result<Response, Problem> {
    let tenant = tenant_of(&shared, request.headers()).await?;
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(KEY_HEADER);
    request.extensions_mut().insert(tenant);
    Ok(next.run(request).await)
}

async fn tenant_of(shared: &Shared, headers: &HeaderMap) -> Result<Tenant, Problem> {
    tenant_of_either(shared, headers, None).await
}

/// The tenant of the key in the headers, or else of the one the body gave.
///
/// # Errors
/// 401 for no key, and for one that does not work.
pub async fn tenant_of_either(
    shared: &Shared,
    headers: &HeaderMap,
    in_body: Option<Secret>,
) -> Result<Tenant, Problem> {
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
    match shared.keys.tenant(&shared.ingest.store, hash, now).await? {
        Some(tenant) => Ok(tenant),
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

/// The keys that worked a moment ago, by their hash: one look into the store a key and [`KEY_TTL`].
#[derive(Debug, Default)]
pub struct Keys {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    tenant: Tenant,
    since: Timestamp,
}

impl Known {
    /// Not after the TTL, and not when the clock was set back: then nobody knows how old it is.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let ttl_ms = i64::try_from(KEY_TTL.as_millis()).unwrap_or(i64::MAX);
        let age_ms = now.as_millisecond() - self.since.as_millisecond();
        (0..ttl_ms).contains(&age_ms)
    }
}

impl Keys {
    async fn tenant(&self, store: &Store, hash: String, now: Timestamp) -> Result<Option<Tenant>, Problem> {
        if let Some(tenant) = self.remembered(&hash, now) {
            return Ok(Some(tenant));
        }
        let tenant = store.tenant_of_key(&hash).await.map_err(|error| store_problem(&error))?;
        if let Some(tenant) = &tenant {
            self.remember(hash, tenant.clone(), now);
        }
        Ok(tenant)
    }

    fn remembered(&self, hash: &str, now: Timestamp) -> Option<Tenant> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|known| known.is_fresh(now)).map(|known| known.tenant.clone())
    }

    fn remember(&self, hash: String, tenant: Tenant, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS_MAX {
            known.retain(|_, known| known.is_fresh(now));
        }
        if known.len() >= KEYS_MAX {
            let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(hash, _)| hash.clone());
            oldest.and_then(|hash| known.remove(&hash));
        }
        known.insert(hash, Known { tenant, since: now });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_key_is_remembered_for_its_ttl_and_no_longer() {
        let keys = Keys::default();
        let acme = Tenant::parse("acme").unwrap();
        keys.remember("h".into(), acme.clone(), at(10_000));
        for (why, now, expected) in [
            ("at once", 10_000, Some(&acme)),
            ("to the last millisecond", 14_999, Some(&acme)),
            ("not from the end of the TTL", 15_000, None),
            ("not when the clock was set back", 9_999, None),
        ] {
            assert_eq!(keys.remembered("h", at(now)).as_ref(), expected, "{why}");
        }
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let keys = Keys::default();
        for n in 0..=KEYS_MAX {
            keys.remember(n.to_string(), Tenant::parse("acme").unwrap(), at(n as i64));
        }
        assert_eq!(keys.known.lock().unwrap().len(), KEYS_MAX);
        assert_eq!(keys.remembered("0", at(1_024)), None);
        assert!(keys.remembered("1", at(1_024)).is_some());
    }

    #[test]
    fn neither_a_credential_nor_what_is_remembered_prints_a_key() {
        let text = "wbk_canary";
        let headers =
            HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {text}").parse().unwrap())]);
        let given = credential(&headers).unwrap();
        let keys = Keys::default();
        keys.remember(key::hash(given.expose()), Tenant::parse("acme").unwrap(), at(0));
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
