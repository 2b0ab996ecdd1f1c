//! Apple's provider token: an ES256 JWT, made once and shared by every request.
//!
//! What holds here:
//! - A new token every 50 minutes: Apple refuses those older than 60 and, with 429, those made
//!   within 20 minutes of the last.
//! - Time comes in with each call; there is one token, however many requests ask at once.
//! - `iat` is the time of making, so the clock has to be right: Apple refuses one in the future.
//!
//! Source: "Establishing a token-based connection to APNs",
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use serde::Serialize;
use watchbell::domain::Secret;

use crate::channel::error::{Blame, SendError, SetupError, ThrottleScope};

/// When a token is replaced.
const REFRESH_AGE: SignedDuration = SignedDuration::from_mins(50);
/// When Apple stops accepting one.
const AGE_MAX: SignedDuration = SignedDuration::from_mins(60);
/// The least time between two tokens, as Apple wants it.
const MINT_PAUSE: SignedDuration = SignedDuration::from_mins(20);
/// How far the clock may step back before a token "from the future" is replaced.
const CLOCK_STEP_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Makes and keeps the token of one team and key.
pub(super) struct TokenMint {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Minted>,
    /// What we go back to when Apple says that the current one came too soon.
    previous: Option<Minted>,
    paused_until: Option<Timestamp>,
    /// When a token was last replaced because Apple called it expired.
    forced_at: Option<Timestamp>,
}

#[derive(Clone)]
struct Minted {
    /// `bearer …`, marked sensitive: HPACK never indexes it and `Debug` does not show it.
    header: HeaderValue,
    at: Timestamp,
}

