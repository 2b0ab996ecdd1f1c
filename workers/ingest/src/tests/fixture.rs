//! One ingest with everything around it.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
    response::Response,
};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;
use uuid::Uuid;
use watchbell::{
    broker::{Message, SharedBroker, WorkQueue, embedded::EmbeddedBroker},
    domain::{
        Alert, GroupRule, Scopes, Tenant, UserId, UserKey,
        policy::Policies,
        publication::{Maker, Publication},
    },
    runtime::{Clock, http::AnswerBudget},
    store::{Contact, KeyRights, NewAlert, Store, StoreConfig},
    wire::{alert::Defaults, content_of, parse_alert, published},
};

use crate::{
    ConfiguredHooks, Entrance, HookConfig, Ingest, RouteConfig, Routes, key, limits::Limits, router_within,
};

/// Two tenants with a key each, of which one knows ana; the clock stands at [`NOW`] until a test moves it.
pub struct Fixture {
    pub router: Router,
    pub store: Store,
    pub broker: SharedBroker,
    pub clock: Clock,
    pub key: String,
    pub other_key: String,
    published: Arc<Mutex<Vec<Message>>>,
    /// The memory for answers.
    pub answers: AnswerBudget,
    /// Where the store is.
    _dir: TempDir,
}

pub const NOW: &str = "2026-11-21T12:00:00Z";

/// What takes alerts from the broker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// Records and acknowledges, as the worker does.
    Records,
    /// Acknowledges only.
    Acks,
    /// Nobody is there, so nothing is confirmed.
    Absent,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// `status field: detail` of a problem document.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        let field = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let index = problem["index"].as_u64().map(|index| format!("[{index}] ")).unwrap_or_default();
        (self.status, format!("{index}{field}{}", problem["detail"].as_str().unwrap_or_default()))
    }
}

/// What an operator may have written about hooks.
#[derive(Default)]
pub struct Configured {
    pub hook: Vec<HookConfig>,
    pub route: Vec<RouteConfig>,
}

/// What each tenant may publish in a second.
#[derive(Default)]
struct Rates {
    alerts: Option<NonZeroU32>,
    recipients: Option<NonZeroU32>,
}

impl Fixture {
    pub async fn new(dispatch: Dispatch) -> Self {
        Self::within(dispatch, Limits::default()).await
    }

    pub async fn within(dispatch: Dispatch, limits: Limits) -> Self {
        Self::at_rate(dispatch, limits, None).await
    }

    /// With a bound of so many a second for each tenant.
    pub async fn at_rate(dispatch: Dispatch, limits: Limits, rate_per_tenant: Option<NonZeroU32>) -> Self {
        let rates = Rates { alerts: rate_per_tenant, recipients: None };
        Self::made(dispatch, limits, rates, &Configured::default()).await
    }

    /// With a bound of so many recipients a second for each tenant.
    pub async fn reaching(dispatch: Dispatch, recipients_per_tenant: u32) -> Self {
        let rates = Rates { alerts: None, recipients: NonZeroU32::new(recipients_per_tenant) };
        Self::made(dispatch, Limits::default(), rates, &Configured::default()).await
    }

    /// With the hooks and routes of a configuration.
    pub async fn configured(dispatch: Dispatch, config: &Configured) -> Self {
        Self::made(dispatch, Limits::default(), Rates::default(), config).await
    }

    async fn made(dispatch: Dispatch, limits: Limits, rates: Rates, config: &Configured) -> Self {
        let dir = TempDir::new().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.sqlite"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let clock = Clock::at(NOW.parse().unwrap());
        let mut rng = rand::rng();
        let [key, other_key] = [(); 2].map(|()| key::generate(&mut rng).expose().to_owned());
        for (key, tenant) in [(&key, "acme"), (&other_key, "globex")] {
            let tenant = Tenant::parse(tenant).unwrap();
            let rights = KeyRights::of(tenant).with(Scopes::ALL);
            store.add_api_key(&key::hash(key), &rights, "test", clock.now()).await.unwrap();
        }
        let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        store.put_user(&ana, &Contact::default(), clock.now()).await.unwrap();
        let broker: SharedBroker = EmbeddedBroker::open(None).unwrap();
        let published = Arc::default();
        if dispatch != Dispatch::Absent {
            let consumer = broker.consume(WorkQueue::Dispatch, 1_000).await;
            tokio::spawn(consume(consumer, dispatch, store.clone(), Arc::clone(&published)));
        }
        let ids = AtomicU64::new(0);
        let policies = Arc::new(Policies::with_defaults([].into()));
        let answers = AnswerBudget::default();
        let ingest = Ingest {
            answers: answers.clone(),
            hooks: Arc::new(ConfiguredHooks::new(&config.hook).unwrap()),
            routes: Arc::new(Routes::new(&config.route, &policies).unwrap()),
            rate_per_tenant: rates.alerts,
            recipients_per_tenant: rates.recipients,
            new_id: Arc::new(move || Uuid::from_u128(ids.fetch_add(1, Ordering::SeqCst).into())),
            ..Ingest::new(broker.clone(), store.clone(), policies, clock.clone())
        };
        Self {
            router: router_within(ingest, limits, Entrance::Key),
            store,
            broker,
            clock,
            key,
            other_key,
            published,
            answers,
            _dir: dir,
        }
    }

