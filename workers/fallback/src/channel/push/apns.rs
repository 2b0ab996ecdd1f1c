//! Apple Push Notification service over HTTP/2.
//!
//! What holds here:
//! - `apns-id` is the attempt's id and `apns-collapse-id` comes from the alert, so a repeated push replaces (I6).
//! - One connection is shared and kept open; a new one only when Apple ends the old, and at most every
//!   [`RENEW_PAUSE`]: frequent reconnecting is taken for an attack.
//! - Within one `send`, a request is repeated only for a new provider token and for a smaller payload, once each.
//! - A device is signed for with the first key whose environment and apps it is in, for the app that it was registered by.
//!
//! Elsewhere: what answers mean in `apns_reply`, the provider token in `apns_token`, the payloads
//! of alerts in `render`, those of Live Activities in `apns_activity`, and what broadcast channels are asked for in `apns_broadcast`.
//!
//! Why not the client of `a2` (0.10.0), nor that of its fork `apns-h2` (0.11.0), whose payloads and options are used as they
//! are: in both, `Endpoint` is a choice of Apple's two hosts and the connector is private, so that no simulator and no proxy
//! can stand in between. Both drop the headers of an answer but `apns-id`, so `Retry-After` is lost, and with it how long to
//! wait; and of a reason that is not in their list nothing is left. `a2` has had no release since May 2024, and would bring a
//! second rustls (0.22).
//!
//! Source: "Sending notification requests to APNs",
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use apns_h2::{CollapseId, NotificationOptions, Priority, PushType};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Client, Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tracing::{info, warn};
use uuid::Uuid;
use watchbell::domain::{Device, PushEnvironment, PushService, Secret, push_token::apns_token};

use super::{
    apns_activity,
    apns_broadcast::{ChannelRequest, classify_channel},
    apns_reply::{
        CONNECTION_IS_OVER, EXPIRED_PROVIDER_TOKEN, PAYLOAD_TOO_LARGE, TOO_MANY_TOKEN_UPDATES, classify,
    },
    apns_token::TokenMint,
    job::{PushContent, PushJob, PushSender, PushTarget},
    render,
};
use crate::channel::{
    broadcast::{Broadcast, BroadcastAct},
    dry_run::DryRun,
    error::{SendError, SetupError},
    http::{self, Calls, Protocol},
    sender::{Accepted, Broadcaster, Provider},
};

/// The least time between two connections that replace each other.
const RENEW_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// The token as Apple is asked for it. One that was registered before tokens were checked may be anything: what could be
/// another path than a token's is not sent, and whatever else it is, Apple judges.
fn in_path(token: &str) -> Result<String, SendError> {
    let is_safe =
        !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match apns_token(token) {
        Ok(token) => Ok(token),
        Err(_) if is_safe => Ok(token.to_owned()),
        Err(why) => Err(SendError::Unusable {
            reason: format!("the device's token {why}; it is kept until the app registers again"),
        }),
    }
}

/// How to reach Apple, and as whom.
#[derive(Debug, Clone)]
pub struct ApnsConfig {
    /// For apps from the store. See [`ApnsConfig::PRODUCTION`].
    pub endpoint_production: String,
    /// For apps from a developer's machine. See [`ApnsConfig::SANDBOX`].
    pub endpoint_sandbox: String,
    /// As whom.
    pub auth: ApnsAuth,
    /// Where broadcast channels are made and deleted; none: there are none.
    pub broadcast: Option<BroadcastEndpoints>,
    /// The bundle id of the app whose devices did not say theirs.
    pub topic: String,
    /// A root certificate trusted besides the system's, for the simulator and for proxies.
    pub trust_root_pem: Option<String>,
    /// From the first byte sent to the last received.
    pub request_timeout: Duration,
}

/// The hosts that manage broadcast channels.
#[derive(Debug, Clone)]
pub struct BroadcastEndpoints {
    /// For apps from the store. See [`BroadcastEndpoints::PRODUCTION`].
    pub production: String,
    /// For apps from a developer's machine. See [`BroadcastEndpoints::SANDBOX`].
    pub sandbox: String,
}

impl BroadcastEndpoints {
    /// Apple's host for apps from the store.
    pub const PRODUCTION: &'static str = "https://api-manage-broadcast.push.apple.com:2196";
    /// Apple's host for apps from a developer's machine.
    pub const SANDBOX: &'static str = "https://api-manage-broadcast.sandbox.push.apple.com:2195";
}

