//! Signatures of what SendGrid and Mailgun post, where their keys are configured. Amazon's are in `sns`; Postmark signs nothing, and
//! gives the API key as the password of HTTP basic.
//!
//! What holds here:
//! - Where the key is configured, what is not signed with it is refused. The API key is asked for in any case.
//! - SendGrid signs the body. Mailgun signs a time and a word that it says once: it proves that Mailgun posted at that time, and
//!   nothing of the body. So its signature is refused when it is old or from ahead of time, and when this process has seen the word with
//!   another event: what Mailgun posts again is the same.
//!
//! Sources, as of 2026-11:
//! - SendGrid: <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>
//! - Mailgun: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    digest, hmac,
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use watchbell::{
    domain::{Secret, Timestamp},
    wire::Problem,
};
use x509_parser::{prelude::FromDer as _, x509::SubjectPublicKeyInfo};

const SENDGRID_SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const SENDGRID_TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
/// How old a signature of Mailgun's may be: it posts again for eight hours.
const MAILGUN_AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// By how much Mailgun's clock may be ahead of ours.
const MAILGUN_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Words of Mailgun's that are kept, all of them in 3 MiB; beyond these the oldest are forgotten.
const MAILGUN_WORDS_MAX: usize = 16 * 1024;

/// The keys that are configured.
#[derive(Default)]
pub struct MailSignatures {
    /// A point of P-256.
    sendgrid: Option<Vec<u8>>,
    mailgun: Option<hmac::Key>,
    said_by_mailgun: Mutex<SaidWords>,
}

/// The words that were said, each with the event it was said with.
#[derive(Default)]
struct SaidWords {
    events: HashMap<Hash, Hash>,
    oldest_first: VecDeque<Hash>,
}

/// By which a text is known again: its SHA-256.
type Hash = [u8; 32];

impl SaidWords {
    /// Whether the word may come with this event: it comes for the first time, or as it came before.
    fn may_come(&mut self, word: &str, event: &Value) -> bool {
        let (word, event) = (hash_of(word.as_bytes()), hash_of(event.to_string().as_bytes()));
        if let Some(before) = self.events.get(&word) {
            return *before == event;
        }
        if self.oldest_first.len() >= MAILGUN_WORDS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.events.remove(&oldest);
        }
        self.oldest_first.push_back(word);
        self.events.insert(word, event);
        true
    }
}

fn hash_of(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// `ingest.sendgrid_public_key` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the verification key that SendGrid shows, in base64: MFkw…")]
pub struct InvalidSendgridKey;

/// The point in a public key as SendGrid shows it: base64 of a SubjectPublicKeyInfo.
///
/// # Errors
/// It is something else.
pub fn sendgrid_point(key: &str) -> Result<Vec<u8>, InvalidSendgridKey> {
    let der = STANDARD.decode(key.trim()).map_err(|_| InvalidSendgridKey)?;
    let (rest, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| InvalidSendgridKey)?;
    let point = info.subject_public_key.data.to_vec();
    // Uncompressed: a mark and two coordinates.
    (rest.is_empty() && point.len() == 65 && point[0] == 4).then_some(point).ok_or(InvalidSendgridKey)
}

impl MailSignatures {
    /// With the keys that there are.
    ///
    /// # Errors
    /// SendGrid's is no key.
    pub fn new(sendgrid: Option<&str>, mailgun: Option<&Secret>) -> Result<Self, InvalidSendgridKey> {
        let mailgun = mailgun.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
        Ok(Self {
            sendgrid: sendgrid.map(sendgrid_point).transpose()?,
            mailgun,
            said_by_mailgun: Mutex::default(),
        })
    }

    /// Whether this provider posted this, as far as its key tells.
    ///
    /// # Errors
    /// It is not signed by it.
    pub fn check(
        &self,
        provider: &str,
        headers: &HeaderMap,
        body: &[u8],
        post: &Value,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let is_good = match (provider, &self.sendgrid, &self.mailgun) {
            ("sendgrid", Some(key), _) => is_of_sendgrid(key, headers, body).is_some(),
            ("mailgun", _, Some(key)) => is_of_mailgun(key, &post["signature"], now).is_some_and(|word| {
                let mut said = self.said_by_mailgun.lock().unwrap_or_else(PoisonError::into_inner);
                said.may_come(word, &post["event-data"])
            }),
            _ => true,
        };
        let refused =
            || Problem::forbidden(format!("This is not signed by {provider}, whose key is configured."));
        is_good.then_some(()).ok_or_else(refused)
    }
}

fn is_of_sendgrid(key: &[u8], headers: &HeaderMap, body: &[u8]) -> Option<()> {
    let header = |name| headers.get(name)?.to_str().ok();
    let signature = STANDARD.decode(header(SENDGRID_SIGNATURE)?).ok()?;
    let signed = [header(SENDGRID_TIMESTAMP)?.as_bytes(), body].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(&signed, &signature).ok()
}

/// The word that Mailgun signed, where it did.
fn is_of_mailgun<'a>(key: &hmac::Key, signature: &'a Value, now: Timestamp) -> Option<&'a str> {
    let field = |name| signature[name].as_str();
    let (timestamp, token) = (field("timestamp")?, field("token")?);
    let signed_at = Timestamp::from_second(timestamp.parse().ok()?).ok()?;
    let age = now.duration_since(signed_at);
    let age_max = if age.is_negative() { MAILGUN_AHEAD_MAX } else { MAILGUN_AGE_MAX };
    if age.unsigned_abs() > age_max {
        return None;
    }
    let tag = from_hex(field("signature")?)?;
    hmac::verify(key, format!("{timestamp}{token}").as_bytes(), &tag).ok().map(|()| token)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
#[path = "signatures_tests.rs"]
mod tests;
