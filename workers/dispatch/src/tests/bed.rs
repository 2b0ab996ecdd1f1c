//! A dispatch with a broker and a store of its own, and a pod that follows everybody.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{
        Address, LiveEvent, LiveSource, Message, SharedBroker, WorkQueue, embedded::EmbeddedBroker,
        topology::PARTITIONS,
    },
    domain::{GroupId, Tenant, UserId, UserKey, policy::Policies},
    runtime::Clock,
    store::{Head, Store, StoreConfig},
};

use crate::{
    BATCHES_MAX, Dispatch, announce::AnnouncementStage, commit::Recorder, prepare::Preparer,
    queues::LastTaken, room::Room,
};

/// How long anything may take that a test waits for.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Bed {
    pub(super) dispatch: Dispatch,
    live: Box<dyn LiveSource>,
    /// Where the store is; none for a store that is nowhere.
    _dir: Option<TempDir>,
}

pub(super) fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(super) fn key(name: &str) -> UserKey {
    UserKey::new(tenant(), user(name))
}

/// An alert of `acme`.
pub(super) fn alert(id: &str, version: u32, title: &str, to: Value) -> Value {
    let status = if title == "over" { "resolved" } else { "firing" };
    let mut alert = json!({"tenant": "acme", "id": id, "version": version, "title": title, "status": status});
    alert["to"] = to;
    alert
}

/// What one person was told, in its order: change number and title.
pub(super) type Told = BTreeMap<String, Vec<(u64, String)>>;

