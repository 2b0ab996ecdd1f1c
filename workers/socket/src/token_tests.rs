//! Whose token is believed: a table for one secret, and one key of each public kind.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::json;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config() -> AuthConfig {
    AuthConfig { hs256_secret: Some(Secret::from(SECRET)), ..AuthConfig::default() }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn ana() -> UserKey {
    UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap())
}

fn token(config: &AuthConfig, secret: &str, expires: i64) -> String {
    mint(&Secret::from(secret), config, &ana(), at(expires)).unwrap()
}

#[test]
fn a_token_is_believed_by_this_table() {
    let plain = config();
    let for_app = AuthConfig { audience: Some("app".into()), issuer: Some("acme".into()), ..config() };
    let for_other = AuthConfig { audience: Some("other".into()), issuer: Some("acme".into()), ..config() };
    let strict = AuthConfig { leeway: Duration::ZERO, ..config() };
    let good = token(&plain, SECRET, 1_000);
    let unsigned = {
        let claims = good.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIn0.{claims}.")
    };
    let mut forged = good.clone();
    forged.pop();
    for (why, config, token, now, expected) in [
        ("ours, in time", &plain, good.clone(), 999, Ok(())),
        ("clocks may differ a little", &plain, good.clone(), 1_029, Ok(())),
        ("or not at all, where that is wished", &strict, good.clone(), 1_000, Err(TokenError::Expired)),
        ("its time is over", &plain, good.clone(), 1_030, Err(TokenError::Expired)),
        (
            "signed by somebody else",
            &plain,
            token(&plain, "another-secret-another-secret-xx", 1_000),
            0,
            Err(TokenError::Invalid),
        ),
        ("the signature is cut", &plain, forged, 0, Err(TokenError::Invalid)),
        ("not signed at all", &plain, unsigned, 0, Err(TokenError::Invalid)),
        ("not a token", &plain, "hello".into(), 0, Err(TokenError::Invalid)),
        ("nothing", &plain, String::new(), 0, Err(TokenError::Invalid)),
        ("longer than any token", &plain, "x".repeat(TOKEN_BYTES_MAX + 1), 0, Err(TokenError::Invalid)),
        ("for this audience", &for_app, token(&for_app, SECRET, 1_000), 0, Ok(())),
        ("for another audience", &for_app, token(&for_other, SECRET, 1_000), 0, Err(TokenError::Invalid)),
        ("for nobody in particular", &for_app, good, 0, Err(TokenError::Invalid)),
    ] {
        let verified = Authenticator::new(config).unwrap().verify(&token, at(now)).map(|identity| {
            assert_eq!(identity.user, ana(), "{why}");
        });
        assert_eq!(verified, expected, "{why}");
    }
}

#[test]
fn a_token_allows_what_its_claims_say() {
    let authenticator = Authenticator::new(&config()).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for (why, topics, groups, topics_of, groups_of) in [
        ("nothing but the inbox", json!(null), json!(null), &[][..], &[][..]),
        ("lists", json!(["monitor:*", "stats"]), json!(["ops"]), &["monitor:*", "stats"], &["ops"]),
        (
            "words, as in a scope",
            json!("monitor:* stats"),
            json!("ops dev"),
            &["monitor:*", "stats"],
            &["ops", "dev"],
        ),
        ("empty", json!([]), json!(""), &[], &[]),
        (
            "some are somebody else's",
            json!(["a*b", "stats"]),
            json!(["/realm/ops", "ops"]),
            &["stats"],
            &["ops"],
        ),
        ("all of it is", json!({"a": 1}), json!(7), &[], &[]),
        ("so is part of it", json!([1, "stats"]), json!(null), &[], &[]),
    ] {
        let claims =
            json!({"sub": "ana", "tenant": "acme", "exp": 1_000, "topics": topics, "groups": groups});
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let identity = authenticator.verify(&token, at(0)).expect(why);
        let texts = |all: Vec<String>, expected: &[&str]| assert_eq!(all, expected, "{why}");
        texts(identity.topics().iter().map(TopicPattern::to_string).collect(), topics_of);
        texts(identity.groups().iter().map(GroupId::to_string).collect(), groups_of);
        assert_eq!(identity.grants.is_none(), topics_of.is_empty() && groups_of.is_empty(), "{why}");
        assert!(!identity.may_read(&Topic::parse("other").unwrap()), "{why}");
        assert_eq!(identity.may_read(&Topic::parse("stats").unwrap()), topics_of.contains(&"stats"), "{why}");
    }
}

