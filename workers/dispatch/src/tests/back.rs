//! What comes back by itself, through the whole worker: at its time, told to the screens, whoever died meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Address, Message},
    domain::{AlertId, InboxState, Receipt, ReceiptState},
};

use super::bed::{Bed, DEADLINE, Told, alert, key, tenant, user};
use crate::audience::PAGE_ROWS_MAX;

fn id(name: &str) -> AlertId {
    AlertId::parse(name).unwrap()
}

async fn snooze(bed: &Bed, name: &str, alert: &str, secs: i64) {
    let receipt = Receipt {
        user: key(name),
        alerts: vec![id(alert)],
        state: ReceiptState::Snoozed,
        until: Some(jiff::Timestamp::from_second(secs).unwrap()),
        answers: Default::default(),
        op: None,
        by: "tab".into(),
        push: None,
    };
    let said = bed.dispatch.store.apply_receipts(&[receipt], bed.dispatch.clock.now()).await.unwrap();
    assert!(said[0].is_some());
}

async fn state(bed: &Bed, name: &str) -> InboxState {
    bed.dispatch.store.inbox_page(&key(name), None, 1).await.unwrap().rows[0].state
}

async fn timeline(bed: &Bed, name: &str, alert: &str) -> Vec<String> {
    let told = bed.dispatch.store.timeline(&tenant(), &id(alert), Some(&user(name)), 1).await.unwrap();
    told[0].entries.iter().map(|entry| entry.what.clone()).collect()
}

/// A version that suppresses the alert until then.
fn suppressed(name: &str, version: u32, until: &str) -> Value {
    let mut alert = alert(name, version, "not now", json!({"users": []}));
    (alert["status"], alert["dismissed_until"]) = ("suppressed".into(), until.into());
    alert
}

#[tokio::test]
async fn a_snoozed_alert_comes_back_at_its_time_also_when_everybody_was_gone_then() {
    let mut bed = Bed::new().await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.publish(&[alert("a", 1, "t", json!({"users": ["ana"]}))]).await;
    assert_eq!(bed.told(&[user("ana")]).await["ana"], [(1, "t".to_owned())]);
    snooze(&bed, "ana", "a", 600).await;
    stop.cancel();
    tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();

    bed.dispatch.clock.advance(Duration::from_secs(599));
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.publish(&[alert("b", 1, "another", json!({"users": ["ben"]}))]).await;
    bed.told(&[user("ben")]).await;
    assert_eq!(state(&bed, "ana").await, InboxState::Snoozed, "a second before its time");
    bed.dispatch.clock.advance(Duration::from_secs(1));
    assert_eq!(bed.told(&[user("ana")]).await["ana"], [(3, "t".to_owned())], "every screen is told");
    assert_eq!(state(&bed, "ana").await, InboxState::New);
    assert_eq!(bed.heads(&[user("ana")]).await[0].unread, 1);
    let due = bed.dispatch.store.next_due().await.unwrap();
    assert!(due.is_some_and(|due| due.as_second() >= 599), "the escalation is open again: {due:?}");
    assert!(timeline(&bed, "ana", "a").await.contains(&"came back: the snooze is over".to_owned()));
    bed.end(running, &stop).await;
}

#[tokio::test]
async fn a_suppressed_alert_fires_again_for_everybody_who_holds_it() {
    let mut bed = Bed::new().await;
    let members = bed.group("ops", PAGE_ROWS_MAX + 7).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.publish(&[alert("a", 1, "fire!", json!({"groups": ["ops"]}))]).await;
    bed.told(&members).await;
    bed.publish(&[suppressed("a", 2, "1970-01-01T00:10:00Z")]).await;
    bed.told(&members).await;
    bed.dispatch.clock.advance(Duration::from_secs(600));
    let mut told = Told::new();
    while told.len() < members.len() {
        bed.hear(&mut told).await;
    }
    assert!(told.values().all(|told| told == &[(3, "not now".to_owned())]), "each once: {told:?}");
    let rows = bed.dispatch.store.inbox_page(&key("m00000"), None, 1).await.unwrap().rows;
    let shown: Value = serde_json::from_str(&rows[0].content).unwrap();
    assert_eq!((&shown["version"], &shown["status"]), (&json!(3), &json!("firing")));
    assert_eq!((shown.get("dismissed_until"), rows[0].state), (None, InboxState::New));
    assert!(
        timeline(&bed, "m00000", "a").await.contains(&"came back: dismissed_until passed".to_owned()),
        "the timeline says why"
    );
    bed.end(running, &stop).await;
}

/// Two dispatchers find it at once, and its producer says something else at the same time.
#[tokio::test]
async fn what_its_producer_says_first_wins_and_two_dispatchers_do_it_once() {
    let mut bed = Bed::new().await;
    let stop = CancellationToken::new();
    let running = [bed.start(&stop), bed.start(&stop)];
    for name in ["over", "again"] {
        bed.publish(&[alert(name, 1, "t", json!({"users": [name]}))]).await;
        bed.publish(&[suppressed(name, 2, "1970-01-01T00:10:00Z")]).await;
    }
    bed.publish(&[alert("over", 3, "over", json!({"users": []}))]).await;
    bed.told(&[user("over"), user("again")]).await;
    bed.dispatch.clock.advance(Duration::from_secs(600));
    bed.told(&[user("again")]).await;
    bed.until(async || bed.heads(&[user("again")]).await[0].seq == 3).await;
    let message =
        Message::json("last".into(), alert("last", 1, "t", json!({"users": ["again"]})).to_string());
    bed.dispatch.broker.publish(Address::Alerts, message, DEADLINE).await.unwrap();
    bed.until(async || bed.heads(&[user("again")]).await[0].seq == 4).await;
    assert_eq!(bed.heads(&[user("over")]).await[0].seq, 3, "it is over, and stays so");
    let latest = bed.dispatch.store.latest(&tenant(), &id("again")).await.unwrap().unwrap();
    assert_eq!(latest.version, 3);
    stop.cancel();
    for running in running {
        tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
    }
}
