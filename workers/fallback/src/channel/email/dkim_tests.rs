//! Tests of `dkim`: the canonical forms by the examples of RFC 6376, and what is signed. Whole mails are verified by somebody
//! else's verifier, in `tests/tests/providers/mails.rs`.

#![allow(clippy::unwrap_used)]

use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};

use super::*;

fn config(key: &str) -> DkimConfig {
    DkimConfig { domain: "Bücher.Example".into(), selector: "s1".into(), key: Secret::from(key) }
}

fn rsa() -> String {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_pem()
}

#[test]
fn the_canonical_forms_are_those_of_the_rfc() {
    for (name, value, expected) in [
        ("A", " X ", "a:X\r\n"),
        ("B ", " Y\t\r\n\tZ  ", "b:Y Z\r\n"),
        ("SUBJECT", "", "subject:\r\n"),
        ("Subject", " a  b\t c", "subject:a b c\r\n"),
    ] {
        assert_eq!(relaxed_header(name, value), expected, "{name}:{value:?}");
    }
    for (body, expected) in [
        (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
        ("", ""),
        ("\r\n", ""),
        ("\r\n\r\n", ""),
        ("a", "a\r\n"),
        ("a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"),
        ("\r\na \r\n \t\r\n", "\r\na\r\n"),
    ] {
        assert_eq!(relaxed_body(body), expected, "{body:?}");
    }
}

#[test]
fn a_head_is_read_with_its_folds() {
    let head = "From: a\r\nSubject: b\r\n c:d\r\n\te\r\nTo:f";
    assert_eq!(headers_of(head), [("From", " a"), ("Subject", " b\r\n c:d\r\n\te"), ("To", "f")]);
    assert_eq!(headers_of(""), []);
}

#[test]
fn what_a_reader_sees_is_sealed_and_what_programs_act_on_is_signed() {
    let headers = headers_of(
        "Subject: 2\r\nFrom: 1\r\nX-Other: x\r\nlist-unsubscribe: <u>\r\nList-Unsubscribe-Post: p\r\nTo: t\r\nDate: d",
    );
    let (names, text) = signed_headers(&headers);
    let expected =
        "From From To To Subject Subject Date Date Reply-To List-Unsubscribe List-Unsubscribe-Post";
    assert_eq!(names.join(" "), expected);
    assert_eq!(
        text,
        "from:1\r\nto:t\r\nsubject:2\r\ndate:d\r\nlist-unsubscribe:<u>\r\nlist-unsubscribe-post:p\r\n"
    );
}

#[test]
fn a_mail_gets_one_header_more_and_stays_as_it_was() {
    let message = "From: a\r\nSubject: b\r\n\r\nbody\r\n";
    for (key, algorithm) in [
        (rsa(), "rsa-sha256"),
        (KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem(), "ed25519-sha256"),
    ] {
        let signer = DkimSigner::new(&config(&key)).unwrap();
        let signed = signer.signed(message, Timestamp::from_second(1_000).unwrap()).unwrap();
        let start = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d=xn--bcher-kva.example; s=s1; t=1000;"
        );
        assert!(signed.starts_with(&start), "{signed}");
        assert!(signed.ends_with(&format!("\r\n{message}")), "{signed}");
        assert!(signed.lines().all(|line| line.len() <= 78), "{signed}");
        assert!(!format!("{signer:?}").contains("PRIVATE"), "{signer:?}");
        let record = DkimRecord::of(&config(&key)).unwrap();
        assert_eq!(record.name, "s1._domainkey.xn--bcher-kva.example");
        let kind = algorithm.split('-').next().unwrap();
        assert!(record.text.starts_with(&format!("v=DKIM1; k={kind}; p=")), "{}", record.text);
    }
}

#[test]
fn a_key_that_cannot_sign_is_told_of_by_its_setting() {
    let small = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let ec = KeyPair::generate().unwrap().serialize_pem();
    for (why, config, expected) in [
        ("no key", config("c4nary"), "key is not a PEM"),
        ("broken", config(small), "key must be RSA"),
        ("of another kind", config(&ec), "key must be RSA"),
        ("no domain", DkimConfig { domain: "a b".into(), ..config(&rsa()) }, "domain is not"),
    ] {
        let error = DkimSigner::new(&config).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("c4nary"), "{why}: {error}");
    }
}

#[test]
fn a_selector_is_made_of_labels() {
    for (text, expected) in
        [("s1", true), ("a.b-c", true), ("", false), ("a..b", false), ("a;b", false), ("ü", false)]
    {
        assert_eq!(is_selector(text), expected, "{text}");
    }
}
