//! `[console.oidc]`: operators sign in with their account of a sign-in service.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Scope, Scopes, Secret, Tenant},
    runtime::config::values::maybe_secret,
};
use watchbell_socket::token::is_unchanged_on_its_way;

/// Where the page of the console is, and so where a sign-in service sends people back to.
const PAGE: &str = "/console";
/// Values of people that may be let in.
const ALLOW_MAX: usize = 100;
/// The longest text of a setting here, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// The word without which a sign-in service answers with no ID token (OpenID Connect Core 1.0, section 3.1.2.1).
const OPENID: &str = "openid";

/// `[console]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConsoleSection {
    /// Signing in with an account of a sign-in service (OpenID Connect). Without it: by an API key alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSection>,
}

/// `[console.oidc]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcSection {
    /// The sign-in service, as its discovery document and its tokens name it (`iss`). Must be https, but for this machine.
    pub issuer: String,
    /// What the sign-in service calls the console.
    pub client_id: String,
    /// What the console shows that it is that client. A client without a secret (public, with PKCE) has none.
    #[serde(default, with = "maybe_secret", skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// The address of the console as operators open it, as it is registered with the sign-in service: `https://…/console`. Must be
    /// https, but for this machine.
    pub redirect_url: String,
    /// What the button on the sign-in page calls the sign-in service.
    #[serde(default = "single_sign_on")]
    pub name: String,
    /// What is asked for. Some services give groups only where `groups` is among the words.
    #[serde(default = "usual_scope")]
    pub scope: String,
    /// The claim of the ID token that decides what a person may do: a text, or a list of texts. A name that begins with `/` is a JSON
    /// pointer (`/realm_access/roles`). With `email`, the service has to say that it verified it.
    #[serde(default = "groups")]
    pub claim: String,
    /// Who may sign in, and what they may do. A person with several of the values has the scopes of all of them.
    pub allow: Vec<AllowSection>,
}

/// `[[console.oidc.allow]]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowSection {
    /// The value of the claim that a person has to have, letter by letter.
    pub value: String,
    /// What they may do: `operations` signs in, `read`, `alerts`, `people` and `events` as with a key.
    pub scopes: Vec<String>,
    /// The only tenant that they may look at and act in. Not set: all, and what is of the whole installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

fn single_sign_on() -> String {
    "single sign-on".to_owned()
}

fn usual_scope() -> String {
    "openid email profile".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

/// What one value of the claim is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allow {
    pub(crate) value: String,
    /// The only tenant; none: all.
    pub(crate) tenant: Option<Tenant>,
    pub(crate) scopes: Scopes,
}

/// The section as it may be used.
#[derive(Debug, Clone)]
pub(crate) struct OidcConfig {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) redirect_url: Url,
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) claim: String,
    pub(crate) allow: Vec<Allow>,
}

impl ConsoleSection {
    /// How operators sign in by a sign-in service, if they may.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub(crate) fn oidc(&self) -> anyhow::Result<Option<OidcConfig>> {
        self.oidc.as_ref().map(OidcSection::checked).transpose()
    }
}

impl OidcSection {
    fn checked(&self) -> anyhow::Result<OidcConfig> {
        for (key, text) in [
            ("issuer", self.issuer.as_str()),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.as_ref().map_or("none", Secret::expose)),
            ("redirect_url", &self.redirect_url),
            ("name", &self.name),
            ("scope", &self.scope),
            ("claim", &self.claim),
        ] {
            let is_text = (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.trim() == text;
            ensure!(
                is_text && !text.chars().any(char::is_control),
                "console.oidc.{key} must be a text of 1 to {TEXT_BYTES_MAX} bytes without blanks at its ends"
            );
        }
        let issuer = address("issuer", &self.issuer)?;
        ensure!(
            issuer.query().is_none() && issuer.fragment().is_none(),
            "console.oidc.issuer must be the address alone, without ? and #: it is what tokens have as `iss`"
        );
        let redirect_url = address("redirect_url", &self.redirect_url)?;
        let is_page = redirect_url.path() == PAGE
            && redirect_url.query().is_none()
            && redirect_url.fragment().is_none()
            && redirect_url.username().is_empty();
        ensure!(
            is_page,
            "console.oidc.redirect_url must be the address of the console as operators open it and end in {PAGE}: \
             https://ops.example.com{PAGE}"
        );
        ensure!(
            self.scope.split(' ').any(|word| word == OPENID),
            "console.oidc.scope must have the word `{OPENID}`, or there is no ID token"
        );
        Ok(OidcConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            redirect_url,
            name: self.name.clone(),
            scope: self.scope.clone(),
            claim: self.claim.clone(),
            allow: self.allowed()?,
        })
    }

    fn allowed(&self) -> anyhow::Result<Vec<Allow>> {
        ensure!(
            (1..=ALLOW_MAX).contains(&self.allow.len()),
            "console.oidc.allow must name 1 to {ALLOW_MAX} values of `{}`, or nobody could sign in",
            self.claim
        );
        let all = self.allow.iter().enumerate().map(|(at, allow)| allow.checked(at));
        let all: Vec<Allow> = all.collect::<anyhow::Result<_>>()?;
        ensure!(
            all.iter().any(|allow| allow.scopes.has(Scope::Operations)),
            "console.oidc.allow gives nobody the scope `operations`, which signs in"
        );
        let places: BTreeSet<_> = all.iter().map(|allow| (&allow.value, &allow.tenant)).collect();
        ensure!(
            places.len() == all.len(),
            "console.oidc.allow names a value twice for the same tenant: write all of its scopes in one"
        );
        Ok(all)
    }
}