    /// Another key of acme, as the header that it is sent in.
    pub async fn key_with(&self, rights: KeyRights) -> String {
        let made = key::generate(&mut rand::rng());
        self.store.add_api_key(&key::hash(made.expose()), &rights, "test", self.clock.now()).await.unwrap();
        format!("Bearer {}", made.expose())
    }

    /// A request with the key and a JSON body. Headers given here replace those.
    pub async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        let authorization = format!("Bearer {}", self.key);
        for (name, value) in [("authorization", authorization.as_str()), ("content-type", "application/json")]
        {
            if !headers.iter().any(|(given, _)| *given == name) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for key in [&self.key, &self.other_key] {
            assert!(
                !text.contains(key) && !format!("{:?}", parts.headers).contains(key),
                "a key was answered"
            );
        }
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub async fn post(&self, uri: &str, body: impl ToString) -> Answer {
        self.send("POST", uri, &[], body.to_string()).await
    }

    /// An answer whose client has taken nothing of its body yet.
    pub async fn unread(&self, uri: &str) -> Response {
        let request = Request::builder().uri(uri).header("authorization", format!("Bearer {}", self.key));
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], Body::empty()).await
    }

    /// What was published, in the order it was taken, as dispatch reads it.
    pub fn alerts(&self) -> Vec<Alert> {
        self.messages().iter().map(read).collect()
    }

    pub fn messages(&self) -> Vec<Message> {
        self.published.lock().unwrap().clone()
    }
}

fn read(message: &Message) -> Alert {
    let now = NOW.parse().unwrap();
    let mut alert = parse_alert(&message.body, &Defaults { tenant: None, id: None, now }).unwrap();
    alert.is_dated &= !message.headers.contains_key(published::UNDATED);
    alert
}

async fn consume(
    mut consumer: Box<dyn watchbell::broker::Consumer>,
    dispatch: Dispatch,
    store: Store,
    published: Arc<Mutex<Vec<Message>>>,
) {
    while let Some(delivery) = consumer.next().await {
        published.lock().unwrap().push(delivery.message.clone());
        if dispatch == Dispatch::Records {
            let by = |key: &String| Maker {
                key: key.as_str().into(),
                own_alerts: delivery.message.headers.contains_key(published::OWN_ALERTS),
            };
            let maker = delivery.message.headers.get(published::KEY).map(by);
            let alert = read(&delivery.message);
            let publication = Publication::of(&alert, &content_of(&alert), maker);
            record_as(&store, alert, Some(publication)).await;
        }
        delivery.settle.ack().await;
    }
}

/// As the worker does it, without groups: the named and, for a later version, those who hold it.
pub async fn record(store: &Store, alert: Alert) {
    let publication = Publication::of(&alert, &content_of(&alert), None);
    record_as(store, alert, Some(publication)).await;
}

/// Records an alert that nobody published, which is compared with nothing: as if it had been there before there were rules.
pub async fn record_uncompared(store: &Store, alert: Alert) {
    record_as(store, alert, None).await;
}

/// Versions of one alert in one commit.
pub async fn record_all(store: &Store, alerts: Vec<Alert>) {
    let mut new = Vec::new();
    for alert in alerts {
        let publication = Publication::of(&alert, &content_of(&alert), None);
        new.push(new_alert(store, alert, Some(publication)).await);
    }
    store.record(&new, NOW.parse().unwrap()).await.unwrap();
}

async fn record_as(store: &Store, alert: Alert, publication: Option<Publication>) {
    let new = new_alert(store, alert, publication).await;
    store.record(&[new], NOW.parse().unwrap()).await.unwrap();
}

async fn new_alert(store: &Store, alert: Alert, publication: Option<Publication>) -> NewAlert {
    let now: Timestamp = NOW.parse().unwrap();
    let mut recipients: Vec<UserId> = alert.to.users.clone();
    recipients.extend(store.recipients_after(&alert.tenant, &alert.id, None, 100).await.unwrap());
    recipients.sort();
    recipients.dedup();
    let content = content_of(&alert);
    NewAlert {
        trace: None,
        publication,
        content: content.into(),
        alert: Arc::new(alert),
        recipients,
        policy: "default".into(),
        group: GroupRule::Each,
        first_due_at: Some(now + Duration::from_secs(30)),
        absent_due_at: None,
        expires_at: now + Duration::from_secs(3_600),
        returns: false,
        rest: None,
    }
}
