//! The clock, the providers, and what people do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use watchbell::{
    broker::embedded::EmbeddedBroker,
    domain::{
        Alert, AlertId, Channel, PushService, ReceiptState, Severity, device::DEVICES_PER_USER_MAX,
        policy::Policies, restraint::Restraint,
    },
    runtime::Clock,
    store::{Claim, Contact, GROUP_PAGE_MAX, NewAlert, Recipient, Store, StoreConfig},
    wire::{content_of, stored::stored_alert},
};
use watchbell_fallback::{
    Channels, EscalationRules, Fallback, FallbackConfig, FallbackParts, Guard, ProviderAccess, Randomness,
    Rates, WithdrawalBatches,
    channel::{
        Accepted, ActivityEvent, ChannelSender, Job, Message, NotConfigured, Provider, PushChannel,
        PushContent, PushJob, PushSender, SendError,
    },
};
use watchbell_tests::{
    builders::{acme, device, receipt, snooze},
    scratch::Scratch,
};

/// A Monday morning.
pub const BEGIN: &str = "2026-06-01T08:00:00Z";
/// Claims taken at once.
const CLAIMS: usize = 500;

/// What a provider was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub at: Timestamp,
    pub user: String,
    pub what: What,
    /// The alert shown, or the alerts taken away.
    pub alerts: Vec<String>,
    pub title: String,
    pub id: Uuid,
    pub accepted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Apns,
    Fcm,
    Withdrawal,
    Activity(ActivityEvent),
    Mail,
}

type Answer = dyn Fn(&Sent) -> Result<Accepted, SendError> + Send + Sync;
type During = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Providers that say what the test says, and remember what they were asked.
struct Script {
    clock: Clock,
    sent: Mutex<Vec<Sent>>,
    answer: Mutex<Arc<Answer>>,
    /// Happens in the middle of the next call.
    during: Mutex<Option<During>>,
}

pub struct World {
    pub store: Store,
    pub clock: Clock,
    /// What fallback is put together from; a test may change it.
    pub parts: FallbackParts,
    script: Arc<Script>,
    critical: Mutex<BTreeSet<String>>,
    _dir: Scratch,
}

impl World {
    /// Ana and ben with a phone each (Apple's, Google's) and a mailbox.
    pub async fn new() -> anyhow::Result<Self> {
        Self::with(Policies::with_defaults(BTreeMap::new()), Restraint::default()).await
    }

