//! Who an ID token is about, and whether they are let in: pure. Signature, audience, issuer and times were checked before.

use std::sync::Arc;

use serde_json::{Map, Value};
use watchbell::domain::text::is_line;
use watchbell_socket::token::claim;

use super::rights::Rights;
use crate::oidc::config::OidcConfig;

/// The longest `sub` (OpenID Connect Core 1.0, section 2).
const SUBJECT_CHARS_MAX: usize = 255;
/// The longest name that is shown.
const NAME_CHARS_MAX: usize = 100;

/// Somebody who may sign in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// What the service knows them by, for ever.
    pub(super) subject: Arc<str>,
    /// What they are called.
    pub(super) name: String,
    pub(super) rights: Rights,
}

/// Why somebody may not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotLetIn {
    /// The token was made for another sign-in.
    #[error("The ID token is not of this sign-in (its `nonce` is another one): sign in again.")]
    Nonce,
    /// The token is for several, and we are not the one who asked.
    #[error(
        "The ID token was made for another client (`azp`): console.oidc.client_id has to be the one that asks."
    )]
    OtherClient,
    /// Nobody can be named in the audit log.
    #[error("The ID token does not say who it is about in `sub`, in 1 to 255 characters of ASCII.")]
    Subject,
    /// Anybody may write any address into an account.
    #[error(
        "The sign-in service does not say that it verified your email address (`email_verified`), so it lets nobody in: verify it there, or let another claim decide (console.oidc.claim)."
    )]
    EmailNotVerified,
    /// The claim is not there.
    #[error(
        "The ID token has no claim `{0}`: have the sign-in service put it into ID tokens of this client, or ask for it with console.oidc.scope."
    )]
    NoClaim(String),
    /// None of the values is one that is let in.
    #[error(
        "You signed in, and no value of your claim `{0}` lets you in here: ask for one of those that [[console.oidc.allow]] names and that gives the scope `operations`."
    )]
    NoValue(String),
}

/// Whom these claims let in.
pub(super) fn person_of(
    claims: &Map<String, Value>,
    config: &OidcConfig,
    nonce: &str,
) -> Result<Person, NotLetIn> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("nonce") != Some(nonce) {
        return Err(NotLetIn::Nonce);
    }
    // OpenID Connect Core 1.0, section 3.1.3.7, 4 and 5.
    let is_for_several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    match claims.get("azp") {
        Some(azp) if azp.as_str() != Some(&config.client_id) => return Err(NotLetIn::OtherClient),
        None if is_for_several => return Err(NotLetIn::OtherClient),
        _ => {}
    }
    let subject = text("sub").filter(|sub| (1..=SUBJECT_CHARS_MAX).contains(&sub.len()));
    let subject = subject.filter(|sub| sub.bytes().all(|byte| byte.is_ascii_graphic()));
    let subject = subject.ok_or(NotLetIn::Subject)?;
    let is_email_verified = claims.get("email_verified").is_some_and(|said| *said == true || *said == "true");
    if config.claim == "email" && !is_email_verified {
        return Err(NotLetIn::EmailNotVerified);
    }
    let values = claim(claims, &config.claim).ok_or_else(|| NotLetIn::NoClaim(config.claim.clone()))?;
    let rights = Rights::of(&texts(values), &config.allow);
    let names = [text("email").filter(|_| is_email_verified), text("preferred_username"), text("name")];
    let name = names.into_iter().flatten().find(|name| is_name(name)).unwrap_or(subject);
    Ok(Person {
        subject: subject.into(),
        name: name.to_owned(),
        rights: rights.ok_or_else(|| NotLetIn::NoValue(config.claim.clone()))?,
    })
}

/// A text, or a list of them. A text is one value, whatever blanks are in it: some are written by the person they are about.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_name(text: &str) -> bool {
    text.chars().count() <= NAME_CHARS_MAX && is_line(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use watchbell::domain::{Scope, Scopes, Tenant};

    use super::{super::rights::tests::allow, *};

    fn config(claim: &str) -> OidcConfig {
        OidcConfig {
            issuer: "https://login.example".to_owned(),
            client_id: "console".to_owned(),
            client_secret: None,
            redirect_url: "https://ops.example/console".parse().unwrap(),
            name: "SSO".to_owned(),
            scope: "openid".to_owned(),
            claim: claim.to_owned(),
            allow: vec![
                allow("ops", None, &[Scope::Operations]),
                allow("alice@example.com", None, &[Scope::Operations]),
            ],
        }
    }

    #[test]
    fn only_who_has_the_value_in_a_token_of_this_sign_in_is_let_in() {
        let good =
            json!({"sub": "7f", "nonce": "n", "aud": "console", "groups": ["staff", "ops"], "name": "Alice"});
        let no_value = |claim: &str| Err(NotLetIn::NoValue(claim.to_owned()));
        for (why, claim, change, expected) in [
            ("as it should be", "groups", json!({}), Ok("Alice")),
            ("one value", "groups", json!({"groups": "ops"}), Ok("Alice")),
            ("within another claim", "/realm/roles", json!({"realm": {"roles": ["ops"]}}), Ok("Alice")),
            ("a text with the value in it", "groups", json!({"groups": "no ops"}), no_value("groups")),
            ("other values", "groups", json!({"groups": ["hr"]}), no_value("groups")),
            ("an object", "groups", json!({"groups": {"ops": true}}), no_value("groups")),
            ("no claim", "roles", json!({}), Err(NotLetIn::NoClaim("roles".to_owned()))),
            ("null", "groups", json!({"groups": null}), Err(NotLetIn::NoClaim("groups".to_owned()))),
            ("another sign-in", "groups", json!({"nonce": "m"}), Err(NotLetIn::Nonce)),
            ("no nonce", "groups", json!({"nonce": null}), Err(NotLetIn::Nonce)),
            ("for several", "groups", json!({"aud": ["console", "other"]}), Err(NotLetIn::OtherClient)),
            (
                "for several, we asked",
                "groups",
                json!({"aud": ["console", "other"], "azp": "console"}),
                Ok("Alice"),
            ),
            ("another asked", "groups", json!({"azp": "other"}), Err(NotLetIn::OtherClient)),
            ("nobody", "groups", json!({"sub": null}), Err(NotLetIn::Subject)),
            ("two lines", "groups", json!({"sub": "a\nb"}), Err(NotLetIn::Subject)),
            ("an address", "email", json!({"email": "alice@example.com"}), Err(NotLetIn::EmailNotVerified)),
            (
                "a verified one",
                "email",
                json!({"email": "alice@example.com", "email_verified": true}),
                Ok("alice@example.com"),
            ),
            ("a name that is none", "groups", json!({"name": "a\u{0}"}), Ok("7f")),
            ("a name that nobody sees", "groups", json!({"name": "\u{200b} "}), Ok("7f")),
        ] {
            let mut claims = good.as_object().unwrap().clone();
            claims.extend(change.as_object().unwrap().clone());
            let found = person_of(&claims, &config(claim), "n");
            assert_eq!(found.map(|person| person.name), expected.map(str::to_owned), "{why}");
        }
        let person = person_of(good.as_object().unwrap(), &config("groups"), "n").unwrap();
        assert_eq!(&*person.subject, "7f");
        assert_eq!(person.rights.within(&Tenant::parse("acme").unwrap()), Scopes::of(&[Scope::Operations]));
    }
}
