//! What of Amazon's messages is believed: signatures made here, with a certificate made here.

#![allow(clippy::unwrap_used)]

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::*;

const CERTIFICATE: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem";

/// Somebody who signs, and who is believed.
fn signer() -> (RsaKeyPair, Sns) {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate =
        CertificateParams::new(["sns.amazonaws.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let signing = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
    let known = public_key_of(certificate.pem().as_bytes()).unwrap();
    let keys = HashMap::from([(CERTIFICATE.to_owned(), known)]);
    let _ = KeySize::Rsa2048;
    (signing, Sns { keys: Mutex::new(keys), ..Sns::default() })
}

fn signed(signer: &RsaKeyPair, mut message: Value) -> Value {
    let text = signed_text(&message).unwrap();
    let mut signature = vec![0; signer.public_modulus_len()];
    signer.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["Signature"] = json!(STANDARD.encode(signature));
    message
}

fn notification() -> Value {
    json!({
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:1:mail",
        "Message": r#"{"notificationType":"Bounce"}"#, "Timestamp": "2026-11-30T12:00:00.000Z",
        "SignatureVersion": "2", "SigningCertURL": CERTIFICATE,
    })
}

#[tokio::test]
async fn a_message_is_believed_by_its_signature_alone() {
    let (signer, sns) = signer();
    let good = signed(&signer, notification());
    let opened = sns.open(&good).await.unwrap();
    assert_eq!(opened, Opened::Message(json!({"notificationType": "Bounce"})));
    for (why, field, value) in [
        ("another text", "Message", json!("{}")),
        ("a subject that was not signed", "Subject", json!("hello")),
        ("another topic", "TopicArn", json!("arn:aws:sns:eu-central-1:2:mail")),
        ("no signature", "Signature", json!("")),
        ("another scheme", "SignatureVersion", json!("3")),
    ] {
        let mut changed = good.clone();
        changed[field] = value;
        assert!(sns.open(&changed).await.is_err(), "{why}");
    }
    assert!(sns.open(&json!({"Type": "Other"})).await.is_err(), "no message of SNS");
}

#[test]
fn only_addresses_of_sns_are_called() {
    for (address, is_ok) in [
        (CERTIFICATE, true),
        ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", true),
        ("http://sns.eu-central-1.amazonaws.com/x.pem", false),
        ("https://sns.eu-central-1.amazonaws.com:8443/x.pem", false),
        ("https://sns.eu-central-1.amazonaws.com.evil.example/x.pem", false),
        ("https://sns.a.b.amazonaws.com/x.pem", false),
        ("https://evil.example/sns.eu-central-1.amazonaws.com/x.pem", false),
        ("https://sns..amazonaws.com/x.pem", false),
        ("https://sns.s3.amazonaws.com/x.pem", false),
        ("https://sns.s3-us-west-2.amazonaws.com/x.pem", false),
        ("https://user@sns.eu-central-1.amazonaws.com/x.pem", false),
        ("https://s3.amazonaws.com/x.pem", false),
        ("https://sns.eu-central-1.amazonaws.com/x.txt", false),
        ("", false),
    ] {
        let message = json!({"SigningCertURL": address});
        assert_eq!(Sns::default().address_in(&message, "SigningCertURL", ".pem").is_ok(), is_ok, "{address}");
    }
    let stand_in = Url::parse("https://localhost:7702").unwrap();
    let sns = Sns { stand_in: Some(stand_in), ..Sns::default() };
    for (address, is_ok) in [
        (CERTIFICATE, true),
        ("https://localhost:7702/sns/certificate.pem", true),
        ("https://localhost:7703/sns/certificate.pem", false),
        ("http://localhost:7702/sns/certificate.pem", false),
        ("https://localhost:7702/sns/certificate.txt", false),
        ("https://evil.example:7702/sns/certificate.pem", false),
    ] {
        let message = json!({"SigningCertURL": address});
        assert_eq!(sns.address_in(&message, "SigningCertURL", ".pem").is_ok(), is_ok, "{address}");
    }
}
