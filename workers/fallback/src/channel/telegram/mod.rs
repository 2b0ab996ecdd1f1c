//! Telegram: messages of a bot, in the chat that a person or a group has with it.
//!
//! What holds here:
//! - The token is part of every path, so no address of a request is ever logged or put into an error (I12).
//! - Texts go as they are, with entities beside them: nothing in a title can be read as markup.
//! - What is to be noticed is sent anew, because an edit makes no sound, and then the earlier message is deleted. What
//!   is silent anyway is edited in its place.
//! - What is resolved is said so in its message's place, because a chat is read again later. What its person has dealt with
//!   elsewhere is deleted.
//! - Only a message of the very chat that it was sent to is changed: the stored id names both.
//! - The Bot API takes no id of ours. A message whose answer got lost may stand there twice; see `docs/providers.md`,
//!   "Telegram".
//!
//! | module | what it is |
//! |---|---|
//! | `reply` | what answers mean |
//! | `render` | what a message says |
//! | `config` | the sender from `[telegram]` |

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;
use watchbell::domain::{Channel, Secret, Severity, StopReason, telegram::chat_id};

use super::{
    dry_run::DryRun,
    error::{SendError, SetupError, no_activity},
    http, link,
    message::{AlertContent, Job, Message, Withdrawal},
    sender::{Accepted, ChannelSender, NotConfigured, Provider},
};
use render::Rendered;
use reply::Reply;

pub(super) mod config;
mod render;
pub(super) mod reply;

/// Messages that one call takes away at the most, the newest first. More than one stands only where taking away an
/// earlier one failed.
const TAKEN_AWAY_MAX: usize = 8;

/// How the bot is reached, and what its messages say of us.
#[derive(Debug, Clone)]
pub struct TelegramConfig {
    /// The bot's token.
    pub bot_token: Secret,
    /// Usually [`TelegramConfig::ENDPOINT`].
    pub endpoint: String,
    /// Where relative links of alerts lead; none leaves them out.
    pub link_base: Option<String>,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// For showing one alert, and once more for taking away what it replaces.
    pub request_timeout: Duration,
}

impl TelegramConfig {
    /// Telegram's own host.
    pub const ENDPOINT: &str = "https://api.telegram.org";
}

/// Sends by the Bot API.
pub struct TelegramSender {
    client: Client,
    endpoint: Url,
    bot_token: Secret,
    link_base: Option<Url>,
    timeout: Duration,
}

impl TelegramSender {
    /// Checks the configuration; connects with the first message.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &TelegramConfig) -> Result<Self, SetupError> {
        let client = http::client(http::Calls {
            protocol: http::Protocol::Negotiated,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: None,
            stand_ins: &[],
        })?;
        Ok(Self {
            client,
            endpoint: http::origin(&config.endpoint, "`endpoint` of telegram")?,
            bot_token: config.bot_token.clone(),
            link_base: config.link_base.as_deref().and_then(link::web_url),
            timeout: config.request_timeout,
        })
    }

    /// Shows an alert in place of what the chat was shown of it before.
    async fn show(&self, chat: &str, shown: &[i64], alert: &AlertContent) -> Result<Option<i64>, SendError> {
        let link = self.link_of(alert);
        let content = content_of(&render::alert(alert, link.as_ref().map(Url::as_str)), "bold");
        let is_silent = alert.severity == Severity::Info;
        if let (true, Some(newest)) = (is_silent, shown.last()) {
            let edit = with(&content, named(*newest));
            match self.call("editMessageText", chat, edit).await? {
                Reply::Done(_) => return Ok(Some(*newest)),
                Reply::Gone | Reply::Stays => {}
            }
        }
        let message = with(&content, json!({"disable_notification": is_silent}));
        match self.call("sendMessage", chat, message).await? {
            Reply::Done(message) => Ok(message),
            Reply::Gone | Reply::Stays => {
                let reason = "a new message was answered as if it were an old one".to_owned();
                Err(SendError::Rejected { reason })
            }
        }
    }

    /// What is resolved says so where it stands; anything else goes.
    async fn end(&self, chat: &str, shown: &[i64], withdrawal: &Withdrawal) -> Result<(), SendError> {
        let link = withdrawal.content.as_deref().and_then(|alert| self.link_of(alert));
        let over = content_of(&render::over(withdrawal, link.as_ref().map(Url::as_str)), "strikethrough");
        match (withdrawal.because, shown.split_last()) {
            (StopReason::Resolved, Some((newest, earlier))) => {
                // One that is gone by now need not say anything.
                self.call("editMessageText", chat, with(&over, named(*newest))).await?;
                self.take_away(chat, earlier, &over).await
            }
            _ => self.take_away(chat, shown, &over).await,
        }
    }

    fn link_of(&self, alert: &AlertContent) -> Option<Url> {
        link::of_alert(alert.url.as_deref(), self.link_base.as_ref())
    }

    /// Deletes messages. One that cannot be deleted any more, because it is older than two days, says `instead` in its
    /// place.
    async fn take_away(&self, chat: &str, shown: &[i64], instead: &Value) -> Result<(), SendError> {
        for message in shown.iter().rev().take(TAKEN_AWAY_MAX) {
            if let Reply::Stays = self.call("deleteMessage", chat, named(*message)).await? {
                self.call("editMessageText", chat, with(instead, named(*message))).await?;
            }
        }
        Ok(())
    }

    /// Calls one method for one chat. A group that became a supergroup has another id, which is answered; then the call
    /// is made there.
    async fn call(&self, method: &str, chat: &str, parameters: Value) -> Result<Reply, SendError> {
        match self.call_once(method, with(&parameters, json!({"chat_id": chat}))).await? {
            reply::Answered::With(reply) => Ok(reply),
            reply::Answered::Moved(to) => {
                match self.call_once(method, with(&parameters, json!({"chat_id": to}))).await? {
                    reply::Answered::With(reply) => Ok(reply),
                    reply::Answered::Moved(_) => {
                        Err(SendError::Rejected { reason: "the chat moved twice".to_owned() })
                    }
                }
            }
        }
    }

    async fn call_once(&self, method: &str, body: Value) -> Result<reply::Answered, SendError> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("/bot{}/{method}", self.bot_token.expose()));
        let answer = http::exchange(self.client.post(url).json(&body)).await?;
        reply::read(answer.status, &answer.body)
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        let late = |_| SendError::Unreachable { reason: "no answer in time".to_owned() };
        timeout(self.timeout, call).await.map_err(late)?
    }

    async fn carry_out(&self, job: &Job<'_>) -> Result<Accepted, SendError> {
        // One that was stored otherwise than through the door may be anything; nobody is asked about what is none.
        let chat = chat_id(job.to.secret().expose()).map_err(|why| SendError::Unusable {
            reason: format!("the user's Telegram chat {why}; it is kept until another is given"),
        })?;
        let chat = chat.expose();
        let shown = shown_in(chat, &job.shown);
        match &job.message {
            Message::Alert(alert) => {
                let message = self.within(self.show(chat, &shown, alert)).await?;
                let earlier: Vec<i64> =
                    shown.into_iter().filter(|earlier| Some(*earlier) != message).collect();
                if let Err(error) =
                    self.within(self.take_away(chat, &earlier, &json!({"text": render::REPLACED}))).await
                {
                    // The alert is told, and that must not be told again. The withdrawal names the earlier ones too.
                    let code = error.code();
                    warn!(attempt = %job.attempt, code, "An earlier message in Telegram could not be taken away yet");
                }
                Ok(Accepted { provider_id: message.map(|message| stored_id(chat, message)) })
            }
            Message::Withdrawal(withdrawal) => {
                self.within(self.end(chat, &shown, withdrawal)).await?;
                Ok(Accepted::default())
            }
            Message::Activity(_) => Err(no_activity()),
        }
    }
}