/// Apple knows a sender by a token that it signs, or by the certificate of its connections.
#[derive(Debug, Clone)]
pub enum ApnsAuth {
    /// By keys, the recommended way: the first whose scope a device is in.
    Token(Vec<ApnsKey>),
    /// Good for one app, for a year.
    Certificate {
        /// The certificate and its private key, one after the other.
        pem: Secret,
    },
}

/// A key of a team's, which Apple may have made good for one environment or for some apps only.
#[derive(Debug, Clone)]
pub struct ApnsKey {
    /// `iss` of the provider token: ten characters from Apple.
    pub team_id: String,
    /// `kid` of the provider token.
    pub key_id: String,
    /// The content of the `.p8` file.
    pub key_pem: Secret,
    /// None: good for both.
    pub environment: Option<PushEnvironment>,
    /// Bundle ids. None of them: good for every app of the team.
    pub topics: Vec<String>,
}

impl ApnsConfig {
    /// Apple's host for apps from the store.
    pub const PRODUCTION: &'static str = "https://api.push.apple.com";
    /// Apple's host for apps from a developer's machine.
    pub const SANDBOX: &'static str = "https://api.sandbox.push.apple.com";
}

/// Sends to iPhones.
pub struct ApnsSender {
    production: Url,
    sandbox: Url,
    /// Those that manage channels, for production and for the sandbox.
    channels: Option<(Url, Url)>,
    topic: String,
    /// None with a certificate: then the connection says who we are.
    keys: Option<Vec<ScopedMint>>,
    connections: Connections,
}

/// The provider tokens of one key, and what it is good for.
struct ScopedMint {
    mint: TokenMint,
    environment: Option<PushEnvironment>,
    topics: Vec<String>,
}

impl ScopedMint {
    fn new(key: &ApnsKey) -> Result<Self, SetupError> {
        let mint = TokenMint::new(&key.key_pem, &key.key_id, &key.team_id)?;
        Ok(Self { mint, environment: key.environment, topics: key.topics.clone() })
    }

    fn is_for(&self, environment: PushEnvironment, topic: &str) -> bool {
        self.environment.is_none_or(|only| only == environment)
            && (self.topics.is_empty() || self.topics.iter().any(|known| known == topic))
    }
}

