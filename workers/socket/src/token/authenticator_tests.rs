//! Whose token is believed: a table for one secret, and one key of each public kind.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use watchbell::domain::{Secret, Topic};

use super::{super::NewToken, *};

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
    let grants = Grants::default();
    let new = NewToken { user: &ana(), issued_at: at(0), expires_at: at(expires), grants: &grants };
    new.sign(&Secret::from(secret), config).unwrap()
}

#[test]
fn a_token_is_believed_by_this_table() {
    let plain = config();
    let for_app = AuthConfig { audience: Some("app".into()), issuer: Some("acme".into()), ..config() };
    let for_other = AuthConfig { audience: Some("other".into()), issuer: Some("acme".into()), ..config() };
    let for_nobody = AuthConfig { issuer: Some("acme".into()), ..config() };
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
        ("its time is over", &plain, good, 1_030, Err(TokenError::Expired)),
        (
            "signed by somebody else",
            &plain,
            token(&plain, "another-secret-another-secret-xx", 1_000),
            0,
            Err(Refusal::Signature.into()),
        ),
        ("the signature is cut", &plain, forged, 0, Err(Refusal::Signature.into())),
        ("not signed at all", &plain, unsigned, 0, Err(Refusal::NotAToken.into())),
        ("not a token", &plain, "hello".into(), 0, Err(Refusal::NotAToken.into())),
        ("nothing", &plain, String::new(), 0, Err(Refusal::NotAToken.into())),
        (
            "longer than any token",
            &plain,
            "x".repeat(TOKEN_BYTES_MAX + 1),
            0,
            Err(Refusal::TooLong { max: TOKEN_BYTES_MAX }.into()),
        ),
        ("for this audience", &for_app, token(&for_app, SECRET, 1_000), 0, Ok(())),
        (
            "for another audience",
            &for_app,
            token(&for_other, SECRET, 1_000),
            0,
            Err(Refusal::Audience.into()),
        ),
        (
            "for nobody in particular",
            &for_app,
            token(&for_nobody, SECRET, 1_000),
            0,
            Err(missing("aud").into()),
        ),
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
            &["/realm/ops", "ops"],
        ),
        ("all of it is", json!({"a": 1}), json!(7), &[], &[]),
        ("part of it is", json!([1, "stats"]), json!(null), &["stats"], &[]),
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