#[async_trait]
impl ChannelSender for TelegramSender {
    fn channel(&self) -> Channel {
        Channel::Telegram
    }

    fn provider(&self, _: &Job<'_>) -> Result<Provider, NotConfigured> {
        Ok(Provider::named(Channel::Telegram.facts().word))
    }

    /// Whose token it is: <https://core.telegram.org/bots/api#getme>.
    async fn dry_run(&self, _: Timestamp) -> Vec<DryRun> {
        let asked = self.within(self.call_once("getMe", json!({}))).await;
        let outcome = asked.map(|_| "the bot's token is accepted");
        let outcome = outcome.map_err(|error| error.without(&[self.bot_token.expose()]));
        vec![DryRun::of(Channel::Telegram.facts().word, outcome)]
    }

    async fn send(&self, job: &Job<'_>, _: Timestamp) -> Result<Accepted, SendError> {
        let alert = match &job.message {
            Message::Alert(alert) => Some(alert),
            Message::Withdrawal(withdrawal) => withdrawal.content.as_deref(),
            Message::Activity(activity) => activity.content.as_ref(),
        };
        let title = alert.map_or("", |alert| &alert.title);
        let body = alert.and_then(|alert| alert.body.as_deref()).unwrap_or_default();
        let secrets = [self.bot_token.expose(), job.to.secret().expose(), title, body];
        self.carry_out(job).await.map_err(|error| error.without(&secrets))
    }
}

/// A text, with its title in this style. Styles stand beside the text, so nothing in it is read as markup.
fn content_of(rendered: &Rendered, style: &str) -> Value {
    json!({
        "text": rendered.text,
        "entities": [{"type": style, "offset": rendered.title.start, "length": rendered.title.len()}],
        // Telegram would fetch the page, which is the team's own.
        "link_preview_options": {"is_disabled": true},
    })
}

/// Which message a method is about.
fn named(message: i64) -> Value {
    json!({"message_id": message})
}

/// The members of both objects.
fn with(parameters: &Value, more: Value) -> Value {
    let (mut all, more) = (parameters.clone(), more);
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

/// What is kept of a message: its number, and a mark of the chat, because numbers of different groups are the same and
/// a person may be reached in another chat by now. The mark is too short to find the chat's id by.
fn stored_id(chat: &str, message: i64) -> String {
    format!("{message}.{}", mark_of(chat))
}

/// The messages among these that stand in this chat, each once.
fn shown_in(chat: &str, stored: &[String]) -> Vec<i64> {
    let mark = mark_of(chat);
    let mut messages: Vec<i64> = Vec::new();
    for id in stored {
        let number =
            id.split_once('.').filter(|(_, of)| *of == mark).and_then(|(number, _)| number.parse().ok());
        if let Some(number) = number.filter(|number| !messages.contains(number)) {
            messages.push(number);
        }
    }
    messages
}

fn mark_of(chat: &str) -> String {
    let name = format!("telegram chat {chat}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string()[..6].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_this_chat_are_touched_and_each_once() {
        let stored =
            [stored_id("42", 7), stored_id("-100", 8), stored_id("42", 9), stored_id("42", 7), "junk".into()];
        assert_eq!(shown_in("42", &stored), [7, 9]);
        assert_eq!(shown_in("-100", &stored), [8]);
        assert!(!stored_id("123456789", 7).contains("123456789"));
    }
}
