//! A simulator, senders that talk to it, and the jobs they are given.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use watchbell::domain::{Secret, Severity, Status, Tenant, UserId, UserKey};
use watchbell_fallback::channel::{
    AlertContent, ApnsAuth, ApnsConfig, ApnsKey, ApnsSender, BroadcastEndpoints, EmailConfig, EmailJob,
    EmailTls, FcmConfig, FcmSender, FcmStyle, Job, Message, PushContent, PushEnvironment, PushJob,
    PushTarget, Recipient, SendError, SmsConfig, SmsFrom, SmtpSender, TelegramConfig, TelegramSender,
    VapidKey, WebPushConfig, WebPushSender,
};
use watchbell_simulator::{Addresses, Credentials, Simulator, SimulatorConfig};

/// A token that both Apple and Google take.
pub const TOKEN: &str = "a1b2c3";
const TIMEOUT: Duration = Duration::from_secs(5);

/// A simulator that serves.
/// A host of each vendor's push service for browsers.
pub const VENDORS: [&str; 4] = [
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "wns2-db5p.notify.windows.com",
    "web.push.apple.com",
];

pub struct ProviderFixture {
    pub addresses: Addresses,
    pub credentials: Credentials,
    http: reqwest::Client,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl ProviderFixture {
    pub async fn start() -> Self {
        let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
        let (addresses, credentials) = (simulator.addresses(), simulator.credentials().clone());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(simulator.run(shutdown.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { addresses, credentials, http, shutdown, running }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }

    fn own(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addresses.listen)
    }

    /// Replaces the faults of the providers named.
    pub async fn faults(&self, lists: Value) {
        let answer = self.http.put(self.own("faults")).json(&lists).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// What the mail relay offers to new connections.
    pub async fn offer(&self, offer: &Value) {
        let answer = self.http.put(self.own("relay")).json(offer).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    pub async fn arrivals(&self) -> Vec<Value> {
        self.http.get(self.own("arrivals?all=1")).send().await.unwrap().json().await.unwrap()
    }

    /// A mail that arrived, as it came over the wire.
    pub async fn source_of(&self, arrival: &Value) -> Vec<u8> {
        let address = arrival["mail"]["source"].as_str().unwrap();
        self.http.get(self.own(address)).send().await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// The subscription of a simulated browser, as it is kept for a device.
    pub async fn subscription(&self, browser: &str) -> Secret {
        self.subscription_at(browser, "localhost").await
    }

    /// The same at a push service of this host.
    pub async fn subscription_at(&self, browser: &str, host: &str) -> Secret {
        self.subscription_with(browser, &format!("host={host}")).await
    }

    /// The same, subscribed as `query` says: `key` and `declarative`.
    pub async fn subscription_with(&self, browser: &str, query: &str) -> Secret {
        let address = self.own(&format!("webpush/{browser}?{query}"));
        let answer = self.http.get(address).send().await.unwrap();
        let subscription: watchbell::wire::webpush::SubscriptionV1 = answer.json().await.unwrap();
        subscription.to_token()
    }

    fn push_origin(&self) -> String {
        format!("https://localhost:{}", self.addresses.push.port())
    }

    fn sandbox_origin(&self) -> String {
        format!("https://localhost:{}", self.addresses.sandbox.port())
    }

    pub fn apns(&self) -> ApnsSender {
        let apns = &self.credentials.apns;
        self.apns_as(ApnsAuth::Token(vec![ApnsKey {
            team_id: apns.team_id.clone(),
            key_id: apns.key_id.clone(),
            key_pem: Secret::from(apns.key_pem.clone()),
            environment: None,
            topics: Vec::new(),
        }]))
    }

    pub fn apns_as(&self, auth: ApnsAuth) -> ApnsSender {
        ApnsSender::new(&ApnsConfig {
            endpoint_production: self.push_origin(),
            endpoint_sandbox: self.sandbox_origin(),
            auth,
            broadcast: Some(BroadcastEndpoints {
                production: self.push_origin(),
                sandbox: self.sandbox_origin(),
            }),
            topic: self.credentials.apns.topic.clone(),
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            request_timeout: TIMEOUT,
        })
        .unwrap()
    }

    pub fn fcm(&self, validate_only: bool) -> FcmSender {
        self.fcm_with(validate_only, FcmStyle::default())
    }

    /// To apps that want their messages so.
    pub fn fcm_as(&self, style: FcmStyle) -> FcmSender {
        self.fcm_with(false, style)
    }

    fn fcm_with(&self, validate_only: bool, style: FcmStyle) -> FcmSender {
        FcmSender::new(&FcmConfig {
            service_account_json: Secret::from(self.credentials.fcm_service_account_json.clone()),
            endpoint: self.push_origin(),
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            request_timeout: TIMEOUT,
            http1: false,
            style,
            validate_only,
        })
        .unwrap()
    }

    pub fn webpush(&self) -> WebPushSender {
        self.webpush_with(VapidKey::generate().unwrap(), None)
    }

    pub fn webpush_with(&self, key: VapidKey, previous_key: Option<VapidKey>) -> WebPushSender {
        self.webpush_as("mailto:ops@watchbell.test", key, previous_key)
    }

    /// By a sender whom push services may write to at `subject`. Each vendor's host is the simulator.
    pub fn webpush_as(&self, subject: &str, key: VapidKey, previous_key: Option<VapidKey>) -> WebPushSender {
        WebPushSender::new(&WebPushConfig {
            key,
            previous_key,
            subject: subject.into(),
            page: Some("https://app.watchbell.test/alerts".into()),
            private_endpoints: true,
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            request_timeout: TIMEOUT,
            stand_ins: VENDORS.map(|host| (host.to_owned(), self.addresses.push)).to_vec(),
        })
        .unwrap()
    }

    pub fn telegram(&self) -> TelegramSender {
        self.telegram_as(&self.credentials.telegram_bot_token)
    }

    pub fn telegram_as(&self, bot_token: &str) -> TelegramSender {
        TelegramSender::new(&TelegramConfig {
            bot_token: Secret::from(bot_token),
            endpoint: self.push_origin(),
            link_base: Some("https://alerts.watchbell.test".into()),
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            request_timeout: TIMEOUT,
        })
        .unwrap()
    }

    pub fn sms_config(&self) -> SmsConfig {
        let twilio = &self.credentials.twilio;
        SmsConfig {
            account_sid: twilio.account_sid.clone(),
            username: twilio.account_sid.clone(),
            password: Secret::from(twilio.auth_token.clone()),
            from: SmsFrom::Sender(twilio.from.clone()),
            segments_max: 3,
            endpoint: self.push_origin(),
            link_base: Some("https://alerts.watchbell.test".into()),
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            request_timeout: TIMEOUT,
        }
    }

    pub fn email(&self) -> SmtpSender {
        SmtpSender::new(&self.email_config()).unwrap()
    }

    pub fn email_config(&self) -> EmailConfig {
        EmailConfig {
            host: "localhost".into(),
            port: self.addresses.smtp.port(),
            tls: EmailTls::StartTls,
            username: Some(Secret::from("watchbell")),
            password: Some(Secret::from("c4nary-password")),
            from: "Watchbell <alerts@watchbell.test>".into(),
            link_base: Some("https://alerts.watchbell.test".into()),
            unsubscribe_secret: Some(Secret::from("a-secret-of-tests")),
            templates_dir: None,
            trust_root_pem: Some(self.credentials.ca_pem.clone()),
            timeout: TIMEOUT,
            connections_max: 2,
            message_id_domain: "watchbell.test".into(),
            bounce_domain: None,
            reply_acknowledges: false,
            dkim: None,
        }
    }
}

pub fn now() -> Timestamp {
    Timestamp::now()
}

pub fn alert(id: &str) -> AlertContent {
    AlertContent {
        alert: id.into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: "Disk is full".into(),
        body: Some("2 % left".into()),
        url: None,
        severity: Severity::Critical,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: Some("disk".into()),
        collapse_key: id.into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: now() + SignedDuration::from_hours(1),
        occurred_at: now(),
        unread: 3,
    }
}

/// Whoever messages of these tests are for.
pub fn ana() -> UserKey {
    UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap())
}

/// A message of a new attempt to an address of hers.
pub fn job<'a>(user: &'a UserKey, to: &Secret, message: Message) -> Job<'a> {
    Job {
        attempt: Uuid::now_v7(),
        user,
        to: Recipient::Address(to.clone()),
        message,
        shown: Vec::new(),
        locale: None,
        zone: None,
        acknowledge_at: None,
        receipt: None,
    }
}

pub fn push_to(token: Secret, content: PushContent) -> PushJob {
    let target = PushTarget { token, environment: PushEnvironment::Production, bound_to: None };
    PushJob { attempt: Uuid::now_v7(), target, content, receipt: None }
}

/// The same to a browser that told which key it subscribed with.
pub fn push_to_bound(token: Secret, bound_to: &str, content: PushContent) -> PushJob {
    let job = push_to(token, content);
    PushJob { target: PushTarget { bound_to: Some(bound_to.to_owned()), ..job.target }, ..job }
}

pub fn push(id: &str) -> PushJob {
    push_to(Secret::from(TOKEN), PushContent::Alert(alert(id)))
}

pub fn withdrawal(alerts: &[&str]) -> PushContent {
    let alerts = alerts.iter().map(|alert| (*alert).to_owned()).collect();
    PushContent::Withdrawal { user: "ana".into(), alerts, unread: 2 }
}

pub fn mail(to: &str, id: &str) -> EmailJob {
    EmailJob {
        attempt: Uuid::now_v7(),
        to: Secret::from(to),
        content: alert(id),
        locale: None,
        zone: None,
        acknowledge_at: None,
    }
}

/// A fault that answers once with a status and the provider's word.
pub fn once(status: u16, reason: &str) -> Value {
    json!([{"status": status, "reason": reason, "count": 1}])
}

/// What a refusal is, and that it keeps the provider's word and gives nothing away.
pub fn told<T: std::fmt::Debug>(
    why: &str,
    outcome: Result<T, SendError>,
    code: &str,
    reason: &str,
) -> SendError {
    let error = outcome.expect_err(why);
    assert_eq!(error.code(), code, "{why}: {error}");
    assert!(error.reason().contains(reason), "{why}: {error}");
    let printed = format!("{error} {error:?}");
    for secret in [TOKEN, "c4nary", "Disk is full"] {
        assert!(!printed.contains(secret), "{why}: {printed}");
    }
    error
}