    pub async fn with(policies: Policies, restraint: Restraint) -> anyhow::Result<Self> {
        let dir = Scratch::in_memory("simulation")?;
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 2 })?;
        store.migrate().await?;
        let clock = Clock::at(BEGIN.parse()?);
        let script = Arc::new(Script {
            clock: clock.clone(),
            sent: Mutex::default(),
            answer: Mutex::new(Arc::new(|_: &Sent| Ok(Accepted::default()))),
            during: Mutex::default(),
        });
        let push = |service| (service, Arc::new(Phones(service, script.clone())) as Arc<dyn PushSender>);
        let services = [push(PushService::Apns), push(PushService::Fcm), push(PushService::WebPush)];
        let phones = PushChannel::new(HashMap::from(services));
        let channels = Channels::default().with(Arc::new(phones)).with(Arc::new(Mailboxes(script.clone())));
        let config = FallbackConfig::default();
        let parts = FallbackParts {
            broker: EmbeddedBroker::open(None)?,
            store: store.clone(),
            clock: clock.clone(),
            rules: EscalationRules {
                policies: Arc::new(policies),
                restraint,
                tenant_rates: Arc::new(Rates::new(1_000)),
            },
            providers: ProviderAccess {
                channels: Arc::new(channels),
                guard: Arc::new(Guard::by_clock(config.in_flight_max, &clock)),
                withdrawals: Arc::new(WithdrawalBatches::gathering_for(Duration::ZERO)),
            },
            config,
            randomness: Randomness { jitter: Arc::new(|| 0.5), ..Randomness::of_the_system() },
        };
        let world = Self { store, clock, parts, script, critical: Mutex::default(), _dir: dir };
        world.furnish("ana", PushService::Apns).await?;
        world.furnish("ben", PushService::Fcm).await?;
        Ok(world)
    }

    pub async fn furnish(&self, name: &str, service: PushService) -> anyhow::Result<()> {
        let contact = Contact::default().with(Channel::Email, format!("{name}@example.com"));
        self.store.put_user(&acme(name), &contact, self.now()).await?;
        let device = device("phone").service(service).token(name).registered_at(self.now()).build();
        self.store.put_device(&acme(name), &device, DEVICES_PER_USER_MAX).await?;
        Ok(())
    }

    /// One process of fallback, put together from the parts as they are now.
    pub fn fallback(&self) -> Fallback {
        Fallback::new(self.parts.clone())
    }

    /// Runs one escalation that was claimed.
    pub async fn run(&self, claim: &Claim) -> anyhow::Result<()> {
        Ok(self.fallback().runner.run(&claim.key, claim.number, None).await?)
    }

    /// One more channel, or another sender for one, from now on.
    pub fn send_by(&mut self, sender: Arc<dyn ChannelSender>) {
        let channels = &mut self.parts.providers.channels;
        *channels = Arc::new(Channels::clone(channels).with(sender));
    }

    /// Pushes by these services from now on.
    pub fn push_by<const N: usize>(&mut self, services: [(PushService, Arc<dyn PushSender>); N]) {
        let push = PushChannel::new(HashMap::from(services));
        self.send_by(Arc::new(push));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What providers say from now on.
    pub fn answer(&self, answer: impl Fn(&Sent) -> Result<Accepted, SendError> + Send + Sync + 'static) {
        *self.script.answer.lock().unwrap() = Arc::new(answer);
    }

    /// What happens in the middle of the next call to a provider.
    pub fn during_next_call(&self, during: impl Future<Output = ()> + Send + 'static) {
        *self.script.during.lock().unwrap() = Some(Box::pin(during));
    }

    /// Everything that was sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.script.sent.lock().unwrap().clone()
    }

    /// What was sent, as `what` with seconds since the beginning.
    pub fn told(&self) -> Vec<(What, i64)> {
        let begin: Timestamp = BEGIN.parse().unwrap();
        self.sent().iter().map(|sent| (sent.what, sent.at.duration_since(begin).as_secs())).collect()
    }

    /// Publishes an alert, as dispatch records it.
    pub async fn publish(&self, alert: Alert, to: &[&str]) -> anyhow::Result<()> {
        self.publish_all(vec![alert], to).await
    }

    /// An alert as dispatch gives it to the store.
    pub fn new_alert(&self, alert: Alert, to: &[&str]) -> NewAlert {
        let policies = &self.parts.rules.policies;
        let name = policies.name_for(&alert);
        let policy = policies.get_or_default(&alert.tenant, name);
        NewAlert {
            trace: None,
            content: content_of(&alert).into(),
            recipients: to.iter().map(|name| acme(name).user).collect(),
            policy: name.into(),
            group: policy.group,
            first_due_at: policy.steps.first().map(|step| self.now() + step.after),
            absent_due_at: Some(self.now()),
            expires_at: alert.expires_at.unwrap_or(self.now() + 7 * DAY),
            returns: false,
            rest: None,
            publication: None,
            alert: Arc::new(alert),
        }
    }

    pub async fn publish_all(&self, alerts: Vec<Alert>, to: &[&str]) -> anyhow::Result<()> {
        let critical = alerts.iter().filter(|alert| alert.severity == Severity::Critical);
        self.critical.lock().unwrap().extend(critical.map(|alert| alert.id.to_string()));
        let batch: Vec<NewAlert> = alerts.into_iter().map(|alert| self.new_alert(alert, to)).collect();
        self.store.record(&batch, self.now()).await?;
        Ok(())
    }

    /// Puts an alert off for so long.
    pub async fn snooze(&self, who: &str, alert: &str, time: Duration) -> anyhow::Result<()> {
        let snooze = snooze(&acme(who), [alert], self.now() + time);
        self.store.apply_receipts(&[snooze], self.now()).await?;
        Ok(())
    }

    /// Ends the snoozes that are over, as dispatch does.
    pub async fn end_snoozes(&self) -> anyhow::Result<usize> {
        let mut batch = Vec::new();
        for due in self.store.due_snoozes(self.now()).await? {
            let (tenant, policy) = (&due.key.user.tenant, due.latest.policy.as_deref());
            let alert = stored_alert(tenant, &due.key.alert, &due.latest.content, policy);
            let alert = alert.ok_or_else(|| anyhow::anyhow!("{} cannot be read", due.key.alert))?;
            batch.push(self.new_alert(alert, &[due.key.user.user.as_str()]));
        }
        Ok(self.store.wake(&batch, self.now()).await?.len())
    }

    /// The critical alerts so far.
    pub fn critical(&self) -> BTreeSet<String> {
        self.critical.lock().unwrap().clone()
    }

    /// Opens a session on `pod`, whose lease is good for a day.
    pub async fn open_session(&self, pod: &str, who: &str) -> anyhow::Result<()> {
        self.store.renew_pod(pod, self.now(), DAY).await?;
        Ok(self.store.arrive(pod, &[acme(who)], self.now()).await?)
    }

    pub async fn close_session(&self, pod: &str, who: &str) -> anyhow::Result<()> {
        Ok(self.store.leave(pod, &[acme(who)], self.now()).await?)
    }

    pub async fn say(&self, who: &str, alert: &str, state: ReceiptState) -> anyhow::Result<()> {
        self.store.apply_receipts(&[receipt(&acme(who), [alert], state)], self.now()).await?;
        Ok(())
    }

    /// Carries what was said for others to them, as dispatch does.
    pub async fn carry(&self) -> anyhow::Result<()> {
        for receipt in self.store.group_receipts(self.now()).await? {
            while self.store.carry(&receipt, GROUP_PAGE_MAX, self.now()).await?.is_more {}
        }
        Ok(())
    }

    pub async fn prefer(&self, who: &str, json: &'static str) -> anyhow::Result<()> {
        self.store.change_preferences(&acme(who), self.now(), &|_| json.to_owned()).await?;
        Ok(())
    }

    /// Lets time pass, and does everything that comes due on the way.
    pub async fn pass(&self, time: Duration) -> anyhow::Result<()> {
        let end = self.now() + time;
        loop {
            let runner = self.fallback().runner;
            for claim in self.claim().await? {
                runner.run(&claim.key, claim.number, None).await?;
            }
            match self.store.next_due().await?.filter(|due| *due <= end) {
                Some(due) => self.advance_to(due),
                None => break,
            }
        }
        self.advance_to(end);
        Ok(())
    }

    pub async fn claim(&self) -> anyhow::Result<Vec<Claim>> {
        Ok(self.store.claim_due(self.now(), self.parts.config.lease, CLAIMS).await?)
    }

    pub fn advance_to(&self, at: Timestamp) {
        let by = at.duration_since(self.now());
        self.clock.advance(Duration::from_millis(by.as_millis().max(0) as u64));
    }

    pub async fn timeline(&self, who: &str, alert: &str) -> anyhow::Result<Recipient> {
        let (tenant, user) = (acme(who).tenant, acme(who).user);
        Ok(self.store.timeline(&tenant, &AlertId::parse(alert)?, Some(&user), 1).await?.remove(0))
    }

    /// Whether a line of the timeline contains this.
    pub async fn says(&self, who: &str, alert: &str, text: &str) -> anyhow::Result<bool> {
        Ok(self.timeline(who, alert).await?.entries.iter().any(|entry| entry.what.contains(text)))
    }
}

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn unreachable() -> SendError {
    SendError::Unreachable { reason: "no answer".to_owned() }
}

