//! An operator's look through a queue, message by message, on a connection of its own.
//!
//! What holds here:
//! - Messages are fetched one at a time, each when it is asked for, so at most one body is in memory, however long the
//!   queue and its messages are. A consumer would be sent as many as its prefetch allows.
//! - What was fetched and not settled is held by the broker until the connection is closed. A quorum queue may put what
//!   comes back anywhere, and a browser that gave back as it went would be shown the same ones again and again.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use lapin::{
    Acker, Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};
use tokio::time::timeout;
use tracing::warn;

use super::{CALL_MAX, RabbitConfig, connect, convert, owned::Owned};
use crate::{
    broker::{Browser, Delivery, PublishError, Settle, WorkQueue},
    domain::Untrusted,
};

/// The longest wait for one message: RabbitMQ takes up to 128 MiB, and an operator's network may be slow.
const FETCH_MAX: Duration = Duration::from_secs(60);

pub(super) struct RabbitBrowser {
    connection: Owned,
    channel: Channel,
    queue: WorkQueue,
}

impl RabbitBrowser {
    pub(super) async fn open(config: &RabbitConfig, queue: WorkQueue) -> Result<Self, PublishError> {
        let connection = connect::once(config, queue.name()).await.map_err(|error| unavailable(&error))?;
        let channel = connection.channel().await.map_err(|error| unavailable(&error))?;
        Ok(Self { connection, channel, queue })
    }
}

#[async_trait]
impl Browser for RabbitBrowser {
    async fn take(&mut self) -> Result<Option<Delivery>, PublishError> {
        let get = self.channel.basic_get(self.queue.name().into(), BasicGetOptions::default());
        let got = match timeout(FETCH_MAX, get).await {
            Ok(got) => got.context("fetching a message"),
            Err(_) => Err(anyhow!("fetching a message: no answer within {FETCH_MAX:?}")),
        };
        let got = got.map_err(|error| unavailable(&error))?;
        Ok(got.map(|mut got| {
            let message = convert::message(&mut got.delivery);
            let (acker, redelivered) = (got.delivery.acker.clone(), got.delivery.redelivered);
            let tag = got.delivery.delivery_tag;
            let unreadable = self.connection.ledger().lock().take_unreadable(self.channel.id(), tag);
            Delivery { message, redelivered, unreadable, cut: None, settle: Box::new(Held(acker)) }
        }))
    }

    async fn close(self: Box<Self>) {
        // The broker works in order: when it has answered, it has read the answers that were written before.
        self.connection.close().await;
    }
}

/// Held until it is settled, or its connection is closed: dropping it gives nothing back.
struct Held(Acker);

impl Held {
    async fn answer(settled: impl Future<Output = lapin::Result<bool>>) {
        // What the broker does not hear of comes again, which is what a crash would do.
        match timeout(CALL_MAX, settled).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(%error, "A message could not be settled; it stays in its queue"),
            Err(_) => warn!("A message could not be settled: the broker reads nothing from the connection"),
        }
    }
}

#[async_trait]
impl Settle for Held {
    async fn ack(self: Box<Self>) {
        Self::answer(self.0.ack(BasicAckOptions::default())).await;
    }

    async fn requeue(self: Box<Self>) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        Self::answer(self.0.nack(options)).await;
    }
}

fn unavailable(error: &anyhow::Error) -> PublishError {
    warn!("The queue cannot be browsed: {:#}", Untrusted(error));
    PublishError::Unavailable(CALL_MAX)
}
