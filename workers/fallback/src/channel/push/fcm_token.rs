//! Google's access token: fetched with a signed assertion, kept, and shared.
//!
//! What holds here:
//! - However many pushes want a token at once, one request goes out; the others share its outcome,
//!   be it a token or an error.
//! - A token is replaced after 11/12 of its life, which is 55 minutes of Google's hour.
//! - Neither the key nor a token is in any error.
//!
//! Why not `gcp_auth` (0.12.7): whoever waited for its lock does not look again whether a token has come meanwhile, so as many
//! requests go out as pushes wait.
//!
//! Source: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Url, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::debug;
use watchbell::domain::Secret;

use crate::channel::{
    error::{Blame, SendError, SetupError, ThrottleScope},
    http, reason,
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is good for: Google's maximum. It is used once, at once.
const ASSERTION_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// What a token's life is taken to be when the answer does not say.
const TOKEN_LIFE_S: i64 = 3_600;

/// The parts of a service account file that are needed.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

/// A checked service account.
pub(super) struct ServiceAccount {
    pub project: String,
    email: String,
    key: EncodingKey,
    key_id: Option<String>,
    token_uri: Url,
}

impl ServiceAccount {
    /// Reads the JSON file as Google gives it out. Serde's own errors quote what they read, so they are not told.
    pub(super) fn parse(json: &Secret) -> Result<Self, SetupError> {
        let fault = SetupError::ServiceAccount;
        let file: AccountFile = serde_json::from_str(json.expose()).map_err(|_| {
            fault("it is not a JSON with project_id, client_email, private_key and token_uri")
        })?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| fault("private_key is not a PEM of an RSA key"))?;
        let token_uri = Url::parse(&file.token_uri).map_err(|_| fault("token_uri is not an address"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
        if file.project_id.is_empty() || !file.project_id.chars().all(plain) {
            return Err(fault("project_id is not the id of a project"));
        }
        let (project, email, key_id) = (file.project_id, file.client_email, file.private_key_id);
        Ok(Self { project, email, key, key_id, token_uri })
    }

    fn assertion(&self, now: Timestamp) -> Result<String, SendError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            scope: &'a str,
            aud: &'a str,
            iat: i64,
            exp: i64,
        }
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        let (iat, exp) = (now.as_second(), (now + ASSERTION_LIFE).as_second());
        let claims = Claims { iss: &self.email, scope: SCOPE, aud: self.token_uri.as_str(), iat, exp };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| SendError::ConfigFault {
            blame: Blame::Everybody,
            reason: "the service account's key cannot sign".to_owned(),
        })
    }
}

/// Fetches and keeps the access token of one service account.
pub(super) struct AccessTokens {
    account: ServiceAccount,
    client: Client,
    /// Counts requests that have ended, so that who waited for one knows that it is about them.
    fetched: AtomicU64,
    /// Held during a request: whoever comes meanwhile waits here for its outcome.
    latest: Mutex<Option<Result<AccessToken, SendError>>>,
}

#[derive(Clone)]
struct AccessToken {
    /// `Bearer …`, marked sensitive.
    header: HeaderValue,
    fresh_until: Timestamp,
}

impl AccessTokens {
    pub(super) fn new(account: ServiceAccount, client: Client) -> Self {
        Self { account, client, fetched: AtomicU64::new(0), latest: Mutex::new(None) }
    }

    pub(super) fn project(&self) -> &str {
        &self.account.project
    }