/// A token of these claims, signed with the configured secret.
fn signed_with(header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// What sign-in services send, and what is wrong with some of it. The configuration asks for audience `app` and issuer
/// `https://id.example`; it is second 600.
#[test]
fn claims_are_read_as_rfc_7519_defines_them() {
    let config = AuthConfig {
        audience: Some("app".into()),
        issuer: Some("https://id.example".into()),
        default_tenant: Some("acme".into()),
        ..config()
    };
    let authenticator = Authenticator::new(&config).unwrap();
    let claim = |claim: &str, problem| Err(Refusal::Claim { claim: claim.to_owned(), problem }.into());
    for (why, changed, expected) in [
        ("an audience alone", json!({}), Ok(())),
        ("a list of audiences that has ours (Keycloak, Auth0)", json!({"aud": ["account", "app"]}), Ok(())),
        ("a list without ours", json!({"aud": ["account"]}), Err(Refusal::Audience.into())),
        ("an empty list", json!({"aud": []}), Err(Refusal::Audience.into())),
        ("no audience", json!({"aud": null}), claim("aud", ClaimProblem::Missing)),
        ("another issuer", json!({"iss": "https://evil.example"}), Err(Refusal::Issuer.into())),
        ("no issuer", json!({"iss": null}), claim("iss", ClaimProblem::Missing)),
        ("an expiry with a fraction", json!({"exp": 1_000.25}), Ok(())),
        ("an expiry as text", json!({"exp": "1000"}), claim("exp", ClaimProblem::NotATime)),
        ("no expiry", json!({"exp": null}), claim("exp", ClaimProblem::Missing)),
        ("over", json!({"exp": 500}), Err(TokenError::Expired)),
        ("begun", json!({"nbf": 599.5}), Ok(())),
        ("begins within the leeway", json!({"nbf": 630}), Ok(())),
        ("not begun", json!({"nbf": 631}), Err(Refusal::NotYet.into())),
        ("made by a clock that is a little fast", json!({"iat": 630}), Ok(())),
        ("made in the future, after any revocation", json!({"iat": 631}), Err(Refusal::FromTheFuture.into())),
        ("Auth0's users", json!({"sub": "auth0|5f7c8ec7c33c6c004bbafe82"}), Ok(())),
        ("users that are counted", json!({"sub": 42}), Ok(())),
        ("no user", json!({"sub": null}), claim("sub", ClaimProblem::Missing)),
        ("an empty user", json!({"sub": ""}), claim("sub", ClaimProblem::NotAUser)),
        ("a user with a line break", json!({"sub": "a\nb"}), claim("sub", ClaimProblem::NotAUser)),
        ("a user that is a list", json!({"sub": ["ana"]}), Err(Refusal::NotAToken.into())),
        ("a tenant of its own", json!({"tenant": "globex"}), Ok(())),
        ("a tenant that cannot be one", json!({"tenant": "a/b"}), claim("tenant", ClaimProblem::NotATenant)),
        ("claims that nobody knows", json!({"azp": "app", "amr": ["pwd"], "cnf": {"jkt": "x"}}), Ok(())),
    ] {
        let mut claims = json!({"sub": "ana", "exp": 1_000, "aud": "app", "iss": "https://id.example"});
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = signed_with(&Header::new(Algorithm::HS256), &claims);
        assert_eq!(authenticator.verify(&token, at(600)).map(|_| ()), expected, "{why}");
    }
}

#[test]
fn an_extension_that_has_to_be_understood_is_refused() {
    let claims = json!({"sub": "ana", "tenant": "acme", "exp": 1_000});
    let authenticator = Authenticator::new(&config()).unwrap();
    for (why, crit, expected) in [
        ("none", None, Ok(())),
        ("one that nobody here knows", Some(vec!["exp-policy".to_owned()]), Err(Refusal::Critical.into())),
        ("an empty list, which RFC 7515 forbids", Some(Vec::new()), Err(Refusal::Critical.into())),
    ] {
        let header = Header { crit, ..Header::new(Algorithm::HS256) };
        let verified = authenticator.verify(&signed_with(&header, &claims), at(0));
        assert_eq!(verified.map(|_| ()), expected, "{why}");
    }
}

#[test]
fn other_claims_can_name_the_user_the_tenant_and_the_topics() {
    let config = AuthConfig {
        user_claim: "email".into(),
        tenant_claim: "https://acme.example/org".into(),
        topics_claim: "/realm_access/roles".into(),
        ..config()
    };
    let authenticator = Authenticator::new(&config).unwrap();
    let claims = json!({
        "sub": "5f7c8ec7", "email": "ana@example.com", "https://acme.example/org": "acme", "tenant": "evil",
        "topics": ["secret:*"], "realm_access": {"roles": ["monitor:*", "not a topic"]}, "exp": 1_000,
    });
    let identity = authenticator.verify(&signed_with(&Header::default(), &claims), at(0)).unwrap();
    let named = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana@example.com").unwrap());
    assert_eq!(identity.user, named);
    let topics: Vec<_> = identity.topics().iter().map(TopicPattern::to_string).collect();
    assert_eq!(topics, ["monitor:*"]);

    let unnamed = json!({"sub": "5f7c8ec7", "https://acme.example/org": "acme", "exp": 1_000});
    let refused = authenticator.verify(&signed_with(&Header::default(), &unnamed), at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "the token is not valid here: its claim `email` is missing");
}

#[test]
fn a_refusal_repeats_nothing_of_the_token() {
    let authenticator = Authenticator::new(&config()).unwrap();
    for (claim, value) in [("sub", json!("canary\n")), ("tenant", json!("canary/")), ("exp", json!("canary"))]
    {
        let mut claims = json!({"sub": "ana", "tenant": "acme", "exp": 1_000});
        claims[claim] = value;
        let token = signed_with(&Header::default(), &claims);
        let refused = authenticator.verify(&token, at(0)).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{claim}: {refused:?}");
    }
}

#[test]
fn a_token_says_when_it_was_issued() {
    let authenticator = Authenticator::new(&config()).unwrap();
    for (why, iat, expected) in [
        ("whole seconds", json!(500), Some(at(500))),
        ("a fraction is cut", json!(500.9), Some(at(500))),
        ("it does not say", json!(null), None),
        ("before all time", json!(-1e300), None),
    ] {
        let claims = json!({"sub": "ana", "tenant": "acme", "exp": 1_000, "iat": iat});
        let token = signed_with(&Header::new(Algorithm::HS256), &claims);
        assert_eq!(authenticator.verify(&token, at(600)).expect(why).issued_at, expected, "{why}");
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
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    for (kind, algorithm, private) in key_pairs(dir) {
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
        assert_eq!(authenticator.verify(&confused, at(0)), Err(Refusal::Signature.into()), "{kind}");
    }
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
