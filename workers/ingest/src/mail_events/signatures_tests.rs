//! Whose posts are believed: signatures made here, with keys made here.

#![allow(clippy::unwrap_used)]

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn sendgrid_signs_the_body() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let shown = STANDARD.encode(key.subject_public_key_info());
    let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
    let signatures = MailSignatures::new(Some(&shown), None).unwrap();
    let (timestamp, body) = ("1796040000", br#"[{"event": "bounce"}]"#.as_slice());
    let signed = [timestamp.as_bytes(), body].concat();
    let signature = STANDARD.encode(signing.sign(&SystemRandom::new(), &signed).unwrap());

    let headers = |signature: Option<&str>, timestamp: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(SENDGRID_TIMESTAMP, timestamp.parse().unwrap());
        if let Some(signature) = signature {
            headers.insert(SENDGRID_SIGNATURE, signature.parse().unwrap());
        }
        headers
    };
    let of_another = STANDARD.encode(signing.sign(&SystemRandom::new(), b"another").unwrap());
    for (why, headers, body, is_good) in [
        ("as it was signed", headers(Some(&signature), timestamp), body, true),
        ("another body", headers(Some(&signature), timestamp), b"[]".as_slice(), false),
        ("another time", headers(Some(&signature), "1796040001"), body, false),
        ("another signature", headers(Some(&of_another), timestamp), body, false),
        ("no base64", headers(Some("?"), timestamp), body, false),
        ("no signature", headers(None, timestamp), body, false),
    ] {
        let checked = signatures.check("sendgrid", &headers, body, &Value::Null, at(0));
        assert_eq!(checked.is_ok(), is_good, "{why}");
        let unchecked = MailSignatures::default().check("sendgrid", &headers, body, &Value::Null, at(0));
        assert!(unchecked.is_ok(), "{why}: no key is configured");
    }
    let ed25519 = STANDARD.encode(KeyPair::generate_for(&PKCS_ED25519).unwrap().subject_public_key_info());
    for (why, key) in
        [("another kind", ed25519.as_str()), ("no base64", "?"), ("cut short", &shown[..40]), ("nothing", "")]
    {
        assert_eq!(sendgrid_point(key), Err(InvalidSendgridKey), "{why}");
    }
}

#[test]
fn mailgun_signs_when_it_posts() {
    let secret = Secret::from("a-key-of-tests");
    let signatures = MailSignatures::new(None, Some(&secret)).unwrap();
    let sign = |secret: &str, text: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let good = sign("a-key-of-tests", "1000word");
    const HOUR: i64 = 60 * 60;
    for (why, signature, now, is_good) in [
        ("as it was signed", json!({"timestamp": "1000", "token": "word", "signature": good}), 1_000, true),
        (
            "posted again",
            json!({"timestamp": "1000", "token": "word", "signature": good}),
            1_000 + 8 * HOUR,
            true,
        ),
        (
            "a clock that is a little ahead",
            json!({"timestamp": "1000", "token": "word", "signature": good}),
            1_000 - 240,
            true,
        ),
        (
            "far ahead of time",
            json!({"timestamp": "1000", "token": "word", "signature": good}),
            1_000 - 11 * HOUR,
            false,
        ),
        ("old", json!({"timestamp": "1000", "token": "word", "signature": good}), 1_000 + 13 * HOUR, false),
        ("another word", json!({"timestamp": "1000", "token": "w", "signature": good}), 1_000, false),
        ("another time", json!({"timestamp": "1001", "token": "word", "signature": good}), 1_000, false),
        (
            "another key",
            json!({"timestamp": "1000", "token": "word", "signature": sign("another", "1000word")}),
            1_000,
            false,
        ),
        ("half of it", json!({"timestamp": "1000", "token": "word", "signature": good[..9]}), 1_000, false),
        ("no hexadecimal", json!({"timestamp": "1000", "token": "word", "signature": "żó"}), 1_000, false),
        ("nothing", json!(null), 1_000, false),
    ] {
        let post = json!({"signature": signature});
        let checked = signatures.check("mailgun", &HeaderMap::new(), b"", &post, at(now));
        assert_eq!(checked.is_ok(), is_good, "{why}");
        let of_another = signatures.check("postmark", &HeaderMap::new(), b"", &post, at(now));
        assert!(of_another.is_ok(), "{why}: another provider's");
    }
}

#[test]
fn a_word_of_mailguns_counts_for_one_event() {
    let secret = Secret::from("a-key-of-tests");
    let signatures = MailSignatures::new(None, Some(&secret)).unwrap();
    let check = |word: &str, event: Value| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let tag = hmac::sign(&key, format!("1000{word}").as_bytes());
        let tag = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let signature = json!({"timestamp": "1000", "token": word, "signature": tag});
        let post = json!({"signature": signature, "event-data": event});
        signatures.check("mailgun", &HeaderMap::new(), b"", &post, at(1_000)).is_ok()
    };
    let event = |recipient: &str| json!({"event": "failed", "recipient": recipient});
    assert!(check("word", event("ana@example.com")));
    assert!(check("word", event("ana@example.com")), "posted again");
    assert!(!check("word", event("ben@example.com")), "used for somebody else");
    assert!(check("another", event("ben@example.com")));
    for word in 0..MAILGUN_WORDS_MAX {
        check(&format!("word-{word}"), event("cleo@example.com"));
    }
    let said = signatures.said_by_mailgun.lock().unwrap();
    assert_eq!((said.events.len(), said.oldest_first.len()), (MAILGUN_WORDS_MAX, MAILGUN_WORDS_MAX));
}
