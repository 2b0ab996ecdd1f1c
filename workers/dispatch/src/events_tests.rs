//! Events through the whole worker, on the embedded broker and SQLite.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use watchbell::{
    broker::{
        Address, LiveEvent, LiveSource, Message, SharedBroker, WorkQueue, embedded::EmbeddedBroker,
        topology::PARTITIONS,
    },
    domain::{Tenant, Timestamp, Topic, TopicKey, policy::Policies},
    runtime::Clock,
    store::{Store, StoreConfig, TOPIC_BYTES_MAX},
    wire::refused,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A running dispatch, and a pod that follows the topic's partition.
struct Bed {
    broker: SharedBroker,
    store: Store,
    live: Box<dyn LiveSource>,
    running: JoinHandle<()>,
    stop: CancellationToken,
    /// Where the store is.
    _dir: TempDir,
}

fn key() -> TopicKey {
    TopicKey::new(Tenant::parse("acme").unwrap(), Topic::parse("monitor:7").unwrap())
}

impl Bed {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let broker: SharedBroker = EmbeddedBroker::open(None).unwrap();
        let live = broker.live().await;
        live.control().follow(key().partition(PARTITIONS)).await;
        let dispatch = Dispatch {
            broker: broker.clone(),
            store: store.clone(),
            policies: Arc::new(Policies::with_defaults([].into())),
            producers: Arc::default(),
            clock: Clock::at(Timestamp::from_second(1).unwrap()),
            config: crate::DispatchConfig::default(),
            memory: watchbell::runtime::MemoryBudgets::default(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(dispatch.run(stop.clone()));
        Self { broker, store, live, running, stop, _dir: dir }
    }

    /// Publishes as a producer on AMQP does; returns when dispatch has settled it.
    async fn publish(&self, id: &str, mut event: Value) {
        event["kind"] = "event".into();
        let message = Message::json(id.to_owned(), event.to_string());
        self.broker.publish(Address::Alerts, message, DEADLINE).await.unwrap();
    }

    /// The next event that pods are told.
    async fn told(&mut self) -> Value {
        loop {
            match timeout(DEADLINE, self.live.next()).await.expect("a live message") {
                Some(LiveEvent::Frame(message)) => {
                    let live: Value = serde_json::from_slice(&message.body).unwrap();
                    return live["event"].clone();
                }
                Some(LiveEvent::Gap) => {}
                None => panic!("the broker is there"),
            }
        }
    }

    async fn kept(&self) -> Vec<Value> {
        let kept = self.store.topic_events(&key(), 10, TOPIC_BYTES_MAX).await.unwrap();
        kept.iter().map(|content| serde_json::from_str(content).unwrap()).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.running).await.expect("dispatch stops").unwrap();
    }
}

fn event(kind: &str, keep: u16) -> Value {
    json!({"tenant": "acme", "topic": "monitor:7", "type": kind, "data": {"up": false}, "keep": keep,
           "severity": "critical", "labels": {"env": "prod"}, "source": "probe"})
}

#[tokio::test]
async fn a_kept_event_is_stored_and_told_and_another_only_told() {
    let mut bed = Bed::start().await;
    bed.publish("m-1", event("status_change", 1)).await;
    let content = json!({
        "id": "m-1", "type": "status_change", "source": "probe", "severity": "critical",
        "labels": {"env": "prod"}, "data": {"up": false}, "occurred_at": "1970-01-01T00:00:01Z",
    });
    assert_eq!(
        bed.told().await,
        json!({
            "tenant": "acme", "topic": "monitor:7", "type": "status_change", "source": "probe",
            "severity": "critical", "labels": {"env": "prod"}, "event": content,
        })
    );
    assert_eq!(bed.kept().await, std::slice::from_ref(&content));
    bed.publish("m-2", event("tick", 0)).await;
    assert_eq!(bed.told().await["event"]["id"], "m-2");
    assert_eq!(bed.kept().await, [content], "the passing one is not among them");
    bed.end().await;
}

#[tokio::test]
async fn an_event_delivered_twice_is_kept_once() {
    let mut bed = Bed::start().await;
    for id in ["m-1", "m-1", "m-2"] {
        bed.publish(id, event("status_change", 5)).await;
        assert_eq!(bed.told().await["event"]["id"], id, "told each time: its id tells subscribers");
    }
    let ids: Vec<Value> = bed.kept().await.into_iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["m-1", "m-2"]);
    bed.end().await;
}

#[tokio::test]
async fn what_is_not_an_event_is_parked_with_its_reason() {
    let mut bed = Bed::start().await;
    bed.publish("m-1", json!({"tenant": "acme", "topic": "monitor:*", "type": "t"})).await;
    bed.publish("m-2", event("next", 0)).await;
    assert_eq!(bed.told().await["event"]["id"], "m-2", "the next one is not held up");
    let mut rejected = bed.broker.consume(WorkQueue::Rejected, 1).await;
    let parked = timeout(DEADLINE, rejected.next()).await.expect("it is parked").unwrap();
    assert_eq!(
        (parked.message.message_id.as_str(), parked.message.headers[refused::FIELD].as_str()),
        ("m-1", "topic")
    );
    parked.settle.ack().await;
    bed.end().await;
}

#[tokio::test]
async fn cloudevents_come_in_both_modes_or_are_parked_with_their_reason() {
    let mut bed = Bed::start().await;
    let id = "0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2";
    let attributes = json!({"specversion": "1.0", "id": id, "source": "probe", "type": "status_change",
        "tenant": "acme", "topic": "monitor:7", "kind": "event"});
    let mut structured = attributes.clone();
    structured["data"] = json!({"up": false});
    let headers = attributes.as_object().unwrap().iter();
    let headers =
        headers.map(|(name, value)| (format!("cloudEvents:{name}"), value.as_str().unwrap().to_owned()));
    let message = |content_type: &str, body: &Value| Message {
        content_type: content_type.into(),
        ..Message::json("m-1".into(), body.to_string())
    };
    let binary = Message { headers: headers.collect(), ..message("application/json", &json!({"up": false})) };
    let structured = message("application/cloudevents+json", &structured);
    for (why, message) in [("binary", binary), ("structured", structured)] {
        bed.broker.publish(Address::Alerts, message, DEADLINE).await.unwrap();
        let event = bed.told().await["event"].clone();
        assert_eq!((&event["id"], &event["data"]), (&json!(id), &json!({"up": false})), "{why}");
    }
    let unreadable = message("application/cloudevents+json", &json!({"specversion": "1.0"}));
    bed.broker.publish(Address::Alerts, unreadable, DEADLINE).await.unwrap();
    let mut rejected = bed.broker.consume(WorkQueue::Rejected, 1).await;
    let parked = timeout(DEADLINE, rejected.next()).await.expect("it is parked").unwrap();
    assert_eq!(parked.message.headers[refused::REASON], "id: is missing: a CloudEvent has it, as text");
    assert_eq!(parked.message.content_type, "application/cloudevents+json", "as it came");
    parked.settle.ack().await;
    bed.end().await;
}
