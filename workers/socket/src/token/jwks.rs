//! The public keys of a sign-in service, read from its address (a JWK set, RFC 7517, section 5).
//!
//! What holds here:
//! - One reader, the worker's own task: however many tokens name an unknown key, one request is under way, and they
//!   come [`READ_EVERY_MIN`] apart at the least. Whoever hangs up meanwhile stops nothing.
//! - An address that fails costs nothing for [`KEYS_AGE_MAX`]: the keys that were read last go on.
//! - The key decides the algorithm: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA. Secrets (`oct`) are never taken.
//!
//! The set is read by `jsonwebtoken` (11.1), which fetches and keeps none. What is by hand is when to ask: that is where the
//! bounds above are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{domain::Untrusted, runtime::config::AuthConfig};

use super::validation::validation;

/// What tokens of these keys may be signed with.
pub(crate) const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How often the keys are read when nothing happens, so that one that was taken back is not believed for long.
const READ_EVERY: Duration = Duration::from_secs(5 * 60);
/// The least time between two readings, whatever tokens name.
const READ_EVERY_MIN: Duration = Duration::from_secs(5);
/// How long one reading may take.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// How long keys are believed without being read again.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest set looked at, in bytes, and the keys taken from it.
const SET_BYTES_MAX: usize = 64 * 1024;
const KEYS_MAX: usize = 32;

/// One key, and what is asked of the tokens it signed.
pub(crate) struct VerificationKey {
    pub(crate) kid: Option<String>,
    pub(crate) key: DecodingKey,
    pub(crate) validation: Validation,
}

/// Whether the keys were read after somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// All of the reading happened since.
    Since,
    /// It failed, had begun before, or would have been too soon after the last one.
    Not,
}

/// Knows the keys of one address.
pub(crate) struct Jwks {
    url: Url,
    http: Client,
    auth: AuthConfig,
    known: watch::Sender<ReadKeys>,
    wanted: Notify,
}

/// The keys that were read last, and how the readings went.
#[derive(Clone, Default)]
struct ReadKeys {
    keys: Arc<[VerificationKey]>,
    read_at: Option<Instant>,
    /// Readings that were begun and ended, well or not.
    begun: u64,
    ended: u64,
    begun_at: Option<Instant>,
    has_failed: bool,
}

impl ReadKeys {
    fn may_be_read(&self, now: Instant) -> bool {
        self.begun_at.is_none_or(|begun| now >= begun + READ_EVERY_MIN)
    }
}

impl Jwks {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// The address is none, or not safe to take keys from.
    pub(crate) fn new(url: &str, auth: &AuthConfig) -> anyhow::Result<Self> {
        let url = Url::parse(url).context("is not an address")?;
        ensure!(
            is_unchanged_on_its_way(&url),
            "must be https: whoever changes the keys on their way could sign in as anybody"
        );
        let http = Client::builder()
            .timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none()) // It might lead to an address that is not safe.
            .referer(false)
            .build()
            .context("no HTTP client can be made")?;
        let known = watch::Sender::new(ReadKeys::default());
        Ok(Self { url, http, auth: auth.clone(), known, wanted: Notify::new() })
    }

    /// The keys that are believed now.
    pub(crate) fn keys(&self) -> Arc<[VerificationKey]> {
        let known = self.known.borrow();
        match known.read_at.is_some_and(|read_at| read_at.elapsed() < KEYS_AGE_MAX) {
            true => known.keys.clone(),
            false => Arc::default(),
        }
    }

    /// Has the keys read, and waits for that, unless they were just read. Cancel-safe.
    pub(crate) async fn refresh(&self) -> Refreshed {
        let mut readings = self.known.subscribe();
        let (begun, ended, may_be_read) = {
            let known = readings.borrow_and_update();
            (known.begun, known.ended, known.may_be_read(Instant::now()))
        };
        let is_reading = begun > ended;
        if !is_reading && !may_be_read {
            return Refreshed::Not;
        }
        self.wanted.notify_one();
        let read = timeout(READ_TIMEOUT, readings.wait_for(|known| known.ended > ended)).await;
        let has_failed = match read {
            Ok(Ok(known)) => known.has_failed,
            Ok(Err(_)) | Err(_) => true,
        };
        if is_reading || has_failed { Refreshed::Not } else { Refreshed::Since }
    }

    /// Reads the keys now, when they are old, and when they are wanted, until `stop`.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        let work = async {
            loop {
                self.read().await;
                self.until_due().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn until_due(&self) {
        let (begun_at, has_failed) = {
            let known = self.known.borrow();
            (known.begun_at.unwrap_or_else(Instant::now), known.has_failed)
        };
        let due = begun_at + if has_failed { READ_EVERY_MIN } else { READ_EVERY };
        loop {
            tokio::select! {
                () = sleep_until(due) => return,
                () = self.wanted.notified() => if self.known.borrow().may_be_read(Instant::now()) { return },
            }
        }
    }

    async fn read(&self) {
        self.known.send_modify(|known| {
            known.begun += 1;
            known.begun_at = Some(Instant::now());
        });
        let fetched = self.fetch().await;
        let outcome = if fetched.is_ok() { "read" } else { "failed" };
        metrics::counter!("watchbell_socket_jwks_readings_total", "outcome" => outcome).increment(1);
        if let Err(error) = &fetched {
            warn!("auth.jwks_url cannot be read; the keys of before are believed on: {:#}", Untrusted(error));
        }
        self.known.send_modify(|known| {
            known.ended += 1;
            known.has_failed = fetched.is_err();
            if let Ok(keys) = fetched {
                if known.keys.len() != keys.len() {
                    info!(keys = keys.len(), "Keys were read from auth.jwks_url");
                }
                known.keys = keys.into();
                known.read_at = Some(Instant::now());
            }
        });
    }

    async fn fetch(&self) -> anyhow::Result<Vec<VerificationKey>> {
        keys_of(&self.fetch_set().await?, &self.auth)
    }

    /// The set as the address has it now.
    pub(super) async fn fetch_set(&self) -> anyhow::Result<Vec<u8>> {
        // The address may hold a key of its own, so errors leave it out.
        let mut answer = self.http.get(self.url.clone()).send().await.map_err(reqwest::Error::without_url)?;
        ensure!(answer.status().is_success(), "it answers {}", answer.status());
        let mut set = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            ensure!(set.len() + chunk.len() <= SET_BYTES_MAX, "it is longer than {SET_BYTES_MAX} bytes");
            set.extend_from_slice(&chunk);
        }
        Ok(set)
    }
}

/// The keys of a set that sign tokens in a way we believe; others are passed over (RFC 7517, section 5).
pub(crate) fn keys_of(set: &[u8], auth: &AuthConfig) -> anyhow::Result<Vec<VerificationKey>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(set).context("it is no JWK set")?;
    let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    let keys: Vec<VerificationKey> = keys.filter_map(|key| key_of(&key, auth)).take(KEYS_MAX).collect();
    if keys.is_empty() {
        bail!("it has no key for RS256, ES256 or EdDSA");
    }
    Ok(keys)
}

fn key_of(jwk: &Jwk, auth: &AuthConfig) -> Option<VerificationKey> {
    let (algorithm, stated) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|said| said == stated);
    let key = DecodingKey::from_jwk(jwk).ok()?;
    signs.then(|| VerificationKey {
        kid: common.key_id.clone(),
        key,
        validation: validation(auth, algorithm),
    })
}

/// Whether nobody between here and there changes what is said: over TLS, or within this machine.
pub fn is_unchanged_on_its_way(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(url.host_str().unwrap_or_default()))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
