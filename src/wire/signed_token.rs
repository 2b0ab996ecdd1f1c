//! Signed tokens of the links in messages: what a link says, so that it needs no login and nobody makes one up.
//!
//! What holds here:
//! - A signature is for one purpose: the token of one kind of link is none of another kind.
//! - A token says what it says in the open; its signature only proves that we wrote it.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::domain::Secret;

/// Bytes of the signature that are kept: as many as nobody finds by trying.
const TAG_BYTES: usize = 16;
/// The longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 1_024;

/// Signs and reads the tokens of one purpose with one secret.
#[derive(Clone)]
pub(super) struct TokenSigner {
    key: hmac::Key,
    purpose: &'static str,
}

impl TokenSigner {
    /// The secret should have 32 bytes or more. It may be used for several purposes.
    pub(super) fn new(secret: &Secret, purpose: &'static str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()), purpose }
    }

    /// A token that says this.
    pub(super) fn token(&self, says: &str) -> String {
        let claim = BASE64_URL_SAFE_NO_PAD.encode(says);
        let tag = hmac::sign(&self.key, self.signed(&claim).as_bytes());
        format!("{claim}.{}", BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..TAG_BYTES]))
    }

    /// What a token says, if it is ours.
    pub(super) fn read(&self, token: &str) -> Option<String> {
        let (claim, tag) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        let expected = hmac::sign(&self.key, self.signed(claim).as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], &tag).ok()?;
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claim).ok()?).ok()
    }

    fn signed(&self, claim: &str) -> String {
        format!("{} {claim}", self.purpose)
    }
}
