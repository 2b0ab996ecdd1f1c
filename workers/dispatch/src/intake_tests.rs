//! Parking beside recording: nobody waits for a confirm that is not theirs.

#![allow(clippy::unwrap_used)]

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{
        Broker, Browser, Consumer, LiveSource, PublishError, SharedBroker, WorkQueue,
        embedded::EmbeddedBroker,
    },
    domain::{Tenant, UserId, UserKey, policy::Policies},
    runtime::Clock,
    store::{Store, StoreConfig},
    wire::refused,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A broker that confirms nothing to `watchbell.rejected` until it is let.
struct Withheld {
    inner: SharedBroker,
    let_go: Semaphore,
    waiting: AtomicUsize,
    waits: Notify,
    refused: Mutex<Vec<Message>>,
}

impl Withheld {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: EmbeddedBroker::open(None).unwrap(),
            let_go: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            waits: Notify::new(),
            refused: Mutex::default(),
        })
    }

    async fn until_waiting(&self, count: usize) {
        let reached = async {
            while self.waiting.load(Ordering::SeqCst) < count {
                self.waits.notified().await;
            }
        };
        timeout(DEADLINE, reached).await.expect("so many are parked at once");
    }
}

#[async_trait]
impl Broker for Withheld {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        if to != Address::Rejected {
            return self.inner.publish(to, message, deadline).await;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.waits.notify_one();
        self.let_go.acquire().await.unwrap().forget();
        self.refused.lock().unwrap().push(message);
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
        true
    }
}

#[tokio::test]
async fn a_good_alert_is_recorded_while_the_bad_ones_before_it_are_being_parked() {
    let dir = tempfile::tempdir().unwrap();
    let url = Store::sqlite_url(&dir.path().join("store.db"));
    let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
    store.migrate().await.unwrap();
    let broker = Withheld::new();
    let dispatch = Dispatch {
        broker: broker.clone(),
        store: store.clone(),
        policies: Arc::new(Policies::with_defaults([].into())),
        producers: Arc::default(),
        clock: Clock::system(),
        config: crate::DispatchConfig::default(),
        memory: watchbell::runtime::MemoryBudgets::default(),
    };
    let bad = crate::DispatchConfig::default().batch_max - 1;
    let publish = |id: String, body: String| {
        let broker = Arc::clone(&broker.inner);
        // Embedded, an alert is confirmed when it is settled.
        tokio::spawn(async move { broker.publish(Address::Alerts, Message::json(id, body), DEADLINE).await })
    };
    let refused: Vec<_> = (0..bad).map(|n| publish(format!("bad-{n}"), "not JSON".into())).collect();
    let good = json!({"tenant": "acme", "id": "good", "to": {"users": ["ana"]}, "title": "t"}).to_string();
    let good = publish("good".into(), good);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatch.run(stop.clone()));

    assert_eq!(timeout(DEADLINE, good).await.expect("it waits for nobody").unwrap(), Ok(()));
    let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    assert_eq!(store.heads(std::slice::from_ref(&ana)).await.unwrap()[&ana].seq, 1);
    // All at once: one after the other, the second would never come.
    broker.until_waiting(bad.min(PARKING_MAX)).await;
    assert!(refused.iter().all(|publish| !publish.is_finished()), "settled only after its copy is confirmed");

    broker.let_go.add_permits(bad);
    for publish in refused {
        assert_eq!(timeout(DEADLINE, publish).await.expect("it is settled").unwrap(), Ok(()));
    }
    let copies = std::mem::take(&mut *broker.refused.lock().unwrap());
    assert_eq!(copies.len(), bad);
    assert!(
        copies.iter().all(|copy| copy.headers.contains_key(refused::REASON) && &copy.body[..] == b"not JSON")
    );
    stop.cancel();
    timeout(DEADLINE, running).await.expect("dispatch stops").unwrap();
}
