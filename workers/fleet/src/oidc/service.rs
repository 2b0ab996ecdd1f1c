//! What is asked of the sign-in service: its discovery document, and an ID token for a code.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use watchbell::{domain::Secret, runtime::config::AuthConfig};
use watchbell_socket::token::is_unchanged_on_its_way;

use super::config::OidcConfig;

/// How long one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest word of the service that is repeated to whoever signs in.
const CODE_CHARS_MAX: usize = 64;
/// Below the issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Why the service gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// No answer came.
    #[error("{what} of the sign-in service cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// Why, in a few words.
        reason: &'static str,
    },
    /// It answered with a status that is an error, and perhaps with a code of OAuth (RFC 6749, section 5.2).
    #[error("{what} of the sign-in service answers {status}{}", .code.as_ref().map_or(String::new(), |code| format!(" ({code})")))]
    Refused {
        /// What was asked.
        what: &'static str,
        /// How it was answered.
        status: StatusCode,
        /// Its code.
        code: Option<String>,
    },
    /// The answer is not what it has to be.
    #[error("{what} of the sign-in service {problem}")]
    NotUnderstood {
        /// What was asked.
        what: &'static str,
        /// What is wrong with the answer.
        problem: String,
    },
}

const DOCUMENT: &str = "the discovery document";
const TOKEN: &str = "the token endpoint";

/// Where to go, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    /// Where people sign in.
    pub(crate) authorization: String,
    /// Where a code becomes a token.
    pub(crate) token: String,
    /// Where the keys are.
    pub(crate) jwks: String,
    /// Whether a secret is taken in the form; otherwise in the header, as every service has to.
    posts_secret: bool,
    /// Whether the service says that it knows PKCE by S256; without the word, nobody knows.
    pub(crate) knows_s256: Option<bool>,
}

/// What is read of the discovery document (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// A client that follows nobody to an address that was not looked at.
///
/// # Errors
/// None can be made.
pub(crate) fn client() -> anyhow::Result<Client> {
    let client = Client::builder().timeout(ANSWER_WITHIN).referer(false);
    Ok(client.redirect(reqwest::redirect::Policy::none()).build()?)
}

/// Where the service of this issuer has what.
///
/// # Errors
/// [`ServiceError`].
pub(crate) async fn discover(http: &Client, issuer: &str) -> Result<Endpoints, ServiceError> {
    let address = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
    let answer = http.get(address).send().await.map_err(|error| unreachable(DOCUMENT, &error))?;
    endpoints_of(read(answer, DOCUMENT).await?, issuer)
}

fn endpoints_of(document: Document, issuer: &str) -> Result<Endpoints, ServiceError> {
    let wrong = |problem: String| ServiceError::NotUnderstood { what: DOCUMENT, problem };
    if document.issuer != issuer {
        // It is not repeated: it may be anything.
        return Err(wrong(
            "names another issuer than console.oidc.issuer: write it letter by letter, with or without a `/` at its end".to_owned(),
        ));
    }
    let methods = &document.token_endpoint_auth_methods_supported;
    for (name, text) in [
        ("authorization_endpoint", &document.authorization_endpoint),
        ("token_endpoint", &document.token_endpoint),
        ("jwks_uri", &document.jwks_uri),
    ] {
        let is_safe = Url::parse(text).is_ok_and(|url| is_unchanged_on_its_way(&url));
        if !is_safe {
            return Err(wrong(format!("has a `{name}` that is no https address")));
        }
    }
    Ok(Endpoints {
        posts_secret: methods.iter().any(|method| method == "client_secret_post"),
        knows_s256: document.code_challenge_methods_supported.map(|all| all.iter().any(|one| one == "S256")),
        authorization: document.authorization_endpoint,
        token: document.token_endpoint,
        jwks: document.jwks_uri,
    })
}

