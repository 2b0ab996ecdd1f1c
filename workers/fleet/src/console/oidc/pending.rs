//! Sign-ins that were begun here and have not come back yet.
//!
//! What holds here:
//! - One is taken once, by whoever shows its `state` and the cookie of the browser that began it, within [`AGE_MAX`].
//! - At most [`PENDING_MAX`] are kept. One more takes the place of the oldest.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use watchbell::domain::Secret;

use crate::oidc::service::Endpoints;

/// How long somebody may take to sign in at the service.
pub(super) const AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Sign-ins that are under way in one process. One is about 1 KB.
const PENDING_MAX: usize = 512;
/// Random bytes of each word. As base64url they are 43 characters, the least that PKCE takes (RFC 7636, section 4.1).
const RANDOM_BYTES: usize = 32;

/// Everybody who is away to sign in, by the hash of their `state`.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<[u8; 32], Begun>>);

/// A sign-in that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// What the ID token has to repeat.
    pub(super) nonce: String,
    /// What the code is worth nothing without (RFC 7636).
    pub(super) verifier: Secret,
    pub(super) endpoints: Endpoints,
    cookie_hash: [u8; 32],
    at: Instant,
}

/// What the browser takes along.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) nonce: String,
    /// The verifier's hash (`S256`).
    pub(super) challenge: String,
    /// What the browser that began it keeps as a cookie, and shows when it comes back.
    pub(super) cookie: Secret,
}

impl Pending {
    /// Keeps a new sign-in with values of its own, and returns those that the browser is given.
    pub(super) fn begin(&self, endpoints: Endpoints, rng: &mut impl CryptoRng, now: Instant) -> Asked {
        let verifier = random(rng);
        let asked = Asked {
            state: random(rng),
            nonce: random(rng),
            challenge: URL_SAFE_NO_PAD.encode(hash(&verifier)),
            cookie: Secret::from(random(rng)),
        };
        let begun = Begun {
            nonce: asked.nonce.clone(),
            verifier: Secret::from(verifier),
            endpoints,
            cookie_hash: hash(asked.cookie.expose()),
            at: now,
        };
        let mut pending = self.lock();
        pending.retain(|_, begun| !begun.is_over(now));
        if pending.len() >= PENDING_MAX {
            let oldest = pending.iter().min_by_key(|(_, begun)| begun.at).map(|(state, _)| *state);
            oldest.and_then(|state| pending.remove(&state));
        }
        pending.insert(hash(&asked.state), begun);
        asked
    }

    /// Takes the sign-in with this state, if it was begun in the browser that has this cookie, and not long ago.
    pub(super) fn take(&self, state: &str, cookie: Option<&str>, now: Instant) -> Option<Begun> {
        let begun = self.lock().remove(&hash(state))?;
        (!begun.is_over(now) && cookie.is_some_and(|cookie| hash(cookie) == begun.cookie_hash))
            .then_some(begun)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Begun>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= AGE_MAX
    }
}

fn random(rng: &mut impl CryptoRng) -> String {
    let mut bytes = [0; RANDOM_BYTES];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_sign_in_comes_back_once_to_the_browser_that_began_it() {
        let (begun, mut rng) = (Instant::now(), StdRng::seed_from_u64(7));
        let pending = Pending::default();
        let later = |seconds| begun + Duration::from_secs(seconds);
        for (why, has_state, has_cookie, after_s, expected) in [
            ("it comes back", true, true, 599, true),
            ("another state", false, true, 1, false),
            ("another browser", true, false, 1, false),
            ("too late", true, true, 600, false),
        ] {
            let asked = pending.begin(Endpoints::default(), &mut rng, begun);
            let state = if has_state { asked.state.as_str() } else { "another" };
            let cookie = has_cookie.then(|| asked.cookie.expose());
            let taken = pending.take(state, cookie, later(after_s));
            assert_eq!(taken.is_some(), expected, "{why}");
            assert!(taken.is_none_or(|taken| taken.nonce == asked.nonce), "{why}");
            assert!(
                !has_state || pending.take(&asked.state, Some(asked.cookie.expose()), begun).is_none(),
                "{why}: once"
            );
        }
    }

    #[test]
    fn only_so_many_are_kept_and_the_oldest_goes() {
        let (begun, mut rng) = (Instant::now(), StdRng::seed_from_u64(7));
        let pending = Pending::default();
        let at = |n: usize| begun + Duration::from_millis(n as u64);
        let all: Vec<Asked> =
            (0..=PENDING_MAX).map(|n| pending.begin(Endpoints::default(), &mut rng, at(n))).collect();
        let is_kept = |asked: &Asked| {
            pending.take(&asked.state, Some(asked.cookie.expose()), at(PENDING_MAX)).is_some()
        };
        let kept: Vec<bool> = all.iter().map(is_kept).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), PENDING_MAX);
        assert!(!kept[0], "the first one");
    }

    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(URL_SAFE_NO_PAD.encode(hash(verifier)), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
