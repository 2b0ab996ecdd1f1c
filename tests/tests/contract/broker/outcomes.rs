//! Outcomes go to queues that we know nothing of: the exchange confirms without any, and a full one is said at once.

use std::{path::Path, process::Command, time::Duration};

use watchbell::broker::{Address, PublishError, WorkQueue};
use watchbell_tests::services;
use watchbell_tests::until::until;

use super::{SOON, connected, message, put};

/// A producer's program.
fn python(url: &str, args: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/producers/publish.py");
    let done = Command::new("python3").arg(script).arg(url).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_bound_queue_gets_each_once_and_a_full_one_is_said_without_trying_again() {
    let url = services::rabbit().await.unwrap().fresh_vhost("outcomes").await.unwrap();
    let broker = connected(&url).await;
    put(&broker, Address::Outcomes, "before anybody listens").await;
    python(&url, &["bind", "watchbell.outcomes", "reader"]);
    for id in ["one", "two"] {
        put(&broker, Address::Outcomes, id).await;
    }
    assert_eq!(python(&url, &["take", "reader"]).len(), 2, "what is bound later hears what comes later");

    python(&url, &["bind", "watchbell.outcomes", "full", "1"]);
    let publish = async |id: &str| broker.publish(Address::Outcomes, message(id), SOON).await;
    // A quorum queue takes a few more than its bound before it refuses.
    until("the queue is full", Duration::from_secs(60), async || {
        (publish("more").await == Err(PublishError::Refused)).then_some(())
    })
    .await
    .unwrap();
    let taken = python(&url, &["take", "reader"]).len();
    assert!(taken > 1, "the other reader got what the full one took: {taken}");
    assert_eq!(publish("refused").await, Err(PublishError::Refused));
    let copies = python(&url, &["take", "reader"]);
    assert_eq!(copies.len(), 1, "one try is one copy: {copies:?}");

    // Nobody else's messages wait for that queue.
    put(&broker, Address::Undelivered, "work").await;
    assert_eq!(broker.depth(WorkQueue::Undelivered).await, Ok(1));
    python(&url, &["take", "full"]);
    until("it takes again", Duration::from_secs(60), async || publish("again").await.ok()).await.unwrap();
}