#[test]
fn a_token_says_when_it_was_issued() {
    let authenticator = Authenticator::new(&config()).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for (why, iat, expected) in [
        ("whole seconds", json!(500), Some(at(500))),
        ("a fraction is cut", json!(500.9), Some(at(500))),
        ("it does not say", json!(null), None),
        ("before all time", json!(-1e300), None),
    ] {
        let claims = json!({"sub": "ana", "tenant": "acme", "exp": 1_000, "iat": iat});
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert_eq!(authenticator.verify(&token, at(0)).expect(why).issued_at, expected, "{why}");
    }
}

#[test]
fn a_token_made_here_is_read_back() {
    let ops = Grants {
        topics: [TopicPattern::parse("monitor:*").unwrap()].into(),
        groups: [GroupId::parse("ops").unwrap()].into(),
    };
    for grants in [ops, Grants::default()] {
        let new = NewToken { user: &ana(), issued_at: at(500), expires_at: at(1_000), grants: &grants };
        let token = new.sign(&Secret::from(SECRET), &config()).unwrap();
        let identity = Authenticator::new(&config()).unwrap().verify(&token, at(600)).unwrap();
        assert_eq!((&identity.user, identity.issued_at), (&ana(), Some(at(500))));
        assert_eq!(identity.grants.as_deref().cloned().unwrap_or_default(), grants);
    }
}

#[test]
fn nobody_could_sign_in_without_a_key() {
    assert!(Authenticator::new(&AuthConfig::default()).is_err());
}

/// Keys made for this test by `openssl genpkey`; they open nothing.
#[test]
fn public_keys_of_each_kind_are_taken_from_files() {
    let dir = std::env::temp_dir().join(format!("watchbell-keys-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&dir).unwrap();
    for (kind, algorithm, private) in key_pairs(&dir) {
        let config =
            AuthConfig { public_key_files: vec![dir.join(format!("{kind}.pub"))], ..AuthConfig::default() };
        let claims = serde_json::json!({"sub": "ana", "tenant": "acme", "exp": 1_000});
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &private).unwrap();
        let authenticator = Authenticator::new(&config).unwrap();
        assert_eq!(authenticator.verify(&token, at(0)).map(|identity| identity.user), Ok(ana()), "{kind}");

        // The public key is known to everybody: it must not pass as a secret.
        let public = std::fs::read(dir.join(format!("{kind}.pub"))).unwrap();
        let confused =
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&public))
                .unwrap();
        assert_eq!(authenticator.verify(&confused, at(0)), Err(TokenError::Invalid), "{kind}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Makes a pair of each kind with `openssl`, which the test set-up has.
pub(crate) fn key_pairs(dir: &std::path::Path) -> Vec<(&'static str, Algorithm, EncodingKey)> {
    let run = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "openssl {args:?}");
    };
    let kinds: [(&str, Algorithm, &[&str]); 3] = [
        ("rsa", Algorithm::RS256, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("ec", Algorithm::ES256, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("ed", Algorithm::EdDSA, &["-algorithm", "ED25519"]),
    ];
    kinds
        .into_iter()
        .map(|(kind, algorithm, options)| {
            let key = format!("{kind}.key");
            run(&[&["genpkey", "-out", &key], options].concat());
            run(&["pkey", "-in", &key, "-pubout", "-out", &format!("{kind}.pub")]);
            let pem = std::fs::read(dir.join(&key)).unwrap();
            let private = match algorithm {
                Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem),
                Algorithm::ES256 => EncodingKey::from_ec_pem(&pem),
                _ => EncodingKey::from_ed_pem(&pem),
            };
            (kind, algorithm, private.unwrap())
        })
        .collect()
}