    /// The value of `authorization`: the kept one while it is fresh and is not `refused`, else a new one.
    ///
    /// Cancel-safe: when the caller that fetches is dropped, the next one fetches.
    ///
    /// # Errors
    /// What the token's server answered, in the terms of [`SendError`].
    pub(super) async fn get(
        &self,
        refused: Option<&HeaderValue>,
        now: Timestamp,
    ) -> Result<HeaderValue, SendError> {
        let seen = self.fetched.load(Ordering::Acquire);
        let mut latest = self.latest.lock().await;
        let waited = self.fetched.load(Ordering::Acquire) != seen;
        match &*latest {
            Some(Ok(token)) if now < token.fresh_until && Some(&token.header) != refused => {
                return Ok(token.header.clone());
            }
            // A failure is shared by those who waited for it, so that they do not repeat it one by one.
            Some(Err(error)) if waited => return Err(error.clone()),
            _ => {}
        }
        let outcome = self.fetch(now).await;
        *latest = Some(outcome.clone());
        self.fetched.fetch_add(1, Ordering::Release);
        outcome.map(|token| token.header)
    }

    async fn fetch(&self, now: Timestamp) -> Result<AccessToken, SendError> {
        debug!(project = self.account.project, "Fetching an access token for FCM");
        let assertion = self.account.assertion(now)?;
        let form = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let request = self.client.post(self.account.token_uri.clone()).form(&form);
        let answer = http::exchange(request).await?;
        let retry_after = http::retry_after(&answer.headers, now);
        read_token(answer.status, &answer.body, retry_after, now)
    }
}

fn read_token(
    status: u16,
    body: &[u8],
    retry_after: Option<std::time::Duration>,
    now: Timestamp,
) -> Result<AccessToken, SendError> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let (200, Some(token)) = (status, body["access_token"].as_str()) {
        let life_s = body["expires_in"].as_i64().unwrap_or(TOKEN_LIFE_S).clamp(0, TOKEN_LIFE_S);
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            SendError::Unavailable { retry_after, reason: "the access token is not a text".to_owned() }
        })?;
        header.set_sensitive(true);
        return Ok(AccessToken { header, fresh_until: now + SignedDuration::from_secs(life_s * 11 / 12) });
    }
    // For example `invalid_grant`: a deleted key, or a clock that is wrong.
    let word = body["error"].as_str().and_then(reason::code_word);
    let reason = format!("access token: {}", word.map_or_else(|| format!("HTTP {status}"), str::to_owned));
    Err(match status {
        429 => SendError::Throttled { retry_after, scope: ThrottleScope::Provider, reason },
        400..=499 => SendError::ConfigFault { blame: Blame::Everybody, reason },
        _ => SendError::Unavailable { retry_after, reason },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_refused_assertion_is_an_operators_matter() {
        for (status, body, code, reason) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"…"}"#,
                "config_fault",
                "access token: invalid_grant",
            ),
            (401, "", "config_fault", "access token: HTTP 401"),
            (429, "", "throttled", "access token: HTTP 429"),
            (503, "<html>", "unavailable", "access token: HTTP 503"),
            (200, "<html>", "unavailable", "access token: HTTP 200"),
        ] {
            let Err(error) = read_token(status, body.as_bytes(), None, Timestamp::UNIX_EPOCH) else {
                panic!("{status} {body} is not a token");
            };
            assert_eq!((error.code(), error.reason()), (code, reason));
        }
    }

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        for (body, fresh_s) in [
            (r#"{"access_token":"t","expires_in":3600}"#, 3_300),
            (r#"{"access_token":"t","expires_in":60}"#, 55),
            (r#"{"access_token":"t"}"#, 3_300),
            (r#"{"access_token":"t","expires_in":-1}"#, 0),
        ] {
            let token = read_token(200, body.as_bytes(), None, Timestamp::UNIX_EPOCH).ok().unwrap();
            assert_eq!(token.fresh_until.as_second(), fresh_s, "{body}");
            assert!(token.header.is_sensitive());
        }
    }

    #[test]
    fn a_file_that_is_no_service_account_is_not_quoted() {
        for json in ["c4nary5ecret", r#"{"project_id": ["c4nary5ecret"]}"#] {
            let Err(error) = ServiceAccount::parse(&Secret::from(json)) else { panic!("{json} is none") };
            assert!(!format!("{error} {error:?}").contains("c4nary5ecret"));
        }
    }
}