impl ApnsSender {
    /// Checks the configuration; connects with the first push.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &ApnsConfig) -> Result<Self, SetupError> {
        HeaderValue::from_str(&config.topic).map_err(|_| SetupError::HeaderText("`topic` of apns"))?;
        let (keys, identity) = match &config.auth {
            ApnsAuth::Token(keys) => {
                (Some(keys.iter().map(ScopedMint::new).collect::<Result<Vec<_>, _>>()?), None)
            }
            ApnsAuth::Certificate { pem } => (None, Some(pem.clone())),
        };
        let channels = config.broadcast.as_ref().map(|hosts| {
            let production = http::origin(&hosts.production, "`endpoint_channels` of apns")?;
            Ok((production, http::origin(&hosts.sandbox, "`endpoint_channels_sandbox` of apns")?))
        });
        let (timeout, trust_root_pem) = (config.request_timeout, config.trust_root_pem.clone());
        Ok(Self {
            production: http::origin(&config.endpoint_production, "`endpoint_production` of apns")?,
            sandbox: http::origin(&config.endpoint_sandbox, "`endpoint_sandbox` of apns")?,
            channels: channels.transpose()?,
            topic: config.topic.clone(),
            keys,
            connections: Connections::open(Reach { timeout, trust_root_pem, identity })?,
        })
    }

    async fn deliver(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError> {
        let topic = job.target.bound_to.as_deref().unwrap_or(&self.topic);
        let token = self.mint_for(job.target.environment, topic)?;
        if let (None, PushContent::Activity(_)) = (&token, &job.content) {
            return Err(apns_activity::by_certificate());
        }
        let Push { headers, body } = Push::of(job, topic)?;
        let mut url = self.host(job.target.environment).clone();
        url.set_path(&format!("/3/device/{}", in_path(job.target.token.expose())?));
        let mut request = Request { method: Method::POST, url, headers, body, read: classify };
        let mut outcome = self.exchange(&request, token, now).await;
        if let (true, PushContent::Alert(alert)) = (refused_with(&outcome, PAYLOAD_TOO_LARGE), &job.content) {
            request.body = render::apns_payload_bare(alert, job.receipt.as_ref());
            outcome = self.exchange(&request, token, now).await;
        }
        outcome
    }

    fn host(&self, environment: PushEnvironment) -> &Url {
        match environment {
            PushEnvironment::Production => &self.production,
            PushEnvironment::Sandbox => &self.sandbox,
        }
    }

    /// Makes a request, signed by `token` where the connection's certificate does not do that.
    async fn exchange(
        &self,
        request: &Request,
        token: Option<&TokenMint>,
        now: Timestamp,
    ) -> Result<Accepted, SendError> {
        let bearer = token.map(|token| token.current(now)).transpose()?;
        let mut outcome = self.exchange_once(request, bearer.as_ref(), now).await;
        if let (Some(token), Some(refused), true) =
            (token, &bearer, refused_with(&outcome, EXPIRED_PROVIDER_TOKEN))
        {
            warn!("Apple calls our provider token expired; trying once with another on a new connection");
            self.connections.renew(now);
            if let Some(next) = token.after_expired(refused, now) {
                outcome = self.exchange_once(request, Some(&next?), now).await;
            }
        }
        if let (Some(token), true) = (token, refused_with(&outcome, TOO_MANY_TOKEN_UPDATES)) {
            token.after_too_many(now);
        }
        if CONNECTION_IS_OVER.iter().any(|reason| refused_with(&outcome, reason)) {
            self.connections.renew(now);
        }
        outcome
    }

    /// What signs for this app in this environment; none where the connection's certificate does.
    fn mint_for(&self, environment: PushEnvironment, topic: &str) -> Result<Option<&TokenMint>, SendError> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let scoped = keys.iter().find(|key| key.is_for(environment, topic));
        let missing = || SendError::Unusable {
            reason: format!("no key of [apns] is for the app {topic} in {}", environment.as_str()),
        };
        scoped.map(|scoped| Some(&scoped.mint)).ok_or_else(missing)
    }

    async fn exchange_once(
        &self,
        request: &Request,
        bearer: Option<&HeaderValue>,
        now: Timestamp,
    ) -> Result<Accepted, SendError> {
        let Request { method, url, headers, body, read } = request;
        let mut headers = headers.clone();
        if let Some(bearer) = bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        let request = self.connections.client().request(method.clone(), url.clone()).headers(headers);
        let answer = http::exchange(request.body(body.clone())).await?;
        read(answer.status, &answer.body, &answer.headers, now)
    }
}

/// A request as Apple gets it, without the provider token, and what its answers mean.
struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: String,
    read: fn(u16, &[u8], &HeaderMap, Timestamp) -> Result<Accepted, SendError>,
}

#[async_trait]
impl Broadcaster for ApnsSender {
    /// Of the apps that `[apns]` names: whoever registers a device may name any other.
    fn app_of<'a>(&'a self, device: &'a Device) -> Option<&'a str> {
        self.channels.as_ref().filter(|_| device.service == PushService::Apns)?;
        let app = device.bound_to.as_deref().unwrap_or(&self.topic);
        let mut named = self.keys.iter().flatten().flat_map(|key| &key.topics);
        let is_named = app == self.topic || named.any(|topic| topic == app);
        (is_named && self.mint_for(device.environment, app).is_ok()).then_some(app)
    }

    /// The hosts that manage channels are others than those that take pushes.
    fn provider_of(&self, broadcast: &Broadcast) -> Provider {
        let origin = match broadcast.act {
            BroadcastAct::Look | BroadcastAct::Make | BroadcastAct::Delete { .. } => {
                Some("channels".to_owned())
            }
            BroadcastAct::Tell { .. } => None,
        };
        let environment = Some(broadcast.environment.as_str());
        Provider { environment, origin, ..Provider::named(PushService::Apns.as_str()) }
    }