impl AllowSection {
    fn checked(&self, at: usize) -> anyhow::Result<Allow> {
        let key = format!("console.oidc.allow[{at}]");
        ensure!(
            (1..=TEXT_BYTES_MAX).contains(&self.value.len()),
            "{key}.value must be a text of 1 to {TEXT_BYTES_MAX} bytes"
        );
        ensure!(!self.scopes.is_empty(), "{key}.scopes must name a scope");
        let scopes = self.scopes.iter().map(|word| word.parse::<Scope>());
        let scopes: Vec<Scope> = scopes.collect::<Result<_, _>>().with_context(|| format!("{key}.scopes"))?;
        let tenant = self.tenant.as_deref().map(Tenant::parse).transpose();
        Ok(Allow {
            value: self.value.clone(),
            tenant: tenant.with_context(|| format!("{key}.tenant"))?,
            scopes: Scopes::of(&scopes),
        })
    }
}

fn address(key: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).with_context(|| format!("console.oidc.{key} is not an address"))?;
    ensure!(
        is_unchanged_on_its_way(&url),
        "console.oidc.{key} must be https, but for this machine: whoever changes it on its way could sign in as anybody"
    );
    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "issuer = \"https://login.example.com/realms/acme\"\nclient_id = \"watchbell-console\"\n\
                        redirect_url = \"https://ops.example.com/console\"\n\
                        allow = [{value = \"ops\", scopes = [\"operations\", \"read\"]}]\n";

    fn checked(toml: &str) -> Result<OidcConfig, String> {
        let section: OidcSection = toml::from_str(toml).map_err(|error| error.to_string())?;
        section.checked().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_few_lines_are_enough() {
        let config = checked(GOOD).unwrap();
        assert_eq!((config.claim.as_str(), config.scope.as_str()), ("groups", "openid email profile"));
        assert!(config.allow[0].tenant.is_none() && config.allow[0].scopes.has(Scope::Read));
    }

    #[test]
    fn each_mistake_is_named_with_what_is_accepted() {
        let local = GOOD.replace("https://login.example.com", "http://127.0.0.1:8080");
        checked(&local.replace("https://ops.example.com", "http://localhost:7709")).unwrap();
        for (why, from, to, expected) in [
            ("an issuer in the clear", "https://login", "http://login", "console.oidc.issuer must be https"),
            (
                "no address",
                "https://login.example.com/realms/acme",
                "login",
                "console.oidc.issuer is not an address",
            ),
            (
                "an issuer with more",
                "realms/acme",
                "realms/acme?a=1",
                "console.oidc.issuer must be the address alone",
            ),
            ("a page in the clear", "https://ops", "http://ops", "console.oidc.redirect_url must be https"),
            (
                "another page",
                "/console",
                "/callback",
                "console.oidc.redirect_url must be the address of the console",
            ),
            ("an empty client", "watchbell-console", "", "console.oidc.client_id must be a text"),
            ("an unknown scope", "\"read\"", "\"write\"", "console.oidc.allow[0].scopes: must be one of"),
            (
                "nobody",
                "[{value = \"ops\", scopes = [\"operations\", \"read\"]}]",
                "[]",
                "console.oidc.allow must name",
            ),
            ("nobody signs in", "\"operations\", ", "", "gives nobody the scope `operations`"),
            ("any value", "value = \"ops\"", "value = \"\"", "console.oidc.allow[0].value"),
            (
                "no tenant",
                "value = \"ops\"",
                "value = \"ops\", tenant = \"a b\"",
                "console.oidc.allow[0].tenant",
            ),
            ("an unknown key", "client_id", "client", "client"),
            (
                "no ID token",
                "client_id",
                "scope = \"email\"\nclient_id",
                "console.oidc.scope must have the word `openid`",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{why}");
            let error = checked(&text).map(drop).unwrap_err();
            assert!(error.contains(expected), "{why}: {error}");
        }
    }
}