impl Minted {
    fn is_younger_than(&self, age_max: SignedDuration, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        age < age_max && age > -CLOCK_STEP_MAX
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

impl TokenMint {
    /// `key_pem` is the content of the `.p8` file.
    pub(super) fn new(key_pem: &Secret, key_id: &str, team_id: &str) -> Result<Self, SetupError> {
        let key = EncodingKey::from_ec_pem(key_pem.expose().as_bytes()).map_err(|_| SetupError::ApnsKey)?;
        let (key_id, team_id) = (key_id.to_owned(), team_id.to_owned());
        let mint = Self { key, key_id, team_id, state: Mutex::default() };
        // A key of another curve shows only when it signs.
        mint.sign(Timestamp::UNIX_EPOCH).map_err(|_| SetupError::ApnsKey)?;
        Ok(mint)
    }

    /// The value of `authorization`.
    ///
    /// # Errors
    /// [`SendError::Throttled`] while Apple wants no new token and there is no usable old one.
    pub(super) fn current(&self, now: Timestamp) -> Result<HeaderValue, SendError> {
        let mut state = self.state();
        let paused = state.paused_until.filter(|until| *until > now);
        let usable_age = if paused.is_some() { AGE_MAX } else { REFRESH_AGE };
        if let Some(current) = state.current.as_ref().filter(|c| c.is_younger_than(usable_age, now)) {
            return Ok(current.header.clone());
        }
        if let Some(until) = paused {
            return Err(SendError::Throttled {
                retry_after: Some(Duration::try_from(until.duration_since(now)).unwrap_or_default()),
                scope: ThrottleScope::Provider,
                reason: "no new provider token is allowed yet".to_owned(),
            });
        }
        self.mint(&mut state, now)
    }

    /// The token to try instead of `refused`, which Apple called expired: the one that another request
    /// has made meanwhile, or a new one. `None` when the last such replacement is too recent; then it
    /// is not the token's age that is wrong, but a clock.
    pub(super) fn after_expired(
        &self,
        refused: &HeaderValue,
        now: Timestamp,
    ) -> Option<Result<HeaderValue, SendError>> {
        let mut state = self.state();
        if let Some(current) = state.current.as_ref().filter(|current| current.header != refused) {
            return Some(Ok(current.header.clone()));
        }
        let pause_end = state.forced_at.map(|at| at + MINT_PAUSE).max(state.paused_until);
        if pause_end.is_some_and(|end| end > now) {
            return None;
        }
        state.forced_at = Some(now);
        Some(self.mint(&mut state, now))
    }

    /// Apple says that tokens change too often: makes none for 20 minutes, and goes back to the one
    /// before if Apple still takes it.
    pub(super) fn after_too_many(&self, now: Timestamp) {
        let mut state = self.state();
        if state.paused_until.is_some_and(|until| until > now) {
            return; // The answer to an earlier request; it must not prolong the pause.
        }
        state.paused_until = Some(now + MINT_PAUSE);
        if let Some(previous) = state.previous.take().filter(|p| p.is_younger_than(AGE_MAX, now)) {
            state.current = Some(previous);
        }
    }

    fn mint(&self, state: &mut State, now: Timestamp) -> Result<HeaderValue, SendError> {
        let header = self.sign(now)?;
        let minted = Minted { header: header.clone(), at: now };
        state.previous = state.current.replace(minted);
        Ok(header)
    }

    fn sign(&self, now: Timestamp) -> Result<HeaderValue, SendError> {
        let fault = || SendError::ConfigFault {
            blame: Blame::Everybody,
            reason: "the APNs key cannot sign".to_owned(),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        let claims = Claims { iss: &self.team_id, iat: now.as_second() };
        let token = jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| fault())?;
        let mut value = HeaderValue::try_from(format!("bearer {token}")).map_err(|_| fault())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A panic while it was held leaves a whole state behind: each change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mint() -> TokenMint {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        TokenMint::new(&Secret::from(key.serialize_pem()), "KEY", "TEAM").unwrap()
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn a_token_is_what_apple_asks_for() {
        let header = mint().current(at(0)).unwrap();
        let token = header.to_str().unwrap().strip_prefix("bearer ").unwrap();
        let parsed = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!((parsed.alg, parsed.kid.as_deref()), (Algorithm::ES256, Some("KEY")));
        assert!(!token.contains(['+', '/', '=']), "base64url without padding");
        let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).unwrap().claims;
        assert_eq!(claims, serde_json::json!({"iss": "TEAM", "iat": 1_800_000_000}));
        assert!(!format!("{header:?}").contains(token), "it does not print");
    }

    #[test]
    fn one_token_serves_fifty_minutes() {
        let mint = mint();
        let first = mint.current(at(0)).unwrap();
        assert_eq!(mint.current(at(49)).unwrap(), first);
        assert_eq!(mint.current(at(-1)).unwrap(), first, "a request that was early by the clock");
        let second = mint.current(at(50)).unwrap();
        assert_ne!(second, first);
        assert_ne!(mint.current(at(-50)).unwrap(), second, "the clock was set back");
    }

    #[test]
    fn an_expired_token_is_replaced_once_for_all_who_used_it() {
        let mint = mint();
        let first = mint.current(at(0)).unwrap();
        let second = mint.after_expired(&first, at(1)).unwrap().unwrap();
        assert_ne!(second, first);
        assert_eq!(mint.after_expired(&first, at(1)).unwrap().unwrap(), second, "the next one to notice");
        assert!(mint.after_expired(&second, at(2)).is_none(), "not again within 20 minutes");
        assert!(mint.after_expired(&second, at(21)).is_some());
    }

    #[test]
    fn after_too_many_updates_the_old_token_serves_on() {
        let mint = mint();
        let first = mint.current(at(0)).unwrap();
        let second = mint.current(at(50)).unwrap();
        mint.after_too_many(at(51));
        assert_eq!(mint.current(at(51)).unwrap(), first, "ten minutes are left of it");
        assert!(mint.after_expired(&first, at(52)).is_none(), "none is made meanwhile");
        let error = mint.current(at(61)).unwrap_err();
        assert_eq!(error.code(), "throttled", "too old, and too soon for another");
        let third = mint.current(at(71)).unwrap();
        assert!(third != first && third != second);
    }

    #[test]
    fn a_key_that_cannot_sign_is_found_at_the_start() {
        for pem in ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let made = TokenMint::new(&Secret::from(pem), "KEY", "TEAM");
            assert!(matches!(made, Err(SetupError::ApnsKey)));
        }
    }
}
