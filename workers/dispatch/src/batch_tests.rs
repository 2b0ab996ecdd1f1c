//! Alerts through the whole worker, on the embedded broker and SQLite: what is told agrees with what is stored.

use std::collections::BTreeMap;

use futures_util::future::{join_all, lazy};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};
use watchbell::{
    broker::{
        Address, LiveEvent, LiveSource, Message, SharedBroker, embedded::EmbeddedBroker, topology::PARTITIONS,
    },
    domain::{GroupId, Tenant, Timestamp, UserKey, policy::Policies},
    runtime::{Clock, config::DispatchConfig},
    store::{Store, StoreConfig},
    wire::{alert::Defaults, content_of, parse_alert},
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A dispatch, and a pod that follows everybody.
struct Bed {
    dispatch: Dispatch,
    live: Box<dyn LiveSource>,
    file: std::path::PathBuf,
}

fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn key(name: &str) -> UserKey {
    UserKey::new(tenant(), UserId::parse(name).unwrap())
}

fn alert(version: u32, title: &str, status: &str, to: &[&str]) -> Value {
    json!({"tenant": "acme", "id": "s30", "version": version, "title": title, "status": status, "to": {"users": to}})
}

impl Bed {
    async fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("watchbell-batch-{name}-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let store = Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let broker: SharedBroker = EmbeddedBroker::open(None).unwrap();
        let live = broker.live().await;
        for partition in 0..PARTITIONS {
            live.control().follow(partition).await;
        }
        let dispatch = Dispatch {
            broker,
            store,
            policies: std::sync::Arc::new(Policies::with_defaults([].into())),
            clock: Clock::at(Timestamp::UNIX_EPOCH),
            config: DispatchConfig::default(),
        };
        Self { dispatch, live, file }
    }

    /// Publishes all at once, in this order; returns when dispatch has settled them.
    fn publish(&self, alerts: &[Value]) -> impl Future<Output = ()> + use<> {
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

    fn start(&self, stop: &CancellationToken) -> JoinHandle<()> {
        tokio::spawn(self.dispatch.clone().run(stop.clone()))
    }

    /// The last that each of these people is told, once nothing is left in their inboxes that they were not told.
    async fn told(&mut self, people: &[&str]) -> BTreeMap<String, (u64, Value)> {
        let mut told = BTreeMap::new();
        while !self.all_told(people, &told).await {
            match timeout(DEADLINE, self.live.next()).await.expect("a live message") {
                Some(LiveEvent::Frame(message)) => {
                    let live: Value = serde_json::from_slice(&message.body).unwrap();
                    for to in live["alert"]["to"].as_array().unwrap() {
                        let user = to["user"].as_str().unwrap().to_owned();
                        told.insert(user, (to["seq"].as_u64().unwrap(), live["alert"]["content"].clone()));
                    }
                }
                Some(LiveEvent::Gap) => {}
                None => panic!("the broker is there"),
            }
        }
        told
    }

    async fn all_told(&self, people: &[&str], told: &BTreeMap<String, (u64, Value)>) -> bool {
        for name in people {
            let seq = self.dispatch.store.changes_after(&key(name), 0, 10).await.unwrap().rows.pop();
            match (told.get(*name), seq) {
                (Some((told, _)), Some(row)) if *told == row.seq => {}
                _ => return false,
            }
        }
        true
    }

    async fn inbox(&self, name: &str) -> Value {
        let rows = self.dispatch.store.changes_after(&key(name), 0, 10).await.unwrap().rows;
        assert_eq!(rows.len(), 1, "{name} has one row");
        serde_json::from_str(&rows[0].content).unwrap()
    }

    async fn agree(&mut self, why: &str, people: &[&str], title: &str) {
        let told = self.told(people).await;
        for name in people {
            assert_eq!(told[*name].1["title"], title, "{why}: {name} is told");
            assert_eq!(self.inbox(name).await, told[*name].1, "{why}: {name}'s inbox says the same");
        }
    }
}

/// Ben was shown "fire!", his inbox said "over", and nothing came after it.
#[tokio::test]
async fn what_is_told_is_what_is_stored() {
    let same = [alert(1, "one", "firing", &["ana"]), alert(1, "two", "firing", &["ben"])];
    let stale = [alert(2, "over", "resolved", &["ana"]), alert(1, "fire!", "firing", &["ben"])];
    let later = [alert(1, "fire!", "firing", &["ana"]), alert(2, "over", "resolved", &["ben"])];
    for (why, alerts, title) in
        [("same version", same, "one"), ("stale version", stale, "over"), ("later version", later, "over")]
    {
        for one_batch in [false, true] {
            let mut bed = Bed::new(&format!("{}-{one_batch}", why.replace(' ', "-"))).await;
            let stop = CancellationToken::new();
            // What waits when dispatch starts is one batch.
            let running = if one_batch {
                tokio::join!(bed.publish(&alerts), lazy(|_| bed.start(&stop))).1
            } else {
                let running = bed.start(&stop);
                bed.publish(&alerts[..1]).await;
                bed.told(&["ana"]).await;
                bed.publish(&alerts[1..]).await;
                running
            };
            let people: &[&str] =
                if one_batch || why == "later version" { &["ana", "ben"] } else { &["ben"] };
            bed.agree(&format!("{why}, one batch: {one_batch}"), people, title).await;
            let due = bed.dispatch.store.next_due().await.unwrap();
            assert_eq!(due.is_some(), title == "one", "{why}: what is over starts no escalation");
            stop.cancel();
            timeout(DEADLINE, running).await.expect("dispatch stops").unwrap();
            std::fs::remove_file(bed.file).unwrap();
        }
    }
}

/// Whoever was cut off halfway through a large audience: the producer's repetition begins at the beginning, a
/// redelivery where it was. Both reach everybody once.
#[tokio::test]
async fn an_audience_cut_off_halfway_is_completed() {
    for redelivered in [false, true] {
        let bed = Bed::new(&format!("halfway-{redelivered}")).await;
        let store = bed.dispatch.store.clone();
        let ops = GroupId::parse("ops").unwrap();
        let members: Vec<UserId> =
            (0..2 * ROWS_PER_COMMIT_MAX + 7).map(|n| UserId::parse(format!("m{n:05}")).unwrap()).collect();
        store.change_members(&tenant(), &ops, &members, &[]).await.unwrap();
        let json = json!({"tenant": "acme", "id": "big", "title": "t", "to": {"groups": ["ops"]}});
        let publishing = tokio::spawn(bed.publish(std::slice::from_ref(&json)));
        let mut consumer = bed.dispatch.broker.consume(watchbell::broker::WorkQueue::Dispatch, 1).await;
        let mut delivery = timeout(DEADLINE, consumer.next()).await.expect("it comes").unwrap();
        delivery.redelivered = redelivered;

        let now = Timestamp::UNIX_EPOCH;
        let defaults = Defaults { tenant: None, id: None, now };
        let alert = parse_alert(json.to_string().as_bytes(), &defaults).unwrap();
        let content = content_of(&alert).into();
        let one = Taken { alert: std::sync::Arc::new(alert), content, delivery };
        let mut audience = Audience::of(&one.alert);
        for _ in 0..2 {
            let page = audience.next(&store).await.unwrap().unwrap();
            let reached = Some(page.begins.to_string());
            let new = NewAlert { reached, ..bed.dispatch.new_alert(&one, page.recipients, now) };
            store.record(&[new], now).await.unwrap();
        }
        let reached = async |user: &UserId| {
            let heads = store.heads(&[UserKey::new(tenant(), user.clone())]).await.unwrap();
            heads.values().map(|head| (head.seq, head.unread)).next().unwrap_or_default()
        };
        assert_eq!(reached(&members[2 * ROWS_PER_COMMIT_MAX]).await, (0, 0), "cut off before the last page");

        bed.dispatch.handle(vec![one.delivery], &CancellationToken::new()).await;
        timeout(DEADLINE, publishing).await.expect("it is confirmed").unwrap();
        for member in &members {
            assert_eq!(reached(member).await, (1, 1), "{member}, redelivered: {redelivered}");
        }
        std::fs::remove_file(bed.file).unwrap();
    }
}
