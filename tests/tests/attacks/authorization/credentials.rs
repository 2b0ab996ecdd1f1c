//! Every credential that somebody may come with, and what each is worth.

use anyhow::Context as _;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::domain::{Scope, Scopes};
use watchbell_tests::fleet::{ALL_SCOPES, Fleet};

/// Where the database of `up` is, for commands that run beside it.
const STORE: &[(&str, &str)] = &[("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];

/// What a credential is worth.
#[derive(Debug, Clone, Copy)]
pub enum Worth {
    /// Nothing: none, a broken one, one that is over.
    Nothing,
    /// It is a user's.
    User {
        /// It is ana's of the tenant `demo`, and not that of her namesake elsewhere.
        is_ana: bool,
        /// It allows the topic `monitor:7`.
        has_topic: bool,
    },
    /// It is the receipt token of a push to ana's phone.
    Push,
    /// It is a producer's.
    Key { scopes: Scopes, is_demo: bool },
}

/// A credential as it is sent.
pub struct Credential {
    pub name: &'static str,
    pub bearer: Option<String>,
    pub worth: Worth,
}

/// All of them. `receipt` is what came with a push.
pub fn all_credentials(fleet: &Fleet, receipt: String) -> anyhow::Result<Vec<Credential>> {
    let mut all = vec![Credential { name: "none", bearer: None, worth: Worth::Nothing }];
    let mut add = |name, bearer: String, worth| all.push(Credential { name, bearer: Some(bearer), worth });
    add("garbage", "garbage".to_owned(), Worth::Nothing);
    add("what looks like a key", format!("wbk_{}", "A".repeat(43)), Worth::Nothing);
    for (name, token) in broken_tokens(fleet.secret()) {
        add(name, token, Worth::Nothing);
    }
    for (name, claims, is_ana, has_topic) in [
        ("ana of demo", json!({"sub": "ana", "tenant": "demo"}), true, false),
        ("ben of demo", json!({"sub": "ben", "tenant": "demo", "topics": ["monitor:*"]}), false, true),
        ("ana of evil", json!({"sub": "ana", "tenant": "evil"}), false, false),
        (
            "eve of evil, with all topics",
            json!({"sub": "eve", "tenant": "evil", "topics": ["*"]}),
            false,
            true,
        ),
        ("one whose name is a path", json!({"sub": "../ana", "tenant": "demo"}), false, false),
    ] {
        add(name, signed(fleet.secret(), &valid(claims)), Worth::User { is_ana, has_topic });
    }
    add("what came with a push", receipt, Worth::Push);

    let command = |args: &[&str]| Ok::<_, anyhow::Error>(fleet.command_with(args, STORE)?.trim().to_owned());
    let create = |further: &[&str]| command(&[&["key", "create"], further].concat());
    for (name, tenant, scopes, is_demo) in [
        ("a key of demo with all scopes", "demo", Scopes::ALL, true),
        ("a key of evil with all scopes", "evil", Scopes::ALL, false),
        ("a key for alerts", "demo", Scopes::of(&[Scope::Alerts]), true),
        ("a key for events", "demo", Scopes::of(&[Scope::Events]), true),
        ("a key for people", "demo", Scopes::of(&[Scope::People]), true),
        ("a key for reading", "demo", Scopes::of(&[Scope::Read]), true),
        ("a key for operations", "demo", Scopes::of(&[Scope::Operations]), true),
    ] {
        let key = create(&["--tenant", tenant, "--scope", &scopes.to_string()])?;
        add(name, key, Worth::Key { scopes, is_demo });
    }
    let default = create(&["--tenant", "demo"])?;
    add("a key by default", default, Worth::Key { scopes: Scopes::DEFAULT, is_demo: true });
    let expired = create(&["--tenant", "demo", "--scope", ALL_SCOPES, "--expires", "1ms"])?;
    add("a key that expired", expired, Worth::Nothing);
    let revoked = create(&["--tenant", "demo", "--scope", ALL_SCOPES, "--name", "revoked"])?;
    let listed = command(&["key", "list", "--json"])?;
    let listed = listed.lines().find(|line| line.contains("\"revoked\"")).context("it is listed")?;
    let listed: Value = serde_json::from_str(listed)?;
    command(&["key", "revoke", listed["id"].as_str().context("it has an id")?])?;
    add("a key that was revoked", revoked, Worth::Nothing);
    Ok(all)
}

/// Tokens with one thing wrong, which are ana's otherwise.
fn broken_tokens(secret: &str) -> Vec<(&'static str, String)> {
    let now = Timestamp::now().as_second();
    let ana = || valid(json!({"sub": "ana", "tenant": "demo"}));
    let with = |claim: &str, value: Value| {
        let mut claims = ana();
        claims[claim] = value;
        signed(secret, &claims)
    };
    let without = |claim: &str| {
        let mut claims = ana();
        claims.as_object_mut().and_then(|claims| claims.remove(claim));
        signed(secret, &claims)
    };
    let unsigned = jwt("none", &ana(), |_| Vec::new());
    let hs384 = hmac::Key::new(hmac::HMAC_SHA384, secret.as_bytes());
    let hs384 = jwt("HS384", &ana(), |text| hmac::sign(&hs384, text).as_ref().to_vec());
    let whole = signed(secret, &ana());
    let cut = whole.get(..whole.len() - 4).unwrap_or_default().to_owned();
    vec![
        ("an expired token", with("exp", json!(now - 3_600))),
        ("a token that is not valid yet", with("nbf", json!(now + 600))),
        ("alg none", unsigned),
        ("a token with another secret", signed("another-secret-that-is-long-enough-for-hs256", &ana())),
        ("HS384 with the right secret", hs384),
        ("a signature that was cut", cut),
        ("a token without exp", without("exp")),
        ("a token without sub", without("sub")),
        ("an empty sub", with("sub", json!(""))),
        ("a sub with a control character", with("sub", json!("ana\n"))),
        ("a tenant that is a path", with("tenant", json!("demo/../evil"))),
        ("an empty tenant", with("tenant", json!(""))),
        ("exp as a text", with("exp", json!((now + 3_600).to_string()))),
    ]
}

/// Claims with a lifetime.
fn valid(mut claims: Value) -> Value {
    let now = Timestamp::now().as_second();
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 3_600);
    claims
}

fn signed(secret: &str, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    jwt("HS256", claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

fn jwt(alg: &str, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": alg, "typ": "JWT"})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}
