//! What is told, kept and dropped, with a clock set by hand and a broker that does as it is told.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use serde_json::json;
use watchbell::{
    broker::{Browser, Consumer, LiveSource, PublishError, WorkQueue, embedded::EmbeddedBroker},
    domain::{
        GroupRule, OutcomeKind, OutcomeRoutes, Receipt, ReceiptState, Secret, Tenant, UserId, UserKey,
        outcome::every_kind,
    },
    runtime::config::WebhookTarget,
    store::{NewAlert, StoreConfig},
    wire::{
        alert::{Defaults, content_of},
        parse_alert,
        standard_webhooks::SigningSecret,
    },
};

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const QUEUE: OutcomeRoute = OutcomeRoute::Queue;

/// Keeps the bodies of outcomes, or takes none.
struct Exchange {
    inner: SharedBroker,
    told: Mutex<Vec<OutcomeV1>>,
    asked: Mutex<usize>,
    is_away: AtomicBool,
}

#[async_trait]
impl watchbell::broker::Broker for Exchange {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        assert_eq!(to, Address::Outcomes);
        *self.asked.lock().unwrap() += 1;
        if self.is_away.load(Ordering::SeqCst) {
            return Err(PublishError::Unavailable(deadline));
        }
        let outcome: OutcomeV1 = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(outcome.id, message.message_id);
        self.told.lock().unwrap().push(outcome);
        Ok(())
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer> {
        self.inner.consume(queue, prefetch).await
    }

    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError> {
        self.inner.browse(queue).await
    }

    async fn live(&self) -> Box<dyn LiveSource> {
        self.inner.live().await
    }

    async fn depth(&self, queue: WorkQueue) -> Result<u64, PublishError> {
        self.inner.depth(queue).await
    }

    fn is_ready(&self) -> bool {
        !self.is_away.load(Ordering::SeqCst)
    }
}

struct Bed {
    exchange: Arc<Exchange>,
    store: Store,
    clock: Clock,
    file: PathBuf,
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

impl Bed {
    /// Alerts `a0` and so on, each seen a second after the one before.
    async fn with_seen(number: usize) -> Self {
        let file = std::env::temp_dir().join(format!("watchbell-outcomes-{}.db", Uuid::new_v4()));
        let store = Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let queue = OutcomeRoutes { queue: every_kind(), ..OutcomeRoutes::default() };
        let exchange = Arc::new(Exchange {
            inner: EmbeddedBroker::open(None).unwrap(),
            told: Mutex::default(),
            asked: Mutex::default(),
            is_away: AtomicBool::new(false),
        });
        let clock = Clock::at(Timestamp::from_second(1_900_000_000).unwrap());
        let bed = Self { exchange, store: store.telling(queue), clock, file };
        let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        for n in 0..number {
            let new = bed.alert(&format!("a{n}"));
            let alerts = vec![new.alert.id.clone()];
            bed.store.record(&[new], bed.clock.now()).await.unwrap();
            let receipt = Receipt {
                user: ana.clone(),
                alerts,
                state: ReceiptState::Seen,
                until: None,
                answers: Default::default(),
                op: None,
                by: "tab".into(),
                push: None,
            };
            bed.store.apply_receipts(&[receipt], bed.clock.now()).await.unwrap();
            bed.clock.advance(Duration::from_secs(1));
        }
        bed
    }

    fn alert(&self, id: &str) -> NewAlert {
        let json = json!({"tenant": "acme", "id": id, "to": {"users": ["ana"]}, "title": "t"}).to_string();
        let defaults = Defaults { tenant: None, id: None, now: self.clock.now() };
        let alert = parse_alert(json.as_bytes(), &defaults).unwrap();
        NewAlert {
            trace: None,
            content: content_of(&alert).into(),
            recipients: alert.to.users.clone(),
            alert: Arc::new(alert),
            policy: "default".into(),
            group: GroupRule::Each,
            first_due_at: None,
            absent_due_at: None,
            expires_at: self.clock.now() + HOUR,
            returns: false,
            rest: None,
            publication: None,
        }
    }

    fn relay(&self, waiting_max: u64) -> OutcomeRelay {
        let routes = OutcomeRoutes { queue: [OutcomeKind::Seen].into(), ..OutcomeRoutes::default() };
        let bounds = OutcomeBounds { kept_for: HOUR, waiting_max };
        let outcomes = Outcomes { routes, webhooks: Default::default(), bounds };
        let parts = (self.exchange.clone() as SharedBroker, self.store.clone(), self.clock.clone());
        OutcomeRelay::new(parts, &outcomes, Arc::new(|| 1.0)).unwrap()
    }

    async fn waiting(&self) -> u64 {
        self.store.outcome_backlog(&QUEUE, 1_000).await.unwrap().waiting
    }

