//! Batches overlap, within bounds, and nothing is lost on the way out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use watchbell::broker::{
    Address, Broker, Browser, Consumer, LiveSource, Message, PublishError, SharedBroker, WorkQueue,
};

use super::bed::{Bed, DEADLINE, alert, user};
use crate::BATCHES_MAX;

/// Live frames are never confirmed.
struct Unconfirmed(SharedBroker);

#[async_trait]
impl Broker for Unconfirmed {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        match to {
            Address::Live(_) => std::future::pending().await,
            _ => self.0.publish(to, message, deadline).await,
        }
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer> {
        self.0.consume(queue, prefetch).await
    }

    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError> {
        self.0.browse(queue).await
    }

    async fn live(&self) -> Box<dyn LiveSource> {
        self.0.live().await
    }

    async fn depth(&self, queue: WorkQueue) -> Result<u64, PublishError> {
        self.0.depth(queue).await
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

/// A batch used to wait until the frames of the one before were confirmed.
#[tokio::test]
async fn a_batch_is_committed_while_another_is_told() {
    let mut bed = Bed::new().await;
    bed.dispatch.broker = Arc::new(Unconfirmed(bed.dispatch.broker.clone()));
    bed.dispatch.config.batch_max = 1;
    let alerts: Vec<_> =
        (0..BATCHES_MAX).map(|n| alert(&format!("a{n}"), 1, "t", json!({"users": ["ana"]}))).collect();
    let publishing = bed.queue(&alerts).await;
    let running = bed.start(&CancellationToken::new());
    bed.until(async || bed.heads(&[user("ana")]).await[0].seq == BATCHES_MAX as u64).await;
    assert!(!publishing.is_finished(), "none is settled before it is told");
    running.abort();
    publishing.abort();
}

#[tokio::test]
async fn no_more_than_the_batches_under_way_are_held_and_all_go_back_at_the_end() {
    let mut bed = Bed::without_store().await;
    bed.dispatch.config.batch_max = 2;
    let alerts: Vec<_> =
        (0..20).map(|n| alert(&format!("a{n}"), 1, "t", json!({"users": ["ana"]}))).collect();
    let publishing = bed.queue(&alerts).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    let held = async || 20 - bed.depth().await;
    bed.until(async || {
        assert!(held().await <= 2 * BATCHES_MAX as u64, "the bound holds at any moment");
        held().await > 2 // More than one batch.
    })
    .await;
    stop.cancel();
    timeout(DEADLINE, running).await.expect("a store that is down holds up no shutdown").unwrap();
    assert_eq!(bed.depth().await, 20, "everything in hand went back");
    publishing.abort();
}

#[tokio::test]
async fn what_is_in_hand_is_finished_before_the_end() {
    let mut bed = Bed::new().await;
    bed.dispatch.config.batch_max = 5;
    let alerts: Vec<_> =
        (0..40).map(|n| alert(&format!("a{n}"), 1, "t", json!({"users": ["ana"]}))).collect();
    let publishing = bed.queue(&alerts).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.until(async || bed.heads(&[user("ana")]).await[0].seq > 0).await;
    stop.cancel();
    timeout(DEADLINE, running).await.expect("it ends").unwrap();
    let recorded = bed.heads(&[user("ana")]).await[0].seq;
    assert_eq!(bed.depth().await + recorded, 40, "each is recorded and settled, or back in the queue");
    publishing.abort();
}
