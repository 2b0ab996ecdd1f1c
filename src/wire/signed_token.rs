//! Signed tokens of the links in messages and of pushes: what a token says, so that it needs no login and nobody makes one up.
//!
//! What holds here:
//! - A signature is for one purpose: the token of one kind of link is none of another kind.
//! - A token says what it says in the open; its signature only proves that we wrote it.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::domain::Secret;

/// Bytes of the signature that are kept: as many as nobody finds by trying.
pub(super) const TAG_BYTES: usize = 16;
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
        let tag = BASE64_URL_SAFE_NO_PAD.encode(self.tag(&claim));
        format!("{claim}.{tag}")
    }

    /// What a token says, if it is ours.
    pub(super) fn read(&self, token: &str) -> Option<String> {
        let (claim, tag) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        let claim = self.is_tag_of(claim, &tag).then_some(claim)?;
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claim).ok()?).ok()
    }

    /// The signature of a claim alone, for what is written otherwise than as a token.
    pub(super) fn tag(&self, claim: &str) -> [u8; TAG_BYTES] {
        let signature = hmac::sign(&self.key, format!("{} {claim}", self.purpose).as_bytes());
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&signature.as_ref()[..TAG_BYTES]);
        tag
    }

    /// Whether this is our signature of the claim.
    pub(super) fn is_tag_of(&self, claim: &str, tag: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(claim), tag).is_ok()
    }
}
