//! Slack: a message in a channel or to a member, by a bot; or in the one channel of an incoming webhook.
//!
//! What holds here:
//! - A bot's message is changed in its place when its alert changes: to a later version, and to what became of the alert.
//!   Slack notifies nobody of a change; whoever has to be notified is told by another step.
//! - A message is known by `CHANNEL:TS`, which is kept with the attempt. Slack takes no id of ours by which it could recognize a
//!   repetition, so a message whose answer was lost may be there twice. Both name the attempt in their metadata.
//! - The answer of an incoming webhook names no message, so what it posted stays.
//! - Only the hosts of Slack and of the configuration are called, whatever an address says.
//!
//! | module | what it is |
//! |---|---|
//! | `render` | the message, within Slack's limits |
//! | `reply` | what answers mean |
//! | `config` | the sender from `[slack]` |

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::{Value, json};
use watchbell::domain::{Channel, Secret, slack::HOOK_PREFIXES};

use super::{
    dry_run::DryRun,
    error::{SendError, SetupError, no_activity},
    http::{self, Calls, Protocol},
    message::{Job, Message, Recipient},
    sender::{Accepted, ChannelSender, NotConfigured, Provider},
};
use reply::{MessageRef, Refused};

pub(super) mod config;
mod render;
pub(super) mod reply;

/// How Slack is called.
#[derive(Debug, Clone)]
pub struct SlackConfig {
    /// The token of a bot: `xoxb-…`. Without it, only incoming webhooks are served.
    pub token: Option<Secret>,
    /// [`SlackConfig::ENDPOINT`], or a stand-in.
    pub endpoint: String,
    /// A stand-in for the host of Slack's that an incoming webhook's address names.
    pub hooks_endpoint: Option<String>,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
}

impl SlackConfig {
    /// Slack's API.
    pub const ENDPOINT: &str = "https://slack.com";
}

/// Sends to Slack.
pub struct SlackSender {
    client: Client,
    authorization: Option<HeaderValue>,
    api: Url,
    hooks: Option<Url>,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
enum To<'a> {
    /// A channel, or a member, by id.
    Conversation(&'a str),
    /// An incoming webhook.
    Hook(&'a str),
}

impl<'a> To<'a> {
    fn of(to: &'a Secret) -> Self {
        let text = to.expose();
        match HOOK_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            true => Self::Hook(text),
            false => Self::Conversation(text),
        }
    }
}

impl SlackSender {
    /// Checks the configuration; connects with the first message.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &SlackConfig) -> Result<Self, SetupError> {
        let header = |token: &Secret| {
            let header = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut header = header.map_err(|_| SetupError::HeaderText("`token` of slack"))?;
            header.set_sensitive(true);
            Ok(header)
        };
        let hooks = |endpoint: &str| http::origin(endpoint, "`hooks_endpoint` of slack");
        let client = http::client(Calls {
            protocol: Protocol::Negotiated,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: None,
            stand_ins: &[],
        })?;
        Ok(Self {
            client,
            authorization: config.token.as_ref().map(header).transpose()?,
            api: http::origin(&config.endpoint, "`endpoint` of slack")?,
            hooks: config.hooks_endpoint.as_deref().map(hooks).transpose()?,
        })
    }

    async fn deliver(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let to = job.to.secret();
        match (To::of(to), &job.message) {
            (To::Hook(hook), Message::Alert(alert)) => {
                self.post_to_hook(hook, &render::alert(alert), now).await
            }
            (_, Message::Activity(_)) => Err(no_activity()),
            (To::Hook(_), Message::Withdrawal(_)) => {
                Err(SendError::Rejected { reason: HOOKS_CHANGE_NOTHING.to_owned() })
            }
            (To::Conversation(id), Message::Alert(alert)) => {
                let message = with_metadata(render::alert(alert), job, &alert.alert);
                let before = job.shown.iter().rev().filter_map(|shown| MessageRef::parse(shown));
                let place = match before.into_iter().find(|place| place.is_in(id)) {
                    Some(place) => self.replace_or_post(&place, id, message, now).await?,
                    None => self.post(id, message, now).await?,
                };
                Ok(Accepted { provider_id: Some(place.to_string()) })
            }
            (To::Conversation(_), Message::Withdrawal(withdrawal)) => {
                let alert = withdrawal.alerts.first().map(String::as_str).unwrap_or_default();
                let message = with_metadata(render::withdrawal(withdrawal), job, alert);
                self.replace_all(&job.shown, &message, now).await?;
                Ok(Accepted::default())
            }
        }
    }

    async fn post(
        &self,
        conversation: &str,
        mut message: Value,
        now: Timestamp,
    ) -> Result<MessageRef, SendError> {
        message["channel"] = json!(conversation);
        Ok(self.call("chat.postMessage", &message, now).await?)
    }

