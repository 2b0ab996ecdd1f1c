//! The key pair that browsers subscribe with (VAPID), and what is signed with it for a push service.
//!
//! What holds here:
//! - A subscription is bound to one key for life: what is sent to it is signed with that key.
//! - A push service has one token for hours, which its pushes share.
//!
//! Source: RFC 8292.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::{AsBigEndian, EcPrivateKeyBin},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Url, header::HeaderValue};
use serde_json::json;
use watchbell::domain::Secret;

use crate::channel::error::{Blame, SendError, SetupError};

/// How long a VAPID token is valid. The standard allows 24 h, and clocks differ.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(12);
/// The age at which it is made anew.
const TOKEN_REFRESH_AGE: SignedDuration = SignedDuration::from_hours(6);
/// Push services whose tokens are kept. Browsers use a handful; naming others gains a client nothing.
const ORIGINS_MAX: usize = 64;

/// The key pair that browsers subscribe with. Bound to every subscription for life: with another key, everybody has to
/// subscribe again.
#[derive(Clone)]
pub struct VapidKey {
    private: Secret,
    public: [u8; 65],
}

impl VapidKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, SetupError> {
        let fault = |_| SetupError::Vapid("no key could be made");
        let key = PrivateKey::generate(&ECDH_P256).map_err(fault)?;
        let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(fault)?;
        Self::parse(&Secret::from(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The private key as the usual tools print it: 32 bytes in base64url.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(private: &Secret) -> Result<Self, SetupError> {
        let fault = SetupError::Vapid("private_key is not 32 bytes in base64url");
        let text = private.expose().trim().trim_end_matches('=').to_owned();
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(&text) else { return Err(fault) };
        let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, &bytes) else { return Err(fault) };
        let Ok(public) = key.compute_public_key() else { return Err(fault) };
        match public.as_ref().try_into() {
            Ok(public) => Ok(Self { private: Secret::from(text), public }),
            Err(_) => Err(fault),
        }
    }

    /// What browsers subscribe with: `applicationServerKey`, in base64url.
    pub fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.public)
    }

    /// For the operator's configuration.
    pub fn private(&self) -> &Secret {
        &self.private
    }

    fn signer(&self) -> Result<EcdsaKeyPair, SetupError> {
        let fault = |()| SetupError::Vapid("private_key cannot sign");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(self.private.expose()).map_err(|_| fault(()))?;
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_private_key_and_public_key(scheme, &bytes, &self.public).map_err(|_| fault(()))
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// Signs for push services with one key.
pub(super) struct VapidSigner {
    pair: EcdsaKeyPair,
    public: String,
    subject: String,
    /// The value of `authorization` by origin, and when it was made.
    tokens: Mutex<HashMap<String, (HeaderValue, Timestamp)>>,
}

impl VapidSigner {
    /// `subject` is whom push services may write to about us.
    pub(super) fn new(key: &VapidKey, subject: &str) -> Result<Self, SetupError> {
        let (pair, public) = (key.signer()?, key.public());
        Ok(Self { pair, public, subject: subject.to_owned(), tokens: Mutex::default() })
    }

    /// The public half, in base64url.
    pub(super) fn public(&self) -> &str {
        &self.public
    }

    /// The token for a push service, which its pushes share.
    pub(super) fn authorization(&self, url: &Url, now: Timestamp) -> Result<HeaderValue, SendError> {
        let origin = url.origin().ascii_serialization();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, made_at)) = tokens.get(&origin) {
            let age = now.duration_since(*made_at);
            if age < TOKEN_REFRESH_AGE && age > -TOKEN_REFRESH_AGE {
                return Ok(header.clone());
            }
        }
        let header = self.sign(&origin, now)?;
        if tokens.len() >= ORIGINS_MAX {
            tokens.clear();
        }
        tokens.insert(origin, (header.clone(), now));
        Ok(header)
    }

    /// A new token for the push service at this origin.
    pub(super) fn sign(&self, origin: &str, now: Timestamp) -> Result<HeaderValue, SendError> {
        let fault = || SendError::ConfigFault {
            blame: Blame::Everybody,
            reason: "the VAPID key cannot sign".to_owned(),
        };
        let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let exp = (now + TOKEN_LIFE).as_second();
        let claims = json!({"aud": origin, "exp": exp, "sub": self.subject});
        let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ES256"})), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| fault())?;
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let mut header =
            HeaderValue::try_from(format!("vapid t={token}, k={}", self.public)).map_err(|_| fault())?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn a_push_service_has_one_token_for_hours() {
        let signer = VapidSigner::new(&VapidKey::generate().unwrap(), "mailto:ops@example.org").unwrap();
        let url = Url::parse("https://push.example/a").unwrap();
        let first = signer.authorization(&url, now()).unwrap();
        let hours = |n| now() + SignedDuration::from_hours(n);
        assert_eq!(signer.authorization(&url, hours(5)).unwrap(), first);
        assert_ne!(signer.authorization(&url, hours(7)).unwrap(), first);
        for n in 0..1_000 {
            let url = Url::parse(&format!("https://push{n}.example/")).unwrap();
            signer.authorization(&url, now()).unwrap();
        }
        assert!(signer.tokens.lock().unwrap().len() <= ORIGINS_MAX);
    }

    #[test]
    fn a_key_reads_what_it_writes_and_does_not_print() {
        let key = VapidKey::generate().unwrap();
        assert_eq!(VapidKey::parse(key.private()).unwrap().public(), key.public());
        assert_eq!(key.public().len(), 87);
        assert!(!format!("{key:?}").contains(key.private().expose()));
        assert!(VapidKey::parse(&Secret::from("AAAA")).is_err());
    }
}
