//! Two texts under one name: the second is parked with its reason, and its people are shown neither.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Address, Message, WorkQueue},
    wire::{published, refused},
};

use super::bed::{Bed, DEADLINE, alert};

/// Why what lies in `watchbell.rejected` was refused.
async fn reasons(bed: &Bed) -> Vec<String> {
    let mut parked = bed.dispatch.broker.browse(WorkQueue::Rejected).await.unwrap();
    let mut reasons = Vec::new();
    while let Some(delivery) = parked.take().await.unwrap() {
        reasons.push(delivery.message.headers[refused::REASON].clone());
    }
    reasons
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
            let bed = Bed::new().await;
            bed.group("ops", crate::audience::PAGE_ROWS_MAX + 1).await;
            let publish = |alert: &Value, headers: &[&str]| {
                let mut message = Message::json("m".into(), alert.to_string());
                message.headers.extend(headers.iter().map(|name| ((*name).to_owned(), "k2".to_owned())));
                let broker = bed.dispatch.broker.clone();
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
            let parked = reasons(&bed).await;
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