impl Bed {
    pub(super) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        Self::with_store(store, Some(dir)).await
    }

    /// Whose store is nowhere.
    pub(super) async fn without_store() -> Self {
        let file = Path::new("/nowhere/watchbell.db");
        let store = Store::open(&StoreConfig { url: Store::sqlite_url(file), connections_max: 1 }).unwrap();
        Self::with_store(store, None).await
    }

    async fn with_store(store: Store, dir: Option<TempDir>) -> Self {
        let broker: SharedBroker = EmbeddedBroker::open(None).unwrap();
        let live = broker.live().await;
        for partition in 0..PARTITIONS {
            live.control().follow(partition).await;
        }
        let dispatch = Dispatch {
            broker,
            store,
            policies: Arc::new(Policies::with_defaults([].into())),
            producers: Arc::default(),
            clock: Clock::at(Timestamp::UNIX_EPOCH),
            config: crate::DispatchConfig::default(),
            memory: watchbell::runtime::MemoryBudgets::default(),
        };
        Self { dispatch, live, _dir: dir }
    }

    /// Publishes all at once, in this order; returns when dispatch has settled them.
    pub(super) fn publish(&self, alerts: &[Value]) -> impl Future<Output = ()> + use<> {
        let publishing: Vec<_> = alerts
            .iter()
            .enumerate()
            .map(|(n, alert)| {
                let message = Message::json(format!("m-{n}"), alert.to_string());
                let broker = self.dispatch.broker.clone();
                async move { broker.publish(Address::Alerts, message, DEADLINE).await.unwrap() }
            })
            .collect();
        async move {
            join_all(publishing).await;
        }
    }

    /// The same, beside the test.
    pub(super) fn publish_beside(&self, alerts: &[Value]) -> JoinHandle<()> {
        tokio::spawn(self.publish(alerts))
    }

    /// Publishes, and returns when that many wait in the queue.
    pub(super) async fn queue(&self, alerts: &[Value]) -> JoinHandle<()> {
        let publishing = self.publish_beside(alerts);
        self.until(async || self.depth().await == alerts.len() as u64).await;
        publishing
    }

    pub(super) async fn depth(&self) -> u64 {
        self.dispatch.broker.depth(WorkQueue::Dispatch).await.unwrap()
    }

    /// Until `done`, looked at again whenever others had a turn.
    pub(super) async fn until(&self, mut done: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !done().await {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("it comes to that");
    }

    pub(super) fn start(&self, stop: &CancellationToken) -> JoinHandle<()> {
        tokio::spawn(self.dispatch.clone().run(stop.clone()))
    }

    /// Everything but what works on the rest of large audiences, until `alerts` are settled: a process that dies then.
    pub(super) async fn run_without_expander(&self, alerts: &[Value]) {
        let dispatch = self.dispatch.clone();
        let stop = CancellationToken::new();
        let mut consumer = dispatch.broker.consume(WorkQueue::Dispatch, 16).await;
        let (prepared, to_commit) = mpsc::channel(16);
        let (events, _to_keep) = mpsc::channel(16);
        let (refused, _to_park) = mpsc::channel(16);
        let (committed, to_tell) = mpsc::channel(BATCHES_MAX);
        let opened = Arc::new(Notify::new());
        let taker = Preparer {
            dispatch: &dispatch,
            prepared,
            room: Room::new(16),
            contention: Arc::default(),
            prefetch: 16,
            events,
            refused: refused.clone(),
            last_taken: &LastTaken::default(),
        };
        let recorder = Recorder { dispatch: &dispatch, rules: dispatch.rules(), committed, refused, opened };
        let announcements = AnnouncementStage { announcer: dispatch.announcer() };
        let working = async {
            tokio::join!(
                taker.run(consumer.as_mut(), &stop),
                recorder.run(to_commit, &stop),
                announcements.run(to_tell)
            );
        };
        let publishing = async {
            self.publish(alerts).await;
            stop.cancel();
        };
        timeout(DEADLINE, async { tokio::join!(working, publishing) }).await.expect("they are settled");
    }

    pub(super) async fn group(&self, name: &str, size: usize) -> Vec<UserId> {
        let members: Vec<UserId> = (0..size).map(|n| user(&format!("m{n:05}"))).collect();
        self.dispatch
            .store
            .change_members(&tenant(), &GroupId::parse(name).unwrap(), &members, &[], Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        members
    }

    pub(super) async fn heads(&self, people: &[UserId]) -> Vec<Head> {
        let keys: Vec<_> = people.iter().map(|user| UserKey::new(tenant(), user.clone())).collect();
        let heads = self.dispatch.store.heads(&keys).await.unwrap();
        keys.iter().map(|key| heads.get(key).copied().unwrap_or_default()).collect()
    }

    /// How many of these people's inboxes hold anything.
    pub(super) async fn reached(&self, people: &[UserId]) -> usize {
        self.heads(people).await.iter().filter(|head| head.seq > 0).count()
    }

    /// What `user`'s inbox holds.
    pub(super) async fn inbox(&self, name: &str) -> Vec<(u64, Value)> {
        let rows = self.dispatch.store.changes_after(&key(name), 0, 1_000).await.unwrap().rows;
        rows.into_iter().map(|row| (row.seq, serde_json::from_str(&row.content).unwrap())).collect()
    }

    /// Adds what the pods are told next.
    pub(super) async fn hear(&mut self, told: &mut Told) {
        match timeout(DEADLINE, self.live.next()).await.expect("a live message") {
            Some(LiveEvent::Frame(message)) => {
                let live: Value = serde_json::from_slice(&message.body).unwrap();
                let alerts =
                    live["alerts"].as_array().cloned().unwrap_or_else(|| vec![live["alert"].clone()]);
                for alert in alerts {
                    let title = alert["content"]["title"].as_str().unwrap().to_owned();
                    for to in alert["to"].as_array().unwrap() {
                        let user = to["user"].as_str().unwrap().to_owned();
                        told.entry(user).or_default().push((to["seq"].as_u64().unwrap(), title.clone()));
                    }
                }
            }
            Some(LiveEvent::Gap) => panic!("the pod keeps up"),
            None => panic!("the broker is there"),
        }
    }

    /// Everything that is told until each of these people has been told of the last change in their inbox.
    pub(super) async fn told(&mut self, people: &[UserId]) -> Told {
        let mut told = Told::new();
        loop {
            let heads = self.heads(people).await;
            let is_told = |(user, head): (&UserId, &Head)| {
                let last = told.get(user.as_str()).and_then(|told| told.iter().map(|(seq, _)| *seq).max());
                head.seq > 0 && last == Some(head.seq)
            };
            if people.iter().zip(&heads).all(is_told) {
                return told;
            }
            self.hear(&mut told).await;
        }
    }

    /// Stops what was started.
    pub(super) async fn end(self, running: JoinHandle<()>, stop: &CancellationToken) {
        stop.cancel();
        timeout(DEADLINE, running).await.expect("dispatch stops").unwrap();
    }
}
