//! Signatures of our own mails: DKIM (RFC 6376) with RSA, or with Ed25519 (RFC 8463).
//!
//! Written here, because what signing takes is two canonical forms and one call of the cryptography that TLS uses already.
//! lettre's own signs with the crate `rsa`, which has an open advisory about the time that a private key takes
//! (RUSTSEC-2023-0071), and mail-auth brings a resolver and a second cryptography library.
//!
//! What holds here:
//! - Both canonical forms are `relaxed`: what relays do to blanks and line breaks breaks no signature.
//! - What a reader sees and what programs act on is signed, `List-Unsubscribe` and its `-Post` among them (RFC 8058). What a
//!   reader sees is signed once more than it is there, so that nobody adds another of it.
//! - A signature is made of the bytes that go to the relay. A relay that writes the head or the body anew signs by itself.
//! - The key does not print (I12).

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use watchbell::domain::{Secret, email::email_address};

use crate::channel::error::SetupError;

/// Signed once more than they are there: what a reader sees, and where an answer goes.
const SEALED: [&str; 5] = ["From", "To", "Subject", "Date", "Reply-To"];
/// Signed as often as they are there: what programs act on.
const SIGNED: [&str; 11] = [
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "Content-Language",
    "Feedback-ID",
];
/// Characters of Base64 on a line of the header.
const LINE_CHARS: usize = 72;

/// Who signs, and with what.
#[derive(Debug, Clone)]
pub struct DkimConfig {
    /// Whose signature it is: the domain of `from`, or one above it.
    pub domain: String,
    /// Which of the domain's keys.
    pub selector: String,
    /// The private key as PEM: RSA of 2048 bits or more, or Ed25519.
    pub key: Secret,
}

/// Signs mails with one key.
pub(super) struct DkimSigner {
    domain: String,
    selector: String,
    key: SigningKey,
}

enum SigningKey {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    fn of_pem(pem: &Secret) -> Result<Self, SetupError> {
        let no_key = |_| SetupError::Dkim("key is not a PEM of a private key");
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(no_key)?;
        let other = SetupError::Dkim("key must be RSA of 2048 to 8192 bits, or Ed25519");
        match &der {
            PrivateKeyDer::Pkcs1(der) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Self::Rsa).map_err(|_| other)
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // OpenSSL writes Ed25519 without the public key beside it.
                let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::Ed25519);
                RsaKeyPair::from_pkcs8(der).map(Self::Rsa).or_else(|_| ed25519()).map_err(|_| other)
            }
            _ => Err(other),
        }
    }

    /// Its name in a signature.
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463, section 3: what is signed is the digest.
            Self::Ed25519(key) => Some(key.sign(&Sha256::digest(text)).as_ref().to_vec()),
        }
    }

    /// What the domain publishes of it: its kind, and the key.
    fn public(&self) -> Option<(&'static str, Vec<u8>)> {
        Some(match self {
            Self::Rsa(key) => {
                let der: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
                ("rsa", der.as_ref().to_vec())
            }
            Self::Ed25519(key) => ("ed25519", key.public_key().as_ref().to_vec()),
        })
    }
}

/// What a domain publishes so that its signatures can be verified: a TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimRecord {
    /// Where, without a dot at the end.
    pub name: String,
    /// What, as one text. Name servers want a text of more than 255 bytes in several pieces, which readers join.
    pub text: String,
}

impl DkimRecord {
    /// Of the key that signs by this configuration.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn of(config: &DkimConfig) -> Result<Self, SetupError> {
        let signer = DkimSigner::new(config)?;
        let (kind, key) = signer.key.public().ok_or(SetupError::Dkim("key has no public part"))?;
        let DkimSigner { selector, domain, .. } = &signer;
        Ok(Self {
            name: format!("{selector}._domainkey.{domain}"),
            text: format!("v=DKIM1; k={kind}; p={}", BASE64_STANDARD.encode(key)),
        })
    }
}