/// The ID token that a code is worth (OpenID Connect Core 1.0, section 3.1.3).
///
/// # Errors
/// [`ServiceError`]: the code was used, is too old or is not ours, or the client is not known.
pub(crate) async fn exchange(
    http: &Client,
    config: &OidcConfig,
    endpoints: &Endpoints,
    verifier: &Secret,
    code: &str,
) -> Result<String, ServiceError> {
    #[derive(Deserialize)]
    struct Tokens {
        id_token: Option<String>,
    }
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", config.redirect_url.as_str()),
        ("client_id", &config.client_id),
        ("code_verifier", verifier.expose()),
    ];
    let mut request = http.post(&endpoints.token);
    if let Some(secret) = &config.client_secret {
        match endpoints.posts_secret {
            true => form.push(("client_secret", secret.expose())),
            false => {
                request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret.expose())));
            }
        }
    }
    let answer = request.form(&form).send().await.map_err(|error| unreachable(TOKEN, &error))?;
    let tokens: Tokens = read(answer, TOKEN).await?;
    tokens.id_token.ok_or_else(|| ServiceError::NotUnderstood {
        what: TOKEN,
        problem: "gives no `id_token`: the client there has to be one of OpenID Connect".to_owned(),
    })
}

/// What is asked of an ID token: a key of the service, this client, this issuer.
pub(crate) fn auth_of(config: &OidcConfig, endpoints: &Endpoints) -> AuthConfig {
    AuthConfig {
        jwks_url: Some(endpoints.jwks.clone()),
        audience: Some(config.client_id.clone()),
        issuer: Some(config.issuer.clone()),
        ..AuthConfig::default()
    }
}

/// As it stands in a form, which is how the header has it (RFC 6749, section 2.3.1).
fn encoded(text: &str) -> String {
    let Ok(mut url) = Url::parse("form:/") else { return String::new() };
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

async fn read<T: DeserializeOwned>(mut answer: Response, what: &'static str) -> Result<T, ServiceError> {
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(what, &error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let problem = format!("is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(ServiceError::NotUnderstood { what, problem });
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(ServiceError::Refused { what, status, code: code_of(&body) });
    }
    serde_json::from_slice(&body).map_err(|_| ServiceError::NotUnderstood {
        what,
        problem: "is not the JSON that OpenID Connect says: look at console.oidc.issuer".to_owned(),
    })
}

fn code_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    word(body.get("error")?.as_str()?)
}

/// A code as OAuth has it, and no other text: whatever stands there is shown.
pub(crate) fn word(text: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    ((1..=CODE_CHARS_MAX).contains(&text.len()) && text.chars().all(is_word)).then(|| text.to_owned())
}

fn unreachable(what: &'static str, error: &reqwest::Error) -> ServiceError {
    let reason = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "no answer came in time",
        (false, true) => "no connection, or its certificate is not believed",
        (false, false) => "the connection broke",
    };
    ServiceError::Unreachable { what, reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_of_another_issuer_or_with_unsafe_addresses_is_refused() {
        let good = json!({
            "issuer": "https://login.example/", "authorization_endpoint": "https://login.example/a",
            "token_endpoint": "https://login.example/t", "jwks_uri": "https://login.example/k",
        });
        let read = |change: &str, value: &str| {
            let mut document = good.clone();
            document[change] = json!(value);
            endpoints_of(serde_json::from_value(document).unwrap(), "https://login.example/")
        };
        assert!(read("more", "is ignored").is_ok());
        for (change, value, expected) in [
            ("issuer", "https://login.example", "names another issuer"),
            ("token_endpoint", "http://login.example/t", "`token_endpoint`"),
            ("jwks_uri", "file:///keys", "`jwks_uri`"),
            ("authorization_endpoint", "javascript:alert(1)", "`authorization_endpoint`"),
        ] {
            let error = read(change, value).map(drop).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_secret_goes_into_the_header_as_it_stands_in_a_form() {
        assert_eq!(encoded("a:b c+d&e=ö"), "a%3Ab+c%2Bd%26e%3D%C3%B6");
    }

    #[test]
    fn only_a_word_of_the_service_is_repeated() {
        for (text, expected) in [
            ("access_denied", true),
            ("", false),
            ("<b>call 555</b>", false),
            ("Please call this number", false),
        ] {
            assert_eq!(word(text).is_some(), expected, "{text}");
        }
    }
}