    fn told(&self) -> Vec<String> {
        self.exchange.told.lock().unwrap().iter().map(|outcome| outcome.alert.clone()).collect()
    }
}

async fn look(relay: &OutcomeRelay, failures: u32) -> Turn {
    relay.relay(&QUEUE, &relay.ends.get()[0].1, failures, &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn what_waits_is_told_in_its_order_and_forgotten() {
    let bed = Bed::with_seen(3).await;
    let relay = bed.relay(10);
    assert_eq!(look(&relay, 0).await, Turn::More);
    assert_eq!(bed.told(), ["a0", "a1", "a2"]);
    assert_eq!(look(&relay, 0).await, Turn::Idle);
    assert_eq!((bed.waiting().await, bed.told().len()), (0, 3));
}

#[tokio::test]
async fn a_broker_that_is_away_loses_nothing_and_is_asked_with_one() {
    let bed = Bed::with_seen(5).await;
    let (relay, asked) = (bed.relay(10), || std::mem::take(&mut *bed.exchange.asked.lock().unwrap()));
    bed.exchange.is_away.store(true, Ordering::SeqCst);
    assert_eq!((look(&relay, 0).await, asked()), (Turn::Failed, 5));
    assert_eq!((look(&relay, 1).await, asked()), (Turn::Idle, 0), "the route rests");
    bed.clock.advance(REST_MAX);
    assert_eq!((look(&relay, 1).await, asked()), (Turn::Failed, 1), "a probe");
    bed.exchange.is_away.store(false, Ordering::SeqCst);
    bed.clock.advance(REST_MAX);
    assert_eq!((look(&relay, 2).await, asked()), (Turn::More, 1));
    assert_eq!((look(&relay, 0).await, asked()), (Turn::More, 4));
    assert_eq!(bed.told(), ["a0", "a1", "a2", "a3", "a4"], "in their order");
}

#[tokio::test]
async fn one_process_tells_what_another_is_not_telling() {
    let bed = Bed::with_seen(1).await;
    let now = bed.clock.now();
    assert!(bed.store.claim_route(&QUEUE, "another process", now, now + LEASE).await.unwrap());
    let relay = bed.relay(10);
    assert_eq!(look(&relay, 0).await, Turn::Idle);
    bed.clock.advance(LEASE);
    assert_eq!(look(&relay, 0).await, Turn::More, "it died");
}

#[tokio::test]
async fn what_is_too_old_is_dropped_and_not_told() {
    let bed = Bed::with_seen(2).await;
    bed.clock.advance(HOUR - Duration::from_millis(1_500));
    let relay = bed.relay(10);
    assert_eq!(look(&relay, 0).await, Turn::More);
    assert_eq!((bed.told(), bed.waiting().await), (vec!["a1".to_owned()], 0));
}

#[tokio::test]
async fn a_sweep_keeps_what_is_young_and_as_many_as_are_configured() {
    let bed = Bed::with_seen(6).await;
    // Two of them are too old by now, and of the others there are too many.
    bed.clock.advance(HOUR - Duration::from_secs(4) - Duration::from_millis(500));
    bed.relay(3).sweep_once().await.unwrap();
    assert_eq!(bed.waiting().await, 3);
    assert_eq!(look(&bed.relay(3), 0).await, Turn::More);
    assert_eq!(bed.told(), ["a3", "a4", "a5"], "the oldest were dropped");
}

#[tokio::test]
async fn a_sweep_reaches_routes_that_nobody_is_configured_for_any_more() {
    let bed = Bed::with_seen(2).await;
    bed.clock.advance(HOUR * 2);
    let nobody = Outcomes {
        routes: OutcomeRoutes::default(),
        webhooks: Default::default(),
        bounds: OutcomeBounds { kept_for: HOUR, waiting_max: 10 },
    };
    let parts = (bed.exchange.clone() as SharedBroker, bed.store.clone(), bed.clock.clone());
    OutcomeRelay::new(parts, &nobody, Arc::new(|| 1.0)).unwrap().sweep_once().await.unwrap();
    assert_eq!((bed.waiting().await, bed.told().len()), (0, 0));
}

#[tokio::test]
async fn a_tenant_that_comes_while_it_runs_is_told_and_the_exchange_stays() {
    let bed = Bed::with_seen(0).await;
    let relay = bed.relay(10);
    let target = |url: &str| {
        let secrets =
            vec![SigningSecret::parse(&Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap()];
        WebhookTarget { url: Secret::from(url), secrets, private_endpoints: false }
    };
    let with = |name: &str, url: &str| Outcomes {
        routes: OutcomeRoutes::default(),
        webhooks: [(Tenant::parse(name).unwrap(), target(url))].into(),
        bounds: OutcomeBounds { kept_for: HOUR, waiting_max: 10 },
    };
    let routes = || relay.ends.get().iter().map(|(route, _)| route.to_string()).collect::<Vec<_>>();
    for (why, outcomes, is_taken, expected) in [
        ("a new one", with("acme", "https://acme.example/hook"), true, &["queue", "webhook:acme"]),
        (
            "another in its place",
            with("globex", "https://globex.example/hook"),
            true,
            &["queue", "webhook:globex"],
        ),
        (
            "one that may not be called",
            with("evil", "https://127.0.0.1/hook"),
            false,
            &["queue", "webhook:globex"],
        ),
    ] {
        assert_eq!(relay.addresses().replace(&outcomes).is_ok(), is_taken, "{why}");
        assert_eq!(routes(), expected, "{why}");
    }
}

#[test]
fn a_route_rests_longer_each_time_and_never_for_long() {
    let secs = |failures, chance| rest_after(failures, chance).as_secs_f64();
    for (failures, chance, expected) in
        [(0, 1.0, 1.0), (0, 0.0, 0.5), (1, 1.0, 2.0), (5, 1.0, 32.0), (6, 1.0, 60.0), (u32::MAX, 0.0, 30.0)]
    {
        assert!((secs(failures, chance) - expected).abs() < 1e-9, "{failures} {chance}");
    }
}