    async fn broadcast(&self, broadcast: &Broadcast, now: Timestamp) -> Result<Accepted, SendError> {
        let request = ChannelRequest::of(broadcast)?;
        let Some((production, sandbox)) = self.channels.as_ref().filter(|_| self.keys.is_some()) else {
            return Err(SendError::Rejected { reason: "`broadcast` of [apns] is not on".to_owned() });
        };
        let host = match (request.is_management, broadcast.environment) {
            (true, PushEnvironment::Production) => production,
            (true, PushEnvironment::Sandbox) => sandbox,
            (false, environment) => self.host(environment),
        };
        let token = self.mint_for(broadcast.environment, &broadcast.app)?;
        let url = request.at(host);
        let ChannelRequest { method, headers, body, .. } = request;
        let request = Request { method, url, headers, body, read: classify_channel };
        self.exchange(&request, token, now).await.map_err(|error| error.without(&[]))
    }
}

/// A token that no phone has. Apple looks at the provider token and the topic first.
const NOBODYS_TOKEN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is found out about an environment that takes pushes.
const KNOWN: &str = "the connection stands, and the credentials and the topic are accepted";
/// The same where the app may have broadcast channels as well.
const KNOWN_WITH_CHANNELS: &str = "the connection stands, the credentials and the topic are accepted, and the app may have broadcast channels";
/// The same where no key is for the other one.
const KNOWN_THERE_ALONE: &str = "the connection stands, and the credentials and the topic are accepted; no key is for the other environment, whose devices \
     are sent nothing";

impl ApnsSender {
    /// Whether there is something to sign with for the app that devices are of which did not say theirs.
    fn can_sign(&self, environment: PushEnvironment) -> bool {
        self.mint_for(environment, &self.topic).is_ok()
    }

    /// The capability is the app's, and a host of its own manages channels.
    async fn try_out_channels(
        &self,
        environment: PushEnvironment,
        now: Timestamp,
    ) -> Result<&'static str, SendError> {
        if self.broadcaster().is_none() {
            return Ok(KNOWN);
        }
        let (call, app) = (Uuid::new_v4(), self.topic.clone());
        let look = Broadcast { call, app, environment, act: BroadcastAct::Look };
        self.broadcast(&look, now).await.map(|_| KNOWN_WITH_CHANNELS)
    }

    async fn try_out(&self, environment: PushEnvironment, now: Timestamp) -> DryRun {
        let target = PushTarget { token: Secret::from(NOBODYS_TOKEN), environment, bound_to: None };
        let content = PushContent::Withdrawal { user: String::new(), alerts: Vec::new(), unread: 0 };
        let job = PushJob { attempt: Uuid::new_v4(), target, content, receipt: None };
        let outcome = match self.deliver(&job, now).await {
            Ok(_) | Err(SendError::BadToken { .. } | SendError::Unregistered { .. }) => {
                self.try_out_channels(environment, now).await
            }
            Err(error) => Err(error.without(&[])),
        };
        DryRun { environment: Some(environment), ..DryRun::of(PushService::Apns.as_str(), outcome) }
    }
}

#[async_trait]
impl PushSender for ApnsSender {
    /// An environment without a key is meant to have none, as long as the other has one.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let both = [PushEnvironment::Production, PushEnvironment::Sandbox];
        let signed: Vec<_> = both.into_iter().filter(|&environment| self.can_sign(environment)).collect();
        match signed[..] {
            [only] => {
                let run = self.try_out(only, now).await;
                vec![DryRun { outcome: run.outcome.map(|_| KNOWN_THERE_ALONE), ..run }]
            }
            _ => vec![self.try_out(both[0], now).await, self.try_out(both[1], now).await],
        }
    }

    fn broadcaster(&self) -> Option<&dyn Broadcaster> {
        (self.channels.is_some() && self.keys.is_some()).then_some(self)
    }

    async fn send(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError> {
        let token = job.target.token.expose();
        in_path(token)?;
        self.deliver(job, now).await.map_err(|error| error.without(&[token]))
    }
}

fn refused_with(outcome: &Result<Accepted, SendError>, reason: &str) -> bool {
    outcome.as_ref().is_err_and(|error| error.reason() == reason)
}

/// One push as Apple gets it, without the device and the provider token.
struct Push {
    headers: HeaderMap,
    body: String,
}

