//! Amazon SNS, which wraps the events of SES: who signed a message, and confirming a subscription
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
//!
//! What holds here:
//! - Only addresses of SNS itself are called, over TLS, and what is called is what the signed message names. An operator may name
//!   one more origin (`[ingest.sns]`), for something that stands in for Amazon.
//! - A message without a good signature is refused. A certificate is fetched once and kept, a few at a time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Certificate, Client, Url, redirect};
use serde_json::Value;
use tracing::info;
use watchbell::{runtime::http::RETRY_AFTER_S, wire::Problem};
use x509_parser::pem::parse_x509_pem;

/// How long a call of SNS may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// The longest certificate, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Certificates that are kept.
const CERTIFICATES_MAX: usize = 32;

/// Opens messages of SNS.
#[derive(Default)]
pub struct Sns {
    client: Option<Client>,
    /// What stands in for Amazon, if something does.
    stand_in: Option<Url>,
    /// The public keys of certificates, by where they are.
    keys: Mutex<HashMap<String, Vec<u8>>>,
}

/// What was in a message.
#[derive(Debug, PartialEq)]
pub enum Opened {
    /// An event of SES.
    Message(Value),
    /// A subscription that is confirmed now, or that ended.
    Subscription,
}

impl Sns {
    /// With a client of its own, which also trusts the roots in this PEM.
    ///
    /// # Errors
    /// There is no TLS here, or the PEM holds no certificates.
    pub fn new(stand_in: Option<&str>, trust_root_pem: Option<&str>) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(CALL_MAX).redirect(redirect::Policy::none()).https_only(true);
        let client = match trust_root_pem {
            Some(pem) => client.tls_certs_merge(Certificate::from_pem_bundle(pem.as_bytes())?),
            None => client,
        };
        Ok(Self {
            client: Some(client.build()?),
            stand_in: stand_in.and_then(origin_of),
            keys: Mutex::default(),
        })
    }

    /// The event in a message whose signature is good; a subscription is confirmed.
    ///
    /// # Errors
    /// The message is none of SNS, or SNS could not be reached.
    pub async fn open(&self, message: &Value) -> Result<Opened, Problem> {
        let signed = signed_text(message).ok_or_else(|| {
            Problem::forbidden("The body is no message of Amazon SNS: turn raw message delivery off.")
        })?;
        let address = self.address_in(message, "SigningCertURL", ".pem")?;
        self.check(message, &signed, &address).await?;
        match message["Type"].as_str() {
            Some("Notification") => {
                let inner = message["Message"].as_str().unwrap_or_default();
                Ok(Opened::Message(serde_json::from_str(inner).unwrap_or_default()))
            }
            Some("SubscriptionConfirmation") => {
                self.get(&self.address_in(message, "SubscribeURL", "")?).await?;
                let topic = message["TopicArn"].as_str().unwrap_or_default();
                info!(topic, "Subscribed to the events of a mail account");
                Ok(Opened::Subscription)
            }
            _ => Ok(Opened::Subscription),
        }
    }

    async fn check(&self, message: &Value, signed: &str, certificate: &Url) -> Result<(), Problem> {
        let bad = || Problem::forbidden("The message is not signed by Amazon SNS.");
        let signature =
            STANDARD.decode(message["Signature"].as_str().unwrap_or_default()).map_err(|_| bad())?;
        let known =
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(certificate.as_str()).cloned();
        let key = match known {
            Some(key) => key,
            None => {
                let key = public_key_of(&self.get(certificate).await?).ok_or_else(bad)?;
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                if keys.len() >= CERTIFICATES_MAX {
                    keys.clear();
                }
                keys.insert(certificate.as_str().to_owned(), key.clone());
                key
            }
        };
        is_signed(&key, message["SignatureVersion"].as_str(), signed, &signature)
            .then_some(())
            .ok_or_else(bad)
    }

    /// The address in this field, which must be one of SNS itself, or of what stands in for it.
    fn address_in(&self, message: &Value, field: &'static str, ending: &str) -> Result<Url, Problem> {
        let refused = || Problem::forbidden(format!("`{field}` is not an address of Amazon SNS."));
        let address = Url::parse(message[field].as_str().unwrap_or_default()).map_err(|_| refused())?;
        let is_of_stand_in = self.stand_in.as_ref().is_some_and(|it| it.origin() == address.origin());
        let is_allowed = is_of_stand_in || is_of_sns(&address);
        (is_allowed && address.path().ends_with(ending)).then_some(address).ok_or_else(refused)
    }

    async fn get(&self, address: &Url) -> Result<Vec<u8>, Problem> {
        let away = || Problem::unavailable("Amazon SNS could not be reached: send it again.", RETRY_AFTER_S);
        let client = self.client.as_ref().ok_or_else(away)?;
        let mut answer = client.get(address.clone()).send().await.map_err(|_| away())?;
        if !answer.status().is_success() {
            return Err(away());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| away())? {
            if body.len() + chunk.len() > CERTIFICATE_BYTES_MAX {
                return Err(away());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Whether this may stand in for Amazon: an https origin.
pub fn is_origin(text: &str) -> bool {
    origin_of(text).is_some()
}

fn origin_of(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.path() == "/")
}

/// Whether an address is one of SNS itself.
fn is_of_sns(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default();
    let region = host.strip_prefix("sns.").and_then(|rest| {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    });
    let is_region = region.is_some_and(|region| {
        // `sns` may be a bucket of S3.
        !region.is_empty()
            && !region.starts_with("s3")
            && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    });
    is_region && address.scheme() == "https" && address.port().is_none() && address.username().is_empty()
}

/// What is signed: the fields of this kind of message, in order, each with its name.
fn signed_text(message: &Value) -> Option<String> {
    let fields: &[&str] = match message["Type"].as_str()? {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        }
        _ => return None,
    };
    let mut text = String::new();
    for field in fields {
        match message[*field].as_str() {
            Some(value) => text.extend([field, "\n", value, "\n"]),
            None if *field == "Subject" => {}
            None => return None,
        }
    }
    Some(text)
}

/// The RSA key in a certificate, as PKCS #1 has it.
fn public_key_of(pem: &[u8]) -> Option<Vec<u8>> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

fn is_signed(key: &[u8], version: Option<&str>, text: &str, signature: &[u8]) -> bool {
    let algorithm = match version {
        Some("1") => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Some("2") => &RSA_PKCS1_2048_8192_SHA256,
        _ => return false,
    };
    UnparsedPublicKey::new(algorithm, key).verify(text.as_bytes(), signature).is_ok()
}

#[cfg(test)]
#[path = "sns_tests.rs"]
mod tests;