impl DkimSigner {
    /// Reads the key.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub(super) fn new(config: &DkimConfig) -> Result<Self, SetupError> {
        Ok(Self {
            domain: domain_of(&config.domain).ok_or(SetupError::Dkim("domain is not a domain"))?,
            selector: config.selector.clone(),
            key: SigningKey::of_pem(&config.key)?,
        })
    }

    /// The mail with its signature as its first header. `None`: the cryptography failed.
    pub(super) fn signed(&self, message: &str, now: Timestamp) -> Option<String> {
        let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
        let headers = headers_of(head);
        let (names, mut text) = signed_headers(&headers);
        let value = format!(
            "v=1; a={}; c=relaxed/relaxed;\r\n d={}; s={}; t={};\r\n h={};\r\n bh={};\r\n b=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            now.as_second(),
            names.join(":\r\n  "),
            BASE64_STANDARD.encode(Sha256::digest(relaxed_body(body))),
        );
        text.push_str(relaxed_header("DKIM-Signature", &value).trim_end_matches("\r\n"));
        let signature = BASE64_STANDARD.encode(self.key.sign(text.as_bytes())?);
        Some(format!("DKIM-Signature: {value}{}\r\n{message}", folded(&signature)))
    }
}

impl fmt::Debug for DkimSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimSigner").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Whether a text can be a selector: parts of a domain's name.
pub(super) fn is_selector(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    text.len() <= 128 && text.split('.').all(is_label)
}

/// A domain in its ASCII form.
pub(super) fn domain_of(text: &str) -> Option<String> {
    let address = email_address(&format!("a@{text}")).ok()?;
    let domain = address.expose().strip_prefix("a@")?;
    (!domain.starts_with('[')).then(|| domain.to_owned())
}

/// The headers in their order: the name, and the value as it stands there, with its folds.
fn headers_of(head: &str) -> Vec<(&str, &str)> {
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        // A line that begins with a blank belongs to the one before.
        let end = rest
            .match_indices("\r\n")
            .find(|(at, _)| !rest[at + 2..].starts_with([' ', '\t']))
            .map_or(rest.len(), |(at, _)| at);
        headers.extend(rest[..end].split_once(':'));
        rest = rest[end..].strip_prefix("\r\n").unwrap_or("");
    }
    headers
}

/// Which headers are signed, and the text that is signed of them.
fn signed_headers(headers: &[(&str, &str)]) -> (Vec<&'static str>, String) {
    let (mut names, mut text) = (Vec::new(), String::new());
    for name in SEALED.into_iter().chain(SIGNED) {
        // Of several, the last is signed first (RFC 6376, section 5.4.2).
        for (_, value) in headers.iter().rev().filter(|(found, _)| found.trim().eq_ignore_ascii_case(name)) {
            names.push(name);
            text.push_str(&relaxed_header(name, value));
        }
        if SEALED.contains(&name) {
            names.push(name);
        }
    }
    (names, text)
}

/// RFC 6376, section 3.4.2.
fn relaxed_header(name: &str, value: &str) -> String {
    let words: Vec<&str> = value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}\r\n", name.trim().to_ascii_lowercase(), words.join(" "))
}

/// RFC 6376, section 3.4.4.
fn relaxed_body(body: &str) -> String {
    let mut relaxed = String::with_capacity(body.len());
    let mut empty_lines = 0;
    for line in body.split("\r\n") {
        let line = line.trim_end_matches([' ', '\t']);
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        relaxed.push_str(&"\r\n".repeat(empty_lines));
        empty_lines = 0;
        let mut was_blank = false;
        for c in line.chars() {
            let is_blank = matches!(c, ' ' | '\t');
            match is_blank {
                true if was_blank => {}
                true => relaxed.push(' '),
                false => relaxed.push(c),
            }
            was_blank = is_blank;
        }
        relaxed.push_str("\r\n");
    }
    relaxed
}

/// Base64 in lines of a header. Readers leave the blanks out.
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 20);
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % LINE_CHARS == 0 {
            folded.push_str("\r\n  ");
        }
        folded.push(c);
    }
    folded
}

#[cfg(test)]
#[path = "dkim_tests.rs"]
mod tests;