impl Push {
    fn of(job: &PushJob, topic: &str) -> Result<Self, SendError> {
        let id = job.attempt.hyphenated().to_string();
        let collapse_id = match &job.content {
            PushContent::Alert(alert) => Some(render::collapse_id(&alert.collapse_key)),
            PushContent::Withdrawal { .. } | PushContent::Activity(_) => None,
        };
        let activity_topic = apns_activity::topic(topic);
        let topic = match &job.content {
            PushContent::Activity(_) => &activity_topic,
            PushContent::Alert(_) | PushContent::Withdrawal { .. } => topic,
        };
        let mut options = NotificationOptions {
            apns_id: Some(&id),
            apns_topic: Some(topic),
            apns_collapse_id: collapse_id.as_deref().map(|value| CollapseId { value }),
            ..NotificationOptions::default()
        };
        match &job.content {
            PushContent::Alert(alert) => {
                options.apns_push_type = Some(PushType::Alert);
                options.apns_priority = Some(Priority::High);
                // A date before 1970 would be a fault of ours; 0 means "now or never".
                options.apns_expiration = Some(u64::try_from(alert.expires_at.as_second()).unwrap_or(0));
            }
            PushContent::Withdrawal { .. } => {
                options.apns_push_type = Some(PushType::Background);
                // Apple refuses a background push with any higher one.
                options.apns_priority = Some(Priority::Normal);
                // Apple stores one push for an app on a phone that is off; a withdrawal must not
                // take the place of an alert.
                options.apns_expiration = Some(0);
            }
            PushContent::Activity(activity) => {
                options.apns_push_type = Some(PushType::LiveActivity);
                options.apns_priority = Some(apns_activity::priority(activity.event));
                options.apns_expiration = Some(apns_activity::expiration_s(activity));
            }
        }
        let body = match &job.content {
            PushContent::Activity(activity) => apns_activity::payload(activity)?,
            shown => render::apns_payload(shown, job.receipt.as_ref())?,
        };
        Ok(Self { headers: headers(&options)?, body })
    }
}

fn headers(options: &NotificationOptions<'_>) -> Result<HeaderMap, SendError> {
    let fields = [
        ("apns-id", options.apns_id.map(str::to_owned)),
        ("apns-topic", options.apns_topic.map(str::to_owned)),
        ("apns-push-type", options.apns_push_type.map(|kind| kind.to_string())),
        ("apns-priority", options.apns_priority.as_ref().map(ToString::to_string)),
        ("apns-expiration", options.apns_expiration.map(|at| at.to_string())),
        ("apns-collapse-id", options.apns_collapse_id.as_ref().map(|id| id.value.to_owned())),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in fields {
        if let Some(value) = value {
            let value = HeaderValue::try_from(value)
                .map_err(|_| SendError::Rejected { reason: format!("{name} cannot be a header") })?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(headers)
}

/// What every connection is made with.
struct Reach {
    timeout: Duration,
    trust_root_pem: Option<String>,
    identity: Option<Secret>,
}

impl Reach {
    fn client(&self) -> Result<Client, SetupError> {
        http::client(Calls {
            protocol: Protocol::Http2,
            timeout: self.timeout,
            trust_root_pem: self.trust_root_pem.as_deref(),
            identity_pem: self.identity.as_ref(),
            resolver: None,
            stand_ins: &[],
        })
    }
}

/// The connections to both hosts, as one client that can be replaced. Requests under way on
/// the old one finish there.
struct Connections {
    reach: Reach,
    current: Mutex<(Client, Option<Timestamp>)>,
}

impl Connections {
    fn open(reach: Reach) -> Result<Self, SetupError> {
        let client = reach.client()?;
        Ok(Self { reach, current: Mutex::new((client, None)) })
    }

    fn client(&self) -> Client {
        self.current().0.clone()
    }

    /// Lets the next request open a new connection, unless the current one is newer than [`RENEW_PAUSE`].
    fn renew(&self, now: Timestamp) {
        let mut current = self.current();
        if current.1.is_some_and(|renewed_at| now < renewed_at + RENEW_PAUSE) {
            return;
        }
        match self.reach.client() {
            Ok(client) => {
                info!("Opening a new connection to APNs");
                *current = (client, Some(now));
            }
            // It was possible at the start. The old client reconnects by itself once the old connection dies.
            Err(error) => warn!(%error, "Keeping the old connection to APNs"),
        }
    }

    fn current(&self) -> MutexGuard<'_, (Client, Option<Timestamp>)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "apns_tests.rs"]
mod tests;