impl Script {
    async fn take(&self, mut sent: Sent) -> Result<Accepted, SendError> {
        let during = self.during.lock().unwrap().take();
        if let Some(during) = during {
            during.await;
        }
        let answer = self.answer.lock().unwrap().clone();
        let result = answer(&sent);
        sent.accepted = result.is_ok();
        self.sent.lock().unwrap().push(sent);
        result
    }
}

struct Phones(PushService, Arc<Script>);

#[async_trait]
impl PushSender for Phones {
    async fn send(&self, job: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
        let (what, alerts, title) = match &job.content {
            PushContent::Activity(activity) => {
                let alert = activity.content.as_ref().map(|alert| (alert.alert.clone(), alert.title.clone()));
                let (alert, title) = alert.unwrap_or_default();
                (What::Activity(activity.event), vec![alert], title)
            }
            PushContent::Withdrawal { alerts, .. } => (What::Withdrawal, alerts.clone(), String::new()),
            PushContent::Alert(alert) if self.0 == PushService::Apns => {
                (What::Apns, vec![alert.alert.clone()], alert.title.clone())
            }
            PushContent::Alert(alert) => (What::Fcm, vec![alert.alert.clone()], alert.title.clone()),
        };
        let user = job.target.token.expose().to_owned();
        let sent =
            Sent { at: self.1.clock.now(), user, what, alerts, title, id: job.attempt, accepted: false };
        self.1.take(sent).await
    }
}

struct Mailboxes(Arc<Script>);

#[async_trait]
impl ChannelSender for Mailboxes {
    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn provider(&self, _: &Job<'_>) -> Result<Provider, NotConfigured> {
        Ok(Provider::named("email"))
    }

    async fn send(&self, job: &Job<'_>, _: Timestamp) -> Result<Accepted, SendError> {
        let Message::Alert(content) = &job.message else { panic!("a mail is never taken back: {job:?}") };
        let sent = Sent {
            at: self.0.clock.now(),
            user: content.user.clone(),
            what: What::Mail,
            alerts: vec![content.alert.clone()],
            title: content.title.clone(),
            id: job.attempt,
            accepted: false,
        };
        self.0.take(sent).await
    }
}
