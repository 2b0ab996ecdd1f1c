//! Text messages to phones, by Twilio's API.
//!
//! What holds here:
//! - A message takes at most so many segments, because each is paid for (`render`, `segments`).
//! - Whoever wrote STOP, or whose number takes no text messages, is not written to again until another number is given, or the
//!   same one once more after it was taken away. Twilio's own list of STOP and START is not read.
//! - Twilio takes no id of ours. A call whose answer was lost is made again, and the person may get the message twice:
//!   telling nobody would be worse.
//! - Nothing can be taken away from a phone, and nothing is replaced there.
//!
//! | module | what it is |
//! |---|---|
//! | `render` | what a message says, within its segments |
//! | `segments` | how many segments a text takes |
//! | `reply` | what answers mean |
//! | `config` | the sender from `[sms]` |

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Url};
use watchbell::domain::{Channel, Secret, phone::phone_number};

use super::{
    dry_run::DryRun,
    error::{SendError, SetupError},
    http::{self, Calls, Protocol},
    link,
    message::{AlertContent, Job, Message},
    sender::{Accepted, ChannelSender, NotConfigured, Provider},
};

pub(super) mod config;
mod render;
pub(super) mod reply;
mod segments;

/// How long Twilio may keep a message in its queue: between a second and ten hours.
/// <https://www.twilio.com/docs/api/errors/90007>
const VALIDITY_MIN: Duration = Duration::from_secs(1);
const VALIDITY_MAX: Duration = Duration::from_secs(10 * 60 * 60);

/// Its name in logs and metrics.
const PROVIDER: &str = "twilio";

/// As whom Twilio is called, where it is, and how long a message may be.
#[derive(Debug, Clone)]
pub struct SmsConfig {
    /// The account that pays: `AC…`.
    pub account_sid: String,
    /// Who signs in: the account itself, or one of its API keys, `SK…`.
    pub username: String,
    /// The account's token, or the key's secret.
    pub password: Secret,
    /// Whom people see.
    pub from: SmsFrom,
    /// Segments of one message at the most.
    pub segments_max: usize,
    /// [`SmsConfig::ENDPOINT`], the one of another region, or a stand-in.
    pub endpoint: String,
    /// What relative links of alerts are relative to. Without it they are left out.
    pub link_base: Option<String>,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
}

/// Whom a message is from.
#[derive(Debug, Clone)]
pub enum SmsFrom {
    /// A number, a short code or a name.
    Sender(String),
    /// A messaging service, `MG…`, which chooses among its numbers.
    Service(String),
}

impl SmsConfig {
    /// Twilio's API.
    pub const ENDPOINT: &str = "https://api.twilio.com";
}

/// Sends text messages.
pub struct SmsSender {
    client: Client,
    messages: Url,
    link_base: Option<Url>,
    config: SmsConfig,
}

impl SmsSender {
    /// Checks the configuration; connects with the first message.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: SmsConfig) -> Result<Self, SetupError> {
        let client = http::client(Calls {
            protocol: Protocol::Negotiated,
            timeout: config.request_timeout,
            trust_root_pem: config.trust_root_pem.as_deref(),
            identity_pem: None,
            resolver: None,
            stand_ins: &[],
        })?;
        let mut messages = http::origin(&config.endpoint, "`endpoint` of sms")?;
        messages.set_path(&format!("/2010-04-01/Accounts/{}/Messages.json", config.account_sid));
        let link_base = match config.link_base.as_deref().map(link::web_url) {
            Some(None) => return Err(SetupError::Endpoint("`link_base` of sms")),
            known => known.flatten(),
        };
        Ok(Self { client, messages, link_base, config })
    }

    async fn post(&self, to: &str, alert: &AlertContent, now: Timestamp) -> Result<Accepted, SendError> {
        let SmsConfig { username, password, from, segments_max, .. } = &self.config;
        let link = link::of_alert(alert.url.as_deref(), self.link_base.as_ref());
        let body = render::alert(alert, link.as_ref().map(Url::as_str), *segments_max);
        let validity = validity_of(alert.expires_at, now).as_secs().to_string();
        let from = match from {
            SmsFrom::Sender(sender) => ("From", &**sender),
            SmsFrom::Service(service) => ("MessagingServiceSid", &**service),
        };
        let form = [("To", to), ("Body", &body), ("ValidityPeriod", &validity), from];
        let request = self.client.post(self.messages.clone()).form(&form);
        let answer = http::exchange(request.basic_auth(username, Some(password.expose()))).await?;
        reply::classify(answer.status, &answer.body, &answer.headers, now)
    }
}

impl SmsSender {
    /// The account, as whoever signs in may see it: an API key may not read the account itself, but its messages.
    async fn look_up(&self, now: Timestamp) -> Result<&'static str, SendError> {
        let SmsConfig { username, password, account_sid, .. } = &self.config;
        let mut url = self.messages.clone();
        let found = if username == account_sid {
            url.set_path(&format!("/2010-04-01/Accounts/{account_sid}.json"));
            "the account and its token are accepted"
        } else {
            url.set_query(Some("PageSize=1"));
            "the API key is accepted for the account"
        };
        let request = self.client.get(url).basic_auth(username, Some(password.expose()));
        let answer = http::exchange(request).await?;
        match answer.status {
            200 => Ok(found),
            status => reply::classify(status, &answer.body, &answer.headers, now).map(|_| found),
        }
    }
}

/// How long the message is worth sending, as far as Twilio lets us say so.
fn validity_of(expires_at: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
    left.clamp(VALIDITY_MIN, VALIDITY_MAX)
}

#[async_trait]
impl ChannelSender for SmsSender {
    fn channel(&self) -> Channel {
        Channel::Sms
    }

    fn provider(&self, _: &Job<'_>) -> Result<Provider, NotConfigured> {
        Ok(Provider::named(PROVIDER))
    }

    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let outcome = self.look_up(now).await.map_err(|error| error.without(&[]));
        vec![DryRun::of(PROVIDER, outcome)]
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let Message::Alert(alert) = &job.message else {
            return Err(SendError::Rejected {
                reason: "a text message cannot be taken back, and is no Live Activity".to_owned(),
            });
        };
        // Twilio is not asked about a text that is no number, so it refused nothing and the text is kept.
        let to = phone_number(job.to.secret().expose()).map_err(|why| SendError::Unusable {
            reason: format!("the user's phone number {why}; it is kept until another is given"),
        })?;
        self.post(to.expose(), alert, now).await.map_err(|error| error.without(&[to.expose()]))
    }
}

#[cfg(test)]
mod tests;