    /// Changes the earlier message, or posts a new one when that is gone or may not be changed any more.
    async fn replace_or_post(
        &self,
        place: &MessageRef,
        conversation: &str,
        message: Value,
        now: Timestamp,
    ) -> Result<MessageRef, SendError> {
        match self.replace(place, message.clone(), now).await {
            Err(Refused::NotChanged { .. }) => self.post(conversation, message, now).await,
            replaced => Ok(replaced?),
        }
    }

    /// Changes each message once. A message that somebody deleted need not be changed.
    async fn replace_all(&self, shown: &[String], message: &Value, now: Timestamp) -> Result<(), SendError> {
        let mut places: Vec<MessageRef> = shown.iter().filter_map(|shown| MessageRef::parse(shown)).collect();
        places.sort();
        places.dedup();
        for place in places {
            match self.replace(&place, message.clone(), now).await {
                Ok(_) | Err(Refused::NotChanged { is_gone: true, .. }) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(())
    }

    async fn replace(
        &self,
        place: &MessageRef,
        mut message: Value,
        now: Timestamp,
    ) -> Result<MessageRef, Refused> {
        (message["channel"], message["ts"]) = (json!(place.channel), json!(place.ts));
        self.call("chat.update", &message, now).await
    }

    async fn call(&self, method: &str, message: &Value, now: Timestamp) -> Result<MessageRef, Refused> {
        let mut url = self.api.clone();
        url.set_path(&format!("/api/{method}"));
        let mut request = self.client.post(url).json(message);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let answer = http::exchange(request).await.map_err(Refused::Other)?;
        reply::of_method(answer.status, &answer.body, &answer.headers, now)
    }

    /// Whose token it is: <https://docs.slack.dev/reference/methods/auth.test/>.
    async fn auth_test(
        &self,
        authorization: &HeaderValue,
        now: Timestamp,
    ) -> Result<&'static str, SendError> {
        let mut url = self.api.clone();
        url.set_path("/api/auth.test");
        let request = self.client.post(url).header(AUTHORIZATION, authorization.clone());
        let answer = http::exchange(request).await?;
        reply::of_auth_test(answer.status, &answer.body, &answer.headers, now)?;
        Ok("the token is accepted")
    }

    async fn post_to_hook(&self, hook: &str, message: &Value, now: Timestamp) -> Result<Accepted, SendError> {
        let unusable =
            |_| SendError::Unusable { reason: "the incoming webhook is not an address".to_owned() };
        let given = Url::parse(hook).map_err(unusable)?;
        let url = match &self.hooks {
            Some(stand_in) => {
                let mut url = stand_in.clone();
                url.set_path(given.path());
                url
            }
            None => given,
        };
        let answer = http::exchange(self.client.post(url).json(message)).await?;
        reply::of_hook(answer.status, &answer.body, &answer.headers, now)?;
        Ok(Accepted::default())
    }
}

const HOOKS_CHANGE_NOTHING: &str = "an incoming webhook of Slack cannot change what it posted";

#[async_trait]
impl ChannelSender for SlackSender {
    fn channel(&self) -> Channel {
        Channel::Slack
    }

    /// The API and the incoming webhooks fail independently of each other.
    fn provider(&self, job: &Job<'_>) -> Result<Provider, NotConfigured> {
        let named = Provider::named(Channel::Slack.facts().word);
        match (To::of(job.to.secret()), &self.authorization) {
            (To::Hook(_), _) => Ok(Provider { environment: Some("hooks"), ..named }),
            (To::Conversation(_), Some(_)) => Ok(Provider { environment: Some("api"), ..named }),
            (To::Conversation(_), None) => Err(NotConfigured("the token of slack")),
        }
    }

    fn why_kept(&self, to: &Recipient<'_>) -> Option<&'static str> {
        matches!(To::of(to.secret()), To::Hook(_)).then_some(HOOKS_CHANGE_NOTHING)
    }

    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let outcome = match &self.authorization {
            None => Ok("only incoming webhooks, which cannot be asked without posting"),
            Some(authorization) => {
                self.auth_test(authorization, now).await.map_err(|error| error.without(&[]))
            }
        };
        vec![DryRun::of(Channel::Slack.facts().word, outcome)]
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        self.deliver(job, now).await.map_err(|error| error.without(&[job.to.secret().expose()]))
    }
}

/// Says what a message is about, for programs that read the conversation: <https://docs.slack.dev/messaging/message-metadata/>.
fn with_metadata(mut message: Value, job: &Job<'_>, alert: &str) -> Value {
    message["metadata"] = json!({
        "event_type": "watchbell_alert",
        "event_payload": {
            "tenant": job.user.tenant.as_str(), "user": job.user.user.as_str(), "alert": alert,
            "attempt": job.attempt.to_string(),
        },
    });
    message
}
