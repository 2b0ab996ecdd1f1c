//! Two texts under one name: the second is parked with its reason, and its people are shown neither.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{
        Address, Broker, Browser, Consumer, LiveSource, Message, PublishError, SharedBroker, WorkQueue,
    },
    wire::{published, refused},
};

use super::bed::{Bed, DEADLINE, alert};

/// Remembers what is parked.
struct Parking {
    inner: SharedBroker,
    parked: Mutex<Vec<Message>>,
}

#[async_trait]
impl Broker for Parking {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        if to == Address::Rejected {
            self.parked.lock().unwrap().push(message);
            return Ok(());
        }
        self.inner.publish(to, message, deadline).await
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
        self.inner.is_ready()
    }
}

fn with(mut alert: Value, field: &str, value: impl Into<Value>) -> Value {
    alert[field] = value.into();
    alert
}

/// Eve used to be shown ana's one-time code.
#[tokio::test]
async fn another_text_under_the_same_name_is_parked_and_reaches_nobody() {
    let to = |names: &[&str]| json!({"users": names});
    let ana = alert("otp", 1, "ana's code", to(&["ana"]));
    let eve = alert("otp", 1, "eve's code", to(&["eve"]));
    let early = with(ana.clone(), "occurred_at", "2026-11-21T12:00:00Z");
    let later = with(ana.clone(), "occurred_at", "2026-11-21T12:00:01Z");
    let large = with(eve.clone(), "to", json!({"groups": ["ops"], "users": ["eve"]}));
    for (why, first, second, headers, reason) in [
        ("another text", &ana, &eve, &[][..], Some("conflict: ")),
        ("another policy", &ana, &with(ana.clone(), "policy", "critical"), &[], Some("conflict: ")),
        ("another time that its producer gave", &early, &later, &[], Some("conflict: ")),
        ("another time that ingest gave", &early, &later, &[published::UNDATED], None),
        ("no time, over AMQP", &early, &ana, &[], None),
        ("the same to somebody else", &ana, &with(ana.clone(), "to", to(&["eve"])), &[], None),
        ("another text to many", &ana, &large, &[], Some("conflict: ")),
        (
            "an older version, of which nobody knows what it said",
            &with(ana.clone(), "version", 2),
            &eve,
            &[],
            Some("stale: "),
        ),
        ("an older version to many", &with(ana.clone(), "version", 2), &large, &[], Some("stale: ")),
        (
            "a later version by a key for its own alone",
            &ana,
            &with(eve.clone(), "version", 2),
            &[published::KEY, published::OWN_ALERTS],
            Some("forbidden: "),
        ),
    ] {
        // In one commit, and long after each other.
        for together in [true, false] {
            let why = format!("{why}, together: {together}");
            let mut bed = Bed::new(&format!("conflicts-{}", why.replace([' ', ',', ':'], "-"))).await;
            let parking = Arc::new(Parking { inner: bed.dispatch.broker.clone(), parked: Mutex::default() });
            bed.dispatch.broker = parking.clone();
            bed.group("ops", crate::audience::PAGE_ROWS_MAX + 1).await;
            let publish = |alert: &Value, headers: &[&str]| {
                let mut message = Message::json("m".into(), alert.to_string());
                message.headers.extend(headers.iter().map(|name| ((*name).to_owned(), "k2".to_owned())));
                let broker = parking.inner.clone();
                tokio::spawn(async move { broker.publish(Address::Alerts, message, DEADLINE).await })
            };
            let stop = CancellationToken::new();
            let first = publish(first, &[]);
            let running = if together {
                bed.until(async || bed.depth().await == 1).await;
                let second = publish(second, headers);
                bed.until(async || bed.depth().await == 2).await;
                let running = bed.start(&stop);
                first.await.unwrap().unwrap();
                second.await.unwrap().unwrap();
                running
            } else {
                let running = bed.start(&stop);
                first.await.unwrap().unwrap();
                publish(second, headers).await.unwrap().unwrap();
                running
            };
            let parked: Vec<String> = parking
                .parked
                .lock()
                .unwrap()
                .iter()
                .map(|one| one.headers[refused::REASON].clone())
                .collect();
            match reason {
                Some(reason) => {
                    assert_eq!(parked.len(), 1, "{why}: {parked:?}");
                    assert!(parked[0].starts_with(reason), "{why}: {parked:?}");
                    assert_eq!(bed.inbox("eve").await, [], "{why}: eve is shown nothing");
                    assert_eq!(bed.inbox("m00000").await, [], "{why}: nor is anybody else");
                }
                None => assert_eq!(parked, Vec::<String>::new(), "{why}"),
            }
            let shown = bed.inbox("ana").await;
            assert_eq!((shown.len(), &shown[0].1["title"]), (1, &json!("ana's code")), "{why}");
            bed.end(running, &stop).await;
        }
    }
}
