//! Firebase Cloud Messaging over HTTP v1.
//!
//! What holds here:
//! - The notification's `tag` comes from the alert, so a repeated push replaces on the phone (I6).
//! - Within one `send`, a request is repeated once, and only with a new access token.
//!
//! Elsewhere: what answers mean in `fcm_reply`, the access token in `fcm_token`, messages in `fcm_message`.
//!
//! Why not `fcm` (0.9.2), the newest release of that name: it posts to `https://fcm.googleapis.com/fcm/send` with a server
//! key, an interface that Google shut down in 2024. The host is fixed, so that no simulator can stand in for Google. Crates
//! for HTTP v1 fall short elsewhere: `fcm-service` (0.2.3) fetches a token for each message, `firebae-cm` (0.5.0) fixes the
//! host and drops `Retry-After`.
//!
//! Source: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::{Value, json};
use watchbell::domain::{PushService, Secret};

use super::{
    fcm_message::fcm_message,
    fcm_reply::{classify, wants_new_access_token},
    fcm_style::FcmStyle,
    fcm_token::{AccessTokens, ServiceAccount},
    job::{PushJob, PushSender},
};
use crate::channel::{
    dry_run::DryRun,
    error::{SendError, SetupError},
    http::{self, Calls, Protocol},
    sender::Accepted,
};

/// How to reach Google, and as whom.
#[derive(Debug, Clone)]
pub struct FcmConfig {
    /// The service account's file as Google gives it out. Its `token_uri` is where access tokens come from.
    pub service_account_json: Secret,
    /// See [`FcmConfig::ENDPOINT`].
    pub endpoint: String,
    /// A root certificate trusted besides the system's, for the simulator and for proxies.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received. Google wants at least 10 s.
    pub request_timeout: Duration,
    /// HTTP/1.1 in place of HTTP/2, for proxies and mocks that know no better.
    pub http1: bool,
    /// How apps want their messages.
    pub style: FcmStyle,
    /// Judged by Google and shown to nobody: for trying a configuration out.
    pub validate_only: bool,
}

impl FcmConfig {
    /// Google's host.
    pub const ENDPOINT: &'static str = "https://fcm.googleapis.com";
    /// The least timeout that Google recommends.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
}

/// Sends to Android phones.
pub struct FcmSender {
    url: Url,
    client: Client,
    tokens: AccessTokens,
    style: FcmStyle,
    validate_only: bool,
}

impl FcmSender {
    /// Checks the configuration; connects with the first push.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &FcmConfig) -> Result<Self, SetupError> {
        let protocol = if config.http1 { Protocol::Http1 } else { Protocol::Http2 };
        let client = http::client(Calls {
            protocol,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: None,
            stand_ins: &[],
        })?;
        let account = ServiceAccount::parse(&config.service_account_json)?;
        let tokens = AccessTokens::new(account, client.clone());
        let mut url = http::origin(&config.endpoint, "`endpoint` of fcm")?;
        url.set_path(&format!("/v1/projects/{}/messages:send", tokens.project()));
        let style = config.style.clone();
        Ok(Self { url, client, tokens, style, validate_only: config.validate_only })
    }

    async fn deliver(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError> {
        let mut message = fcm_message(&job.content, job.receipt.as_ref(), &self.style, now)?;
        message["token"] = json!(job.target.token.expose());
        let mut body = json!({"message": message});
        if self.validate_only {
            body["validate_only"] = json!(true);
        }
        let bearer = self.tokens.get(None, now).await?;
        let (status, outcome) = self.exchange(&body, &bearer, now).await?;
        if !wants_new_access_token(&outcome, status) {
            return outcome;
        }
        let bearer = self.tokens.get(Some(&bearer), now).await?;
        self.exchange(&body, &bearer, now).await?.1
    }

    async fn exchange(
        &self,
        body: &Value,
        bearer: &HeaderValue,
        now: Timestamp,
    ) -> Result<(u16, Result<Accepted, SendError>), SendError> {
        let request = self.client.post(self.url.clone()).header(AUTHORIZATION, bearer).json(body);
        let answer = http::exchange(request).await?;
        Ok((answer.status, classify(answer.status, &answer.body, &answer.headers, now)))
    }
}

#[async_trait]
impl PushSender for FcmSender {
    fn fcm_style(&self) -> Option<&FcmStyle> {
        Some(&self.style)
    }

    /// Google judges a message with `validate_only` and sends it to nobody. It looks at the token last, so that a token
    /// that is none tells that all else is good.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let body = json!({"message": {"token": "watchbell-doctor", "data": {}}, "validate_only": true});
        let asked = async {
            let bearer = self.tokens.get(None, now).await?;
            self.exchange(&body, &bearer, now).await?.1
        };
        let outcome = match asked.await {
            Ok(_) | Err(SendError::BadToken { .. } | SendError::Unregistered { .. }) => {
                Ok("the service account is accepted for its project")
            }
            Err(error) => Err(error.without(&[])),
        };
        vec![DryRun::of(PushService::Fcm.as_str(), outcome)]
    }

    async fn send(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError> {
        let outcome = self.deliver(job, now).await;
        outcome.map_err(|error| error.without(&[job.target.token.expose()]))
    }
}

#[cfg(test)]
#[path = "fcm_tests.rs"]
mod tests;
