//! Signatures of webhooks, by the scheme of Standard Webhooks, which has libraries for receivers in many languages:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//!
//! Why not `standardwebhooks` (1.0.1): one HMAC of aws-lc-rs, which TLS uses already, in place of five more crates, and
//! of a base64 (0.21) beside the one that is here.
//!
//! What is signed is `ID.SECONDS.BODY`, by HMAC-SHA256 with a secret that both sides know. A receiver compares the
//! signature, refuses a time that is long gone, and takes a message with an id that it has had for a repetition.

use std::{fmt, ops::RangeInclusive};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;

use crate::domain::Secret;

/// Names the message: every try of it has the same.
pub const ID_HEADER: &str = "webhook-id";
/// When this try was made, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// `v1,` and the signature in base64; several are separated by blanks.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// What a written secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret has.
pub const SECRET_BYTES: RangeInclusive<usize> = 24..=64;

/// What one receiver's messages are signed with. Does not print.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

/// Why a text is no secret. It does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be `whsec_` and the base64 of 24 to 64 random bytes: `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct InvalidSecret;

impl SigningSecret {
    /// Reads one as it is written.
    ///
    /// # Errors
    /// [`InvalidSecret`] says what is accepted.
    pub fn parse(text: &Secret) -> Result<Self, InvalidSecret> {
        let encoded = text.expose().trim().strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret)?;
        let key = BASE64_STANDARD.decode(encoded).ok().filter(|key| SECRET_BYTES.contains(&key.len()));
        key.map(|key| Self(hmac::Key::new(hmac::HMAC_SHA256, &key))).ok_or(InvalidSecret)
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body] {
            signing.update(part);
        }
        format!("v1,{}", BASE64_STANDARD.encode(signing.sign()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

/// The headers of one try, with a signature by each of the secrets: while one takes the place of another, both sign.
pub fn headers(
    secrets: &[SigningSecret],
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> [(&'static str, String); 3] {
    let seconds = at.as_second();
    let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(id, seconds, body)).collect();
    [
        (ID_HEADER, id.to_owned()),
        (TIMESTAMP_HEADER, seconds.to_string()),
        (SIGNATURE_HEADER, signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[derive(Deserialize)]
    struct Fixture {
        why: String,
        secrets: Vec<String>,
        id: String,
        timestamp: i64,
        body: String,
        signature: String,
    }

    /// The example that the scheme's own libraries are tested with, and more of the kind: Python's HMAC signed them
    /// (`tests/fixtures/standard_webhooks.py`).
    #[test]
    fn signatures_are_those_of_another_implementation() {
        let fixtures = include_str!("../../tests/fixtures/standard_webhooks.json");
        let fixtures: Vec<Fixture> = serde_json::from_str(fixtures).unwrap();
        assert_eq!(
            fixtures[0].signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "as the scheme has it"
        );
        for Fixture { why, secrets, id, timestamp, body, signature } in fixtures {
            let secret = |text: &String| SigningSecret::parse(&Secret::from(text.as_str())).unwrap();
            let secrets: Vec<_> = secrets.iter().map(secret).collect();
            let at = Timestamp::from_second(timestamp).unwrap();
            let expected = [
                (ID_HEADER, id.clone()),
                (TIMESTAMP_HEADER, timestamp.to_string()),
                (SIGNATURE_HEADER, signature),
            ];
            assert_eq!(headers(&secrets, &id, at, body.as_bytes()), expected, "{why}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_printed() {
        let of = |bytes: usize| format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(vec![7; bytes]));
        for (why, text, good) in [
            ("the shortest", of(24), true),
            ("the longest", of(64), true),
            ("too short", of(23), false),
            ("too long", of(65), false),
            ("no prefix", of(32).replace(SECRET_PREFIX, ""), false),
            ("no base64", format!("{SECRET_PREFIX}{}", "?".repeat(44)), false),
        ] {
            assert_eq!(SigningSecret::parse(&Secret::from(text)).is_ok(), good, "{why}");
        }
        assert_eq!(format!("{:?}", SigningSecret::parse(&Secret::from(SECRET))), "Ok(redacted)");
    }
}
